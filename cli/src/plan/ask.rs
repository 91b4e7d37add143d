//! The questions, put to the planner.

mod change;

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context;
use headroom_core::{Str, object::Pod, quantity::human_bytes};
use headroom_planner::{
    Catalogue, Cluster, PlanError, Price, Scheduler, World,
    bound::PART_NAMES,
    catalogue::Offer,
    cluster::{daemon_on, daemon_wants, is_control_plane, workload},
    fleet::Load,
    machine::Machine,
    moves,
    report::{CatalogueReference, Cheapest, NodeRoom, Placement, Plan, Waiting},
    search::{self, Question},
    today,
};

use super::{ControlPlane, Options, files};
use crate::{file, fixes};

/// Most machines of a plan where nobody says.
const MAX_NODES: usize = 10;
/// Most pods for which changes are tried that would make them fit.
const MAX_FIXED: usize = 3;

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) scheduler: &'a Scheduler,
    pub(super) catalogue: Option<&'a Catalogue>,
}

impl Ask<'_> {
    /// The answer to what the flags ask.
    pub(super) fn plan(&self, options: &Options, namespace: &str) -> anyhow::Result<Plan> {
        if self.cluster.nodes.is_empty() {
            return Err(PlanError::NoNodes.into());
        }
        if let Some(path) = &options.file {
            let named = || format!("-f {}", path.display());
            let text = file::read(path).with_context(named)?;
            return self.fit(&files::asked(&text, namespace, options.replicas).with_context(named)?);
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
        if nodes.iter().any(|node| node.machine_concluded) {
            let how = "nodes without the label node.kubernetes.io/instance-type are taken for the type of their size";
            assumptions.push(how.to_owned());
        }
        if nodes.iter().any(|node| !node.overhead_measured) {
            let how = "where no NodeHeadroom tells what the system takes, the size of the machine decides";
            assumptions.push(how.to_owned());
        }
        if let Some(catalogue) = self.catalogue.filter(|catalogue| priced && !catalogue.note.is_empty()) {
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
            cheapest: None,
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
        let overhead: i64 = plan.nodes.iter().map(|node| node.overhead_bytes).fold(0, i64::saturating_add);
        let cost: Price = plan.nodes.iter().filter_map(|node| node.overhead_per_month).sum();
        let of_it = plan.price_per_month.map(|_| format!(" ({})", self.money(cost))).unwrap_or_default();
        let waiting = match plan.pending.len() {
            0 => String::new(),
            pods => format!("; {} without a place", count(pods, "pod")),
        };
        plan.summary = format!("{nodes}{price}; the system takes {}{of_it}{waiting}", human_bytes(overhead));
        Ok(plan)
    }

    /// `plan -f`.
    fn fit(&self, asked: &files::Asked) -> anyhow::Result<Plan> {
        for note in &asked.notes {
            eprintln!("{note}");
        }
        // What is deployed already is replaced, not added to.
        let replaced: BTreeSet<_> = asked.pods.iter().chain(&asked.daemons).filter_map(|pod| workload(pod)).collect();
        let bare: BTreeSet<_> = asked.pods.iter().map(|pod| pod.meta.key.clone()).collect();
        let mut after = self.cluster.clone();
        after
            .pods
            .retain(|pod| !bare.contains(&pod.meta.key) && workload(pod).is_none_or(|name| !replaced.contains(&name)));
        let gone = self.cluster.pods.len() - after.pods.len();
        after.others.extend(asked.others.iter().cloned());
        let mut world = after.world(self.scheduler).map_err(PlanError::from)?;
        let (mut placements, mut pending) = (Vec::new(), Vec::new());
        for daemon in &asked.daemons {
            let daemon = Cluster::prepared(daemon, self.scheduler);
            for node in after.nodes.values().filter(|node| daemon_wants(&daemon, node)) {
                let pod = daemon_on(&daemon, node.name());
                if world.feasible(&pod).contains(node.name()) {
                    world.put(&pod, node.name());
                    placements.push(placement(&pod, None, node.name()));
                } else {
                    pending.push(Waiting::new(&pod.meta.key, refused(&world, &pod, node.name())));
                }
            }
        }
        let mut placed: Vec<Arc<Pod>> = after.pods.clone();
        for pod in &asked.pods {
            let pod = Cluster::prepared(pod, self.scheduler);
            match world.place(&pod) {
                Ok(node) => {
                    placements.push(placement(&pod, None, &node));
                    let mut bound = (*pod).clone();
                    bound.node_name = Some(node);
                    placed.push(Arc::new(bound));
                }
                Err(reason) => {
                    let mut waiting = Waiting::new(&pod.meta.key, reason);
                    if pending.len() < MAX_FIXED {
                        waiting.fixes = would_give(&mut world, &pod, &placed, &after);
                    }
                    pending.push(waiting);
                }
            }
        }
        let mut plan = self.answer("Fit", today::nodes(&after, &world, self.offers()));
        if gone > 0 {
            let which = count(gone, "pod");
            plan.assumptions.push(format!("{which} of the same workloads, as they are deployed now, are gone first"));
        }
        plan.fits = pending.is_empty();
        let all = count(placements.len() + pending.len(), "pod");
        plan.summary = if plan.fits {
            format!("fits: {all} on {}", count(distinct(&placements), "node"))
        } else {
            format!("does not fit: {} of {all} would wait", pending.len())
        };
        (plan.placements, plan.pending) = (placements, pending);
        Ok(plan)
    }

    /// `plan --cheapest`.
    fn cheapest(&self, options: &Options) -> anyhow::Result<Plan> {
        let catalogue = self.needed_catalogue()?;
        let cluster = self.cluster;
        let world = cluster.world(self.scheduler).map_err(PlanError::from)?;
        let now = today::nodes(cluster, &world, &catalogue.offers);
        let (bill, unpriced) = today::bill(&now);
        let load = Load::new(cluster, self.scheduler, [])?;
        let question = Question {
            catalogue,
            swap: options.swap,
            max_nodes: options.max_nodes.unwrap_or_else(|| MAX_NODES.max(cluster.nodes.len())),
            survive: options.survive > 0,
            keep: options.keep.iter().map(Str::from).collect(),
            separate: options.control_plane.map(|place| place == ControlPlane::Separate),
        };
        let answer = search::cheapest(&load, &question)?;
        let mut plan = self.answer("Cheapest", now);
        let immovable = answer.immovable.iter().map(|(key, why)| Waiting::new(key, why.clone())).collect();
        plan.assumptions.push(format!(
            "pods take what was learned of them, else what they declare; new machines have {} of swap for pods",
            if answer.swap > 0 { human_bytes(answer.swap) } else { "none".to_owned() }
        ));
        let servers = cluster.nodes.values().filter(|node| is_control_plane(node)).count();
        if servers > answer.control_planes {
            let some = format!("{} of {servers} servers of the control plane are planned", answer.control_planes);
            plan.assumptions.push(format!("{some}: two survive no loss that one does not (--keep NODE keeps more)"));
        }
        if question.survive && answer.control_planes == 1 {
            let how = "without the one server of the control plane pods run on, and nothing new is placed";
            plan.assumptions.push(how.to_owned());
        }
        let Some(placed) = answer.placed else {
            plan.fits = false;
            let what = answer.lacking.map(|part| format!("; {} is what there is too little of", PART_NAMES[part]));
            plan.summary = format!(
                "no set of at most {} machines of {} was found on which everything fits{}",
                question.max_nodes,
                catalogue.name,
                what.unwrap_or_default()
            );
            return Ok(plan);
        };
        let money = |price: Price| catalogue.money(price);
        let after = after(cluster, &answer.machines, &load, &placed.nodes);
        plan.nodes = today::nodes(&after, &placed.world, &catalogue.offers);
        for node in &mut plan.nodes {
            node.exists = cluster.nodes.contains_key(node.name.as_str());
        }
        plan.price_per_month = Some(answer.price);
        plan.placements = moves::placements(&load, &placed.nodes);
        let saved = Price(bill.0 - answer.price.0);
        let less = if saved.0 >= 0 { "less" } else { "more" };
        let optimal = answer.lower_bound >= answer.price;
        plan.summary = format!(
            "{} a month on {}: {} {less} than today's {}",
            money(answer.price),
            count(answer.machines.len(), "machine"),
            money(Price(saved.0.abs())),
            money(bill)
        );
        plan.cheapest = Some(Cheapest {
            today_per_month: bill,
            unpriced_nodes: unpriced,
            price_per_month: answer.price,
            lower_bound_per_month: answer.lower_bound.min(answer.price),
            optimal,
            steered: placed.steered,
            sets_tried: answer.sets_tried,
            machines: moves::counted(&answer.machines),
            moves: moves::moves(&load, &answer.machines, &placed.nodes, &catalogue.offers, bill, &money),
            immovable,
        });
        Ok(plan)
    }
}

/// The cluster with these machines, for what is shown of its nodes.
fn after(cluster: &Cluster, machines: &[Machine], load: &Load<'_>, nodes: &[Str]) -> Cluster {
    let mut after = cluster.clone();
    after.nodes = machines.iter().map(|machine| (machine.name().clone(), machine.node.clone())).collect();
    after.samples = machines.iter().map(|machine| (machine.name().clone(), machine.sample.clone())).collect();
    after.pods = load.pods.iter().zip(nodes).map(|(pod, node)| bound(pod, node)).collect();
    after
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

/// Why one node refuses a pod.
fn refused(world: &World, pod: &Pod, node: &Str) -> String {
    let explained = world.engine().explain(pod, world.now());
    let found = explained.nodes.iter().find(|n| n.name == *node);
    let reasons = found.map(|n| n.rejections.iter().flat_map(|r| r.reasons.clone()).collect::<Vec<_>>());
    format!("{node}: {}", reasons.unwrap_or_default().join(", "))
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

/// A number of things.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
