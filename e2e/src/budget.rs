//! Bars that measurements are held against, and whether they are met.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// A bar and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// What is measured.
    pub what: String,
    /// What it should be, for people.
    pub bar: String,
    /// What it is, for people.
    pub measured: String,
    /// Whether it is as it should be; absent where there is no bar.
    pub met: Option<bool>,
}

/// How a number is shown: decimals and unit.
pub(crate) type Unit = (usize, &'static str);

impl Budget {
    /// Not more than `limit`.
    pub(crate) fn at_most(what: impl Into<String>, measured: f64, limit: f64, unit: Unit) -> Self {
        Self::new(what.into(), ("≤", limit), measured, measured <= limit, unit)
    }

    /// Not less than `limit`.
    pub(crate) fn at_least(what: impl Into<String>, measured: f64, limit: f64, unit: Unit) -> Self {
        Self::new(what.into(), ("≥", limit), measured, measured >= limit, unit)
    }

    /// Beside the others, without a bar.
    pub(crate) fn told(what: impl Into<String>, measured: f64, unit: Unit) -> Self {
        Self { what: what.into(), bar: String::new(), measured: number(measured, unit), met: None }
    }

    fn new(what: String, bar: (&str, f64), measured: f64, met: bool, unit: Unit) -> Self {
        let bar = format!("{} {}", bar.0, number(bar.1, unit));
        // What was not measured is no number, and meets nothing.
        Self { what, bar, measured: number(measured, unit), met: Some(met && measured.is_finite()) }
    }
}

fn number(value: f64, (decimals, unit): Unit) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let space = if unit.is_empty() || unit == "x" { "" } else { " " };
    format!("{value:.decimals$}{space}{unit}")
}

fn word(met: Option<bool>, [yes, no]: [&'static str; 2]) -> &'static str {
    met.map_or("", |met| if met { yes } else { no })
}

/// A table for a page; nothing of nothing.
pub(crate) fn markdown(budgets: &[Budget]) -> String {
    if budgets.is_empty() {
        return String::new();
    }
    let mut out = String::from("| | bar | measured | met |\n|---|--:|--:|---|\n");
    for Budget { what, bar, measured, met } in budgets {
        let _ = writeln!(out, "| {what} | {bar} | {measured} | {} |", word(*met, ["yes", "**no**"]));
    }
    out
}

/// A table for a terminal, at most 80 columns wide.
pub(crate) fn text(budgets: &[Budget]) -> String {
    let mut out = String::new();
    for Budget { what, bar, measured, met } in budgets {
        let line = format!("{what:<46} {bar:>13} {measured:>11} {:>7}", word(*met, ["met", "NOT MET"]));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_up_to_their_ends() {
        let most = |value| Budget::at_most("a", value, 10.0, (1, "MiB")).met;
        assert_eq!(
            [10.0, 10.1, f64::NAN, f64::INFINITY].map(most),
            [Some(true), Some(false), Some(false), Some(false)]
        );
        let least = |value| Budget::at_least("a", value, 0.95, (2, "x")).met;
        assert_eq!([0.95, 0.94, f64::INFINITY].map(least), [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn tables_show_bar_and_value() {
        let rate = Budget::at_least("rate", 1.5, 0.95, (2, "x"));
        let all =
            [Budget::at_most("scheduler RSS", 12.34, 10.0, (1, "MiB")), rate, Budget::told("p50", 3.0, (1, "ms"))];
        let page = markdown(&all);
        assert!(page.contains("| scheduler RSS | ≤ 10.0 MiB | 12.3 MiB | **no** |"), "{page}");
        assert!(page.contains("| rate | ≥ 0.95x | 1.50x | yes |") && page.contains("| p50 |  | 3.0 ms |  |"), "{page}");
        let lines = text(&all);
        assert!(lines.lines().all(|line| line.chars().count() <= 80), "{lines}");
        assert!(lines.contains("NOT MET") && lines.contains("1.50x     met"), "{lines}");
        assert!(markdown(&[]).is_empty());
    }
}
