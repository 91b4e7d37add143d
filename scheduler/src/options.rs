//! Flags, and what they come to together with the configuration file.

use std::{fs, path::PathBuf};

use clap::{Parser, ValueEnum};
use headroom_engine::{
    config::{ConfigError, Configuration},
    engine::Mode,
};
use headroom_runtime::{
    lease::{Durations, LeaderConfig, LeaderConfigError, identity},
    process::{ConnectionFlags, GoDuration, LeaderFlags, LogFlags, ServingFlags, StockFlags},
};
use thiserror::Error;

/// Port of the stock kube-scheduler.
const SECURE_PORT: u16 = 10259;
/// The Lease of the stock kube-scheduler: held in primary mode only, so that the two can never both decide.
pub(crate) const STOCK_LEASE: &str = "kube-scheduler";
/// The Lease of the other modes, and the scheduler name of secondary mode.
pub(crate) const OUR_NAME: &str = "headroom-scheduler";
/// The profile of pods that name no scheduler.
const STOCK_PROFILE: &str = "default-scheduler";
/// A configuration file larger than this is refused.
const MAX_CONFIG: u64 = 1 << 20;

/// `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeFlag {
    /// Decides, binds nothing, and reports how its choices differ from the stock scheduler's
    Shadow,
    /// Serves pods with schedulerName headroom-scheduler
    Secondary,
    /// Replaces the stock scheduler: holds its lease and serves default-scheduler
    Primary,
}

impl From<ModeFlag> for Mode {
    fn from(flag: ModeFlag) -> Self {
        match flag {
            ModeFlag::Shadow => Self::Shadow,
            ModeFlag::Secondary => Self::Secondary,
            ModeFlag::Primary => Self::Primary,
        }
    }
}

/// The flags of `headroom-scheduler`.
#[derive(Debug, Parser)]
#[command(
    name = "headroom-scheduler",
    version,
    about = "Scheduler for small Kubernetes clusters: places pods by the memory and swap that nodes really have",
    after_help = "Examples:
  headroom-scheduler --config /etc/kubernetes/scheduler-config.yaml
      in place of kube-scheduler, with the same configuration file
  headroom-scheduler --mode shadow --kubeconfig ~/.kube/config -v 2
      watch what it would decide, without touching a pod
  headroom-scheduler --mode secondary
      serve the pods that ask for schedulerName: headroom-scheduler
  headroom-scheduler check --help
      ask from beside it whether such a process does its work"
)]
pub struct Options {
    /// KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How it takes part
    #[arg(long, value_enum, default_value = "primary")]
    pub mode: ModeFlag,
    /// Write the whole configuration, defaults and flags included, to this file and exit
    #[arg(long, value_name = "FILE")]
    pub write_config_to: Option<PathBuf>,
    /// How long a pod may wait without any event before it is tried again
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub pod_max_in_unschedulable_pods_duration: GoDuration,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(flatten)]
    pub(crate) leader: LeaderFlags,
    #[command(flatten)]
    pub(crate) serving: ServingFlags,
    #[command(flatten)]
    pub(crate) log: LogFlags,
    #[command(flatten)]
    pub(crate) stock: StockFlags,
}

/// Flags and file that cannot be followed.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("--config {path}: {source}")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is far too large to be a configuration.
    #[error("--config {path}: {size} bytes are more than a configuration can have ({MAX_CONFIG})")]
    TooLarge {
        /// Its path.
        path: String,
        /// Its size.
        size: u64,
    },
    /// The file is not a valid configuration.
    #[error("--config {path}: {source}")]
    Invalid {
        /// Its path.
        path: String,
        /// What and where.
        #[source]
        source: ConfigError,
    },
    /// A flag of stock that must not be passed over.
    #[error("{0}")]
    Flag(String),
    /// Timing of leader election.
    #[error(transparent)]
    Leader(#[from] LeaderConfigError),
    /// Two schedulers would serve the same pods.
    #[error(
        "--mode secondary must not serve {STOCK_PROFILE}: give the profile another schedulerName, or use --mode primary"
    )]
    SecondaryServesDefault,
    /// The stock scheduler's lease in a mode that runs beside it.
    #[error(
        "--mode {mode} must not hold the lease {STOCK_LEASE}, which the stock scheduler holds: leave --leader-elect-resource-name out"
    )]
    StockLease {
        /// The mode.
        mode: &'static str,
    },
    /// A file alone must not switch off what keeps two schedulers apart.
    #[error(
        "leaderElection.leaderElect: false in --config would let two schedulers decide at once; to run without leader \
         election in primary mode, say --leader-elect=false on the command line as well"
    )]
    UnguardedPrimary,
}

