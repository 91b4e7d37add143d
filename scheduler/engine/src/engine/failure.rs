//! A pod that was not placed: requeue, event, condition (`handleSchedulingFailure`; reference 1.9, 5.2, 5.4).

use headroom_core::{
    Now, Str,
    intent::{Intent, Op, PodStatusPatch},
    object::{Pod, PodCondition, Status},
};

use super::{DecisionResult, Engine, Owner, queue_and_cx, schedule::FAILED_SCHEDULING};
use crate::{
    cycle::{hash_text, mix},
    framework::{PluginSet, PodInfo},
};

/// What went wrong.
#[derive(Debug)]
pub(super) struct Fault {
    /// Rejected (`Unschedulable`), or failed (`SchedulerError`).
    pub(super) rejected: bool,
    pub(super) message: String,
    pub(super) rejectors: PluginSet,
    pub(super) pending: PluginSet,
    /// What becomes of the nomination: `None` leaves it, `Some(None)` clears it.
    pub(super) nominated: Option<Option<Str>>,
    /// Nothing is written: the object has changed under us, and what we know of it is old.
    pub(super) quiet: bool,
}

impl Fault {
    pub(super) fn unschedulable(message: String, rejectors: PluginSet, pending: PluginSet) -> Self {
        Self { rejected: true, message, rejectors, pending, nominated: Some(None), quiet: false }
    }

    pub(super) fn error(message: String) -> Self {
        Self {
            rejected: false,
            message,
            rejectors: PluginSet::default(),
            pending: PluginSet::default(),
            nominated: Some(None),
            quiet: false,
        }
    }
}

const POD_SCHEDULED: &str = "PodScheduled";

/// Whether the pod already says just this.
pub(super) fn says_so(pod: &Pod, condition: &PodCondition) -> bool {
    pod.condition(&condition.kind).is_some_and(|known| {
        known.status == condition.status
            && known.reason == condition.reason
            && known.message == condition.message
            && known.observed_generation == condition.observed_generation
    })
}

impl Engine {
    /// Requeues a pod that was popped, and says why on it.
    pub(super) fn fail(&mut self, uid: &Str, fault: Fault, now: Now, out: &mut Vec<Intent>) -> DecisionResult {
        let result = if fault.rejected {
            DecisionResult::Unschedulable {
                message: fault.message.clone(),
                plugins: self.profiles.plugin_names(fault.rejectors.union(fault.pending)),
            }
        } else {
            DecisionResult::Error { message: fault.message.clone() }
        };
        // Gone, or bound by somebody, meanwhile: nothing to requeue and nothing to say.
        let Some(info) = self.queue.get(uid).map(|e| e.info.clone()) else { return result };
        let (queue, cx) = queue_and_cx!(self, now);
        queue.requeue(uid, fault.rejectors, fault.pending, &cx);
        match &fault.nominated {
            Some(node) => self.nominated.set(&info, node.as_ref()),
            None => self.nominated.set(&info, info.pod.status.nominated_node_name.as_ref()),
        }
        if fault.quiet {
            return result;
        }
        self.event(&info, FAILED_SCHEDULING, fault.message.clone(), now, out);
        self.write_condition(uid, &info, fault, now, out);
        result
    }

    fn write_condition(&mut self, uid: &Str, info: &PodInfo, fault: Fault, now: Now, out: &mut Vec<Intent>) {
        let pod = &info.pod;
        let reason = if fault.rejected { "Unschedulable" } else { "SchedulerError" };
        let before = pod.condition(POD_SCHEDULED).filter(|c| c.status == Status::False);
        let condition = PodCondition {
            kind: POD_SCHEDULED.into(),
            status: Status::False,
            reason: reason.into(),
            message: fault.message.as_str().into(),
            // Moves only when the status changes.
            last_transition: Some(before.and_then(|c| c.last_transition).unwrap_or_else(|| now.wall.truncated())),
            observed_generation: pod.meta.generation,
        };
        // The nomination is written only when it changes. What was asked for is on its way, whatever the watch shows.
        let standing = match self.queue.get(uid).and_then(|e| e.nomination.clone()) {
            Some(asked) => asked,
            None => pod.status.nominated_node_name.clone().filter(|n| !n.is_empty()),
        };
        let nominated_node_name = fault.nominated.filter(|wanted| *wanted != standing);
        let hash = mix(hash_text(&condition.message) ^ hash_text(reason) ^ pod.meta.generation.unsigned_abs());
        let written = self.queue.get(uid).and_then(|e| e.condition) == Some(hash);
        let same = written || says_so(pod, &condition);
        if same && nominated_node_name.is_none() {
            return;
        }
        if let Some(entry) = self.queue.get_mut(uid) {
            entry.condition = Some(hash);
            if nominated_node_name.is_some() {
                entry.nomination.clone_from(&nominated_node_name);
            }
        }
        let conditions = if same { Vec::new() } else { vec![condition] };
        let patch = PodStatusPatch { conditions, nominated_node_name };
        let op = Op::PodStatus { pod: pod.meta.key.clone(), uid: uid.clone(), patch };
        self.emit(op, Some(Owner::Status(uid.clone())), out);
    }
}
