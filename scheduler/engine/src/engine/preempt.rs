//! What a preemption takes, beside the scheduling cycle (`framework/preemption/executor.go`; reference 3.20 item 7).
//!
//! Pods of less priority that are nominated to the node lose their nomination. Victims that are still held by Permit or
//! PreBind are turned back in memory. All others get the condition `DisruptionTarget` and are then deleted, with their own
//! grace period: all but the last at once, then the last. Until the last one is seen going, the preemptor is kept out of
//! the active queue; when a write fails it is tried again at once, since no event will wake it.
//!
//! Different on purpose: upstream lets the preemptor go as well when the last deletion is answered. The answer can be
//! faster than the watch, and whoever is tried in between sees all victims still there, fails again, and may make room a
//! second time, on another node.

use std::collections::VecDeque;

use headroom_core::{
    Mono, Now, Str,
    intent::{EventRecord, EventType, Intent, Op, Outcome, PodStatusPatch, WriteError},
    object::{Kind, PodCondition, Status},
};

use super::{
    Engine, Owner, Report,
    failure::{Fault, says_so},
    queue_and_cx,
    schedule::reference,
};
use crate::framework::{PodInfo, Point, Preemption};

/// Most victims of one preemption that are written to at the same time (upstream's default parallelism).
pub(super) const PARALLEL: usize = 16;

const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// A write of a preemption.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A nomination is cleared.
    Clear,
    /// The victim gets its condition.
    Condition(Box<PodInfo>),
    /// The victim is deleted.
    Delete(Box<PodInfo>),
}

#[derive(Debug)]
enum Job {
    Clear(PodInfo),
    Victim(PodInfo),
}

/// A preemption that is being carried out.
#[derive(Debug)]
pub(super) struct Running {
    preemptor: PodInfo,
    profile: usize,
    plugin: &'static str,
    node: Str,
    todo: VecDeque<Job>,
    last: Option<PodInfo>,
    /// UID of the last victim, once it is its turn.
    last_uid: Option<Str>,
    /// Jobs under way.
    active: usize,
    /// A victim could not be removed: the rest is left alone.
    stopped: bool,
    /// Some write failed.
    failed: bool,
    /// Everything is written, and the last victim is still to be seen going.
    written: bool,
    began: Mono,
}

impl Engine {
    /// How many preemptions are being carried out.
    #[must_use]
    pub fn preemptions_in_progress(&self) -> usize {
        self.preemptions.len()
    }

    /// Tells the plugin that asked for preemptions of this pod whether one goes on.
    fn tell_preempting(&mut self, profile: usize, plugin: &str, uid: &Str, running: bool) {
        let Some(profile) = self.profiles.all.get_mut(profile) else { return };
        for i in profile.at(Point::PostFilter).to_vec() {
            if profile.plugins[i].name() == plugin {
                profile.plugins[i].preempting(uid, running);
            }
        }
    }

    pub(super) fn start_preemption(
        &mut self,
        preemptor: &PodInfo,
        profile: usize,
        wanted: Preemption,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        let all = wanted.victims.len();
        let mut victims: VecDeque<PodInfo> =
            wanted.victims.into_iter().filter(|v| !v.pod.meta.is_terminating()).collect();
        // Those that are being deleted already need no push.
        let Some(last) = victims.pop_back() else { return };
        self.report(Report::Preempting { victims: all });
        let cleared = self.nominated.lower(preemptor.priority(), &wanted.node);
        let named = |p: &PodInfo| p.pod.status.nominated_node_name.as_ref().is_some_and(|n| !n.is_empty());
        let todo = cleared.into_iter().filter(named).map(Job::Clear).chain(victims.into_iter().map(Job::Victim));
        self.last_preemption += 1;
        let id = self.last_preemption;
        let running = Running {
            preemptor: preemptor.clone(),
            profile,
            plugin: wanted.plugin,
            node: wanted.node,
            todo: todo.collect(),
            last: Some(last),
            last_uid: None,
            active: 0,
            stopped: false,
            failed: false,
            written: false,
            began: now.mono,
        };
        self.preemptions.insert(id, running);
        self.tell_preempting(profile, wanted.plugin, preemptor.uid(), true);
        self.pump(id, now, out);
    }

