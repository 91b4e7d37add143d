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
    /// Whether it is as it should be.
    pub met: bool,
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

    fn new(what: String, bar: (&str, f64), measured: f64, met: bool, unit: Unit) -> Self {
        let bar = format!("{} {}", bar.0, number(bar.1, unit));
        // What was not measured is no number, and meets nothing.
        Self { what, bar, measured: number(measured, unit), met: met && measured.is_finite() }
    }
}

fn number(value: f64, (decimals, unit): Unit) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let space = if unit.is_empty() || unit == "x" { "" } else { " " };
    format!("{value:.decimals$}{space}{unit}")
}

/// A table for a page; nothing of nothing.
pub(crate) fn markdown(budgets: &[Budget]) -> String {
    if budgets.is_empty() {
        return String::new();
    }
    let mut out = String::from("| | bar | measured | met |\n|---|--:|--:|---|\n");
    for Budget { what, bar, measured, met } in budgets {
        let _ = writeln!(out, "| {what} | {bar} | {measured} | {} |", if *met { "yes" } else { "**no**" });
    }
    out
}

/// A table for a terminal, at most 80 columns wide.
pub(crate) fn text(budgets: &[Budget]) -> String {
    let mut out = String::new();
    for Budget { what, bar, measured, met } in budgets {
        let _ = writeln!(out, "{what:<46} {bar:>13} {measured:>11} {:>7}", if *met { "met" } else { "NOT MET" });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_up_to_their_ends() {
        let mib = (1, "MiB");
        assert!(Budget::at_most("a", 10.0, 10.0, mib).met && !Budget::at_most("a", 10.1, 10.0, mib).met);
        assert!(Budget::at_least("a", 0.95, 0.95, (2, "x")).met && !Budget::at_least("a", 0.94, 0.95, (2, "x")).met);
        assert!(!Budget::at_most("a", f64::NAN, 1.0, mib).met && !Budget::at_least("a", f64::INFINITY, 1.0, mib).met);
    }

    #[test]
    fn tables_show_bar_and_value() {
        let all =
            [Budget::at_most("scheduler RSS", 12.34, 10.0, (1, "MiB")), Budget::at_least("rate", 1.5, 0.95, (2, "x"))];
        let page = markdown(&all);
        assert!(page.contains("| scheduler RSS | ≤ 10.0 MiB | 12.3 MiB | **no** |"), "{page}");
        assert!(page.contains("| rate | ≥ 0.95x | 1.50x | yes |"), "{page}");
        assert!(
            text(&all).lines().all(|line| line.chars().count() <= 80 && line.ends_with("MET") | line.ends_with("met"))
        );
        assert!(markdown(&[]).is_empty());
    }
}
