//! What the engine tells the shell besides intents: for logs, metrics and the shadow report.

use std::time::Duration;

use headroom_core::{Now, Str, Timestamp, object::ObjectKey};

use crate::framework::Code;

/// What [`super::Engine::schedule_one`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The pod.
    pub pod: ObjectKey,
    /// Its UID.
    pub uid: Str,
    /// The profile's name.
    pub profile: Str,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// The result.
    pub result: DecisionResult,
}

/// Result of a scheduling cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionResult {
    /// Assumed on a node; its binding is under way.
    Assumed {
        /// The node.
        node: Str,
        /// Weighted total; absent when nothing was scored.
        total: Option<i64>,
        /// How many nodes were feasible.
        feasible: usize,
        /// How many nodes shared the best total.
        ties: usize,
        /// Whether columns of its class were used.
        class: bool,
    },
    /// No node is feasible, or a plugin rejected the pod at Reserve or Permit.
    Unschedulable {
        /// The message of the event and the condition.
        message: String,
        /// Who rejected it.
        plugins: Vec<&'static str>,
    },
    /// A plugin failed.
    Error {
        /// The message of the event and the condition.
        message: String,
    },
    /// Nothing to do: it is being deleted or is on a node already.
    Skipped,
    /// Shadow mode: this is what would have been done. The comparison comes as a [`Report::Shadow`] when somebody binds
    /// the pod.
    Shadow {
        /// The node, absent when none is feasible.
        node: Option<Str>,
        /// Weighted total; absent when nothing was scored.
        total: Option<i64>,
        /// The message when no node is feasible.
        message: String,
    },
}

impl DecisionResult {
    /// Label `result` of `schedule_attempts_total`; absent when it was no attempt.
    #[must_use]
    pub const fn metric_label(&self) -> Option<&'static str> {
        match self {
            // Upstream counts `scheduled` when the binding has succeeded: see `Report::Bound`.
            Self::Assumed { .. } | Self::Skipped | Self::Shadow { .. } => None,
            Self::Unschedulable { .. } => Some("unschedulable"),
            Self::Error { .. } => Some("error"),
        }
    }
}

/// What became of comparing our choice with the one that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShadowOutcome {
    /// The node that was chosen is among our best.
    Agrees,
    /// We would have preferred another one.
    Differs,
    /// We would not have placed the pod at all.
    WouldWait,
    /// There is nothing to compare with: the pod was bound before we looked, or the cluster's nodes changed since.
    NotCompared,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowDecision {
    /// The pod.
    pub pod: ObjectKey,
    /// Our choice, absent when we had none.
    pub ours: Option<Str>,
    /// Where it was bound.
    pub theirs: Str,
    /// How the two compare.
    pub outcome: ShadowOutcome,
    /// Why we would have let it wait; empty otherwise.
    pub message: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A pod was bound by us.
    Bound {
        /// The pod.
        pod: ObjectKey,
        /// Its UID.
        uid: Str,
        /// Where.
        node: Str,
        /// The profile's name.
        profile: Str,
        /// Attempts needed.
        attempts: u32,
        /// When it first entered the active queue.
        first_active: Option<Now>,
        /// When the attempt that succeeded began.
        started: Now,
        /// Whether it had been brought back because it had waited for too long.
        flushed: bool,
    },
    /// A binding failed; the pod is tried again.
    BindingFailed {
        /// The pod.
        pod: ObjectKey,
        /// Where it should have gone.
        node: Str,
        /// The profile's name.
        profile: Str,
        /// Why.
        message: String,
        /// Rejected while Permit held it, or failed.
        rejected: bool,
        /// When the attempt began.
        started: Now,
    },
    /// Somebody else bound a pod of our queue.
    ForeignBinding {
        /// The pod.
        pod: ObjectKey,
        /// Where it was bound.
        node: Str,
        /// Where we were binding it, if we were.
        ours: Option<Str>,
        /// When we saw it.
        at: Timestamp,
    },
    /// Permit no longer holds a pod (`permit_wait_duration_seconds`).
    PermitWaited {
        /// How long it did.
        waited: Duration,
        /// `Success`, or `Unschedulable`.
        code: Code,
    },
    /// Room is made for a pod (`preemption_victims`).
    Preempting {
        /// How many victims, those that are being deleted already included.
        victims: usize,
    },
    /// All writes of a preemption are answered (`preemption_goroutines_*`).
    Preempted {
        /// How long that took.
        took: Duration,
        /// Whether one of them failed.
        failed: bool,
    },
    /// Shadow mode: a comparison.
    Shadow(ShadowDecision),
}
