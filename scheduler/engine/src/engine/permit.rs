//! Pods that are held after they were assumed: allowed, rejected, or turned back (reference 1.7, 1.8).
//!
//! Upstream's plugins have a handle with which they let waiting pods go. Here a plugin has no handle: Permit is asked
//! again about each pod that it holds, when plugins were told of something (Reserve, Unreserve, PostBind) and otherwise
//! every second.

use std::time::Duration;

use headroom_core::{Mono, Now, Str, intent::Intent};

use super::{
    Engine, Report,
    binding::{Stage, Wait},
    failure::Fault,
    schedule::{describe, rejected_at},
};
use crate::framework::{Actions, Change, Code, EventResource, Permit, PluginId, PodInfo, Point, Rejection, Status};

/// A held pod is asked about this often, whatever happens.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Most held pods that are asked about at once; the others have their turn within [`ASK_EVERY`].
const MAX_WOKEN: usize = 256;

/// When a held pod needs attention; absent when nobody holds it.
pub(super) fn held_until(waits: &[Wait], now: Now) -> Option<Mono> {
    waits.iter().map(|(_, end, _)| *end).min().map(|end| end.min(now.mono + ASK_EVERY))
}

impl Engine {
    /// Plugins were told of something: those that hold pods are asked again at the next tick.
    pub(super) fn wake_held(&mut self, now: Now) {
        if self.profiles.all.iter().all(|p| p.at(Point::Permit).is_empty()) {
            return;
        }
        let held = |uid: &Str| self.bindings.get(uid).is_some_and(|b| matches!(b.stage, Stage::Permit(_)));
        let soon = self.deadlines.iter().take_while(|(at, _)| *at <= now.mono + ASK_EVERY);
        let woken: Vec<Str> =
            soon.filter(|(at, uid)| *at > now.mono && held(uid)).map(|(_, uid)| uid.clone()).take(MAX_WOKEN).collect();
        for uid in woken {
            if let Some(mut binding) = self.take_binding(&uid) {
                self.set_deadline(&uid, &mut binding, Some(now.mono));
                self.bindings.insert(uid, binding);
            }
        }
    }

    /// Asks Permit again of the plugins that hold a pod.
    pub(super) fn ask_holders(&mut self, uid: &Str, now: Now, out: &mut Vec<Intent>) {
        let Some(binding) = self.bindings.get(uid) else { return };
        let Stage::Permit(waits) = &binding.stage else { return };
        let (waits, node, at) = (waits.clone(), binding.node.clone(), binding.attempt.profile);
        // The newest version: somebody may have written on it what a plugin waits for.
        let info = self.queue.get(uid).map_or_else(|| binding.info.clone(), |e| e.info.clone());
        for (id, _, _) in waits {
            let Some(profile) = self.profiles.all.get_mut(at) else { return };
            let Some(i) = profile.at(Point::Permit).iter().copied().find(|i| profile.ids[*i] == id) else { continue };
            let plugin = &mut profile.plugins[i];
            let name = plugin.name();
            match plugin.permit(&info, &node) {
                Permit::Wait(_) => {}
                Permit::Allow => {
                    self.allow_waiting_pod(uid, name, now, out);
                }
                Permit::Reject(status) => {
                    self.refuse_waiting(uid, id, describe(status, "Permit", name), now, out);
                    return;
                }
            }
        }
        let until = match self.bindings.get(uid).map(|b| &b.stage) {
            Some(Stage::Permit(waits)) => held_until(waits, now),
            _ => None,
        };
        if until.is_none() {
            // It goes on, and a plugin may have taken note of that.
            self.wake_held(now);
        } else if let Some(mut binding) = self.take_binding(uid) {
            self.set_deadline(uid, &mut binding, until);
            self.bindings.insert(uid.clone(), binding);
        }
    }

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
            let next = held_until(waits, now);
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
