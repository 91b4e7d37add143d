//! Medians of several runs, and ratios within rounds.

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

/// What ours is in theirs; nothing when there is nothing to compare with.
fn over(ours: f64, theirs: f64) -> Option<f64> {
    let value = ours / theirs;
    (theirs > 0.0 && value.is_finite()).then_some(value)
}

/// What ours is in theirs: the median of what it is within each round, for the machine drifts from round to round and not
/// within one. Nothing when there is no round, or one that cannot be compared.
pub(super) fn paired<T>(ours: &[T], theirs: &[T], figure: fn(&T) -> f64) -> Option<f64> {
    let rounds = ours.iter().zip(theirs).map(|(ours, theirs)| over(figure(ours), figure(theirs)));
    let ratios = rounds.collect::<Option<Vec<f64>>>()?;
    (!ratios.is_empty()).then(|| median(ratios.into_iter()))
}

/// What a contestant's figures are in those of another, within each round. Names as in [`BurstMedian`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct BurstRatios {
    pub(super) pods_per_second: Option<f64>,
    pub(super) pods_per_second_with_events: Option<f64>,
    pub(super) cpu_micros_per_pod: Option<f64>,
    pub(super) server_cpu_micros_per_pod: Option<f64>,
    pub(super) rss_bytes: Option<f64>,
    pub(super) peak_rss_bytes: Option<f64>,
    pub(super) first_bind_seconds: Option<f64>,
    pub(super) attempts: Option<f64>,
}

impl BurstRatios {
    /// Of runs that are in the order of their rounds.
    pub(super) fn of(ours: &[Burst], theirs: &[Burst]) -> Self {
        let of = |figure: fn(&Burst) -> f64| paired(ours, theirs, figure);
        Self {
            pods_per_second: of(|run| run.pods_per_second),
            pods_per_second_with_events: of(|run| run.pods_per_second_with_events),
            cpu_micros_per_pod: of(|run| run.cpu_micros_per_pod),
            server_cpu_micros_per_pod: of(|run| run.server_cpu_micros_per_pod),
            rss_bytes: of(|run| run.rss_bytes as f64),
            peak_rss_bytes: of(|run| run.peak_rss_bytes as f64),
            first_bind_seconds: of(|run| run.first_bind_seconds),
            attempts: of(|run| run.attempts.map_or(0.0, |attempts| attempts.all() as f64)),
        }
    }

    /// Of medians that have no rounds in common: they were measured apart.
    pub(super) fn of_medians(ours: &BurstMedian, theirs: &BurstMedian) -> Self {
        let of = |figure: fn(&BurstMedian) -> f64| over(figure(ours), figure(theirs));
        Self {
            pods_per_second: of(|m| m.pods_per_second),
            // 0 is not measured, on either side.
            pods_per_second_with_events: of(|m| m.pods_per_second_with_events).filter(|ratio| *ratio > 0.0),
            cpu_micros_per_pod: of(|m| m.cpu_micros_per_pod),
            server_cpu_micros_per_pod: of(|m| m.server_cpu_micros_per_pod),
            rss_bytes: of(|m| m.rss_bytes),
            peak_rss_bytes: of(|m| m.peak_rss_bytes),
            first_bind_seconds: of(|m| m.first_bind_seconds),
            attempts: of(|m| m.attempts),
        }
    }
}

/// The same of idle processes. Names as in [`IdleMedian`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct IdleRatios {
    pub(super) rss_bytes: Option<f64>,
    pub(super) peak_rss_bytes: Option<f64>,
    pub(super) cpu_millis_per_minute: Option<f64>,
    pub(super) requests_per_minute: Option<f64>,
}

impl IdleRatios {
    pub(super) fn of(ours: &[Idle], theirs: &[Idle]) -> Self {
        let of = |figure: fn(&Idle) -> f64| paired(ours, theirs, figure);
        Self {
            rss_bytes: of(|run| run.rss_bytes as f64),
            peak_rss_bytes: of(|run| run.peak_rss_bytes as f64),
            cpu_millis_per_minute: of(|run| run.cpu_millis_per_minute),
            requests_per_minute: of(|run| run.requests_per_minute),
        }
    }
}

/// A ratio for people; `-` when there was nothing to compare with.
pub(super) fn ratio(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 0.995 => format!("{value:.2}x"),
        Some(value) => format!("{value:.3}x"),
    }
}
