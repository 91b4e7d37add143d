//! How to get from the nodes of today to a set of machines: what is ordered, drained and given back, in an order in
//! which every pod has its place before it needs it.

mod order;

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::{Str, quantity::human_bytes};
use serde::Serialize;

use self::order::{Group, in_order};
use crate::{
    catalogue::{Offer, Price},
    cluster::{Cluster, is_control_plane, workload},
    fleet::Load,
    machine::{Machine, offer_of},
    report::{MachineCount, Placement},
};

/// A pod that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodMove {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where it goes.
    pub to: String,
    /// Why that is felt; absent when it is not.
    pub interrupts: Option<&'static str>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// `AddSwap`, `Add`, `Drain`, `Move` or `Remove`.
    pub action: &'static str,
    /// The node.
    pub node: String,
    /// In words.
    pub text: String,
    /// Whether anybody notices.
    pub interrupts: bool,
    /// The pods that go elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodMove>,
    /// What is paid per month once it is done.
    pub price_per_month_after: Price,
}

/// Who goes where: pods whose node changes, by namespace and name.
#[must_use]
pub fn placements(load: &Load<'_>, nodes: &[Str]) -> Vec<Placement> {
    let changed = load.pods.iter().zip(nodes).filter(|(pod, to)| pod.node_name.as_ref() != Some(*to));
    let mut placements: Vec<Placement> = changed
        .map(|(pod, to)| Placement {
            namespace: pod.meta.key.namespace.to_string(),
            name: pod.meta.key.name.to_string(),
            from: pod.node_name.as_ref().map(ToString::to_string),
            to: to.to_string(),
        })
        .collect();
    placements.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    placements
}

/// The machines, counted by type and role.
#[must_use]
pub fn counted(machines: &[Machine]) -> Vec<MachineCount> {
    let mut counts: Vec<MachineCount> = Vec::new();
    for machine in machines {
        let role = if machine.control_plane { "control-plane" } else { "worker" };
        let kind = machine.kind.as_ref().map(ToString::to_string);
        let swap = machine.sample.swap_capacity.unwrap_or(0);
        let exists = usize::from(machine.exists);
        let same = |known: &&mut MachineCount| {
            known.role == role
                && known.machine == kind
                && known.swap_bytes == swap
                && known.price_per_month == machine.price
        };
        match counts.iter_mut().find(same) {
            Some(known) => {
                known.count += 1;
                known.exist += exists;
            }
            None => counts.push(MachineCount {
                machine: kind,
                role,
                count: 1,
                exist: exists,
                price_per_month: machine.price,
                swap_bytes: swap,
            }),
        }
    }
    counts.sort_by(|a, b| (a.role, a.price_per_month, &a.machine).cmp(&(b.role, b.price_per_month, &b.machine)));
    counts
}

/// Writes the steps down.
struct Steps<'a> {
    cluster: &'a Cluster,
    money: &'a dyn Fn(Price) -> String,
    replicas: BTreeMap<crate::cluster::WorkloadName, usize>,
    price: Price,
    moves: Vec<Move>,
    added: BTreeSet<Str>,
}

impl Steps<'_> {
    fn step(&mut self, action: &'static str, node: &str, text: String, pods: Vec<PodMove>, interrupts: bool) {
        self.moves.push(Move {
            action,
            node: node.to_owned(),
            text,
            interrupts: interrupts || pods.iter().any(|pod| pod.interrupts.is_some()),
            pods,
            price_per_month_after: self.price,
        });
    }

    fn add(&mut self, machine: &Machine) {
        if machine.exists || !self.added.insert(machine.name().clone()) {
            return;
        }
        let price = machine.price.unwrap_or_default();
        self.price = Price(self.price.0.saturating_add(price.0));
        let swap = match machine.sample.swap_capacity.unwrap_or(0) {
            0 => String::new(),
            bytes => format!(", with {} of swap for pods (LimitedSwap)", human_bytes(bytes)),
        };
        let role = if machine.control_plane { " as a server of the control plane" } else { "" };
        let kind = machine.kind.as_deref().unwrap_or("a machine");
        let text = format!("order {kind} ({} a month){swap} and let it join{role}", (self.money)(price));
        self.step("Add", machine.name(), text, Vec::new(), false);
    }

    fn pod_moves(&self, all: &[Placement], from: &str) -> Vec<PodMove> {
        let leaving = all.iter().filter(|placement| placement.from.as_deref() == Some(from));
        leaving
            .map(|placement| {
                let of = |pod: &&std::sync::Arc<headroom_core::object::Pod>| {
                    let key = &pod.meta.key;
                    *key.namespace == *placement.namespace && *key.name == *placement.name
                };
                let pod = self.cluster.pods.iter().find(of);
                let interrupts = pod.and_then(|pod| {
                    let replicas = workload(pod).and_then(|name| self.replicas.get(&name)).copied().unwrap_or(1);
                    self.cluster.interruption(pod, replicas)
                });
                PodMove {
                    namespace: placement.namespace.clone(),
                    name: placement.name.clone(),
                    to: placement.to.clone(),
                    interrupts,
                }
            })
            .collect()
    }
}

