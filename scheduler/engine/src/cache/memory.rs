//! What `MemoryHeadroom` knows of nodes: one [`NodeMemoryInfo`] per node, kept up to date pod by pod, and what holds for
//! all nodes together (`headroom_core::memory`; memory-and-swap.md 5.3, 5.4, 5.12).
//!
//! Nothing is kept while there is no NodeHeadroom at all: then the plugin is inert.

mod counted;
mod credits;
mod difference;
#[cfg(test)]
mod tests;
mod update;

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;
use headroom_core::{
    Str, Timestamp,
    memory::{
        Candidate, Cluster, ClusterCounts, Contribution, Footprints, NodeMemory, NodeState, NodeSums, Params, Profiles,
        TrackedPod,
        headroom::NodeFacts,
        node::{default_eviction, phase, protected, swap_capacity},
        overrides, swap,
    },
    object::{Node, NodeHeadroom, Pod, Qos},
};

use self::counted::{Counted, CountedPods};
use super::{NodeInfo, Slot};
use crate::framework::PodInfo;

/// Memory of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeMemoryInfo {
    /// The node and the lasting part of its NodeHeadroom.
    pub node: NodeMemory,
    /// Its NodeHeadroom.
    pub headroom: Option<Arc<NodeHeadroom>>,
    /// Sums over its pods.
    pub sums: NodeSums,
    /// What the rules need, as of the last change.
    pub state: NodeState,
    facts: NodeFacts,
    pods: CountedPods,
    /// Pods of the sample, by their UID there, that left since it was taken: what they held is free.
    credited: BTreeSet<Str>,
    /// The first time at which the demand of one of its pods ages.
    pub(super) aging: Option<Timestamp>,
    /// Under which time it stands in the index's expiry.
    listed: Option<Timestamp>,
}

impl NodeMemoryInfo {
    /// When something here changes by itself.
    fn ends(&self) -> Option<Timestamp> {
        [self.state.valid_until, self.aging].into_iter().flatten().min()
    }

    /// Whether the demand of this pod is no longer what was counted.
    pub(super) fn ages_before(&self, uid: &str, now: Timestamp) -> bool {
        self.pods.get(uid).and_then(Counted::ages).is_some_and(|until| until < now)
    }

    /// The first time from now on at which the demand of a pod ages.
    pub(super) fn next_aging(&self, now: Timestamp) -> Option<Timestamp> {
        self.pods.iter().filter_map(Counted::ages).filter(|until| *until >= now).min()
    }

    /// Takes a pod in.
    fn keep(&mut self, pod: &PodInfo, counted: Counted) {
        self.claim(&pod.pod);
        let part = self.part(&counted);
        self.sums.add(&part);
        self.aging = [self.aging, counted.ages()].into_iter().flatten().min();
        self.pods.put(counted);
    }

    /// What a pod that was counted here adds to the sums.
    fn part(&self, counted: &Counted) -> Contribution {
        counted.tracked(self.headroom.as_deref()).contribution(self.node.swap)
    }

    /// The state with these sums instead of the node's own, at `now`.
    #[must_use]
    pub fn state_with(&self, sums: &NodeSums, now: Timestamp, params: &Params) -> NodeState {
        let sample = self.headroom.as_ref().and_then(|h| h.sample.as_ref());
        NodeState::new(&self.node, sample, sums, now, params)
    }

    /// What is counted of a pod of this node.
    #[must_use]
    pub fn tracked(&self, uid: &str) -> Option<TrackedPod> {
        self.pods.get(uid).map(|counted| counted.tracked(self.headroom.as_deref()))
    }

    /// The sums without this pod, as if it had never been there.
    #[must_use]
    pub fn sums_without(&self, uid: &str) -> NodeSums {
        let mut sums = self.sums;
        if let Some(tracked) = self.tracked(uid) {
            sums.take_out(&tracked, self.node.swap);
        }
        sums
    }

