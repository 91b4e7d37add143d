//! The binding cycle as a state machine, advanced by outcomes and by time (reference 1.8).
//!
//! reserved → waiting on permit → pre-binding → binding → bound or failed. What became of a bind that was not answered
//! is asked for with a consistent read; until then the pod stays assumed. A bound pod is watched for until the informer
//! shows it. (Upstream never asks; its assumed pods stay for ever.)

use std::time::Duration;

use headroom_core::{
    Mono, Now, Str,
    intent::{Intent, IntentId, Op, Outcome, PodStatusPatch, WriteError, Written},
    object::Kind,
};
use serde_json::Value;

use super::{Engine, Owner, Report, failure::Fault, permit::held_until, queue_and_cx, schedule::SCHEDULED};
use crate::{
    framework::{
        Actions, BindCx, Change, ClusterEvent, Code, EventResource, PluginId, PodInfo, Point, PreFlight, Profile,
        Status, Step,
    },
    plugins::volume_binding,
    queue::{Among, PointProbe},
};

/// How long a bound pod may be missing from the watch before its state is asked for (memory-and-swap.md 5.3).
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest pause between two questions for the state of a pod.
const MAX_RESOLVE_PAUSE: Duration = Duration::from_secs(10);

/// Where the pod's history of attempts stands.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) profile: usize,
    pub(super) attempts: u32,
    pub(super) first_active: Option<Now>,
    pub(super) flushed: bool,
    pub(super) started: Now,
}

/// A plugin that holds a pod: who, until when, how long in all.
pub(super) type Wait = (PluginId, Mono, Duration);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Held by plugins.
    Permit(Vec<Wait>),
    /// The PreBind plugin at this place works.
    PreBind(usize),
    /// The Bind plugin at this place works.
    Bind(usize),
    /// It is not known whether the bind was done.
    Resolve { error: String, tries: u32 },
    /// Done; not seen yet.
    Bound { tries: u32 },
}

/// A binding in progress.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) info: PodInfo,
    pub(super) node: Str,
    pub(super) attempt: Attempt,
    pub(super) stage: Stage,
    /// Whether each PreBind plugin has something to do.
    pub(super) pre_bind: Vec<bool>,
    /// Intents without outcome.
    waiting: Vec<IntentId>,
    /// Those of them that bind.
    binds: Vec<IntentId>,
    /// Why the last write failed.
    last_error: Option<WriteError>,
    deadline: Option<Mono>,
    /// PreBind or Bind, and since when it runs.
    began: Option<(Point, Mono)>,
}

