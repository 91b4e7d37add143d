//! Metrics of the loops, under upstream's names: `workqueue_*` per loop, `running_managed_controllers`.

use headroom_runtime::metrics::{QueueMetrics, Registry, WorkqueueMetrics};
use prometheus::{IntGaugeVec, Opts};

use super::loops::Loops;
use crate::selection;

/// Refreshed by the task that runs the loops.
#[derive(Debug)]
pub(super) struct LoopMetrics {
    queues: Vec<QueueMetrics>,
}

/// The `name` label that upstream's queue of this loop has (reference 5.3); ours otherwise.
fn queue_name(controller: &'static str) -> &'static str {
    match controller {
        selection::REPLICATION => "replicationmanager",
        selection::ENDPOINTS => "endpoint",
        selection::ENDPOINT_SLICE => "endpoint_slice",
        selection::ENDPOINT_SLICE_MIRRORING => "endpoint_slice_mirroring",
        selection::POD_GC => "orphaned_pods_nodes",
        selection::NODE_LIFECYCLE => "node_lifecycle_controller",
        selection::TAINT_EVICTION => "noexec_taint_pod",
        selection::MEMORY_PROFILE => "memory_profile",
        _ => "node_headroom",
    }
}

impl LoopMetrics {
    /// Registers them for these loops.
    ///
    /// # Errors
    /// When they are registered already.
    pub(super) fn new(registry: &Registry, selected: &[&'static str]) -> Result<Self, prometheus::Error> {
        let running = IntGaugeVec::new(
            Opts::new("running_managed_controllers", "Indicates where instances of a controller are currently running"),
            &["name", "manager"],
        )?;
        registry.register(Box::new(running.clone()))?;
        let queues = WorkqueueMetrics::new(registry)?;
        for name in selected {
            running.with_label_values(&[name, "headroom-controllers"]).set(1);
        }
        Ok(Self { queues: selected.iter().map(|name| queues.named(queue_name(name))).collect() })
    }

    /// Copies the queues' figures; they come in the order of the selection.
    pub(super) fn refresh(&self, loops: &Loops) {
        for (metrics, (_, (depth, adds, retries))) in self.queues.iter().zip(loops.queue_stats()) {
            metrics.totals(depth, adds, retries);
        }
    }
}
