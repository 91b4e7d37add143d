//! `soak`: both processes under pods that come and go for half an hour. Their memory must stay flat, and so must their
//! open files; then they are told to stop in the middle of it, which they do in order, and once more under valgrind,
//! which finds what nobody frees any more.

mod churn;
mod cli;
mod fit;
mod page;
mod run;
mod stop;

use std::io::Write;

use serde::Serialize;

use crate::bench::machine::Machine;
use crate::budget::Budget;

pub use cli::{Arguments, main};

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// What is to be done.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// For how long, minutes.
    pub minutes: u32,
    /// Pods that come, and pods that go, per second.
    pub rate: u32,
    /// Simulated nodes.
    pub nodes: u32,
    /// Most KiB per minute by which memory may grow.
    pub bound_kib: f64,
    /// Whether valgrind looks for leaks, if it is there.
    pub leaks: bool,
    /// The command line, for the page.
    pub command: String,
}

/// What a process was at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Look {
    /// Minutes since the beginning.
    pub minutes: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Open files.
    pub files: u64,
}

/// A process over time.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// Its name.
    pub process: &'static str,
    /// In the order of time.
    pub looks: Vec<Look>,
}

/// Everything, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    pub(super) date: String,
    pub(super) machine: Machine,
    pub(super) headroom_commit: Option<String>,
    /// What was asked for.
    pub plan: Plan,
    /// Pods that came.
    pub pods: u64,
    /// Both processes.
    pub series: Vec<Series>,
    /// What was found, beside its bars.
    pub budgets: Vec<Budget>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "soak: {line}");
}