/// What the process runs with.
#[derive(Debug)]
pub struct Settings {
    /// The whole configuration, defaults included.
    pub configuration: Configuration,
    /// Leader election.
    pub leader: LeaderConfig,
    /// Kubeconfig, if any.
    pub kubeconfig: Option<PathBuf>,
    /// Things that were given and are not used, for the log.
    pub ignored: Vec<String>,
}

impl Options {
    /// The port to serve on; 0 serves nothing.
    #[must_use]
    pub fn secure_port(&self) -> u16 {
        self.serving.secure_port.unwrap_or(SECURE_PORT)
    }

    /// Reads the configuration file and puts the flags on top of it.
    ///
    /// # Errors
    /// [`OptionsError`], one line that says what, where and what to do.
    pub fn settings(&self) -> Result<Settings, OptionsError> {
        let (given, mut configuration) = match &self.config {
            Some(path) => (true, read(path)?),
            None => (false, Configuration::default()),
        };
        let mut ignored = self.stock.check().map_err(OptionsError::Flag)?;
        if self.mode == ModeFlag::Secondary {
            if !given {
                for profile in &mut configuration.profiles {
                    profile.scheduler_name = OUR_NAME.into();
                }
            } else if configuration.profiles.iter().any(|p| p.scheduler_name == *STOCK_PROFILE) {
                return Err(OptionsError::SecondaryServesDefault);
            }
        }
        // As upstream: with a file, the connection comes from it alone.
        let kubeconfig = if given {
            if self.connection.kubeconfig.is_some() && !configuration.client_connection.kubeconfig.is_empty() {
                ignored.push("--kubeconfig: with --config, clientConnection.kubeconfig counts".to_owned());
            }
            match configuration.client_connection.kubeconfig.as_str() {
                "" => self.connection.kubeconfig.clone(),
                path => Some(PathBuf::from(path)),
            }
        } else {
            self.connection.kubeconfig.clone()
        };
        let leader = self.leader(&configuration)?;
        Ok(Settings { configuration, leader, kubeconfig, ignored })
    }

    fn leader(&self, configuration: &Configuration) -> Result<LeaderConfig, OptionsError> {
        let (flags, file) = (&self.leader, &configuration.leader_election);
        if let Some(lock) = flags.leader_elect_resource_lock.as_ref().filter(|lock| *lock != "leases") {
            return Err(LeaderConfigError::Lock(lock.clone()).into());
        }
        let enabled = flags.leader_elect.unwrap_or(file.leader_elect);
        if self.mode == ModeFlag::Primary && !file.leader_elect && flags.leader_elect != Some(false) && !enabled {
            return Err(OptionsError::UnguardedPrimary);
        }
        let durations = Durations {
            lease: flags.leader_elect_lease_duration.map_or(file.lease_duration, |d| d.0),
            renew_deadline: flags.leader_elect_renew_deadline.map_or(file.renew_deadline, |d| d.0),
            retry_period: flags.leader_elect_retry_period.map_or(file.retry_period, |d| d.0),
        };
        durations.validate()?;
        let mode = match self.mode {
            ModeFlag::Primary => None,
            ModeFlag::Secondary => Some("secondary"),
            ModeFlag::Shadow => Some("shadow"),
        };
        let named = flags.leader_elect_resource_name.clone().or_else(|| file.resource_name.clone());
        let name = match (mode, named) {
            (Some(mode), Some(name)) if name == STOCK_LEASE && flags.leader_elect_resource_name.is_some() => {
                return Err(OptionsError::StockLease { mode });
            }
            // A file written for the stock scheduler names its lease; beside it we hold our own.
            (Some(_), Some(name)) if name == STOCK_LEASE => OUR_NAME.to_owned(),
            (_, Some(name)) => name,
            (Some(_), None) => OUR_NAME.to_owned(),
            (None, None) => STOCK_LEASE.to_owned(),
        };
        let namespace =
            flags.leader_elect_resource_namespace.clone().unwrap_or_else(|| file.resource_namespace.clone());
        Ok(LeaderConfig { enabled, namespace, name, identity: identity(), durations })
    }
}

