//! What the rest of the cluster can take, by the memory model alone.
//!
//! Every node that is ready is judged as the scheduler's plugin does (memory-and-swap.md 5.5), from its published sample
//! and the pods that are bound to it; a pod that is given a place here counts there from then on. What else decides where
//! pods go (CPU, affinity, volumes) is not looked at, but for what is cheap and certain: cordons and taints.

use hashbrown::HashMap;
use headroom_core::{
    Timestamp,
    memory::{
        Candidate, Context, Fits, NodeMemory, NodeState, NodeSums, Params, PodUsage, Sample, TrackedPod,
        headroom::{ClusterCounts, NodeFacts},
        judge,
        swap::pod_limit,
    },
    object::{Node, Pod, Status},
    taint::{Effect, first_untolerated},
};

use super::decide::LIFECYCLE;
use crate::{framework::World, node_headroom::rows};

/// A node that may take pods.
struct Taker<'w> {
    node: &'w Node,
    memory: NodeMemory,
    sample: Option<Sample>,
    sums: NodeSums,
    state: NodeState,
}

/// All of them.
pub(super) struct Room<'w> {
    takers: Vec<Taker<'w>>,
    context: Context,
    now: Timestamp,
    params: &'w Params,
}

impl<'w> Room<'w> {
    /// As it is now: one step per node and per pod on a node that is ready.
    pub(super) fn new(world: &'w World, now: Timestamp, params: &'w Params) -> Self {
        let mut takers = Vec::new();
        let mut counts = ClusterCounts::default();
        for node in world.nodes.values().filter(|node| is_ready(node)) {
            let taker = taker(node, world, now, params);
            counts.add(&NodeFacts {
                object: world.headrooms.contains_key(node.name()),
                usable: taker.state.sample.usable(),
                schedulable: !node.unschedulable,
                protected: taker.memory.protected,
            });
            // Pods tolerate these taints for a while, so they have to be looked for by name.
            let leaving = node.taints.iter().any(|t| LIFECYCLE.iter().any(|key| t.key == **key));
            if !node.unschedulable && !leaving {
                takers.push(taker);
            }
        }
        Self { takers, context: Context { cluster: counts.cluster(), ..Context::default() }, now, params }
    }

    /// Whether any node that is ready has a sample that can be believed. Without one nothing can be said.
    pub(super) const fn measured(&self) -> bool {
        !self.context.cluster.inert && !self.context.cluster.degraded
    }

    /// Gives the pod a place where the model lets it go and most stays free, in RAM if there is any such. Returns whether
    /// there was one.
    pub(super) fn place(&mut self, pod: &Pod, candidate: &Candidate) -> bool {
        let best = self
            .takers
            .iter()
            .enumerate()
            .filter(|(_, taker)| {
                let effects = [Effect::NoSchedule, Effect::NoExecute];
                first_untolerated(&taker.node.taints, &pod.spec.tolerations, &effects).is_none()
            })
            .filter_map(|(at, taker)| {
                let verdict = judge(candidate, &taker.state, &self.context, self.params);
                (!verdict.rejected).then_some((verdict.fits == Some(Fits::Ram), verdict.headroom, at))
            })
            // The first of equals, so that the answer does not depend on how `max` breaks ties.
            .max_by_key(|&(ram, headroom, at)| (ram, headroom, std::cmp::Reverse(at)));
        let Some(taker) = best.and_then(|(_, _, at)| self.takers.get_mut(at)) else { return false };
        let tracked = TrackedPod {
            reserved: candidate.demand.reserved,
            demand: candidate.demand.total,
            swap_limit: pod_limit(candidate.eligible.iter().copied(), &taker.memory.swap_node(self.params)),
            ..TrackedPod::default()
        };
        taker.sums.add(&tracked.contribution(taker.memory.swap));
        taker.state = NodeState::new(&taker.memory, taker.sample.as_ref(), &taker.sums, self.now, self.params);
        true
    }
}

fn is_ready(node: &Node) -> bool {
    node.condition("Ready").is_some_and(|c| c.status == Status::True)
}

fn taker<'w>(node: &'w Node, world: &World, now: Timestamp, params: &Params) -> Taker<'w> {
    let row = world.headrooms.get(node.name());
    let details = row.and_then(|row| row.details.as_deref());
    let behavior = rows::behavior_override(node)
        .and_then(headroom_core::memory::SwapBehavior::parse)
        .or_else(|| details.and_then(|d| d.swap_behavior))
        .unwrap_or_default();
    let memory = rows::node_memory(
        node,
        details.and_then(|d| d.swap_capacity),
        behavior,
        details.and_then(|d| d.eviction_hard),
        row.and_then(|row| row.overhead),
        rows::is_protected(node, world),
    );
    let sample = details.and_then(|d| d.sample);
    let used: HashMap<&str, &PodUsage> =
        details.into_iter().flat_map(|d| d.pods.iter()).map(|(uid, usage)| (&**uid, usage)).collect();
    let swap = memory.swap_node(params);
    let mut sums = NodeSums::default();
    for pod in world.pods.on_node(node.name()).filter(|pod| !pod.is_terminal()) {
        let candidate = rows::candidate(pod, world, now, params);
        let usage = used.get(rows::sample_uid(pod)).map(|usage| **usage);
        let sampled = sample.map_or(now, |sample| sample.at);
        let tracked = rows::tracked(pod, &candidate, usage, &swap, sampled, params);
        sums.add(&tracked.contribution(memory.swap));
    }
    let state = NodeState::new(&memory, sample.as_ref(), &sums, now, params);
    Taker { node, memory, sample, sums, state }
}
