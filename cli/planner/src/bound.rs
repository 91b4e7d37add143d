//! What a set of machines cannot hold, whatever goes where: conditions that every placement meets, so that a price
//! below which all sets break one of them is a lower bound.
//!
//! A pod's need and a machine's room have four parts: memory by the model (learned peaks, and as much swap as the model
//! ever lets pods lean on), requested memory, requested CPU, and its place among the kubelet's pods. Pods that the
//! memory rules let in whatever they need (critical ones, namespaces that only score) need none by the model.

use headroom_core::{
    Str,
    memory::{Enforcement, Params},
    object::Pod,
};
use headroom_engine::{framework::PodInfo, plugins::memory_headroom::ENFORCEMENT_LABEL};

use crate::world::World;

/// Parts of a need.
pub const PARTS: usize = 4;
/// Names of the parts, for people.
pub const PART_NAMES: [&str; PARTS] =
    ["memory by learned peaks", "requested memory", "requested CPU", "number of pods"];
/// Memory by the model, requested memory, thousandths of a core, pods.
pub type Amounts = [i64; PARTS];

/// More than anything needs, and small enough to be added up.
const PLENTY: i64 = i64::MAX / 1024;
/// So many of the largest pods are looked at one by one.
const MAX_SIZES: usize = 64;

fn params(world: &World) -> Option<&Params> {
    world.engine().cache().memory().map(headroom_engine::cache::MemoryIndex::params)
}

/// What the memory rules want a node to have for a pod, bytes. `None` where they let it in whatever it needs: critical
/// pods, namespaces and configurations that only score.
#[must_use]
pub fn asked(world: &World, pod: &std::sync::Arc<Pod>) -> Option<i64> {
    let index = world.engine().cache().memory()?;
    let namespace = world.engine().cache().namespace(&pod.meta.key.namespace);
    let label = namespace.and_then(|n| n.meta.labels.get(ENFORCEMENT_LABEL));
    // As the plugin reads it: in whatever case, and a value that it does not know overrides nothing.
    let says = |value: &str| label.is_some_and(|label| label.eq_ignore_ascii_case(value));
    let filters = says("filter") || (index.params().enforcement == Enforcement::Filter && !says("score"));
    let candidate = index.candidate(&PodInfo::new(pod.clone()), world.now().wall);
    (filters && !candidate.exempt).then(|| candidate.demand.total.max(0))
}

/// What a pod needs at least.
#[must_use]
pub fn need(world: &World, pod: &std::sync::Arc<Pod>) -> Amounts {
    let info = PodInfo::new(pod.clone());
    let requests = &info.spec.requests;
    [asked(world, pod).unwrap_or(0), requests.memory, requests.milli_cpu, 1]
}

/// What the model expects a pod to take, whether or not a rule asks for it, bytes.
#[must_use]
pub fn demand(world: &World, pod: &std::sync::Arc<Pod>) -> i64 {
    let index = world.engine().cache().memory();
    let candidate = index.map(|index| index.candidate(&PodInfo::new(pod.clone()), world.now().wall));
    candidate.map_or(0, |candidate| candidate.demand.total.max(0))
}

/// The part of a pod's need by the model that may be swapped out, bytes.
#[must_use]
pub fn swappable(world: &World, pod: &std::sync::Arc<Pod>) -> i64 {
    let index = world.engine().cache().memory();
    let candidate = index.map(|index| index.candidate(&PodInfo::new(pod.clone()), world.now().wall));
    candidate.map_or(0, |candidate| candidate.demand.swappable.max(0))
}

/// By how much pods on a node can need more than its RAM at most: the last of them has found RAM for its hot part (rule
/// `hot-set`), and RAM and the part of the swap that it may lean on for all of it (rule `ram+swap`). `swap` is what can
/// be used of the node's swap, `swappable` the most that any pod has of it.
fn leaning(state: &headroom_core::memory::NodeState, swap: i64, swappable: i64) -> i64 {
    let lean = state.lean_fraction * swap.max(0) as f64;
    let cold = (1.0 - state.hot_fraction) * swappable.max(0) as f64;
    lean.min(cold).max(0.0).ceil() as i64
}

/// Whether more is on a node than it can hold, with the swap that its pods may lean on.
#[must_use]
pub fn overfull(world: &World, name: &Str, swappable: i64) -> bool {
    let row = world.engine().cache().node(name);
    let short = row.and_then(|row| row.memory.as_ref()).is_some_and(|memory| {
        let state = &memory.state;
        state.headroom.saturating_add(leaning(state, state.accessible_now(), swappable)) < 0
    });
    short || room(world, name, swappable).is_none()
}

