//! A node, what was measured on it, and the pods on it with their sums (memory-and-swap.md 5.0, 5.3; 5.12 (2), (13) to
//! (17), (25) to (28)). All sizes in bytes.

use super::{
    MIB, micros_between, narrow,
    params::Params,
    pressure::{PressureState, Psi},
    rounded, sane,
    swap::SwapBehavior,
};
use crate::time::Timestamp;

/// What the swap of a node is on (annotation `headroom.dev/swap-media`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SwapMedia {
    /// Local flash.
    #[default]
    Ssd,
    /// A hard disk, or a throttled network volume.
    Hdd,
    /// Compressed RAM: half of it is taken to be usable.
    Zram,
}

impl SwapMedia {
    /// The annotation's value; anything else is `None`, and is then ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ssd" => Some(Self::Ssd),
            "hdd" => Some(Self::Hdd),
            "zram" => Some(Self::Zram),
            _ => None,
        }
    }
}

/// What the model reads of a Node and of the lasting part of its NodeHeadroom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeMemory {
    /// `C`, `status.capacity.memory`.
    pub capacity: i64,
    /// `A`, `status.allocatable.memory`.
    pub allocatable: i64,
    /// `S`, real size of the swap ([`swap_capacity`]).
    pub swap: i64,
    /// `B`: the annotation, else what the NodeHeadroom says.
    pub behavior: SwapBehavior,
    /// The kubelet's hard eviction threshold for memory ([`Eviction::resolve`], [`default_eviction`]).
    pub eviction: i64,
    /// What the swap is on.
    pub media: SwapMedia,
    /// Control-plane or etcd protection applies ([`protected`]).
    pub protected: bool,
    /// Labelled `node-role.kubernetes.io/control-plane` or `…/master`: a larger system reserve is assumed.
    pub control_plane: bool,
    /// `O`, the working set that belonged to no pod when last measured; `None` = never measured.
    pub overhead: Option<i64>,
}

impl NodeMemory {
    /// The swap as far as it saves RAM: `S`, half of it on zram.
    #[must_use]
    pub const fn effective_swap(&self) -> i64 {
        let swap = if self.swap > 0 { self.swap } else { 0 };
        match self.media {
            SwapMedia::Zram => swap / 2,
            SwapMedia::Ssd | SwapMedia::Hdd => swap,
        }
    }

    /// `phi * S`: the swap that may be used at all.
    #[must_use]
    pub fn usable_swap(&self, params: &Params) -> i64 {
        rounded(self.effective_swap() as f64 * params.phi)
    }

    /// What decides a pod's swap limit here.
    #[must_use]
    pub fn swap_node(&self, params: &Params) -> super::swap::SwapNode {
        super::swap::SwapNode {
            behavior: self.behavior,
            memory: self.capacity,
            swap: self.swap,
            usable_swap: self.usable_swap(params),
        }
    }
}

/// `S`: what the Node says, else what was published from the kubelet's summary, else none.
#[must_use]
pub fn swap_capacity(node_info: Option<i64>, published: Option<i64>) -> i64 {
    node_info.or(published).unwrap_or(0).max(0)
}

/// Whether control-plane protection applies: the annotation `headroom.dev/protected` overrides the role label and the
/// mirror pods both ways (5.9, 5.12 (28)).
#[must_use]
pub fn protected(annotation: Option<bool>, role_label: bool, mirror_pod: bool) -> bool {
    annotation.unwrap_or(role_label || mirror_pod)
}

/// A hard eviction threshold of `/configz`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Eviction {
    /// A quantity, in bytes.
    Bytes(i64),
    /// A percentage of the capacity.
    Percent(f64),
}

impl Eviction {
    /// In bytes, between nothing and the capacity.
    #[must_use]
    pub fn resolve(self, capacity: i64) -> i64 {
        let capacity = capacity.max(0);
        match self {
            Self::Bytes(bytes) => bytes.max(0).min(capacity),
            Self::Percent(percent) => rounded(capacity as f64 * percent / 100.0).max(0).min(capacity),
        }
    }
}

