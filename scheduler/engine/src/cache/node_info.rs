//! A node with its pods and their sums (`framework.NodeInfo`; reference 1.11).

use std::sync::Arc;

use headroom_core::{Str, object::Node, resource::Resources};

use super::{Slot, memory::NodeMemoryInfo, ports::UsedPorts};
use crate::framework::PodInfo;

/// A node, its pods, and what is summed over them.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Name.
    pub name: Str,
    /// The node; one without anything while only pods are known that name it.
    pub node: Arc<Node>,
    /// Whether the node exists.
    pub exists: bool,
    /// Pods that are bound or assumed here and have not ended, in no particular order.
    pub pods: Vec<PodInfo>,
    /// Sum of the pods' requests.
    pub requested: Resources,
    /// The same for scoring, CPU in thousandths (requests that are not set count 100m).
    pub non_zero_milli_cpu: i64,
    /// The same for scoring, memory in bytes (requests that are not set count 200Mi).
    pub non_zero_memory: i64,
    /// Host ports in use.
    pub ports: UsedPorts,
    /// Priorities of the pods, sorted, and how many pods have each.
    priorities: Vec<(i32, u32)>,
    /// What `MemoryHeadroom` knows of it; absent when nothing does.
    pub memory: Option<Box<NodeMemoryInfo>>,
    /// Its place in the cache.
    pub slot: Slot,
    /// Hash of the name, for breaking ties.
    pub(crate) name_hash: u64,
}

/// Sums beyond this may have been cut off: what is taken away from them must be summed anew.
const NEARLY_SATURATED: u64 = i64::MAX as u64 / 4;

impl NodeInfo {
    /// A node that is known by name only.
    #[must_use]
    pub fn unknown(name: Str) -> Self {
        Self {
            name_hash: crate::cycle::hash_text(&name),
            node: Arc::new(Node::default()),
            name,
            exists: false,
            pods: Vec::new(),
            requested: Resources::default(),
            non_zero_milli_cpu: 0,
            non_zero_memory: 0,
            ports: UsedPorts::default(),
            priorities: Vec::new(),
            memory: None,
            slot: 0,
        }
    }

    /// A node without pods.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        let unknown = Self::unknown(node.name().clone());
        Self { exists: true, node, ..unknown }
    }

    /// Puts a pod on it.
    pub fn add(&mut self, pod: PodInfo) {
        self.count(&pod);
        match self.priorities.binary_search_by_key(&pod.priority(), |(p, _)| *p) {
            Ok(i) => self.priorities[i].1 += 1,
            Err(i) => self.priorities.insert(i, (pod.priority(), 1)),
        }
        self.pods.push(pod);
    }

    fn count(&mut self, pod: &PodInfo) {
        self.requested.add(&pod.spec.requests);
        self.non_zero_milli_cpu = self.non_zero_milli_cpu.saturating_add(pod.spec.non_zero_milli_cpu);
        self.non_zero_memory = self.non_zero_memory.saturating_add(pod.spec.non_zero_memory);
        self.ports.add(&pod.spec.ports);
    }

    /// Takes a pod off it; answers it when it was there.
    pub fn remove(&mut self, uid: &str) -> Option<PodInfo> {
        let at = self.pods.iter().position(|p| p.uid() == uid)?;
        let pod = self.pods.swap_remove(at);
        self.ports.remove(&pod.spec.ports);
        if let Ok(i) = self.priorities.binary_search_by_key(&pod.priority(), |(p, _)| *p) {
            self.priorities[i].1 -= 1;
            if self.priorities[i].1 == 0 {
                self.priorities.remove(i);
            }
        }
        if self.may_be_saturated() {
            self.requested = Resources::default();
            (self.non_zero_milli_cpu, self.non_zero_memory) = (0, 0);
            let ports = std::mem::take(&mut self.ports);
            let rest = std::mem::take(&mut self.pods);
            for pod in &rest {
                self.count(pod);
            }
            (self.pods, self.ports) = (rest, ports);
        } else {
            self.requested.sub(&pod.spec.requests);
            self.non_zero_milli_cpu = self.non_zero_milli_cpu.saturating_sub(pod.spec.non_zero_milli_cpu);
            self.non_zero_memory = self.non_zero_memory.saturating_sub(pod.spec.non_zero_memory);
        }
        // Names of resources come from users: what is back to zero is not kept.
        self.requested.scalars.retain(|(_, amount)| *amount != 0);
        Some(pod)
    }

    fn may_be_saturated(&self) -> bool {
        let r = &self.requested;
        [r.milli_cpu, r.memory, r.ephemeral_storage, self.non_zero_milli_cpu, self.non_zero_memory]
            .into_iter()
            .chain(r.scalars.iter().map(|(_, amount)| *amount))
            .any(|amount| amount.unsigned_abs() > NEARLY_SATURATED)
    }

    /// The lowest priority of a pod here.
    #[must_use]
    pub fn lowest_priority(&self) -> Option<i32> {
        self.priorities.first().map(|(priority, _)| *priority)
    }

    /// Whether both hold the same, whatever the order of the pods.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let sorted = |info: &Self| {
            let mut uids: Vec<_> = info.pods.iter().map(|p| p.uid().clone()).collect();
            uids.sort();
            uids
        };
        let amounts = |r: &Resources| {
            let mut r = r.clone();
            r.scalars.retain(|(_, amount)| *amount != 0);
            r
        };
        self.name == other.name
            && self.exists == other.exists
            && sorted(self) == sorted(other)
            && amounts(&self.requested) == amounts(&other.requested)
            && self.non_zero_milli_cpu == other.non_zero_milli_cpu
            && self.non_zero_memory == other.non_zero_memory
            && self.ports.same_as(&other.ports)
            && self.priorities == other.priorities
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{node, pod};

    use super::*;

    #[test]
    fn sums_follow_the_pods() {
        let mut info = NodeInfo::new(node("n").arc());
        info.add(PodInfo::new(pod("a").requests("100m", "1Gi").arc()));
        info.add(PodInfo::new(pod("b").arc()));
        assert_eq!((info.requested.milli_cpu, info.non_zero_milli_cpu, info.pods.len()), (100, 200, 2));
        assert!(info.remove("uid-a").is_some() && info.remove("uid-a").is_none());
        assert_eq!((info.requested.memory, info.non_zero_memory), (0, 200 << 20));
    }

    #[test]
    fn absurd_requests_do_not_corrupt_the_sums() {
        let mut info = NodeInfo::new(node("n").arc());
        info.add(PodInfo::new(pod("a").requests("8E", "8E").arc()));
        info.add(PodInfo::new(pod("b").requests("8E", "8E").arc()));
        info.add(PodInfo::new(pod("c").requests("1", "1Gi").arc()));
        info.remove("uid-a");
        info.remove("uid-b");
        assert_eq!((info.requested.milli_cpu, info.requested.memory), (1000, 1 << 30));
        // Negative ones do not pass an API server, but may stand in a file.
        info.add(PodInfo::new(pod("d").requests("-8E", "-8E").arc()));
        info.add(PodInfo::new(pod("e").requests("-8E", "-8E").arc()));
        info.remove("uid-d");
        info.remove("uid-e");
        assert_eq!((info.requested.milli_cpu, info.requested.memory), (1000, 1 << 30));
    }
}
