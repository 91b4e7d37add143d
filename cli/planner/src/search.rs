//! The cheapest set of machines on which everything fits.
//!
//! Sets are looked at in the order of their price (best first; what a set still lacks costs at least what the linear
//! relaxation of each part says), each one only once. A set that breaks a condition of [`crate::bound`] is passed over;
//! the others are tried with the engine. The first on which everything fits is the answer. The lower bound is the price
//! of the cheapest set that is neither excluded nor proven too small: mostly the answer's own.

mod kept;
mod kinds;
mod servers;
mod sets;

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use headroom_core::{
    Str,
    memory::{SwapBehavior, node::swap_capacity, overrides},
    object::{Node, ObjectKey, Pod},
    taint::{Effect, first_untolerated},
};

pub use self::kept::TooMany;
use self::{
    kept::Kept,
    servers::{control_planes, is_separate},
};
use crate::{
    PlanError,
    bound::{self, Amounts, PARTS},
    catalogue::{Catalogue, Offer, Price},
    cluster::{CONTROL_PLANE_ROLES, Cluster, is_control_plane},
    fleet::{Fit, Load, Placed, SURVIVING_SERVERS},
    machine::{Machine, Role, control_plane_taint, offer_of},
};

/// Most sets that are looked at.
const MAX_SETS: usize = 200_000;
/// Most sets that are kept to be looked at: some 200 bytes each.
const MAX_OPEN: usize = 1_000_000;
/// Most decisions of the engine for one search; with so many the last set is tried to its end.
pub const MAX_DECISIONS: usize = 40_000;
/// Where a set is looked for when the ordered search has spent its budget: so many sizes of each type.
const SIZES_TRIED: usize = 6;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// What can be had.
    pub catalogue: &'a Catalogue,
    /// Swap of each machine that can have some, bytes; absent: as much as the workers have today.
    pub swap: Option<i64>,
    /// Most machines.
    pub max_nodes: usize,
    /// The loss of any one worker must leave nobody without a place, nor that of one server of three or more.
    pub survive: bool,
    /// Nodes that stay as they are.
    pub keep: BTreeSet<Str>,
    /// Whether the control plane has its machines for itself; absent: as today.
    pub separate: Option<bool>,
}

/// The answer.
#[derive(Debug)]
pub struct Answer {
    /// The machines; none when no set was found.
    pub machines: Vec<Machine>,
    /// Where everything goes.
    pub placed: Option<Box<Placed>>,
    /// What they cost, as far as it is known.
    pub price: Price,
    /// No set can cost less.
    pub lower_bound: Price,
    /// Sets that were tried with the engine.
    pub sets_tried: usize,
    /// Decisions of the engine for them.
    pub decisions: usize,
    /// Pods that cannot leave their nodes, which are kept therefore.
    pub immovable: Vec<(ObjectKey, String)>,
    /// Swap of new workers, bytes.
    pub swap: i64,
    /// Machines of the control plane.
    pub control_planes: usize,
    /// Whether they are for themselves.
    pub separate: bool,
    /// Which part there is too little of, as far as one can say, when no set was found.
    pub lacking: Option<usize>,
    /// Machines that no set does without are more than may be: nothing was looked for.
    pub too_many: Option<TooMany>,
}

/// As much swap as any worker gives its pods today.
#[must_use]
pub fn swap_today(cluster: &Cluster) -> i64 {
    let of = |node: &Arc<Node>| {
        let sample = cluster.samples.get(node.name());
        let behavior = overrides::swap_behavior(&node.meta).or_else(|| sample.and_then(|s| s.swap_behavior));
        let gives = behavior.is_some_and(SwapBehavior::gives_swap);
        if gives { swap_capacity(node.swap_capacity, sample.and_then(|s| s.swap_capacity)) } else { 0 }
    };
    cluster.nodes.values().filter(|node| !is_control_plane(node)).map(of).max().unwrap_or(0)
}

