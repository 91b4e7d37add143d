//! `kubectl headroom plan`: what fits, what can go, and the cheapest machines for it (docs/plan.md).
//!
//! The answers are the planner's, which asks the engine that places pods; here are the flags, the files and the tables.

mod ask;
mod catalogues;
mod claims;
mod csv;
mod defaults;
mod files;
mod known;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{ArgGroup, Args, ValueEnum};
use headroom_core::{Timestamp, quantity::value};
use headroom_engine::{Configuration, Registry};
use headroom_planner::{Cluster, Scheduler, report::Plan};
use headroom_runtime::clock;
use serde_json::Value;

use self::known::Known;
use crate::{
    NO, NO_SUCH_OBJECT,
    cluster::{self, Connection},
    file, rightsize,
    snapshot::{self, Snapshot},
    view::View,
};

/// Most nodes that are named where another one was asked for.
const MAX_NAMED: usize = 10;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    /// The table with more columns, and every pod
    Wide,
    Json,
    Yaml,
    /// The nodes, for spreadsheets
    Csv,
}

/// Where the control plane goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ControlPlane {
    /// On machines that take no other pods
    Separate,
    /// On machines that take pods as well
    Shared,
}

/// What counts as no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A pod without a place
    Unschedulable,
    /// A node whose loss leaves a pod without a place, too
    Loss,
    /// Nothing
    Never,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("new_machines").args(["cheapest", "add", "resize"]).multiple(true)))]
#[command(after_help = "Examples:
  kubectl headroom plan                                what is left, and what the loss of a node means
  kubectl headroom plan -f app.yaml --replicas 3       does it fit, and where
  helm template app | kubectl headroom plan -f -
  kubectl headroom plan --remove worker-3              can it go
  kubectl headroom plan --add s-1vcpu-1gb=2 --catalog digitalocean
  kubectl headroom plan --resize worker-1=s-1vcpu-1gb --catalog digitalocean
  kubectl headroom plan --cheapest --catalog digitalocean --swap 2Gi
  kubectl headroom plan --cheapest --catalog prices.yaml --survive 1 -o json
  kubectl headroom plan --after-rightsize --cheapest --catalog digitalocean

Exit status: 0 it fits, 2 it does not, 3 there is no such node, 1 the tool failed")]
pub(crate) struct Options {
    /// Would these fit: objects with pods or pod templates in YAML or JSON, in a file or a directory, - for standard
    /// input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: Vec<PathBuf>,
    /// So many pods of each workload of the file
    #[arg(long, value_name = "N", requires = "file")]
    replicas: Option<u64>,
    /// Namespace of objects of the file that name none
    #[arg(short, long)]
    namespace: Option<String>,
    /// With so many more machines of a type
    #[arg(long, value_name = "TYPE=N", value_parser = added, conflicts_with = "file")]
    add: Vec<(String, usize)>,
    /// Without this node
    #[arg(long, value_name = "NODE", conflicts_with = "file")]
    remove: Vec<String>,
    /// With this node on a machine of another type
    #[arg(long, value_name = "NODE=TYPE", value_parser = resized, conflicts_with = "file")]
    resize: Vec<(String, String)>,
    /// The cheapest machines on which everything fits, and how to get there
    #[arg(long, conflicts_with_all = ["file", "add", "remove", "resize"])]
    cheapest: bool,
    /// What can be had for how much: a name (--list-catalogs) or a file
    #[arg(long, value_name = "NAME|FILE")]
    catalog: Option<String>,
    /// Swap of new machines that can have some, or none; as much as workers have today
    #[arg(long, value_name = "SIZE|none", requires = "new_machines", value_parser = swap)]
    swap: Option<i64>,
    /// Most machines
    #[arg(long, value_name = "N", requires = "cheapest", value_parser = most)]
    max_nodes: Option<usize>,
    /// The loss of so many workers must leave no pod without a place
    #[arg(long, value_name = "0|1", requires = "cheapest", default_value = "0", value_parser = survive)]
    survive: u8,
    /// This node stays as it is
    #[arg(long, value_name = "NODE", requires = "cheapest")]
    keep: Vec<String>,
    /// Whether other pods may go to the machines of the control plane; as today
    #[arg(long, value_enum, requires = "cheapest")]
    control_plane: Option<ControlPlane>,
    /// As if the requests and limits that rightsize suggests had been set, and all pods made anew with them
    #[arg(long)]
    after_rightsize: bool,
    /// What makes the exit status 2
    #[arg(long, value_enum, default_value = "unschedulable")]
    fail_on: FailOn,
    /// Say which catalogues there are, and look at nothing
    #[arg(long)]
    list_catalogs: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// The scheduler's KubeSchedulerConfiguration; the defaults if not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.view.connection
    }
}

fn added(text: &str) -> Result<(String, usize), String> {
    let (name, count) = text.split_once('=').unwrap_or((text, "1"));
    match count.parse() {
        Ok(count @ 1..=1000) if !name.is_empty() => Ok((name.to_owned(), count)),
        _ => Err(format!("{text:?} is not like s-1vcpu-1gb=2, with at most 1000")),
    }
}

fn most(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(most @ 1..=1000) => Ok(most),
        _ => Err("between 1 and 1000 machines can be planned for".to_owned()),
    }
}

fn resized(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((node, machine)) if !node.is_empty() && !machine.is_empty() => Ok((node.to_owned(), machine.to_owned())),
        _ => Err(format!("{text:?} is not like worker-1=s-1vcpu-1gb")),
    }
}

