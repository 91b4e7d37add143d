//! `kubectl headroom trace KIND/NAME`: how an owner became pods, where they went, when they started, were ready and
//! came into an EndpointSlice; what still waits, and for what (docs/trace.md).
//!
//! A trace is a function of objects and a time ([`build`]); reading and watching is around it.

pub(crate) mod api;
mod build;
pub(crate) mod json;
mod model;
mod pod;
mod read;
mod svg;
mod table;
pub(crate) mod target;
mod wait;
mod watch;
mod why;
mod world;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use headroom_engine::{Configuration, Registry};
use headroom_runtime::clock;
use serde_json::Value;

use self::{
    build::{Whys, build},
    model::Trace,
    target::Target,
    world::World,
};
use crate::{
    NO_SUCH_OBJECT,
    cluster::Connection,
    doctor::text::clean,
    file, reach,
    snapshot::{self, MAX_DEPTH, Snapshot, newest},
    view::View,
};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
    /// A timeline
    Svg,
}

/// Flags of `trace`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom trace rc/web
  kubectl headroom trace deployment/web -n shop --sort     the slowest step first
  kubectl headroom trace svc/web --watch                   what happens, as it does
  kubectl headroom trace pod/web-7d4b9 -o json
  kubectl headroom trace rc/web -o svg > web.svg
  kubectl headroom trace rc/web --snapshot cluster.json

Exit status: 0 done, 3 there is no such object, 1 the tool failed")]
pub(crate) struct Options {
    /// What to trace: rc, deployment, rs, sts, ds, job, svc or pod, and a name
    #[arg(value_name = "KIND/NAME", value_parser = target::parse)]
    target: Target,
    /// Its namespace; that of the context, or default
    #[arg(short, long)]
    namespace: Option<String>,
    /// The slowest step first
    #[arg(long)]
    sort: bool,
    /// Go on with what happens; Ctrl-C ends it
    #[arg(short, long, conflicts_with_all = ["snapshot", "sort", "at"])]
    watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Do not look at all nodes and pods to say why a pod is where it is
    #[arg(long)]
    no_why: bool,
    /// The scheduler's KubeSchedulerConfiguration; the defaults if not given
    #[arg(long, value_name = "FILE", conflicts_with = "no_why")]
    config: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.view.connection
    }

    fn configuration(&self) -> anyhow::Result<Configuration> {
        let Some(path) = &self.config else { return Ok(Configuration::default()) };
        let named = || format!("--config {}", path.display());
        Configuration::from_yaml(&file::read(path).with_context(named)?).with_context(named)
    }

    /// Says that there is no such object, and what a saved cluster says of it.
    fn nothing(&self, namespace: &str, saved: Option<&[Value]>) -> ExitCode {
        let place = self.view.place();
        let kind = self.target.of.kind;
        let hint = saved.map(|objects| hint(objects, &self.target)).unwrap_or_default();
        eprintln!(
            "kubectl headroom: there is no {kind} {:?} in namespace {namespace:?}{place}{hint}",
            self.target.name
        );
        ExitCode::from(NO_SUCH_OBJECT)
    }
}

/// Where else a saved cluster has the object, or that it has none of its kind at all.
fn hint(objects: &[Value], target: &Target) -> String {
    let namespaces: BTreeSet<&str> = objects.iter().map(json::namespace).collect();
    let elsewhere = namespaces.into_iter().find(|within| build::exists(&World::new(objects, within), target));
    if let Some(namespace) = elsewhere {
        return format!(": there is one in namespace {namespace:?} (-n)");
    }
    if objects.iter().any(|object| json::kind(object) == target.of.kind) {
        return String::new();
    }
    let plural = target.of.plural;
    format!(", which has no {plural} at all, nor pods that name it: save the cluster with kubectl headroom snapshot")
}

pub(crate) async fn run(options: &Options, registry: fn() -> Registry) -> anyhow::Result<ExitCode> {
    let config = options.configuration()?;
    let watched = matches!(options.output, Output::Table | Output::Json | Output::Yaml);
    anyhow::ensure!(watched || !options.watch, "--watch cannot draw: use -o table, json or yaml, or leave it out");
    let Some(objects) = options.view.saved(snapshot::objects)? else { return live(options, config, registry).await };
    let namespace = options.namespace.as_deref().unwrap_or("default");
    let newest = objects.iter().filter_map(|object| newest(object, MAX_DEPTH)).max();
    let at = options.view.at.or(newest).unwrap_or_else(clock::wall);
    let world = World::new(&objects, namespace);
    let whys = if options.no_why {
        Whys::new()
    } else {
        let pods = build::pods(&world, &options.target);
        why::explain(&Snapshot::from_objects(objects.iter().cloned()), &pods, config, registry(), at)?
    };
    let Some(trace) = build(&world, &options.target, &whys, at) else {
        return Ok(options.nothing(namespace, Some(&objects)));
    };
    show(options, trace)
}

async fn live(options: &Options, config: Configuration, registry: fn() -> Registry) -> anyhow::Result<ExitCode> {
    let (client, of_context) = options.view.connection.client().await?;
    let namespace = options.namespace.clone().unwrap_or(of_context);
    if options.watch {
        return watch::watch(options, &client, &namespace, &config, registry).await;
    }
    let read = read::live(&client, &namespace, &options.target).await?;
    for note in &read.notes {
        eprintln!("{note}");
    }
    let at = options.view.at.unwrap_or_else(clock::wall);
    let world = World::new(&read.objects, &namespace);
    let pods = build::pods(&world, &options.target);
    let whys = if options.no_why || !pods.iter().any(|pod| is_placed(pod)) {
        Whys::new()
    } else {
        or_a_note(options, read::whys(&client, &pods, config, registry(), at).await)
    };
    let Some(trace) = build(&world, &options.target, &whys, at) else { return Ok(options.nothing(&namespace, None)) };
    show(options, trace)
}

/// Whether a pod has a node.
fn is_placed(pod: &Value) -> bool {
    !json::text(pod, "/spec/nodeName").is_empty()
}

/// A trace without the reasons is worth having; why they are lacking is said.
fn or_a_note(options: &Options, whys: anyhow::Result<Whys>) -> Whys {
    whys.unwrap_or_else(|error| {
        let why = clean(&reach::line(&error, options.view.connection.server()));
        eprintln!("it is not said why pods are where they are: {why}");
        Whys::new()
    })
}

fn show(options: &Options, mut trace: Trace) -> anyhow::Result<ExitCode> {
    if options.sort {
        trace.slowest_first();
    }
    print!("{}", printed(&trace, options.output)?);
    Ok(ExitCode::SUCCESS)
}

/// The trace as it is printed.
fn printed(trace: &Trace, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Table => table::table(trace),
        Output::Json => serde_json::to_string_pretty(trace)? + "\n",
        Output::Yaml => serde_saphyr::to_string(trace)?,
        Output::Svg => svg::svg(trace),
    })
}

#[cfg(test)]
mod tests;
