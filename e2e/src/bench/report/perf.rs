//! The workloads of scheduler_perf: table, `scheduler-perf.json` and `scheduler-perf.md`. A run of all of them takes
//! hours, so that a result stays in the file until the same workload is measured again; each has its date and commit.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stats::{BurstMedian, BurstRatios, ratio};
use super::table::mib;
use super::{BenchError, Case, CaseResult, Contestant, Report};

/// The names of page and figures without their ends, for the usual release.
const STEM: &str = "scheduler-perf";

const METHOD: &str = "\
## How it is measured

- `make bench-perf` runs the sizes with 500 nodes; `BENCH_FLAGS=\"--workload NAME\"` others, `--list` shows their names.
  A row stays until its workload is measured again: date and commit stand beside it. `make bench-perf KUBERNETES=1.37.2`
  measures beside Kubernetes 1.37.2, and has files of its own.
- Names, shapes and sizes are those of `test/integration/scheduler_perf` of Kubernetes 1.36.4, on the bench's own driver:
  a real API server with admission and RBAC instead of the integration-test one, both schedulers as processes, the same
  for both. The pods of the first operations stand on nodes when the scheduler starts; the measured pods are pending
  then. 500Nodes of PreemptionBasic and SchedulingWithMixedChurn and 5000Nodes of PreemptionBasic are sizes of our own.
  Nodes have their labels hostname, arch and os, which upstream's nodes lack in part.
- pods/s, also with events (`-`: not measured when that was), CPU/pod, memory: as in [README.md](README.md); the bench,
  API server and etcd share the machine, and at 500 nodes the API server is the limit, not the scheduler. Preemption
  counts from the start of the scheduler and not from the first binding: room may be made for all pods before the first
  one is bound. Attempts: `scheduler_schedule_attempts_total`, all results, of measured and of churned pods.
- headroom/stock: the median of the ratios within each round; the ratio of the medians where the two rows were measured
  apart.
- right: as in [README.md](README.md); besides, pods that keep apart are on different nodes, and hard constraints on spreading hold.
- Not here: volumes that need controllers (SchedulingInTreePVs, SchedulingCSIPVs and their like), DRA, gated pods.
";

/// One contestant on one workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    workload: String,
    nodes: u32,
    placed_pods: u32,
    pods: u32,
    contestant: Contestant,
    date: String,
    headroom_commit: Option<String>,
    machine: String,
    runs: usize,
    right: bool,
    problems: Vec<String>,
    median: BurstMedian,
    /// Ours in stock's of the same rounds; not there where stock took no part in them.
    #[serde(default)]
    in_stock: Option<BurstRatios>,
}

impl Entry {
    fn of(report: &Report, result: &CaseResult) -> Self {
        let (nodes, placed_pods, pods) = result.case.counts();
        let machine = &report.machine;
        Self {
            workload: result.case.to_string(),
            nodes,
            placed_pods,
            pods,
            contestant: result.contestant,
            date: report.date.clone(),
            headroom_commit: report.versions.headroom_commit.clone(),
            machine: format!("{}, {} cores, {} MiB", machine.cpu, machine.cores, machine.memory_mib),
            runs: result.runs.len(),
            right: result.runs.iter().all(|run| run.bound_exactly_once),
            problems: result.runs.iter().flat_map(|run| run.problems.clone()).collect(),
            median: BurstMedian::of(&result.runs),
            in_stock: in_stock(report, result),
        }
    }
}

/// Ours in stock's, when the result is ours and stock was measured with it.
fn in_stock(report: &Report, result: &CaseResult) -> Option<BurstRatios> {
    let is_stock = |other: &&CaseResult| other.case == result.case && other.contestant == Contestant::Stock;
    let stock = report.cases.iter().find(is_stock).filter(|_| result.contestant == Contestant::Headroom)?;
    Some(BurstRatios::of(&result.runs, &stock.runs))
}

fn entries(report: &Report) -> Vec<Entry> {
    report.cases.iter().map(|result| Entry::of(report, result)).collect()
}

/// What was measured before and is not now, and what is now, in the order of the workloads.
fn merged(before: Vec<Entry>, now: Vec<Entry>) -> Vec<Entry> {
    let kept = before
        .into_iter()
        .filter(|old| !now.iter().any(|new| (&new.workload, new.contestant) == (&old.workload, old.contestant)));
    let mut all: Vec<Entry> = kept.chain(now.iter().cloned()).collect();
    let order: Vec<String> = Case::all().map(|case| case.to_string()).collect();
    all.retain(|entry| order.contains(&entry.workload));
    all.sort_by_key(|entry| (order.iter().position(|name| *name == entry.workload), entry.contestant));
    all
}

/// Writes both files.
pub(super) fn write(report: &Report, dir: &Path) -> Result<(), BenchError> {
    let stem = report.kubernetes.stem(STEM);
    let (figures, page_file) = (format!("{stem}.json"), format!("{stem}.md"));
    let path = dir.join(&figures);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|source| BenchError::Answer { what: path.display().to_string(), source })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(BenchError::file("read", &path)(error)),
    };
    let all = merged(before, entries(report));
    let text = page(report, &all);
    super::write_both(dir, (figures.as_str(), &all), (page_file.as_str(), text))
}

