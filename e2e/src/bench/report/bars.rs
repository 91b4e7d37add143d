//! The bars that bursts and idle processes are held against, as far as they were measured.

use super::stats::paired;
use super::{Contestant, Report, Workload};
use crate::bench::measure::mebibytes;
use crate::budget::Budget;

/// Part of the bare loop's rate.
const OF_BARE: f64 = 0.95;
/// Part of stock's CPU time per pod, events included.
const OF_STOCK: f64 = 0.1;
/// CPU time per pod on 5,000 nodes, in that on 100.
const GROWTH: f64 = 2.0;
/// Resident memory of an idle scheduler with 5 nodes and 100 pods, MiB.
const IDLE_MIB: f64 = 10.0;
/// Requests of an idle scheduler per minute.
const IDLE_REQUESTS: f64 = 10.0;

/// What cannot be compared is no number, and meets no bar.
fn number(ratio: Option<f64>) -> f64 {
    ratio.unwrap_or(f64::NAN)
}

/// Each bar of which both sides were measured.
pub(super) fn bars(report: &Report) -> Vec<Budget> {
    let mut all = Vec::new();
    for workload in report.workloads() {
        if let Some(in_bare) = report.ratios(workload, Contestant::Bare) {
            let what = format!("{workload}: pods/s, in those of the bare loop");
            all.push(Budget::at_least(what, number(in_bare.pods_per_second), OF_BARE, (3, "x")));
        }
        if let Some(in_stock) = report.ratios(workload, Contestant::Stock) {
            let what = format!("{workload}: CPU per pod, in that of stock");
            all.push(Budget::at_most(what, number(in_stock.cpu_micros_per_pod), OF_STOCK, (3, "x")));
        }
    }
    let on = |nodes: u32| {
        let sizes = report.workloads().into_iter().filter(|workload: &Workload| workload.nodes == nodes);
        sizes.filter_map(|size| report.result(size, Contestant::Headroom)).next_back()
    };
    if let (Some(few), Some(many)) = (on(100), on(5000)) {
        let growth = paired(&many.runs, &few.runs, |run| run.cpu_micros_per_pod);
        all.push(Budget::at_most("CPU per pod on 5,000 nodes, in that on 100", number(growth), GROWTH, (2, "x")));
    }
    if let Some(idle) = report.idle_result(Contestant::Headroom).map(|result| &result.median) {
        all.push(Budget::at_most(
            "idle, 5 nodes, 100 pods: RSS",
            mebibytes(idle.rss_bytes as u64),
            IDLE_MIB,
            (1, "MiB"),
        ));
        let what = "idle: requests per minute";
        all.push(Budget::at_most(what, idle.requests_per_minute, IDLE_REQUESTS, (0, "")));
    }
    all
}
