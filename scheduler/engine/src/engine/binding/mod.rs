//! The binding cycle as a state machine, advanced by outcomes and by time (reference 1.8).
//!
//! reserved → waiting on permit → pre-binding → binding → bound or failed. What became of a bind that was not answered
//! is asked for with a consistent read; until then the pod stays assumed. A bound pod is watched for until the informer
//! shows it. (Upstream never asks; its assumed pods stay for ever.)

mod advance;
mod end;
mod outcome;

use std::time::Duration;

use headroom_core::{
    Mono, Now, Str,
    intent::{Intent, IntentId, Op, PodStatusPatch, WriteError},
};

use super::{Engine, Owner, failure::Fault, permit::held_until};
use crate::{
    framework::{Code, PluginId, PodInfo, Point, PreFlight, Profile, Status},
    queue::PointProbe,
};

/// How long a bound pod may be missing from the watch before its state is asked for (memory-and-swap.md 5.3).
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(300);

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
