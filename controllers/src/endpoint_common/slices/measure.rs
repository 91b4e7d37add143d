//! The figures that both controllers of EndpointSlices have.

use super::{Changes, Figures};
use crate::framework::{Histogram, Measurements, Metric};

/// Their families.
#[derive(Debug)]
pub struct SliceMetrics {
    /// `endpoints_added_per_sync`.
    pub added: Metric,
    /// `endpoints_removed_per_sync`.
    pub removed: Metric,
    /// `endpoints_desired`.
    pub desired: Metric,
    /// `num_endpoint_slices`.
    pub slices: Metric,
    /// `desired_endpoint_slices`.
    pub desired_slices: Metric,
    /// `changes`.
    pub changes: Metric,
}

/// A histogram of endpoints, with upstream's bounds: 2 to 32768.
#[must_use]
pub fn endpoints_per_sync() -> Histogram {
    Histogram::exponential(2.0, 2.0, 15)
}

impl SliceMetrics {
    /// Hands the figures over.
    pub fn measure(
        &'static self,
        figures: Figures,
        changes: Changes,
        (added, removed): (&Histogram, &Histogram),
        into: &mut Measurements,
    ) {
        into.histogram(&self.added, &[], added);
        into.histogram(&self.removed, &[], removed);
        into.count(&self.desired, &[], figures.endpoints as u64);
        into.count(&self.slices, &[], figures.slices as u64);
        into.count(&self.desired_slices, &[], figures.desired_slices as u64);
        changes.measure(&self.changes, into);
    }
}

impl Changes {
    /// Hands the counts over under this family.
    pub fn measure(&self, metric: &'static Metric, into: &mut Measurements) {
        for (operation, count) in [("create", self.created), ("update", self.updated), ("delete", self.deleted)] {
            into.count(metric, &[operation], count);
        }
    }
}