/// The threshold to assume when `/configz` is not read: k3s and RKE2 have none, upstream's is 100Mi.
#[must_use]
pub fn default_eviction(kubelet_version: &str) -> i64 {
    let none = kubelet_version.contains("+k3s") || kubelet_version.contains("+rke2");
    if none { 0 } else { 100 * MIB }
}

/// One measurement of a node, as its NodeHeadroom has it. What is `None` is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    /// `W`.
    pub working_set: Option<i64>,
    /// `U`.
    pub swap_used: Option<i64>,
    /// Memory pressure in percent, when the kernel measures it.
    pub psi: Option<Psi>,
    /// Major page faults per second.
    pub major_faults: Option<f64>,
    /// The published state.
    pub state: PressureState,
    /// Since when.
    pub state_since: Option<Timestamp>,
    /// `status.intervalSeconds`.
    pub interval_seconds: Option<i64>,
}

impl Sample {
    /// `W`, when it can be true.
    #[must_use]
    pub fn valid_working_set(&self, capacity: i64) -> Option<i64> {
        self.working_set.filter(|&bytes| bytes >= 0 && bytes <= capacity)
    }

    /// `U`, when it can be true.
    #[must_use]
    pub fn valid_swap_used(&self, swap: i64) -> Option<i64> {
        self.swap_used.filter(|&bytes| bytes >= 0 && bytes <= swap.max(0))
    }

    /// The stall in percent that penalties and `cp-psi` use.
    #[must_use]
    pub fn some60(&self) -> Option<f64> {
        super::pressure::effective_some60(self.psi.as_ref(), self.major_faults)
    }
}

/// Swap in pages per second or faults per second from two readings of a counter; `None` when it went back or no time
/// passed.
#[must_use]
pub fn rate(before: u64, after: u64, from: Timestamp, to: Timestamp) -> Option<f64> {
    let micros = micros_between(from, to);
    if micros <= 0 {
        return None;
    }
    let grown = after.checked_sub(before)?;
    sane(grown as f64 / (micros as f64 / super::SECOND as f64))
}

/// What a sample says of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PodUsage {
    /// `w_q`.
    pub working_set: i64,
    /// `u_q`; `None` = not known, counted as 0.
    pub swap: Option<i64>,
    /// Sum over containers of what they may still swap; `None` when one of them is not known.
    pub swap_available: Option<i64>,
}

impl PodUsage {
    /// `w_q`, not negative.
    const fn w(&self) -> i64 {
        if self.working_set > 0 { self.working_set } else { 0 }
    }

    /// `u_q`, 0 when not known.
    fn u(&self) -> i64 {
        self.swap.unwrap_or(0).max(0)
    }
}

/// How far a pod is with taking what it will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Not in the sample.
    #[default]
    InFlight,
    /// In the sample, but it has just started.
    Warming,
    /// In the sample, with all it needs.
    Settled,
}

/// The phase of a pod of the sample taken at `sample_at`; compare with the time of the sample, not of the clock: what it
/// shows is the pod as it was then.
#[must_use]
pub fn phase(started: Option<Timestamp>, ready: bool, sample_at: Timestamp, params: &Params) -> Phase {
    let warmup = if ready { params.warmup_seconds } else { params.warmup_unready_seconds.max(params.warmup_seconds) };
    match started {
        Some(started) if sample_at >= super::after(started, warmup) => Phase::Settled,
        _ => Phase::Warming,
    }
}

/// A pod that is bound or assumed to a node and has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TrackedPod {
    /// `r_q` ([`Demand::reserved`](super::Demand)).
    pub reserved: i64,
    /// `d_q` ([`Demand::total`](super::Demand)).
    pub demand: i64,
    /// `L_q` on this node ([`swap::pod_limit`](super::swap::pod_limit)).
    pub swap_limit: i64,
    /// What the sample says of it, matched by UID (a static pod's is its `kubernetes.io/config.hash`).
    pub usage: Option<PodUsage>,
    /// How far it is; without usage it is in flight whatever stands here.
    pub phase: Phase,
    /// Has a deletion timestamp.
    pub terminating: bool,
}

