//! Medians of several runs, and ratios.

use serde::{Deserialize, Serialize};

use super::{Burst, Idle};

/// Medians of a contestant's runs; each figure by itself. Units as in [`Burst`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct BurstMedian {
    pub(super) pods_per_second: f64,
    /// 0 where it was not measured yet.
    #[serde(default)]
    pub(super) pods_per_second_with_events: f64,
    pub(super) cpu_micros_per_pod: f64,
    pub(super) server_cpu_micros_per_pod: f64,
    pub(super) rss_bytes: f64,
    pub(super) peak_rss_bytes: f64,
    pub(super) first_bind_seconds: f64,
    pub(super) last_bind_seconds: f64,
    pub(super) drained_after_seconds: f64,
    pub(super) events: f64,
    /// Attempts to schedule a pod; 0 where none are counted.
    #[serde(default)]
    pub(super) attempts: f64,
}

impl BurstMedian {
    pub(super) fn of(runs: &[Burst]) -> Self {
        let of = |figure: fn(&Burst) -> f64| median(runs.iter().map(figure));
        Self {
            pods_per_second: of(|run| run.pods_per_second),
            pods_per_second_with_events: of(|run| run.pods_per_second_with_events),
            cpu_micros_per_pod: of(|run| run.cpu_micros_per_pod),
            server_cpu_micros_per_pod: of(|run| run.server_cpu_micros_per_pod),
            rss_bytes: of(|run| run.rss_bytes as f64),
            peak_rss_bytes: of(|run| run.peak_rss_bytes as f64),
            first_bind_seconds: of(|run| run.first_bind_seconds),
            last_bind_seconds: of(|run| run.last_bind_seconds),
            drained_after_seconds: of(|run| run.drained_after_seconds),
            events: of(|run| run.events as f64),
            attempts: of(|run| run.attempts.map_or(0.0, |attempts| attempts.all() as f64)),
        }
    }
}

/// Medians of a contestant's idle runs. Units as in [`Idle`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct IdleMedian {
    pub(super) rss_bytes: f64,
    pub(super) peak_rss_bytes: f64,
    pub(super) cpu_millis_per_minute: f64,
    pub(super) requests_per_minute: f64,
}

impl IdleMedian {
    pub(super) fn of(runs: &[Idle]) -> Self {
        let of = |figure: fn(&Idle) -> f64| median(runs.iter().map(figure));
        Self {
            rss_bytes: of(|run| run.rss_bytes as f64),
            peak_rss_bytes: of(|run| run.peak_rss_bytes as f64),
            cpu_millis_per_minute: of(|run| run.cpu_millis_per_minute),
            requests_per_minute: of(|run| run.requests_per_minute),
        }
    }
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (1, Some(value)) => *value,
        (_, Some(upper)) => sorted.get(middle.saturating_sub(1)).map_or(*upper, |lower| f64::midpoint(*lower, *upper)),
        (_, None) => 0.0,
    }
}

/// `ours / theirs` for people; `-` when there is nothing to compare with.
pub(super) fn ratio(ours: f64, theirs: f64) -> String {
    let value = ours / theirs;
    if !value.is_finite() || theirs <= 0.0 {
        "-".to_owned()
    } else if value >= 0.995 {
        format!("{value:.2}x")
    } else {
        format!("{value:.3}x")
    }
}
