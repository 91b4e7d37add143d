//! The cluster as it is: headroom and overhead of each node, the next pod of each workload, the loss of a node.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use headroom_core::{
    Str,
    object::{Node, ObjectKey, Pod, VolumeKind},
    resource::Resources,
};

use crate::{
    catalogue::{Offer, Price},
    cluster::{Bond, Cluster, WorkloadName, bond, copy, is_control_plane, workload},
    machine::{labelled_type, offer_of, overhead},
    report::{Loss, NodeRoom, Waiting, WorkloadRoom},
    uses::Uses,
    world::World,
};

/// Most further pods of a workload that are counted.
pub const MAX_MORE: usize = 10;
/// Label of everything that Headroom's chart installs.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// The nodes, by name, as the world has them.
#[must_use]
pub fn nodes(cluster: &Cluster, world: &World, offers: &[Offer]) -> Vec<NodeRoom> {
    planned(cluster, world, offers, &Uses::of(cluster))
}

/// The nodes of a plan, whose samples know of no pods: these take what is measured of them today.
#[must_use]
pub fn planned(after: &Cluster, world: &World, offers: &[Offer], uses: &Uses) -> Vec<NodeRoom> {
    after.nodes.values().map(|node| node_room(after, world, node, offers, uses)).collect()
}

