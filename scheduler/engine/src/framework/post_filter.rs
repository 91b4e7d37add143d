//! PostFilter: what may be done for a pod that fits nowhere, which is preemption (reference 1.1, 3.20).

use headroom_core::Str;

use super::{
    plugin::{Point, View},
    pod_info::PodInfo,
    profile::{CycleState, Profile},
    status::{Code, Status},
};
use crate::{
    cache::{NodeInfo, Slot},
    config::Extender,
    cycle::{Extenders, Nominated},
    extender::{ExtenderRequest, NamedVictims, NodeVictims, is_interested},
};

/// The answer of PostFilter.
#[derive(Debug, Clone, Default)]
pub struct PostFilter {
    /// Success with a node, or why nothing could be done.
    pub status: Status,
    /// The node that the pod is nominated to. `Some(None)` clears the nomination, `None` leaves it.
    pub nominated: Option<Option<Str>>,
    /// Pods to be removed so that the pod fits.
    pub preemption: Option<Preemption>,
    /// An extender has to be asked first: the cycle is run again with its answer.
    pub question: Option<Question>,
}

impl PostFilter {
    /// Nothing could be done, and the nomination stays as it is.
    #[must_use]
    pub fn failed(status: Status) -> Self {
        Self { status, ..Self::default() }
    }
}

/// What an extender has to be asked: comes from [`PostFilterCx::consult`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub(crate) extender: usize,
    pub(crate) request: ExtenderRequest,
}

/// Why there is no last word on candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consultation {
    /// To be handed on as [`PostFilter::question`].
    Ask(Question),
    /// An extender that must not be ignored failed.
    Failed(String),
}

/// What making room on one node takes.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node.
    pub node: Str,
    /// Most important first.
    pub victims: Vec<PodInfo>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// Pods that are to go from a node. The engine does what is needed: see `engine::preempt`.
#[derive(Debug, Clone)]
pub struct Preemption {
    /// The plugin that asks.
    pub plugin: &'static str,
    /// The node on which room is made.
    pub node: Str,
    /// The victims, most important first; those that are being deleted already included.
    pub victims: Vec<PodInfo>,
}

/// Why a node is not feasible.
#[derive(Debug, Clone, Copy)]
pub struct NodeRejection<'a> {
    /// Its slot.
    pub slot: Slot,
    /// The node.
    pub node: &'a NodeInfo,
    /// [`Code::Unschedulable`], [`Code::UnschedulableAndUnresolvable`] or [`Code::Pending`].
    pub code: Code,
}

/// What PostFilter plugins work with: the cluster, what became of each node, and dry runs of the profile's filters.
#[derive(Debug)]
pub struct PostFilterCx<'a> {
    /// The cluster.
    pub view: &'a View<'a>,
    pub(crate) rejected: &'a [(Slot, Code)],
    pub(crate) profile: &'a Profile,
    /// State of the cycle after PreFilter; plugins whose PreFilter did not run, or was skipped, have none.
    pub(crate) state: &'a CycleState,
    pub(crate) nominated: &'a Nominated,
    /// Whether PreFilter ended the cycle before all plugins had run it.
    pub(crate) stopped_at: Option<usize>,
    /// Number that differs from pod to pod, for an offset.
    pub(crate) hash: u64,
    /// Those of the configuration, with what they have said in this cycle.
    pub(crate) extenders: Option<Extenders<'a>>,
}

