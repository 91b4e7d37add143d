//! The decision about one replication controller, as a pure function of the view and the book.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Mono, Now, Str, Timestamp,
    expectations::What,
    object::{ObjectKey, Pod, RcCondition, ReplicationController, ReplicationControllerStatus, Status},
};

use super::{
    book::{Book, Failure, Inventory},
    rank,
};
use crate::framework::PodIndex;

/// Most pods that are created, or deleted, before the view must show some of them (upstream's `BurstReplicas`).
pub(super) const BURST: usize = 500;
/// After this a write that the watch has not shown is looked up by a list.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A look takes as long as there are pods, and in a crowd events come by the thousand: the next one for a pod's sake waits so
/// long for each pod, from [`CROWD`] pods on, but not longer than [`LONGEST_PAUSE`].
const PAUSE_PER_POD: Duration = Duration::from_micros(10);
const CROWD: usize = 200;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// The only condition there is.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// How long a replication controller with so many pods need not be looked at again because one of them changed.
pub(super) fn pause(pods: usize) -> Duration {
    if pods < CROWD {
        return Duration::ZERO;
    }
    u32::try_from(pods).map_or(LONGEST_PAUSE, |pods| PAUSE_PER_POD.saturating_mul(pods)).min(LONGEST_PAUSE)
}

/// The pods that matter, by what is to be done with them. All are active.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// Ours.
    pub(super) claimed: Vec<Arc<Pod>>,
    /// Match, and nobody manages them: to be adopted.
    pub(super) orphans: Vec<Arc<Pod>>,
    /// Ours, and do not match any more: to be released.
    pub(super) strays: Vec<Arc<Pod>>,
}

/// Sorts the pods of the namespace out (`ControllerRefManager.ClaimPods`, reference 1.6).
pub(super) fn classify(rc: &ReplicationController, pods: &PodIndex, book: &Book) -> Pods {
    let mut out = Pods::default();
    // The API server refuses an empty selector; should one be seen all the same, it selects nothing.
    let matches = |pod: &Pod| !rc.selector.is_empty() && rc.selector.selects(&pod.meta.labels);
    let deleting = rc.meta.is_terminating();
    for pod in pods.in_namespace(&rc.meta.key.namespace).filter(|p| p.is_active()) {
        match pod.meta.controller() {
            Some(owner) if owner.uid != rc.meta.uid => {}
            Some(_) if matches(pod) => out.claimed.push(pod.clone()),
            Some(_) if deleting || book.is_claim_unseen(pod) => {}
            Some(_) => out.strays.push(pod.clone()),
            None if !matches(pod) => {}
            None if book.is_claim_unseen(pod) => out.claimed.push(pod.clone()),
            None if deleting || book.is_deleted(pod) => {}
            None => out.orphans.push(pod.clone()),
        }
    }
    out
}

/// A pod to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Victim {
    pub(super) key: ObjectKey,
    pub(super) uid: Str,
}

/// What to do about the number of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It is right, as far as anybody knows.
    Nothing,
    /// Nothing yet.
    Wait(Mono),
    /// Look at everything first.
    TakeStock,
    /// So many are missing.
    Create(usize),
    /// These are too many.
    Delete(Vec<Victim>),
}

