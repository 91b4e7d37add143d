//! Whether one set of machines holds everything: tried with the engine, never estimated.
//!
//! First what runs on machines that stay is left there and the rest is placed, largest first; then everything is placed
//! anew; then, while there is budget, every way to share the pods out is gone through. That last search is complete: if
//! it ends, the set does not hold the pods (where the order of the pods makes no difference, see [`Load::order_free`]).

mod loss;
mod order;
mod waiting;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headroom_core::{
    Str,
    object::{Node, NodeHeadroom, Pod},
    quantity::human_bytes,
    taint::{Effect, first_untolerated},
};

use crate::{
    PlanError,
    bound::{self, Amounts, Needs, PART_NAMES, PARTS},
    cluster::{Bond, Cluster, HOSTNAME, WorkloadName, bond, copy, daemon_on, daemon_wants, is_control_plane, workload},
    machine::Machine,
    uses::Uses,
    world::{Scheduler, World},
};

/// Most pods for which all ways are gone through.
const MAX_SEARCHED: usize = 64;
/// Most decisions of that search for one set of machines.
const MAX_STEPS: usize = 2_000;

/// So many servers, and more, survive the loss of one: below that a control plane is gone with it.
pub const SURVIVING_SERVERS: usize = 3;

/// What has to be placed.
#[derive(Debug)]
pub struct Load<'a> {
    /// Where it comes from.
    pub cluster: &'a Cluster,
    /// Who places it.
    pub scheduler: &'a Scheduler,
    /// Pods that the scheduler places, the largest first.
    pub pods: Vec<Arc<Pod>>,
    /// What they need, in the same order.
    pub needs: Needs,
    /// The most that any of them has that may be swapped out, bytes.
    swappable: i64,
    /// Whether it depends on their order what fits, whatever the machines.
    ordered: bool,
    /// One pod of each DaemonSet.
    daemons: Vec<Arc<Pod>>,
    /// The static pods of one node of the control plane.
    statics: Vec<Arc<Pod>>,
    /// What pods take today.
    uses: Uses,
}

/// What became of a set of machines.
#[derive(Debug)]
pub enum Fit {
    /// Everything is placed.
    Fits(Box<Placed>),
    /// It cannot be: every way was tried, or the machines do not hold what comes with them.
    Never,
    /// No way was found.
    NotFound,
}

/// Where everything goes.
#[derive(Debug)]
pub struct Placed {
    /// The nodes, in the order of [`Load::pods`].
    pub nodes: Vec<Str>,
    /// The scheduler's own choices do not lead there: pods have to be steered.
    pub steered: bool,
    /// The engine with everything in its place.
    pub world: World,
}

