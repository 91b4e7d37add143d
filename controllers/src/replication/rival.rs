//! Another manager that makes pods for the same ReplicationControllers (DESIGN.md 12, "Two of a kind").
//!
//! A pod that this process has not made is a suspicion: `kubectl replace --force` keeps a pod's owner, and whoever may create
//! pods may write an owner into them. Only what one consistent read of the pod says is a reason to yield: that a program
//! with upstream's loops wrote its owner. Nothing is created or deleted before the answer.

use headroom_core::{
    Now,
    intent::{EventRecord, EventType, IntentId, Op, Outcome},
    object::{Kind, ObjectKey, Pod, ReplicationController},
};

use super::event;
use crate::{framework::Outbox, rival::stock_owner};

/// Event of ours: the loop has stopped because of another manager.
const YIELDED: &str = "YieldedToAnotherManager";
/// What a manager writes of a pod that no kubelet and no scheduler does: a pointer into `fieldsV1`.
const OWNER: &str = "/f:metadata/f:ownerReferences";

/// A pod that somebody else has made, and whose replication controller it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suspect {
    pod: ObjectKey,
    rc: ObjectKey,
}

/// What is known of another manager.
#[derive(Debug, Default)]
pub(super) struct Rival {
    suspect: Option<Suspect>,
    asked: Option<(IntentId, Suspect)>,
    yielded: Option<String>,
}

impl Rival {
    /// Why the loop has stopped for good, if it has.
    pub(super) fn yielded(&self) -> Option<&str> {
        self.yielded.as_deref()
    }

    /// This process leads from now on.
    pub(super) fn started(&mut self) {
        (self.suspect, self.asked) = (None, None);
    }

    /// Somebody else has made this pod after we took stock. One at a time: a manager gives more than one occasion.
    pub(super) fn suspect(&mut self, rc: &ReplicationController, pod: &Pod) {
        if self.yielded.is_none() && self.asked.is_none() && self.suspect.is_none() {
            self.suspect = Some(Suspect { pod: pod.meta.key.clone(), rc: rc.meta.key.clone() });
        }
    }

    /// Looks at the pod under suspicion, if there is one. Returns whether an answer is waited for.
    pub(super) fn ask(&mut self, out: &mut Outbox<'_>) -> bool {
        if let Some(suspect) = self.suspect.take() {
            let id = out.push(Op::Get { kind: Kind::POD, key: suspect.pod.clone() });
            self.asked = Some((id, suspect));
        }
        self.waits()
    }

    /// Whether there is a pod to look at.
    pub(super) const fn has_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// Whether an answer is waited for.
    pub(super) const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Takes in what the pod says. Returns nothing when the outcome is that of another intent.
    pub(super) fn outcome(
        &mut self,
        outcome: &Outcome,
        rc: impl Fn(&ObjectKey) -> Option<ReplicationController>,
        now: Now,
    ) -> Option<Option<EventRecord>> {
        let (_, suspect) = self.asked.take_if(|(id, _)| *id == outcome.id)?;
        // One that is gone, or cannot be read, says nothing.
        let Some(found) = outcome.result.as_ref().ok().and_then(|written| written.found.first()) else {
            return Some(None);
        };
        let Some((manager, _)) = stock_owner(&found.body, OWNER, headroom_core::Timestamp::default()) else {
            return Some(None);
        };
        let note = format!(
            "Pod {} was created for this ReplicationController by another manager, {manager}: headroom-controllers stops \
             managing ReplicationControllers. Stop the other manager's replicationcontroller-controller, then restart \
             headroom-controllers",
            suspect.pod.name
        );
        tracing::warn!(replicationcontroller = %suspect.rc, "{note}");
        let told = rc(&suspect.rc).map(|rc| event(&rc, EventType::Warning, YIELDED, note.clone(), now));
        self.yielded = Some(format!("{}: {note}", suspect.rc));
        Some(told)
    }
}
