//! `volumes/performance-config.yaml`: what needs no volume controller.

use super::{Family, group, size, templates};
use crate::bench::scenario::Scenario;

pub(super) const FAMILIES: [Family; 1] = [Family {
    name: "SchedulingSecrets",
    sizes: &[
        size("500Nodes", 500, 500, 1000),
        size("5000Nodes", 5000, 5000, 1000),
        size("5000Nodes_10000Pods", 5000, 1000, 10_000),
    ],
    scenario: |size| Scenario {
        zones: &["zone1"],
        placed: vec![group(templates::secret)],
        pod: |_| templates::secret(),
        ..Scenario::burst(size)
    },
}];
