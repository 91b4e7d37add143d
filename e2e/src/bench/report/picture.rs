//! The chart of the bursts: what each contestant reached, and what it cost.

use super::stats::BurstMedian;
use super::table::mib;
use super::{BurstResult, Report};
use crate::chart::{Bar, Panel, bars, describe};
use crate::control_plane::Release;

/// Where it is, beside the page.
pub(super) fn file(release: Release) -> String {
    format!("{}.svg", release.stem("bursts"))
}

/// A figure: its name, how it is read off, and how it is shown.
type Figure = (&'static str, fn(&BurstMedian) -> f64, fn(f64) -> String);

const FIGURES: [Figure; 3] = [
    ("Pods bound per second", |m| m.pods_per_second, |value| format!("{value:.0}")),
    ("CPU time per pod, events included", |m| m.cpu_micros_per_pod, |value| format!("{value:.0} µs")),
    ("Highest resident memory", |m| m.peak_rss_bytes, |value| format!("{} MiB", mib(value))),
];

/// The whole picture; nothing when no burst was measured.
pub(super) fn picture(report: &Report) -> Option<String> {
    if report.bursts.is_empty() {
        return None;
    }
    let panel = |(name, of, show): Figure| {
        let bar = |result: &BurstResult| {
            let value = of(&result.median);
            Bar { who: result.contestant.to_string(), value, label: show(value) }
        };
        let groups = report
            .workloads()
            .into_iter()
            .map(|workload| {
                let name = format!("{} nodes, {} pods", workload.nodes, workload.pods);
                (name, report.of(workload).map(bar).collect())
            })
            .collect();
        Panel { name: name.to_owned(), groups }
    };
    let panels = FIGURES.map(panel);
    Some(bars(&report.kubernetes.title("A burst of pending pods"), &describe(&panels), &panels))
}
