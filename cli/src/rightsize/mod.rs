//! `kubectl headroom rightsize`: memory requests and limits by what was seen of containers, the patches that set them,
//! and, when asked, the patching itself (docs/rightsize.md).
//!
//! Suggestions are a function of objects and a time ([`report`]); reading and writing is around it.

mod applied;
mod apply;
mod report;
mod suggest;
mod table;
mod workload;

use std::{collections::BTreeSet, process::ExitCode};

use clap::Args;
use headroom_core::memory::Params;
use headroom_runtime::clock;
use kube::Client;
use serde_json::Value;

pub(crate) use self::applied::applied;
use self::{
    apply::{Done, Line},
    report::{Report, Rules, build},
    suggest::Confidence,
};
use crate::{
    NO_SUCH_OBJECT,
    cluster::Connection,
    explain::Output,
    reach::RIGHT,
    snapshot::{self, MAX_DEPTH, newest},
    trace::{
        api::{self, Listed},
        json::{kind, name, namespace},
        target::{self, Target},
    },
    view::View,
};

/// Flags of `rightsize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom rightsize                               the namespace of the context
  kubectl headroom rightsize -A -o wide                    all of them, and what it rests on
  kubectl headroom rightsize deployment/web -n shop
  kubectl headroom rightsize deployment/web --apply        patch it; says what restarts
  kubectl headroom rightsize rc/web --in-place             resize the pods that run
  kubectl headroom rightsize -A --snapshot cluster.json

Only --apply and --in-place change anything.
Exit status: 0 done, 3 there is no such workload, 1 the tool failed")]
pub(crate) struct Options {
    /// Only these workloads: deployment, sts, ds, rc or rs, and a name; all if not given
    #[arg(value_name = "KIND/NAME", value_parser = target)]
    targets: Vec<Target>,
    /// Their namespace; that of the context, or default
    #[arg(short, long)]
    namespace: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "targets"])]
    all_namespaces: bool,
    /// Lower a request only if what was seen is at least of this confidence
    #[arg(long, value_enum, default_value = "medium")]
    confidence: Confidence,
    /// Patch the workloads
    #[arg(long, conflicts_with = "snapshot")]
    apply: bool,
    /// Resize the pods that run, without new ones, where the cluster allows it; with --apply, those that the patch
    /// leaves alone
    #[arg(long, conflicts_with = "snapshot")]
    in_place: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    view: View,
}