fn survive(text: &str) -> Result<u8, String> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        _ => Err("the loss of 0 or 1 worker can be planned for".to_owned()),
    }
}

fn swap(text: &str) -> Result<i64, String> {
    if text == "none" {
        return Ok(0);
    }
    value(text)
        .map_err(|error| error.to_string())
        .and_then(|bytes| if bytes >= 0 { Ok(bytes) } else { Err("swap cannot be less than none".to_owned()) })
}

pub(crate) async fn run(options: &Options, registry: fn() -> Registry) -> anyhow::Result<ExitCode> {
    if options.list_catalogs {
        print!("{}", catalogues::list()?);
        return Ok(ExitCode::SUCCESS);
    }
    let twice = options.file.iter().any(|file| file.as_os_str() == "-")
        && options.view.snapshot.as_deref().is_some_and(|snapshot| snapshot.as_os_str() == "-");
    anyhow::ensure!(!twice, "-f - and --snapshot -: standard input can be read once");
    let config = match &options.config {
        None => Configuration::default(),
        Some(path) => {
            let named = || format!("--config {}", path.display());
            Configuration::from_yaml(&file::read(path).with_context(named)?).with_context(named)?
        }
    };
    let scheduler = Scheduler { config, registry };
    let (Taken { snapshot, known, resized }, namespace, default_time) = match options.view.saved(snapshot::objects)? {
        Some(objects) => {
            let taken = taken(objects, options, None);
            let at = taken.snapshot.time().unwrap_or_else(clock::wall);
            (taken, "default".to_owned(), at)
        }
        None => {
            let (client, namespace) = options.view.connection.client().await?;
            let mut notes = Vec::new();
            let objects = if options.after_rightsize {
                cluster::read_with_templates(&client, &mut notes).await?
            } else {
                cluster::read(&client, &mut notes).await?
            };
            let now = clock::wall();
            let mut taken = taken(objects, options, Some(now));
            // Kinds that are read for the file alone need no remark.
            taken.snapshot.notes.retain(|note| note.starts_with("skipped: "));
            taken.snapshot.notes.extend(notes);
            (taken, namespace, now)
        }
    };
    for note in &snapshot.notes {
        eprintln!("{note}");
    }
    let now = snapshot::now(options.view.at.unwrap_or(default_time));
    let cluster = Cluster::new(snapshot.inputs(), &scheduler, now);
    if let Some(line) = no_such_node(options, &cluster) {
        eprintln!("kubectl headroom: {line}");
        return Ok(ExitCode::from(NO_SUCH_OBJECT));
    }
    let namespace = options.namespace.as_ref().unwrap_or(&namespace);
    let catalogue = match &options.catalog {
        Some(name) => Some(catalogues::find(name)?),
        None => catalogues::of(&cluster),
    };
    if let Some(warning) = catalogue.as_ref().and_then(|catalogue| catalogues::age(catalogue, now.wall)) {
        eprintln!("{warning}");
    }
    let asked = ask::Ask { cluster: &cluster, scheduler: &scheduler, catalogue: catalogue.as_ref(), known: &known };
    let mut plan = asked.plan(options, namespace)?;
    plan.assumptions.extend(resized);
    print!("{}", printed(&plan, options.output)?);
    Ok(if is_yes(&plan, options.fail_on) { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// What to say of a node that a flag names and that is not there. Where there are no nodes at all, that is what matters.
fn no_such_node(options: &Options, cluster: &Cluster) -> Option<String> {
    let mut named = options.remove.iter().chain(&options.keep).chain(options.resize.iter().map(|(node, _)| node));
    let unknown = named.find(|name| !cluster.nodes.contains_key(name.as_str()))?;
    let first = cluster.nodes.keys().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = match cluster.nodes.len() {
        0 => return None,
        nodes if nodes > MAX_NAMED => format!(" and {} more", nodes - MAX_NAMED),
        _ => String::new(),
    };
    Some(format!("there is no node {unknown:?}{}: there are {first}{more}", options.view.place()))
}

/// The objects of a cluster.
struct Taken {
    /// As the scheduler sees them.
    snapshot: Snapshot,
    /// What else they tell.
    known: Known,
    /// What is different with `--after-rightsize`.
    resized: Vec<String>,
}

/// What there is to plan with. `now` is the time, unless the objects tell it.
fn taken(mut objects: Vec<Value>, options: &Options, now: Option<Timestamp>) -> Taken {
    let mut resized = Vec::new();
    if options.after_rightsize {
        let saved = || Snapshot::from_objects(objects.iter().cloned()).time();
        let at = options.view.at.or(now).or_else(saved).unwrap_or_else(clock::wall);
        resized = rightsize::applied(&mut objects, at);
    }
    let known = Known::of(&objects);
    Taken { snapshot: Snapshot::from_objects(objects), known, resized }
}

/// Whether the exit status is 0.
fn is_yes(plan: &Plan, fail_on: FailOn) -> bool {
    match fail_on {
        FailOn::Never => true,
        FailOn::Unschedulable => plan.fits,
        FailOn::Loss => plan.fits && plan.losses.iter().all(|loss| loss.pending.is_empty()),
    }
}

/// The plan as it is printed.
fn printed(plan: &Plan, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => serde_json::to_string_pretty(plan)? + "\n",
        Output::Yaml => serde_saphyr::to_string(plan)?,
        Output::Csv => csv::csv(plan),
        Output::Table => table::table(plan, false),
        Output::Wide => table::table(plan, true),
    })
}

#[cfg(test)]
mod tests;
