//! From a summary to what is believed of it: sanity of every number, rates, swap behaviour, pods (reference
//! memory-and-swap.md 1.4, 5.0, 5.7, 5.8, readings 15, 16, 26, 27). Sizes in bytes.

use hashbrown::HashMap;
use headroom_core::{
    Now, Str, Timestamp,
    memory::{
        ContainerKind, NodeState, NodeSums, Params, PodUsage, Psi, Sample, SwapBehavior,
        headroom::measured_overhead,
        node::rate,
        pressure::known_psi,
        swap::{self, ObservedSwap},
    },
    object::{Node, Pod},
};

use super::{
    configz::KubeletConfig,
    rows,
    summary::{ContainerStats, PodStats, Summary, SwapStats},
};
use crate::framework::World;

/// A kubelet's clock may be off by this much, in seconds, before its times are replaced (5.12 (26)).
pub const MAX_SKEW_SECONDS: i64 = 5;
/// No machine has more; beyond it a number is an underflow.
const LARGEST: i64 = 1 << 50;
/// A sample whose time is this much older than the last one comes from a clock that was set back, in seconds.
const SET_BACK_SECONDS: i64 = 60;

/// The counter of major faults when it was last read, on the kubelet's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Time of the sample.
    pub at: Timestamp,
    /// Major faults since boot.
    pub major_faults: Option<u64>,
}

/// What is known from before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// The last sample's counters.
    pub counters: Option<Counters>,
    /// What the system itself takes, last measured.
    pub overhead: Option<i64>,
}

/// A pod in the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID as in the sample.
    pub uid: Str,
    /// Working set.
    pub working_set: Option<i64>,
    /// Swap in use.
    pub swap: Option<i64>,
    /// Swap that its containers may still use, absent when that of any is not known.
    pub swap_available: Option<i64>,
}

/// A sample, as far as it is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// When it was taken: the kubelet's time, or ours when its clock is off.
    pub at: Timestamp,
    /// The same on the kubelet's clock.
    pub counters: Counters,
    /// By how many seconds the kubelet's clock is ahead of ours (negative: behind); absent when it did not say.
    pub skew_seconds: Option<i64>,
    /// `W`.
    pub working_set: Option<i64>,
    /// `U`.
    pub swap_used: Option<i64>,
    /// `S` as the kubelet shows it.
    pub swap_capacity: Option<i64>,
    /// `B`.
    pub behavior: SwapBehavior,
    /// PSI, if known.
    pub psi: Option<Psi>,
    /// Major faults per second.
    pub major_faults: Option<f64>,
    /// `O`.
    pub overhead: Option<i64>,
    /// The pods.
    pub pods: Vec<MeasuredPod>,
    /// It comes from metrics.k8s.io, which knows nothing else.
    pub ram_only: bool,
}

/// Whether the clocks are too far apart.
#[must_use]
pub fn skewed(skew_seconds: Option<i64>) -> bool {
    skew_seconds.is_some_and(|s| s.saturating_abs() > MAX_SKEW_SECONDS)
}

/// What a summary is.
#[derive(Debug, Clone, PartialEq)]
pub enum Assessment {
    /// It does not say when anything was measured.
    NoSample,
    /// Not newer than the last one: kubelets repeat what their housekeeping last saw.
    Repeated,
    /// A new sample.
    New(Box<Measured>),
}

