//! `plan --add`, `--remove`, `--resize`: the cluster with other machines.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use headroom_core::{
    object::{Node, ObjectKey},
    resource::Resources,
};
use headroom_planner::{
    Cluster, PlanError, World,
    cluster::{Bond, CONTROL_PLANE_ROLES, bond, daemon_on, daemon_wants, is_control_plane},
    fleet::{Load, with_static_pods},
    machine::{INSTANCE_TYPE, Machine, Names, Role},
    report::{Plan, Problem, Waiting},
    search::swap_today,
    today,
    uses::Uses,
};

use super::{Ask, as_machines, bound, count, losses, placement, wait_as_now};
use crate::plan::{Options, catalogues};

impl Ask<'_> {
    /// `plan --add`, `--remove`, `--resize`.
    pub(super) fn change(&self, options: &Options) -> anyhow::Result<Plan> {
        if let Some(line) = resized_twice(&options.resize) {
            anyhow::bail!(line);
        }
        let cluster = self.cluster;
        let mut after = cluster.clone();
        let sampled = !cluster.samples.is_empty();
        let swap = options.swap.unwrap_or_else(|| swap_today(cluster));
        let role = Role::of(cluster, false);
        let (mut names, mut machines) = (Names::default(), Vec::new());
        let uses = Uses::of(cluster);
        let nowhere = World::new(self.scheduler, &cluster.others, cluster.now).map_err(PlanError::from)?;
        let load = Load::new(cluster, self.scheduler, [])?;
        let (mut words, mut problems) = (Vec::new(), Vec::new());
        for (kind, count) in &options.add {
            let offer = self.offer(kind)?;
            words.push(format!("{count} more {kind}"));
            let first = machines.len();
            for _ in 0..*count {
                let machine = Machine::new(offer, &names.next("", cluster), &role, swap, cluster.now);
                for daemon in cluster.daemons().into_iter().filter(|pod| daemon_wants(pod, &machine.node)) {
                    after.pods.push(bound(&daemon_on(daemon, machine.name()), machine.name()));
                }
                if sampled {
                    after.samples.insert(machine.name().clone(), machine.sample.clone());
                }
                after.nodes.insert(machine.name().clone(), machine.node.clone());
                machines.push(machine);
            }
            // They differ in nothing but the name.
            let new = machines.get(first..).unwrap_or_default();
            if let Some(why) = new.first().map(|machine| load.too_small(machine)).transpose()?.flatten() {
                let nodes = new.iter().map(|machine| machine.name().to_string()).collect();
                problems.push(Problem { nodes, reason: format!("{kind} is too small for a node: {why}") });
            }
        }
        let mut gone: BTreeSet<&String> = BTreeSet::new();
        for name in options.remove.iter().filter(|name| gone.insert(*name)) {
            words.push(format!("without {name}"));
            after.nodes.remove(name.as_str());
            after.samples.remove(name.as_str());
        }
        problems.extend(no_control_plane(cluster, &after));
        for (name, kind) in &options.resize {
            let offer = self.offer(kind)?;
            words.push(format!("{name} on {kind}"));
            let Some(node) = after.nodes.get(name.as_str()).cloned() else {
                anyhow::bail!("--resize {name}: it is to be removed as well");
            };
            let role = Role::of(cluster, is_control_plane(&node));
            let mut machine = Machine::new(offer, name, &role, swap, cluster.now);
            machine.exists = true;
            machine.node = Arc::new(resized(&node, &machine.node, kind));
            if let Some(why) = load.too_small(&machine)? {
                let reason = format!("{kind} is too small for {name}: {why}");
                problems.push(Problem { nodes: vec![name.clone()], reason });
            }
            after.nodes.insert(node.name().clone(), machine.node.clone());
            if sampled {
                let here: Vec<_> = cluster.pods_on(name).cloned().collect();
                let sample = with_static_pods(&machine.sample, &nowhere, &here, &uses);
                after.samples.insert(node.name().clone(), sample);
            }
            machines.push(machine);
        }
        // Who was on a node that is gone or has another size needs a place again, and who has none now gets a chance.
        // What is held back by gates waits whatever the machines.
        let moved: BTreeSet<&str> = options.resize.iter().map(|(name, _)| name.as_str()).collect();
        let waits: BTreeSet<ObjectKey> = (after.waiting())
            .filter(|pod| cluster.node_of(pod).is_none() && pod.spec.scheduling_gates.is_empty())
            .map(|pod| pod.meta.key.clone())
            .collect();
        let without = self.without_a_place()?;
        let without: BTreeSet<_> = without.iter().map(|pod| ObjectKey::new(&pod.namespace, &pod.name)).collect();
        let (queue, others): (Vec<_>, Vec<_>) = std::mem::take(&mut after.pods).into_iter().partition(|pod| {
            let leaves = |node: &Arc<Node>| moved.contains(node.name().as_str()) || after.node_of(pod).is_none();
            waits.contains(&pod.meta.key) || (bond(pod) == Bond::Free && cluster.node_of(pod).is_some_and(leaves))
        });
        // The highest priority first, as in the scheduler's queue; where that is the same who waits already, then the
        // largest first.
        let mut queue = Load::new(&after, self.scheduler, queue)?.pods;
        queue.sort_by_key(|pod| (Reverse(pod.spec.priority), !waits.contains(&pod.meta.key)));
        // Pods of DaemonSets and static pods go with their node.
        let others: Vec<_> = others.into_iter().filter(|pod| after.node_of(pod).is_some()).collect();
        after.pods = others;
        let mut world = after.world(self.scheduler).map_err(PlanError::from)?;
        let (mut placements, mut pending, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        let mut helped = 0;
        for pod in &queue {
            let from = pod.node_name.clone();
            let stays = from.clone().filter(|node| moved.contains(node.as_str()) && world.feasible(pod).contains(node));
            if let Some(node) = stays {
                world.put(pod, &node);
                placed.push(bound(pod, &node));
                continue;
            }
            let waits_now = without.contains(&pod.meta.key);
            match world.place(pod) {
                Ok(node) => {
                    helped += usize::from(waits_now);
                    placements.push(placement(pod, from.as_ref(), &node));
                    placed.push(bound(pod, &node));
                }
                Err(reason) => pending.push(Waiting { waits_now, ..Waiting::new(&pod.meta.key, reason) }),
            }
        }
        placements.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pending.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        after.pods.extend(placed);
        let mut nodes = today::planned(&after, &world, self.offers(), &uses);
        as_machines(&mut nodes, &machines);
        let mut plan = self.answer("Change", nodes);
        let new = !options.add.is_empty() || !options.resize.is_empty();
        if let Some(catalogue) = self.catalogue.filter(|_| new && options.swap != Some(0)) {
            plan.assumptions.extend(catalogues::managed(cluster, catalogue));
        }
        let before = today::bill(&today::nodes(cluster, &world, self.offers())).0;
        let price =
            plan.price_per_month.map(|price| format!("; {} a month, {} now", self.money(price), self.money(before)));
        let mut fate: Vec<String> = problems.iter().map(|problem| problem.reason.clone()).collect();
        let still = pending.iter().filter(|pod| pod.waits_now).count();
        if pending.len() > still {
            fate.push(format!("{} would wait", count(pending.len() - still, "pod")));
        }
        // Machines that are only added take nobody's place: the question is whether they do for those that wait.
        let only_more = options.remove.is_empty() && options.resize.is_empty();
        plan.fits = fate.is_empty() && (still == 0 || !only_more);
        if fate.is_empty() {
            let what = if still == 0 { "everything has a place" } else { "everything keeps its place" };
            fate.push(what.to_owned());
        }
        fate.extend(of_those_that_wait(helped, still));
        plan.summary = format!("{}: {}{}", words.join(", "), fate.join("; "), price.unwrap_or_default());
        (plan.placements, plan.pending, plan.problems) = (placements, pending, problems);
        plan.losses = losses(&after, &mut world, options.fail_on);
        Ok(plan)
    }
}

