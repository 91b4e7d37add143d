//! `misc/performance-config.yaml`: something else happens meanwhile. Of `SchedulingWithMixedChurn` upstream has no 500
//! nodes.

use super::{Family, group, size, templates};
use crate::bench::scenario::{Churn, Scenario};

pub(super) const FAMILIES: [Family; 2] = [
    Family {
        name: "Unschedulable",
        sizes: &[
            size("500Nodes", 500, 10, 1000),
            size("5000Nodes", 5000, 100, 1000),
            size("5000Nodes_10000Pods", 5000, 100, 10_000),
        ],
        scenario: |size| Scenario {
            zones: &["zone1"],
            objects: vec![templates::priority_class()],
            placed: vec![group(templates::default)],
            pod: |_| templates::default(),
            churn: Some(Churn::Create { every_millis: 200, pod: templates::large }),
            ..Scenario::burst(size)
        },
    },
    Family {
        name: "SchedulingWithMixedChurn",
        sizes: &[
            size("500Nodes", 500, 0, 1000),
            size("1000Nodes", 1000, 0, 1000),
            size("5000Nodes", 5000, 0, 2000),
            size("5000Nodes_10000Pods", 5000, 0, 10_000),
        ],
        scenario: |size| Scenario {
            zones: &["zone1"],
            objects: vec![templates::priority_class()],
            pod: |_| templates::default(),
            churn: Some(Churn::Recreate { every_millis: 1000, pod: templates::large }),
            ..Scenario::burst(size)
        },
    },
];
