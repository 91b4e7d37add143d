//! The rules, in order, and the verdict on a node with all its numbers (memory-and-swap.md 5.5, 5.9; 5.12 (18) to
//! (24), (29)). All sizes in bytes.

use super::{
    demand::{Demand, PodMemory, demand},
    headroom::{Cluster, NodeState, Staleness},
    params::{Enforcement, Params},
    peak::History,
    pressure::PressureState,
    swap,
};
use crate::time::Timestamp;

/// A rule; its name stands in `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// DaemonSet and critical pods are not held back.
    Exempt,
    /// No node has a usable sample: nobody is held back.
    Degraded,
    /// Nothing goes to a node that is hot or thrashes.
    Pressure,
    /// The demand has to find RAM.
    Ram,
    /// The hot part of the demand has to find RAM.
    HotSet,
    /// The rest has to find RAM or swap.
    RamAndSwap,
    /// Protected nodes take small pods only.
    ProtectedPodCap,
    /// Protected nodes that swap take nothing.
    ProtectedSwap,
    /// Protected nodes that stall take nothing.
    ProtectedPsi,
    /// Protected nodes keep a reserve.
    ProtectedReserve,
}

impl Rule {
    /// The name in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::Degraded => "degraded",
            Self::Pressure => "pressure",
            Self::Ram => "ram",
            Self::HotSet => "hot-set",
            Self::RamAndSwap => "ram+swap",
            Self::ProtectedPodCap => "cp-podcap",
            Self::ProtectedSwap => "cp-swap",
            Self::ProtectedPsi => "cp-psi",
            Self::ProtectedReserve => "cp-reserve",
        }
    }

    /// Whether a rejection by it is UnschedulableAndUnresolvable: evicting pods would not help, or not soon.
    #[must_use]
    pub const fn unresolvable(self) -> bool {
        matches!(self, Self::Pressure | Self::ProtectedPodCap | Self::ProtectedPsi)
    }
}

/// Reason of [`Rule::Ram`] (interfaces.md 2; these strings are API).
pub const REASON_RAM: &str = "node(s) had too little memory headroom";
/// Reason of [`Rule::HotSet`].
pub const REASON_HOT_SET: &str = "node(s) had too little memory headroom for the hot part of the pod";
/// Reason of [`Rule::RamAndSwap`].
pub const REASON_RAM_AND_SWAP: &str = "node(s) had too little memory and swap headroom";
/// Reason of [`Rule::Pressure`] on a hot node.
pub const REASON_PRESSURE: &str = "node(s) were under memory pressure";
/// Reason of [`Rule::Pressure`] on a node that thrashes.
pub const REASON_THRASH: &str = "node(s) were thrashing";
/// Reason of the rules for protected nodes.
pub const REASON_PROTECTED: &str = "node(s) were protected control plane";

/// Where a pod fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fits {
    /// All of it in RAM.
    Ram,
    /// Its hot part in RAM, the rest partly in swap.
    Swap,
}

impl Fits {
    /// The name in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Swap => "swap",
        }
    }
}

/// What the rules need of a pod, worked out once per pod (or class of equal pods).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// What it will take.
    pub demand: Demand,
    /// Requests that earn swap ([`swap::eligible_requests`]).
    pub eligible: Box<[i64]>,
    /// Not held back by the rules.
    pub exempt: bool,
    /// No swap credit, whatever the node offers.
    pub latency_critical: bool,
    /// The rules for protected nodes do not apply.
    pub allow_protected: bool,
}

impl Candidate {
    /// The pod as the rules see it; arguments as of [`demand`].
    pub fn new(
        pod: &PodMemory<'_>,
        history: impl Fn(usize) -> Option<History>,
        default_demand: i64,
        now: Timestamp,
        params: &Params,
    ) -> Self {
        Self {
            demand: demand(pod, history, default_demand, now, params),
            eligible: swap::eligible_requests(pod).collect(),
            exempt: pod.exempt(params),
            latency_critical: pod.latency_critical(params),
            allow_protected: pod.allow_protected,
        }
    }
}

/// What a verdict depends on beside pod and node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// What holds for all nodes together.
    pub cluster: Cluster,
    /// This node was opened although it is hot ([`pressure::escape`](super::pressure::escape)).
    pub escape: bool,
    /// Refuse, or advise only: the argument, or the namespace's label.
    pub enforcement: Enforcement,
}

/// The verdict on one node, with the numbers that `explain` shows (interfaces.md 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeVerdict {
    /// Whether the pod must not go there.
    pub rejected: bool,
    /// The rule that failed (rejected or, with enforcement Score, advised against), else the last one checked.
    pub rule: Rule,
    /// Where it fits; `None` = it does not.
    pub fits: Option<Fits>,
    /// `H` as the rules used it; may be negative.
    pub headroom: i64,
    /// `Acc` as the rules used it.
    pub accessible_swap: i64,
    /// `L`, whatever `Acc` is.
    pub pod_swap_limit: i64,
    /// The growth in `H`.
    pub growth: i64,
    /// The floor in `H`.
    pub floor: i64,
    /// How old the sample is.
    pub sample: Staleness,
    /// The same in seconds; `None` without a sample.
    pub sample_age_seconds: Option<i64>,
    /// The pressure state.
    pub state: PressureState,
    /// Control-plane protection applies.
    pub protected: bool,
}

