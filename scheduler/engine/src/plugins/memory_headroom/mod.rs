//! `MemoryHeadroom`: only where the memory and the swap that are really left suffice, and rather where more is left
//! (memory-and-swap.md part 5; interfaces.md 2). Ours; upstream has nothing like it.
//!
//! The rules and formulas are `headroom_core::memory`'s; the sums per node are the cache's. Without any NodeHeadroom
//! the plugin skips itself: stock behaviour. When every sample is stale it rejects nothing (5.12 (1)).

mod args;

use headroom_core::{
    Str,
    memory::{
        Candidate, Context, Enforcement, MIB, NodeSums, NodeVerdict, Params, RawScore, judge,
        pressure::{EscapeNode, escape},
        score,
    },
    taint::{Effect, first_untolerated},
};
use serde_json::Value;

pub(crate) use self::args::args_value;
pub use self::args::params;
use crate::{
    cache::{MemoryIndex, NodeInfo, NodeMemoryInfo},
    cycle::hash_text,
    framework::{
        Actions, ArgsError, Change, Code, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter,
        PreScore, Signature, Status, TieKey, View,
    },
};

/// The plugin.
#[derive(Debug)]
pub struct MemoryHeadroom {
    params: Params,
}

/// Label of a namespace that overrides the argument `enforcement`.
pub const ENFORCEMENT_LABEL: &str = "headroom.dev/enforcement";

/// What a cycle works out once for the pod.
#[derive(Debug, Clone, Default)]
pub struct PodState {
    /// The pod as the rules see it.
    pub candidate: Candidate,
    /// What holds for all nodes.
    pub context: Context,
    /// The node that is open although it is hot.
    pub escape: Option<Str>,
    /// Pods taken to be on the node as well (nominated ones), or taken to be gone.
    extra: Option<Extra>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Extra {
    sums: NodeSums,
    now: headroom_core::Timestamp,
}

/// Every pod that is placed moves `Xmax` a little. While it stays within this part of what it was, 40 points at most times
/// twice this part are in doubt: a node in twelve has a score that may change.
const NEAR: f64 = 1.0 / 1024.0;

/// `Xmax`, at least 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Largest(f64);

impl Default for Largest {
    fn default() -> Self {
        Self(MIB as f64)
    }
}

impl MemoryHeadroom {
    /// From `MemoryHeadroomArgs`.
    ///
    /// # Errors
    /// Unknown fields, values out of range.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        Ok(Self { params: params(args)? })
    }

    /// What a cycle works out once; absent when the plugin is inert.
    #[must_use]
    pub fn pod_state(pod: &PodInfo, view: &View<'_>) -> Option<PodState> {
        let index = view.cache.memory()?;
        let (cluster, params) = (index.cluster(), index.params());
        if cluster.inert {
            return None;
        }
        let label = view
            .cache
            .namespace(&pod.pod.meta.key.namespace)
            .and_then(|n| n.meta.labels.get(ENFORCEMENT_LABEL).map(|v| v.to_ascii_lowercase()));
        let enforcement = match label.as_deref() {
            Some("filter") => Enforcement::Filter,
            Some("score") => Enforcement::Score,
            _ => params.enforcement,
        };
        let candidate = index.candidate(pod, view.now.wall);
        let escape = escape_node(pod, &candidate, view, params);
        Some(PodState { candidate, context: Context { cluster, escape: false, enforcement }, escape, extra: None })
    }

    /// The verdict on a node; absent when nothing is known of nodes.
    #[must_use]
    pub fn verdict(state: &PodState, node: &NodeInfo, params: &Params) -> Option<NodeVerdict> {
        let memory = node.memory.as_ref()?;
        let escape = state.escape.as_ref() == Some(&node.name);
        let context = Context { escape, ..state.context };
        match &state.extra {
            None => Some(judge(&state.candidate, &memory.state, &context, params)),
            Some(extra) => {
                let crowded = memory.state_with(&extra.sums, extra.now, params);
                Some(judge(&state.candidate, &crowded, &context, params))
            }
        }
    }
}

/// Whether pods that are in the last sample have left since: nobody is preempted for memory's sake before the next sample
/// shows what that came to (memory-and-swap.md 5.12, "Preemption").
fn awaits_sample(memory: &NodeMemoryInfo) -> bool {
    memory.sums.freed_working_set() > 0 || memory.sums.freed_swap() > 0
}

