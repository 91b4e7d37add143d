//! The cluster as it is: headroom and overhead of each node, the next pod of each workload, the loss of a node.

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    object::{Node, ObjectKey, Pod, VolumeKind},
    resource::Resources,
};

use crate::{
    catalogue::{Offer, Price},
    cluster::{Bond, Cluster, WorkloadName, bond, copy, is_control_plane, workload},
    machine::{labelled_type, offer_of, overhead},
    report::{Loss, NodeRoom, Waiting, WorkloadRoom},
    world::World,
};

/// Most further pods of a workload that are counted.
pub const MAX_MORE: usize = 10;
/// Label of everything that Headroom's chart installs.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// The nodes, by name, as the world has them.
#[must_use]
pub fn nodes(cluster: &Cluster, world: &World, offers: &[Offer]) -> Vec<NodeRoom> {
    cluster.nodes.values().map(|node| node_room(cluster, world, node, offers)).collect()
}

fn node_room(cluster: &Cluster, world: &World, node: &Arc<Node>, offers: &[Offer]) -> NodeRoom {
    let sample = cluster.samples.get(node.name()).map(|sample| &**sample);
    let (system, measured) = overhead(node, sample);
    let offer = offer_of(node, offers);
    let price = offer.map(|(offer, _)| offer.price);
    let capacity = node.capacity.memory;
    let share = |bytes: i64| price.map(|price| price.share(bytes, capacity));
    let row = world.engine().cache().node(node.name());
    let memory = row.and_then(|row| row.memory.as_ref());
    let requested = row.map_or_else(Resources::default, |row| row.requested.clone());
    let ours = cluster.pods_on(node.name()).filter(|pod| is_ours(pod));
    let ours = ours.map(|pod| used(pod, sample)).fold(0, i64::saturating_add);
    NodeRoom {
        name: node.name().to_string(),
        role: if is_control_plane(node) { "control-plane" } else { "worker" },
        machine: offer
            .map(|(offer, _)| offer.name.to_string())
            .or_else(|| labelled_type(node).map(ToString::to_string)),
        machine_concluded: offer.is_some_and(|(_, concluded)| concluded),
        price_per_month: price,
        ram_bytes: capacity,
        overhead_bytes: system,
        overhead_measured: measured,
        overhead_per_month: share(system),
        headroom_agent_bytes: ours,
        headroom_agent_per_month: share(ours),
        pods: row.map_or(0, |row| row.pods.len()),
        requested_memory_bytes: requested.memory,
        requested_milli_cpu: requested.milli_cpu,
        allocatable_milli_cpu: node.allocatable.milli_cpu,
        headroom_bytes: memory.map(|memory| memory.state.headroom),
        accessible_swap_bytes: memory.map(|memory| memory.state.accessible_now()),
        unschedulable: node.unschedulable,
        exists: true,
    }
}

/// Whether a pod is part of Headroom itself.
fn is_ours(pod: &Pod) -> bool {
    pod.meta.labels.get(PART_OF).is_some_and(|part| *part == "headroom")
}

/// RAM that a pod uses, else requests.
fn used(pod: &Pod, sample: Option<&headroom_core::object::NodeHeadroom>) -> i64 {
    let measured = sample.and_then(|sample| sample.usage(&pod.meta.uid)).map(|usage| usage.working_set.max(0));
    measured.unwrap_or_else(|| headroom_core::requests::pod_requests(&pod.spec).memory)
}

/// What is paid per month, and how many nodes have no known price.
#[must_use]
pub fn bill(nodes: &[NodeRoom]) -> (Price, usize) {
    let known: Price = nodes.iter().filter_map(|node| node.price_per_month).sum();
    (known, nodes.iter().filter(|node| node.price_per_month.is_none()).count())
}

/// How many more pods of each workload find a place, each workload for itself.
pub fn workloads(cluster: &Cluster, world: &mut World) -> Vec<WorkloadRoom> {
    let mut of: BTreeMap<WorkloadName, (&Arc<Pod>, usize)> = BTreeMap::new();
    for pod in cluster.pods.iter().filter(|pod| bond(pod) == Bond::Free) {
        if let Some(name) = workload(pod).filter(|name| !matches!(name.kind.as_str(), "Job" | "CronJob")) {
            of.entry(name).and_modify(|(_, replicas)| *replicas += 1).or_insert((pod, 1));
        }
    }
    let mut rooms = Vec::with_capacity(of.len());
    for (name, (pod, replicas)) in of {
        let (mut placed, mut why) = (Vec::new(), None);
        while placed.len() < MAX_MORE {
            let next = another(pod, &name, replicas + placed.len());
            match world.place(&next) {
                Ok(_) => placed.push(next),
                Err(message) => {
                    why = Some(message);
                    break;
                }
            }
        }
        let more = placed.len();
        placed.iter().rev().for_each(|pod| world.take(pod));
        rooms.push(WorkloadRoom {
            namespace: name.namespace,
            kind: name.kind,
            name: name.name,
            replicas,
            more,
            reason: why,
        });
    }
    rooms
}

