//! Flags that both processes have, with upstream's names and defaults, and the one line that a wrong flag gets.

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, error::ErrorKind};

use super::{duration::GoDuration, logging::LogFormat};

/// The release of Kubernetes whose flags and behaviour these are: major, minor, and its full name.
pub const KUBERNETES: [&str; 3] = ["1", "36", "v1.36.4"];

/// How to reach the API server.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "API server")]
pub struct ConnectionFlags {
    /// Kubeconfig file; without it and without --master: the pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// URL of the API server, overrides the kubeconfig's
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
}

/// Leader election. Unset flags leave the configuration file's values, or the defaults.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderFlags {
    /// Decide only while holding the lease [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub leader_elect: Option<bool>,
    /// How long the others wait before they take over [default: 15s]
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_lease_duration: Option<GoDuration>,
    /// How long the leader tries to renew before it gives up [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Option<GoDuration>,
    /// Wait between tries [default: 2s]
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_retry_period: Option<GoDuration>,
    /// Kind of the lock; leases is the only one
    #[arg(long, value_name = "KIND")]
    pub leader_elect_resource_lock: Option<String>,
    /// Name of the Lease
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,
    /// Namespace of the Lease [default: kube-system]
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: Option<String>,
}

/// Health, metrics and configuration over HTTPS.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
pub struct ServingFlags {
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port for HTTPS; 0 serves nothing [default: 10259 for the scheduler, 10257 for the controllers]
    #[arg(long, value_name = "PORT")]
    pub secure_port: Option<u16>,
    /// Serving certificate (PEM); a self-signed one in memory if not given
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Kubeconfig for TokenReviews; the ordinary connection if not given
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig for SubjectAccessReviews; the ordinary connection if not given
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
}

/// Logs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogFlags {
    /// Verbosity: 0 and 1 info, 2 and 3 with decisions, 4 and more with everything
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    /// text or json
    #[arg(long, alias = "logging-format", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Parses the command line as component-base does: of a flag that is given twice the last one counts, `_` in a flag's
/// name is `-`, and `--version` takes a value. A wrong flag gives one line that says what, where and what to do; asking
/// for help or the version is not an error.
///
/// # Errors
/// `Err(Ok(text))` is what `--help` or `--version` print on stdout (exit 0); `Err(Err(line))` is the line for stderr
/// (exit 1).
pub fn parse_or_explain<P: Parser>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<P, Result<String, String>> {
    let (args, version) = prepare(args).map_err(Err::<String, String>)?;
    let command = P::command().args_override_self(true);
    let parsed = command
        .try_get_matches_from(args)
        .and_then(|mut matches| P::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut P::command())))
        .map_err(|e| match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(e.render().to_string()),
            _ => Err(condense(&e.render().to_string())),
        })?;
    match version {
        Version::Not => Ok(parsed),
        Version::Short => Err(Ok(P::command().render_version())),
        Version::Raw => Err(Ok(raw_version())),
    }
}

/// What `--version` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Not,
    Short,
    Raw,
}

impl Version {
    /// Reads the flag's value: what Go takes for a truth, or `raw`.
    fn read(value: &str) -> Result<Self, String> {
        match value {
            "raw" => Ok(Self::Raw),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self::Short),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self::Not),
            _ if value.starts_with('v') => Err("--version: the version that is told cannot be set".to_owned()),
            _ => Err("--version: expected no value, true, false or raw".to_owned()),
        }
    }
}

