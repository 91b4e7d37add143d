//! Floor, system reserve, age of samples, headroom `H` and accessible swap `Acc` (memory-and-swap.md 5.1, 5.4, 5.8).
//! All sizes in bytes.

use super::{
    MIB, SECOND, micros_between, narrow,
    node::{NodeMemory, NodeSums, Sample, SwapMedia},
    params::Params,
    pressure::PressureState,
    rounded_up,
    swap::{self, SwapNode},
    within,
};
use crate::time::Timestamp;

/// The poll interval in seconds that `freshSeconds` and `staleSeconds` are meant for.
pub const STANDARD_INTERVAL_SECONDS: i64 = 15;
/// Longest poll interval that a NodeHeadroom can claim.
const LONGEST_INTERVAL_SECONDS: i64 = 3600;
/// A sample this far in the future still counts as taken now.
const SKEW_SECONDS: i64 = 5;
/// Drift moves in steps of this.
const DRIFT_STEP_SECONDS: i64 = 5;
/// How long a stale node's pressure and swap use are believed.
const HOLD_SECONDS: i64 = 600;
/// How long a stale node's last working set is believed.
const LAST_SECONDS: i64 = 3600;
/// What a k3s server takes: p95 of its documented profile (1.7).
const SERVER_RESERVE: i64 = 1450 * MIB;

/// What is kept free on every node: for page cache, kswapd and the kubelet's eviction threshold.
#[must_use]
pub fn floor(capacity: i64, eviction: i64, params: &Params) -> i64 {
    let share = rounded_up(capacity.max(0) as f64 * params.floor_fraction);
    let share = share.max(params.floor_min_bytes).min(params.floor_max_bytes);
    share.max(eviction.max(0).saturating_add(params.floor_over_eviction_bytes)).max(0)
}

/// What the system is taken to use by the size of a machine, as GKE reserves it.
#[must_use]
pub fn reserve_ladder(capacity: i64) -> i64 {
    const GIB: i64 = 1024 * MIB;
    if capacity < GIB {
        return 255 * MIB;
    }
    let (mut rest, mut sum) = (capacity, 0.0);
    for (step, fraction) in [(4 * GIB, 0.25), (4 * GIB, 0.20), (8 * GIB, 0.10), (112 * GIB, 0.06), (i64::MAX, 0.02)] {
        let part = rest.min(step);
        sum += part as f64 * fraction;
        rest -= part;
    }
    rounded_up(sum)
}

/// `R_sys`: what the system is taken to use where no sample tells it.
#[must_use]
pub fn system_reserve(node: &NodeMemory) -> i64 {
    if let Some(measured) = node.overhead {
        return measured.max(0);
    }
    if node.allocatable < node.capacity {
        return 0;
    }
    let ladder = reserve_ladder(node.capacity);
    if node.control_plane { ladder.max(SERVER_RESERVE) } else { ladder }
}

/// `O`: the working set that belongs to no pod.
#[must_use]
pub fn measured_overhead(working_set: i64, pods: impl IntoIterator<Item = i64>) -> i64 {
    let pods = pods.into_iter().fold(0_i64, |sum, bytes| sum.saturating_add(bytes.max(0)));
    working_set.saturating_sub(pods).max(0)
}

/// How old a node's sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Staleness {
    /// Counts as it is.
    Fresh,
    /// Counts with a drift.
    Aging,
    /// Requests and history decide.
    Stale,
    /// There never was one that could be used.
    #[default]
    None,
}

impl Staleness {
    /// The name in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::Aging => "Aging",
            Self::Stale => "Stale",
            Self::None => "None",
        }
    }

    /// Whether the sample itself counts.
    #[must_use]
    pub const fn usable(self) -> bool {
        matches!(self, Self::Fresh | Self::Aging)
    }
}

/// Ages in seconds up to which a sample is fresh and aging, at the poll interval in force.
#[must_use]
pub fn limits(interval_seconds: Option<i64>, params: &Params) -> (i64, i64) {
    let interval = interval_seconds.unwrap_or(STANDARD_INTERVAL_SECONDS).clamp(1, LONGEST_INTERVAL_SECONDS);
    let scaled = |seconds: i64| seconds.saturating_mul(interval) / STANDARD_INTERVAL_SECONDS;
    (scaled(params.fresh_seconds), scaled(params.stale_seconds))
}