    /// Starts what may be started; ends the preemption when nothing is left.
    fn pump(&mut self, id: u64, now: Now, out: &mut Vec<Intent>) {
        while let Some(running) = self.preemptions.get_mut(&id) {
            if running.stopped {
                running.todo.clear();
                running.last = None;
            }
            if running.active >= PARALLEL {
                return;
            }
            match running.todo.pop_front() {
                Some(Job::Clear(pod)) => {
                    running.active += 1;
                    let patch = PodStatusPatch { conditions: Vec::new(), nominated_node_name: Some(None) };
                    let op = Op::PodStatus { pod: pod.pod.meta.key.clone(), uid: pod.uid().clone(), patch };
                    self.emit(op, Some(Owner::Preemption(id, Step::Clear)), out);
                }
                Some(Job::Victim(victim)) => {
                    running.active += 1;
                    self.preempt(id, victim, now, out);
                }
                None if running.active > 0 => return,
                None => match running.last.take() {
                    Some(victim) => {
                        running.last_uid = Some(victim.uid().clone());
                        running.active += 1;
                        self.preempt(id, victim, now, out);
                    }
                    None => return self.end_preemption(id, now),
                },
            }
        }
    }

    /// Removes one victim.
    fn preempt(&mut self, id: u64, victim: PodInfo, now: Now, out: &mut Vec<Intent>) {
        let Some(running) = self.preemptions.get(&id) else { return };
        let (plugin, scheduler) = (running.plugin, running.preemptor.pod.spec.scheduler_name.clone());
        if self.turn_back(victim.uid(), plugin, now, out) {
            self.preempted(id, &victim, " (in kube-scheduler memory).", now, out);
            self.step_done(id);
            return;
        }
        let pod = &victim.pod;
        let before = pod.condition(DISRUPTION_TARGET).filter(|c| c.status == Status::True);
        let condition = PodCondition {
            kind: DISRUPTION_TARGET.into(),
            status: Status::True,
            reason: "PreemptionByScheduler".into(),
            message: format!("{scheduler}: preempting to accommodate a higher priority pod").into(),
            last_transition: Some(before.and_then(|c| c.last_transition).unwrap_or_else(|| now.wall.truncated())),
            observed_generation: pod.meta.generation,
        };
        if says_so(pod, &condition) {
            self.delete_victim(id, Box::new(victim), out);
            return;
        }
        let (key, uid) = (pod.meta.key.clone(), victim.uid().clone());
        let patch = PodStatusPatch { conditions: vec![condition], nominated_node_name: None };
        let owner = Owner::Preemption(id, Step::Condition(Box::new(victim)));
        self.emit(Op::PodStatus { pod: key, uid, patch }, Some(owner), out);
    }

    fn delete_victim(&mut self, id: u64, victim: Box<PodInfo>, out: &mut Vec<Intent>) {
        let op = Op::Delete {
            kind: Kind::POD,
            key: victim.pod.meta.key.clone(),
            uid: Some(victim.uid().clone()),
            resource_version: None,
            grace_seconds: None,
        };
        self.emit(op, Some(Owner::Preemption(id, Step::Delete(victim))), out);
    }

    /// Says on the victim what happened to it.
    fn preempted(&mut self, id: u64, victim: &PodInfo, how: &str, now: Now, out: &mut Vec<Intent>) {
        let Some(running) = self.preemptions.get(&id) else { return };
        let preemptor = &running.preemptor;
        let reporter = self.profiles.all.get(running.profile).map(|p| p.name.clone());
        let record = EventRecord {
            regarding_api_version: "v1",
            regarding: reference(victim),
            related: Some(reference(preemptor)),
            kind: EventType::Normal,
            reason: "Preempted",
            action: "Preempting",
            note: format!("Preempted by pod {} on node {}{how}", preemptor.uid(), running.node),
            reporter,
            at: now.wall,
        };
        self.emit(Op::Event(record), None, out);
    }