/// What one pod adds to its node's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Contribution {
    /// What it will still take.
    pub growth: i64,
    /// What it may still swap.
    pub accessible: i64,
    /// `d_q`.
    pub demand: i64,
    /// Counts as in flight.
    pub in_flight: bool,
}

impl TrackedPod {
    /// Its part of the node's sums, given the real size of the node's swap.
    ///
    /// A terminating pod counts in growth and accessible swap only while it is in the sample (5.12 (14)).
    #[must_use]
    pub fn contribution(&self, swap: i64) -> Contribution {
        let demand = self.demand.max(0);
        let reserved = self.reserved.max(0);
        let limit = self.swap_limit.max(0);
        let Some(usage) = &self.usage else {
            if self.terminating {
                return Contribution { demand, ..Contribution::default() };
            }
            return Contribution { growth: reserved.max(demand), accessible: limit, demand, in_flight: true };
        };
        let target = if self.phase == Phase::Settled { reserved } else { reserved.max(demand) };
        let available = usage.swap_available.filter(|&bytes| bytes >= 0 && bytes <= swap.max(0));
        Contribution {
            growth: target.saturating_sub(usage.w()).saturating_sub(usage.u()).max(0),
            accessible: available.unwrap_or_else(|| limit.saturating_sub(usage.u()).max(0)),
            demand,
            in_flight: false,
        }
    }
}

/// Sums over the pods of a node. Adding and removing are exact inverses (the sums are wide enough never to saturate),
/// so keeping them gives what summing anew would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeSums {
    growth: i128,
    accessible: i128,
    demand: i128,
    freed_working_set: i128,
    freed_swap: i128,
    in_flight: i64,
    pods: i64,
}

