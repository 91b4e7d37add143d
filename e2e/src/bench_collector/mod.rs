//! `bench-collector`: what it costs to measure every node of a large cluster, and what our two resources cost the API
//! server. A fresh control plane without any other controller, a thousand simulated kubelets and their pods, and
//! `headroom-controllers` with its default loops; measured is a window in which nothing is created or deleted.

mod cli;
mod figures;
mod measure;
mod page;

use std::io::Write;

pub use cli::{Arguments, main};
pub use figures::{Figures, Heap, Plan, Report};

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench-collector: {line}");
}