fn page(report: &Report, all: &[Entry]) -> String {
    let release = report.kubernetes;
    let mut out = format!(
        "# {}\n\nWritten by `{}`; the figures are in `{}.json`.\n\n",
        release.title("scheduler_perf's workloads"),
        release.make("bench-perf"),
        release.stem(STEM)
    );
    for about in &report.contestants {
        let version = about.version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
        let _ = writeln!(out, "- {}{version}: {}", about.contestant, about.configuration);
    }
    out.push_str("\n| workload | nodes/pods on them/measured | | pods/s | with events, pods/s | CPU/pod | peak RSS, MiB | attempts | right | runs | when, at |\n");
    out.push_str("|---|---|---|--:|--:|--:|--:|--:|---|--:|---|\n");
    for entry in all {
        let m = &entry.median;
        let _ = writeln!(
            out,
            "| {} | {}/{}/{} | {} | {:.0} | {} | {:.0} µs | {} | {:.0} | {} | {} | {}, {} |",
            entry.workload,
            entry.nodes,
            entry.placed_pods,
            entry.pods,
            entry.contestant,
            m.pods_per_second,
            if m.pods_per_second_with_events > 0.0 {
                format!("{:.0}", m.pods_per_second_with_events)
            } else {
                "-".to_owned()
            },
            m.cpu_micros_per_pod,
            mib(m.peak_rss_bytes),
            m.attempts,
            if entry.right { "yes" } else { "**no**" },
            entry.runs,
            entry.date.split('T').next().unwrap_or_default(),
            entry.headroom_commit.as_deref().unwrap_or("unknown"),
        );
        if let Some(ratios) = ratios(all, entry) {
            let _ = writeln!(
                out,
                "| | | headroom/stock | {} | {} | {} | {} | {} | | | |",
                ratio(ratios.pods_per_second),
                ratio(ratios.pods_per_second_with_events),
                ratio(ratios.cpu_micros_per_pod),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.attempts),
            );
        }
    }
    for entry in all {
        for problem in &entry.problems {
            let _ = writeln!(out, "\n{} {}: {problem}", entry.workload, entry.contestant);
        }
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}

/// Ours in stock's, when the entry is ours and stock has one. Those that were measured apart have no rounds in common.
fn ratios(all: &[Entry], entry: &Entry) -> Option<BurstRatios> {
    let is_stock = |other: &&Entry| other.workload == entry.workload && other.contestant == Contestant::Stock;
    let stock = all.iter().find(is_stock).filter(|_| entry.contestant == Contestant::Headroom)?;
    let together = entry.in_stock.filter(|_| entry.date == stock.date);
    Some(together.unwrap_or_else(|| BurstRatios::of_medians(&entry.median, &stock.median)))
}

/// Results as text, at most 80 columns wide.
pub(super) fn table(report: &Report) -> String {
    let all = entries(report);
    let mut out = String::new();
    if !all.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<36} {:>7} {:>9} {:>8} {:>9} {:>5}",
            "", "pods/s", "CPU/pod", "peak RSS", "attempts", "right"
        );
    }
    for entry in &all {
        if entry.contestant == Contestant::Stock || !all.iter().any(|e| e.contestant == Contestant::Stock) {
            let _ = writeln!(out, "{}", entry.workload);
        }
        let m = &entry.median;
        let _ = writeln!(
            out,
            "  {:<34} {:>7.0} {:>9} {:>8} {:>9.0} {:>5}",
            entry.contestant.to_string(),
            m.pods_per_second,
            format!("{:.0} µs", m.cpu_micros_per_pod),
            mib(m.peak_rss_bytes),
            m.attempts,
            if entry.right { "yes" } else { "NO" }
        );
        if let Some(ratios) = ratios(&all, entry) {
            let _ = writeln!(
                out,
                "  {:<34} {:>7} {:>9} {:>8} {:>9}",
                "headroom/stock",
                ratio(ratios.pods_per_second),
                ratio(ratios.cpu_micros_per_pod),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.attempts),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as it was written before there were rates with events and ratios within rounds.
    fn old(contestant: &str, rate: f64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "workload": "SchedulingBasic/500Nodes", "nodes": 500, "placed_pods": 500, "pods": 1000,
            "contestant": contestant, "date": "2026-11-01T00:00:00Z", "headroom_commit": null, "machine": "m",
            "runs": 1, "right": true, "problems": [],
            "median": {
                "pods_per_second": rate, "cpu_micros_per_pod": 300.0, "server_cpu_micros_per_pod": 3000.0,
                "rss_bytes": 1.0, "peak_rss_bytes": 1.0, "first_bind_seconds": 0.5, "last_bind_seconds": 2.0,
                "drained_after_seconds": 1.0, "events": 1000.0, "attempts": 1000.0,
            },
        }))
        .unwrap()
    }

    #[test]
    fn rows_of_before_are_read_and_compared_by_their_medians() {
        let all = [old("stock", 200.0), old("headroom", 500.0)];
        assert!(ratios(&all, &all[0]).is_none());
        let got = ratios(&all, &all[1]).unwrap();
        assert_eq!((got.pods_per_second, got.pods_per_second_with_events), (Some(2.5), None));
    }

    #[test]
    fn ratios_within_rounds_are_those_of_rows_that_were_measured_together() {
        let (stock, mut ours) = (old("stock", 200.0), old("headroom", 500.0));
        let within = BurstRatios { pods_per_second: Some(3.0), ..BurstRatios::of_medians(&ours.median, &stock.median) };
        ours.in_stock = Some(within);
        let all = [stock.clone(), ours.clone()];
        assert_eq!(ratios(&all, &ours), Some(within));
        let anew = Entry { date: "2026-11-02T00:00:00Z".to_owned(), ..stock };
        assert_eq!(ratios(&[anew], &ours).and_then(|ratios| ratios.pods_per_second), Some(2.5));
    }
}
