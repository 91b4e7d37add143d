//! Shadow mode: each pod is looked at once, on first sight; nothing is assumed; whoever binds moves the world on
//! (DESIGN.md 13).

use hashbrown::HashMap;
use headroom_core::{Now, Str};

use super::{DecisionResult, Engine, Report, ShadowDecision, ShadowOutcome, queue_and_cx};
use crate::{
    cache::Slot,
    cycle::{Failure, Verdict, evaluate},
    fit_error::NO_NODES,
    framework::{NoProbe, PodInfo, View},
};

/// Most pods that were looked at and are not bound yet. Beyond it pods are not compared.
const MAX_SHADOW_PODS: usize = 16_384;

/// What we would have done.
#[derive(Debug, Clone)]
struct Looked {
    ours: Option<Str>,
    /// Slots of all nodes that are as good, one bit each.
    best: Box<[u64]>,
    /// What slots meant then.
    slot_epoch: u64,
    message: String,
}

/// Pods that were looked at.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    looked: HashMap<Str, Looked>,
}

impl Shadow {
    pub(super) fn has_looked_at(&self, uid: &str) -> bool {
        self.looked.contains_key(uid)
    }

    pub(super) fn forget(&mut self, uid: &str) {
        self.looked.remove(uid);
    }

    pub(super) fn len(&self) -> usize {
        self.looked.len()
    }
}

fn bits(slots: &[Slot]) -> Box<[u64]> {
    let words = slots.iter().max().map_or(0, |max| *max as usize / 64 + 1);
    let mut set = vec![0_u64; words];
    for slot in slots {
        set[*slot as usize / 64] |= 1 << (slot % 64);
    }
    set.into()
}

fn has(set: &[u64], slot: Slot) -> bool {
    set.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
}

impl Engine {
    /// All nodes with the best total.
    fn equally_good(&self, info: &PodInfo, now: Now) -> Vec<Slot> {
        let view = View::new(&self.cache, now);
        let Some(profile) = self.profiles.find(&info.pod.spec.scheduler_name).and_then(|p| self.profiles.all.get(p))
        else {
            return Vec::new();
        };
        match evaluate(profile, info, &view, &self.nominated, &mut NoProbe) {
            Ok(e) => match e.totals.iter().max() {
                None => e.feasible,
                Some(best) => {
                    e.feasible.iter().zip(&e.totals).filter(|(_, t)| *t == best).map(|(slot, _)| *slot).collect()
                }
            },
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn shadow_decided(&mut self, info: &PodInfo, verdict: &Verdict, now: Now) -> DecisionResult {
        let uid = info.uid().clone();
        let (queue, cx) = queue_and_cx!(self, now);
        queue.remove(&uid, &cx);
        let (ours, total, message) = match &verdict.result {
            Ok(choice) => (self.cache.row(choice.slot).map(|r| r.name.clone()), choice.total, String::new()),
            Err(Failure::NoNodes) => (None, None, NO_NODES.to_owned()),
            Err(Failure::Fit(fit)) => (None, None, fit.to_string()),
            Err(Failure::Error(message)) => (None, None, message.clone()),
        };
        self.counters.shadow_decisions += 1;
        if self.shadow.looked.len() < MAX_SHADOW_PODS {
            let best = match &verdict.result {
                Ok(choice) if choice.ties > 1 => bits(&self.equally_good(info, now)),
                Ok(choice) => bits(&[choice.slot]),
                Err(_) => Box::default(),
            };
            let looked =
                Looked { ours: ours.clone(), best, slot_epoch: self.cache.slot_epoch(), message: message.clone() };
            self.shadow.looked.insert(uid, looked);
        }
        DecisionResult::Shadow { node: ours, total, message }
    }

    /// Somebody bound a pod.
    pub(super) fn shadow_bound(&mut self, info: &PodInfo, node: &Str, first_seen: bool) {
        let uid = info.uid();
        let ours_to_serve = self.profiles.find(&info.pod.spec.scheduler_name).is_some();
        let looked = self.shadow.looked.remove(uid);
        let waiting = self.queue.get(uid).is_some();
        let decision = match looked {
            Some(l) => {
                let slot = self.cache.slot(node);
                let outcome = match (&l.ours, slot) {
                    _ if l.slot_epoch != self.cache.slot_epoch() => ShadowOutcome::NotCompared,
                    (None, _) => ShadowOutcome::WouldWait,
                    (Some(_), Some(slot)) if has(&l.best, slot) => ShadowOutcome::Agrees,
                    (Some(_), _) => ShadowOutcome::Differs,
                };
                ShadowDecision {
                    pod: info.pod.meta.key.clone(),
                    ours: l.ours,
                    theirs: node.clone(),
                    outcome,
                    message: l.message,
                }
            }
            // It was bound before we could look: either while it stood in our queue, or before we saw it at all.
            None if ours_to_serve && (waiting || (first_seen && self.counters.shadow_decisions > 0)) => {
                ShadowDecision {
                    pod: info.pod.meta.key.clone(),
                    ours: None,
                    theirs: node.clone(),
                    outcome: ShadowOutcome::NotCompared,
                    message: String::new(),
                }
            }
            None => return,
        };
        self.counters.shadow[decision.outcome as usize] += 1;
        self.report(Report::Shadow(decision));
    }
}