fn key(memory: &NodeMemoryInfo, verdict: &NodeVerdict) -> TieKey {
    let key = score::TieKey::new(&memory.state, verdict);
    [key.in_flight.saturating_neg(), key.headroom]
}

/// The way out when every node that the pod could go to has been hot for long (5.12 (24)).
fn escape_node(pod: &PodInfo, candidate: &Candidate, view: &View<'_>, params: &Params) -> Option<Str> {
    let since = view.unschedulable_since.unwrap_or(pod.pod.meta.created);
    let usable = |node: &NodeInfo| {
        let hard = [Effect::NoSchedule, Effect::NoExecute];
        !node.node.unschedulable && first_untolerated(&node.node.taints, &pod.pod.spec.tolerations, &hard).is_none()
    };
    let nodes = view.nodes().filter(|(_, n)| usable(n)).filter_map(|(_, n)| {
        let state = &n.memory.as_ref()?.state;
        Some(EscapeNode {
            name: &n.name,
            state: state.state,
            since: state.state_since,
            some60: state.some60,
            fits_ram: candidate.demand.total <= state.headroom,
        })
    });
    escape(nodes, Some(since), view.now.wall, params).map(Str::from)
}

impl Plugin for MemoryHeadroom {
    type Filter = PodState;
    type Score = PodState;
    type Raw = Option<RawScore>;
    type Bounds = Largest;

