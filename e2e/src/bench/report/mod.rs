//! The result: collected, condensed to medians and ratios, and printed as table, JSON and page.

mod page;
mod stats;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::control_plane::assets::{Assets, Component};

use super::contestant::Program;
use super::machine::{self, Machine};
use super::{BenchError, Burst, Contestant, Idle, Plan, Workload};

pub(crate) use table::table;

use stats::{BurstMedian, IdleMedian};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Everything that was measured, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    date: String,
    command: String,
    repeat: u32,
    quick: bool,
    machine: Machine,
    versions: Versions,
    contestants: Vec<About>,
    bursts: Vec<BurstResult>,
    idle: Vec<IdleResult>,
}

/// Versions of what took part, as the programs name them.
#[derive(Debug, Clone, Serialize)]
struct Versions {
    headroom_commit: Option<String>,
    kube_apiserver: Option<String>,
    etcd: Option<String>,
}

/// A contestant.
#[derive(Debug, Clone, Serialize)]
struct About {
    contestant: Contestant,
    version: Option<String>,
    configuration: String,
}

/// One contestant on one workload.
#[derive(Debug, Clone, Serialize)]
struct BurstResult {
    nodes: u32,
    pods: u32,
    contestant: Contestant,
    median: BurstMedian,
    runs: Vec<Burst>,
}

/// One contestant, idle.
#[derive(Debug, Clone, Serialize)]
struct IdleResult {
    contestant: Contestant,
    median: IdleMedian,
    runs: Vec<Idle>,
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(plan: &Plan, programs: &[Program]) -> Self {
        let assets = Assets::from_env().ok();
        let version = |component| {
            let path = assets.as_ref()?.require(component).ok()?;
            machine::first_line(&path, "--version")
        };
        Self {
            schema: SCHEMA,
            date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            command: plan.command.clone(),
            repeat: plan.repeat,
            quick: plan.quick,
            machine: Machine::read(),
            versions: Versions {
                headroom_commit: machine::commit(),
                kube_apiserver: version(Component::ApiServer),
                etcd: version(Component::Etcd),
            },
            contestants: programs
                .iter()
                .map(|program| About {
                    contestant: program.contestant,
                    version: program.version(),
                    configuration: program.configuration(),
                })
                .collect(),
            bursts: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Adds a run.
    pub(crate) fn add_burst(&mut self, workload: Workload, contestant: Contestant, burst: Burst) {
        let Workload { nodes, pods } = workload;
        let same = |r: &&mut BurstResult| (r.nodes, r.pods, r.contestant) == (nodes, pods, contestant);
        if let Some(result) = self.bursts.iter_mut().find(same) {
            result.runs.push(burst);
            result.median = BurstMedian::of(&result.runs);
        } else {
            let runs = vec![burst];
            self.bursts.push(BurstResult { nodes, pods, contestant, median: BurstMedian::of(&runs), runs });
        }
    }

    /// Adds an idle run.
    pub(crate) fn add_idle(&mut self, contestant: Contestant, idle: Idle) {
        if let Some(result) = self.idle.iter_mut().find(|result| result.contestant == contestant) {
            result.runs.push(idle);
            result.median = IdleMedian::of(&result.runs);
        } else {
            let runs = vec![idle];
            self.idle.push(IdleResult { contestant, median: IdleMedian::of(&runs), runs });
        }
    }

    /// Whether every pod of every run was bound exactly once.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.bursts.iter().flat_map(|result| &result.runs).all(|run| run.bound_exactly_once)
    }

    /// The workloads, in order.
    fn workloads(&self) -> Vec<Workload> {
        let mut all: Vec<Workload> =
            self.bursts.iter().map(|result| Workload { nodes: result.nodes, pods: result.pods }).collect();
        all.dedup();
        all
    }

    /// The results of a workload.
    fn of(&self, workload: Workload) -> impl Iterator<Item = &BurstResult> {
        self.bursts.iter().filter(move |result| (result.nodes, result.pods) == (workload.nodes, workload.pods))
    }

    /// The median of a contestant on a workload.
    fn median(&self, workload: Workload, contestant: Contestant) -> Option<&BurstMedian> {
        self.of(workload).find(|result| result.contestant == contestant).map(|result| &result.median)
    }

    /// The idle median of a contestant.
    fn idle_median(&self, contestant: Contestant) -> Option<&IdleMedian> {
        self.idle.iter().find(|result| result.contestant == contestant).map(|result| &result.median)
    }
}

/// Writes `latest.json` and `README.md`.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::file("create", dir))?;
    let mut json = serde_json::to_string_pretty(report).map_err(|source| BenchError::Encode { source })?;
    json.push('\n');
    for (name, text) in [("latest.json", json), ("README.md", page::page(report))] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}