/// One set of machines on its way: how many of each type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    /// What it costs at least when it is complete.
    least: i64,
    /// How many of them have to be ordered: at one price, what is there already is better.
    orders: usize,
    /// How many machines.
    nodes: usize,
    /// RAM of those that cost nothing, bytes: no price says that a small one is enough.
    unpaid: i64,
    /// Which type the control plane has.
    server: usize,
    /// Workers of each type.
    counts: Vec<u16>,
    /// What it costs as it is.
    price: i64,
    /// No type before this one is added any more: that set is looked at elsewhere.
    from: usize,
}

/// A type of the catalogue in one role, with what it has for pods.
struct Kind<'a> {
    offer: &'a Offer,
    room: Amounts,
    /// Nodes of today that are of it, in this role.
    there: usize,
}

/// Memory of a machine that costs nothing, bytes; none of one that is paid.
fn unpaid(offer: &Offer) -> i64 {
    if offer.price > Price(0) { 0 } else { offer.memory }
}

struct Search<'a> {
    load: &'a Load<'a>,
    question: &'a Question<'a>,
    swap: i64,
    separate: bool,
    worker: Role,
    server: Role,
    kept: Vec<Machine>,
    kept_rooms: Vec<Amounts>,
    workers: Vec<Kind<'a>>,
    servers: Vec<Kind<'a>>,
    server_count: usize,
    /// Whether some pod may go to new machines of the control plane.
    servers_open: bool,
    /// Nodes that are too small for pods of DaemonSets which wait for them: another machine takes their place.
    full: BTreeSet<Str>,
    /// Decisions of the engine so far.
    decisions: Cell<usize>,
}

/// The cheapest set of machines for a load.
///
/// # Errors
/// [`PlanError`]: a node that is to be kept does not exist, or no machine is large enough for anything.
pub fn cheapest(load: &Load<'_>, question: &Question<'_>) -> Result<Answer, PlanError> {
    let cluster = load.cluster;
    if let Some(unknown) = question.keep.iter().find(|name| !cluster.nodes.contains_key(*name)) {
        return Err(PlanError::NoSuchNode(unknown.to_string()));
    }
    let kept = Kept::of(cluster, &question.keep);
    let search = Search::new(load, question, &kept)?;
    let mut answer = match search.too_many(&kept) {
        Some(too_many) => Answer { too_many: Some(too_many), ..search.answer(Vec::new(), None, 0, 0, None) },
        None => search.run()?,
    };
    answer.immovable = kept.immovable;
    Ok(answer)
}