/// What becomes of the pods that have no place now.
fn of_those_that_wait(helped: usize, still: usize) -> Option<String> {
    Some(match (helped, still) {
        (0, 0) => return None,
        (0, still) => wait_as_now(still),
        (1, 0) => "1 pod that waits now gets a place".to_owned(),
        (helped, 0) => format!("{helped} pods that wait now get a place"),
        (1, still) => format!("1 of {} pods that wait now gets a place", still + 1),
        (helped, still) => format!("{helped} of {} pods that wait now get a place", helped + still),
    })
}

/// What to say of a node that is to be on two machines.
fn resized_twice(all: &[(String, String)]) -> Option<String> {
    all.iter().enumerate().find_map(|(at, (name, kind))| {
        let (_, other) = all.iter().take(at).find(|(before, _)| before == name)?;
        Some(format!("--resize {name} is given twice, with {other} and with {kind}"))
    })
}

/// A node on another machine: everything but the size is as before.
fn resized(node: &Node, machine: &Node, kind: &str) -> Node {
    // What else it has to give was put into it, or is told by its plugins.
    let size = |new: &Resources, old: &Resources| Resources { scalars: old.scalars.clone(), ..new.clone() };
    let mut resized = node.clone();
    resized.meta.labels = node.meta.labels.with(INSTANCE_TYPE, kind);
    resized.capacity = size(&machine.capacity, &node.capacity);
    resized.allocatable = size(&machine.allocatable, &node.allocatable);
    resized.swap_capacity = machine.swap_capacity;
    resized
}

/// What there is of the control plane today and would not be any more, with the nodes that have it.
fn no_control_plane(before: &Cluster, after: &Cluster) -> Option<Problem> {
    let labels = CONTROL_PLANE_ROLES;
    let (servers, etcd) = labels.split_at(2);
    let roles = [("control plane", servers), ("etcd", etcd)];
    let has = |node: &Node, labels: &[&str]| labels.iter().any(|label| node.meta.labels.has(label));
    let somewhere = |cluster: &Cluster, labels: &[&str]| cluster.nodes.values().any(|node| has(node, labels));
    let gone: Vec<(&str, &[&str])> =
        roles.into_iter().filter(|(_, labels)| somewhere(before, labels) && !somewhere(after, labels)).collect();
    if gone.is_empty() {
        return None;
    }
    let with = before.nodes.values().filter(|node| gone.iter().any(|(_, labels)| has(node, labels)));
    let nodes: Vec<String> = with.map(|node| node.name().to_string()).collect();
    let what = gone.iter().map(|(what, _)| format!("no {what}")).collect::<Vec<_>>().join(" and ");
    Some(Problem { reason: format!("{what} would be left without {}", nodes.join(" and ")), nodes })
}
