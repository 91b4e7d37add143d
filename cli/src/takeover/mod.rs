//! `kubectl headroom takeover`: from stock to Headroom, step by step, each proven before the next one (DESIGN.md 12).

pub(crate) mod canary;
pub(crate) mod checks;
mod configured;
pub(crate) mod execute;
pub(crate) mod helm;
pub(crate) mod plan;
pub(crate) mod refusals;
mod replay;
pub(crate) mod rights;
pub(crate) mod steps;
pub(crate) mod stop;
pub(crate) mod tuned;

use std::{
    io::{IsTerminal as _, stdin},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use headroom_engine::{Configuration, Registry};
use headroom_runtime::{clock, process::GoDuration};
use kube::Client;

use self::{
    execute::{Settings, TRIES},
    plan::Plan,
    replay::Replay,
    steps::{Wish, take},
};
use crate::{
    NO,
    cluster::{self, Connection},
    distribution::{Distribution, configuration::ConfigFile, facts::Facts, host::Here, read},
    doctor::control_loops::LOOPS,
    file,
    snapshot::Snapshot,
};

/// All loops.
const ALL: &str = "*";

/// How a plan is carried out, for both ways.
#[derive(Debug, Args)]
pub(crate) struct Manner {
    /// The loops, by upstream's names; * for all seven
    #[arg(long, value_name = "LOOP,..", value_delimiter = ',', value_parser = loop_name)]
    pub(crate) loops: Vec<String>,
    /// The scheduler; so if no loops are named
    #[arg(long)]
    pub(crate) scheduler: bool,
    /// Print the plan, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Change files of this host, as root on a control-plane node; otherwise all changes of files are printed
    #[arg(long)]
    pub(crate) host_files: bool,
    /// Where those files are, if not below /: of a host that is mounted elsewhere. Who may write there need not be root
    #[arg(long, value_name = "DIR", requires = "host_files")]
    host_root: Option<PathBuf>,
    /// How long to wait for what others have to do, and for its effect
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: GoDuration,
    /// How long a silence has to last [default: 15s for the scheduler, 20s to 45s for loops]
    #[arg(long, value_name = "DURATION")]
    quiet_for: Option<GoDuration>,
    /// Namespace of the canaries
    #[arg(short, long, default_value = "kube-system")]
    namespace: String,
    /// What the cluster is, if it is not what it looks like
    #[arg(long, value_enum)]
    distribution: Option<Distribution>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Flags of `takeover`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom takeover --dry-run                 the plan, and which pods would wait
  kubectl headroom takeover                           the scheduler
  kubectl headroom takeover --keep-standby            and stock stands by, for the day when ours is down
  kubectl headroom takeover --loops replicationcontroller-controller,endpoints-controller
  sudo kubectl headroom takeover --host-files --yes   on the one control-plane host, without a question

Exit status: 0 done, 1 a step failed and what was done is undone, 2 the answer is no")]
pub(crate) struct Options {
    #[command(flatten)]
    manner: Manner,
    /// Leave the stock scheduler as a standby, where it asks for the lease
    #[arg(long)]
    keep_standby: bool,
    /// Take over loops of nodes even where nothing shows that stock leaves them out
    #[arg(long)]
    unproven: bool,
    /// For --dry-run: the scheduler's KubeSchedulerConfiguration; that of its ConfigMap, else the defaults, if not given
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    config: Option<PathBuf>,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.manner.connection
    }
}

/// Upstream's name of a loop, from any of its names.
fn loop_name(text: &str) -> Result<String, String> {
    if text == ALL {
        return Ok(text.to_owned());
    }
    match LOOPS.into_iter().find(|(name, alias)| text == *name || text == *alias) {
        Some((name, _)) => Ok(name.to_owned()),
        None => {
            let names: Vec<&str> = LOOPS.into_iter().map(|(name, _)| name).collect();
            Err(format!("{text:?} is no loop that Headroom has: {}, or *", names.join(", ")))
        }
    }
}

impl Manner {
    /// The loops that are named, each once.
    pub(crate) fn loops(&self) -> Vec<String> {
        let named = |name: &str| self.loops.iter().any(|given| given == name || given == ALL);
        LOOPS.into_iter().map(|(name, _)| name).filter(|name| named(name)).map(str::to_owned).collect()
    }

    /// A client, and the facts.
    pub(crate) async fn look(&self) -> anyhow::Result<(Client, Facts)> {
        let (client, _) = self.connection.client().await?;
        let (mut facts, notes) = read::facts(&client).await?;
        for note in notes {
            eprintln!("{note}");
        }
        if let Some(distribution) = self.distribution {
            facts.distribution = distribution;
            facts.because = "--distribution".to_owned();
        }
        Ok((client, facts))
    }

    /// Asks whether to go on, and carries the plan out. Returns whether it was.
    ///
    /// # Errors
    /// A step failed, or nobody can be asked.
    pub(crate) async fn carry_out(&self, client: &Client, facts: &Facts, plan: &Plan) -> anyhow::Result<bool> {
        let root = self.host_root.as_deref();
        let here = if self.host_files { Some(Here::find(&facts.servers, root)?) } else { None };
        anyhow::ensure!(
            root.is_none() || !plan.restarts(),
            "--host-root does not do here: after the change of its files something has to be started again on the host; \
             leave --host-files out, and do what is printed there"
        );
        if !self.yes {
            anyhow::ensure!(stdin().is_terminal(), "this changes the cluster: give --yes where nobody can be asked");
            eprint!("\nGo on? [y/N] ");
            let mut answer = String::new();
            stdin().read_line(&mut answer)?;
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                return Ok(false);
            }
        }
        let settings = Settings {
            namespace: self.namespace.clone(),
            run: canary::run_name(),
            timeout: self.timeout.0,
            quiet: self.quiet_for.map(|quiet| quiet.0),
            tries: TRIES,
            here,
        };
        execute::run(client, plan, &settings).await?;
        println!("\nDone: kubectl headroom status shows who does what");
        Ok(true)
    }
}

