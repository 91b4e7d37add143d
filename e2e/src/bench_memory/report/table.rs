//! The figures as rows, for the terminal and for the page.

use std::fmt::Write;

use super::super::thrash::JOB_PODS;
use super::super::{Herd, Totals};
use super::Report;

/// The whole table, at most 80 columns wide.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    if let Some(first) = report.herd.first() {
        let pods: usize = first.nodes.iter().map(|node| node.pods).sum::<usize>() + first.waiting;
        let _ = writeln!(out, "\nThe herd: {pods} pods at once, each taken to need {} MiB", first.demand_mib);
        let names = first.nodes.iter().map(|node| node.name.clone());
        let _ = writeln!(out, "{}", line("", names.chain(["waiting".to_owned()])));
        let before = first.nodes.iter().map(|node| format!("{} MiB free", node.headroom_before_mib));
        let _ = writeln!(out, "{}", line("before", before));
        for herd in &report.herd {
            let _ = writeln!(out, "{}", line(&herd.side.to_string(), herd_cells(herd).into_iter()));
        }
    }
    if let Some(first) = report.thrash.first() {
        let _ = writeln!(out, "\nThe thrash scenario: {:.0} s", first.seconds);
        let sides = report.thrash.iter().map(|run| run.side.to_string());
        let cells = |cells: Vec<String>| cells.iter().map(|cell| format!(" {cell:>13}")).collect::<String>();
        let _ = writeln!(out, "{:<50}{}", "", cells(sides.collect()));
        for (name, figure) in FIGURES {
            let _ = writeln!(out, "{name:<50}{}", cells(report.thrash.iter().map(|run| figure(&run.totals)).collect()));
        }
    }
    for promise in report.broken_promises() {
        let _ = writeln!(out, "NOT KEPT: {promise}");
    }
    out
}

fn line(name: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("{name:<10}");
    for cell in cells {
        let _ = write!(text, " {cell:>16}");
    }
    text
}

/// Pods and what is left on each node, and the waiting pods.
pub(super) fn herd_cells(herd: &Herd) -> Vec<String> {
    let on = herd.nodes.iter().map(|node| format!("{} pods, {:+} MiB", node.pods, node.headroom_after_mib));
    on.chain([herd.waiting.to_string()]).collect()
}

type Figure = fn(&Totals) -> String;

/// Names and figures of the thrash scenario, in order.
pub(super) const FIGURES: [(&str, Figure); 14] = [
    ("OOM kills", |t| t.oom_kills.to_string()),
    ("  of pods that declared their needs", |t| t.oom_kills_of_declared.to_string()),
    ("pods evicted", |t| t.evicted.to_string()),
    ("node-seconds spent thrashing", |t| format!("{:.0}", t.thrashing_node_seconds)),
    ("pods placed on a thrashing node", |t| t.placed_on_thrashing.to_string()),
    ("major faults", |t| t.major_faults.to_string()),
    ("datastore waited for memory, seconds", |t| format!("{:.0}", t.datastore_waited_seconds)),
    ("datastore's node: most memory in use, of 2048 MiB", |t| mib(t.datastore_memory_bytes)),
    ("datastore's node: most swap in use, MiB", |t| mib(t.datastore_swap_bytes)),
    ("work done, pod-seconds", |t| format!("{:.0}", t.work_seconds)),
    ("  time without stall (PSI), pod-seconds", |t| format!("{:.0}", t.unstalled_seconds)),
    ("pods of the waves that finished", |t| format!("{} of {JOB_PODS}", t.finished)),
    ("all of them finished after", |t| t.finished_at.map_or("-".to_owned(), |at| format!("{at:.0} s"))),
    ("pods waiting at the end", |t| t.waiting.to_string()),
];

fn mib(bytes: u64) -> String {
    (bytes >> 20).to_string()
}