fn target(text: &str) -> Result<Target, String> {
    let target = target::parse(text)?;
    match target.of.kind {
        "Pod" | "Service" | "Job" => {
            Err(format!("{text:?}: sizes are set on what creates pods: deployment, sts, ds, rc or rs, and a name"))
        }
        _ => Ok(target),
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (objects, within, client, default_time) = match options.view.saved(snapshot::objects)? {
        Some(objects) => {
            let at = objects.iter().filter_map(|object| newest(object, MAX_DEPTH)).max();
            (objects, "default".to_owned(), None, at.unwrap_or_else(clock::wall))
        }
        None => {
            let (client, of_context) = options.view.connection.client().await?;
            let within = options.namespace.clone().unwrap_or(of_context);
            let objects = live(&client, (!options.all_namespaces).then_some(&*within)).await?;
            (objects, within, Some(client), clock::wall())
        }
    };
    let within = options.namespace.clone().unwrap_or(within);
    let params = Params::default();
    let at = options.view.at.unwrap_or(default_time);
    let rules = Rules { params: &params, lower_from: options.confidence, at };
    let report = build(&objects, |namespace, kind, name| options.wants(&within, (namespace, kind, name)), &rules);
    for note in &report.notes {
        eprintln!("{note}");
    }
    let mut code = ExitCode::SUCCESS;
    for line in options.absent(&objects, &within, &report) {
        match line {
            Absent::NotThere(line) => {
                eprintln!("kubectl headroom: {line}");
                code = ExitCode::from(NO_SUCH_OBJECT);
            }
            Absent::NotSeen(line) => eprintln!("{line}"),
        }
    }
    if report.workloads.is_empty() && options.targets.is_empty() {
        eprintln!("nothing was learned of any workload there: does headroom-controllers run?");
    }
    print!("{}", printed(&report, options)?);
    let Some(client) = client else { return Ok(code) };
    let (mut failed, mut patched) = (false, BTreeSet::new());
    if options.apply {
        let done = apply::workloads(&client, &report).await;
        failed |= tell(options, &done);
        patched = done.patched;
    }
    if options.in_place {
        failed |= tell(options, &apply::in_place(&client, &report, &objects, &patched).await);
    }
    Ok(if failed { ExitCode::FAILURE } else { code })
}

/// Says what was done. Answers whether something could not be.
fn tell(options: &Options, done: &Done) -> bool {
    for line in &done.lines {
        if belongs_to_report(line, options.output) { println!("{line}") } else { eprintln!("{line}") }
    }
    done.failed()
}

/// What was done stands on stdout, below the table, which it says more of; beside a document on stderr, as does whatever could
/// not be done.
fn belongs_to_report(line: &Line, output: Output) -> bool {
    matches!((line, output), (Line::Done(_), Output::Table | Output::Wide))
}

/// A workload that was asked for by name and is not in the report.
enum Absent {
    NotThere(String),
    NotSeen(String),
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.view.connection
    }

    fn wants(&self, within: &str, (namespace, kind, name): (&str, &str, &str)) -> bool {
        let named = |target: &Target| target.of.kind == kind && target.name == name;
        (self.all_namespaces || namespace == within) && (self.targets.is_empty() || self.targets.iter().any(named))
    }

    fn absent(&self, objects: &[Value], within: &str, report: &Report) -> Vec<Absent> {
        let mut absent = Vec::new();
        for Target { of, name: wanted } in &self.targets {
            if report.workloads.iter().any(|w| w.kind == of.kind && w.name == *wanted) {
                continue;
            }
            let is_there = objects.iter().any(|o| kind(o) == of.kind && name(o) == wanted && namespace(o) == within);
            let named = format!("{} {wanted:?} in namespace {within:?}", of.kind);
            absent.push(if is_there {
                Absent::NotSeen(format!("nothing was learned of {named} yet"))
            } else {
                Absent::NotThere(format!("there is no {named}"))
            });
        }
        absent
    }
}

/// The report as it is printed.
fn printed(report: &Report, options: &Options) -> anyhow::Result<String> {
    let wide = options.output == Output::Wide;
    Ok(match options.output {
        Output::Json => serde_json::to_string_pretty(report)? + "\n",
        Output::Yaml => serde_saphyr::to_string(report)?,
        Output::Table | Output::Wide => {
            let mut text = table::table(report, options.all_namespaces, wide);
            if options.apply || options.in_place {
                if !table::nothing_to_do(report) {
                    text.push('\n');
                }
            } else {
                text.push_str(&table::commands(report));
            }
            text
        }
    })
}

/// What is read, and whether nothing can be said without it.
const KINDS: [(Listed, bool); 10] = [
    (api::MEMORY_PROFILES, true),
    (api::PODS, true),
    (api::DEPLOYMENTS, false),
    (api::REPLICA_SETS, false),
    (api::STATEFUL_SETS, false),
    (api::DAEMON_SETS, false),
    (api::REPLICATION_CONTROLLERS, false),
    (api::JOBS, false),
    (api::CRON_JOBS, false),
    (api::NODE_HEADROOMS, false),
];

/// Reads a namespace, or all of them. What may not be read is left out and said.
async fn live(client: &Client, within: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (listed, needed) in KINDS {
        let within = within.filter(|_| listed != api::NODE_HEADROOMS);
        match api::list(client, listed, within).await {
            Ok(list) => objects.extend(list.items),
            Err(error) => match api::why_not(error, listed, within)? {
                Some(why) if needed => anyhow::bail!("{why}: nothing can be said without them; {RIGHT}"),
                Some(why) => eprintln!("{why}: done without them"),
                None if listed == api::MEMORY_PROFILES => {
                    anyhow::bail!("the cluster has no MemoryProfile objects: install Headroom's CRDs first")
                }
                None => {}
            },
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests;