/// Go's notation of whole seconds, as upstream prints them.
fn go_seconds(d: Duration) -> String {
    let s = d.as_secs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

/// Asks the PreBind plugins whether they have something to do.
///
/// # Errors
/// The text of a plugin's failure.
fn pre_flight(profile: &mut Profile, pod: &PodInfo, node: &Str) -> Result<Vec<bool>, String> {
    let mut works = Vec::new();
    for i in profile.at(Point::PreBind).to_vec() {
        let answer = profile.plugins[i].pre_bind_pre_flight(pod, node);
        if let PreFlight::Fail(status) = &answer {
            return Err(format!("running PreBindPreFlight {:?}: {}", profile.plugins[i].name(), status.message()));
        }
        works.push(answer == PreFlight::Work);
    }
    Ok(works)
}

impl Engine {
    /// Has the extension points measured that run outside of [`Engine::schedule_one`]'s probe.
    pub fn set_point_probe(&mut self, probe: Box<dyn PointProbe>) {
        self.profiles.spans.tell(probe);
    }

    /// PreBind or Bind is over for this pod, if either runs.
    fn span_ended(&self, binding: &mut Binding, code: Code, now: Now) {
        if let Some((point, since)) = binding.began.take()
            && let Some(profile) = self.profiles.all.get(binding.attempt.profile)
        {
            self.profiles.spans.took(point.as_str(), code, &profile.name, now.mono.since(since));
        }
    }

    pub(super) fn set_deadline(&mut self, uid: &Str, binding: &mut Binding, at: Option<Mono>) {
        if let Some(old) = binding.deadline.take() {
            self.deadlines.remove(&(old, uid.clone()));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, uid.clone()));
            binding.deadline = Some(at);
        }
    }

    pub(super) fn take_binding(&mut self, uid: &str) -> Option<Binding> {
        let mut binding = self.bindings.remove(uid)?;
        if let Some(at) = binding.deadline.take() {
            self.deadlines.remove(&(at, binding.info.uid().clone()));
        }
        Some(binding)
    }

    /// How many bindings are in progress, those not yet seen included.
    #[must_use]
    pub fn bindings_in_progress(&self) -> usize {
        self.bindings.len()
    }

    pub(super) fn is_binding(&self, uid: &str) -> bool {
        self.bindings.contains_key(uid)
    }

    pub(super) fn start_binding(
        &mut self,
        info: PodInfo,
        node: Str,
        attempt: Attempt,
        waits: Vec<Wait>,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        let uid = info.uid().clone();
        let mut binding = Binding {
            info,
            node,
            attempt,
            stage: Stage::PreBind(0),
            pre_bind: Vec::new(),
            waiting: Vec::new(),
            binds: Vec::new(),
            last_error: None,
            deadline: None,
            began: None,
        };
        let (all, spans) = (&mut self.profiles.all, &self.profiles.spans);
        if let Some(profile) = all.get_mut(binding.attempt.profile) {
            let name = profile.name.clone();
            let ask = || pre_flight(profile, &binding.info, &binding.node);
            let answer = spans.measure("PreBindPreFlight", &name, ask, |works| match works {
                Err(_) => Code::Error,
                Ok(works) if works.contains(&true) => Code::Success,
                Ok(_) => Code::Skip,
            });
            match answer {
                Ok(works) => binding.pre_bind = works,
                Err(message) => {
                    self.fail_binding(binding, Fault::error(message), now, out);
                    return;
                }
            }
        }
        // Whoever watches (a cluster autoscaler) learns where the pod will go when that takes a while.
        if !waits.is_empty() || binding.pre_bind.contains(&true) {
            let patch =
                PodStatusPatch { conditions: Vec::new(), nominated_node_name: Some(Some(binding.node.clone())) };
            let op = Op::PodStatus { pod: binding.info.pod.meta.key.clone(), uid: uid.clone(), patch };
            self.emit(op, Some(Owner::Status(uid.clone())), out);
        }
        let until = held_until(&waits, now);
        if until.is_some() {
            binding.stage = Stage::Permit(waits);
            self.set_deadline(&uid, &mut binding, until);
            self.bindings.insert(uid, binding);
            return;
        }
        self.bindings.insert(uid.clone(), binding);
        self.queue.done(&uid);
        self.advance(&uid, None, now, out);
    }

    /// Runs PreBind and Bind plugins as far as they go.
    pub(super) fn advance(&mut self, uid: &Str, mut outcome: Option<&Outcome>, now: Now, out: &mut Vec<Intent>) {
        while let Some(mut binding) = self.take_binding(uid) {
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
                    self.bindings.insert(uid.clone(), binding);
                    continue;
                }
                self.span_ended(&mut binding, Code::Skip, now);
                self.fail_binding(binding, Fault::error("no Bind plugin took the pod".to_owned()), now, out);
                return;
            };
            if point == Point::PreBind && binding.pre_bind.get(at) != Some(&true) {
                binding.stage = Stage::PreBind(at + 1);
                self.bindings.insert(uid.clone(), binding);
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
                    self.bindings.insert(uid.clone(), binding);
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
    pub(super) fn wake_claim_waiters(&mut self, claim: &str, now: Now, out: &mut Vec<Intent>) {
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

    /// The pod is bound.
    fn bound(&mut self, mut binding: Binding, now: Now, out: &mut Vec<Intent>) {
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
        self.wake_held(now);
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
    pub(super) fn fail_binding(&mut self, mut binding: Binding, fault: Fault, now: Now, out: &mut Vec<Intent>) {
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
    pub(super) fn confirm_binding(&mut self, info: &PodInfo, node: &Str, now: Now, out: &mut Vec<Intent>) {
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
    pub(super) fn drop_binding(&mut self, uid: &str, now: Now, _out: &mut Vec<Intent>) {
        if let Some(binding) = self.take_binding(uid)
            && !matches!(binding.stage, Stage::Bound { .. })
        {
            self.permit_dropped(&binding.stage, now);
            self.take_back(&binding.info, binding.attempt.profile, &binding.node, now);
        }
    }

    /// What became of an intent.
    pub(super) fn outcome(&mut self, outcome: &Outcome, now: Now, out: &mut Vec<Intent>) {
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
    fn ask(&mut self, uid: &Str, out: &mut Vec<Intent>) {
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

    /// Deadlines that have passed.
    pub(super) fn binding_deadlines(&mut self, now: Now, out: &mut Vec<Intent>) {
        while let Some((at, uid)) = self.deadlines.first().cloned() {
            if at > now.mono {
                return;
            }
            self.deadlines.pop_first();
            let Some(binding) = self.bindings.get_mut(&uid) else { continue };
            binding.deadline = None;
            match &binding.stage {
                Stage::Permit(waits) => {
                    let Some((plugin, _, waited)) = waits.iter().find(|(_, end, _)| *end <= now.mono).copied() else {
                        self.ask_holders(&uid, now, out);
                        continue;
                    };
                    let name = self.profiles.names.name(plugin);
                    let text = format!("rejected due to timeout after waiting {} at plugin {name}", go_seconds(waited));
                    self.refuse_waiting(&uid, plugin, Status::unschedulable(text), now, out);
                }
                Stage::Resolve { .. } | Stage::Bound { .. } => self.ask(&uid, out),
                Stage::PreBind(_) | Stage::Bind(_) => self.advance(&uid, None, now, out),
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