    fn name(&self) -> &'static str {
        "MemoryHeadroom"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score, Point::Reserve])
    }

    fn events(&self) -> Vec<Interest> {
        let node = Actions::ADD
            .or(Actions::UPDATE_NODE_ALLOCATABLE)
            .or(Actions::UPDATE_NODE_LABEL)
            .or(Actions::UPDATE_NODE_ANNOTATION)
            .or(Actions::UPDATE_NODE_TAINT);
        vec![
            Interest::always(EventResource::Node, node),
            Interest::always(EventResource::Pod, Actions::DELETE.or(Actions::UPDATE_POD_SCALE_DOWN)),
            Interest::hinted(EventResource::UnscheduledPod, Actions::UPDATE),
            Interest::always(EventResource::Namespace, Actions::ALL),
            Interest::hinted(EventResource::NodeHeadroom, Actions::ALL),
            Interest::hinted(EventResource::MemoryProfile, Actions::ALL),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
        let accepts = |state: &PodState, node: &NodeInfo| {
            !Self::verdict(state, node, &self.params).is_some_and(|verdict| verdict.rejected)
        };
        let wake = match change {
            Change::NodeHeadroom { node } => match (view.cache.node(node), Self::pod_state(pod, view)) {
                (Some(node), Some(state)) => {
                    // Where every node stays hot, the one that is open to this pod need not have news of its own.
                    let open = state.escape.as_ref().and_then(|name| view.cache.node(name));
                    accepts(&state, node) || open.is_some_and(|open| accepts(&state, open))
                }
                _ => true,
            },
            // What it changed for other pods shows in the nodes that they are on.
            Change::MemoryProfile(profile) => {
                let concerns = |index: &MemoryIndex| index.profiles().concerns(profile, &pod.pod);
                view.cache.memory().is_some_and(concerns)
                    && Self::pod_state(pod, view)
                        .is_none_or(|state| view.nodes().any(|(_, node)| accepts(&state, node)))
            }
            // Most news of a pod that waits are that it waits: our own condition on it.
            Change::Pod { old: Some(old), new: Some(new) } => {
                let adopted = old.pod.meta.controller() != new.pod.meta.controller();
                adopted || old.pod.meta.annotations != new.pod.meta.annotations || old.pod.spec != new.pod.spec
            }
            _ => true,
        };
        if wake { Hint::Queue } else { Hint::Skip }
    }

    fn signature(&self, pod: &PodInfo, view: &View<'_>, s: &mut Signature) {
        let Some(state) = Self::pod_state(pod, view) else {
            s.push(0);
            return;
        };
        let c = &state.candidate;
        let flags = [c.exempt, c.latency_critical, c.allow_protected, state.context.enforcement == Enforcement::Score];
        s.push(1 + flags.iter().fold(0, |bits, flag| bits * 2 + u64::from(*flag)));
        // Of the demand only what rules and score read; `request`, `reserved` and `source` are for people.
        for amount in [c.demand.total, c.demand.fixed, c.demand.swappable] {
            s.push(amount as u64);
        }
        s.push(c.eligible.len() as u64);
        for request in &c.eligible {
            s.push(*request as u64);
        }
        s.push(state.escape.as_ref().map_or(0, |node| hash_text(node) | 1));
    }

    fn epoch(&self, view: &View<'_>) -> u64 {
        let Some(index) = view.cache.memory() else { return 0 };
        let c = index.cluster();
        1 + u64::from(c.inert) + 2 * u64::from(c.degraded) + 4 * u64::from(c.soft)
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<PodState> {
        Self::pod_state(pod, view).map_or(PreFilter::Skip, PreFilter::Continue)
    }

    fn add_pod(&self, state: &mut PodState, _: &PodInfo, added: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        let (Some(memory), Some(index)) = (&node.memory, view.cache.memory()) else { return };
        let extra = state.extra.get_or_insert(Extra { sums: memory.sums, now: view.now.wall });
        // A pod that was only taken away is put back as it was.
        if let Some(tracked) = memory.tracked(added.uid()) {
            if !awaits_sample(memory) {
                extra.sums.put_back(&tracked, memory.node.swap);
            }
            return;
        }
        let candidate = index.candidate(added, view.now.wall);
        extra.sums.add(&memory.contribution_of(&candidate, &self.params));
    }

    fn remove_pod(&self, state: &mut PodState, _: &PodInfo, removed: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        let Some(memory) = &node.memory else { return };
        let extra = state.extra.get_or_insert(Extra { sums: memory.sums, now: view.now.wall });
        if let Some(tracked) = memory.tracked(removed.uid()).filter(|_| !awaits_sample(memory)) {
            extra.sums.take_out(&tracked, memory.node.swap);
        }
    }

    fn filter(&self, state: &PodState, _: &PodInfo, node: &NodeInfo) -> Status {
        let Some(verdict) = Self::verdict(state, node, &self.params) else { return Status::SUCCESS };
        let Some(reason) = verdict.reason() else { return Status::SUCCESS };
        let code = if verdict.rule.unresolvable() { Code::UnschedulableAndUnresolvable } else { Code::Unschedulable };
        Status::new(code, reason)
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], view: &View<'_>) -> PreScore<PodState> {
        Self::pod_state(pod, view).map_or(PreScore::Skip, PreScore::Continue)
    }

    fn score(&self, state: &PodState, pod: &PodInfo, node: &NodeInfo) -> Result<Option<RawScore>, Status> {
        self.score_and_key(state, pod, node).map(|(raw, _)| raw)
    }

    fn inside(&self, largest: &Largest, raw: &Option<RawScore>) -> bool {
        raw.as_ref().is_none_or(|raw| raw.x < largest.0)
    }

    fn bound(&self, bounds: &mut Largest, raw: &Option<RawScore>) {
        if let Some(raw) = raw {
            bounds.0 = bounds.0.max(raw.x);
        }
    }

    fn join(&self, bounds: &mut Largest, others: &Largest) -> bool {
        bounds.0 = bounds.0.max(others.0);
        true
    }

    fn around(&self, bounds: &Largest) -> Option<[Largest; 2]> {
        Some([1.0 - NEAR, 1.0 + NEAR].map(|by| Largest(bounds.0 * by)))
    }

    /// A score never rises with `Xmax` ([`RawScore::finish`]).
    fn between(&self, bounds: &Largest, [least, most]: &[Largest; 2]) -> bool {
        least.0 <= bounds.0 && bounds.0 <= most.0
    }

    fn normalize(&self, raw: &Option<RawScore>, bounds: &Largest) -> i64 {
        raw.as_ref().map_or(0, |raw| raw.finish(bounds.0))
    }

    fn tie_key(&self, state: &PodState, _: &PodInfo, node: &NodeInfo) -> TieKey {
        match (Self::verdict(state, node, &self.params), &node.memory) {
            (Some(verdict), Some(memory)) => key(memory, &verdict),
            _ => TieKey::default(),
        }
    }

    fn score_and_key(
        &self,
        state: &PodState,
        _: &PodInfo,
        node: &NodeInfo,
    ) -> Result<(Option<RawScore>, TieKey), Status> {
        Ok(match (Self::verdict(state, node, &self.params), &node.memory) {
            (Some(verdict), Some(memory)) => {
                let raw = score::raw(&state.candidate, &memory.state, &verdict, &self.params);
                (Some(raw), key(memory, &verdict))
            }
            _ => (None, TieKey::default()),
        })
    }
}

#[cfg(test)]
mod tests;