fn read(path: &std::path::Path) -> Result<Configuration, OptionsError> {
    let shown = path.display().to_string();
    let unreadable = |source| OptionsError::Unreadable { path: shown.clone(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_CONFIG {
        return Err(OptionsError::TooLarge { path: shown, size });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Configuration::from_yaml(&text).map_err(|source| OptionsError::Invalid { path: shown, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_runtime::process::parse_or_explain;
    use std::io::Write;

    fn parse(args: &[&str]) -> Options {
        parse_or_explain(std::iter::once("headroom-scheduler").chain(args.iter().copied())).unwrap()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut f = tempfile::NamedTempFile::new().unwrap();
        write!(f, "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{text}").unwrap();
        f
    }

    fn with(text: &str, args: &[&str]) -> Result<Settings, String> {
        let f = file(text);
        let path = format!("--config={}", f.path().display());
        let mut all = vec![path.as_str()];
        all.extend(args);
        parse(&all).settings().map_err(|e| e.to_string())
    }

    #[test]
    fn each_mode_has_its_lease_and_its_profile() {
        for (mode, lease, profile) in [
            ("primary", "kube-scheduler", "default-scheduler"),
            ("shadow", "headroom-scheduler", "default-scheduler"),
            ("secondary", "headroom-scheduler", "headroom-scheduler"),
        ] {
            let s = parse(&["--mode", mode]).settings().unwrap();
            assert_eq!(s.leader.name, lease, "{mode}");
            assert_eq!(s.configuration.profiles[0].scheduler_name, *profile, "{mode}");
        }
        let s = with("leaderElection: {resourceName: kube-scheduler}\n", &["--mode=shadow"]).unwrap();
        assert_eq!(s.leader.name, "headroom-scheduler", "a file of the stock scheduler serves shadow");
    }

    #[test]
    fn what_would_let_two_decide_is_refused() {
        let stock = parse(&["--mode=shadow", "--leader-elect-resource-name=kube-scheduler"]).settings();
        assert!(stock.is_err_and(|e| e.to_string().contains("must not hold the lease")));
        let secondary = with("profiles: [{schedulerName: default-scheduler}]\n", &["--mode=secondary"]);
        assert!(secondary.is_err_and(|e| e.contains("must not serve default-scheduler")));
        let off = "leaderElection: {leaderElect: false}\n";
        assert!(with(off, &[]).is_err_and(|e| e.contains("--leader-elect=false on the command line")));
        assert!(with(off, &["--leader-elect=false"]).is_ok_and(|s| !s.leader.enabled));
        assert!(with(off, &["--leader-elect=true"]).is_ok_and(|s| s.leader.enabled));
    }

    #[test]
    fn flags_override_the_file() {
        let text =
            "leaderElection: {leaseDuration: 60s, renewDeadline: 40s, retryPeriod: 5s, resourceNamespace: ops}\n";
        let s = with(text, &["--leader-elect-retry-period=3s"]).unwrap();
        assert_eq!((s.leader.durations.lease.as_secs(), s.leader.durations.retry_period.as_secs()), (60, 3));
        assert_eq!(s.leader.namespace, "ops");
        let s = with("clientConnection: {kubeconfig: /a}\n", &["--kubeconfig=/b"]).unwrap();
        assert_eq!((s.kubeconfig, s.ignored.len()), (Some("/a".into()), 1));
    }

    #[test]
    fn the_command_line_of_kubeadm_starts_us() {
        let s = parse(&[
            "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--bind-address=127.0.0.1",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
        ])
        .settings()
        .unwrap();
        assert_eq!((s.ignored.len(), s.leader.enabled), (0, true));
        let s = parse(&["--kube-api-qps=7", "--profiling=false", "--logging-format=json", "--v=2"]).settings().unwrap();
        assert_eq!(s.ignored.len(), 2, "{:?}", s.ignored);
        let refused = parse(&["--tls-sni-cert-key=a,b"]).settings().unwrap_err().to_string();
        assert!(refused.contains("one certificate"), "{refused}");
    }

    #[test]
    fn the_configuration_is_written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out.yaml");
        let f = file("profiles: [{pluginConfig: [{name: MemoryHeadroom, args: {phi: 0.5}}]}]\n");
        let args = [
            "headroom-scheduler".to_owned(),
            format!("--config={}", f.path().display()),
            format!("--write-config-to={}", out.display()),
            "--leader-elect-lease-duration=20s".to_owned(),
        ];
        let registry = headroom_engine::Registry::in_tree;
        let _ = crate::run(registry(), args.map(Into::into));
        let text = fs::read_to_string(&out).unwrap();
        assert!(text.contains("leaseDuration: 20s") && text.contains("phi: 0.5"), "{text}");
        assert!(read(&out).unwrap().build(&registry()).is_ok());
    }

    #[test]
    fn a_wrong_file_gets_one_line_with_the_field() {
        let line = with("profiles: [{plugins: {score: {enabled: [{nam: x}]}}}]\n", &[]).unwrap_err();
        assert!(line.contains("nam") && line.contains("profiles[0].plugins.score") && !line.contains('\n'), "{line}");
        let line = parse(&["--config=/does/not/exist"]).settings().unwrap_err().to_string();
        assert!(line.contains("/does/not/exist") && line.contains("No such file"), "{line}");
    }
}
