//! Metrics of the loops, under upstream's names: `workqueue_*` per loop, `running_managed_controllers`; and of the
//! collector, which upstream does not have: `headroom_kubelet_reads_total`.

use headroom_runtime::metrics::{QueueMetrics, Registry, WorkqueueMetrics};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::loops::Loops;
use crate::{
    node_headroom::{Answer, Path, ScrapeError},
    selection,
};

/// Refreshed by the task that runs the loops.
#[derive(Debug)]
pub(super) struct LoopMetrics {
    queues: Vec<QueueMetrics>,
    reads: IntCounterVec,
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
        let reads = IntCounterVec::new(
            Opts::new(
                "headroom_kubelet_reads_total",
                "Reads of kubelets by what was asked for and the result: ok, or the reason of the condition Fresh.",
            ),
            &["path", "result"],
        )?;
        registry.register(Box::new(reads.clone()))?;
        let queues = WorkqueueMetrics::new(registry)?;
        for name in selected {
            running.with_label_values(&[name, "headroom-controllers"]).set(1);
        }
        Ok(Self { queues: selected.iter().map(|name| queues.named(queue_name(name))).collect(), reads })
    }

    /// Counts what a kubelet answered.
    pub(super) fn answered(&self, answer: &Answer) {
        let Answer::Kubelet(result) = answer else { return };
        let path = match result.path {
            Path::Summary => "summary",
            Path::FullSummary => "full_summary",
            Path::Configz => "configz",
        };
        let outcome = result.result.as_ref().err().map_or("ok", ScrapeError::reason);
        self.reads.with_label_values(&[path, outcome]).inc();
    }

    /// Copies the queues' figures; they come in the order of the selection.
    pub(super) fn refresh(&self, loops: &Loops) {
        for (metrics, (_, (depth, adds, retries))) in self.queues.iter().zip(loops.queue_stats()) {
            metrics.totals(depth, adds, retries);
        }
    }
}
