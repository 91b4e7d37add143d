//! The questions, put to the planner.

mod change;
mod cheapest;
mod direct;
mod rollouts;

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use anyhow::Context;
use headroom_core::{Str, object::Pod, quantity::human_bytes};
use headroom_planner::{
    Catalogue, Cluster, PlanError, Price, Scheduler, World,
    catalogue::Offer,
    cluster::{daemon_on, daemon_wants, made_by},
    machine::Machine,
    report::{CatalogueReference, Loss, NodeRoom, Placement, Plan, Waiting},
    today,
    uses::Uses,
};

use super::{FailOn, Options, claims, files, known::Known};
use crate::fixes;

/// Most pods for which changes are tried that would make them fit.
const MAX_FIXED: usize = 3;
/// Most pods of DaemonSets of which is said what is wrong with their node alone: for that all nodes are looked at.
const MAX_EXPLAINED: usize = 50;
/// What is taken for granted of a node on which nothing was measured, nor on one of its role.
const ESTIMATED: &str = "where no NodeHeadroom tells what the system takes, the size of the machine decides";

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) scheduler: &'a Scheduler,
    pub(super) catalogue: Option<&'a Catalogue>,
    pub(super) known: &'a Known,
}

impl Ask<'_> {
    /// The answer to what the flags ask.
    pub(super) fn plan(&self, options: &Options, namespace: &str) -> anyhow::Result<Plan> {
        if self.cluster.nodes.is_empty() {
            return Err(PlanError::NoNodes.into());
        }
        if !options.file.is_empty() {
            let asked = files::asked(&options.file, namespace, options.replicas, self.cluster, self.known)?;
            return self.fit(&asked, options.fail_on);
        }
        if options.cheapest {
            return self.cheapest(options);
        }
        if options.add.is_empty() && options.remove.is_empty() && options.resize.is_empty() {
            return self.now();
        }
        self.change(options)
    }

    fn offers(&self) -> &[Offer] {
        self.catalogue.map_or(&[][..], |catalogue| catalogue.offers.as_slice())
    }

    fn needed_catalogue(&self) -> anyhow::Result<&Catalogue> {
        self.catalogue.context("no catalogue: give --catalog NAME or FILE (kubectl headroom plan --list-catalogs)")
    }

    fn offer(&self, name: &str) -> anyhow::Result<&Offer> {
        let catalogue = self.needed_catalogue()?;
        catalogue.offer(name).ok_or_else(|| {
            let known = catalogue.names();
            PlanError::NoSuchMachine { name: name.to_owned(), catalogue: catalogue.name.clone(), known }.into()
        })
    }

    fn money(&self, price: Price) -> String {
        self.catalogue.map_or_else(|| price.to_string(), |catalogue| catalogue.money(price))
    }

    fn answer(&self, question: &'static str, nodes: Vec<NodeRoom>) -> Plan {
        let (bill, unpriced) = today::bill(&nodes);
        let priced = unpriced < nodes.len();
        let mut assumptions = Vec::new();
        if priced && unpriced > 0 {
            assumptions.push(format!("{unpriced} of {} nodes have no known price and count nothing", nodes.len()));
        }
        if let Some(catalogue) = self.catalogue.filter(|_| !priced) {
            assumptions.push(format!("no node is of a type of catalogue {}: none has a price in it", catalogue.name));
        }
        if nodes.iter().any(|node| node.machine_concluded) {
            let how =
                "nodes whose label node.kubernetes.io/instance-type names no type are taken for that of their size";
            assumptions.push(how.to_owned());
        }
        if nodes.iter().any(|node| !node.overhead_measured) {
            assumptions.push(ESTIMATED.to_owned());
        }
        let used = priced || matches!(question, "Change" | "Cheapest");
        if let Some(catalogue) = self.catalogue.filter(|catalogue| used && !catalogue.note.is_empty()) {
            assumptions.push(format!("catalogue {}: {}", catalogue.name, catalogue.note));
        }
        Plan {
            api_version: "headroom.dev/v1alpha1",
            kind: "Plan",
            at: self.cluster.now.wall.to_string(),
            question,
            fits: true,
            summary: String::new(),
            catalogue: self.catalogue.map(|catalogue| CatalogueReference {
                name: catalogue.name.clone(),
                date: catalogue.date.clone(),
                source: catalogue.source.clone(),
                currency: catalogue.currency.clone(),
            }),
            price_per_month: priced.then_some(bill),
            nodes,
            workloads: Vec::new(),
            losses: Vec::new(),
            placements: Vec::new(),
            pending: Vec::new(),
            problems: Vec::new(),
            cheapest: None,
            no_set: None,
            assumptions,
        }
    }

    /// `plan`.
    fn now(&self) -> anyhow::Result<Plan> {
        let mut world = self.cluster.world(self.scheduler).map_err(PlanError::from)?;
        let mut plan = self.answer("Now", today::nodes(self.cluster, &world, self.offers()));
        plan.workloads = today::workloads(self.cluster, &mut world);
        plan.losses = today::losses(self.cluster, &mut world);
        plan.pending = today::waiting(self.cluster, &mut world);
        plan.fits = plan.pending.is_empty();
        let nodes = count(plan.nodes.len(), "node");
        let price = plan.price_per_month.map(|price| format!(", {} a month", self.money(price))).unwrap_or_default();
        let waiting = match plan.pending.len() {
            0 => String::new(),
            pods => format!("; {} without a place", count(pods, "pod")),
        };
        plan.summary = format!("{nodes}{price}; {}{waiting}", self.overhead(&plan));
        Ok(plan)
    }

    /// What all nodes together take before they do any work, with its part of the price.
    fn overhead(&self, plan: &Plan) -> String {
        let part = |bytes: fn(&NodeRoom) -> i64, cost: fn(&NodeRoom) -> Option<Price>| {
            let bytes = plan.nodes.iter().map(bytes).fold(0, i64::saturating_add);
            let cost: Price = plan.nodes.iter().filter_map(cost).sum();
            let cost = plan.price_per_month.map(|_| format!(" ({})", self.money(cost))).unwrap_or_default();
            (bytes, format!("{}{cost}", human_bytes(bytes)))
        };
        let (_, system) = part(|node| node.overhead_bytes, |node| node.overhead_per_month);
        let mut text = format!("the system takes {system}");
        for (whose, (bytes, share)) in [
            ("pods of the control plane", part(|node| node.control_plane_bytes, |node| node.control_plane_per_month)),
            ("Headroom", part(|node| node.headroom_agent_bytes, |node| node.headroom_agent_per_month)),
        ] {
            if bytes > 0 {
                text.push_str(&format!(", {whose} {share}"));
            }
        }
        text
    }

    /// The pods that have no place today and would be given none. What gates hold back is nobody's load.
    fn without_a_place(&self) -> anyhow::Result<Vec<Waiting>> {
        let free = self.cluster.waiting().filter(|pod| pod.spec.scheduling_gates.is_empty());
        let free: BTreeSet<_> = free.map(|pod| (&*pod.meta.key.namespace, &*pod.meta.key.name)).collect();
        if free.is_empty() {
            return Ok(Vec::new());
        }
        let mut world = self.cluster.world(self.scheduler).map_err(PlanError::from)?;
        let mut without = today::waiting(self.cluster, &mut world);
        without.retain(|pod| free.contains(&(pod.namespace.as_str(), pod.name.as_str())));
        Ok(without)
    }

    /// `plan -f`.
    fn fit(&self, asked: &files::Asked, fail_on: FailOn) -> anyhow::Result<Plan> {
        for note in &asked.notes {
            eprintln!("{note}");
        }
        // What is deployed already is replaced, not added to.
        let mut replaced = asked.workloads.clone();
        replaced.extend(asked.pods.iter().chain(&asked.daemons).filter_map(|pod| made_by(pod)));
        let named: BTreeSet<_> = asked.pods.iter().map(|pod| pod.meta.key.clone()).collect();
        let mut after = self.cluster.clone();
        after
            .pods
            .retain(|pod| !named.contains(&pod.meta.key) && made_by(pod).is_none_or(|name| !replaced.contains(&name)));
        let gone = self.cluster.pods.len() - after.pods.len();
        after.others.extend(asked.others.iter().cloned());
        let mut world = after.world(self.scheduler).map_err(PlanError::from)?;
        // Who waits for a place that there is takes it before anything comes.
        let (settled, _) = today::settle(&after, &mut world);
        let (mut placements, mut pending) = (Vec::new(), Vec::new());
        let mut daemons: Vec<Arc<Pod>> = Vec::new();
        for daemon in &asked.daemons {
            let daemon = Cluster::prepared(daemon, self.scheduler);
            // One that names a node in its template has a pod there alone, which no scheduler sees.
            let named = daemon.node_name.clone();
            let may = |name: &Str| named.as_ref().is_none_or(|named| named == name);
            for node in after.nodes.values().filter(|node| may(node.name()) && daemon_wants(&daemon, node)) {
                let pod = daemon_on(&daemon, node.name());
                for claim in claims::of_copy(&asked.others, &daemon, &pod) {
                    world.tell(claim);
                }
                let given = if named.is_some() {
                    direct::put(&mut world, &pod, node.name()).map(drop)
                } else {
                    // The others are not asked about, as when the controller has made it for this one.
                    let given = world.place(&direct::pinned(&pod, node.name()));
                    let explained = pending.len() < MAX_EXPLAINED;
                    given.map(drop).map_err(|why| {
                        let reasons = if explained { reasons(&world, &pod, node.name()) } else { String::new() };
                        format!("{}: {}", node.name(), if reasons.is_empty() { why } else { reasons })
                    })
                };
                match given {
                    Ok(()) => {
                        placements.push(placement(&pod, None, node.name()));
                        daemons.push(bound(&pod, node.name()));
                    }
                    Err(reason) => pending.push(Waiting::new(&pod.meta.key, reason)),
                }
            }
        }
        let place = |pod: &Arc<Pod>| settled.get(&pod.meta.key).map_or_else(|| pod.clone(), |node| bound(pod, node));
        let mut placed: Vec<Arc<Pod>> = after.pods.iter().map(place).collect();
        // Pods that name their node do not wait for the scheduler. Of the others the highest priority comes first, as in its
        // queue.
        let free = |pod: &Pod| pod.node_name.as_deref().is_none_or(str::is_empty);
        let mut queue: Vec<&Arc<Pod>> = asked.pods.iter().collect();
        queue.sort_by_key(|pod| (free(pod), Reverse(pod.spec.priority)));
        for pod in queue {
            let pod = Cluster::prepared(pod, self.scheduler);
            match direct::give(&mut world, &pod) {
                Ok(node) => {
                    placements.push(placement(&pod, None, &node));
                    // Where its node is lost, one that names it has no other.
                    let stays = if free(&pod) { pod } else { direct::pinned(&pod, &node) };
                    placed.push(bound(&stays, &node));
                }
                Err(reason) => {
                    let mut waiting = Waiting::new(&pod.meta.key, reason);
                    // What would make the scheduler take it does not help one that it never sees.
                    if free(&pod) && pending.len() < MAX_FIXED {
                        waiting.fixes = would_give(&mut world, &pod, &placed, &after);
                    }
                    pending.push(waiting);
                }
            }
        }
        placed.extend(daemons);
        after.pods = placed;
        let mut plan = self.answer("Fit", today::planned(&after, &world, self.offers(), &Uses::of(self.cluster)));
        if gone > 0 {
            let (which, are) = (count(gone, "pod"), if gone == 1 { "is" } else { "are" });
            plan.assumptions.push(format!("{which} of the same workloads, as they are deployed now, {are} gone first"));
        }
        plan.assumptions.extend(self.stuck(asked)?);
        match settled.len() {
            0 => {}
            1 => plan.assumptions.push("1 pod that waits now gets its place first".to_owned()),
            pods => plan.assumptions.push(format!("{pods} pods that wait now get their places first")),
        }
        plan.fits = pending.is_empty();
        let all = count(placements.len() + pending.len(), "pod");
        plan.summary = if plan.fits {
            format!("fits: {all} on {}", count(distinct(&placements), "node"))
        } else {
            format!("does not fit: {} of {all} would wait", pending.len())
        };
        (plan.placements, plan.pending) = (placements, pending);
        plan.losses = losses(&after, &mut world, fail_on);
        Ok(plan)
    }
}

