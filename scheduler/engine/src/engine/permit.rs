//! Pods that are held after they were assumed: allowed, rejected, or turned back (reference 1.7, 1.8).

use headroom_core::{Now, Str, intent::Intent};

use super::{
    Engine, Report,
    binding::{Stage, Wait},
    failure::Fault,
    schedule::rejected_at,
};
use crate::framework::{Actions, Change, Code, EventResource, PluginId, PodInfo, Rejection, Status};

impl Engine {
    /// A Permit plugin lets a waiting pod go (`WaitingPod.Allow`). False when it does not hold it.
    pub fn allow_waiting_pod(&mut self, uid: &Str, plugin: &str, now: Now, out: &mut Vec<Intent>) -> bool {
        let Some(mut binding) = self.take_binding(uid) else { return false };
        let mut allowed = false;
        let mut go = false;
        let mut first = None;
        if let Stage::Permit(waits) = &mut binding.stage {
            let before = waits.len();
            first = waits.first().copied();
            waits.retain(|(id, _, _)| self.profiles.names.name(*id) != plugin);
            allowed = waits.len() < before;
            go = waits.is_empty();
            let next = waits.iter().map(|(_, at, _)| *at).min();
            self.set_deadline(uid, &mut binding, next);
        }
        if go {
            self.permit_ended(first, Code::Success, now);
            binding.stage = Stage::PreBind(0);
        }
        self.bindings.insert(uid.clone(), binding);
        if go {
            self.queue.done(uid);
            self.advance(uid, None, now, out);
        }
        allowed
    }

    /// Tells how long Permit held a pod, by any of those who did.
    fn permit_ended(&mut self, wait: Option<Wait>, code: Code, now: Now) {
        if let Some((_, end, waited)) = wait {
            let waited = waited.saturating_sub(end.since(now.mono));
            self.report(Report::PermitWaited { waited, code });
        }
    }

    /// The binding comes to nothing: if Permit held the pod, that is over.
    pub(super) fn permit_dropped(&mut self, stage: &Stage, now: Now) {
        if let Stage::Permit(waits) = stage {
            self.permit_ended(waits.first().copied(), Code::Unschedulable, now);
        }
    }

    /// A Permit plugin rejects a waiting pod (`WaitingPod.Reject`). False when it does not hold it.
    pub fn reject_waiting_pod(
        &mut self,
        uid: &Str,
        plugin: &str,
        reason: &str,
        now: Now,
        out: &mut Vec<Intent>,
    ) -> bool {
        let holder = match self.bindings.get(uid).map(|b| &b.stage) {
            Some(Stage::Permit(waits)) => {
                waits.iter().map(|(id, _, _)| *id).find(|id| self.profiles.names.name(*id) == plugin)
            }
            _ => None,
        };
        let Some(id) = holder else { return false };
        self.refuse_waiting(uid, id, Status::unschedulable(reason.to_owned()), now, out);
        true
    }

    /// The message with which a pod can still be turned back: it is held by Permit, or PreBind works on it.
    pub(super) fn can_turn_back(&self, uid: &str, plugin: &str) -> Option<String> {
        let binding = self.bindings.get(uid)?;
        match &binding.stage {
            Stage::Permit(_) => Some("waiting on permit for pod: preempted".to_owned()),
            Stage::PreBind(_) if binding.pre_bind.contains(&true) => Some(format!("preempted by {plugin}")),
            _ => None,
        }
    }

    /// Ends a binding that was not asked for yet.
    pub(super) fn abort_binding(&mut self, uid: &str, fault: Fault, now: Now, out: &mut Vec<Intent>) {
        if let Some(binding) = self.take_binding(uid) {
            self.fail_binding(binding, fault, now, out);
        }
    }

    /// The pod began to be deleted while it is assumed (`handleAssumedPodDeletion`): who waits for its place is told.
    pub(super) fn assumed_pod_leaves(&mut self, info: &PodInfo, now: Now, out: &mut Vec<Intent>) {
        let uid = info.uid();
        let held = match self.bindings.get(uid).map(|b| &b.stage) {
            Some(Stage::Permit(waits)) => waits.first().map(|(plugin, _, _)| *plugin),
            _ => None,
        };
        match held {
            Some(plugin) => self.refuse_waiting(uid, plugin, Status::unschedulable("removed"), now, out),
            None => {
                self.cache.forget(uid);
                let change = Change::Pod { old: Some(info.clone()), new: None };
                self.happened_to(EventResource::AssignedPod, Actions::DELETE, &change, now);
            }
        }
    }

    pub(super) fn refuse_waiting(
        &mut self,
        uid: &Str,
        plugin: PluginId,
        status: Status,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        if let Some(binding) = self.take_binding(uid) {
            self.fail_binding(binding, rejected_at(&Rejection { plugin, status }), now, out);
        }
    }
}
