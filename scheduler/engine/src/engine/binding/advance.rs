//! PreBind and Bind: plugins one after another, or an extender in place of the Bind plugins.

use headroom_core::{
    Now, Str,
    intent::{Intent, Op, Outcome, WriteError},
};

use super::{Binding, Stage};
use crate::{
    engine::{Engine, Owner, failure::Fault},
    framework::{BindCx, Code, Point, Status, Step},
    plugins::volume_binding,
};

impl Engine {
    /// Runs PreBind and Bind plugins as far as they go.
    pub(in crate::engine) fn advance(
        &mut self,
        uid: &Str,
        mut outcome: Option<&Outcome>,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        let Some(mut binding) = self.take_binding(uid) else { return };
        loop {
            if binding.stage == Stage::Bind(0)
                && let Some(extender) = self.binder(&binding.info)
            {
                self.bind_by_extender(extender, binding, outcome, now, out);
                return;
            }
            let Some(profile) = self.profiles.all.get_mut(binding.attempt.profile) else { return };
            let (point, at) = match binding.stage {
                Stage::PreBind(at) => (Point::PreBind, at),
                Stage::Bind(at) => (Point::Bind, at),
                _ => {
                    self.bindings.insert(uid.clone(), binding);
                    return;
                }
            };
            binding.began.get_or_insert((point, now.mono));
            let Some(i) = profile.at(point).get(at).copied() else {
                if point == Point::PreBind {
                    self.span_ended(&mut binding, Code::Success, now);
                    binding.stage = Stage::Bind(0);
                    continue;
                }
                self.span_ended(&mut binding, Code::Skip, now);
                self.fail_binding(binding, Fault::error("no Bind plugin took the pod".to_owned()), now, out);
                return;
            };
            if point == Point::PreBind && binding.pre_bind.get(at) != Some(&true) {
                binding.stage = Stage::PreBind(at + 1);
                continue;
            }
            let plugin = &mut profile.plugins[i];
            let mut cx =
                BindCx { now, cache: &self.cache, claims: Vec::new(), outcome: outcome.take(), ops: Vec::new() };
            let step = if point == Point::PreBind {
                plugin.pre_bind(&mut cx, &binding.info, &binding.node)
            } else {
                plugin.bind(&mut cx, &binding.info, &binding.node)
            };
            let (name, ops, claims) = (plugin.name(), cx.ops, cx.claims);
            for claim in claims {
                let waiters = self.claim_waits.entry(claim).or_default();
                waiters.retain(|pod| self.bindings.contains_key(pod));
                waiters.insert(uid.clone());
            }
            for op in ops {
                let binds = matches!(op, Op::Bind { .. });
                let id = self.emit(op, Some(Owner::Binding(uid.clone())), out);
                binding.waiting.push(id);
                if binds {
                    binding.binds.push(id);
                }
            }
            match step {
                Step::Wait(deadline) => {
                    self.set_deadline(uid, &mut binding, deadline);
                    self.bindings.insert(uid.clone(), binding);
                    return;
                }
                Step::Done(status) if status.is_success() && point == Point::Bind => {
                    self.bound(binding, now, out);
                    return;
                }
                Step::Done(status) if status.is_success() || status == Status::SKIP => {
                    binding.stage = if point == Point::PreBind { Stage::PreBind(at + 1) } else { Stage::Bind(at + 1) };
                }
                Step::Done(status) => {
                    if point == Point::PreBind && name == volume_binding::NAME {
                        self.counters.volume_errors[1] += 1;
                    }
                    let code = if status.code().is_rejected() { status.code() } else { Code::Error };
                    self.span_ended(&mut binding, code, now);
                    // Rejections count as errors from here on: the pod backs off and is tried again.
                    let message = format!("running {} plugin {name:?}: {}", point.as_str(), status.message());
                    // The pod has changed under us, or we no longer lead: the watch will tell, and what we would write
                    // could contradict it.
                    let quiet = match binding.last_error {
                        Some(WriteError::NotLeader) => true,
                        // What PreBind writes are other objects.
                        Some(WriteError::Conflict(_) | WriteError::NotFound(_)) => point == Point::Bind,
                        _ => false,
                    };
                    let fault = Fault { quiet, ..Fault::error(message) };
                    self.fail_binding(binding, fault, now, out);
                    return;
                }
            }
        }
    }

    /// A claim, or the volume that is bound to it, changed: PreBind of the pods that wait for it goes on.
    pub(in crate::engine) fn wake_claim_waiters(&mut self, claim: &str, now: Now, out: &mut Vec<Intent>) {
        for uid in self.claim_waits.remove(claim).into_iter().flatten() {
            if self.bindings.get(&uid).is_some_and(|b| matches!(b.stage, Stage::PreBind(_))) {
                self.advance(&uid, None, now, out);
            }
        }
    }

    /// An extender binds in place of the Bind plugins.
    fn bind_by_extender(
        &mut self,
        extender: usize,
        mut binding: Binding,
        outcome: Option<&Outcome>,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        match outcome.map(|o| &o.result) {
            None => {
                let id = self.call_binder(extender, &binding.info, &binding.node);
                binding.waiting.push(id);
                binding.binds.push(id);
                self.bindings.insert(binding.info.uid().clone(), binding);
            }
            Some(Ok(_)) => self.bound(binding, now, out),
            Some(Err(error)) => {
                let fault = Fault::error(format!("extender: {error}"));
                self.fail_binding(binding, fault, now, out);
            }
        }
    }
}
