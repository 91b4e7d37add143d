//! The result: collected, condensed to medians and ratios within rounds, and printed as table, JSON and page.

mod bars;
mod page;
mod perf;
mod picture;
mod stats;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::control_plane::Release;
use crate::control_plane::assets::{Assets, Component};

use super::contestant::Program;
use super::machine::{self, Machine};
use super::{BenchError, Burst, Case, Contestant, Idle, Plan, Workload};

pub(crate) use stats::median;
pub(crate) use table::table;

use stats::{BurstMedian, BurstRatios, IdleMedian, IdleRatios};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Everything that was measured, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The versions have it, in the programs' own words.
    #[serde(skip)]
    kubernetes: Release,
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
    /// Written to files of their own.
    #[serde(skip)]
    cases: Vec<CaseResult>,
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

/// One contestant on one workload of scheduler_perf.
#[derive(Debug, Clone)]
struct CaseResult {
    case: Case,
    contestant: Contestant,
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
        let assets = Assets::of(plan.kubernetes).ok();
        let version = |component| {
            let path = assets.as_ref()?.require(component).ok()?;
            machine::first_line(&path, "--version")
        };
        Self {
            kubernetes: plan.kubernetes,
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
            cases: Vec::new(),
        }
    }

    /// Adds a run. Those of a contestant stand in the order of the rounds, by which they are compared.
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

    /// Adds a run of a workload of scheduler_perf.
    pub(crate) fn add_case(&mut self, case: Case, contestant: Contestant, burst: Burst) {
        let same = |r: &&mut CaseResult| (r.case, r.contestant) == (case, contestant);
        match self.cases.iter_mut().find(same) {
            Some(result) => result.runs.push(burst),
            None => self.cases.push(CaseResult { case, contestant, runs: vec![burst] }),
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
        let bursts = self.bursts.iter().flat_map(|result| &result.runs);
        bursts.chain(self.cases.iter().flat_map(|result| &result.runs)).all(|run| run.bound_exactly_once)
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

    /// The result of a contestant on a workload.
    fn result(&self, workload: Workload, contestant: Contestant) -> Option<&BurstResult> {
        self.of(workload).find(|result| result.contestant == contestant)
    }

    /// Ours in those of another, on a workload.
    fn ratios(&self, workload: Workload, against: Contestant) -> Option<BurstRatios> {
        let (ours, theirs) = (self.result(workload, Contestant::Headroom)?, self.result(workload, against)?);
        Some(BurstRatios::of(&ours.runs, &theirs.runs))
    }

    /// The result of an idle contestant.
    fn idle_result(&self, contestant: Contestant) -> Option<&IdleResult> {
        self.idle.iter().find(|result| result.contestant == contestant)
    }

    /// Ours in stock's, idle.
    fn idle_ratios(&self) -> Option<IdleRatios> {
        let (ours, theirs) = (self.idle_result(Contestant::Headroom)?, self.idle_result(Contestant::Stock)?);
        Some(IdleRatios::of(&ours.runs, &theirs.runs))
    }
}

/// The page of a release.
fn page_file(release: Release) -> String {
    if release.is_usual() { "README.md".to_owned() } else { format!("{}.md", release.minor()) }
}

/// Writes `latest.json` and `README.md`, and those of scheduler_perf's workloads, each if something was measured. What was
/// measured beside another release stands in other files, and stays.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<(), BenchError> {
    write_cases(report, dir)?;
    if report.bursts.is_empty() && report.idle.is_empty() {
        return Ok(());
    }
    if let Some(picture) = picture::picture(report) {
        let path = dir.join(picture::file(report.kubernetes));
        std::fs::write(&path, picture).map_err(BenchError::file("write", &path))?;
    }
    let others = Release::value_variants().iter().copied().filter(|release| *release != report.kubernetes);
    let others: Vec<Release> = others.filter(|release| dir.join(page_file(*release)).is_file()).collect();
    let (figures, page) = (format!("{}.json", report.kubernetes.stem("latest")), page_file(report.kubernetes));
    write_both(dir, (figures.as_str(), report), (page.as_str(), page::page(report, &others)))
}

/// Writes the part about scheduler_perf's workloads, beside what was measured of others before.
pub(crate) fn write_cases(report: &Report, dir: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::file("create", dir))?;
    if report.cases.is_empty() { Ok(()) } else { perf::write(report, dir) }
}

/// The figures as JSON and the page.
fn write_both(dir: &Path, json: (&str, &impl Serialize), page: (&str, String)) -> Result<(), BenchError> {
    let mut text = serde_json::to_string_pretty(json.1).map_err(|source| BenchError::Encode { source })?;
    text.push('\n');
    for (name, text) in [(json.0, text), page] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}
