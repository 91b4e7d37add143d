//! `replicaset_controller_*`, which upstream's replication manager shares with ReplicaSets (`replicaset/metrics`).
//! `stale_sync_skips_total` is missing: no look is skipped for a stale view here.

use super::Replication;
use crate::framework::{Histogram, Measurements, Metric};

pub(super) static DELETION_AGE_RATIO: Metric = Metric::histogram(
    "replicaset_controller_sorting_deletion_age_ratio",
    &[],
    "Age of each ready pod that was chosen for deletion, in multiples of the age of the youngest ready one, rounded down.",
);
pub(super) static YIELDED: Metric = Metric::gauge(
    "headroom_replicationcontroller_yielded",
    &[],
    "1 when another manager was found at work on ReplicationControllers, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 2] = [&DELETION_AGE_RATIO, &YIELDED];

/// Upstream's bounds.
pub(super) fn age_ratios() -> Histogram {
    Histogram::exponential(0.25, 2.0, 6)
}

impl Replication {
    pub(super) fn measure_deletions(&self, into: &mut Measurements) {
        into.histogram(&DELETION_AGE_RATIO, &[], &self.age_ratios);
        into.count(&YIELDED, &[], u64::from(self.yielded().is_some()));
    }
}
