//! The memory model: how much RAM and swap a node can still give, what a pod will take, and which node suits it.
//!
//! Pure functions over plain structs (reference `memory-and-swap.md` part 5, read with 5.12). Sizes are bytes (`i64`),
//! times are [`Timestamp`](crate::time::Timestamp)s given by the caller, and percentages, rates and scores are `f64`. It
//! lives once and is used by the scheduler plugin, the node-headroom and memory-profile controllers and the CLI.
//!
//! | module | what it answers |
//! |---|---|
//! | [`params`] | the arguments of `MemoryHeadroomArgs`, defaults and validation |
//! | [`swap`] | which containers get swap and how much (`L`); which behaviour a kubelet has (`B`) |
//! | [`workload`] | whose pod it is, and what its MemoryProfile is called |
//! | [`profiles`] | the MemoryProfiles, by workload |
//! | [`peak`] | what a workload was seen to use: learning (learner) and decay (decider) |
//! | [`demand`](mod@demand) | what a pod will take (`d`), the part of it that cannot swap, what an unknown pod is taken to need (`D`) |
//! | [`node`] | a node, its sample, its pods, and their sums ([`NodeSums`]), kept by adding and removing |
//! | [`args`] | the parameters as a configuration has them |
//! | [`overrides`] | what annotations and labels say of a node by hand |
//! | [`headroom`] | floor, system reserve, age of a sample, `H` and `Acc` ([`NodeState`]) |
//! | [`filter`] | the rules in order: [`judge`] gives a [`NodeVerdict`], with all numbers for `explain` |
//! | [`score`] | 0 to 100, and the key that breaks ties |
//! | [`pressure`] | Calm, Elevated, Hot, Thrash with hysteresis; the escape when every node is hot |
//! | [`publish`] | when a NodeHeadroom is written |
//!
//! # How a scheduler uses it
//!
//! Per node it keeps [`NodeSums`] (add and remove a [`Contribution`] when a pod comes, goes or changes) and one
//! [`NodeState`], made anew when the node, its sample or its sums changed, or when [`NodeState::valid_until`] has passed.
//! Per pod (or class of equal pods) it makes one [`Candidate`]. Then [`judge`] and [`score::raw`] cost a few
//! multiplications per node and allocate nothing.
//!
//! ```
//! use headroom_core::{
//!     memory::{
//!         Candidate, ContainerKind, ContainerMemory, Context, MIB, NodeMemory, NodeState, NodeSums, Params,
//!         PodMemory, Qos, Rule, Sample, SwapBehavior, judge, score,
//!     },
//!     time::Timestamp,
//! };
//!
//! let params = Params::default();
//! let now = Timestamp::from_secs(1_800_000_000);
//!
//! // A pod that requests 64Mi and is limited to 256Mi, never seen before.
//! let containers =
//!     [ContainerMemory { kind: ContainerKind::App, request: Some(64 * MIB), limit: Some(256 * MIB) }];
//! let pod = PodMemory { containers: &containers, qos: Qos::Burstable, ..PodMemory::default() };
//! let candidate = Candidate::new(&pod, |_| None, params.default_demand_bytes, now, &params);
//! assert_eq!(candidate.demand.total, 160 * MIB);
//!
//! // A 1 GiB node with 2 GiB of swap, 620 MiB in use and 300 MiB swapped out, measured just now.
//! let node = NodeMemory {
//!     capacity: 1024 * MIB,
//!     allocatable: 1024 * MIB,
//!     swap: 2048 * MIB,
//!     behavior: SwapBehavior::LimitedSwap,
//!     ..NodeMemory::default()
//! };
//! let sample =
//!     Sample { at: now, working_set: Some(620 * MIB), swap_used: Some(300 * MIB), ..Sample::default() };
//! let state = NodeState::new(&node, Some(&sample), &NodeSums::default(), now, &params);
//!
//! let verdict = judge(&candidate, &state, &Context::default(), &params);
//! assert_eq!((verdict.rejected, verdict.rule), (false, Rule::RamAndSwap));
//! assert_eq!(verdict.headroom / MIB, 322);
//! assert_eq!(verdict.pod_swap_limit, 128 * MIB);
//! let raw = score::raw(&candidate, &state, &verdict, &params);
//! assert_eq!(raw.finish(score::x_max([raw.x])), 68);
//! ```

pub mod args;
pub mod demand;
pub mod filter;
pub mod footprint;
pub mod headroom;
pub mod node;
pub mod overrides;
pub mod params;
pub mod peak;
pub mod pressure;
pub mod profiles;
pub mod publish;
pub mod score;
pub mod swap;
pub mod workload;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use self::{
    demand::{ContainerKind, ContainerMemory, Demand, DemandSource, PodMemory, Qos, demand},
    filter::{Candidate, Context, Fits, NodeVerdict, Rule, judge},
    footprint::Footprints,
    headroom::{Cluster, ClusterCounts, NodeState, Staleness},
    node::{Contribution, NodeMemory, NodeSums, Phase, PodUsage, Sample, SwapMedia, TrackedPod},
    params::{Enforcement, ParamError, Params},
    peak::History,
    pressure::{Pressure, PressureState, Psi},
    profiles::Profiles,
    score::{RawScore, TieKey},
    swap::SwapBehavior,
    workload::{Link, Workload, workload_of},
};

/// 2^20 bytes.
pub const MIB: i64 = 1 << 20;

/// Microseconds in a second, the unit of `Timestamp`.
const SECOND: i64 = 1_000_000;

/// The nearest whole byte; NaN is 0 and values beyond `i64` are its ends.
fn rounded(x: f64) -> i64 {
    x.round() as i64
}

/// As [`rounded`], upwards: for what is kept free.
fn rounded_up(x: f64) -> i64 {
    x.ceil() as i64
}

/// A sum as `i64`, cut at its ends.
fn narrow(x: i128) -> i64 {
    i64::try_from(x).unwrap_or(if x < 0 { i64::MIN } else { i64::MAX })
}

/// `clamp` that does not panic when the bounds are reversed or NaN (parameters may come unvalidated).
#[inline]
fn within(x: f64, low: f64, high: f64) -> f64 {
    x.max(low).min(high)
}

/// A number that a sample gave, if it can be meant: finite and not negative.
fn sane(x: f64) -> Option<f64> {
    (x.is_finite() && x >= 0.0).then_some(x)
}

/// `seconds` after `at`.
fn after(at: crate::time::Timestamp, seconds: i64) -> crate::time::Timestamp {
    crate::time::Timestamp(at.0.saturating_add(seconds.saturating_mul(SECOND)))
}

/// Microseconds from `earlier` to `later`; negative when they are the other way round.
fn micros_between(earlier: crate::time::Timestamp, later: crate::time::Timestamp) -> i64 {
    later.0.saturating_sub(earlier.0)
}