/// What the loss of each node of a plan leaves without a place, where that is what counts as no.
fn losses(after: &Cluster, world: &mut World, fail_on: FailOn) -> Vec<Loss> {
    if fail_on == FailOn::Loss { today::losses(after, world) } else { Vec::new() }
}

/// What a node's own sample cannot say of a planned one: whether it is there, and whether what its system takes was
/// measured anywhere.
fn as_machines(nodes: &mut [NodeRoom], machines: &[Machine]) {
    for machine in machines {
        for node in nodes.iter_mut().filter(|node| node.name == machine.name().as_str()) {
            (node.exists, node.overhead_measured) = (machine.exists, machine.overhead_measured);
        }
    }
}

fn bound(pod: &Arc<Pod>, node: &Str) -> Arc<Pod> {
    let mut bound = (**pod).clone();
    bound.node_name = Some(node.clone());
    Arc::new(bound)
}

fn placement(pod: &Pod, from: Option<&Str>, to: &Str) -> Placement {
    Placement {
        namespace: pod.meta.key.namespace.to_string(),
        name: pod.meta.key.name.to_string(),
        from: from.map(ToString::to_string),
        to: to.to_string(),
    }
}

/// Why one node refuses a pod, with its name.
fn refused(world: &World, pod: &Pod, node: &Str) -> String {
    format!("{node}: {}", reasons(world, pod, node))
}