impl<'a> Load<'a> {
    /// All pods of a cluster, and others that somebody wants besides.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn new(
        cluster: &'a Cluster,
        scheduler: &'a Scheduler,
        more: impl IntoIterator<Item = Arc<Pod>>,
    ) -> Result<Self, PlanError> {
        let world = World::new(scheduler, &cluster.others, cluster.now)?;
        // Gates hold pods back whatever the machines: they are nobody's load yet.
        let free = |pod: &&Arc<Pod>| bond(pod) == Bond::Free && pod.spec.scheduling_gates.is_empty();
        let all = cluster.pods.iter().filter(free).cloned().chain(more);
        let mut sized: Vec<(Amounts, Arc<Pod>)> = all.map(|pod| (bound::need(&world, &pod), pod)).collect();
        let total = bound::sum(sized.iter().map(|(need, _)| need));
        let share = |need: &Amounts| {
            let parts =
                need.iter().zip(&total).map(|(part, all)| if *all > 0 { *part as f64 / *all as f64 } else { 0.0 });
            parts.fold(0.0, f64::max)
        };
        sized.sort_by(|a, b| share(&b.0).total_cmp(&share(&a.0)).then_with(|| a.1.meta.key.cmp(&b.1.meta.key)));
        let swappable = sized.iter().map(|(_, pod)| bound::swappable(&world, pod)).max().unwrap_or(0);
        let needs = Needs::new(sized.iter().map(|(need, _)| *need).collect());
        let server = cluster.nodes.values().find(|node| is_control_plane(node));
        let statics = server.map_or_else(Vec::new, |server| {
            cluster.pods_on(server.name()).filter(|pod| bond(pod) == Bond::Static).cloned().collect()
        });
        let daemons = cluster.daemons().into_iter().cloned().collect();
        let pods: Vec<Arc<Pod>> = sized.into_iter().map(|(_, pod)| pod).collect();
        let needs = needs.apart(apart(&pods));
        let ordered = order::decides(&world, scheduler, &pods);
        Ok(Self { cluster, scheduler, pods, needs, swappable, ordered, daemons, statics, uses: Uses::of(cluster) })
    }

    /// The machines with what comes with them: static pods, pods of DaemonSets, also those that wait for room on a node
    /// that is there, as far as it has any.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn world(&self, machines: &[Machine]) -> Result<World, PlanError> {
        let mut world = self.furnished(machines)?;
        for machine in machines {
            self.let_in(&mut world, machine);
        }
        Ok(world)
    }

    /// The same without who waits.
    fn furnished(&self, machines: &[Machine]) -> Result<World, PlanError> {
        let mut world = World::new(self.scheduler, &self.cluster.others, self.cluster.now)?;
        for machine in machines {
            let furniture = self.furniture(machine);
            let sample = with_static_pods(&machine.sample, &world, &furniture, &self.uses);
            world.add_node(&machine.node, Some(&sample));
            for pod in &furniture {
                world.put(pod, machine.name());
            }
        }
        Ok(world)
    }

    /// The pods that come with a machine.
    #[must_use]
    pub fn furniture(&self, machine: &Machine) -> Vec<Arc<Pod>> {
        if machine.exists {
            return self.cluster.pods_on(machine.name()).filter(|pod| bond(pod) != Bond::Free).cloned().collect();
        }
        let daemons = self.daemons.iter().filter(|pod| daemon_wants(pod, &machine.node));
        let daemons = daemons.map(|pod| daemon_on(pod, machine.name()));
        let statics = self.statics.iter().filter(|_| machine.control_plane);
        let statics = statics.map(|pod| copy(pod, &format!("{}-on-{}", pod.meta.key.name, machine.name())));
        daemons.chain(statics).collect()
    }

    /// What a machine has for pods, alone.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn room(&self, machine: &Machine) -> Result<Option<Amounts>, PlanError> {
        let world = self.world(std::slice::from_ref(machine))?;
        let stands = machine.exists || !machine.control_plane || bound::keeps_reserve(&world, machine.name());
        Ok(bound::room(&world, machine.name(), self.swappable).filter(|_| stands))
    }

    /// Why a machine does not hold what comes with it, if it does not: the system, static pods, pods of DaemonSets, and
    /// what a server of the control plane keeps free. It is asked of one that exists as well: a node that is to be on
    /// another machine.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn too_small(&self, machine: &Machine) -> Result<Option<String>, PlanError> {
        let world = self.furnished(std::slice::from_ref(machine))?;
        let Some(left) = bound::left(&world, machine.name(), self.swappable) else { return Ok(None) };
        let (ram, system) = (machine.node.capacity.memory, machine.sample.system_overhead.unwrap_or(0));
        let takes = if machine.overhead_measured { "takes" } else { "is taken to need" };
        let of = format!("{takes} {} of {}", human_bytes(system), human_bytes(ram));
        // Whatever swap there is: it is for pods.
        if system >= ram {
            return Ok(Some(format!("the system {of}")));
        }
        Ok(match (0..PARTS).find(|part| left[*part] < 0) {
            Some(0) => Some(format!(
                "the system {of}, which leaves too little for its static pods, pods of DaemonSets and what is kept free"
            )),
            Some(part) => {
                let what = PART_NAMES[part];
                Some(format!("{what} of its static pods and pods of DaemonSets is more than it has"))
            }
            None if machine.control_plane && !bound::keeps_reserve(&world, machine.name()) => {
                Some(format!("the system {of}, which leaves less than a server of the control plane keeps free"))
            }
            None => None,
        })
    }

    /// Whether these machines hold everything, also without any one machine that may be lost when `survive` says so.
    /// Decisions are counted in `spent`; the search for a way ends when there are `most` of them.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn check(&self, machines: &[Machine], survive: bool, spent: &mut usize, most: usize) -> Result<Fit, PlanError> {
        let staying = machines.iter().any(|machine| machine.exists);
        let mut lost_one = false;
        for stay in [true, false] {
            if stay && !staying {
                continue;
            }
            let mut world = self.world(machines)?;
            let placed = self.by_the_scheduler(&mut world, machines, stay);
            let fits = placed.is_some();
            if let Some(nodes) = placed {
                if !survive || self.survives(&mut world, machines, &nodes) {
                    *spent += world.decisions();
                    return Ok(Fit::Fits(Box::new(Placed { nodes, steered: false, world })));
                }
                lost_one = true;
            }
            *spent += world.decisions();
            if fits && lost_one && !stay {
                // It holds everything, but not without one of the machines; other placements may.
                return Ok(Fit::NotFound);
            }
            if *spent >= most {
                return Ok(Fit::NotFound);
            }
        }
        if lost_one || self.pods.len() > MAX_SEARCHED {
            return Ok(Fit::NotFound);
        }
        let mut world = self.world(machines)?;
        let mut nodes = Vec::with_capacity(self.pods.len());
        let limit = MAX_STEPS.min(most.saturating_sub(*spent));
        let found = self.every_way(&mut world, machines, &mut nodes, limit);
        let survived = found == Some(true) && (!survive || self.survives(&mut world, machines, &nodes));
        *spent += world.decisions();
        Ok(match found {
            Some(true) if survived => Fit::Fits(Box::new(Placed { nodes, steered: true, world })),
            Some(false) if self.order_free(machines) => Fit::Never,
            _ => Fit::NotFound,
        })
    }

    /// One pod after another as the scheduler would, those that can stay first.
    fn by_the_scheduler(&self, world: &mut World, machines: &[Machine], stay: bool) -> Option<Vec<Str>> {
        let there: HashMap<&Str, &Machine> = machines.iter().filter(|m| m.exists).map(|m| (m.name(), m)).collect();
        let mut nodes: Vec<Option<Str>> = vec![None; self.pods.len()];
        if stay {
            for (pod, node) in self.pods.iter().zip(&mut nodes) {
                let may = |name: &&Str| there.get(name).is_some_and(|machine| self.may_stay(pod, machine));
                let stays = pod.node_name.as_ref().filter(may);
                if let Some(name) = stays {
                    world.put(pod, name);
                    *node = Some(name.clone());
                }
            }
            if there.keys().any(|name| bound::overfull(world, name, self.swappable)) {
                return None;
            }
        }
        for (pod, node) in self.pods.iter().zip(&mut nodes) {
            if node.is_none() {
                *node = Some(world.place(pod).ok()?);
            }
        }
        nodes.into_iter().collect()
    }

    /// Whether a pod may go on where it is: a control plane that is to have its machines for itself, and has not today,
    /// gives its pods up.
    fn may_stay(&self, pod: &Pod, there: &Machine) -> bool {
        let effects = [Effect::NoSchedule, Effect::NoExecute];
        let refuses = |node: &Node| first_untolerated(&node.taints, &pod.spec.tolerations, &effects).is_some();
        let today = self.cluster.nodes.get(there.name());
        !there.control_plane || !refuses(&there.node) || today.is_some_and(|node| refuses(node))
    }

    /// Goes through every way to share the pods out, the tightest first. `Some(true)`: found; `Some(false)`: there is
    /// none; `None`: the limit came first.
    fn every_way(&self, world: &mut World, machines: &[Machine], nodes: &mut Vec<Str>, limit: usize) -> Option<bool> {
        let Some(pod) = self.pods.get(nodes.len()) else { return Some(true) };
        if world.decisions() >= limit {
            return None;
        }
        let mut tried: Vec<&Machine> = Vec::new();
        for name in world.feasible(pod) {
            let Some(machine) = machines.iter().find(|machine| *machine.name() == name) else { continue };
            let empty = !nodes.contains(&name);
            // One empty machine of a type is as good as the other.
            let same = |other: &&Machine| !other.exists && other.kind == machine.kind && !nodes.contains(other.name());
            if empty
                && !machine.exists
                && tried.iter().any(|other| same(other) && other.control_plane == machine.control_plane)
            {
                continue;
            }
            tried.push(machine);
            world.put(pod, &name);
            nodes.push(name);
            match self.every_way(world, machines, nodes, limit) {
                Some(false) => {}
                found => return found,
            }
            nodes.pop();
            world.take(pod);
        }
        Some(false)
    }
}