impl<'a> Search<'a> {
    fn new(load: &'a Load<'a>, question: &'a Question<'a>, kept: &Kept) -> Result<Self, PlanError> {
        let cluster = load.cluster;
        let swap = question.swap.unwrap_or_else(|| swap_today(cluster)).max(0);
        let separate = question.separate.unwrap_or_else(|| is_separate(cluster));
        let worker = Role::of(cluster, false);
        let mut server = Role::of(cluster, true);
        server.taints.retain(|taint| !CONTROL_PLANE_ROLES.contains(&taint.key.as_str()));
        if separate {
            server.taints.push(control_plane_taint());
        }
        let closing = [control_plane_taint()];
        let tolerates = |pod: &Arc<Pod>| {
            first_untolerated(&closing, &pod.spec.tolerations, &[Effect::NoSchedule, Effect::NoExecute]).is_none()
        };
        let offers = &question.catalogue.offers;
        let kept_nodes = kept.nodes.keys().filter_map(|name| cluster.nodes.get(name));
        let kept: Vec<Machine> = kept_nodes
            .map(|node| Machine::kept(cluster, node, offer_of(node, offers).map(|(offer, _)| offer), 0))
            .collect();
        let mut this = Self {
            load,
            question,
            swap,
            separate,
            kept_rooms: Vec::new(),
            workers: Vec::new(),
            servers: Vec::new(),
            server_count: 0,
            servers_open: !separate || load.pods.iter().any(tolerates),
            full: BTreeSet::new(),
            decisions: Cell::new(0),
            worker,
            server,
            kept,
        };
        for machine in &this.kept {
            // What is overfull already holds nothing more; what stays on it does so as it does today.
            let room = load.room(machine)?.unwrap_or([0; PARTS]);
            this.kept_rooms.push(room);
        }
        for node in cluster.nodes.values().filter(|node| cluster.awaited(node.name()).next().is_some()) {
            let offer = offer_of(node, offers).map(|(offer, _)| offer);
            if load.too_full(&Machine::kept(cluster, node, offer, swap))? {
                this.full.insert(node.name().clone());
            }
        }
        let today = cluster.nodes.values().filter(|node| is_control_plane(node)).count();
        let staying = this.kept.iter().filter(|machine| machine.control_plane).count();
        this.server_count = control_planes(today).saturating_sub(staying);
        this.workers = this.kinds(&this.worker)?;
        if this.server_count > 0 {
            this.servers = this.kinds(&this.server)?;
        }
        let nothing = this.workers.is_empty() && this.kept.is_empty() && (this.servers.is_empty() || separate);
        if nothing || (this.server_count > 0 && this.servers.is_empty()) {
            return Err(PlanError::NoUsableMachine(question.catalogue.name.clone()));
        }
        Ok(this)
    }

    /// What the machines of a set have for pods.
    fn rooms(&self, set: &Set) -> Vec<Amounts> {
        let mut rooms = self.kept_rooms.clone();
        if let Some(server) = self.servers.get(set.server).filter(|_| self.servers_open) {
            rooms.extend(std::iter::repeat_n(server.room, self.server_count));
        }
        for (kind, count) in self.workers.iter().zip(&set.counts) {
            rooms.extend(std::iter::repeat_n(kind.room, usize::from(*count)));
        }
        rooms
    }

    /// Sets a set's least price by what it lacks. False when nothing that may be added makes up for it.
    fn estimate(&self, set: &mut Set) -> bool {
        let together = bound::sum(&self.rooms(set));
        let offers: Vec<(i64, Amounts)> =
            self.workers.iter().skip(set.from).map(|kind| (kind.offer.price.0, kind.room)).collect();
        let missing = self.load.needs.missing_costs(&together, &offers);
        set.least = set.least.max(set.price.saturating_add(missing));
        set.orders = self.orders(set);
        missing < i64::MAX
    }

    /// How many machines of a set have to be ordered.
    fn orders(&self, set: &Set) -> usize {
        let ordered = |kind: &Kind<'_>, count: usize| count.saturating_sub(kind.there);
        let workers = self.workers.iter().zip(&set.counts).map(|(kind, count)| ordered(kind, usize::from(*count)));
        let servers = self.servers.get(set.server).map_or(0, |kind| ordered(kind, self.server_count));
        workers.sum::<usize>() + servers
    }

