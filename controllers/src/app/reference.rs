//! What the generated reference reads of this process.

use headroom_runtime::{
    informer::InformerHealth,
    metrics::{
        ClientMetrics, DispatcherMetrics, Family, LeaderMetrics, ProcessCollector, Registry, register_build_info,
    },
    serving::Health,
};

use super::metrics::LoopMetrics;
use crate::{
    endpoints, endpointslice, endpointslice_mirroring,
    framework::measure::{Metric, MetricKind},
    node_lifecycle, pod_gc, replication, selection, taint_eviction,
};

/// All families of `/metrics` and of `/metrics/slis`, whether they have series or not and whichever loops run, in the order
/// of their names.
///
/// # Errors
/// When two of them have one name.
pub fn metric_families() -> Result<Vec<Family>, prometheus::Error> {
    let registry = Registry::remembering();
    registry.register(Box::new(ProcessCollector::new()?))?;
    register_build_info(&registry)?;
    ClientMetrics::new(&registry)?;
    InformerHealth::new(&registry)?;
    LeaderMetrics::new(&registry)?;
    DispatcherMetrics::new(&registry)?;
    let loops: Vec<&'static str> = selection::KNOWN.iter().map(|known| known.name).collect();
    LoopMetrics::new(&registry, &loops)?;
    let mut all = registry.families();
    all.extend(counted().map(described));
    all.extend(Health::new()?.slis().map(Registry::families).unwrap_or_default());
    all.sort();
    Ok(all)
}

/// What the loops count themselves. A family that is missing here is found by the test of the generated reference, which
/// looks for the names in the sources.
fn counted() -> impl Iterator<Item = &'static Metric> {
    let of: [&[&'static Metric]; 7] = [
        &node_lifecycle::measure::FAMILIES,
        &taint_eviction::measure::FAMILIES,
        &replication::measure::FAMILIES,
        &endpointslice::measure::FAMILIES,
        &endpoints::FAMILIES,
        &endpointslice_mirroring::measure::FAMILIES,
        &pod_gc::measure::FAMILIES,
    ];
    of.into_iter().flatten().copied()
}

fn described(metric: &Metric) -> Family {
    Family {
        name: metric.name.to_owned(),
        kind: match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        },
        labels: metric.labels.iter().map(|&label| label.to_owned()).collect(),
        help: metric.help.to_owned(),
    }
}
