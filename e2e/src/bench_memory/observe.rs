//! What is looked at once a second: the memory model's own figures of every node, and the pods as the API server has
//! them. Both sides are looked at in the same way; nothing of it comes from our own measuring.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use headroom_hollow::{LossReason, NodeView};
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use super::MemoryBenchError;
use super::cluster::{Cluster, node_of};
use super::thrash::{DATASTORE, JOB_PODS, Totals};

/// A node thrashes while all its tasks wait for memory at least this share of the time, percent, over the last 10 s and
/// over the last 60 s: PSI `full`.
pub(super) const THRASHING: f64 = 10.0;

/// One value per look.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Series {
    /// Seconds since the start.
    pub at: Vec<f64>,
    /// Nodes that thrash.
    pub thrashing_nodes: Vec<usize>,
    /// Highest PSI `some` over 10 s of any node, percent.
    pub worst_pressure: Vec<f64>,
    /// Work so far, pod-seconds.
    pub work_seconds: Vec<f64>,
    /// OOM kills and evictions so far.
    pub lost: Vec<usize>,
    /// Pods that run.
    pub running: Vec<usize>,
    /// Pods without a node.
    pub waiting: Vec<usize>,
}

/// Looks, and adds up.
#[derive(Debug, Default)]
pub(super) struct Observer {
    totals: Totals,
    series: Series,
    /// Pods that have a node, by UID.
    placed: HashSet<String>,
    /// Whether each node thrashed at the last look.
    thrashed: HashMap<String, bool>,
    last: f64,
}

impl Observer {
    /// Looks once, `since` the start.
    pub(super) async fn look(&mut self, cluster: &Cluster, since: Duration) -> Result<(), MemoryBenchError> {
        let nodes = cluster.hollow.nodes();
        let pods = cluster.pods().await?;
        let losses = cluster.hollow.losses();
        let killed = |loss: &&headroom_hollow::Loss| loss.reason == LossReason::OomKilled;
        let totals = &mut self.totals;
        totals.oom_kills = losses.iter().filter(killed).count();
        totals.oom_kills_of_declared = losses.iter().filter(killed).filter(|loss| loss.request_bytes > 0).count();
        totals.evicted = losses.len() - totals.oom_kills;
        totals.datastore_losses = losses.iter().filter(|loss| loss.node == DATASTORE).count();
        self.see(&nodes, &pods, since.as_secs_f64());
        Ok(())
    }

    fn see(&mut self, nodes: &[NodeView], pods: &[Pod], at: f64) {
        let totals = &mut self.totals;
        for pod in pods {
            let Some((node, uid)) = node_of(pod).zip(pod.metadata.uid.as_ref()) else { continue };
            if self.placed.insert(uid.clone()) && self.thrashed.get(node) == Some(&true) {
                totals.placed_on_thrashing += 1;
            }
        }
        self.thrashed = nodes.iter().map(|node| (node.name.clone(), thrashes(node))).collect();
        let thrashing = nodes.iter().filter(|node| thrashes(node)).count();
        totals.thrashing_node_seconds += thrashing as f64 * (at - self.last);
        self.last = at;
        if let Some(server) = nodes.iter().find(|node| node.name == DATASTORE) {
            totals.datastore_waited_seconds = server.system_stalled_seconds;
            totals.datastore_memory_bytes = totals.datastore_memory_bytes.max(server.resident_bytes);
            totals.datastore_swap_bytes = totals.datastore_swap_bytes.max(server.swapped_bytes);
        }
        totals.work_seconds = nodes.iter().map(|node| node.work_seconds).sum();
        totals.unstalled_seconds = nodes.iter().map(|node| node.unstalled_seconds).sum();
        totals.major_faults = nodes.iter().map(|node| node.major_faults).sum();
        // Pods of Jobs alone end by themselves.
        totals.finished = pods.iter().filter(|pod| phase(pod) == "Succeeded").count();
        if totals.finished == JOB_PODS {
            totals.finished_at.get_or_insert(tenths(at));
        }
        totals.waiting = pods.iter().filter(|pod| phase(pod) == "Pending" && node_of(pod).is_none()).count();

        let series = &mut self.series;
        series.at.push(tenths(at));
        series.thrashing_nodes.push(thrashing);
        series.worst_pressure.push(tenths(nodes.iter().map(|node| node.some_avg10).fold(0.0, f64::max)));
        series.work_seconds.push(tenths(totals.work_seconds));
        series.lost.push(totals.oom_kills + totals.evicted);
        series.running.push(pods.iter().filter(|pod| phase(pod) == "Running").count());
        series.waiting.push(totals.waiting);
    }

    /// How it goes, in a few words.
    pub(super) fn so_far(&self) -> String {
        let last = |numbers: &[usize]| numbers.last().copied().unwrap_or(0);
        format!(
            "{} of {JOB_PODS} pods done, {} nodes thrash, {} pods killed or evicted, {} wait",
            self.totals.finished,
            last(&self.series.thrashing_nodes),
            last(&self.series.lost),
            self.totals.waiting
        )
    }

    /// What was seen in all.
    pub(super) fn finish(self) -> (Totals, Series) {
        (self.totals, self.series)
    }
}

fn thrashes(node: &NodeView) -> bool {
    node.full_avg10 >= THRASHING && node.full_avg60 >= THRASHING
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Rounded to one decimal, which is enough for a chart.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::json;

    use super::*;

    fn node(name: &str, full: f64) -> NodeView {
        NodeView {
            name: name.to_owned(),
            class: String::new(),
            kubelet: SocketAddr::from(([127, 0, 0, 1], 1)),
            dead: false,
            slow_ms: 0,
            memory_pressure: false,
            pods: 0,
            memory_bytes: 1 << 30,
            resident_bytes: 7,
            swap_bytes: 0,
            swapped_bytes: 0,
            some_avg10: full,
            full_avg10: full,
            full_avg60: full,
            major_faults: 3,
            work_seconds: 2.0,
            unstalled_seconds: 2.0,
            system_stalled_seconds: 0.5,
        }
    }

    fn pod(uid: &str, node: Option<&str>, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"uid": uid},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_counts_once_and_by_the_state_before_it_came() {
        let mut observer = Observer::default();
        let calm = [node("a", 0.0), node(DATASTORE, 9.0)];
        let hot = [node("a", 12.0), node(DATASTORE, 9.0)];
        observer.see(&calm, &[pod("1", Some("a"), "Running")], 1.0);
        observer.see(&hot, &[pod("1", Some("a"), "Running"), pod("2", Some("a"), "Pending")], 2.0);
        let last = [
            pod("1", Some("a"), "Succeeded"),
            pod("2", Some("a"), "Running"),
            pod("3", Some("a"), "Pending"),
            pod("4", Some(DATASTORE), "Pending"),
            pod("5", None, "Pending"),
        ];
        observer.see(&hot, &last, 4.0);
        let so_far = observer.so_far();
        assert!(so_far.starts_with("1 of 48 pods done, 1 nodes thrash, 0 pods killed or evicted, 1 wait"), "{so_far}");
        let (totals, series) = observer.finish();
        assert_eq!((totals.placed_on_thrashing, totals.finished, totals.waiting), (1, 1, 1));
        assert_eq!((totals.thrashing_node_seconds, totals.work_seconds, totals.major_faults), (3.0, 4.0, 6));
        assert_eq!((totals.datastore_memory_bytes, totals.datastore_waited_seconds), (7, 0.5));
        assert_eq!((series.thrashing_nodes, series.running), (vec![0, 1, 1], vec![1, 1, 1]));
    }
}
