//! Pods that name their node: the scheduler never sees them, and the kubelet there takes them or does not.

use headroom_core::{Str, object::Pod, requests::pod_requests};
use headroom_planner::World;

/// Puts the pod on the node that it names, where it counts from now on. Of what a kubelet looks at before it admits a pod
/// this is the room: CPU, memory and the number of pods. Taints that keep the scheduler away do not.
///
/// # Errors
/// Why it is not there, for people: there is no such node, or no room for it.
pub(super) fn put(world: &mut World, pod: &Pod, node: &Str) -> Result<Str, String> {
    let Some(row) = world.engine().cache().node(node).filter(|row| row.exists) else {
        return Err(format!("there is no node {node}"));
    };
    let (wanted, used, has) = (pod_requests(&pod.spec), &row.requested, &row.node.allocatable);
    let lacks = |wanted: i64, used: i64, has: i64| wanted > 0 && wanted > has.saturating_sub(used);
    let lacking: Vec<&str> = [
        ("Too many pods", i64::try_from(row.pods.len()).unwrap_or(i64::MAX) >= has.pods),
        ("Insufficient cpu", lacks(wanted.milli_cpu, used.milli_cpu, has.milli_cpu)),
        ("Insufficient memory", lacks(wanted.memory, used.memory, has.memory)),
    ]
    .into_iter()
    .filter_map(|(reason, is_so)| is_so.then_some(reason))
    .collect();
    if !lacking.is_empty() {
        return Err(format!("node {node} has no room for it: {}", lacking.join(", ")));
    }
    world.put(pod, node);
    Ok(node.clone())
}