/// Names of flags in their one form, and what `--version` said, taken out.
fn prepare(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<(Vec<OsString>, Version), String> {
    let mut prepared = Vec::new();
    let mut version = Version::Not;
    let mut flags = true;
    for (i, arg) in args.into_iter().enumerate() {
        let arg: OsString = arg.into();
        // The first one is the program, and nothing behind `--` is a flag.
        flags &= arg.to_str() != Some("--");
        let name_and_value = match arg.to_str().and_then(|text| text.strip_prefix("--")) {
            Some(text) if flags && i > 0 => {
                let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
                Some((name.replace('_', "-"), value.map(ToOwned::to_owned)))
            }
            _ => None,
        };
        match name_and_value {
            None => prepared.push(arg),
            Some((name, value)) if name == "version" => version = Version::read(value.as_deref().unwrap_or("true"))?,
            Some((name, None)) => prepared.push(format!("--{name}").into()),
            Some((name, Some(value))) => prepared.push(format!("--{name}={value}").into()),
        }
    }
    Ok((prepared, version))
}

/// As Go prints the structure: what is followed and, behind a plus sign, our own.
fn raw_version() -> String {
    let [major, minor, git] = KUBERNETES;
    let own = env!("CARGO_PKG_VERSION");
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    let fields = [
        ("Major", major.to_owned()),
        ("Minor", minor.to_owned()),
        ("EmulationMajor", String::new()),
        ("EmulationMinor", String::new()),
        ("MinCompatibilityMajor", String::new()),
        ("MinCompatibilityMinor", String::new()),
        ("GitVersion", format!("{git}+headroom.{own}")),
        ("GitCommit", String::new()),
        ("GitTreeState", String::new()),
        ("BuildDate", String::new()),
        ("GoVersion", String::new()),
        ("Compiler", "rustc".to_owned()),
        ("Platform", platform),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{value:?}")).collect();
    format!("version.Info{{{}}}\n", fields.join(", "))
}

/// Clap explains over several lines; keep what is wrong and the tip, drop usage.
fn condense(rendered: &str) -> String {
    let kept: Vec<&str> = rendered
        .lines()
        .map(str::trim)
        .take_while(|l| !l.starts_with("Usage:"))
        .filter(|l| !l.is_empty() && !l.starts_with("For more information"))
        .map(|l| l.strip_prefix("error: ").unwrap_or(l))
        .collect();
    format!("{} (see --help)", kept.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "test", version)]
    struct Flags {
        #[command(flatten)]
        leader: LeaderFlags,
        #[command(flatten)]
        serving: ServingFlags,
        #[command(flatten)]
        log: LogFlags,
        #[command(flatten)]
        connection: ConnectionFlags,
    }

    fn parse(args: &[&str]) -> Result<Flags, Result<String, String>> {
        parse_or_explain(std::iter::once("test").chain(args.iter().copied()))
    }

    #[test]
    fn booleans_as_upstream() {
        assert_eq!(parse(&[]).unwrap().leader.leader_elect, None);
        assert_eq!(parse(&["--leader-elect"]).unwrap().leader.leader_elect, Some(true));
        assert_eq!(parse(&["--leader-elect=false", "-v", "4"]).unwrap().leader.leader_elect, Some(false));
        assert_eq!(parse(&["--v=2"]).unwrap().log.verbosity, 2);
    }

    #[test]
    fn a_wrong_flag_gets_one_line() {
        for (args, wanted) in [
            (&["--leader-elekt=true"][..], "--leader-elekt"),
            (&["--secure-port=abc"][..], "--secure-port"),
            (&["--leader-elect-lease-duration=15"][..], "is not a duration"),
            (&["--tls-cert-file=x"][..], "--tls-private-key-file"),
            (&["surplus"][..], "surplus"),
        ] {
            let line = parse(args).unwrap_err().unwrap_err();
            assert!(line.contains(wanted) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn help_and_version_are_not_errors() {
        assert!(parse(&["--help"]).unwrap_err().unwrap().contains("--secure-port"));
        assert!(parse(&["--version"]).unwrap_err().is_ok());
    }

    #[test]
    fn the_last_one_of_a_flag_counts() {
        let line = ["--leader-elect", "-v=4", "--secure-port=1", "--secure-port", "2", "--leader-elect=false", "--v=0"];
        let flags = parse(&line).unwrap();
        assert_eq!((flags.leader.leader_elect, flags.serving.secure_port), (Some(false), Some(2)));
        assert_eq!(flags.log.verbosity, 0);
    }

    #[test]
    fn underscores_in_names_are_dashes() {
        let line = parse(&["--kube_config=x"]).unwrap_err().unwrap_err();
        assert!(line.contains("--kube-config"), "another word is another flag: {line}");
        let line = ["--leader_elect=false", "--leader_elect-resource_name=a_b", "--kubeconfig", "c_d"];
        let flags = parse(&line).unwrap();
        assert_eq!(flags.leader.leader_elect, Some(false));
        assert_eq!(flags.leader.leader_elect_resource_name.as_deref(), Some("a_b"));
        assert_eq!(flags.connection.kubeconfig, Some("c_d".into()));
        let values: Vec<&str> = vec!["pro__gram", "--a_b", "c_d", "--", "--e_f"];
        let (prepared, _) = prepare(values).unwrap();
        assert_eq!(prepared, ["pro__gram", "--a-b", "c_d", "--", "--e_f"].map(OsString::from));
    }

    #[test]
    fn the_version_takes_a_value() {
        let told = |args: &[&str]| parse(args).unwrap_err().unwrap();
        for args in [&["--version"][..], &["--version=true"], &["--version=raw", "--version=1"]] {
            assert!(told(args).starts_with("test "), "{args:?}");
        }
        let raw = told(&["--version=raw"]);
        assert!(raw.starts_with("version.Info{Major:\"1\", Minor:\"36\", ") && raw.ends_with("}\n"), "{raw}");
        assert!(raw.contains("GitVersion:\"v1.36.4+headroom."), "{raw}");
        assert!(parse(&["--version=false"]).is_ok());
        for wrong in ["--version=maybe", "--version=v1.2.3"] {
            let line = parse(&[wrong]).unwrap_err().unwrap_err();
            assert!(line.starts_with("--version: ") && !line.contains('\n'), "{line}");
        }
        assert!(parse(&["--version", "--surplus"]).unwrap_err().is_err(), "flags are read first");
    }
}
