//! `plan --cheapest`.

use std::{collections::BTreeSet, sync::Arc};

use headroom_core::{
    Str,
    object::{Node, Pod},
    quantity::human_bytes,
};
use headroom_planner::{
    Catalogue, Cluster, PlanError, Price, World,
    bound::PART_NAMES,
    catalogue::Arch,
    cluster::{Bond, bond, is_control_plane},
    fleet::{Load, Placed},
    machine::{ARCH, Machine},
    moves,
    report::{Cheapest, NoSet, Placement, Plan, Waiting},
    search::{self, Question, TooMany},
    today,
    uses::Uses,
};

use super::{Ask, ESTIMATED, as_machines, bound, count, losses, placement, refused, wait_as_now};
use crate::plan::{ControlPlane, Options, catalogues};

/// Most machines of a plan where nobody says.
const MAX_NODES: usize = 10;
/// Most of what every set has, and of pods that cannot leave, that are named in one line.
const MAX_NAMED: usize = 10;

impl Ask<'_> {
    /// What today's nodes cost by a built-in catalogue that has their types, where the one that is asked has none.
    fn other_prices(&self, world: &World, asked: &Catalogue) -> Option<String> {
        let own = catalogues::of(self.cluster).filter(|own| own.name != asked.name)?;
        let (bill, _) = today::bill(&today::nodes(self.cluster, world, &own.offers));
        let why = if own.currency == asked.currency { "another provider's prices" } else { "another currency" };
        let nodes = count(self.cluster.nodes.len(), "node");
        let cost = own.money(bill);
        let (name, date) = (&own.name, &own.date);
        Some(format!(
            "today's {nodes} cost {cost} a month by catalogue {name} of {date}: {why}, so nothing is subtracted"
        ))
    }

    /// `plan --cheapest`.
    pub(super) fn cheapest(&self, options: &Options) -> anyhow::Result<Plan> {
        let catalogue = self.needed_catalogue()?;
        let cluster = self.cluster;
        let world = cluster.world(self.scheduler).map_err(PlanError::from)?;
        let now = today::nodes(cluster, &world, &catalogue.offers);
        let (bill, unpriced) = today::bill(&now);
        let others;
        let mut load = Load::new(cluster, self.scheduler, [])?;
        let question = Question {
            catalogue,
            swap: options.swap,
            max_nodes: options.max_nodes.unwrap_or_else(|| MAX_NODES.max(cluster.nodes.len())),
            survive: options.survive > 0,
            keep: options.keep.iter().map(Str::from).collect(),
            separate: options.control_plane.map(|place| place == ControlPlane::Separate),
        };
        let mut answer = search::cheapest(&load, &question)?;
        let nothing = answer.placed.is_none() && answer.too_many.is_none();
        // Who waits whatever the machines must not be in the way of the others. Pods of DaemonSets are not: each waits for
        // a node of its own.
        let mut waiting = if nothing { self.without_a_place()? } else { Vec::new() };
        waiting.retain(|pod| !is_of_daemon(cluster, pod));
        if !waiting.is_empty() {
            others = without(cluster, &waiting);
            load = Load::new(&others, self.scheduler, [])?;
            answer = search::cheapest(&load, &question)?;
        }
        // What a part of them costs is no bill to compare with.
        let known = unpriced == 0;
        let mut plan = self.answer("Cheapest", now);
        if !known {
            plan.assumptions.extend(self.other_prices(&world, catalogue));
        }
        if options.swap != Some(0) {
            plan.assumptions.extend(catalogues::managed(cluster, catalogue));
        }
        let offered = catalogue.offers.iter().any(|offer| offer.swap);
        let planned = moves::counted(&answer.machines);
        let with_swap = planned.iter().any(|machines| machines.swap_bytes > 0);
        let has_swap = answer.swap > 0 && if planned.is_empty() { offered } else { with_swap };
        let immovable: Vec<Waiting> =
            answer.immovable.iter().map(|(key, why)| Waiting::new(key, why.clone())).collect();
        plan.assumptions.push(format!(
            "pods take what was learned of them, else what they declare; new machines have {} of swap for pods",
            if has_swap { human_bytes(answer.swap) } else { "none".to_owned() }
        ));
        if options.swap.is_some_and(|swap| swap > 0) && !offered {
            plan.assumptions
                .push(format!("no machine of catalogue {} can have swap: --swap does nothing", catalogue.name));
        }
        let servers = cluster.nodes.values().filter(|node| is_control_plane(node)).count();
        if servers > answer.control_planes {
            let some = format!("{} of {servers} servers of the control plane are planned", answer.control_planes);
            plan.assumptions.push(format!("{some}: two survive no loss that one does not (--keep NODE keeps more)"));
        }
        let without = match answer.control_planes {
            1 => Some("without the one server of the control plane pods run on, and nothing new is placed"),
            2 => Some("without one of the two servers of the control plane pods run on, and nothing new is placed"),
            _ => None,
        };
        plan.assumptions.extend(without.filter(|_| question.survive).map(str::to_owned));
        plan.assumptions.extend(down_with_their_nodes(&immovable).filter(|_| question.survive));
        let Some(mut placed) = answer.placed else {
            plan.fits = false;
            // Nothing costs less than nothing: that is not worth saying.
            let bound = Some(answer.lower_bound).filter(|bound| *bound > Price(0));
            plan.no_set = Some(NoSet { lower_bound_per_month: bound, sets_tried: answer.sets_tried, immovable });
            plan.summary = match &answer.too_many {
                Some(too_many) => cannot_be(too_many, question.max_nodes),
                None => not_found(&question, answer.lacking),
            };
            return Ok(plan);
        };
        let money = |price: Price| catalogue.money(price);
        let after = after(cluster, &answer.machines, &load, &placed);
        let (arrived, left_out) = daemons_that_wait(&answer.machines, &load, &placed);
        waiting.extend(left_out);
        plan.nodes = today::planned(&after, &placed.world, &catalogue.offers, &Uses::of(cluster));
        as_machines(&mut plan.nodes, &answer.machines);
        let estimated = plan.nodes.iter().any(|node| !node.overhead_measured);
        if estimated && plan.assumptions.iter().all(|line| line != ESTIMATED) {
            plan.assumptions.push(ESTIMATED.to_owned());
        }
        plan.assumptions.extend(images(cluster, &answer.machines));
        plan.price_per_month = Some(answer.price);
        plan.placements = moves::placements(&load, &placed.nodes);
        plan.placements.extend(arrived);
        plan.placements.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let saved = Price(bill.0 - answer.price.0);
        let less = if saved.0 >= 0 { "less" } else { "more" };
        let optimal = answer.lower_bound >= answer.price;
        let than = if known {
            format!(": {} {less} than today's {}", money(Price(saved.0.abs())), money(bill))
        } else {
            let nodes = count(cluster.nodes.len(), "node");
            format!("; what today's {nodes} cost is not known from catalogue {}", catalogue.name)
        };
        let machines = count(answer.machines.len(), "machine");
        let wait = if waiting.is_empty() { String::new() } else { format!("; {}", wait_as_now(waiting.len())) };
        plan.summary = format!("{} a month on {machines}{than}{wait}", money(answer.price));
        plan.fits = waiting.is_empty();
        for pod in &mut waiting {
            pod.waits_now = true;
        }
        waiting.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        plan.pending = waiting;
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
        plan.losses = losses(&after, &mut placed.world, options.fail_on);
        Ok(plan)
    }
}