/// What to believe of `summary`.
#[must_use]
pub fn assess(
    summary: &Summary,
    node: &Node,
    world: &World,
    config: Option<&KubeletConfig>,
    before: &Before,
    kubelet_time: Option<Timestamp>,
    received: Now,
) -> Assessment {
    let Some(raw) = summary.node.memory.time.or(summary.node.swap.time) else { return Assessment::NoSample };
    let mut counters_before = before.counters;
    if let Some(last) = before.counters
        && raw <= last.at
    {
        if last.at.since(raw).as_secs() < SET_BACK_SECONDS as u64 {
            return Assessment::Repeated;
        }
        counters_before = None;
    }
    // `Date` has whole seconds; half a second makes the difference fair.
    let said = kubelet_time.map(|t| t.0.saturating_add(500_000).saturating_sub(received.wall.0) / 1_000_000);
    let ahead = raw.0.saturating_sub(received.wall.0) / 1_000_000;
    let skew = said.or((ahead > MAX_SKEW_SECONDS).then_some(ahead));
    let mut at = raw;
    if skewed(skew) {
        at = Timestamp(raw.0.saturating_sub(skew.unwrap_or(0).saturating_mul(1_000_000)));
    }
    // Whatever the clocks say, nothing is measured after it was received.
    let at = at.min(received.wall).truncated();

    let capacity = node.capacity.memory;
    let working_set =
        summary.node.memory.working_set_bytes.and_then(|w| i64::try_from(w).ok()).filter(|w| *w <= capacity);
    let shown = shown_capacity(&summary.node.swap);
    let swap = swap_of(node, shown);
    let swap_used = summary.node.swap.swap_usage_bytes.and_then(|u| swap::used(u, swap));
    let faults = summary.node.memory.major_page_faults;
    let major_faults = counters_before.and_then(|last| rate(last.major_faults?, faults?, last.at, raw));
    let uptime = summary.node.start_time.map_or(0, |start| raw.secs().saturating_sub(start.secs()));
    let psi = summary.node.memory.psi;
    let (some, full) = (psi.some.and_then(|l| l.line()), psi.full.and_then(|l| l.line()));
    let psi = known_psi(some.as_ref(), full.as_ref(), uptime, swap_used, major_faults);

    let known = known_pods(node, world);
    let pods: Vec<MeasuredPod> = summary.pods.iter().map(|pod| measured_pod(pod, swap)).collect();
    let overhead =
        working_set.map(|w| measured_overhead(w, pods.iter().filter_map(|pod| pod.working_set))).or(before.overhead);
    let observed = summary.pods.iter().flat_map(|stats| {
        let row = known.get(stats.pod_ref.uid.as_str()).copied();
        observed_swap(stats, row)
    });
    let behavior =
        swap::detect(rows::behavior_override(node), config.map(|c| c.swap_behavior.as_deref()), swap, observed);
    Assessment::New(Box::new(Measured {
        at,
        counters: Counters { at: raw, major_faults: faults },
        skew_seconds: skew,
        working_set,
        swap_used,
        swap_capacity: shown,
        behavior,
        psi,
        major_faults,
        overhead,
        pods,
        ram_only: false,
    }))
}

/// The swap of the machine as the kubelet shows it: available and used.
fn shown_capacity(stats: &SwapStats) -> Option<i64> {
    let (available, used) = (stats.swap_available_bytes?, stats.swap_usage_bytes?);
    i64::try_from(available.checked_add(used)?).ok().filter(|sum| *sum <= LARGEST)
}

/// `S`: the Node's, else the kubelet's.
pub(super) fn swap_of(node: &Node, shown: Option<i64>) -> i64 {
    headroom_core::memory::node::swap_capacity(node.swap_capacity, shown)
}

/// The behaviour that annotation or configuration decide, whatever the containers show.
pub(super) fn configured_behavior(node: &Node, config: &KubeletConfig) -> Option<SwapBehavior> {
    let told = swap::detect(rows::behavior_override(node), Some(config.swap_behavior.as_deref()), 0, []);
    (told != SwapBehavior::Unknown).then_some(told)
}

/// The node's pods by the UID of the sample.
fn known_pods<'a>(node: &Node, world: &'a World) -> HashMap<&'a str, &'a Pod> {
    world.pods.on_node(node.name()).map(|pod| (rows::sample_uid(pod), &**pod)).collect()
}

/// Age of a container when its swap was looked at, in seconds.
fn age(container: &ContainerStats) -> Option<i64> {
    let looked = container.swap.time.or(container.memory.time)?;
    Some(looked.secs().saturating_sub(container.start_time?.secs()))
}

