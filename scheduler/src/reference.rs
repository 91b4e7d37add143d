//! What the generated reference reads of this process.

use headroom_runtime::{
    informer::InformerHealth,
    metrics::{
        ClientMetrics, DispatcherMetrics, Family, LeaderMetrics, ProcessCollector, Registry, register_build_info,
    },
    serving::Health,
};

use crate::metrics::SchedulerMetrics;

/// All families of `/metrics` and of `/metrics/slis`, whether they have series or not, in the order of their names.
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
    SchedulerMetrics::new(&registry)?;
    let mut all = registry.families();
    all.extend(Health::new()?.slis().map(Registry::families).unwrap_or_default());
    all.sort();
    Ok(all)
}
