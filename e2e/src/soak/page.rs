//! The table, and the page `docs/benchmarks/soak.md`.

use std::fmt::Write;

use super::Report;
use super::churn::LIFE;
use crate::budget::{markdown, text};

const METHOD: &str = "\
## How it is measured

- A fresh etcd and kube-apiserver, simulated nodes with kubelets, both processes with leader election and their default
  loops. Pods are created at a steady rate; each is bound, runs, is measured, and is deleted when it is old.
- Memory (`VmRSS`) and open files are read every 10 s. The first quarter of the time is a warm-up; through the rest goes a
  line by least squares, whose slope is what memory grows by.
- In the end both are sent SIGTERM while pods still come and go: they finish what is in flight, release the lease and
  exit with 0. Then both run once more under valgrind's memcheck for 90 s and are stopped in the same way; what is
  definitely lost then is a leak.
";

/// For a terminal.
pub(super) fn table(report: &Report) -> String {
    let mut out = format!("\n{} minutes, {} pods came and went\n", report.plan.minutes, report.pods);
    out.push_str(&text(&report.budgets));
    for note in &report.notes {
        let _ = writeln!(out, "{note}");
    }
    out
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let plan = &report.plan;
    let mut out = String::from("# Soak\n\nWritten by `make soak`; all looks are in `soak.json`.\n\n");
    let _ = writeln!(out, "- Command: `{}`", plan.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    out.push_str(&report.machine.line());
    let _ = writeln!(out, "- Headroom at {}", report.headroom_commit.as_deref().unwrap_or("unknown"));
    let _ = writeln!(
        out,
        "- {} minutes, {} pods per second of which each lives {LIFE} s, {} nodes; {} pods came and went\n",
        plan.minutes, plan.rate, plan.nodes, report.pods
    );
    out.push_str(&markdown(&report.budgets));
    for note in &report.notes {
        let _ = writeln!(out, "\n{note}");
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}
