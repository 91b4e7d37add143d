//! The figures as rows, for the terminal and for the page.

use std::fmt::Write;

use super::super::Herd;
use super::figures::{self, Figure};
use super::{Report, Runs};

/// The whole table, at most 80 columns wide.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    let rounds = if report.repeat > 1 { format!(", {} rounds", report.repeat) } else { String::new() };
    let herds: Vec<&Herd> = report.herd.iter().filter_map(Runs::shown).collect();
    if let Some(first) = herds.first() {
        let pods: usize = first.nodes.iter().map(|node| node.pods).sum::<usize>() + first.waiting;
        let _ = writeln!(out, "\nThe herd: {pods} pods at once, each taken to need {} MiB", first.demand_mib);
        let names = first.nodes.iter().map(|node| node.name.clone());
        let _ = writeln!(out, "{}", line("", names.chain(["waiting".to_owned()])));
        let before = first.nodes.iter().map(|node| format!("{} MiB free", node.headroom_before_mib));
        let _ = writeln!(out, "{}", line("before", before));
        for herd in &herds {
            let _ = writeln!(out, "{}", line(&herd.side.to_string(), herd_cells(herd).into_iter()));
        }
        if report.repeat > 1 {
            let _ = writeln!(out, "\nThe herd{rounds}");
            medians(&mut out, &report.herd, &figures::HERD);
        }
    }
    if let Some(first) = report.thrash.first().and_then(Runs::shown) {
        let _ = writeln!(out, "\nThe thrash scenario: {:.0} s{rounds}", first.seconds);
        medians(&mut out, &report.thrash, &figures::THRASH);
    }
    for promise in report.broken_promises() {
        let _ = writeln!(out, "NOT KEPT: {promise}");
    }
    out
}

/// A row of medians per figure and, where runs differ, one with the lowest and the highest.
fn medians<R>(out: &mut String, all: &[Runs<R>], figures: &[Figure<R>]) {
    let mut row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>13}")).collect();
        let _ = writeln!(out, "{name:<50}{cells}");
    };
    row("", all.iter().map(|runs| runs.side.to_string()).collect());
    for figure in figures {
        row(figure.name, all.iter().map(|runs| figure.median(&runs.spread(figure))).collect());
        let ranges: Vec<Option<String>> = all.iter().map(|runs| figure.range(&runs.spread(figure))).collect();
        if ranges.iter().any(Option::is_some) {
            row("  lowest..highest", ranges.into_iter().map(Option::unwrap_or_default).collect());
        }
    }
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
