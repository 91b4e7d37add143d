//! The table, and the page `docs/benchmarks/budgets.md` with `budgets.json` behind it.

use std::fmt::Write;
use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Row;
use crate::bench::BenchError;
use crate::bench::machine::{Machine, commit};
use crate::budget::{Budget, markdown, text};
use crate::command::write_results;

/// What the page tells about the method.
const METHOD: &str = "\
## How it is measured

- A row stays until it is measured again (`make bench-budgets BENCH_BUDGETS_FLAGS=\"--row NAME\"`, `--list` shows the
  names). Each run has a fresh etcd and kube-apiserver on the same machine, with fsync off and the API server's request
  limits off. The binaries are those that are shipped.
- Idle by size: nodes and pods are objects; pods have the status of running ones and belong to owners of ten. Nodes have
  no kubelet behind them, so that there are no samples, and node-lifecycle, taint-eviction and pod-gc do not run. RSS is
  read 30 s after both processes knew everything.
- Latency: pods are created at a steady rate; times from a creation are those of the API server's audit log, from the
  answer to the creation until the binding is answered (bound) or arrives (sent): what is late because the API server's
  own watch is late counts as well. From a pod seen to its binding sent is the scheduler's own metric
  `headroom_scheduler_pod_seen_to_binding_sent_seconds`: from the watch event, parsed, until the request is handed to the
  HTTP client; interpolated within a bucket, and 2 ms is the end of one.
- Cold start: with leader election and a free lease; 10,000 pods are bound, one waits. From the start of the process
  until its binding is answered.
- Idle while samples arrive: simulated kubelets with ten pods each, which use the same memory all the time; default loops
  and flags. CPU time and requests (audit log, without watches, leases and NodeHeadroom) for two minutes, after
  every workload was learned: until then each takes two or three writes of its MemoryProfile, five in a second for all.
";

/// A row that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    row: String,
    title: String,
    date: String,
    headroom_commit: Option<String>,
    machine: String,
    rounds: usize,
    figures: Vec<Budget>,
}

impl Entry {
    /// Measured now, here.
    pub(super) fn new(row: Row, rounds: usize, figures: Vec<Budget>) -> Self {
        let machine = Machine::read();
        Self {
            row: row.to_string(),
            title: row.title(),
            date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            headroom_commit: commit(),
            machine: format!("{}, {} cores, {} MiB", machine.cpu, machine.cores, machine.memory_mib),
            rounds,
            figures,
        }
    }

    /// Whether no bar was missed.
    pub(super) fn is_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met != Some(false))
    }
}

/// For a terminal.
pub(super) fn table(entry: &Entry) -> String {
    format!("\n{}\n{}", entry.title, text(&entry.figures))
}

const JSON: &str = "budgets.json";

/// What was measured before.
pub(super) fn read(dir: &Path) -> Result<Vec<Entry>, BenchError> {
    let path = dir.join(JSON);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|source| BenchError::Answer { what: path.display().to_string(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(BenchError::file("read", path)(error)),
    }
}

/// With the new one in the place of the old, in the order of the rows; what is no row any more goes.
pub(super) fn merged(mut before: Vec<Entry>, now: Entry) -> Vec<Entry> {
    before.retain(|entry| entry.row != now.row);
    before.push(now);
    let place = |entry: &Entry| Row::ALL.iter().position(|row| row.to_string() == entry.row);
    before.retain(|entry| place(entry).is_some());
    before.sort_by_key(place);
    before
}

/// Writes both files.
pub(super) fn write(dir: &Path, entries: &[Entry]) -> Result<(), BenchError> {
    write_results(dir, "budgets", &entries, &page(entries))
}

/// The whole page.
pub(super) fn page(entries: &[Entry]) -> String {
    let mut out = String::from("# Budgets\n\nWritten by `make bench-budgets`; the figures are in `budgets.json`.\n");
    for entry in entries {
        let day = entry.date.split('T').next().unwrap_or_default();
        let at = entry.headroom_commit.as_deref().unwrap_or("unknown");
        let rounds = if entry.rounds > 1 { format!(", medians of {} rounds", entry.rounds) } else { String::new() };
        let _ = writeln!(out, "\n## {}\n\n`{}`: {day}, at {at}{rounds}; {}\n", entry.title, entry.row, entry.machine);
        out.push_str(&markdown(&entry.figures));
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}
