//! One pod: popped, decided, assumed, handed to its binding cycle (`pkg/scheduler/schedule_one.go`).

use headroom_core::{
    Now, Str,
    intent::{EventRecord, EventType, Intent, Op},
    object::ObjectReference,
};

use super::{Decision, DecisionResult, Engine, Mode, binding::Attempt, failure::Fault, queue_and_cx};
use crate::{
    cycle::{self, AfterFilter, Choice, Extended, Extenders, Failure, PostFiltered, Verdict},
    extender::{self, Answers},
    fit_error::{FitError, NO_NODES},
    framework::{Code, Permit, PluginSet, PodInfo, Point, Probe, Question, Rejection, ReserveCx, Status, View},
    plugins::{default_preemption, volume_binding},
};

/// Longest time that Permit may hold a pod.
const MAX_PERMIT: std::time::Duration = std::time::Duration::from_secs(15 * 60);

pub(super) fn reference(info: &PodInfo) -> ObjectReference {
    let meta = &info.pod.meta;
    ObjectReference {
        kind: "Pod".into(),
        namespace: meta.key.namespace.clone(),
        name: meta.key.name.clone(),
        uid: meta.uid.clone(),
    }
}

/// What an event says besides its note (reference 5.4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Occurrence {
    kind: EventType,
    reason: &'static str,
    action: &'static str,
}

pub(super) const SCHEDULED: Occurrence = Occurrence { kind: EventType::Normal, reason: "Scheduled", action: "Binding" };
pub(super) const FAILED_SCHEDULING: Occurrence =
    Occurrence { kind: EventType::Warning, reason: "FailedScheduling", action: "Scheduling" };

impl Engine {
    pub(super) fn event(&mut self, info: &PodInfo, what: Occurrence, note: String, now: Now, out: &mut Vec<Intent>) {
        let record = EventRecord {
            regarding_api_version: "v1",
            regarding: reference(info),
            related: None,
            kind: what.kind,
            reason: what.reason,
            action: what.action,
            note,
            // Upstream reports in the name of the profile, which is the pod's scheduler name.
            reporter: Some(info.pod.spec.scheduler_name.clone()),
            at: now.wall,
        };
        self.emit(Op::Event(record), None, out);
    }

    pub(super) fn pop_and_decide(
        &mut self,
        now: Now,
        out: &mut Vec<Intent>,
        probe: &mut dyn Probe,
    ) -> Option<Decision> {
        if self.is_held() {
            return None;
        }
        let entry = match self.resumed() {
            Some(uid) => {
                let entry = self.queue.get(&uid);
                if entry.is_none() {
                    self.drop_extending();
                    return None;
                }
                self.queue.get(&uid)?
            }
            None => {
                let (queue, cx) = queue_and_cx!(self, now);
                queue.pop(&cx)?
            }
        };
        let (info, profile) = (entry.info.clone(), entry.profile);
        let (attempts, since) = (entry.attempts, entry.unschedulable_since);
        let uid = info.uid().clone();
        self.current = Some(uid.clone());
        let decision = |this: &Self, result| {
            let name = this.profiles.all.get(profile).map(|p| p.name.clone()).unwrap_or_default();
            Some(Decision { pod: info.pod.meta.key.clone(), uid: uid.clone(), profile: name, attempts, result })
        };
        let deleting = info.pod.meta.is_terminating();
        if deleting || self.cache.pod(&uid).is_some() {
            self.drop_extending();
            if deleting && self.mode != Mode::Shadow {
                let note = format!("skip schedule deleting pod: {}", info.pod.meta.key);
                self.event(&info, FAILED_SCHEDULING, note, now, out);
            }
            let (queue, cx) = queue_and_cx!(self, now);
            queue.remove(&uid, &cx);
            return decision(self, DecisionResult::Skipped);
        }
        let answers = self.take_answers(&uid);
        let (verdict, class) = match self.decide_extended(&info, profile, since, &answers, now, probe) {
            Some(Extended::Ask(extender, request)) => {
                self.question(&info, Question { extender, request }, answers, now);
                return None;
            }
            Some(Extended::Verdict(verdict)) => (verdict, false),
            None => self.decide(&info, profile, since, now, probe),
        };
        if self.mode == Mode::Shadow {
            let result = self.shadow_decided(&info, &verdict, now);
            return decision(self, result);
        }
        let result = match verdict.result {
            Ok(choice) => self.place(&info, profile, &choice, class, now, out, probe),
            Err(failure) => {
                // Upstream looks the pod up anew here, as does the queue's entry.
                let newest = self.queue.get(&uid).map_or_else(|| info.clone(), |e| e.info.clone());
                let after = verdict.after.unwrap_or_default();
                let mut after = self.after_filter(&newest, profile, since, (&failure, &after), &answers, now, probe);
                if let Some(question) = after.question.take() {
                    self.question(&info, question, answers, now);
                    return None;
                }
                let fault = match failure {
                    // Nothing rejected it, so that it backs off as after an error (upstream's ErrNoNodesAvailable).
                    Failure::NoNodes => {
                        Fault::unschedulable(NO_NODES.to_owned(), PluginSet::default(), PluginSet::default())
                    }
                    Failure::Fit(mut fit) => {
                        fit.post_filter_message = after.message;
                        let fault = Fault::unschedulable(fit.to_string(), fit.rejectors, fit.pending);
                        Fault { nominated: after.nominated, ..fault }
                    }
                    Failure::Error(message) => Fault::error(message),
                };
                if let Some(preemption) = after.preemption {
                    self.start_preemption(&newest, profile, preemption, now, out);
                }
                self.fail(&uid, fault, now, out)
            }
        };
        decision(self, result)
    }

