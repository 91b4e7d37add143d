//! What became of a binding's writes; what is not known is asked for with a consistent read.

use std::time::Duration;

use headroom_core::{
    Now, Str,
    intent::{Intent, Op, Outcome, WriteError, Written},
    object::Kind,
};
use serde_json::Value;

use super::{CONFIRM_TIMEOUT, Stage};
use crate::engine::{Engine, Owner, failure::Fault, queue_and_cx};

/// Longest pause between two questions for the state of a pod.
const MAX_RESOLVE_PAUSE: Duration = Duration::from_secs(10);

impl Engine {
    /// What became of an intent.
    pub(in crate::engine) fn outcome(&mut self, outcome: &Outcome, now: Now, out: &mut Vec<Intent>) {
        match self.owners.remove(&outcome.id) {
            Some(Owner::Status(uid)) => {
                // It is written anew with the next attempt.
                if outcome.result.is_err()
                    && let Some(entry) = self.queue.get_mut(&uid)
                {
                    entry.condition = None;
                    entry.nomination = None;
                }
            }
            Some(Owner::Preemption(id, step)) => self.preemption_outcome(id, step, outcome, now, out),
            Some(Owner::Binding(uid)) => self.binding_outcome(&uid, outcome, now, out),
            None => {}
        }
    }

    fn binding_outcome(&mut self, uid: &Str, outcome: &Outcome, now: Now, out: &mut Vec<Intent>) {
        let Some(binding) = self.bindings.get_mut(uid) else { return };
        // An answer to an older binding of the same pod says nothing about this one.
        let Some(at) = binding.waiting.iter().position(|id| *id == outcome.id) else { return };
        binding.waiting.swap_remove(at);
        binding.last_error = outcome.result.as_ref().err().cloned();
        if matches!(binding.stage, Stage::Resolve { .. } | Stage::Bound { .. }) {
            self.resolved(uid, outcome, now, out);
            return;
        }
        match &outcome.result {
            Err(error) if error.is_unknown() && binding.binds.contains(&outcome.id) => {
                binding.stage = Stage::Resolve { error: error.to_string(), tries: 0 };
                self.ask(uid, out);
            }
            _ => self.advance(uid, Some(outcome), now, out),
        }
    }

    /// Reads the pod from etcd.
    pub(super) fn ask(&mut self, uid: &Str, out: &mut Vec<Intent>) {
        let Some(mut binding) = self.take_binding(uid) else { return };
        let op = Op::Get { kind: Kind::POD, key: binding.info.pod.meta.key.clone() };
        binding.waiting.push(self.emit(op, Some(Owner::Binding(uid.clone())), out));
        self.bindings.insert(uid.clone(), binding);
    }

    /// The answer to such a question.
    fn resolved(&mut self, uid: &Str, outcome: &Outcome, now: Now, out: &mut Vec<Intent>) {
        let Some(mut binding) = self.take_binding(uid) else { return };
        let quiet = |message: &str| Fault { quiet: true, ..Fault::error(message.to_owned()) };
        let (error, tries) = match &binding.stage {
            Stage::Resolve { error, tries } => (Some(error.clone()), *tries),
            Stage::Bound { tries } => (None, *tries),
            _ => return,
        };
        match &outcome.result {
            Ok(answer) => match where_is(answer, uid) {
                Whereabouts::On(node) if node == *binding.node => {
                    if error.is_some() {
                        self.bound(binding, now, out);
                    } else {
                        // The watch lags far behind.
                        self.set_deadline(uid, &mut binding, Some(now.mono + CONFIRM_TIMEOUT));
                        self.bindings.insert(uid.clone(), binding);
                    }
                }
                Whereabouts::Nowhere => {
                    let lost = error.is_none();
                    let message = error.unwrap_or_else(|| "the binding was lost".to_owned());
                    let message = format!("running Bind plugin: {message}");
                    let (profile, info) = (binding.attempt.profile, binding.info.clone());
                    self.fail_binding(binding, Fault::error(message), now, out);
                    if lost {
                        let (queue, cx) = queue_and_cx!(self, now);
                        queue.add(info, profile, &cx);
                    }
                }
                // Somebody else's, or gone: the watch will say so.
                Whereabouts::On(_) | Whereabouts::Gone => {
                    self.fail_binding(binding, quiet("the pod is bound elsewhere or gone"), now, out);
                }
            },
            Err(WriteError::NotFound(_)) => self.fail_binding(binding, quiet("the pod is gone"), now, out),
            Err(WriteError::NotLeader) => self.fail_binding(binding, quiet("not the leader any more"), now, out),
            Err(_) => {
                let tries = tries.saturating_add(1);
                let pause = Duration::from_secs(1 << tries.min(4)).min(MAX_RESOLVE_PAUSE);
                match &mut binding.stage {
                    Stage::Resolve { tries: t, .. } | Stage::Bound { tries: t } => *t = tries,
                    _ => {}
                }
                self.set_deadline(uid, &mut binding, Some(now.mono + pause));
                self.bindings.insert(uid.clone(), binding);
            }
        }
    }
}

enum Whereabouts {
    On(Str),
    Nowhere,
    Gone,
}

/// Where the pod with this UID is, by what a consistent read found.
fn where_is(answer: &Written, uid: &Str) -> Whereabouts {
    let Some(found) = answer.found.iter().find(|f| f.uid == *uid) else { return Whereabouts::Gone };
    match found.body.pointer("/spec/nodeName").and_then(Value::as_str) {
        Some(node) if !node.is_empty() => Whereabouts::On(node.into()),
        _ => Whereabouts::Nowhere,
    }
}
