//! In which order pods move: rehearsed with the engine, so that each has its place when it is its turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use headroom_core::{Str, object::Pod};

use super::PodMove;
use crate::{PlanError, fleet::Load, machine::Machine, world::World};

/// Most moves that are tried; in what is larger, the order is as it comes from there on.
const MAX_TRIED: usize = 200;
/// Why a move is felt that comes before its time.
const NO_ROOM_YET: &str = "waits until a later step makes room";

/// Pods that leave a node together.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// Their node.
    pub(super) node: &'a Str,
    /// Whether the node goes.
    pub(super) leaves: bool,
    /// The pods; none where it holds nothing that needs another place.
    pub(super) pods: Vec<PodMove>,
}

/// The cluster on its way: all machines of the plan, the nodes that go, and the pods where they are.
struct Rehearsal {
    world: World,
    pods: BTreeMap<(String, String), Arc<Pod>>,
    left: usize,
}

impl Rehearsal {
    fn new(load: &Load<'_>, machines: &[Machine]) -> Result<Self, PlanError> {
        let mut world = load.world(machines)?;
        let planned: BTreeSet<&Str> = machines.iter().map(Machine::name).collect();
        for (name, node) in load.cluster.nodes.iter().filter(|(name, _)| !planned.contains(name)) {
            world.add_node(node, load.cluster.samples.get(name));
        }
        let mut pods = BTreeMap::new();
        for pod in &load.pods {
            if let Some(node) = load.cluster.node_of(pod) {
                world.put(pod, node.name());
                pods.insert((pod.meta.key.namespace.to_string(), pod.meta.key.name.to_string()), pod.clone());
            }
        }
        Ok(Self { world, pods, left: MAX_TRIED })
    }

    /// Moves a group. Where one of its pods would not be let in yet, unless it is `forced`, nothing has moved.
    fn moves(&mut self, group: &Group<'_>, forced: bool) -> bool {
        let mut moved: Vec<Arc<Pod>> = Vec::new();
        for planned in &group.pods {
            let key = (planned.namespace.clone(), planned.name.clone());
            let Some(pod) = self.pods.get(&key).cloned() else { continue };
            let to: Str = planned.to.as_str().into();
            self.world.take(&pod);
            let unknown = forced || self.left == 0;
            self.left = self.left.saturating_sub(1);
            if !unknown && !self.world.feasible(&pod).contains(&to) {
                self.world.put(&pod, group.node);
                for pod in moved.iter().rev() {
                    self.world.take(pod);
                    self.world.put(pod, group.node);
                }
                return false;
            }
            self.world.put(&pod, &to);
            moved.push(pod);
        }
        true
    }
}

/// The groups in an order in which every pod has its place when it is its turn, as far as there is one. Pods of a group
/// that comes too early all the same say so.
pub(super) fn in_order<'a>(load: &Load<'_>, machines: &[Machine], groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
    // Where nothing has to make room, machines fill up, and any order does.
    if groups.iter().all(|group| group.leaves) {
        return groups;
    }
    let Ok(mut rehearsal) = Rehearsal::new(load, machines) else { return groups };
    let mut waiting = groups;
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let next = waiting.iter().position(|group| rehearsal.moves(group, false));
        let mut group = waiting.remove(next.unwrap_or(0));
        if next.is_none() {
            rehearsal.moves(&group, true);
            for pod in &mut group.pods {
                pod.interrupts = pod.interrupts.or(Some(NO_ROOM_YET));
            }
        }
        ordered.push(group);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use headroom_core::{
        Now, Str,
        memory::MIB,
        testing::{node, pod},
    };
    use headroom_engine::Input;

    use crate::{
        catalogue::{Arch, Offer, Price},
        cluster::Cluster,
        fleet::Load,
        machine::{Machine, Role},
        moves::{Move, moves},
        world::Scheduler,
    };

    /// The way to nodes that stay and new ones: pods are told with where they are and where they go, and take 600 of the
    /// 1000 thousandths of a core that each machine has.
    fn way(pods: &[(&str, &str, &str)], stay: &[&str], leave: &[&str], new: &[&str]) -> Vec<Move> {
        let machine = |name: &&str| Input::NodeApplied(node(name).capacity("1", "2Gi", 20).arc());
        let mut inputs: Vec<Input> = stay.iter().chain(leave).map(machine).collect();
        inputs.extend(pods.iter().map(|(name, from, _)| {
            // All of one workload: that one of several moves is not felt.
            let p = pod(name).requests("600m", "64Mi").owner("ReplicaSet", "web", "web");
            Input::PodApplied(p.on(from).arc())
        }));
        let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
        let scheduler = Scheduler::standard();
        let load = Load::new(&cluster, &scheduler, []).unwrap();
        let offer = Offer {
            name: "m".into(),
            milli_cpu: 1000,
            memory: 2048 * MIB,
            pods: 20,
            price: Price(500),
            swap: false,
            arch: Arch::default(),
        };
        let role = Role::of(&cluster, false);
        let kept = stay.iter().map(|name| Machine::kept(&cluster, &cluster.nodes[*name], None, 0));
        let ordered = new.iter().map(|name| Machine::new(&offer, name, &role, 0, cluster.now));
        let machines: Vec<Machine> = kept.chain(ordered).collect();
        let targets: HashMap<&str, &str> = pods.iter().map(|(name, _, to)| (*name, *to)).collect();
        let nodes: Vec<Str> = load.pods.iter().map(|pod| targets[pod.meta.key.name.as_str()].into()).collect();
        moves(&load, &machines, &nodes, &[offer], Price(0), &|price| price.to_string())
    }

    fn steps(moves: &[Move]) -> Vec<(&str, &str, bool)> {
        moves.iter().map(|step| (step.action, step.node.as_str(), step.interrupts)).collect()
    }

    #[test]
    fn room_is_made_before_it_is_needed() {
        // What leaves goes where another one has to go first.
        let moves = way(&[("x", "a", "new"), ("y", "old", "a")], &["a"], &["old"], &["new"]);
        let expected = [("Add", "new", false), ("Move", "a", false), ("Drain", "old", false), ("Remove", "old", false)];
        assert_eq!(steps(&moves), expected, "{moves:?}");
        // A longer chain, told the other way round.
        let moves = way(&[("x", "a", "b"), ("y", "b", "c"), ("z", "c", "new")], &["a", "b", "c"], &[], &["new"]);
        let expected = [("Add", "new", false), ("Move", "c", false), ("Move", "b", false), ("Move", "a", false)];
        assert_eq!(steps(&moves), expected, "{moves:?}");
    }

    #[test]
    fn pods_that_change_places_say_that_one_waits() {
        let moves = way(&[("x", "a", "b"), ("y", "b", "a")], &["a", "b"], &[], &[]);
        assert_eq!(steps(&moves), [("Move", "a", true), ("Move", "b", false)], "{moves:?}");
        assert_eq!(moves[0].pods[0].interrupts, Some("waits until a later step makes room"));
    }

    #[test]
    fn machines_that_only_fill_up_need_no_rehearsal() {
        let moves = way(&[("x", "old", "a"), ("y", "older", "b")], &["a", "b"], &["old", "older"], &[]);
        let expected =
            [("Drain", "old", false), ("Remove", "old", false), ("Drain", "older", false), ("Remove", "older", false)];
        assert_eq!(steps(&moves), expected, "{moves:?}");
    }
}