/// The sample of a machine with these pods on it. Nothing is learned of static pods, and many declare nothing: what they
/// take beyond what the model expects of them is part of the working set, as it is where they run.
#[must_use]
pub fn with_static_pods(
    sample: &Arc<NodeHeadroom>,
    world: &World,
    pods: &[Arc<Pod>],
    uses: &Uses,
) -> Arc<NodeHeadroom> {
    let statics = pods.iter().filter(|pod| bond(pod) == Bond::Static);
    let beyond = statics.map(|pod| uses.pod(pod).saturating_sub(bound::demand(world, pod)).max(0));
    let beyond = beyond.fold(0, i64::saturating_add);
    let mut with = (**sample).clone();
    let most = with.capacity.unwrap_or(i64::MAX);
    if let Some(bytes) = with.sample.as_mut().and_then(|sample| sample.working_set.as_mut()) {
        *bytes = bytes.saturating_add(beyond).min(most);
    }
    Arc::new(with)
}

/// The most pods of one workload that refuse to be on one node together.
fn apart(pods: &[Arc<Pod>]) -> usize {
    let mut groups: BTreeMap<WorkloadName, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        if let Some(name) = workload(pod) {
            groups.entry(name).or_default().push(pod);
        }
    }
    let refuses = |group: &Vec<&Arc<Pod>>| {
        let terms = |pod: &Pod| pod.spec.affinity.as_ref().map(|a| a.pod_anti_required.clone()).unwrap_or_default();
        group.iter().all(|pod| {
            terms(pod).iter().any(|term| {
                // Terms about other namespaces are left out: fewer groups are found, none too many.
                term.topology_key == *HOSTNAME
                    && term.namespaces.is_empty()
                    && term.namespace_selector.is_none()
                    && term.selector.as_ref().is_some_and(|s| group.iter().all(|other| s.matches(&other.meta.labels)))
            })
        })
    };
    groups.values().filter(|group| refuses(group)).map(Vec::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
