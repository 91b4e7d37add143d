//! `taint_eviction_controller_*` (`tainteviction/metrics`), and what the brake holds.

use super::TaintEvictionController;
use crate::framework::{Histogram, Measurements, Metric};

pub(super) static DELETIONS: Metric = Metric::counter(
    "taint_eviction_controller_pod_deletions_total",
    &[],
    "Pods deleted because of taints since this process leads.",
);
pub(super) static DURATION: Metric = Metric::histogram(
    "taint_eviction_controller_pod_deletion_duration_seconds",
    &[],
    "Time from the moment at which a pod was to go because of a taint to its deletion.",
);
pub(super) static HELD: Metric = Metric::gauge(
    "headroom_evictions_held_back",
    &[],
    "Pods of silent nodes that are due and stay until the rest of the cluster can take them (profiles fast and patient).",
);

pub(super) static YIELDED: Metric = Metric::gauge(
    "headroom_taint_eviction_yielded",
    &[],
    "1 when another manager was found to evict pods because of taints, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 4] = [&DELETIONS, &DURATION, &HELD, &YIELDED];

/// Upstream's bounds, seconds.
pub(super) fn durations() -> Histogram {
    Histogram::new(&[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0])
}

impl TaintEvictionController {
    pub(super) fn measure_evictions(&self, into: &mut Measurements) {
        self.rival.measure(&YIELDED, into);
        into.count(&DELETIONS, &[], self.deletions);
        into.histogram(&DURATION, &[], &self.durations);
        if let Some(brake) = &self.brake {
            into.count(&HELD, &[], brake.held() as u64);
        }
    }
}
