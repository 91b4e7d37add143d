//! The figures: how each is read off a run, over several runs, and how it is shown.

use serde::Serialize;

use super::super::thrash::JOB_PODS;
use super::super::{Herd, Thrash};
use crate::bench::median;

/// A figure of a run.
pub(super) struct Figure<R> {
    /// For people; what is a part of the figure above is indented.
    pub(super) name: &'static str,
    /// In JSON.
    pub(super) key: &'static str,
    /// Reads it off a run; infinite where it never came to it.
    value: fn(&R) -> f64,
    /// Adds what stands behind the number.
    unit: fn(String) -> String,
}

/// A figure over the runs of a side. What is not finite is null in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

impl<R> Figure<R> {
    /// Over these runs.
    pub(super) fn spread(&self, runs: &[R]) -> Spread {
        let values: Vec<f64> = runs.iter().map(self.value).collect();
        Spread {
            median: median(values.iter().copied()),
            lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
            highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// The median, with its unit.
    pub(super) fn median(&self, spread: &Spread) -> String {
        (self.unit)(number(spread.median))
    }

    /// The lowest and the highest, if runs differ.
    pub(super) fn range(&self, spread: &Spread) -> Option<String> {
        let (lowest, highest) = (number(spread.lowest), number(spread.highest));
        (lowest != highest).then(|| format!("{lowest}..{highest}"))
    }

    /// Both in one cell.
    pub(super) fn cell(&self, spread: &Spread) -> String {
        match self.range(spread) {
            Some(range) => (self.unit)(format!("{} ({range})", number(spread.median))),
            None => self.median(spread),
        }
    }
}

/// One decimal while there is one that matters.
fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    if !tenths.is_finite() {
        "-".to_owned()
    } else if tenths.fract() == 0.0 || tenths.abs() >= 100.0 {
        format!("{tenths:.0}")
    } else {
        format!("{tenths:.1}")
    }
}

/// The number as it is.
fn plain(number: String) -> String {
    number
}

fn seconds(number: String) -> String {
    if number == "-" { number } else { format!("{number} s") }
}

fn of_the_waves(number: String) -> String {
    format!("{number} of {JOB_PODS}")
}

fn mib(bytes: u64) -> f64 {
    (bytes >> 20) as f64
}

/// The figure of the thrash scenario by which one run stands for all: node-seconds spent thrashing.
pub(super) fn thrashing(run: &Thrash) -> f64 {
    run.totals.thrashing_node_seconds
}

/// The same of the herd: what is left on the node that has least.
pub(super) fn least_left(herd: &Herd) -> f64 {
    herd.nodes.iter().map(|node| node.headroom_after_mib).min().unwrap_or(0) as f64
}

/// Those of the herd, in order.
pub(super) const HERD: [Figure<Herd>; 3] = [
    Figure {
        name: "pods on the node that has most",
        key: "most_pods_on_a_node",
        value: |herd| herd.nodes.iter().map(|node| node.pods).max().unwrap_or(0) as f64,
        unit: plain,
    },
    Figure { name: "left on the node that has least, MiB", key: "least_left_mib", value: least_left, unit: plain },
    Figure { name: "pods that wait", key: "waiting", value: |herd| herd.waiting as f64, unit: plain },
];

/// Those of the thrash scenario, in order.
pub(super) const THRASH: [Figure<Thrash>; 14] = [
    Figure { name: "OOM kills", key: "oom_kills", value: |run| run.totals.oom_kills as f64, unit: plain },
    Figure {
        name: "  of pods that declared their needs",
        key: "oom_kills_of_declared",
        value: |run| run.totals.oom_kills_of_declared as f64,
        unit: plain,
    },
    Figure { name: "pods evicted", key: "evicted", value: |run| run.totals.evicted as f64, unit: plain },
    Figure { name: "node-seconds spent thrashing", key: "thrashing_node_seconds", value: thrashing, unit: plain },
    Figure {
        name: "pods placed on a thrashing node",
        key: "placed_on_thrashing",
        value: |run| run.totals.placed_on_thrashing as f64,
        unit: plain,
    },
    Figure { name: "major faults", key: "major_faults", value: |run| run.totals.major_faults as f64, unit: plain },
    Figure {
        name: "datastore waited for memory, seconds",
        key: "datastore_waited_seconds",
        value: |run| run.totals.datastore_waited_seconds,
        unit: plain,
    },
    Figure {
        name: "datastore's node: most memory in use, of 2048 MiB",
        key: "datastore_memory_mib",
        value: |run| mib(run.totals.datastore_memory_bytes),
        unit: plain,
    },
    Figure {
        name: "datastore's node: most swap in use, MiB",
        key: "datastore_swap_mib",
        value: |run| mib(run.totals.datastore_swap_bytes),
        unit: plain,
    },
    Figure { name: "work done, pod-seconds", key: "work_seconds", value: |run| run.totals.work_seconds, unit: plain },
    Figure {
        name: "  time without stall (PSI), pod-seconds",
        key: "unstalled_seconds",
        value: |run| run.totals.unstalled_seconds,
        unit: plain,
    },
    Figure {
        name: "pods of the waves that finished",
        key: "finished",
        value: |run| run.totals.finished as f64,
        unit: of_the_waves,
    },
    Figure {
        name: "all of them finished after",
        key: "finished_at_seconds",
        value: |run| run.totals.finished_at.unwrap_or(f64::INFINITY),
        unit: seconds,
    },
    Figure { name: "pods waiting at the end", key: "waiting", value: |run| run.totals.waiting as f64, unit: plain },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of one number.
    const ONE: Figure<f64> = Figure { name: "one", key: "one", value: |run| *run, unit: plain };

    #[test]
    fn one_run_is_its_own_median() {
        let spread = ONE.spread(&[546.98]);
        assert_eq!((ONE.median(&spread), ONE.range(&spread), ONE.cell(&spread)), ("547".into(), None, "547".into()));
    }

    #[test]
    fn several_runs_have_a_median_a_lowest_and_a_highest() {
        let spread = ONE.spread(&[36.0, 0.0, 25.4]);
        assert_eq!(spread, Spread { median: 25.4, lowest: 0.0, highest: 36.0 });
        assert_eq!(ONE.cell(&spread), "25.4 (0..36)");
        let waves = Figure { unit: of_the_waves, ..ONE };
        assert_eq!(waves.cell(&spread), "25.4 (0..36) of 48");
        assert_eq!(waves.median(&ONE.spread(&[3.0, 4.0])), "3.5 of 48");
    }

    #[test]
    fn what_never_happened_has_no_number() {
        let after = Figure { unit: seconds, ..ONE };
        let never = f64::INFINITY;
        assert_eq!(after.cell(&after.spread(&[never])), "-");
        assert_eq!(after.cell(&after.spread(&[210.0, 230.0, never])), "230 (210..-) s");
        let json = serde_json::to_value(after.spread(&[210.0, never, never])).unwrap();
        assert_eq!(json, serde_json::json!({"median": null, "lowest": 210.0, "highest": null}));
    }

    #[test]
    fn numbers_have_a_decimal_only_where_it_matters() {
        for (value, text) in
            [(0.0, "0"), (1.4, "1.4"), (35.98, "36"), (99.96, "100"), (130_968.0, "130968"), (-70.0, "-70")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn every_figure_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<_> = THRASH.iter().map(|figure| figure.key).collect();
        assert_eq!(keys.len(), THRASH.len());
        assert!(THRASH.iter().all(|figure| figure.name.chars().count() <= 50));
    }
}
