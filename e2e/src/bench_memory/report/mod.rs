//! The result: printed as a table, and written as JSON, page and chart.

mod chart;
mod json;
mod page;
mod table;
#[cfg(test)]
mod tests;

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

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Everything that was measured, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    date: String,
    command: String,
    machine: Machine,
    versions: Versions,
    /// The herd, one entry per side.
    pub herd: Vec<Herd>,
    /// The thrash scenario, one entry per side.
    pub thrash: Vec<Thrash>,
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

    /// What ours promises and did not keep, one sentence each.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for herd in self.herd.iter().filter(|herd| herd.side == Side::Headroom) {
            for node in herd.nodes.iter().filter(|node| node.headroom_after_mib < 0) {
                broken.push(format!(
                    "the herd: {} has {} MiB less than its pods need",
                    node.name, -node.headroom_after_mib
                ));
            }
        }
        for run in self.thrash.iter().filter(|run| run.side == Side::Headroom) {
            let totals = &run.totals;
            let counts = [
                (totals.oom_kills_of_declared, "OOM kills of pods that declared their needs"),
                (totals.placed_on_thrashing, "pods placed on a thrashing node"),
                (usize::from(totals.datastore_swap_bytes > 0), "datastore nodes swapped"),
                (usize::from(totals.datastore_waited_seconds > 0.0), "datastores waited for memory"),
            ];
            broken.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(n, what)| format!("{n} {what}")));
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
    let files =
        [("memory.json", json), ("memory.md", page::page(report)), ("thrash.svg", chart::chart(&report.thrash))];
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}