/// Everything the rules need of a node, worked out once per change of the node, its sample or its pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeState {
    /// How old the sample is.
    pub sample: Staleness,
    /// The same in whole seconds; `None` without a sample.
    pub age_seconds: Option<i64>,
    /// `H`; may be negative.
    pub headroom: i64,
    /// `H_est`: `H` from requests and history alone, for when no node has a usable sample.
    pub estimated_headroom: i64,
    /// `C`.
    pub capacity: i64,
    /// The floor in `H`.
    pub floor: i64,
    /// The growth in `H`.
    pub growth: i64,
    /// What decides a pod's swap limit.
    pub swap: SwapNode,
    /// `S` as far as it saves RAM (half on zram).
    pub effective_swap: i64,
    /// `U`, less what pods that are gone held; `None` = not known.
    pub swap_used: Option<i64>,
    /// `phi*S - U` and `Σ max(0, L(q,n) - u_q)`; `None` where no pod gets swap credit.
    pub swap_room: Option<(i64, i64)>,
    /// The pressure state as far as it is still believed.
    pub state: PressureState,
    /// Since when, when known.
    pub state_since: Option<Timestamp>,
    /// Stall in percent; `None` = not known.
    pub some60: Option<f64>,
    /// Control-plane protection applies.
    pub protected: bool,
    /// Hot fraction of swappable demand, by the kind of swap.
    pub hot_fraction: f64,
    /// Fraction of `Acc` that a pod may lean on, by the kind of swap.
    pub lean_fraction: f64,
    /// Pods in flight.
    pub in_flight: i64,
    /// Last moment at which this is true when nothing changes but the time; `None` = for ever.
    pub valid_until: Option<Timestamp>,
}

impl NodeState {
    /// The state of a node with this sample and these pods at `now`.
    #[must_use]
    pub fn new(node: &NodeMemory, sample: Option<&Sample>, sums: &NodeSums, now: Timestamp, params: &Params) -> Self {
        let capacity = node.capacity.max(0);
        let floor = floor(capacity, node.eviction, params);
        let growth = sums.growth();
        let swap = node.swap_node(params);
        let estimated_headroom = less(node.allocatable.max(0), &[system_reserve(node), sums.demand().max(0), floor]);
        let (hot_fraction, lean_fraction) = match node.media {
            SwapMedia::Hdd => (params.h_hdd, params.delta_f_hdd),
            SwapMedia::Ssd | SwapMedia::Zram => (params.h, params.delta_f),
        };
        let mut this = Self {
            sample: Staleness::None,
            age_seconds: None,
            headroom: estimated_headroom,
            estimated_headroom,
            capacity,
            floor,
            growth,
            swap,
            effective_swap: node.effective_swap(),
            swap_used: None,
            swap_room: None,
            state: PressureState::Calm,
            state_since: None,
            some60: None,
            protected: node.protected,
            hot_fraction,
            lean_fraction,
            in_flight: sums.in_flight(),
            valid_until: None,
        };
        let Some((sample, working_set)) =
            sample.and_then(|sample| Some((sample, sample.valid_working_set(node.capacity)?)))
        else {
            return this;
        };
        let age = micros_between(sample.at, now);
        if age < -SKEW_SECONDS * SECOND {
            // Not yet: it counts once the clock has come close enough.
            this.valid_until = Some(Timestamp(sample.at.0.saturating_sub(SKEW_SECONDS * SECOND).saturating_sub(1)));
            return this;
        }
        this.apply(sample, working_set, age.max(0), node, sums, params);
        // Times so far apart that their difference saturates must not ask for a new state without end.
        this.valid_until = this.valid_until.map(|until| until.max(now));
        this
    }

