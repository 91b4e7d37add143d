//! `bench-budgets`: what is promised in absolute numbers beside `bench`'s ratios: memory of both processes by size of the
//! cluster, latency under a steady load, cold start, and what it costs to be idle while samples arrive. Each row has its
//! bar beside it, and stays on the page until it is measured again.

mod cli;
pub(crate) mod cluster;
mod cold;
mod figure;
mod histogram;
mod latency;
mod memory;
mod page;
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write;

use crate::bench::{BenchError, Workload};

pub use cli::{Arguments, main};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Resident memory of idle processes.
    Memory(Workload),
    /// From creation to binding at a steady rate.
    Latency,
    /// From the start of the process to the first binding.
    ColdStart,
    /// CPU and requests while samples arrive from so many nodes.
    Samples(u32),
    /// Size of the binaries.
    Binaries,
}

impl Row {
    /// All, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Memory(Workload { nodes: 5, pods: 100 }),
        Self::Memory(Workload { nodes: 1000, pods: 10_000 }),
        Self::Memory(Workload { nodes: 5000, pods: 50_000 }),
        Self::Latency,
        Self::ColdStart,
        Self::Samples(10),
        Self::Samples(1000),
        Self::Binaries,
    ];

    /// The rows that a word names: one, or all of a family (`memory`).
    ///
    /// # Errors
    /// [`BenchError::Workload`]: there is none.
    pub(crate) fn find(text: &str) -> Result<Vec<Self>, BenchError> {
        let family = format!("{text}/");
        let means = |row: &Self| row.to_string() == text || row.to_string().starts_with(&family);
        let found: Vec<Self> = Self::ALL.into_iter().filter(means).collect();
        if found.is_empty() {
            let reason = "there is no such row: --list shows them".to_owned();
            return Err(BenchError::Workload { text: text.to_owned(), reason });
        }
        Ok(found)
    }

    /// What it is, for people.
    fn title(self) -> String {
        match self {
            Self::Memory(size) => format!("Idle with {} nodes and {} bound pods", size.nodes, size.pods),
            Self::Latency => {
                format!("{} pods/s on {} nodes for {} s", latency::RATE, latency::NODES, latency::SECONDS)
            }
            Self::ColdStart => format!("Cold start with {} nodes and {} bound pods", cold::SIZE.nodes, cold::SIZE.pods),
            Self::Samples(nodes) => format!("Idle while samples arrive from {nodes} nodes"),
            Self::Binaries => "Binaries".to_owned(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(size) => write!(f, "memory/{size}"),
            Self::Latency => f.write_str("latency"),
            Self::ColdStart => f.write_str("cold-start"),
            Self::Samples(nodes) => write!(f, "samples/{nodes}"),
            Self::Binaries => f.write_str("binaries"),
        }
    }
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench-budgets: {line}");
}
