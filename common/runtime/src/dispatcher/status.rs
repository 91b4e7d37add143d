//! The lane of status patches: one in flight per pod, later ones merged, few retries. Pure.

use std::{collections::VecDeque, time::Duration};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Str,
    intent::{IntentId, PodStatusPatch},
    object::ObjectKey,
};

/// Attempts of one patch in all (kube-scheduler reference 5.2: four, 10 ms apart, five times as long each time).
const ATTEMPTS: u32 = 4;
/// Delay before the second attempt.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// A patch to be sent, for all the intents that were merged into it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatusJob {
    pub(super) ids: Vec<IntentId>,
    pub(super) pod: ObjectKey,
    pub(super) uid: Str,
    pub(super) patch: PodStatusPatch,
    attempts: u32,
    not_before: Mono,
}

/// Patches that wait, per pod UID.
#[derive(Debug, Default)]
pub(super) struct StatusLane {
    waiting: HashMap<Str, StatusJob>,
    /// UIDs in `waiting` whose turn it is, oldest first; those in flight or delayed are not in it.
    ready: VecDeque<Str>,
    delayed: Vec<Str>,
    in_flight: HashSet<Str>,
}

impl StatusLane {
    /// Adds a patch. Returns whether it was merged into one that waits.
    pub(super) fn push(&mut self, id: IntentId, pod: ObjectKey, uid: Str, patch: PodStatusPatch) -> bool {
        if let Some(job) = self.waiting.get_mut(&uid) {
            job.ids.push(id);
            job.patch.supersede(patch);
            return true;
        }
        if !self.in_flight.contains(&uid) {
            self.ready.push_back(uid.clone());
        }
        let job = StatusJob { ids: vec![id], pod, uid: uid.clone(), patch, attempts: 0, not_before: Mono(0) };
        self.waiting.insert(uid, job);
        false
    }

    /// The next patch to be sent; it counts as in flight until [`Self::done`] or [`Self::failed`].
    pub(super) fn next(&mut self, now: Mono) -> Option<StatusJob> {
        let waiting = &self.waiting;
        let ready = &mut self.ready;
        self.delayed.retain(|uid| {
            let due = waiting.get(uid).is_none_or(|job| job.not_before <= now);
            if due {
                ready.push_back(uid.clone());
            }
            !due
        });
        while let Some(uid) = self.ready.pop_front() {
            if let Some(job) = self.waiting.remove(&uid) {
                self.in_flight.insert(uid);
                return Some(job);
            }
        }
        None
    }

    /// The patch was answered for good.
    pub(super) fn done(&mut self, uid: &Str) {
        self.in_flight.remove(uid);
        if self.waiting.contains_key(uid) {
            self.ready.push_back(uid.clone());
        }
    }

    /// The patch failed in a way that may pass. Gives it back when it was tried often enough.
    pub(super) fn failed(&mut self, mut job: StatusJob, now: Mono) -> Option<StatusJob> {
        job.attempts += 1;
        if job.attempts >= ATTEMPTS {
            self.done(&job.uid);
            return Some(job);
        }
        self.in_flight.remove(&job.uid);
        job.not_before = now + FIRST_DELAY.saturating_mul(5_u32.saturating_pow(job.attempts - 1));
        if let Some(later) = self.waiting.remove(&job.uid) {
            job.ids.extend(later.ids);
            job.patch.supersede(later.patch);
        }
        self.delayed.push(job.uid.clone());
        self.waiting.insert(job.uid.clone(), job);
        None
    }

