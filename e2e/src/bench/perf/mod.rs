//! scheduler_perf's workloads by name (`test/integration/scheduler_perf` of Kubernetes 1.36.4): one file per family.
//!
//! What differs from upstream's driver, and is the same for all contestants: the pods of the first operations
//! (`initPods`) stand on nodes when the scheduler starts; the measured pods are pending then, so that creating them
//! takes nothing from the scheduler; priorities come from a PriorityClass, because admission is on.

mod affinity;
mod basic;
mod churn;
mod preemption;
mod spreading;
mod templates;
mod volumes;

use std::fmt;

use super::BenchError;
use super::scenario::{Placed, Scenario, Watched};
use super::workload::Workload;

/// A family of workloads: the same shape in several sizes.
#[derive(Debug)]
struct Family {
    name: &'static str,
    sizes: &'static [Size],
    /// The shape; its sizes are filled in afterwards.
    scenario: fn(Workload) -> Scenario,
}

/// `initNodes`, `initPods` of each group and `measurePods`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    name: &'static str,
    nodes: u32,
    placed: u32,
    pods: u32,
}

/// In the order of upstream's files.
const FAMILIES: [&[Family]; 6] = [
    &basic::FAMILIES,
    &spreading::FAMILIES,
    &affinity::FAMILIES,
    &preemption::FAMILIES,
    &churn::FAMILIES,
    &volumes::FAMILIES,
];

fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.into_iter().flatten()
}

/// A workload of a family in one size: `SchedulingBasic/500Nodes`.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    family: &'static Family,
    size: Size,
}

impl Case {
    /// All, in the order of the families.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        families().flat_map(|family| family.sizes.iter().map(move |size| Self { family, size: *size }))
    }

    /// The cases that a text names: a case, all sizes of a family, or one size of all families.
    pub(crate) fn find(text: &str) -> Result<Vec<Self>, BenchError> {
        let means = |case: &Self| case.family.name == text || case.size.name == text || case.to_string() == text;
        let found: Vec<Self> = Self::all().filter(means).collect();
        if found.is_empty() {
            let reason = "there is no such workload: write NODESxPODS, or a name that --list shows".to_owned();
            return Err(BenchError::Workload { text: text.to_owned(), reason });
        }
        Ok(found)
    }

    /// Nodes, pods on them at the start, measured pods.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        (self.size.nodes, self.scenario().placed_count(), self.size.pods)
    }

    /// What it consists of.
    pub(crate) fn scenario(&self) -> Scenario {
        let mut scenario = (self.family.scenario)(Workload { nodes: self.size.nodes, pods: self.size.pods });
        // Their pods have no templates, and are not equally easy to place.
        scenario.watched = Watched::All;
        for group in &mut scenario.placed {
            *group = Placed { count: self.size.placed, ..*group };
        }
        scenario
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Self) -> bool {
        (self.family.name, self.size) == (other.family.name, other.size)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family.name, self.size.name)
    }
}

const fn size(name: &'static str, nodes: u32, placed: u32, pods: u32) -> Size {
    Size { name, nodes, placed, pods }
}

/// A group of pods on nodes; how many comes from the size.
fn group(pod: fn() -> serde_json::Value) -> Placed {
    Placed { count: 0, pod }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let all: Vec<String> = Case::all().map(|case| case.to_string()).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
        for name in &all {
            assert_eq!(Case::find(name).unwrap().len(), 1, "{name}");
        }
        assert!(Case::find("SchedulingBasic").unwrap().len() > 1);
        assert!(Case::find("5000Nodes").unwrap().len() > 10);
        assert!(Case::find("SchedulingNothing").is_err());
    }

    #[test]
    fn every_case_is_whole_and_fits() {
        for case in Case::all() {
            let (nodes, placed, pods) = case.counts();
            let scenario = case.scenario();
            assert!(nodes <= 5000 && pods > 0, "{case}");
            assert_eq!(placed == 0, scenario.placed.is_empty(), "{case}");
            for index in [0, placed.saturating_sub(1)] {
                assert_eq!(scenario.placed_pod(index).is_some(), placed > 0, "{case}");
            }
            assert!(scenario.placed_pod(placed).is_none(), "{case}");
            let pod = scenario.measured(3);
            assert_eq!(pod["metadata"]["name"], "app-3-000003", "{case}");
            assert!(pod["spec"]["containers"][0]["image"].is_string(), "{case}");
            assert!(scenario.zone(&Workload::node_name(1)).is_some(), "{case}");
        }
    }
}