    fn step_done(&mut self, id: u64) {
        if let Some(running) = self.preemptions.get_mut(&id) {
            running.active = running.active.saturating_sub(1);
        }
    }

    /// What became of a write.
    pub(super) fn preemption_outcome(
        &mut self,
        id: u64,
        step: Step,
        outcome: &Outcome,
        now: Now,
        out: &mut Vec<Intent>,
    ) {
        if !self.preemptions.contains_key(&id) {
            return;
        }
        // Somebody else was faster: the pod is gone, or another one has its name.
        let gone = matches!(outcome.result, Err(WriteError::NotFound(_)));
        let changed = matches!(outcome.result, Err(WriteError::Conflict(_)));
        if (gone || changed)
            && let Some(running) = self.preemptions.get_mut(&id)
            && matches!(&step, Step::Condition(v) | Step::Delete(v) if running.last_uid.as_ref() == Some(v.uid()))
        {
            // There may be nothing left to be seen going.
            running.last_uid = None;
        }
        match (step, &outcome.result) {
            (Step::Condition(victim), Ok(_)) => return self.delete_victim(id, victim, out),
            (Step::Delete(victim), Ok(_)) => self.preempted(id, &victim, "", now, out),
            (Step::Clear, Err(_)) if !gone => self.fail_preemption(id, false),
            (Step::Condition(_), Err(_)) if !gone => self.fail_preemption(id, true),
            (Step::Delete(_), Err(_)) if !gone && !changed => self.fail_preemption(id, true),
            _ => {}
        }
        self.step_done(id);
        self.pump(id, now, out);
    }

    fn fail_preemption(&mut self, id: u64, stop: bool) {
        if let Some(running) = self.preemptions.get_mut(&id) {
            running.failed = true;
            running.stopped |= stop;
        }
    }

    fn end_preemption(&mut self, id: u64, now: Now) {
        let Some((began, failed)) = self.preemptions.get(&id).map(|r| (r.began, r.failed)) else { return };
        self.report(Report::Preempted { took: now.mono.since(began), failed });
        let Some(running) = self.preemptions.get_mut(&id) else { return };
        let stands = |uid: &Str| self.cache.pod(uid).is_some_and(|p| !p.info.pod.meta.is_terminating());
        if !running.failed && running.last_uid.as_ref().is_some_and(stands) {
            running.written = true;
            return;
        }
        let Some(running) = self.preemptions.remove(&id) else { return };
        let uid = running.preemptor.uid();
        // The pod may have begun another one since its last victim was seen going.
        if !self.preemptions.values().any(|r| r.preemptor.uid() == uid) {
            self.tell_preempting(running.profile, running.plugin, uid, false);
        }
        if running.failed {
            let (queue, cx) = queue_and_cx!(self, now);
            queue.activate(uid, &cx);
        }
    }

    /// A pod is gone, or has begun to go: who waits for it as for its last victim need not be kept back any longer.
    pub(super) fn victim_seen_going(&mut self, uid: &str) {
        if self.preemptions.is_empty() {
            return;
        }
        let free: Vec<_> = self
            .preemptions
            .values()
            .filter(|r| r.last_uid.as_deref() == Some(uid))
            .map(|r| (r.profile, r.plugin, r.preemptor.uid().clone()))
            .collect();
        for (profile, plugin, preemptor) in free {
            self.tell_preempting(profile, plugin, &preemptor, false);
        }
        self.preemptions.retain(|_, r| !(r.written && r.last_uid.as_deref() == Some(uid)));
    }

    /// Forgets all preemptions: their writes may still be done, and the preemptors are tried again.
    pub(super) fn abandon_preemptions(&mut self) {
        for (_, running) in std::mem::take(&mut self.preemptions) {
            self.tell_preempting(running.profile, running.plugin, running.preemptor.uid(), false);
        }
    }

    /// Ends the binding of a pod that is held by Permit or PreBind. False when it is too late for that.
    fn turn_back(&mut self, uid: &str, plugin: &str, now: Now, out: &mut Vec<Intent>) -> bool {
        let Some(message) = self.can_turn_back(uid, plugin) else { return false };
        self.abort_binding(uid, Fault::error(message), now, out);
        true
    }
}
