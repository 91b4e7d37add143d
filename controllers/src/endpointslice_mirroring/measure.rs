//! `endpoint_slice_mirroring_controller_*` (`endpointslicemirroring/metrics`); `endpoints_sync_duration` is missing: a look
//! does not wait for its writes here.

use super::EndpointSliceMirroringController;
use crate::{
    endpoint_common::slices::SliceMetrics,
    framework::{Measurements, Metric},
};

pub(super) static SLICES: SliceMetrics = SliceMetrics {
    added: Metric::histogram(
        "endpoint_slice_mirroring_controller_endpoints_added_per_sync",
        &[],
        "Number of endpoints added at each look at an Endpoints object.",
    ),
    removed: Metric::histogram(
        "endpoint_slice_mirroring_controller_endpoints_removed_per_sync",
        &[],
        "Number of endpoints removed at each look at an Endpoints object.",
    ),
    desired: Metric::gauge(
        "endpoint_slice_mirroring_controller_endpoints_desired",
        &[],
        "Number of endpoints desired.",
    ),
    slices: Metric::gauge("endpoint_slice_mirroring_controller_num_endpoint_slices", &[], "Number of EndpointSlices."),
    desired_slices: Metric::gauge(
        "endpoint_slice_mirroring_controller_desired_endpoint_slices",
        &[],
        "Number of EndpointSlices that would do if all of them were filled perfectly.",
    ),
    changes: Metric::counter(
        "endpoint_slice_mirroring_controller_changes",
        &["operation"],
        "EndpointSlices created, updated and deleted.",
    ),
};
pub(super) static UPDATED: Metric = Metric::histogram(
    "endpoint_slice_mirroring_controller_endpoints_updated_per_sync",
    &[],
    "Number of endpoints changed at each look at an Endpoints object.",
);
pub(super) static SKIPPED: Metric = Metric::histogram(
    "endpoint_slice_mirroring_controller_addresses_skipped_per_sync",
    &[],
    "Number of addresses left out at each look at an Endpoints object: not valid, or too many in a subset.",
);
pub(super) static YIELDED: Metric = Metric::gauge(
    "headroom_endpointslice_mirroring_yielded",
    &[],
    "1 when another manager was found at work on mirrored EndpointSlices, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 9] = [
    &SLICES.added,
    &SLICES.removed,
    &SLICES.desired,
    &SLICES.slices,
    &SLICES.desired_slices,
    &SLICES.changes,
    &UPDATED,
    &SKIPPED,
    &YIELDED,
];

impl EndpointSliceMirroringController {
    pub(super) fn measure_slices(&self, into: &mut Measurements) {
        SLICES.measure(self.gauges(), self.writer.changes(), (&self.counters.added, &self.counters.removed), into);
        into.histogram(&UPDATED, &[], &self.counters.updated);
        into.histogram(&SKIPPED, &[], &self.counters.skipped);
        self.rival.measure(&YIELDED, into);
    }
}