    /// What a sample of this age (microseconds) adds.
    fn apply(
        &mut self,
        sample: &Sample,
        working_set: i64,
        age: i64,
        node: &NodeMemory,
        sums: &NodeSums,
        params: &Params,
    ) {
        let (fresh, stale) = limits(sample.interval_seconds, params);
        let within_seconds = |seconds: i64| age <= seconds.saturating_mul(SECOND);
        let capacity = self.capacity as f64;
        let most = rounded_up(capacity * params.drift_max);
        self.age_seconds = Some(age / SECOND);
        // How long this holds: up to and with an age in microseconds.
        let mut until = None;
        let drift = if within_seconds(fresh) {
            self.sample = Staleness::Fresh;
            until = Some(fresh.saturating_mul(SECOND));
            Some(0)
        } else if within_seconds(stale) {
            self.sample = Staleness::Aging;
            let stepped = age / SECOND / DRIFT_STEP_SECONDS * DRIFT_STEP_SECONDS;
            let minutes = stepped.saturating_sub(fresh).max(0) as f64 / 60.0;
            let drift = rounded_up(capacity * params.drift_per_minute * minutes).min(most);
            let end = stale.saturating_mul(SECOND);
            let step = stepped.saturating_add(DRIFT_STEP_SECONDS).saturating_mul(SECOND).saturating_sub(1);
            until = Some(if drift < most { step.min(end) } else { end });
            Some(drift)
        } else {
            self.sample = Staleness::Stale;
            for limit in [LAST_SECONDS, HOLD_SECONDS] {
                if within_seconds(limit) {
                    until = Some(limit.saturating_mul(SECOND));
                }
            }
            within_seconds(LAST_SECONDS).then_some(most)
        };
        self.valid_until = until.map(|age| Timestamp(sample.at.0.saturating_add(age)));

        if let Some(drift) = drift {
            let held = working_set.saturating_sub(sums.freed_working_set().max(0)).max(0);
            let measured = less(self.capacity, &[held, drift.max(0), self.growth, self.floor]);
            self.headroom =
                if self.sample == Staleness::Stale { measured.min(self.estimated_headroom) } else { measured };
        }
        if self.sample == Staleness::Stale && !within_seconds(HOLD_SECONDS) {
            return;
        }
        self.state = sample.state;
        self.state_since = sample.state_since;
        self.some60 = sample.some60();
        self.swap_used =
            sample.valid_swap_used(node.swap).map(|used| used.saturating_sub(sums.freed_swap().max(0)).max(0));
        if self.sample.usable() && self.swap.behavior.gives_swap() && !self.protected {
            self.swap_room =
                self.swap_used.map(|used| (self.swap.usable_swap.saturating_sub(used), sums.accessible().max(0)));
        }
    }

    /// `Acc` for a pod with this swap limit here.
    #[must_use]
    #[inline]
    pub fn accessible(&self, pod_swap_limit: i64) -> i64 {
        match self.swap_room {
            Some((room, others)) if pod_swap_limit > 0 => room.min(others.saturating_add(pod_swap_limit)).max(0),
            _ => 0,
        }
    }

    /// The swap that the pods on the node may still use: `accessibleSwapBytes` of its NodeHeadroom.
    #[must_use]
    pub fn accessible_now(&self) -> i64 {
        self.swap_room.map_or(0, |(room, others)| room.min(others).max(0))
    }

    /// `L` for a pod with these eligible requests here.
    #[must_use]
    pub fn pod_swap_limit(&self, requests: &[i64]) -> i64 {
        swap::pod_limit(requests.iter().copied(), &self.swap)
    }

    /// The share of the swap in use, 0 to 1; `None` without swap or when it is not known.
    #[must_use]
    pub fn swap_fraction(&self) -> Option<f64> {
        let used = self.swap_used?;
        (self.effective_swap > 0).then(|| within(used as f64 / self.effective_swap as f64, 0.0, 1.0))
    }

    /// Whether the state is what it was at the last look: nothing to recompute at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now <= until)
    }
}

/// `from` less all of these, cut at the ends of `i64` only once.
fn less(from: i64, parts: &[i64]) -> i64 {
    narrow(parts.iter().fold(i128::from(from), |rest, &part| rest - i128::from(part)))
}

/// What holds for all nodes together (5.12 (1), (29)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cluster {
    /// There is no NodeHeadroom: the plugin passes every node and gives no score, as stock.
    pub inert: bool,
    /// There are, but no node has a usable sample: nothing is rejected, `H_est` scores.
    pub degraded: bool,
    /// Every node that takes pods is protected: protection only doubles the floor.
    pub soft: bool,
}

/// One node's part in [`ClusterCounts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeFacts {
    /// It has a NodeHeadroom.
    pub object: bool,
    /// Its sample counts ([`Staleness::usable`]).
    pub usable: bool,
    /// It is not cordoned.
    pub schedulable: bool,
    /// Control-plane protection applies.
    pub protected: bool,
}

/// Counts over all nodes, kept by adding and removing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClusterCounts {
    objects: u32,
    usable: u32,
    open: u32,
}

impl ClusterCounts {
    /// A node came.
    pub fn add(&mut self, node: &NodeFacts) {
        self.objects = self.objects.saturating_add(u32::from(node.object));
        self.usable = self.usable.saturating_add(u32::from(node.usable));
        self.open = self.open.saturating_add(u32::from(node.schedulable && !node.protected));
    }

    /// A node went; `node` is what was added.
    pub fn remove(&mut self, node: &NodeFacts) {
        self.objects = self.objects.saturating_sub(u32::from(node.object));
        self.usable = self.usable.saturating_sub(u32::from(node.usable));
        self.open = self.open.saturating_sub(u32::from(node.schedulable && !node.protected));
    }