impl<'a> PostFilterCx<'a> {
    /// The nodes that are not feasible, in the order of their slots.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRejection<'a>> + use<'a> {
        let view = *self.view;
        let rejected = self.rejected;
        rejected
            .iter()
            .filter_map(move |(slot, code)| Some(NodeRejection { slot: *slot, node: view.row(*slot)?, code: *code }))
    }

    /// Whether PreFilter of this plugin has run: it does not when a plugin before it has rejected the pod for good.
    #[must_use]
    pub fn has_pre_filtered(&self, plugin: &str) -> bool {
        let Some(last) = self.stopped_at else { return true };
        let order = self.profile.at(Point::PreFilter);
        let place = |i: usize| order.iter().position(|at| *at == i);
        match self.profile.plugins.iter().position(|p| p.name() == plugin).and_then(place) {
            Some(mine) => place(last).is_none_or(|last| mine < last),
            None => false,
        }
    }

    /// A number that is the same for the same pod and seed, and otherwise arbitrary.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// What extenders with a `preemptVerb` leave of the candidates (`callExtenders`). They may name other nodes and other
    /// pods than those given. Different on purpose: what is left stays in the order given, where upstream's is random.
    ///
    /// # Errors
    /// [`Consultation`].
    pub fn consult(&self, pod: &PodInfo, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Consultation> {
        let Some(extenders) = self.extenders else { return Ok(candidates) };
        for (at, extender) in extenders.all.iter().enumerate() {
            if candidates.is_empty() {
                break;
            }
            if extender.preempt_verb.is_empty() || !is_interested(extender, pod) {
                continue;
            }
            let Some(answer) = extenders.answers.preemption(at) else {
                let nodes = candidates.iter().map(told).collect();
                let question = Question { extender: at, request: ExtenderRequest::Preempt { nodes } };
                return Err(Consultation::Ask(question));
            };
            let named = match answer {
                Ok(named) => named.iter().map(|n| self.resolve(extender, n)).collect::<Result<Vec<_>, _>>(),
                Err(error) => Err(error.clone()),
            };
            let mut left = match named {
                Ok(left) => left,
                Err(_) if extender.ignorable => continue,
                Err(error) => return Err(Consultation::Failed(error)),
            };
            if extender.ignorable {
                left.retain(|c| !c.victims.is_empty());
            } else if let Some(idle) = left.iter().find(|c| c.victims.is_empty()) {
                let node = idle.node.as_str();
                return Err(Consultation::Failed(format!("expected at least one victim pod on node {node:?}")));
            }
            left.sort_by_cached_key(|c| candidates.iter().position(|given| given.node == c.node).unwrap_or(usize::MAX));
            candidates = left;
        }
        Ok(candidates)
    }

    /// An extender's word, in terms of the cluster (`convertToVictims`).
    fn resolve(&self, extender: &Extender, named: &NamedVictims) -> Result<Candidate, String> {
        let name = named.node.as_str();
        let row = self.view.cache.slot(name).and_then(|slot| self.view.row(slot));
        let row = row.ok_or_else(|| format!("nodeinfo not found for node name {name:?}"))?;
        let victim = |uid: &Str| {
            row.pods.iter().find(|p| p.uid() == uid).cloned().ok_or_else(|| {
                let url = extender.url_prefix.as_str();
                format!(
                    "extender: {url} claims to preempt pod (UID: &{{{uid}}}) on node: {name}, but the pod is not found \
                     on that node"
                )
            })
        };
        let victims = named.pods.iter().map(victim).collect::<Result<_, String>>()?;
        Ok(Candidate { node: row.name.clone(), victims, violations: named.violations })
    }

    /// A node on which pods can be taken away and put back, to see whether `pod` would fit.
    #[must_use]
    pub fn dry_run(&self, pod: &'a PodInfo, slot: Slot) -> Option<DryRun<'a>> {
        let row = self.view.row(slot)?.clone();
        Some(DryRun {
            pod,
            slot,
            row,
            state: self.state.clone(),
            view: *self.view,
            profile: self.profile,
            nominated: self.nominated,
        })
    }
}

fn told(candidate: &Candidate) -> NodeVictims {
    let pod = |p: &PodInfo| (p.pod.meta.key.clone(), p.uid().clone());
    NodeVictims {
        node: candidate.node.clone(),
        pods: candidate.victims.iter().map(pod).collect(),
        violations: candidate.violations,
    }
}

/// See [`PostFilterCx::dry_run`].
#[derive(Debug)]
pub struct DryRun<'a> {
    pod: &'a PodInfo,
    slot: Slot,
    row: NodeInfo,
    state: CycleState,
    view: View<'a>,
    profile: &'a Profile,
    nominated: &'a Nominated,
}

impl DryRun<'_> {
    /// The node as it is at the moment.
    #[must_use]
    pub const fn node(&self) -> &NodeInfo {
        &self.row
    }

    fn tell(&mut self, other: &PodInfo, add: bool) {
        let view = View { overlay: Some((self.slot, &self.row)), ..self.view };
        self.profile.extend(&mut self.state, self.pod, other, &self.row, &view, add);
    }

    /// Takes a pod away.
    pub fn remove(&mut self, victim: &PodInfo) {
        if self.row.remove(victim.uid()).is_some() {
            self.tell(victim, false);
        }
    }

    /// Puts it back.
    pub fn put_back(&mut self, victim: &PodInfo) {
        self.row.add(victim.clone());
        self.tell(victim, true);
    }

    /// Whether the pod would fit, nominated pods taken into account.
    ///
    /// # Errors
    /// The rejection, or the text of a plugin's failure.
    pub fn fits(&self) -> Result<(), DryRunError> {
        let view = View { overlay: Some((self.slot, &self.row)), ..self.view };
        match self.profile.filter_with_nominated(&self.state, self.pod, &self.row, self.nominated, &view) {
            Ok(None) => Ok(()),
            Ok(Some(rejection)) => Err(DryRunError::Rejected(rejection.status)),
            Err(message) => Err(DryRunError::Failed(message)),
        }
    }
}

/// Why a pod would not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRunError {
    /// A plugin rejects it.
    Rejected(Status),
    /// A plugin failed.
    Failed(String),
}
