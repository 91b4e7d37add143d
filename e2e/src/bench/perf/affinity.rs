//! `affinity/performance-config.yaml`.

use super::{Family, Size, group, size, templates};
use crate::bench::scenario::{Rule, Scenario};
use crate::bench::workload::Workload;

const ONE_ZONE: &[&str] = &["zone1"];

const SIZES: [Size; 3] = [
    size("500Nodes", 500, 500, 1000),
    size("5000Nodes", 5000, 5000, 1000),
    size("5000Nodes_5000Pods", 5000, 5000, 5000),
];

fn one_zone(size: Workload) -> Scenario {
    Scenario { zones: ONE_ZONE, ..Scenario::burst(size) }
}

pub(super) const FAMILIES: [Family; 7] = [
    Family {
        name: "SchedulingPodAntiAffinity",
        sizes: &[
            size("500Nodes", 500, 100, 400),
            size("5000Nodes", 5000, 1000, 1000),
            size("5000Nodes_2000Pods", 5000, 1000, 2000),
        ],
        scenario: |size| Scenario {
            placed: vec![group(templates::anti_affinity)],
            pod: |_| templates::anti_affinity(),
            rule: Rule::Apart("green"),
            ..one_zone(size)
        },
    },
    Family {
        name: "SchedulingPodMatchingAntiAffinity",
        sizes: &[size("500Nodes", 500, 100, 400), size("5000Nodes_5000Pods", 5000, 1000, 5000)],
        scenario: |size| Scenario {
            placed: vec![group(templates::anti_affinity)],
            pod: |_| templates::green(),
            ..one_zone(size)
        },
    },
    Family {
        name: "SchedulingPodAffinity",
        sizes: &SIZES,
        scenario: |size| Scenario {
            placed: vec![group(templates::affinity)],
            pod: |_| templates::affinity(),
            ..one_zone(size)
        },
    },
    Family {
        name: "SchedulingPreferredPodAffinity",
        sizes: &SIZES,
        scenario: |size| Scenario {
            placed: vec![group(templates::preferred_affinity)],
            pod: |_| templates::preferred_affinity(),
            ..one_zone(size)
        },
    },
    Family {
        name: "SchedulingPreferredPodAntiAffinity",
        sizes: &SIZES,
        scenario: |size| Scenario {
            placed: vec![group(templates::preferred_anti_affinity)],
            pod: |_| templates::preferred_anti_affinity(),
            ..one_zone(size)
        },
    },
    Family {
        name: "SchedulingNodeAffinity",
        sizes: &[
            size("500Nodes", 500, 500, 1000),
            size("5000Nodes", 5000, 5000, 1000),
            size("5000Nodes_10000Pods", 5000, 5000, 10_000),
        ],
        scenario: |size| Scenario {
            placed: vec![group(templates::node_affinity)],
            pod: |_| templates::node_affinity(),
            ..one_zone(size)
        },
    },
    Family {
        name: "MixedSchedulingBasePod",
        sizes: &[
            size("500Nodes", 500, 200, 1000),
            size("5000Nodes", 5000, 2000, 1000),
            size("5000Nodes_5000Pods", 5000, 2000, 5000),
        ],
        scenario: |size| Scenario {
            placed: vec![
                group(templates::default),
                group(templates::affinity),
                group(templates::anti_affinity),
                group(templates::preferred_affinity),
                group(templates::preferred_anti_affinity),
            ],
            pod: |_| templates::default(),
            ..one_zone(size)
        },
    },
];
