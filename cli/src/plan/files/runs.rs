//! Jobs and CronJobs of a file: which of them make no pods, and what is planned of those that make some again and again.

use std::collections::BTreeSet;

use headroom_planner::cluster::WorkloadName;
use serde_json::Value;

use super::{given::named, named_workload};
use crate::{
    plan::known::{Known, is_of},
    trace::json::is_true,
};

/// Those that make no pods.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// How many there are.
    pub(super) count: usize,
    /// Jobs that are to pause: the pods that they have go. Of CronJobs they go on.
    pub(super) paused: BTreeSet<WorkloadName>,
    /// What to say of them, and of CronJobs that make some.
    pub(super) notes: Vec<String>,
}

/// Takes out the Jobs and CronJobs that make no pods when they are applied.
pub(super) fn without_idle(objects: Vec<Value>, namespace: &str, known: &Known) -> (Vec<Value>, Idle) {
    let mut idle = Idle::default();
    let (mut suspended, mut ended, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut kept = Vec::with_capacity(objects.len());
    for object in objects {
        let name = named_workload(&object, namespace);
        let (job, cron) = (is_of(&object, "Job", "batch"), is_of(&object, "CronJob", "batch"));
        if job && known.has_ended(&name.namespace, &name.name) {
            ended.push(name);
        } else if (job || cron) && is_true(&object, "/spec/suspend") {
            suspended.push(name);
        } else {
            again.extend(cron.then_some(name));
            kept.push(object);
        }
    }
    idle.count = suspended.len() + ended.len();
    for (which, what) in [
        (&suspended, "suspended, no pods are planned"),
        (&ended, "ended in the cluster, where it does not run again: no pods are planned"),
        (&again, "one run at a time is planned"),
    ] {
        if !which.is_empty() {
            let all = named(which.iter().map(|name| (name.kind.as_str(), name.name.as_str())));
            idle.notes.push(format!("{all}: {what}"));
        }
    }
    idle.paused = suspended.into_iter().filter(|name| name.kind == "Job").collect();
    (kept, idle)
}
