//! `endpoint_slice_controller_*` (`endpointslice/metrics`). `changes_total` is the name of `changes` from 1.38 on.

use std::collections::BTreeMap;

use headroom_core::object::Service;

use super::{EndpointSliceController, hints, is_managed};
use crate::{
    endpoint_common::slices::{Plan, SliceMetrics},
    framework::{Histogram, Measurements, Metric, World},
};

pub(super) static SLICES: SliceMetrics = SliceMetrics {
    added: Metric::histogram(
        "endpoint_slice_controller_endpoints_added_per_sync",
        &[],
        "Number of endpoints added at each look at a Service.",
    ),
    removed: Metric::histogram(
        "endpoint_slice_controller_endpoints_removed_per_sync",
        &[],
        "Number of endpoints removed at each look at a Service.",
    ),
    desired: Metric::gauge("endpoint_slice_controller_endpoints_desired", &[], "Number of endpoints desired."),
    slices: Metric::gauge("endpoint_slice_controller_num_endpoint_slices", &[], "Number of EndpointSlices."),
    desired_slices: Metric::gauge(
        "endpoint_slice_controller_desired_endpoint_slices",
        &[],
        "Number of EndpointSlices that would do if all of them were filled perfectly.",
    ),
    changes: Metric::counter(
        "endpoint_slice_controller_changes",
        &["operation"],
        "EndpointSlices created, updated and deleted.",
    ),
};
pub(super) static CHANGES_TOTAL: Metric = Metric::counter(
    "endpoint_slice_controller_changes_total",
    &["operation"],
    "EndpointSlices created, updated and deleted.",
);
pub(super) static CHANGED: Metric = Metric::histogram(
    "endpoint_slice_controller_endpointslices_changed_per_sync",
    &["topology", "traffic_distribution"],
    "Number of EndpointSlices written at each look at a Service.",
);
pub(super) static SYNCS: Metric = Metric::counter(
    "endpoint_slice_controller_syncs",
    &["result"],
    "Looks at Services: success, stale (its slices are older than what was written last) or error.",
);
pub(super) static SERVICES: Metric = Metric::gauge(
    "endpoint_slice_controller_services_count_by_traffic_distribution",
    &["traffic_distribution"],
    "Number of Services with a trafficDistribution.",
);

pub(super) static YIELDED: Metric = Metric::gauge(
    "headroom_endpointslice_yielded",
    &[],
    "1 when another manager was found at work on the EndpointSlices of Services, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 11] = [
    &SLICES.added,
    &SLICES.removed,
    &SLICES.desired,
    &SLICES.slices,
    &SLICES.desired_slices,
    &SLICES.changes,
    &CHANGES_TOTAL,
    &CHANGED,
    &SYNCS,
    &SERVICES,
    &YIELDED,
];

/// Prometheus' default: upstream sets no others.
const DEFAULT_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Slices written per look, by the two labels of [`CHANGED`].
#[derive(Debug, Default)]
pub(super) struct Changed(BTreeMap<(&'static str, &'static str), Histogram>);

impl Changed {
    /// What a look wants written.
    pub(super) fn observe(&mut self, service: &Service, plan: &Plan) {
        let histogram = self.0.entry(hints::labels(service)).or_insert_with(|| Histogram::new(&DEFAULT_BOUNDS));
        histogram.observe((plan.create.len() + plan.update.len() + plan.delete.len()) as f64);
    }
}

impl EndpointSliceController {
    pub(super) fn measure_slices(&self, world: &World, into: &mut Measurements) {
        let counters = self.counters();
        SLICES.measure(self.gauges(), counters.changes, (&self.added, &self.removed), into);
        counters.changes.measure(&CHANGES_TOTAL, into);
        for (result, count) in [("success", counters.successes), ("stale", counters.stale), ("error", counters.errors)]
        {
            into.count(&SYNCS, &[result], count);
        }
        for ((topology, distribution), histogram) in &self.changed.0 {
            into.histogram(&CHANGED, &[topology, distribution], histogram);
        }
        let mut services: BTreeMap<&str, u64> = BTreeMap::new();
        // While another process leads, that one counts.
        for service in world.services.values().filter(|s| self.leading && is_managed(s)) {
            let (_, distribution) = hints::labels(service);
            if !distribution.is_empty() {
                *services.entry(distribution).or_default() += 1;
            }
        }
        for (distribution, count) in services {
            into.count(&SERVICES, &[distribution], count);
        }
        self.rival.measure(&YIELDED, into);
    }
}