fn node_room(cluster: &Cluster, world: &World, node: &Arc<Node>, offers: &[Offer], uses: &Uses) -> NodeRoom {
    let sample = cluster.samples.get(node.name()).map(|sample| &**sample);
    let (system, measured) = overhead(node, sample);
    let offer = offer_of(node, offers);
    let price = offer.map(|(offer, _)| offer.price);
    let capacity = node.capacity.memory;
    let share = |bytes: i64| price.map(|price| price.share(bytes, capacity));
    let row = world.engine().cache().node(node.name());
    let memory = row.and_then(|row| row.memory.as_ref());
    let requested = row.map_or_else(Resources::default, |row| row.requested.clone());
    let take = |these: fn(&Pod) -> bool| {
        let pods = cluster.pods_on(node.name()).filter(|pod| these(pod));
        pods.map(|pod| uses.pod(pod)).fold(0, i64::saturating_add)
    };
    let ours = take(is_ours);
    let control_plane = if is_control_plane(node) { take(|pod| bond(pod) == Bond::Static) } else { 0 };
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
        control_plane_bytes: control_plane,
        control_plane_per_month: share(control_plane),
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

/// One more pod of a workload. A StatefulSet would make it claims of its own, and so would an ephemeral volume; these are
/// not known, and left out.
fn another(pod: &Arc<Pod>, of: &WorkloadName, number: usize) -> Arc<Pod> {
    let mut next = copy(pod, &format!("{}-next-{number}", of.name));
    let own = |kind: &VolumeKind| match kind {
        VolumeKind::Ephemeral => true,
        VolumeKind::PersistentVolumeClaim(_) => of.kind == "StatefulSet",
        _ => false,
    };
    if pod.spec.volumes.iter().any(|volume| own(&volume.kind)) {
        let row = Arc::make_mut(&mut next);
        let spec = Arc::make_mut(&mut row.spec);
        spec.volumes = spec.volumes.iter().filter(|volume| !own(&volume.kind)).cloned().collect();
    }
    next
}

/// The pods without a node that would stay without one; those that find a place count there from now on.
pub fn waiting(cluster: &Cluster, world: &mut World) -> Vec<Waiting> {
    settle(cluster, world).1
}

/// Gives the pods without a node a place, as far as there is one; they count there from now on. Who has which node then,
/// and who has none. The highest priority comes first, then who waits longest, as in the scheduler's queue.
pub fn settle(cluster: &Cluster, world: &mut World) -> (BTreeMap<ObjectKey, Str>, Vec<Waiting>) {
    let mut queue: Vec<&Arc<Pod>> = cluster.waiting().collect();
    queue.sort_by_key(|pod| (Reverse(pod.spec.priority), pod.meta.created));
    let (mut placed, mut waiting) = (BTreeMap::new(), Vec::new());
    for pod in queue {
        match world.place(pod) {
            Ok(node) => {
                placed.insert(pod.meta.key.clone(), node);
            }
            Err(reason) => waiting.push(Waiting::new(&pod.meta.key, reason)),
        }
    }
    waiting.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    (placed, waiting)
}

/// Who has no place without this node: tried, and put back as it was. `on_it` are all pods of the node. Those of the
/// highest priority come first, as in the scheduler's queue.
pub fn lose(world: &mut World, node: &Arc<Node>, on_it: &[Arc<Pod>]) -> Vec<(ObjectKey, String)> {
    for pod in on_it {
        world.take(pod);
    }
    world.remove_node(node.name());
    let mut homeless: Vec<&Arc<Pod>> = on_it.iter().filter(|pod| bond(pod) == Bond::Free).collect();
    homeless.sort_by_key(|pod| Reverse(pod.spec.priority));
    let (mut placed, mut lost) = (Vec::new(), Vec::new());
    for pod in homeless {
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
        testing::{self, PodBuilder, node, pod},
    };
    use headroom_engine::{Input, cache::StorageObject};

    use super::*;
    use crate::{
        catalogue::Arch,
        cluster::{CONTROL_PLANE_ROLES, HOSTNAME},
        world::Scheduler,
    };

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
    fn claims_that_one_more_pod_would_get_are_left_out() {
        let more = |owner: &str, volumes: fn(PodBuilder) -> PodBuilder| {
            let p = pod("p-0").requests("400m", "64Mi").owner(owner, "p", "p").on("a");
            let inputs =
                vec![Input::NodeApplied(node("a").capacity("1", "1Gi", 10).arc()), Input::PodApplied(volumes(p).arc())];
            let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
            let mut world = cluster.world(&Scheduler::standard()).unwrap();
            workloads(&cluster, &mut world)[0].more
        };
        assert_eq!(more("ReplicaSet", |p| p.ephemeral("scratch")), 1);
        assert_eq!(more("StatefulSet", |p| p.claim("data").ephemeral("scratch")), 1);
        assert_eq!(more("ReplicaSet", |p| p.claim("data")), 0, "it names a claim that is not there");
    }

    #[test]
    fn what_is_ephemeral_holds_no_pod() {
        let lost = |volume: fn(PodBuilder) -> PodBuilder| {
            let local = testing::volume("v").affinity(HOSTNAME, &["a"]);
            let claims = ["p-scratch", "data"].map(|name| testing::claim(name).bound("v").of_pod("p").arc());
            let mut inputs = vec![
                Input::NodeApplied(node("a").capacity("1", "1Gi", 10).arc()),
                Input::NodeApplied(node("b").capacity("1", "1Gi", 10).arc()),
                Input::StorageApplied(StorageObject::Volume(local.arc())),
                Input::PodApplied(
                    volume(pod("p").requests("100m", "64Mi").owner("ReplicaSet", "p", "p").on("a")).arc(),
                ),
            ];
            inputs.extend(claims.map(|claim| Input::StorageApplied(StorageObject::Claim(claim))));
            let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
            let mut world = cluster.world(&Scheduler::standard()).unwrap();
            (cluster.immovable(&cluster.pods[0]).is_some(), losses(&cluster, &mut world)[0].pending.len())
        };
        assert_eq!(lost(|pod| pod.claim("data")), (true, 1));
        assert_eq!(lost(|pod| pod.ephemeral("scratch")), (false, 0));
    }

    #[test]
    fn who_finds_a_place_first_has_the_highest_priority() {
        let one = |name: &str, priority: i32| {
            let p = pod(name).requests("600m", "64Mi").owner("ReplicaSet", name, name).priority(priority).on("a");
            Input::PodApplied(p.arc())
        };
        let inputs = vec![
            Input::NodeApplied(node("a").capacity("2", "1Gi", 10).arc()),
            Input::NodeApplied(node("b").capacity("1", "1Gi", 10).arc()),
            one("first-by-name", 0),
            one("second-by-name", 7),
        ];
        let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
        let mut world = cluster.world(&Scheduler::standard()).unwrap();
        let lost = losses(&cluster, &mut world);
        let names: Vec<&str> = lost[0].pending.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["first-by-name"]);
    }

    #[test]
    fn who_waits_gets_a_place_in_the_order_of_the_queue() {
        let one = |name: &str, priority: i32, created: i64| {
            let p = pod(name).requests("600m", "64Mi").owner("ReplicaSet", name, name).created(created);
            Input::PodApplied(p.priority(priority).arc())
        };
        let left = |pods: Vec<Input>| {
            let inputs = [vec![Input::NodeApplied(node("a").capacity("1", "1Gi", 10).arc())], pods].concat();
            let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
            let mut world = cluster.world(&Scheduler::standard()).unwrap();
            waiting(&cluster, &mut world).into_iter().map(|pod| pod.name).collect::<Vec<_>>()
        };
        assert_eq!(left(vec![one("a", 0, 1), one("b", 7, 2), one("c", 0, 3)]), ["a", "c"]);
        assert_eq!(left(vec![one("a", 0, 2), one("b", 0, 1)]), ["a"]);
    }

    #[test]
    fn static_pods_of_a_server_are_the_control_planes_share() {
        let etcd = |on: &str| pod(&format!("etcd-{on}")).requests("100m", "256Mi").owner("Node", on, on).on(on).arc();
        let inputs = vec![
            Input::NodeApplied(node("s").label(CONTROL_PLANE_ROLES[0], "").capacity("1", "1Gi", 10).arc()),
            Input::NodeApplied(node("w").capacity("1", "1Gi", 10).arc()),
            Input::PodApplied(etcd("s")),
            Input::PodApplied(etcd("w")),
            Input::PodApplied(pod("other").requests("100m", "64Mi").on("s").arc()),
        ];
        let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
        let world = cluster.world(&Scheduler::standard()).unwrap();
        let offer = Offer {
            name: "small".into(),
            milli_cpu: 1000,
            memory: 1 << 30,
            pods: 110,
            price: Price(1000),
            swap: true,
            arch: Arch::default(),
        };
        let nodes = nodes(&cluster, &world, &[offer]);
        let share = |i: usize| (nodes[i].control_plane_bytes, nodes[i].control_plane_per_month);
        assert_eq!((share(0), share(1)), ((256 << 20, Some(Price(250))), (0, Some(Price(0)))));
    }

    #[test]
    fn overheads_have_a_price() {
        let cluster = cluster();
        let world = cluster.world(&Scheduler::standard()).unwrap();
        let like_a = Offer {
            name: "small".into(),
            milli_cpu: 1000,
            memory: 1 << 30,
            pods: 110,
            price: Price(1000),
            swap: true,
            arch: Arch::default(),
        };
        let nodes = nodes(&cluster, &world, &[like_a]);
        assert_eq!(nodes[0].overhead_bytes, 256 << 20);
        assert_eq!((nodes[0].overhead_per_month, nodes[0].overhead_measured), (Some(Price(250)), false));
        assert_eq!(bill(&nodes), (Price(2000), 0));
    }
}
