//! `node_collector_*` (`nodelifecycle/metrics.go`). The two durations of upstream are missing: there is no update of a
//! node's health that waits for an answer here.

use super::NodeLifecycleController;
use crate::framework::{Measurements, Metric};

pub(super) static ZONE_HEALTH: Metric =
    Metric::gauge("node_collector_zone_health", &["zone"], "Percentage of healthy nodes per zone.");
pub(super) static ZONE_SIZE: Metric = Metric::gauge("node_collector_zone_size", &["zone"], "Number of nodes per zone.");
pub(super) static UNHEALTHY: Metric =
    Metric::gauge("node_collector_unhealthy_nodes_in_zone", &["zone"], "Number of nodes per zone that are not ready.");
pub(super) static EVICTIONS: Metric = Metric::counter(
    "node_collector_evictions_total",
    &["zone"],
    "Nodes whose pods were to be evicted (tainted NoExecute) since this process leads.",
);

pub(super) static YIELDED: Metric = Metric::gauge(
    "headroom_node_lifecycle_yielded",
    &[],
    "1 when another manager was found at work on the taints of nodes, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 5] = [&ZONE_HEALTH, &ZONE_SIZE, &UNHEALTHY, &EVICTIONS, &YIELDED];

impl NodeLifecycleController {
    pub(super) fn measure_zones(&self, into: &mut Measurements) {
        self.rival.measure(&YIELDED, into);
        for zone in self.zone_figures() {
            let labels = [&*zone.zone];
            let (size, unhealthy) = (zone.size as f64, zone.unhealthy as f64);
            let health = if zone.size == 0 { 100.0 } else { 100.0 * (size - unhealthy) / size };
            into.number(&ZONE_HEALTH, &labels, health);
            into.number(&ZONE_SIZE, &labels, size);
            into.number(&UNHEALTHY, &labels, unhealthy);
            into.count(&EVICTIONS, &labels, zone.evictions);
        }
    }
}