/// The steps from the cluster of today to these machines. `today` is what is paid now.
pub fn moves(
    load: &Load<'_>,
    machines: &[Machine],
    nodes: &[Str],
    offers: &[Offer],
    today: Price,
    money: &dyn Fn(Price) -> String,
) -> Vec<Move> {
    let cluster = load.cluster;
    let placements = placements(load, nodes);
    let replicas = cluster.replicas();
    let mut steps = Steps { cluster, money, replicas, price: today, moves: Vec::new(), added: BTreeSet::new() };
    for machine in machines.iter().filter(|machine| machine.more_swap) {
        let size = human_bytes(machine.sample.swap_capacity.unwrap_or(0));
        let text = format!("set up {size} of swap and LimitedSwap in its kubelet, which restarts");
        steps.step("AddSwap", machine.name(), text, Vec::new(), false);
    }
    let stays = |name: &Str| machines.iter().any(|machine| machine.exists && machine.name() == name);
    let mut leaving: Vec<&Str> = cluster.nodes.keys().filter(|name| !stays(name)).collect();
    // The control plane last: the others are drained with its help. Then those with the fewest pods first.
    let weight = |name: &Str| placements.iter().filter(|p| p.from.as_deref() == Some(name.as_str())).count();
    let serves = |name: &Str| cluster.nodes.get(name).is_some_and(|node| is_control_plane(node));
    leaving.sort_by_key(|name| (serves(name), weight(name), (*name).clone()));
    let drained = leaving.into_iter().map(|name| (name, true));
    let staying = machines.iter().filter(|machine| machine.exists).map(|machine| (machine.name(), false));
    let groups = drained.chain(staying).map(|(node, leaves)| {
        let pods = steps.pod_moves(&placements, node);
        Group { node, leaves, pods }
    });
    let groups: Vec<Group<'_>> = groups.filter(|group| group.leaves || !group.pods.is_empty()).collect();
    for Group { node: name, leaves, pods } in in_order(load, machines, groups) {
        let server = serves(name);
        let targets: BTreeSet<&str> = pods.iter().map(|pod| pod.to.as_str()).collect();
        for machine in machines {
            if targets.contains(machine.name().as_str()) || (leaves && server && machine.control_plane) {
                steps.add(machine);
            }
        }
        if !leaves {
            let text = format!("evict {} to make room for others", counted_pods(pods.len()));
            steps.step("Move", name, text, pods, false);
            continue;
        }
        if !pods.is_empty() {
            let verb = if pods.len() == 1 { "goes" } else { "go" };
            let text = format!("drain it: {} {verb} elsewhere", counted_pods(pods.len()));
            steps.step("Drain", name, text, pods, false);
        }
        let price = cluster.nodes.get(name).and_then(|node| offer_of(node, offers)).map(|(offer, _)| offer.price);
        steps.price = Price(steps.price.0.saturating_sub(price.unwrap_or_default().0));
        let what = if server {
            "take it out of the control plane (move its datastore first), delete the node and the machine"
        } else {
            "delete the node and the machine"
        };
        let less =
            price.map_or_else(|| "what it costs is not known".to_owned(), |p| format!("{} a month less", money(p)));
        let text = format!("{what}: {less}");
        steps.step("Remove", name, text, Vec::new(), server);
    }
    // What is for pods that wait today.
    for machine in machines {
        steps.add(machine);
    }
    steps.moves
}

fn counted_pods(count: usize) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}
