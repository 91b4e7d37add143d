//! Pods that name their node: the scheduler never sees them, and the kubelet there takes them or does not.

use std::sync::Arc;

use headroom_core::{Str, object::Pod};
use headroom_engine::admission;
use headroom_planner::World;

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
        return Err(format!("the kubelet of node {node} refuses it: {}", reasons.join(", ")));
    }
    world.put(pod, node);
    Ok(node.clone())
}