    /// What a pod that is not here would add, in flight.
    #[must_use]
    pub fn contribution_of(&self, candidate: &Candidate, params: &Params) -> Contribution {
        let tracked = TrackedPod {
            reserved: candidate.demand.reserved,
            demand: candidate.demand.total,
            swap_limit: swap::pod_limit(candidate.eligible.iter().copied(), &self.node.swap_node(params)),
            ..TrackedPod::default()
        };
        tracked.contribution(self.node.swap)
    }
}

/// Memory of all nodes.
#[derive(Debug)]
pub struct MemoryIndex {
    params: Params,
    headrooms: HashMap<Str, Arc<NodeHeadroom>>,
    pub(super) profiles: Profiles,
    counts: ClusterCounts,
    footprints: Footprints,
    default_demand: i64,
    /// When states end by themselves.
    expiry: BTreeSet<(Timestamp, Slot)>,
    /// Nodes whose state got better for pods since the last look.
    improved: Vec<Str>,
    /// What holds for all nodes changed since the last look.
    cluster_changed: bool,
}

/// Most names kept of nodes that got better; beyond it all are taken to have.
const MAX_IMPROVED: usize = 1024;

impl MemoryIndex {
    fn new(params: Params) -> Self {
        Self {
            headrooms: HashMap::new(),
            profiles: Profiles::default(),
            counts: ClusterCounts::default(),
            footprints: Footprints::new(&params),
            default_demand: params.default_demand_bytes,
            expiry: BTreeSet::new(),
            improved: Vec::new(),
            cluster_changed: false,
            params,
        }
    }

    /// The arguments.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// What holds for all nodes together.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        self.counts.cluster()
    }

    /// Nothing is counted while there is no NodeHeadroom.
    pub(super) fn is_inert(&self) -> bool {
        self.headrooms.is_empty()
    }

    /// What was learned of workloads.
    #[must_use]
    pub const fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// What an unknown container is taken to need, in bytes.
    #[must_use]
    pub const fn default_demand(&self) -> i64 {
        self.default_demand
    }

    /// The pod as the rules see it, with what was learned of its workload.
    #[must_use]
    pub fn candidate(&self, pod: &PodInfo, now: Timestamp) -> Candidate {
        let histories = self.profiles.histories(&pod.pod);
        Candidate::new(&pod.memory(), histories, self.default_demand, now, &self.params)
    }

    fn count(&self, info: &NodeMemoryInfo, pod: &PodInfo, now: Timestamp) -> Counted {
        let candidate = self.candidate(pod, now);
        let sampled = info.place(sample_uid(&pod.pod));
        // Without a sample the pod is in flight whatever its phase.
        let sample_at = info.sampled_at().unwrap_or_default();
        let teaches = sampled.is_some() && pod.spec.qos == Qos::BestEffort;
        Counted {
            uid: pod.uid().clone(),
            reserved: candidate.demand.reserved,
            demand: candidate.demand.total,
            swap_limit: swap::pod_limit(candidate.eligible.iter().copied(), &info.node.swap_node(&self.params)),
            // States hold up to and with the time that they name; a peak changes at its own.
            until: candidate.demand.valid_until.map_or(Counted::NEVER, |at| Timestamp(at.0.saturating_sub(1)).max(now)),
            sampled: sampled.unwrap_or(Counted::UNSAMPLED),
            teaches: if teaches { u16::try_from(pod.pod.spec.containers.len()).unwrap_or(u16::MAX) } else { 0 },
            phase: phase(started(&pod.pod), pod.pod.is_ready(), sample_at, &self.params),
            terminating: pod.pod.meta.is_terminating(),
        }
    }

    /// Learns from a pod that is counted there, or unlearns it.
    fn learn(&mut self, info: &NodeMemoryInfo, counted: &Counted, add: bool) {
        if let Some((bytes, containers)) = counted.footprint(info.headroom.as_deref()) {
            if add { self.footprints.add(bytes, containers) } else { self.footprints.remove(bytes, containers) }
        }
    }

    fn fresh(&self, row: &NodeInfo, now: Timestamp) -> NodeMemoryInfo {
        let headroom = self.headrooms.get(&row.name).cloned();
        let mirror = row.pods.iter().any(|p| protects(&p.pod));
        let node = node_memory(&row.node, headroom.as_deref(), mirror);
        let sums = NodeSums::default();
        let sample = headroom.as_ref().and_then(|h| h.sample.as_ref());
        let state = NodeState::new(&node, sample, &sums, now, &self.params);
        NodeMemoryInfo {
            node,
            headroom,
            sums,
            state,
            facts: NodeFacts::default(),
            pods: CountedPods::with_room(row.pods.len()),
            credited: BTreeSet::new(),
            aging: None,
            listed: None,
        }
    }

    /// Works the state of a node out anew, with everything that hangs on it. True when it changed.
    fn settle(&mut self, info: &mut NodeMemoryInfo, row: (&Str, &Node, Slot), now: Timestamp) -> bool {
        let (name, node, slot) = row;
        let state = info.state_with(&info.sums, now, &self.params);
        let facts = NodeFacts {
            object: info.headroom.is_some(),
            usable: state.sample.usable(),
            schedulable: !node.unschedulable,
            protected: state.protected,
        };
        let before = self.counts.cluster();
        self.counts.remove(&info.facts);
        self.counts.add(&facts);
        self.cluster_changed |= before != self.counts.cluster();
        info.facts = facts;
        let old = std::mem::replace(&mut info.state, state);
        if let Some(until) = info.listed.take() {
            self.expiry.remove(&(until, slot));
        }
        info.listed = info.ends();
        if let Some(until) = info.listed {
            self.expiry.insert((until, slot));
        }
        let opened = old.state.closed() && !state.state.closed();
        if (state.headroom > old.headroom || state.accessible_now() > old.accessible_now() || opened)
            && self.improved.len() < MAX_IMPROVED
            && self.improved.last() != Some(name)
        {
            self.improved.push(name.clone());
        }
        old != state
    }

    /// Takes a node's part out of everything.
    fn retire(&mut self, info: &NodeMemoryInfo, slot: Slot) {
        let before = self.counts.cluster();
        self.counts.remove(&info.facts);
        self.cluster_changed |= before != self.counts.cluster();
        if let Some(until) = info.listed {
            self.expiry.remove(&(until, slot));
        }
        for counted in info.pods.iter() {
            self.learn(info, counted, false);
        }
    }
}

