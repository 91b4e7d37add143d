//! A number with its bar, over several rounds.

use crate::bench::median;
use crate::budget::{Budget, Unit};

/// Milliseconds with one decimal, MiB with one decimal.
pub(super) const MS: Unit = (1, "ms");
pub(super) const MIB: Unit = (1, "MiB");

/// What one round showed.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    what: String,
    value: f64,
    /// It should not be more.
    limit: Option<f64>,
    unit: Unit,
}

impl Figure {
    /// Held against a bar.
    pub(super) fn at_most(what: impl Into<String>, value: f64, limit: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, limit: Some(limit), unit }
    }

    /// Without a bar.
    pub(super) fn told(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, limit: None, unit }
    }
}

/// Medians over rounds that all have the same figures.
pub(super) fn medians(rounds: &[Vec<Figure>]) -> Vec<Budget> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let over = |(i, figure): (usize, &Figure)| {
        let value = median(rounds.iter().filter_map(|round| round.get(i)).map(|figure| figure.value));
        match figure.limit {
            Some(limit) => Budget::at_most(figure.what.clone(), value, limit, figure.unit),
            None => Budget::told(figure.what.clone(), value, figure.unit),
        }
    };
    first.iter().enumerate().map(over).collect()
}

/// The value below which so large a part of the values is; not a number of nothing.
pub(super) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