/// Why one node refuses a pod; empty where it does not.
fn reasons(world: &World, pod: &Pod, node: &Str) -> String {
    let explained = world.engine().explain(pod, world.now());
    let found = explained.nodes.iter().find(|n| n.name == *node);
    let reasons = found.map(|n| n.rejections.iter().flat_map(|r| r.reasons.clone()).collect::<Vec<_>>());
    reasons.unwrap_or_default().join(", ")
}

/// What would make the pod fit, each tried.
fn would_give(world: &mut World, pod: &Arc<Pod>, pods: &[Arc<Pod>], cluster: &Cluster) -> Vec<String> {
    let nodes: Vec<_> = cluster.nodes.values().cloned().collect();
    let now = world.now();
    let explained = world.engine().explain(pod, now);
    let found = fixes::find(world.engine_mut(), &explained, pod, pods, &nodes, now);
    found.into_iter().map(|fix| fix.text).collect()
}

fn distinct(placements: &[Placement]) -> usize {
    placements.iter().map(|placement| placement.to.as_str()).collect::<BTreeSet<_>>().len()
}

/// Pods that a change does not help.
fn wait_as_now(pods: usize) -> String {
    if pods == 1 { "1 pod waits as it does now".to_owned() } else { format!("{pods} pods wait as they do now") }
}

/// A number of things.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
