//! Whom to remove from one node (`SelectVictimsOnNode`), and whose removal a disruption budget forbids.

use std::{cmp::Reverse, sync::Arc};

use hashbrown::HashMap;
use headroom_core::{Str, Timestamp, object::PodDisruptionBudget};

use crate::{
    cache::{Cache, Slot},
    framework::{Candidate, DryRunError, PodInfo, PostFilterCx, Status},
};

/// Reason on nodes without anybody of less priority.
pub(super) const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// What importance is compared by: the smaller key is the more important pod (`MoreImportantPod`). A pod that has not
/// started counts as started now.
pub(super) fn importance(pod: &PodInfo, now: Timestamp) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority()), started(pod, now))
}

pub(super) fn started(pod: &PodInfo, now: Timestamp) -> Timestamp {
    pod.pod.status.start_time.unwrap_or(now)
}

/// Splits pods into those that a budget protects and the others; both keep their order (`filterPodsWithPDBViolation`).
pub(super) fn split(pods: &[PodInfo], cache: &Cache) -> (Vec<PodInfo>, Vec<PodInfo>) {
    let mut left: HashMap<(Str, Str), i64> = HashMap::new();
    pods.iter().cloned().partition(|p| {
        let meta = &p.pod.meta;
        let mut violated = false;
        if meta.labels.is_empty() {
            return false;
        }
        let covering = |b: &&Arc<PodDisruptionBudget>| b.covers(&meta.labels) && !b.has_disrupted(&meta.key.name);
        for budget in cache.budgets(&meta.key.namespace).filter(covering) {
            let key = (budget.meta.key.namespace.clone(), budget.meta.key.name.clone());
            let allowed = left.entry(key).or_insert_with(|| i64::from(budget.disruptions_allowed));
            *allowed -= 1;
            violated |= *allowed < 0;
        }
        violated
    })
}

/// The pods whose removal makes room for `pod`.
///
/// # Errors
/// Why removing pods does not help; a plugin's failure as [`Status::error`].
pub(super) fn select(pod: &PodInfo, slot: Slot, cx: &PostFilterCx<'_>) -> Result<Candidate, Status> {
    let now = cx.view.now.wall;
    let nobody = || Status::unresolvable(NO_VICTIMS);
    let Some(row) = cx.view.row(slot) else { return Err(nobody()) };
    // Most nodes end here: nothing is copied for them.
    if row.lowest_priority().is_none_or(|lowest| lowest >= pod.priority()) {
        return Err(nobody());
    }
    let mut potential: Vec<PodInfo> = row.pods.iter().filter(|p| p.priority() < pod.priority()).cloned().collect();
    // Upstream's order among equals is arbitrary.
    potential.sort_by(|a, b| importance(a, now).cmp(&importance(b, now)).then_with(|| a.uid().cmp(b.uid())));
    let Some(mut run) = cx.dry_run(pod, slot) else { return Err(nobody()) };
    for victim in &potential {
        run.remove(victim);
    }
    run.fits().map_err(status)?;
    let (protected, others) = split(&potential, cx.view.cache);
    let mixed = !protected.is_empty() && !others.is_empty();
    let mut victims = Vec::new();
    let mut violations = 0;
    let protects = protected.len();
    for (i, candidate) in protected.into_iter().chain(others).enumerate() {
        run.put_back(&candidate);
        match run.fits() {
            Ok(()) => continue,
            // Upstream takes any status that is no success for "does not fit".
            Err(DryRunError::Rejected(_) | DryRunError::Failed(_)) => run.remove(&candidate),
        }
        violations += usize::from(i < protects);
        victims.push(candidate);
    }
    if mixed {
        victims.sort_by(|a, b| importance(a, now).cmp(&importance(b, now)).then_with(|| a.uid().cmp(b.uid())));
    }
    if victims.is_empty() {
        return Err(Status::error(format!("expected at least one victim pod on node {:?}", row.name.as_str())));
    }
    Ok(Candidate { node: row.name.clone(), victims, violations })
}

fn status(error: DryRunError) -> Status {
    match error {
        DryRunError::Rejected(status) => status,
        DryRunError::Failed(message) => Status::error(message),
    }
}
