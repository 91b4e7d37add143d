//! The suggestions as a table for people, and the commands that carry them out.

use std::fmt::Write as _;

use headroom_core::quantity::human_bytes;

use super::{
    report::{Container, Report, Workload},
    suggest::Verdict,
};
use crate::{
    doctor::text::counted,
    explain::table::paragraph,
    top::table::{Table, UNKNOWN, age},
};

/// The table. Namespaces are shown where there can be several; `wide` adds what the suggestions rest on.
pub(super) fn table(report: &Report, namespaces: bool, wide: bool) -> String {
    let mut columns = vec!["WORKLOAD", "CONTAINER", "REQUEST", "LIMIT", "SEEN", "DIFF", "CONFIDENCE"];
    if namespaces {
        columns.insert(0, "NAMESPACE");
    }
    if wide {
        columns.extend(["PODS", "SAMPLES", "SEEN FOR", "AGE"]);
    }
    let all: Vec<(&Workload, &Container)> =
        report.workloads.iter().flat_map(|w| w.containers.iter().map(move |c| (w, c))).collect();
    let lines: Vec<Vec<String>> = all.iter().map(|(w, c)| cells(w, c, namespaces, wide)).collect();
    let mut table = Table::new(&columns);
    table.fit(lines.iter());
    let mut text = String::new();
    if !lines.is_empty() {
        text.push_str(&table.head());
    }
    for ((_, container), line) in all.iter().zip(&lines) {
        text.push_str(&table.line(line));
        if !container.reason.is_empty() {
            paragraph(&mut text, "    ", &container.reason);
        }
    }
    text.push_str(&totals(report));
    text
}

fn cells(workload: &Workload, container: &Container, namespaces: bool, wide: bool) -> Vec<String> {
    let (now, then) = (&container.now, &container.suggested);
    let mut cells = vec![
        workload.short(),
        container.name.clone(),
        change(now.request_bytes, then.request_bytes),
        change(now.limit_bytes, then.limit_bytes),
        human_bytes(container.seen_bytes),
        difference(container.difference_bytes),
        container.confidence.as_str().to_owned(),
    ];
    if namespaces {
        cells.insert(0, workload.namespace.clone());
    }
    if wide {
        cells.extend([
            workload.pods.len().to_string(),
            container.samples.to_string(),
            age(container.seen_for_seconds),
            age(container.age_seconds),
        ]);
    }
    cells
}

/// `256Mi>132Mi`, or the size alone where it stays.
fn change(now: Option<i64>, then: Option<i64>) -> String {
    let show = |bytes: Option<i64>, none: &str| bytes.map_or_else(|| none.to_owned(), human_bytes);
    if now == then { show(now, UNKNOWN) } else { format!("{}>{}", show(now, "none"), show(then, "none")) }
}

/// A size with its sign.
fn difference(bytes: i64) -> String {
    if bytes > 0 { format!("+{}", human_bytes(bytes)) } else { human_bytes(bytes) }
}

fn totals(report: &Report) -> String {
    let totals = &report.totals;
    let mut text = String::new();
    if !report.workloads.is_empty() {
        let (now, then) = (human_bytes(totals.now_bytes), human_bytes(totals.suggested_bytes));
        let difference = difference(totals.difference_bytes);
        let pods = counted(totals.pods, "pod");
        paragraph(&mut text, "", &format!("requests of {pods}: {now} now, {then} suggested ({difference})"));
    }
    text
}

/// The patches as commands, each with what it does.
pub(super) fn commands(report: &Report) -> String {
    let mut text = String::new();
    for workload in &report.workloads {
        match &workload.patch {
            Some(patch) => {
                let _ = write!(
                    text,
                    "\n# {} in {}: {}\n{}\n",
                    workload.short(),
                    workload.namespace,
                    workload.effect,
                    workload.command(patch)
                );
            }
            None if !workload.effect.is_empty() => {
                let _ = write!(text, "\n# {} in {}: {}\n", workload.short(), workload.namespace, workload.effect);
            }
            None => {}
        }
    }
    text
}

/// Whether anything is to be changed.
pub(super) fn nothing_to_do(report: &Report) -> bool {
    report.workloads.iter().flat_map(|w| &w.containers).all(|container| container.verdict == Verdict::Keep)
}