    /// Patches that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When a delayed patch is due, if nothing is ready before.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.delayed.iter().filter_map(|uid| self.waiting.get(uid)).map(|job| job.not_before).min()
    }

    /// Gives up everything that waits.
    pub(super) fn clear(&mut self) -> Vec<StatusJob> {
        self.ready.clear();
        self.delayed.clear();
        self.waiting.drain().map(|(_, job)| job).collect()
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::object::{PodCondition, Status};

    use super::*;

    fn patch(message: &str) -> PodStatusPatch {
        PodStatusPatch {
            conditions: vec![PodCondition {
                kind: "PodScheduled".into(),
                status: Status::False,
                reason: "Unschedulable".into(),
                message: message.into(),
                last_transition: None,
                observed_generation: 0,
            }],
            nominated_node_name: None,
        }
    }

    fn push(lane: &mut StatusLane, id: u64, uid: &str, message: &str) -> bool {
        lane.push(IntentId(id), ObjectKey::new("ns", uid), uid.into(), patch(message))
    }

    fn ids(job: &StatusJob) -> Vec<u64> {
        job.ids.iter().map(|id| id.0).collect()
    }

    #[test]
    fn patches_of_one_pod_are_merged_while_they_wait() {
        let mut lane = StatusLane::default();
        assert!(!push(&mut lane, 1, "a", "old"));
        assert!(!push(&mut lane, 2, "b", "b"));
        assert!(push(&mut lane, 3, "a", "new"));
        let job = lane.next(Mono(1)).unwrap();
        assert_eq!((ids(&job), &*job.patch.conditions[0].message), (vec![1, 3], "new"));
        assert_eq!(ids(&lane.next(Mono(1)).unwrap()), [2]);
        assert!(lane.next(Mono(1)).is_none());
    }

    #[test]
    fn only_one_is_in_flight_per_pod() {
        let mut lane = StatusLane::default();
        push(&mut lane, 1, "a", "1");
        let job = lane.next(Mono(1)).unwrap();
        push(&mut lane, 2, "a", "2");
        push(&mut lane, 3, "a", "3");
        assert!(lane.next(Mono(1)).is_none(), "the first is not answered yet");
        lane.done(&job.uid);
        assert_eq!(ids(&lane.next(Mono(1)).unwrap()), [2, 3]);
    }

    #[test]
    fn failures_are_retried_with_what_came_meanwhile() {
        let mut lane = StatusLane::default();
        push(&mut lane, 1, "a", "1");
        let job = lane.next(Mono(0)).unwrap();
        push(&mut lane, 2, "a", "2");
        assert!(lane.failed(job, Mono(0)).is_none());
        assert_eq!(lane.next_due(), Some(Mono(10_000)));
        assert!(lane.next(Mono(9_999)).is_none());
        let mut job = lane.next(Mono(10_000)).unwrap();
        assert_eq!((ids(&job), &*job.patch.conditions[0].message), (vec![1, 2], "2"));
        let mut now = Mono(10_000);
        for delay in [50_000, 250_000] {
            assert!(lane.failed(job, now).is_none());
            assert_eq!(lane.next_due(), Some(Mono(now.0 + delay)));
            now = Mono(now.0 + delay);
            job = lane.next(now).unwrap();
        }
        assert!(lane.failed(job, now).is_some(), "enough");
        assert_eq!(lane.len(), 0);
    }

    proptest::proptest! {
        /// Whatever happens, each intent is answered exactly once.
        #[test]
        fn no_intent_is_lost(steps in proptest::collection::vec((0..4_u8, 0..3_u8), 0..200)) {
            let mut lane = StatusLane::default();
            let (mut flying, mut answered, mut next_id, mut now) = (Vec::new(), Vec::new(), 0_u64, 0_u64);
            for (step, pod) in steps {
                now += 300_000;
                match step {
                    0 | 1 => {
                        push(&mut lane, next_id, &pod.to_string(), "m");
                        next_id += 1;
                    }
                    2 => flying.extend(lane.next(Mono(now))),
                    _ => if let Some(job) = flying.pop() {
                        if pod == 0 {
                            lane.done(&job.uid);
                            answered.extend(job.ids);
                        } else if let Some(job) = lane.failed(job, Mono(now)) {
                            answered.extend(job.ids);
                        }
                    },
                }
                let uids: HashSet<_> = flying.iter().map(|j: &StatusJob| j.uid.clone()).collect();
                proptest::prop_assert_eq!(uids.len(), flying.len());
            }
            for job in flying {
                lane.done(&job.uid);
                answered.extend(job.ids);
            }
            while let Some(job) = lane.next(Mono(u64::MAX)) {
                lane.done(&job.uid);
                answered.extend(job.ids);
            }
            answered.sort();
            proptest::prop_assert_eq!(answered, (0..next_id).map(IntentId).collect::<Vec<_>>());
        }
    }
}