/// What a pod's containers show of the swap behaviour.
fn observed_swap(stats: &PodStats, row: Option<&Pod>) -> Vec<ObservedSwap> {
    let (names, specs) = row.map(rows::containers).unwrap_or_default();
    let memory = row.map(|pod| rows::pod_memory(pod, &specs));
    let eligible = |name: &str| {
        let Some(memory) = &memory else { return false };
        names.iter().zip(&specs).any(|(n, c)| *n == name && c.kind != ContainerKind::Init && swap::eligible(memory, c))
    };
    stats
        .containers
        .iter()
        .map(|c| ObservedSwap {
            available: c.swap.swap_available_bytes,
            usage: c.swap.swap_usage_bytes,
            eligible: eligible(&c.name),
            age_seconds: age(c),
        })
        .collect()
}

fn measured_pod(stats: &PodStats, swap: i64) -> MeasuredPod {
    let sane = |bytes: Option<u64>| bytes.and_then(|b| i64::try_from(b).ok()).filter(|b| *b <= LARGEST);
    let sum = |each: &dyn Fn(&ContainerStats) -> Option<i64>| {
        if stats.containers.is_empty() {
            return None;
        }
        stats.containers.iter().map(each).try_fold(0_i64, |sum, one| Some(sum.saturating_add(one?)))
    };
    // Numbers of a young container come from the runtime and say 0/0 whatever it swapped.
    let limit = |c: &ContainerStats| {
        let seen = ObservedSwap {
            available: c.swap.swap_available_bytes,
            usage: c.swap.swap_usage_bytes,
            eligible: false,
            age_seconds: age(c),
        };
        seen.limit(swap)
    };
    let used = |c: &ContainerStats| c.swap.swap_usage_bytes.and_then(|u| swap::used(u, swap));
    let young = stats
        .containers
        .iter()
        .any(|c| c.swap.swap_usage_bytes == Some(0) && age(c).is_some_and(|age| age < swap::YOUNG_SECONDS));
    let pod_level = stats.swap.swap_usage_bytes.and_then(|u| swap::used(u, swap));
    MeasuredPod {
        namespace: stats.pod_ref.namespace.clone(),
        name: stats.pod_ref.name.clone(),
        uid: stats.pod_ref.uid.as_str().into(),
        working_set: sane(stats.memory.working_set_bytes).or_else(|| sum(&|c| sane(c.memory.working_set_bytes))),
        // Before 1.34 the pod's own figure is missing (k/k#131915); the containers' then has to do.
        swap: pod_level.filter(|used| *used > 0 || !young).or_else(|| if young { None } else { sum(&used) }),
        swap_available: sum(&|c| limit(c).and(c.swap.swap_available_bytes).and_then(|a| swap::used(a, swap))),
    }
}

/// `H` and `Acc` at the time of the sample, for people: deciders recompute them with the pods in flight.
#[must_use]
pub fn headroom(
    measured: &Measured,
    memory: &headroom_core::memory::NodeMemory,
    node: &Node,
    world: &World,
    params: &Params,
) -> Option<(i64, i64)> {
    measured.working_set?;
    let usage: HashMap<&str, &MeasuredPod> = measured.pods.iter().map(|pod| (&*pod.uid, pod)).collect();
    let swap_node = memory.swap_node(params);
    let tracked = world.pods.on_node(node.name()).filter(|pod| !pod.is_terminal()).map(|pod| {
        let candidate = rows::candidate(pod, world, measured.at, params);
        let usage = usage.get(rows::sample_uid(pod)).and_then(|seen| {
            Some(PodUsage { working_set: seen.working_set?, swap: seen.swap, swap_available: seen.swap_available })
        });
        rows::tracked(pod, &candidate, usage, &swap_node, measured.at, params)
    });
    let mut sums = NodeSums::default();
    for pod in tracked {
        sums.add(&pod.contribution(memory.swap));
    }
    let sample = Sample {
        at: measured.at,
        working_set: measured.working_set,
        swap_used: measured.swap_used,
        psi: measured.psi,
        major_faults: measured.major_faults,
        ..Sample::default()
    };
    let state = NodeState::new(memory, Some(&sample), &sums, measured.at, params);
    Some((state.headroom, state.accessible_now()))
}