    /// The sets that one begins with: nothing but what is kept, and the control plane.
    fn roots(&self) -> Vec<Set> {
        let kept: Price = self.kept.iter().filter_map(|machine| machine.price).sum();
        let root = |server: usize, price: i64, unpaid: i64| Set {
            least: 0,
            orders: 0,
            nodes: self.kept.len() + self.server_count,
            unpaid,
            server,
            counts: vec![0; self.workers.len()],
            price: kept.0.saturating_add(price),
            from: 0,
        };
        if self.server_count == 0 {
            return vec![root(0, 0, 0)];
        }
        let count = i64::try_from(self.server_count).unwrap_or(i64::MAX);
        let times = |of_one: i64| of_one.saturating_mul(count);
        let of = |(at, kind): (usize, &Kind<'_>)| root(at, times(kind.offer.price.0), times(unpaid(kind.offer)));
        self.servers.iter().enumerate().map(of).collect()
    }

    fn run(&self) -> Result<Answer, PlanError> {
        let mut heap = BinaryHeap::new();
        let mut lacking = None;
        for mut root in self.roots() {
            if self.estimate(&mut root) {
                heap.push(Reverse(root));
            } else {
                lacking = self.load.needs.excluded(&self.rooms(&root));
            }
        }
        let (mut looked_at, mut tried, mut spent) = (0, 0, 0);
        // The cheapest set of which it is not known whether it would do.
        let mut unproven: Option<i64> = None;
        while let Some(Reverse(set)) = heap.pop() {
            looked_at += 1;
            if looked_at > MAX_SETS || heap.len() > MAX_OPEN || spent >= MAX_DECISIONS {
                let bound = unproven.map_or(set.least, |price| price.min(set.least));
                return self.by_size(bound, tried);
            }
            let rooms = self.rooms(&set);
            let excluded = self.load.needs.excluded(&rooms).or_else(|| self.cannot_lose_one(&set, &rooms));
            match excluded {
                Some(part) => lacking = Some(part),
                None if set.nodes == 0 && !self.load.pods.is_empty() => {}
                None => {
                    tried += 1;
                    let machines = self.machines(&set);
                    match self.check(&machines, &mut spent)? {
                        Fit::Fits(placed) => {
                            let bound = unproven.map_or(set.price, |price| price.min(set.price));
                            return Ok(self.answer(machines, Some(placed), bound, tried, None));
                        }
                        Fit::Never => {}
                        Fit::NotFound => unproven = unproven.or(Some(set.price)),
                    }
                }
            }
            if set.nodes >= self.question.max_nodes {
                continue;
            }
            for (at, kind) in self.workers.iter().enumerate().skip(set.from) {
                let mut next = set.clone();
                next.counts[at] = next.counts[at].saturating_add(1);
                next.price = next.price.saturating_add(kind.offer.price.0);
                next.unpaid = next.unpaid.saturating_add(unpaid(kind.offer));
                next.nodes += 1;
                next.from = at;
                if self.estimate(&mut next) {
                    heap.push(Reverse(next));
                }
            }
        }
        // Nothing was found among all sets of so many machines.
        Ok(self.answer(Vec::new(), None, unproven.unwrap_or(0), tried, lacking))
    }

    /// The part that is too little once a machine that may be lost is, if the question asks for that.
    fn cannot_lose_one(&self, set: &Set, rooms: &[Amounts]) -> Option<usize> {
        // A pod that cannot leave its node is lost with it whatever the rest has: that is the engine's to say.
        if !self.question.survive || !self.kept.is_empty() {
            return None;
        }
        let workers = self.workers.iter().zip(&set.counts).filter(|(_, count)| **count > 0).map(|(kind, _)| kind.room);
        let survives = self.servers_open && self.server_count >= SURVIVING_SERVERS;
        let server = self.servers.get(set.server).filter(|_| survives).map(|kind| kind.room);
        let together = bound::sum(rooms);
        workers.chain(server).find_map(|lost| {
            (0..PARTS).find(|part| together[*part].saturating_sub(lost[*part]) < self.load.needs.total()[*part])
        })
    }

    fn answer(
        &self,
        machines: Vec<Machine>,
        placed: Option<Box<Placed>>,
        bound: i64,
        sets_tried: usize,
        lacking: Option<usize>,
    ) -> Answer {
        Answer {
            price: machines.iter().filter_map(|machine| machine.price).sum(),
            machines,
            placed,
            lower_bound: Price(bound),
            sets_tried,
            decisions: self.decisions.get(),
            immovable: Vec::new(),
            swap: self.swap,
            control_planes: self.server_count + self.kept.iter().filter(|machine| machine.control_plane).count(),
            separate: self.separate,
            lacking,
            too_many: None,
        }
    }
}

#[cfg(test)]
mod tests;