/// Compares how many pods there may be at most with how many there should be, and how many there are at least.
///
/// At most: those in view that no answered deletion has ended, and every creation that was not seen yet, whatever
/// became of it. At least: those in view that no deletion of ours may have ended. Creating by the first and deleting by
/// the second cannot overshoot, however old the view is.
pub(super) fn manage(rc: &ReplicationController, pods: &Pods, book: &Book, now: Now) -> Step {
    if let Some(at) = book.retry_at.filter(|at| *at > now.mono) {
        return Step::Wait(at);
    }
    if !book.deletes_in_doubt.is_empty() {
        let repeat = book.deletes_in_doubt.iter().map(|(key, uid)| Victim { key: key.clone(), uid: uid.clone() });
        return Step::Delete(repeat.take(BURST).collect());
    }
    let overdue = book.expected.overdue_at(PATIENCE);
    if overdue.is_some_and(|at| at <= now.mono) || book.suspicious {
        return Step::TakeStock;
    }
    let desired = usize::try_from(rc.replicas).unwrap_or(0);
    let standing: Vec<_> = pods.claimed.iter().filter(|p| !book.is_deleted(p)).cloned().collect();
    let unseen = book.unseen();
    let at_most = standing.len() + pods.orphans.len() + unseen;
    if at_most < desired {
        if book.vanished || !matches!(book.inventory, Inventory::Done(_)) {
            return Step::TakeStock;
        }
        if let Some(at) = book.create_gate(now.mono) {
            return Step::Wait(at);
        }
        let room = BURST.saturating_sub(unseen);
        return match (desired - at_most).min(book.batch).min(room) {
            0 => Step::Wait(overdue.unwrap_or(now.mono + PATIENCE)),
            n => Step::Create(n),
        };
    }
    // Pods that were made and are not in view are the youngest, so they would go first: wait for them. When the watch
    // does not show them though a list has, they go by what is known of them, their name and UID.
    let unseen_own: Vec<_> = book
        .unseen_own
        .iter()
        .filter(|(key, _)| book.expected.get(key).is_some_and(|e| e.what == What::Exists))
        .map(|(key, uid)| Victim { key: key.clone(), uid: uid.clone() })
        .collect();
    let surplus = (standing.len() + unseen_own.len()).saturating_sub(desired);
    if surplus == 0 {
        return overdue.map_or(Step::Nothing, Step::Wait);
    }
    let all_confirmed = book.expected.iter().all(|(_, e)| e.what != What::Exists || e.confirmed);
    if !book.in_doubt.is_empty() {
        return Step::TakeStock;
    }
    if !all_confirmed {
        return Step::Wait(overdue.unwrap_or(now.mono + PATIENCE));
    }
    let surplus = surplus.min(BURST);
    let mut victims = unseen_own;
    victims.truncate(surplus);
    if victims.len() < surplus {
        let mut ranked = standing;
        if surplus - victims.len() < ranked.len() {
            rank::sort(&mut ranked, now.wall);
        }
        let rest = surplus - victims.len();
        let of = |p: &Arc<Pod>| Victim { key: p.meta.key.clone(), uid: p.meta.uid.clone() };
        victims.extend(ranked.iter().take(rest).map(of));
    }
    Step::Delete(victims)
}

/// The status that the view amounts to (`calculateStatus`, reference 1.10). The condition's text is not renewed while it
/// stands, as upstream.
pub(super) fn status(
    rc: &ReplicationController,
    current: &ReplicationControllerStatus,
    pods: &Pods,
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicationControllerStatus {
    let count = |keep: &dyn Fn(&Pod) -> bool| {
        i32::try_from(pods.claimed.iter().filter(|p| keep(p)).count()).unwrap_or(i32::MAX)
    };
    let standing = current.conditions.iter().any(|c| c.kind == REPLICA_FAILURE);
    let mut conditions = current.conditions.to_vec();
    match failure {
        Some(f) if !standing => conditions.push(RcCondition {
            kind: REPLICA_FAILURE.into(),
            status: Status::True,
            reason: f.reason.into(),
            message: f.message.as_str().into(),
            last_transition: Some(f.at.truncated()),
        }),
        None => conditions.retain(|c| c.kind != REPLICA_FAILURE),
        Some(_) => {}
    }
    ReplicationControllerStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: count(&|p| rc.template_labels.selects(&p.meta.labels)),
        ready_replicas: count(&Pod::is_ready),
        available_replicas: count(&|p| p.is_available(rc.min_ready_seconds, now)),
        observed_generation: rc.meta.generation,
        conditions: conditions.into(),
    }
}

/// When the next ready pod will have been ready for long enough; at once if that has just come
/// (`FindMinNextPodAvailabilityCheck`).
pub(super) fn next_available(rc: &ReplicationController, pods: &Pods, now: Now) -> Option<Mono> {
    let wait = Duration::from_secs(u64::try_from(rc.min_ready_seconds).ok().filter(|s| *s > 0)?);
    let soonest = pods
        .claimed
        .iter()
        .filter(|p| p.is_ready() && !p.is_available(rc.min_ready_seconds, now.wall))
        .map(|p| {
            let since = p.condition("Ready").and_then(|c| c.last_transition);
            since.map_or(wait, |t| (t + wait).since(now.wall))
        })
        .min()?;
    Some(now.mono + soonest)
}
