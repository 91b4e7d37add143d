//! How bindings end: bound, failed, seen bound by the informer, or dropped with the pod.

use headroom_core::{Now, Str, intent::Intent};

use super::{Binding, CONFIRM_TIMEOUT, Stage};
use crate::{
    engine::{Engine, Report, failure::Fault, queue_and_cx, schedule::SCHEDULED},
    framework::{Actions, Change, ClusterEvent, Code, EventResource, PodInfo, Point},
    queue::Among,
};

impl Engine {
    /// The pod is bound.
    pub(super) fn bound(&mut self, mut binding: Binding, now: Now, out: &mut Vec<Intent>) {
        let uid = binding.info.uid().clone();
        self.span_ended(&mut binding, Code::Success, now);
        let (queue, cx) = queue_and_cx!(self, now);
        queue.remove(&uid, &cx);
        self.tell_bound(&binding, now, out);
        binding.stage = Stage::Bound { tries: 0 };
        binding.waiting.clear();
        self.set_deadline(&uid, &mut binding, Some(now.mono + CONFIRM_TIMEOUT));
        self.bindings.insert(uid, binding);
    }

    fn tell_bound(&mut self, binding: &Binding, now: Now, out: &mut Vec<Intent>) {
        let key = binding.info.pod.meta.key.clone();
        let note = format!("Successfully assigned {}/{} to {}", key.namespace, key.name, binding.node);
        self.event(&binding.info, SCHEDULED, note, now, out);
        let mut name = Str::default();
        let (all, spans) = (&mut self.profiles.all, &self.profiles.spans);
        if let Some(profile) = all.get_mut(binding.attempt.profile) {
            name = profile.name.clone();
            let tell = || {
                for i in profile.at(Point::PostBind).to_vec() {
                    profile.plugins[i].post_bind(&binding.info, &binding.node);
                }
            };
            spans.measure("PostBind", &name, tell, |_| Code::Success);
        }
        self.plugins_told(binding.attempt.profile, now);
        self.counters.bound += 1;
        self.report(Report::Bound {
            pod: key,
            uid: binding.info.uid().clone(),
            node: binding.node.clone(),
            profile: name,
            attempts: binding.attempt.attempts,
            first_active: binding.attempt.first_active,
            started: binding.attempt.started,
            flushed: binding.attempt.flushed,
        });
    }

    /// The binding came to nothing: everything that was assumed is taken back, and whoever waits for room is told.
    pub(in crate::engine) fn fail_binding(
        &mut self,
        mut binding: Binding,
        fault: Fault,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        let uid = binding.info.uid().clone();
        self.span_ended(&mut binding, Code::Error, now);
        self.bindings.remove(&uid);
        self.permit_dropped(&binding.stage, now);
        self.take_back(&binding.info, binding.attempt.profile, &binding.node, now);
        self.counters.binding_failures += 1;
        let profile = self.profiles.all.get(binding.attempt.profile).map(|p| p.name.clone()).unwrap_or_default();
        self.report(Report::BindingFailed {
            pod: binding.info.pod.meta.key.clone(),
            node: binding.node,
            profile,
            message: fault.message.clone(),
            rejected: fault.rejected,
            started: binding.attempt.started,
        });
        let rejected = fault.rejected;
        self.fail(&uid, fault, now, out);
        let change = Change::Pod { old: Some(binding.info), new: None };
        let (queue, cx) = queue_and_cx!(self, now);
        // Its own departure is no news to a pod that was rejected (else it would try again for ever).
        let among = if rejected { Among::AllBut(&uid) } else { Among::All };
        queue.on_event(ClusterEvent::new(EventResource::AssignedPod, Actions::DELETE), &change, among, &cx);
    }

    /// The informer shows the pod on a node.
    pub(in crate::engine) fn confirm_binding(&mut self, info: &PodInfo, node: &Str, now: Now, out: &mut Vec<Intent>) {
        let uid = info.uid().clone();
        match self.take_binding(&uid) {
            Some(Binding { node: ours, stage: Stage::Bound { .. }, .. }) if ours == *node => {}
            Some(mut binding) if binding.node == *node => {
                // Bound past us while PreBind was at work: what it had reserved is not going to be written.
                if matches!(binding.stage, Stage::Permit(_) | Stage::PreBind(_)) {
                    self.unreserve(&binding.info, binding.attempt.profile, &binding.node, now);
                } else {
                    self.span_ended(&mut binding, Code::Success, now);
                }
                self.tell_bound(&binding, now, out);
            }
            Some(binding) => {
                self.take_back(&binding.info, binding.attempt.profile, &binding.node, now);
                self.foreign_binding(info, node, Some(binding.node), now);
            }
            None if self.queue.get(&uid).is_some() => self.foreign_binding(info, node, None, now),
            None => {}
        }
    }

    /// The pod is gone: nothing is left to bind.
    pub(in crate::engine) fn drop_binding(&mut self, uid: &str, now: Now, _out: &mut Vec<Intent>) {
        if let Some(binding) = self.take_binding(uid)
            && !matches!(binding.stage, Stage::Bound { .. })
        {
            self.permit_dropped(&binding.stage, now);
            self.take_back(&binding.info, binding.attempt.profile, &binding.node, now);
        }
    }
}