    /// What follows.
    #[must_use]
    pub const fn cluster(&self) -> Cluster {
        Cluster { inert: self.objects == 0, degraded: self.objects > 0 && self.usable == 0, soft: self.open == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors() {
        let params = Params::default();
        let mib = |capacity: i64, eviction: i64| floor(capacity * MIB, eviction * MIB, &params) as f64 / MIB as f64;
        for (capacity, eviction, want) in [
            (512, 0, 64.0),
            (1024, 0, 81.92),
            (1024, 100, 132.0),
            (2048, 0, 163.84),
            (4096, 0, 327.68),
            (6400, 0, 512.0),
            (1 << 20, 0, 512.0),
        ] {
            assert!((mib(capacity, eviction) - want).abs() < 1e-5, "{capacity} {eviction}");
        }
    }

    #[test]
    fn ladder() {
        for (capacity, want) in [(512, 255), (1024, 256), (2048, 512), (4096, 1024), (8192, 1843), (16384, 2662)] {
            assert_eq!(reserve_ladder(capacity * MIB) / MIB, want, "{capacity}");
        }
        assert!(reserve_ladder(i64::MAX) > 0);
    }

    #[test]
    fn the_system_reserve_is_the_first_that_is_known() {
        let node = NodeMemory { capacity: 1024 * MIB, allocatable: 1024 * MIB, ..NodeMemory::default() };
        assert_eq!(system_reserve(&node), 256 * MIB);
        assert_eq!(system_reserve(&NodeMemory { control_plane: true, ..node }), 1450 * MIB);
        assert_eq!(system_reserve(&NodeMemory { allocatable: 900 * MIB, control_plane: true, ..node }), 0);
        assert_eq!(system_reserve(&NodeMemory { overhead: Some(7), allocatable: 900 * MIB, ..node }), 7);
        assert_eq!(measured_overhead(100, [30, 20]), 50);
        assert_eq!(measured_overhead(100, [30, i64::MAX]), 0);
    }

    #[test]
    fn classes_follow_the_interval() {
        let params = Params::default();
        assert_eq!(limits(None, &params), (45, 180));
        assert_eq!(limits(Some(15), &params), (45, 180));
        assert_eq!(limits(Some(60), &params), (180, 720));
        assert_eq!(limits(Some(i64::MIN), &params), (3, 12));
        assert_eq!(limits(Some(i64::MAX), &params), (10_800, 43_200));
    }

    #[test]
    fn a_state_holds_until_it_says() {
        let params = Params::default();
        let node = NodeMemory { capacity: 1024 * MIB, allocatable: 1024 * MIB, ..NodeMemory::default() };
        let taken = Timestamp::from_secs(10_000);
        let sample = Sample { at: taken, working_set: Some(500 * MIB), state: PressureState::Hot, ..Sample::default() };
        let state = |now| NodeState::new(&node, Some(&sample), &NodeSums::default(), now, &params);
        // Step through two hours: a state that says it holds equals one made anew but for its age.
        let mut kept = state(Timestamp(taken.0 - 20 * SECOND));
        assert_eq!(kept.sample, Staleness::None);
        let mut steps = 0;
        for half in -40..14_400 {
            for now in [taken.0 + half * SECOND / 2, taken.0 + half * SECOND / 2 + 1].map(Timestamp) {
                let anew = state(now);
                if !kept.holds_at(now) {
                    kept = anew;
                    steps += 1;
                }
                let same = NodeState { age_seconds: anew.age_seconds, ..kept };
                assert_eq!(same, anew, "at {half}/2 s");
            }
        }
        // future, fresh, 27 steps of drift, stale, no longer held, no longer the last
        assert!((20..40).contains(&steps), "{steps}");
        assert_eq!(kept.valid_until, None);
    }

    #[test]
    fn cluster_flags() {
        let mut counts = ClusterCounts::default();
        assert!(counts.cluster().inert);
        let server = NodeFacts { object: true, usable: false, schedulable: true, protected: true };
        counts.add(&server);
        assert_eq!(counts.cluster(), Cluster { inert: false, degraded: true, soft: true });
        let worker = NodeFacts { object: true, usable: true, schedulable: true, protected: false };
        counts.add(&worker);
        assert_eq!(counts.cluster(), Cluster::default());
        counts.remove(&worker);
        counts.add(&NodeFacts { schedulable: false, ..worker });
        assert_eq!(counts.cluster(), Cluster { soft: true, ..Cluster::default() });
    }
}
