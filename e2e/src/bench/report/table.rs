//! The table for the terminal, at most 80 columns wide.

use std::fmt::Write;

use super::stats::ratio;
use super::{BurstResult, Contestant, Report};
use crate::bench::measure::mebibytes;

/// Results as text.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    for workload in report.workloads() {
        let _ = writeln!(out, "\n{} nodes, {} pods pending at start", workload.nodes, workload.pods);
        let _ = writeln!(
            out,
            "{:<14} {:>7} {:>8} {:>9} {:>7} {:>8} {:>8} {:>6} {:>5}",
            "", "pods/s", "w/events", "CPU/pod", "RSS", "peak RSS", "1st bind", "events", "right"
        );
        for result in report.of(workload) {
            let _ = writeln!(out, "{}", row(result));
        }
        for against in [Contestant::Stock, Contestant::Bare] {
            let Some(ratios) = report.ratios(workload, against) else { continue };
            let _ = writeln!(
                out,
                "{:<14} {:>7} {:>8} {:>9} {:>7} {:>8} {:>8}",
                format!("headroom/{against}"),
                ratio(ratios.pods_per_second),
                ratio(ratios.pods_per_second_with_events),
                ratio(ratios.cpu_micros_per_pod),
                ratio(ratios.rss_bytes),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.first_bind_seconds),
            );
        }
    }
    if !report.idle.is_empty() {
        let _ = writeln!(out, "\n5 nodes, 100 bound pods, idle");
        let _ = writeln!(out, "{:<16} {:>8} {:>9} {:>11} {:>14}", "", "RSS", "peak RSS", "CPU/min", "requests/min");
        for result in &report.idle {
            let m = &result.median;
            let _ = writeln!(
                out,
                "{:<16} {:>8} {:>9} {:>11} {:>14}",
                result.contestant.to_string(),
                mib(m.rss_bytes),
                mib(m.peak_rss_bytes),
                format!("{:.0} ms", m.cpu_millis_per_minute),
                format!("{:.0}", m.requests_per_minute),
            );
        }
        if let Some(ratios) = report.idle_ratios() {
            let _ = writeln!(
                out,
                "{:<16} {:>8} {:>9} {:>11} {:>14}",
                "headroom/stock",
                ratio(ratios.rss_bytes),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.cpu_millis_per_minute),
                ratio(ratios.requests_per_minute),
            );
        }
    }
    out.push_str(&super::perf::table(report));
    let bars = super::bars::bars(report);
    if !bars.is_empty() {
        let _ = write!(out, "\n{}", crate::budget::text(&bars));
    }
    let _ = writeln!(out, "\nRSS in MiB; CPU: user + system; right: every pod bound by exactly one POST.");
    let _ = writeln!(out, "w/events: pods/s until the last event is written.");
    if report.repeat > 1 {
        let _ = writeln!(out, "Medians of {} rounds; ratios: medians of those within each round.", report.repeat);
    }
    if report.quick {
        let _ = writeln!(out, "A smoke test: the figures mean little.");
    }
    out
}

fn row(result: &BurstResult) -> String {
    let m = &result.median;
    let right = result.runs.iter().all(|run| run.bound_exactly_once);
    format!(
        "{:<14} {:>7} {:>8} {:>9} {:>7} {:>8} {:>8} {:>6} {:>5}",
        result.contestant.to_string(),
        format!("{:.0}", m.pods_per_second),
        format!("{:.0}", m.pods_per_second_with_events),
        format!("{:.0} µs", m.cpu_micros_per_pod),
        mib(m.rss_bytes),
        mib(m.peak_rss_bytes),
        format!("{:.2} s", m.first_bind_seconds),
        format!("{:.0}", m.events),
        if right { "yes" } else { "NO" },
    )
}

/// Bytes as MiB with one decimal.
pub(super) fn mib(bytes: f64) -> String {
    format!("{:.1}", mebibytes(bytes as u64))
}
