//! The fallback when a kubelet cannot be read: `metrics.k8s.io`, if the cluster serves it (reference memory-and-swap.md
//! 2.1, 5.8, case S8, S10). It knows RAM only: no swap, no pressure.

use hashbrown::HashMap;
use headroom_core::{
    Now, Timestamp,
    memory::{SwapBehavior, headroom::measured_overhead, swap},
    object::{Node, ObjectKey},
    quantity,
};
use serde::Deserialize;

use super::{
    assess::{Counters, Measured, MeasuredPod},
    configz::KubeletConfig,
    rows,
    summary::{SummaryError, parse_time},
};
use crate::framework::World;

/// Where nodes are.
pub const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
/// Where pods are.
pub const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
/// Largest answer of the two that is read, in bytes: 5,000 nodes with half a dozen pods each, half a KiB a pod.
pub const MAX_ANSWER: usize = 16 << 20;

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Working sets of nodes and when they were measured.
    pub nodes: HashMap<String, (i64, Timestamp)>,
    /// Working sets of pods.
    pub pods: HashMap<ObjectKey, i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    items: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    metadata: Metadata,
    timestamp: String,
    usage: Usage,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    usage: Usage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    memory: Option<String>,
}

impl Usage {
    fn bytes(&self) -> Option<i64> {
        quantity::value(self.memory.as_deref()?).ok().filter(|bytes| *bytes >= 0)
    }
}

impl Metrics {
    /// Reads the list of nodes.
    ///
    /// # Errors
    /// When it is not what the API serves.
    pub fn read_nodes(&mut self, list: &[u8]) -> Result<(), SummaryError> {
        let list: List = serde_json::from_slice(list)?;
        let node = |item: Item| Some((item.metadata.name, (item.usage.bytes()?, parse_time(&item.timestamp)?)));
        self.nodes = list.items.into_iter().filter_map(node).collect();
        Ok(())
    }

    /// Reads the list of pods.
    ///
    /// # Errors
    /// When it is not what the API serves.
    pub fn read_pods(&mut self, list: &[u8]) -> Result<(), SummaryError> {
        let list: List = serde_json::from_slice(list)?;
        let pod = |item: Item| {
            let key = ObjectKey::new(item.metadata.namespace.as_str(), item.metadata.name.as_str());
            let mut each = item.containers.iter().map(|c| c.usage.bytes());
            Some((key, each.try_fold(0_i64, |sum, one| Some(sum.saturating_add(one?)))?))
        };
        self.pods = list.items.into_iter().filter_map(pod).collect();
        Ok(())
    }

    /// The sample of a node, if there is one that is newer than `last`. Behaviour and overhead are those known from
    /// before: nothing here shows them.
    #[must_use]
    pub fn measured(
        &self,
        node: &Node,
        world: &World,
        config: Option<&KubeletConfig>,
        last: Option<&Measured>,
        received: Now,
    ) -> Option<Measured> {
        let (working_set, at) = *self.nodes.get(&**node.name())?;
        let at = at.min(received.wall).truncated();
        if last.is_some_and(|last| at <= last.at) {
            return None;
        }
        let capacity = node.capacity.memory;
        let working_set = Some(working_set).filter(|bytes| *bytes <= capacity);
        let pods: Vec<MeasuredPod> = world
            .pods
            .on_node(node.name())
            .filter_map(|pod| {
                let bytes = *self.pods.get(&pod.meta.key)?;
                Some(MeasuredPod {
                    namespace: pod.meta.key.namespace.to_string(),
                    name: pod.meta.key.name.to_string(),
                    uid: rows::sample_uid(pod).into(),
                    working_set: Some(bytes),
                    swap: None,
                    swap_available: None,
                })
            })
            .collect();
        let told = swap::detect(rows::behavior_override(node), config.map(|c| c.swap_behavior.as_deref()), 0, []);
        let behavior = if told == SwapBehavior::Unknown { last.map_or(told, |last| last.behavior) } else { told };
        Some(Measured {
            at,
            counters: Counters::default(),
            skew_seconds: None,
            working_set,
            swap_used: None,
            swap_capacity: last.and_then(|last| last.swap_capacity),
            behavior,
            psi: None,
            major_faults: None,
            overhead: working_set
                .map(|w| measured_overhead(w, pods.iter().filter_map(|pod| pod.working_set)))
                .or(last.and_then(|last| last.overhead)),
            pods,
            ram_only: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{node, pod};

    use super::*;

    #[test]
    fn ram_and_nothing_else() {
        let nodes = br#"{"items": [
            {"metadata": {"name": "n1"}, "timestamp": "2026-11-22T10:00:00Z", "window": "20s",
             "usage": {"cpu": "100m", "memory": "600Mi"}},
            {"metadata": {"name": "odd"}, "timestamp": "never", "usage": {"memory": "1"}}]}"#;
        let pods = br#"{"items": [
            {"metadata": {"name": "a", "namespace": "default"}, "timestamp": "2026-11-22T10:00:00Z",
             "containers": [{"name": "x", "usage": {"memory": "40Mi"}}, {"name": "y", "usage": {"memory": "2Mi"}}]},
            {"metadata": {"name": "b", "namespace": "default"}, "containers": [{"name": "x", "usage": {}}]}]}"#;
        let mut metrics = Metrics::default();
        metrics.read_nodes(nodes).unwrap();
        metrics.read_pods(pods).unwrap();
        assert_eq!((metrics.nodes.len(), metrics.pods.len()), (1, 1));
        let mut world = World::default();
        for name in ["a", "b"] {
            world.apply_pod(pod(name).on("n1").arc(), |_, _| {});
        }
        let n1 = node("n1").capacity("1", "1Gi", 110).swap("2Gi").build();
        let now = Now { wall: parse_time("2026-11-22T10:00:10Z").unwrap(), ..Now::default() };
        let m = metrics.measured(&n1, &world, None, None, now).unwrap();
        assert_eq!((m.working_set, m.swap_used, m.psi, m.ram_only), (Some(600 << 20), None, None, true));
        assert_eq!((m.pods.len(), m.pods[0].working_set, m.overhead), (1, Some(42 << 20), Some(558 << 20)));
        assert_eq!(metrics.measured(&n1, &world, None, Some(&m), now), None, "not newer");
        assert_eq!(metrics.measured(&node("n2").build(), &world, None, None, now), None);
        assert!(metrics.read_nodes(b"{}").is_ok() && metrics.read_pods(b"[").is_err());
    }
}
