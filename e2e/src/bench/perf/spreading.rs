//! `topology_spreading/performance-config.yaml`.

use super::{Family, group, size, templates};
use crate::bench::scenario::{Rule, Scenario};
use crate::bench::workload::Workload;

const SIZES: [super::Size; 3] = [
    size("500Nodes", 500, 1000, 1000),
    size("5000Nodes", 5000, 5000, 2000),
    size("5000Nodes_5000Pods", 5000, 5000, 5000),
];

fn moons(size: Workload) -> Scenario {
    Scenario {
        zones: &["moon-1", "moon-2", "moon-3"],
        placed: vec![group(templates::default)],
        ..Scenario::burst(size)
    }
}

pub(super) const FAMILIES: [Family; 3] = [
    Family {
        name: "TopologySpreading",
        sizes: &SIZES,
        scenario: |size| Scenario { pod: |_| templates::spreading(), rule: Rule::Skew(5), ..moons(size) },
    },
    Family {
        name: "PreferredTopologySpreading",
        sizes: &SIZES,
        scenario: |size| Scenario { pod: |_| templates::preferred_spreading(), ..moons(size) },
    },
    Family {
        name: "DefaultTopologySpreading",
        sizes: &[size("500Nodes", 500, 1000, 1000), size("5000Nodes_10000Pods", 5000, 5000, 10_000)],
        scenario: |size| Scenario {
            pod: |_| templates::labelled(),
            objects: vec![templates::service()],
            ..moons(size)
        },
    },
];