/// One more pod of a workload. A StatefulSet would make it claims of its own, which are not known: they are left out.
fn another(pod: &Arc<Pod>, of: &WorkloadName, number: usize) -> Arc<Pod> {
    let mut next = copy(pod, &format!("{}-next-{number}", of.name));
    if of.kind == "StatefulSet" && pod.spec.has_claims() {
        let row = Arc::make_mut(&mut next);
        let spec = Arc::make_mut(&mut row.spec);
        let others = spec.volumes.iter().filter(|v| !matches!(v.kind, VolumeKind::PersistentVolumeClaim(_)));
        spec.volumes = others.cloned().collect();
    }
    next
}

/// The pods without a node that would stay without one; those that find a place count there from now on.
pub fn waiting(cluster: &Cluster, world: &mut World) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for pod in cluster.waiting().filter(|pod| bond(pod) == Bond::Free) {
        if let Err(reason) = world.place(pod) {
            waiting.push(Waiting::new(&pod.meta.key, reason));
        }
    }
    waiting
}

/// Who has no place without this node: tried, and put back as it was. `on_it` are all pods of the node.
pub fn lose(world: &mut World, node: &Arc<Node>, on_it: &[Arc<Pod>]) -> Vec<(ObjectKey, String)> {
    for pod in on_it {
        world.take(pod);
    }
    world.remove_node(node.name());
    let (mut placed, mut lost) = (Vec::new(), Vec::new());
    for pod in on_it.iter().filter(|pod| bond(pod) == Bond::Free) {
        match world.place(pod) {
            Ok(_) => placed.push(pod),
            Err(reason) => lost.push((pod.meta.key.clone(), reason)),
        }
    }
    for pod in placed {
        world.take(pod);
    }
    world.add_node(node, None);
    for pod in on_it {
        world.put(pod, node.name());
    }
    lost
}

/// What the loss of each node leaves without a place.
pub fn losses(cluster: &Cluster, world: &mut World) -> Vec<Loss> {
    let mut on: BTreeMap<&str, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in &cluster.pods {
        if let Some(node) = cluster.node_of(pod) {
            on.entry(node.name()).or_default().push(pod.clone());
        }
    }
    let none = Vec::new();
    let mut losses = Vec::with_capacity(cluster.nodes.len());
    for node in cluster.nodes.values() {
        let on_it = on.get(node.name().as_str()).unwrap_or(&none);
        let lost = lose(world, node, on_it);
        losses.push(Loss {
            node: node.name().to_string(),
            pods: on_it.iter().filter(|pod| bond(pod) == Bond::Free).count(),
            control_plane: is_control_plane(node),
            pending: lost.into_iter().map(|(key, reason)| Waiting::new(&key, reason)).collect(),
        });
    }
    losses
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        testing::{node, pod},
    };
    use headroom_engine::Input;

    use super::*;
    use crate::world::Scheduler;

    fn cluster() -> Cluster {
        let web = |name: &str, on: &str| {
            let p = pod(name).requests("400m", "64Mi").owner("ReplicaSet", "web", "web").on(on);
            Input::PodApplied(p.arc())
        };
        let inputs = vec![
            Input::NodeApplied(node("a").capacity("1", "1Gi", 10).arc()),
            Input::NodeApplied(node("b").capacity("1", "1Gi", 10).arc()),
            web("web-1", "a"),
            web("web-2", "a"),
            web("web-3", "b"),
            Input::PodApplied(pod("huge").requests("8", "64Mi").arc()),
        ];
        Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000))
    }

    #[test]
    fn the_next_pod_and_the_loss_of_a_node() {
        let cluster = cluster();
        let mut world = cluster.world(&Scheduler::standard()).unwrap();
        let rooms = workloads(&cluster, &mut world);
        assert_eq!((rooms[0].name.as_str(), rooms[0].replicas, rooms[0].more), ("web", 3, 1));
        assert!(rooms[0].reason.as_ref().unwrap().contains("2 Insufficient cpu"));
        let lost = losses(&cluster, &mut world);
        let of = |i: usize| lost[i].pending.iter().map(|w| w.name.as_str()).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec!["web-2"], vec!["web-3"]));
        // The world is as it was.
        assert_eq!(losses(&cluster, &mut world), lost);
        assert_eq!(workloads(&cluster, &mut world), rooms);
        let waiting = waiting(&cluster, &mut world);
        assert_eq!((waiting.len(), waiting[0].name.as_str()), (1, "huge"));
    }

    #[test]
    fn overheads_have_a_price() {
        let cluster = cluster();
        let world = cluster.world(&Scheduler::standard()).unwrap();
        let like_a =
            Offer { name: "small".into(), milli_cpu: 1000, memory: 1 << 30, pods: 110, price: Price(1000), swap: true };
        let nodes = nodes(&cluster, &world, &[like_a]);
        assert_eq!(nodes[0].overhead_bytes, 256 << 20);
        assert_eq!((nodes[0].overhead_per_month, nodes[0].overhead_measured), (Some(Price(250)), false));
        assert_eq!(bill(&nodes), (Price(2000), 0));
    }
}