/// What to say of images where machines are of several architectures, or of others than today's: what they exist for
/// nobody tells. They run where all nodes are of one architecture today.
fn images(cluster: &Cluster, machines: &[Machine]) -> Option<String> {
    fn archs<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>) -> BTreeSet<&'a str> {
        nodes.map(|node| node.meta.labels.get(ARCH).map_or(Arch::Amd64.as_str(), Str::as_str)).collect()
    }
    let (today, planned) = (archs(cluster.nodes.values()), archs(machines.iter().map(|machine| &machine.node)));
    if planned.len() <= 1 && planned == today {
        return None;
    }
    let sure = |arch: &&str| today.len() == 1 && today.contains(arch);
    let assumed: Vec<&str> = planned.iter().copied().filter(|arch| !sure(arch)).collect();
    (!assumed.is_empty()).then(|| format!("images are assumed to exist for {}", assumed.join(" and ")))
}

/// The cluster without these pods.
fn without(cluster: &Cluster, pods: &[Waiting]) -> Cluster {
    let named: BTreeSet<(&str, &str)> = pods.iter().map(|pod| (pod.namespace.as_str(), pod.name.as_str())).collect();
    let mut others = cluster.clone();
    others.pods.retain(|pod| !named.contains(&(&*pod.meta.key.namespace, &*pod.meta.key.name)));
    others
}