/// What a machine of the world has left at most, as it stands there now, for pods of which none has more than
/// `swappable` bytes that may be swapped out. `None` when its system and the pods that come with it do not fit
/// themselves.
#[must_use]
pub fn room(world: &World, name: &Str, swappable: i64) -> Option<Amounts> {
    left(world, name, swappable).filter(|left| left.iter().all(|part| *part >= 0))
}

/// The same, with less than nothing of each part of which there is too little. `None` for a node that is not there.
#[must_use]
pub fn left(world: &World, name: &Str, swappable: i64) -> Option<Amounts> {
    let row = world.engine().cache().node(name)?;
    let memory = match (&row.memory, params(world)) {
        (Some(memory), Some(params)) if params.enforcement == Enforcement::Filter => {
            let state = &memory.state;
            let leans = state.swap.behavior.gives_swap() && !state.protected;
            let swap = if leans { memory.node.usable_swap(params) } else { 0 };
            state.headroom.saturating_add(leaning(state, swap, swappable))
        }
        _ => PLENTY,
    };
    let allocatable = &row.node.allocatable;
    let pods = i64::try_from(row.pods.len()).unwrap_or(i64::MAX);
    Some([
        memory.min(PLENTY),
        allocatable.memory.saturating_sub(row.requested.memory),
        allocatable.milli_cpu.saturating_sub(row.requested.milli_cpu),
        allocatable.pods.saturating_sub(pods),
    ])
}

/// What a control plane has to keep free for itself, by the rule that keeps pods off it.
#[must_use]
pub fn keeps_reserve(world: &World, name: &Str) -> bool {
    let row = world.engine().cache().node(name);
    match (row.and_then(|row| row.memory.as_ref()), params(world)) {
        (Some(memory), Some(params)) => {
            let share = (memory.node.capacity as f64 * params.control_plane_reserve_fraction) as i64;
            memory.state.headroom >= params.control_plane_reserve_bytes.max(share)
        }
        _ => true,
    }
}

/// Part by part.
#[must_use]
pub fn sum<'a>(all: impl IntoIterator<Item = &'a Amounts>) -> Amounts {
    all.into_iter().fold([0; PARTS], |sum, one| std::array::from_fn(|i| sum[i].saturating_add(one[i])))
}

/// Needs, sorted once for many questions.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    all: Vec<Amounts>,
    total: Amounts,
    /// Per part, descending.
    sizes: [Vec<i64>; PARTS],
    /// So many pods must be on as many machines.
    apart: usize,
}

impl Needs {
    /// Of these pods.
    #[must_use]
    pub fn new(all: Vec<Amounts>) -> Self {
        let sizes = std::array::from_fn(|part| {
            let mut sizes: Vec<i64> = all.iter().map(|need| need[part]).filter(|size| *size > 0).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes.truncate(MAX_SIZES);
            sizes
        });
        let total = sum(&all);
        Self { all, total, sizes, apart: 0 }
    }

    /// The same, when so many pods refuse each other's machine.
    #[must_use]
    pub fn apart(self, apart: usize) -> Self {
        Self { apart, ..self }
    }

    /// Everything together.
    #[must_use]
    pub const fn total(&self) -> &Amounts {
        &self.total
    }

    /// The part of which these machines have too little, whatever goes where; absent when they may do.
    #[must_use]
    pub fn excluded(&self, rooms: &[Amounts]) -> Option<usize> {
        let together = sum(rooms);
        if let Some(part) = (0..PARTS).find(|part| together[*part] < self.total[*part]) {
            return Some(part);
        }
        if rooms.len() < self.apart {
            return Some(PARTS - 1);
        }
        for (part, sizes) in self.sizes.iter().enumerate() {
            // A machine holds at most so many pods of at least this size.
            let too_few = |(i, size): (usize, &i64)| {
                let hold = rooms.iter().map(|room| room[part] / size).fold(0_i64, i64::saturating_add);
                usize::try_from(hold).unwrap_or(usize::MAX) <= i
            };
            if sizes.iter().enumerate().any(too_few) {
                return Some(part);
            }
        }
        let homeless = |need: &Amounts| !rooms.iter().any(|room| (0..PARTS).all(|part| need[part] <= room[part]));
        // Which part it is depends on the machine: memory is said, as it mostly is.
        self.all.iter().any(homeless).then_some(0)
    }

