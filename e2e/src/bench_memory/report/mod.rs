//! The result: printed as a table, and written as JSON, page and chart.

mod chart;
mod figures;
mod json;
mod page;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::bench::BenchError;
use crate::bench::machine::{Machine, commit, first_line};
use crate::binaries::our_binary;
use crate::control_plane::assets::{Assets, Component};
use crate::upstream::Side;

use super::{Herd, Plan, Thrash};

pub(crate) use table::table;

use figures::{Figure, Spread};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 2;

/// Everything that was measured, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    date: String,
    command: String,
    repeat: u32,
    machine: Machine,
    versions: Versions,
    /// One entry per side.
    herd: Vec<Runs<Herd>>,
    /// One entry per side.
    thrash: Vec<Runs<Thrash>>,
}

/// One side's runs of a scenario.
#[derive(Debug, Clone, Serialize)]
struct Runs<R> {
    side: Side,
    /// Each figure by itself.
    figures: BTreeMap<&'static str, Spread>,
    /// Number, from 0, of the run that is shown where one has to stand for all: that with the median of the main figure.
    shown: usize,
    runs: Vec<R>,
}

impl<R> Runs<R> {
    /// A first run.
    fn new(side: Side, run: R, figures: &[Figure<R>], main: fn(&R) -> f64) -> Self {
        let mut this = Self { side, figures: BTreeMap::new(), shown: 0, runs: Vec::new() };
        this.add(run, figures, main);
        this
    }

    fn add(&mut self, run: R, figures: &[Figure<R>], main: fn(&R) -> f64) {
        self.runs.push(run);
        self.figures = figures.iter().map(|figure| (figure.key, figure.spread(&self.runs))).collect();
        self.shown = middle(&self.runs.iter().map(main).collect::<Vec<f64>>());
    }

    fn spread(&self, figure: &Figure<R>) -> Spread {
        self.figures.get(figure.key).copied().unwrap_or_default()
    }

    /// The run that stands for all.
    fn shown(&self) -> Option<&R> {
        self.runs.get(self.shown)
    }
}

/// Where the median stands; of two in the middle the lower one.
fn middle(values: &[f64]) -> usize {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    order.get(order.len().saturating_sub(1) / 2).map_or(0, |(index, _)| *index)
}

/// Adds a run to those of its side.
fn add<R>(all: &mut Vec<Runs<R>>, side: Side, run: R, figures: &[Figure<R>], main: fn(&R) -> f64) {
    match all.iter_mut().find(|runs| runs.side == side) {
        Some(runs) => runs.add(run, figures, main),
        None => all.push(Runs::new(side, run, figures, main)),
    }
}

/// Versions of what took part, as the programs name them.
#[derive(Debug, Clone, Serialize)]
struct Versions {
    headroom_commit: Option<String>,
    headroom_scheduler: Option<String>,
    kube_scheduler: Option<String>,
    kube_apiserver: Option<String>,
}

impl Report {
    /// Nothing measured yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let assets = Assets::from_env().ok();
        let version = |component| first_line(&assets.as_ref()?.require(component).ok()?, "--version");
        Self {
            schema: SCHEMA,
            date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            command: plan.command.clone(),
            repeat: plan.repeat,
            machine: Machine::read(),
            versions: Versions {
                headroom_commit: commit(),
                headroom_scheduler: our_binary("headroom-scheduler").ok().and_then(|p| first_line(&p, "--version")),
                kube_scheduler: version(Component::Scheduler),
                kube_apiserver: version(Component::ApiServer),
            },
            herd: Vec::new(),
            thrash: Vec::new(),
        }
    }

    /// Adds a run of the herd.
    pub(super) fn add_herd(&mut self, run: Herd) {
        add(&mut self.herd, run.side, run, &figures::HERD, figures::least_left);
    }

    /// Adds a run of the thrash scenario.
    pub(super) fn add_thrash(&mut self, run: Thrash) {
        add(&mut self.thrash, run.side, run, &figures::THRASH, figures::thrashing);
    }

    /// What ours promises and did not keep in any run, one sentence each.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let round = |index: usize| match self.repeat {
            0 | 1 => String::new(),
            _ => format!("round {}: ", index.saturating_add(1)),
        };
        let herds = self.herd.iter().filter(|runs| runs.side == Side::Headroom).flat_map(|runs| &runs.runs);
        for (index, herd) in herds.enumerate() {
            for node in herd.nodes.iter().filter(|node| node.headroom_after_mib < 0) {
                broken.push(format!(
                    "{}the herd: {} has {} MiB less than its pods need",
                    round(index),
                    node.name,
                    -node.headroom_after_mib
                ));
            }
        }
        let runs = self.thrash.iter().filter(|runs| runs.side == Side::Headroom).flat_map(|runs| &runs.runs);
        for (index, run) in runs.enumerate() {
            let totals = &run.totals;
            let counts = [
                (totals.oom_kills_of_declared, "OOM kills of pods that declared their needs"),
                (totals.placed_on_thrashing, "pods placed on a thrashing node"),
                (usize::from(totals.datastore_swap_bytes > 0), "datastore nodes swapped"),
                (usize::from(totals.datastore_waited_seconds > 0.0), "datastores waited for memory"),
            ];
            let few = counts.iter().filter(|(count, _)| *count > 0);
            broken.extend(few.map(|(n, what)| format!("{}{n} {what}", round(index))));
        }
        broken
    }
}

/// Writes `memory.json`, `memory.md` and `thrash.svg`.
///
/// # Errors
/// [`BenchError`]: the directory or a file cannot be written.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::file("create", dir))?;
    let json = json::text(report).map_err(|source| BenchError::Encode { source })?;
    let shown: Vec<&Thrash> = report.thrash.iter().filter_map(Runs::shown).collect();
    let chart = chart::chart(&shown, report.repeat);
    let files = [("memory.json", json), ("memory.md", page::page(report)), ("thrash.svg", chart)];
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}
