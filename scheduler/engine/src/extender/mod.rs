//! HTTP extenders in a pure engine (`pkg/scheduler/extender.go`; reference 4.5; DESIGN.md 12).
//!
//! A cycle that needs an extender's answer stops: the engine hands out an [`ExtenderCall`], holds the queue meanwhile as
//! upstream's loop does, and when the answer comes it runs the cycle again from its beginning with what has been
//! answered so far ([`Answers`]). Nodes that appeared meanwhile were not asked about and are left out; nodes that
//! vanished are left out as well. The shell makes the calls, with their time-outs.

mod answers;
mod wire;

use headroom_core::{Str, intent::IntentId, object::ObjectKey};

pub(crate) use self::answers::{Answers, Filtered};
pub use self::wire::{decode, request_body};
use crate::{
    config::Extender,
    framework::{Actions, EventResource, Interest, Plugin, PodInfo, Points},
};

/// The pseudo plugin that stands for all extenders among those that rejected a pod. Any event brings the pod back:
/// nobody knows what an extender waits for.
pub const NAME: &str = "Extender";
/// Scores of extenders go from 0 to this.
pub const MAX_PRIORITY: i64 = 10;
/// Most nodes and victims that an answer may name.
pub const MAX_ANSWER: usize = 100_000;

/// Stands for all extenders in the queue's books: it extends no point, and every event concerns it.
#[derive(Debug)]
pub(crate) struct AnyExtender;

impl Plugin for AnyExtender {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points::default()
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::always(EventResource::Any, Actions::ALL)]
    }
}

/// What an extender is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtenderRequest {
    /// Which of these nodes are feasible.
    Filter {
        /// In the order of the cache.
        nodes: Vec<Str>,
    },
    /// How good these nodes are.
    Prioritize {
        /// In the order of the cache.
        nodes: Vec<Str>,
    },
    /// Which of these nodes may be made room on for the pod, and by removing whom.
    Preempt {
        /// The candidates.
        nodes: Vec<NodeVictims>,
    },
    /// To bind the pod.
    Bind {
        /// Where.
        node: Str,
    },
}

/// The pods that would have to go from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVictims {
    /// The node.
    pub node: Str,
    /// Keys and UIDs, most important first.
    pub pods: Vec<(ObjectKey, Str)>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// An extender's word on a node in [`ExtenderAnswer::Preempt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedVictims {
    /// The node.
    pub node: Str,
    /// UIDs of the pods that are to go.
    pub pods: Vec<Str>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// A call that the shell is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtenderCall {
    /// Comes back with the answer.
    pub id: IntentId,
    /// Which of the configuration's extenders.
    pub extender: usize,
    /// The pod.
    pub pod: ObjectKey,
    /// Its UID.
    pub uid: Str,
    /// What is asked.
    pub request: ExtenderRequest,
}

/// What it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtenderAnswer {
    /// To [`ExtenderRequest::Filter`].
    Filter {
        /// The nodes that are left; absent means none, as upstream reads it.
        nodes: Option<Vec<Str>>,
        /// Nodes that failed, with reasons.
        failed: Vec<(Str, String)>,
        /// Nodes that failed and that preemption cannot help.
        unresolvable: Vec<(Str, String)>,
    },
    /// To [`ExtenderRequest::Prioritize`]: nodes and scores.
    Prioritize(Vec<(Str, i64)>),
    /// To [`ExtenderRequest::Preempt`]: the nodes that are left.
    Preempt(Vec<NamedVictims>),
    /// To [`ExtenderRequest::Bind`]: done.
    Bound,
}

/// Whether the extender is asked about this pod: always, unless it manages resources and the pod names none of them
/// (`IsInterested`).
#[must_use]
pub fn is_interested(extender: &Extender, pod: &PodInfo) -> bool {
    if extender.managed_resources.is_empty() {
        return true;
    }
    let spec = &pod.pod.spec;
    spec.containers.iter().chain(&spec.init_containers).any(|container| {
        extender
            .managed_resources
            .iter()
            .any(|r| container.requests.get(&r.name).is_some() || container.limits.get(&r.name).is_some())
    })
}

#[cfg(test)]
mod tests;
