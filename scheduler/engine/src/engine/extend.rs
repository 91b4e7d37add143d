//! Cycles that wait for extenders, and bindings that an extender makes.

use std::time::Duration;

use headroom_core::{
    Mono, Now, Str,
    intent::{Intent, IntentId, Outcome, WriteError, Written},
};

use super::{Engine, Owner};
use crate::{
    config::Extender,
    cycle::{self, Extended, Extenders},
    extender::{Answers, ExtenderAnswer, ExtenderCall, ExtenderRequest, NAME, is_interested},
    framework::{PodInfo, Probe, Question, View},
};

/// How much longer than its own time-out an answer is waited for: the shell gives up first.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pod whose cycle waits.
#[derive(Debug)]
pub(super) struct Extending {
    uid: Str,
    answers: Answers,
    /// The question that is under way; absent when the cycle can go on.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    id: IntentId,
    extender: usize,
    request: ExtenderRequest,
    until: Mono,
}

impl Engine {
    /// The calls that the shell is to make. Each is answered by [`super::Input::Extended`], in any order.
    pub fn take_calls(&mut self) -> Vec<ExtenderCall> {
        std::mem::take(&mut self.calls)
    }

    fn call(&mut self, extender: usize, info: &PodInfo, request: ExtenderRequest, owner: Option<Owner>) -> IntentId {
        self.last_intent += 1;
        let id = IntentId(self.last_intent);
        if let Some(owner) = owner {
            self.owners.insert(id, owner);
        }
        let (pod, uid) = (info.pod.meta.key.clone(), info.uid().clone());
        self.calls.push(ExtenderCall { id, extender, pod, uid, request });
        id
    }

    /// Whether the queue is held by a question.
    pub(super) fn is_held(&self) -> bool {
        self.extending.as_ref().is_some_and(|e| e.asked.is_some())
    }

    /// The pod whose cycle goes on, if any.
    pub(super) fn resumed(&self) -> Option<Str> {
        self.extending.as_ref().filter(|e| e.asked.is_none()).map(|e| e.uid.clone())
    }

    /// Forgets the cycle of a pod that is gone.
    pub(super) fn drop_extending(&mut self) {
        self.extending = None;
    }

    pub(super) fn extender_deadline(&self) -> Option<Mono> {
        self.extending.as_ref()?.asked.as_ref().map(|a| a.until)
    }

    /// What was answered so far in the cycle of this pod; nothing when its cycle begins.
    pub(super) fn take_answers(&mut self, uid: &Str) -> Answers {
        self.extending.take().filter(|e| e.uid == *uid).map(|e| e.answers).unwrap_or_default()
    }

    /// Decides a pod that extenders filter or score. `None` when none does; those that only have a word in preemption are
    /// asked by [`crate::framework::PostFilterCx::consult`].
    pub(super) fn decide_extended(
        &self,
        info: &PodInfo,
        at: usize,
        since: Option<headroom_core::Timestamp>,
        answers: &Answers,
        now: Now,
        probe: &mut dyn Probe,
    ) -> Option<Extended> {
        let has_say =
            |e: &Extender| (!e.filter_verb.is_empty() || !e.prioritize_verb.is_empty()) && is_interested(e, info);
        if !self.extenders.iter().any(has_say) {
            return None;
        }
        let ties = self.tie_breaker(info.uid());
        let view = View { unschedulable_since: since, ..View::new(&self.cache, now) };
        let profile = self.profiles.all.get(at)?;
        let plugin = self.profiles.names.find(NAME)?;
        let extenders = Extenders { all: &self.extenders, answers, plugin };
        Some(cycle::decide_extended(profile, info, &view, &self.nominated, ties, extenders, probe))
    }

    /// Asks an extender; the queue is held until it has answered, and the cycle is run again then.
    pub(super) fn question(&mut self, info: &PodInfo, question: Question, answers: Answers, now: Now) {
        let Question { extender, request } = question;
        let id = self.call(extender, info, request.clone(), None);
        let timeout = self.extenders.get(extender).map(|e| e.http_timeout).unwrap_or_default();
        let asked = Some(Asked { id, extender, request, until: now.mono + timeout + PATIENCE });
        self.extending = Some(Extending { uid: info.uid().clone(), answers, asked });
    }

    /// An answer came.
    pub(super) fn extended(
        &mut self,
        id: IntentId,
        answer: Result<ExtenderAnswer, String>,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        if let Some(extending) = &mut self.extending
            && let Some(asked) = extending.asked.take_if(|asked| asked.id == id)
        {
            extending.answers.add(asked.extender, &asked.request, answer);
            return;
        }
        // A binding: what an extender that failed has done is asked for, as after any write without an answer.
        let result = answer.map(|_| Written::default()).map_err(WriteError::Unknown);
        self.outcome(&Outcome { id, result }, now, out);
    }

    /// The shell never answered: the cycle goes on with a failure.
    pub(super) fn extender_deadlines(&mut self, now: Now) {
        if let Some(extending) = &mut self.extending
            && let Some(asked) = extending.asked.take_if(|asked| asked.until <= now.mono)
        {
            let failure = Err("the extender did not answer in time".to_owned());
            extending.answers.add(asked.extender, &asked.request, failure);
        }
    }

    /// The extender that binds this pod, if one does.
    pub(super) fn binder(&self, info: &PodInfo) -> Option<usize> {
        self.extenders.iter().position(|e| !e.bind_verb.is_empty() && is_interested(e, info))
    }

    /// Asks it to.
    pub(super) fn call_binder(&mut self, extender: usize, info: &PodInfo, node: &Str) -> IntentId {
        let owner = Owner::Binding(info.uid().clone());
        self.call(extender, info, ExtenderRequest::Bind { node: node.clone() }, Some(owner))
    }
}
