//! Sets of machines as nodes, and the search for clusters that are too large for the ordered one.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use headroom_core::{Str, object::Node};

use super::{Answer, MAX_DECISIONS, SIZES_TRIED, Search, Set, unpaid};
use crate::{
    PlanError,
    catalogue::Offer,
    cluster::is_control_plane,
    fleet::{Fit, Placed},
    machine::{Machine, Names, Role, offer_of},
};

/// The price, how many machines have to be ordered, how many there are, and the memory of those that cost nothing.
type Costs = (i64, usize, usize, i64);

impl Search<'_> {
    /// The machines of a set. Nodes of today that are of a type are taken before new ones are ordered, those with the
    /// most pods first.
    pub(super) fn machines(&self, set: &Set) -> Vec<Machine> {
        let cluster = self.load.cluster;
        let offers = &self.question.catalogue.offers;
        let mut machines = self.kept.clone();
        let mut names = Names::default();
        let mut add = |offer: &Offer, role: &Role, count: usize| {
            let taken: BTreeSet<Str> = machines.iter().map(|machine| machine.name().clone()).collect();
            let free = |node: &&Arc<Node>| {
                !taken.contains(node.name())
                    && !self.full.contains(node.name())
                    && is_control_plane(node) == role.control_plane
                    && offer_of(node, offers).is_some_and(|(of, _)| of.name == offer.name)
            };
            let mut there: Vec<&Arc<Node>> = cluster.nodes.values().filter(free).collect();
            there.sort_by_key(|node| (Reverse(cluster.pods_on(node.name()).count()), node.name().clone()));
            let reused = there.iter().take(count).map(|node| {
                let mut machine = Machine::kept(cluster, node, Some(offer), self.swap);
                if role.control_plane {
                    // Whether it takes pods is for the plan to say.
                    let mut node = (*machine.node).clone();
                    node.unschedulable = false;
                    node.taints = role.taints.clone().into();
                    machine.node = Arc::new(node);
                }
                machine
            });
            let reused: Vec<Machine> = reused.collect();
            let prefix = if role.control_plane { "server-" } else { "" };
            let ordered = count.saturating_sub(reused.len());
            machines.extend(reused);
            for _ in 0..ordered {
                let name = names.next(prefix, cluster);
                machines.push(Machine::new(offer, &name, role, self.swap, cluster.now));
            }
        };
        if let Some(server) = self.servers.get(set.server) {
            add(server.offer, &self.server, self.server_count);
        }
        for (kind, count) in self.workers.iter().zip(&set.counts) {
            add(kind.offer, &self.worker, usize::from(*count));
        }
        machines
    }

    /// Whether these machines hold everything; what it takes is added to what is spent.
    pub(super) fn check(&self, machines: &[Machine], spent: &mut usize) -> Result<Fit, PlanError> {
        let before = *spent;
        let fit = self.load.check(machines, self.question.survive, spent, MAX_DECISIONS);
        self.decisions.set(self.decisions.get() + (*spent - before));
        fit
    }

    /// One type after another, as many as it takes: for clusters that are too large for the ordered search.
    pub(super) fn by_size(&self, bound: i64, mut tried: usize) -> Result<Answer, PlanError> {
        let mut best: Option<(Costs, Vec<Machine>, Box<Placed>)> = None;
        let mut spent = 0;
        for root in self.roots() {
            for (at, kind) in self.workers.iter().enumerate() {
                let mut set = root.clone();
                let most = self.question.max_nodes.saturating_sub(set.nodes);
                let sized = |set: &mut Set, count: usize| {
                    set.counts[at] = u16::try_from(count).unwrap_or(u16::MAX);
                    set.nodes = root.nodes.saturating_add(count);
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    set.price = root.price.saturating_add(kind.offer.price.0.saturating_mul(count));
                    set.unpaid = root.unpaid.saturating_add(unpaid(kind.offer).saturating_mul(count));
                };
                let enough = (0..=most).find(|count| {
                    sized(&mut set, *count);
                    self.load.needs.excluded(&self.rooms(&set)).is_none()
                });
                let Some(mut count) = enough else { continue };
                for _ in 0..SIZES_TRIED {
                    sized(&mut set, count);
                    let costs = (set.price, self.orders(&set), set.nodes, set.unpaid);
                    let beaten = best.as_ref().is_some_and(|(least, ..)| *least <= costs);
                    if count > most || beaten || spent >= MAX_DECISIONS {
                        break;
                    }
                    tried += 1;
                    let machines = self.machines(&set);
                    if let Fit::Fits(placed) = self.check(&machines, &mut spent)? {
                        best = Some((costs, machines, placed));
                        break;
                    }
                    count += 1 + count / 16;
                }
            }
        }
        Ok(match best {
            Some(((price, ..), machines, placed)) => self.answer(machines, Some(placed), bound.min(price), tried, None),
            None => self.answer(Vec::new(), None, bound, tried, None),
        })
    }
}
