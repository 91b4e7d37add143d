//! `kubectl headroom top`: what nodes and pods really use, as the published samples say. Reads `NodeHeadroom` alone: no
//! metrics-server, no kubelet.

mod nodes;
mod pods;
mod read;
pub(crate) mod table;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use headroom_api::NodeHeadroom;
use headroom_core::Timestamp;
use headroom_runtime::clock;
use serde_json::{Value, json};

use self::{read::Samples, table::Table};
use crate::{NO_SUCH_OBJECT, cluster::Connection, view::View};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    /// The table with more columns
    Wide,
    Json,
    Yaml,
}

/// Flags of `top`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  kubectl headroom top                              all nodes
  kubectl headroom top nodes --sort-by headroom     the fullest first
  kubectl headroom top nodes --state Hot            those in trouble
  kubectl headroom top pods -A --sort-by swap       who swaps
  kubectl headroom top pods -n shop --node worker-1 --watch
  kubectl headroom top --snapshot cluster.json -o wide"
)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    nodes: nodes::Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// RAM, headroom, swap, system overhead and pressure of each node
    #[command(aliases = ["node", "no"])]
    Nodes(nodes::Options),
    /// RAM and swap of each pod
    #[command(aliases = ["pod", "po"])]
    Pods(pods::Options),
}

/// Flags of both.
#[derive(Debug, Args)]
struct Common {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Go on with what changes; Ctrl-C ends it
    #[arg(short, long, conflicts_with_all = ["snapshot", "at"])]
    watch: bool,
    /// Leave out the names of the columns
    #[arg(long)]
    no_headers: bool,
    /// Only those whose labels match, as for kubectl
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "snapshot")]
    selector: Option<String>,
    #[command(flatten)]
    view: View,
}

impl Options {
    pub(crate) fn connection(&self) -> &Connection {
        let common = match &self.what {
            None => self.nodes.common(),
            Some(What::Nodes(options)) => options.common(),
            Some(What::Pods(options)) => options.common(),
        };
        &common.view.connection
    }
}

/// What is shown of the samples.
trait Shown {
    /// Flags of both.
    fn common(&self) -> &Common;
    /// Names that were asked for.
    fn names(&self) -> &[String];
    /// The plural of the kind that the selector is about.
    fn plural(&self) -> &'static str;
    /// Where the selector looks: in this namespace, or in all. `context` is the namespace of the context.
    fn selected_in<'a>(&'a self, _context: &'a str) -> Option<&'a str> {
        None
    }
    /// What a name that is not there is called.
    fn kind(&self) -> &'static str;
    /// Names of the columns.
    fn columns(&self, wide: bool) -> Vec<&'static str>;
    /// What is to be shown of these samples, in order.
    fn items(&self, samples: &Samples, nodes: &[NodeHeadroom]) -> Vec<Item>;
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    /// Its name, to say which ones are missing.
    name: String,
    /// The cells.
    cells: Vec<String>,
    /// For `-o json`.
    value: Value,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.what {
        None => show(&options.nodes).await,
        Some(What::Nodes(options)) => show(options).await,
        Some(What::Pods(options)) => show(options).await,
    }
}

async fn show(shown: &impl Shown) -> anyhow::Result<ExitCode> {
    let common = shown.common();
    let samples = read::read(common, shown).await?;
    for note in &samples.notes {
        eprintln!("{note}");
    }
    let items = shown.items(&samples, &samples.nodes);
    let mut table = Table::new(&shown.columns(common.output == Output::Wide));
    if common.watch && common.output != Output::Table && common.output != Output::Wide {
        items.iter().for_each(|item| print_one(common.output, &item.value));
    } else {
        print(common, &mut table, &items)?;
    }
    if samples.nodes.is_empty() {
        eprintln!("no NodeHeadroom yet: does headroom-controllers run?");
    }
    let absent = shown.names().iter().filter(|name| !items.iter().any(|item| item.name == **name));
    let mut code = ExitCode::SUCCESS;
    for name in absent {
        eprintln!("kubectl headroom: there is no sample of {} {name:?}", shown.kind());
        code = ExitCode::from(NO_SUCH_OBJECT);
    }
    match &samples.client {
        Some(client) if common.watch => watch::watch(client, shown, &samples, &table).await,
        _ => Ok(code),
    }
}

fn print(common: &Common, table: &mut Table, items: &[Item]) -> anyhow::Result<()> {
    let list =
        || json!({"apiVersion": "v1", "kind": "List", "items": items.iter().map(|i| &i.value).collect::<Vec<_>>()});
    match common.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&list())?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(&list())?),
        Output::Table | Output::Wide => {
            table.fit(items.iter().map(|item| &item.cells));
            if !common.no_headers && !items.is_empty() {
                print!("{}", table.head());
            }
            items.iter().for_each(|item| print!("{}", table.line(&item.cells)));
        }
    }
    Ok(())
}

/// One document of a stream.
fn print_one(output: Output, value: &Value) {
    match output {
        // A value of JSON is one of YAML as well, should it not be written otherwise.
        Output::Yaml => print!("---\n{}", serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string() + "\n")),
        _ => println!("{value}"),
    }
}

/// The time that ages are counted to.
fn now(common: &Common, newest: Option<Timestamp>) -> Timestamp {
    let view = &common.view;
    view.at.or_else(|| newest.filter(|_| view.snapshot.is_some())).unwrap_or_else(clock::wall)
}

#[cfg(test)]
mod tests;