    /// Which node. True when the columns of the pod's class were used.
    fn decide(
        &mut self,
        info: &PodInfo,
        at: usize,
        since: Option<headroom_core::Timestamp>,
        now: Now,
        probe: &mut dyn Probe,
    ) -> (Verdict, bool) {
        let ties = self.tie_breaker(info.uid());
        let view = View { unschedulable_since: since, ..View::new(&self.cache, now) };
        let Some(profile) = self.profiles.all.get(at) else {
            let message = format!("profile not found for scheduler name {:?}", info.pod.spec.scheduler_name.as_str());
            return (Err(Failure::Error(message)).into(), false);
        };
        if let Some(choice) = cycle::try_nominated_node(profile, info, &view, &self.nominated, probe) {
            return (Ok(choice).into(), false);
        }
        if self.classes_enabled
            && let Some(verdict) = self.classes.decide(at, profile, info, &view, &self.nominated, ties, probe)
        {
            return (verdict, true);
        }
        (cycle::decide(profile, info, &view, &self.nominated, ties, probe), false)
    }

    /// PostFilter, when there is any.
    #[allow(clippy::too_many_arguments, reason = "one step of the cycle")]
    fn after_filter(
        &mut self,
        info: &PodInfo,
        profile: usize,
        since: Option<headroom_core::Timestamp>,
        (failure, after): (&Failure, &AfterFilter),
        answers: &Answers,
        now: Now,
        probe: &mut dyn Probe,
    ) -> PostFiltered {
        let hash = self.tie_breaker(info.uid()).rank(0);
        let view = View { unschedulable_since: since, ..View::new(&self.cache, now) };
        match (failure, self.profiles.all.get(profile)) {
            (Failure::Fit(_), Some(profile)) if profile.has_post_filter(info) => {
                let plugin = self.profiles.names.find(extender::NAME).filter(|_| !self.extenders.is_empty());
                let extenders = plugin.map(|plugin| Extenders { all: &self.extenders, answers, plugin });
                let after = cycle::post_filter(profile, info, &view, &self.nominated, after, hash, extenders, probe);
                // A cycle that is run again for an extender's answer is still the same attempt.
                let counts = after.question.is_none()
                    && profile.plugins_at(Point::PostFilter).any(|(name, _)| name == default_preemption::NAME);
                self.counters.preemption_attempts += u64::from(counts);
                after
            }
            _ => PostFiltered::default(),
        }
    }

