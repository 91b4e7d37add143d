//! Pods that name their node: the scheduler never sees them, and the kubelet there takes them or does not.

use std::sync::Arc;

use headroom_core::{
    Str,
    object::Pod,
    selector::{NodeSelector, NodeSelectorTerm, Operator, Requirement},
};
use headroom_engine::admission;
use headroom_planner::World;

/// Priorities from which on pods are critical (`scheduling.SystemCriticalPriority`).
const CRITICAL: i32 = 2_000_000_000;

/// Gives the pod a place, where it counts from now on: on the node that it names, else where the scheduler puts it.
///
/// # Errors
/// Why it has none, for people.
pub(super) fn give(world: &mut World, pod: &Arc<Pod>) -> Result<Str, String> {
    match &pod.node_name {
        Some(node) => put(world, pod, node),
        None => world.place(pod),
    }
}

/// Puts the pod on the node that it names, where it counts from now on, if the kubelet there takes it.
///
/// # Errors
/// Why it is not there, for people: there is no such node, or what its kubelet says.
pub(super) fn put(world: &mut World, pod: &Arc<Pod>, node: &Str) -> Result<Str, String> {
    let Some(row) = world.engine().cache().node(node).filter(|row| row.exists) else {
        return Err(format!("there is no node {node}"));
    };
    let reasons = admission::refusals(pod, row);
    if !reasons.is_empty() {
        let room =
            reasons.iter().all(|reason| reason.starts_with("Insufficient ") || reason.starts_with("Too many pods"));
        // It makes room for critical pods, if there is enough to evict (pkg/kubelet/preemption).
        let critical = pod.is_mirror() || pod.spec.priority >= CRITICAL;
        let unless = if room && critical { ", unless it evicts others" } else { "" };
        return Err(format!("the kubelet of node {node} refuses it{unless}: {}", reasons.join(", ")));
    }
    world.put(pod, node);
    Ok(node.clone())
}

/// The pod as one that may be on this node alone, as the controller of DaemonSets makes its pods
/// (`ReplaceDaemonSetPodNodeNameNodeAffinity`). What names its node has no place where that is gone.
pub(super) fn pinned(pod: &Pod, node: &Str) -> Arc<Pod> {
    let named = Requirement { key: "metadata.name".into(), operator: Operator::In, values: Box::new([node.clone()]) };
    let term = NodeSelectorTerm { match_fields: Box::new([named]), ..NodeSelectorTerm::default() };
    let mut pinned = pod.clone();
    let affinity = Arc::make_mut(&mut pinned.spec).affinity.get_or_insert_default();
    affinity.node.get_or_insert_default().required = Some(NodeSelector { terms: Box::new([term]) });
    Arc::new(pinned)
}
