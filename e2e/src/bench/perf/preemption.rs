//! `misc/performance-config.yaml`: preemption. Of `PreemptionBasic` upstream has 1,000 nodes only; the other sizes are
//! those of `PreemptionAsync`.

use super::{Family, group, size, templates};
use crate::bench::scenario::{Churn, Scenario};
use crate::bench::workload::Workload;

/// Four pods of low priority on every node.
fn full(size: Workload) -> Scenario {
    Scenario {
        zones: &["zone1"],
        objects: vec![templates::priority_class()],
        placed: vec![group(templates::low_priority)],
        preempts: true,
        ..Scenario::burst(size)
    }
}

pub(super) const FAMILIES: [Family; 2] = [
    Family {
        name: "PreemptionBasic",
        sizes: &[
            size("500Nodes", 500, 2000, 500),
            size("1000Nodes", 1000, 4000, 1000),
            size("5000Nodes", 5000, 20_000, 5000),
        ],
        scenario: |size| Scenario { pod: |_| templates::high_priority(), ..full(size) },
    },
    Family {
        name: "PreemptionAsync",
        sizes: &[size("500Nodes", 500, 2000, 500), size("5000Nodes", 5000, 20_000, 5000)],
        scenario: |size| Scenario {
            pod: |_| templates::default(),
            churn: Some(Churn::Create { every_millis: 200, pod: templates::high_priority }),
            ..full(size)
        },
    },
];