impl NodeVerdict {
    /// The reason of a rejection, one fixed string per rule; `None` when the node passed.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        if self.rejected { Some(self.text()) } else { None }
    }

    const fn text(&self) -> &'static str {
        match self.rule {
            Rule::HotSet => REASON_HOT_SET,
            Rule::RamAndSwap => REASON_RAM_AND_SWAP,
            Rule::Pressure => match self.state {
                PressureState::Thrash => REASON_THRASH,
                _ => REASON_PRESSURE,
            },
            Rule::ProtectedPodCap | Rule::ProtectedSwap | Rule::ProtectedPsi | Rule::ProtectedReserve => {
                REASON_PROTECTED
            }
            Rule::Ram | Rule::Exempt | Rule::Degraded => REASON_RAM,
        }
    }
}

/// Rules 4 to 6: where the pod fits, and the rule that decided.
#[inline]
fn fit(demand: &Demand, headroom: i64, accessible: i64, node: &NodeState) -> (Option<Fits>, Rule) {
    let in_ram = demand.total <= headroom;
    if accessible <= 0 {
        return (in_ram.then_some(Fits::Ram), Rule::Ram);
    }
    let room = headroom as f64;
    if demand.fixed as f64 + node.hot_fraction * demand.swappable as f64 > room {
        return (None, Rule::HotSet);
    }
    if demand.total as f64 > room + node.lean_fraction * accessible as f64 {
        return (None, Rule::RamAndSwap);
    }
    (Some(if in_ram { Fits::Ram } else { Fits::Swap }), Rule::RamAndSwap)
}

/// The table of 5.9: the first rule for protected nodes that the pod breaks.
fn protection(demand: &Demand, headroom: i64, node: &NodeState, params: &Params) -> Option<Rule> {
    let capacity = node.capacity as f64;
    if demand.total as f64 > params.control_plane_pod_fraction * capacity {
        return Some(Rule::ProtectedPodCap);
    }
    let swap = node.effective_swap as f64;
    if node.swap_used.is_some_and(|used| swap > 0.0 && used as f64 > params.control_plane_swap_fraction * swap) {
        return Some(Rule::ProtectedSwap);
    }
    if node.some60.is_some_and(|some60| some60 >= params.control_plane_psi_percent) {
        return Some(Rule::ProtectedPsi);
    }
    let reserve = (params.control_plane_reserve_bytes as f64).max(params.control_plane_reserve_fraction * capacity);
    ((headroom as f64) - (demand.total as f64) < reserve).then_some(Rule::ProtectedReserve)
}

/// May this pod go to this node? Constant time but for one step per eligible container; allocates nothing.
///
/// With `context.cluster.inert` the plugin is not to ask at all; the answer is then as in a degraded cluster.
#[must_use]
#[inline]
pub fn judge(pod: &Candidate, node: &NodeState, context: &Context, params: &Params) -> NodeVerdict {
    let demand = &pod.demand;
    let unsampled = context.cluster.degraded || context.cluster.inert;
    // The rules of 5.9 hold for this pod here; in soft mode the doubled floor stands in for them.
    let guarded = node.protected && !pod.exempt && !pod.allow_protected;
    let doubled = guarded && context.cluster.soft && !unsampled;

    let mut headroom = if unsampled { node.estimated_headroom } else { node.headroom };
    let mut floor = node.floor;
    if doubled {
        headroom = headroom.saturating_sub(node.floor);
        floor = floor.saturating_mul(2);
    }
    let pod_swap_limit = node.pod_swap_limit(&pod.eligible);
    let credit = !(pod.latency_critical || context.escape || unsampled);
    let accessible_swap = if credit { node.accessible(pod_swap_limit) } else { 0 };

    let (fits, last) = fit(demand, headroom, accessible_swap, node);
    let broken = if pod.exempt || unsampled {
        None
    } else if node.state.closed() && !context.escape {
        Some(Rule::Pressure)
    } else if let Some(rule) = (guarded && !doubled).then(|| protection(demand, headroom, node, params)).flatten() {
        Some(rule)
    } else {
        fits.is_none().then_some(last)
    };
    let rule = match broken {
        Some(rule) => rule,
        None if pod.exempt => Rule::Exempt,
        None if unsampled => Rule::Degraded,
        None => last,
    };
    NodeVerdict {
        rejected: broken.is_some() && context.enforcement == Enforcement::Filter,
        rule,
        // What a rule advises against fits nowhere, so that it scores 0.
        fits: if broken.is_some() { None } else { fits },
        headroom,
        accessible_swap,
        pod_swap_limit,
        growth: node.growth,
        floor,
        sample: node.sample,
        sample_age_seconds: node.age_seconds,
        state: node.state,
        protected: node.protected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_code() {
        use Rule::{HotSet, Pressure, ProtectedPodCap, ProtectedPsi, ProtectedReserve, ProtectedSwap, Ram, RamAndSwap};
        for rule in [Pressure, ProtectedPodCap, ProtectedPsi] {
            assert!(rule.unresolvable(), "{}", rule.as_str());
        }
        for rule in [Ram, HotSet, RamAndSwap, ProtectedSwap, ProtectedReserve] {
            assert!(!rule.unresolvable(), "{}", rule.as_str());
        }
    }
}