/// When the pod began to count: its start, else its assignment.
fn started(pod: &Pod) -> Option<Timestamp> {
    pod.status.start_time.or_else(|| pod.condition("PodScheduled").and_then(|c| c.last_transition))
}

/// The UID of a pod in samples: a static one stands there under the hash of its manifest.
fn sample_uid(pod: &Pod) -> &Str {
    pod.meta.annotations.get("kubernetes.io/config.hash").unwrap_or(&pod.meta.uid)
}

/// A static pod of etcd or the API server.
fn protects(pod: &Pod) -> bool {
    pod.is_mirror() && pod.meta.labels.get("component").is_some_and(|c| *c == "etcd" || *c == "kube-apiserver")
}

fn node_memory(node: &Node, headroom: Option<&NodeHeadroom>, mirror: bool) -> NodeMemory {
    let role = |name: &str| node.meta.labels.has(name);
    let control_plane = role("node-role.kubernetes.io/control-plane") || role("node-role.kubernetes.io/master");
    let behavior = overrides::swap_behavior(&node.meta).or_else(|| headroom.and_then(|h| h.swap_behavior));
    let by_hand = overrides::protected(&node.meta);
    NodeMemory {
        capacity: node.capacity.memory,
        allocatable: node.allocatable.memory,
        swap: swap_capacity(node.swap_capacity, headroom.and_then(|h| h.swap_capacity)),
        behavior: behavior.unwrap_or_default(),
        eviction: headroom.and_then(|h| h.eviction_hard).unwrap_or_else(|| default_eviction(&node.kubelet_version)),
        media: overrides::swap_media(&node.meta).unwrap_or_default(),
        protected: protected(by_hand, control_plane || role("node-role.kubernetes.io/etcd"), mirror),
        control_plane,
        overhead: headroom.and_then(|h| h.system_overhead),
    }
}