/// Whether it is a pod of a DaemonSet.
fn is_of_daemon(cluster: &Cluster, waiting: &Waiting) -> bool {
    let named = |pod: &&Arc<Pod>| {
        let key = &pod.meta.key;
        *key.namespace == *waiting.namespace && *key.name == *waiting.name
    };
    cluster.pods.iter().find(named).is_some_and(|pod| bond(pod) == Bond::Daemon)
}

/// What becomes of the pods of DaemonSets that wait for nodes which stay: where they go, and who waits on.
fn daemons_that_wait(machines: &[Machine], load: &Load<'_>, placed: &Placed) -> (Vec<Placement>, Vec<Waiting>) {
    let (mut placements, mut waiting) = (Vec::new(), Vec::new());
    for machine in machines {
        let node = machine.name();
        let arrived = load.arrived(&placed.world, machine);
        for pod in load.cluster.awaited(node) {
            if arrived.iter().any(|other| other.meta.key == pod.meta.key) {
                placements.push(placement(pod, None, node));
            } else {
                waiting.push(Waiting::new(&pod.meta.key, refused(&placed.world, pod, node)));
            }
        }
    }
    (placements, waiting)
}

/// What to say where nothing was found.
fn not_found(question: &Question<'_>, lacking: Option<usize>) -> String {
    let what = lacking.map(|part| format!("; {} is what there is too little of", PART_NAMES[part])).unwrap_or_default();
    let (most, catalogue) = (count(question.max_nodes, "machine"), &question.catalogue.name);
    format!("no set of at most {most} of {catalogue} was found on which everything fits{what}")
}

/// What to say where more machines are needed whatever is chosen than there may be.
fn cannot_be(too_many: &TooMany, most: usize) -> String {
    let (machines, named) = (too_many.machines, named(&too_many.which));
    format!("no set can have at most {}: {machines} are needed whatever is chosen: {named}", count(most, "machine"))
}

/// As many of these as are named.
fn named(all: &[String]) -> String {
    let named: Vec<&str> = all.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = match all.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

/// What to say of pods that no set of machines can save from the loss of their node.
fn down_with_their_nodes(immovable: &[Waiting]) -> Option<String> {
    let names: Vec<String> = immovable.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    let (which, named) = (count(names.len(), "pod"), named(&names));
    let text = if names.len() == 1 { "is down with its node" } else { "are down with their nodes" };
    (!names.is_empty()).then(|| format!("{which} that cannot leave {text}, whatever other machines there are: {named}"))
}

/// The cluster with these machines, for what is shown of its nodes.
fn after(cluster: &Cluster, machines: &[Machine], load: &Load<'_>, placed: &Placed) -> Cluster {
    let mut after = cluster.clone();
    after.nodes = machines.iter().map(|machine| (machine.name().clone(), machine.node.clone())).collect();
    after.samples = machines.iter().map(|machine| (machine.name().clone(), machine.sample.clone())).collect();
    let with_machines = machines.iter().flat_map(|machine| {
        let all = load.furniture(machine).into_iter().chain(load.arrived(&placed.world, machine));
        all.map(move |pod| bound(&pod, machine.name()))
    });
    let placed = load.pods.iter().zip(&placed.nodes).map(|(pod, node)| bound(pod, node));
    after.pods = placed.chain(with_machines).collect();
    after
}