    /// The least that it costs to make up for what `rooms` together lack, in hundredths: for each part by the machine
    /// that gives most of it for its price, as if machines could be bought in parts (the linear relaxation of one part
    /// at a time).
    #[must_use]
    pub fn missing_costs(&self, together: &Amounts, offers: &[(i64, Amounts)]) -> i64 {
        let mut costs = 0.0_f64;
        for part in 0..PARTS {
            let missing = self.total[part].saturating_sub(together[part]);
            if missing <= 0 {
                continue;
            }
            let rates = offers.iter().filter(|(_, room)| room[part] > 0);
            let best = rates.map(|(price, room)| *price as f64 / room[part] as f64).fold(f64::INFINITY, f64::min);
            costs = costs.max(best * missing as f64);
        }
        // What rounding could add must not raise a lower bound.
        if costs.is_finite() { (costs * (1.0 - 1e-9)).ceil() as i64 } else { i64::MAX }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headroom_core::{
        Now,
        memory::MIB,
        object::{Meta, Namespace, ObjectKey},
        testing::pod,
    };
    use headroom_engine::Input;

    use super::*;
    use crate::world::Scheduler;

    #[test]
    fn namespaces_are_read_as_the_plugin_reads_them() {
        let small = pod("p").requests("100m", "64Mi").limits("", "64Mi");
        for (label, expected) in [
            (None, Some(64 * MIB)),
            (Some("score"), None),
            (Some("Score"), None),
            (Some("SCORE"), None),
            (Some("filter"), Some(64 * MIB)),
            (Some("scores"), Some(64 * MIB)),
        ] {
            let labels = label.map(|value| (ENFORCEMENT_LABEL, value)).into_iter().collect();
            let meta = Meta { key: ObjectKey::new("", "default"), labels, ..Meta::default() };
            let namespace = Input::NamespaceApplied(Arc::new(Namespace { meta, ..Namespace::default() }));
            let world = World::new(&Scheduler::standard(), &[namespace], Now::at_secs(1_800_000_000)).unwrap();
            assert_eq!(asked(&world, &small.clone().arc()), expected, "{label:?}");
            assert_eq!(need(&world, &small.clone().arc())[0], expected.unwrap_or(0), "{label:?}");
        }
        // Critical pods are let in wherever they are.
        let world = World::new(&Scheduler::standard(), &[], Now::at_secs(1_800_000_000)).unwrap();
        assert_eq!(asked(&world, &small.spec(|spec| spec.priority = 2_000_000_000).arc()), None);
    }

    #[test]
    fn what_cannot_be_held() {
        let needs = Needs::new(vec![[600, 0, 10, 1], [600, 0, 10, 1], [100, 0, 10, 1]]);
        assert_eq!(needs.total(), &[1300, 0, 30, 3]);
        let room = |memory: i64, cpu: i64| [memory, 0, cpu, 110];
        assert_eq!(needs.excluded(&[room(1000, 100)]), Some(0), "too little together");
        assert_eq!(needs.excluded(&[room(1000, 100), room(599, 100)]), Some(0), "two large pods, one machine for them");
        assert_eq!(needs.excluded(&[room(700, 100), room(600, 100)]), None);
        assert_eq!(needs.excluded(&[room(2000, 29)]), Some(2));
        assert_eq!(needs.excluded(&[[2000, 0, 100, 2]]), Some(3));
        assert_eq!(Needs::new(vec![[5, 0, 1, 1], [1, 0, 5, 1]]).excluded(&[[5, 0, 1, 9], [5, 0, 4, 9]]), Some(2));
        let two = Needs::new(vec![[1, 0, 1, 1], [1, 0, 1, 1]]).apart(2);
        assert_eq!((two.excluded(&[room(9, 9)]), two.excluded(&[room(9, 9), room(9, 9)])), (Some(3), None));
        let split = Needs::new(vec![[5, 0, 5, 1]]);
        assert_eq!(split.excluded(&[[5, 0, 1, 9], [1, 0, 5, 9]]), Some(0), "no machine has both");
    }

    #[test]
    fn what_is_missing_costs_at_least() {
        let needs = Needs::new(vec![[1000, 0, 100, 1]]);
        let offers = [(500, [500, 0, 1000, 110]), (900, [1000, 0, 1000, 110])];
        assert_eq!(needs.missing_costs(&[0; PARTS], &offers), 900);
        assert_eq!(needs.missing_costs(&[500, 0, 0, 0], &offers), 450);
        assert_eq!(needs.missing_costs(&[1000, 0, 100, 1], &offers), 0);
        assert_eq!(needs.missing_costs(&[0; PARTS], &[(500, [0, 0, 1000, 110])]), i64::MAX);
    }
}