impl NodeSums {
    /// The sums of these pods on a node with this much swap.
    pub fn of<'a>(pods: impl IntoIterator<Item = &'a TrackedPod>, swap: i64) -> Self {
        let mut sums = Self::default();
        for pod in pods {
            sums.add(&pod.contribution(swap));
        }
        sums
    }

    fn change(&mut self, one: &Contribution, sign: i64) {
        let wide = i128::from(sign);
        self.growth += wide * i128::from(one.growth);
        self.accessible += wide * i128::from(one.accessible);
        self.demand += wide * i128::from(one.demand);
        self.in_flight = self.in_flight.saturating_add(sign * i64::from(one.in_flight));
        self.pods = self.pods.saturating_add(sign);
    }

    /// A pod came.
    pub fn add(&mut self, one: &Contribution) {
        self.change(one, 1);
    }

    /// A pod went; `one` is what was added.
    pub fn remove(&mut self, one: &Contribution) {
        self.change(one, -1);
    }

    /// A pod of the sample is gone: what it held is free, although the sample still has it (5.12, preemption).
    pub fn credit(&mut self, usage: &PodUsage) {
        self.freed_working_set += i128::from(usage.w());
        self.freed_swap += i128::from(usage.u());
    }

    /// Takes back a [`Self::credit`]: the next sample came, or the pod is back in a dry run.
    pub fn debit(&mut self, usage: &PodUsage) {
        self.freed_working_set -= i128::from(usage.w());
        self.freed_swap -= i128::from(usage.u());
    }

    /// The node without this pod and what it holds: RemovePod of preemption's dry run, and the way to explain a pod
    /// that is already placed.
    pub fn take_out(&mut self, pod: &TrackedPod, swap: i64) {
        self.remove(&pod.contribution(swap));
        if let Some(usage) = &pod.usage {
            self.credit(usage);
        }
    }

    /// The inverse of [`Self::take_out`]; for a pod that is in no sample, AddPod.
    pub fn put_back(&mut self, pod: &TrackedPod, swap: i64) {
        self.add(&pod.contribution(swap));
        if let Some(usage) = &pod.usage {
            self.debit(usage);
        }
    }

    /// `growth(n)`.
    #[must_use]
    pub fn growth(&self) -> i64 {
        narrow(self.growth)
    }

    /// `Σ max(0, L(q,n) - u_q)`.
    #[must_use]
    pub fn accessible(&self) -> i64 {
        narrow(self.accessible)
    }

    /// `Σ d_q`.
    #[must_use]
    pub fn demand(&self) -> i64 {
        narrow(self.demand)
    }

    /// Working set of pods that are gone.
    #[must_use]
    pub fn freed_working_set(&self) -> i64 {
        narrow(self.freed_working_set)
    }

    /// Swap of pods that are gone.
    #[must_use]
    pub fn freed_swap(&self) -> i64 {
        narrow(self.freed_swap)
    }

    /// Pods in flight.
    #[must_use]
    pub const fn in_flight(&self) -> i64 {
        self.in_flight
    }

    /// Pods.
    #[must_use]
    pub const fn pods(&self) -> i64 {
        self.pods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases() {
        let params = Params::default();
        let at = Timestamp::from_secs;
        assert_eq!(phase(Some(at(1000)), true, at(1119), &params), Phase::Warming);
        assert_eq!(phase(Some(at(1000)), true, at(1120), &params), Phase::Settled);
        assert_eq!(phase(Some(at(1000)), false, at(1299), &params), Phase::Warming);
        assert_eq!(phase(Some(at(1000)), false, at(1300), &params), Phase::Settled);
        assert_eq!(phase(None, true, at(1300), &params), Phase::Warming);
    }

    #[test]
    fn terminating_pods_count_while_in_the_sample() {
        let gone = TrackedPod { reserved: 10, demand: 20, swap_limit: 5, terminating: true, ..TrackedPod::default() };
        assert_eq!(gone.contribution(100), Contribution { demand: 20, ..Contribution::default() });
        let leaving =
            TrackedPod { usage: Some(PodUsage { working_set: 4, swap: Some(1), swap_available: None }), ..gone };
        assert_eq!(leaving.contribution(100), Contribution { growth: 15, accessible: 4, demand: 20, in_flight: false });
    }

    #[test]
    fn observed_swap_is_preferred_unless_it_cannot_be_true() {
        let pod = |available| TrackedPod {
            swap_limit: 50,
            usage: Some(PodUsage { working_set: 0, swap: Some(10), swap_available: available }),
            ..TrackedPod::default()
        };
        assert_eq!(pod(Some(7)).contribution(100).accessible, 7);
        assert_eq!(pod(None).contribution(100).accessible, 40);
        assert_eq!(pod(Some(101)).contribution(100).accessible, 40);
    }

    #[test]
    fn taking_out_frees_what_the_sample_holds() {
        let pod = TrackedPod {
            reserved: 10,
            demand: 10,
            usage: Some(PodUsage { working_set: 4, swap: Some(3), swap_available: None }),
            ..TrackedPod::default()
        };
        let mut sums = NodeSums::of([&pod], 100);
        let before = sums;
        sums.take_out(&pod, 100);
        assert_eq!((sums.growth(), sums.demand(), sums.freed_working_set(), sums.freed_swap()), (0, 0, 4, 3));
        sums.put_back(&pod, 100);
        assert_eq!(sums, before);
    }

    #[test]
    fn eviction_and_capacity() {
        assert_eq!(default_eviction("v1.36.4+k3s1"), 0);
        assert_eq!(default_eviction("v1.36.4+rke2r1"), 0);
        assert_eq!(default_eviction("v1.36.4"), 100 * MIB);
        assert_eq!(Eviction::Percent(5.0).resolve(1000), 50);
        assert_eq!(Eviction::Percent(f64::NAN).resolve(1000), 0);
        assert_eq!(Eviction::Bytes(5000).resolve(1000), 1000);
        assert_eq!(swap_capacity(None, Some(5)), 5);
        assert_eq!(swap_capacity(Some(0), Some(5)), 0);
        assert!(
            !protected(Some(false), true, true) && protected(Some(true), false, false) && protected(None, false, true)
        );
    }

    #[test]
    fn rates() {
        let at = Timestamp::from_secs;
        assert_eq!(rate(100, 250, at(0), at(15)), Some(10.0));
        assert_eq!(rate(250, 100, at(0), at(15)), None);
        assert_eq!(rate(0, 100, at(15), at(15)), None);
    }
}