    /// Assume, Reserve, Permit; then the binding cycle (reference 1.7).
    #[allow(clippy::too_many_arguments, reason = "one step of the cycle")]
    fn place(
        &mut self,
        info: &PodInfo,
        profile_at: usize,
        choice: &Choice,
        class: bool,
        now: Now,
        out: &mut Vec<Intent>,
        probe: &mut dyn Probe,
    ) -> DecisionResult {
        let uid = info.uid().clone();
        let Some(node) = self.cache.row(choice.slot).map(|row| row.name.clone()) else {
            return self.fail(&uid, Fault::error("the chosen node is gone".to_owned()), now, out);
        };
        self.cache.assume(info.clone(), choice.slot);
        self.nominated.remove(&uid);
        let mut waits = Vec::new();
        let mut refused: Option<Rejection> = None;
        if let Some(profile) = self.profiles.all.get_mut(profile_at) {
            probe.enter(Point::Reserve);
            for i in profile.at(Point::Reserve).to_vec() {
                let mut cx = ReserveCx { now, cache: &mut self.cache };
                let status = profile.plugins[i].reserve(&mut cx, info, &node);
                if !status.is_success() {
                    if profile.plugins[i].name() == volume_binding::NAME {
                        self.counters.volume_errors[0] += 1;
                    }
                    refused = Some(Rejection {
                        plugin: profile.ids[i],
                        status: describe(status, "Reserve", profile.plugins[i].name()),
                    });
                    break;
                }
            }
            probe.exit(Point::Reserve, refused.as_ref().map_or(Code::Success, |r| r.status.code()));
            if refused.is_none() {
                probe.enter(Point::Permit);
                for i in profile.at(Point::Permit).to_vec() {
                    match profile.plugins[i].permit(info, &node) {
                        Permit::Allow => {}
                        Permit::Wait(time) => {
                            waits.push((profile.ids[i], now.mono + time.min(MAX_PERMIT), time.min(MAX_PERMIT)));
                        }
                        Permit::Reject(status) => {
                            refused = Some(Rejection {
                                plugin: profile.ids[i],
                                status: describe(status, "Permit", profile.plugins[i].name()),
                            });
                            break;
                        }
                    }
                }
                let code = if waits.is_empty() { Code::Success } else { Code::Wait };
                probe.exit(Point::Permit, refused.as_ref().map_or(code, |r| r.status.code()));
            }
        }
        if let Some(rejection) = refused {
            self.take_back(info, profile_at, &node, now);
            let fault = rejected_at(&rejection);
            return self.fail(&uid, fault, now, out);
        }
        self.plugins_told(profile_at, now);
        let attempt = self.attempt(&uid, profile_at, now);
        self.start_binding(info.clone(), node.clone(), attempt, waits, now, out);
        DecisionResult::Assumed { node, total: choice.total, feasible: choice.feasible, ties: choice.ties, class }
    }

    fn attempt(&self, uid: &str, profile: usize, now: Now) -> Attempt {
        let entry = self.queue.get(uid);
        Attempt {
            profile,
            attempts: entry.map_or(0, |e| e.attempts),
            first_active: entry.and_then(|e| e.first_active),
            flushed: entry.is_some_and(|e| e.flushed),
            started: now,
        }
    }

    /// Unreserve in reverse order, and forget.
    pub(super) fn take_back(&mut self, info: &PodInfo, profile: usize, node: &Str, now: Now) {
        self.unreserve(info, profile, node, now);
        self.cache.forget(info.uid());
    }

    /// Unreserve in reverse order.
    pub(super) fn unreserve(&mut self, info: &PodInfo, profile_at: usize, node: &Str, now: Now) {
        let (all, spans, cache) = (&mut self.profiles.all, &self.profiles.spans, &mut self.cache);
        if let Some(profile) = all.get_mut(profile_at) {
            let name = profile.name.clone();
            let undo = || {
                for i in profile.at(Point::Reserve).to_vec().into_iter().rev() {
                    let mut cx = ReserveCx { now, cache: &mut *cache };
                    profile.plugins[i].unreserve(&mut cx, info, node);
                }
            };
            spans.measure("Unreserve", &name, undo, |_| Code::Success);
        }
        self.plugins_told(profile_at, now);
    }
}

/// Failures of a plugin are told with its name; rejections speak for themselves.
pub(super) fn describe(status: Status, point: &str, plugin: &str) -> Status {
    if status.code().is_rejected() {
        return status;
    }
    Status::error(format!("running {point} plugin {plugin:?}: {}", status.message()))
}

/// A rejection after the node was chosen reads as if the cluster had one node (reference 1.7).
pub(super) fn rejected_at(rejection: &Rejection) -> Fault {
    if !rejection.status.code().is_rejected() {
        return Fault::error(rejection.status.message());
    }
    let mut fit = FitError::new(1);
    fit.add(rejection);
    Fault::unschedulable(fit.to_string(), fit.rejectors, fit.pending)
}