/// Says why not.
pub(crate) fn refuse(verb: &str, refused: &[String]) -> ExitCode {
    for line in refused {
        eprintln!("kubectl headroom {verb}: {line}");
    }
    ExitCode::from(NO)
}

pub(crate) async fn run(options: &Options, registry: Registry) -> anyhow::Result<ExitCode> {
    let manner = &options.manner;
    let (client, mut facts) = manner.look().await?;
    if let Some(path) = &options.config {
        let place = file::named("--config", path);
        let text = file::read(path).with_context(|| place.clone())?;
        facts.configuration = Some(ConfigFile { place, text });
    }
    let loops = manner.loops();
    let scheduler = manner.scheduler || loops.is_empty();
    let grants = rights::lacking(&client, &facts, scheduler, &loops).await?;
    let wish = Wish { scheduler, loops, keep_standby: options.keep_standby, unproven: options.unproven, grants };
    let plan = match take(&facts, &wish) {
        Ok(plan) => plan,
        Err(refused) => return Ok(refuse("takeover", &refused)),
    };
    print!("{}", plan.text());
    if manner.dry_run {
        if !scheduler {
            return Ok(ExitCode::SUCCESS);
        }
        let replay = replayed(&client, facts.configuration.as_ref(), registry).await?;
        print!("{}", replay.text());
        return Ok(if replay.is_well() { ExitCode::SUCCESS } else { ExitCode::from(NO) });
    }
    if !manner.carry_out(&client, &facts, &plan).await? {
        return Ok(ExitCode::from(NO));
    }
    print!("{}{}", plan.lasting_text(), plan.dead_man_text());
    Ok(ExitCode::SUCCESS)
}

/// What would become of all that runs.
async fn replayed(client: &Client, file: Option<&ConfigFile>, registry: Registry) -> anyhow::Result<Replay> {
    let place = || file.map_or_else(|| "the defaults".to_owned(), |file| file.place.clone());
    let config =
        file.map(|file| Configuration::from_yaml(&file.text)).transpose().with_context(place)?.unwrap_or_default();
    let mut notes = Vec::new();
    let snapshot = Snapshot::from_objects(cluster::read(client, &mut notes).await?);
    // Kinds that nothing here reads need no remark.
    for note in snapshot.notes.iter().filter(|note| note.starts_with("skipped: ")).chain(&notes) {
        eprintln!("{note}");
    }
    let at = clock::wall();
    let engine = snapshot.engine(config, registry, at).with_context(place)?;
    Ok(Replay::new(&snapshot, &engine, at))
}

#[cfg(test)]
mod tests;
