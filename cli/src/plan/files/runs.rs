//! Jobs and CronJobs of a file: how many pods they run at a time, which of them make none, and what is planned of those that
//! make some again and again.

use std::collections::BTreeSet;

use headroom_planner::cluster::WorkloadName;
use serde_json::Value;

use super::{given::named, named_workload, text, whole};
use crate::{
    plan::known::{Known, is_of},
    trace::json::is_true,
};

/// How many pods a Job runs at a time, or the template of one, as its spec and its status have it (`manageJob`,
/// pkg/controller/job): no more than are left to complete, and none while it is suspended. Where nothing says how many
/// complete it, none is made any more once one has succeeded.
pub(super) fn at_a_time(job: &Value) -> u64 {
    let number = |pointer: &str| job.pointer(pointer).and_then(whole);
    if is_true(job, "/spec/suspend") {
        return 0;
    }
    let parallelism = number("/spec/parallelism").unwrap_or(1);
    let succeeded = number("/status/succeeded").unwrap_or(0);
    match number("/spec/completions") {
        // An index that has failed for good is not run again.
        Some(completions) => parallelism
            .min(completions.saturating_sub(succeeded).saturating_sub(indexes(text(job, "/status/failedIndexes")))),
        None if succeeded > 0 => number("/status/active").unwrap_or(0),
        None => parallelism,
    }
}

/// How many indexes a list like `1,3-5` has. What is no number counts as one.
fn indexes(list: &str) -> u64 {
    let span = |part: &str| {
        let (first, last) = part.split_once('-')?;
        Some(last.trim().parse::<u64>().ok()?.saturating_sub(first.trim().parse().ok()?).saturating_add(1))
    };
    let parts = list.split(',').filter(|part| !part.trim().is_empty());
    parts.map(|part| span(part).unwrap_or(1)).fold(0, u64::saturating_add)
}

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

/// Gives a Job the status that it has in the cluster: what a file says of it is not applied. Whether it has completed
/// something there.
fn has_begun(job: &mut Value, status: Option<&Value>) -> bool {
    let Some(fields) = job.as_object_mut() else { return false };
    match status {
        Some(status) => fields.insert("status".to_owned(), status.clone()),
        None => fields.remove("status"),
    };
    status.is_some()
}

/// Takes out the Jobs and CronJobs that make no pods when they are applied. `replicas` replaces the number of pods of the
/// others.
pub(super) fn without_idle(
    objects: Vec<Value>,
    namespace: &str,
    replicas: Option<u64>,
    known: &Known,
) -> (Vec<Value>, Idle) {
    let mut idle = Idle::default();
    let (mut suspended, mut ended, mut again, mut begun) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut kept = Vec::with_capacity(objects.len());
    for mut object in objects {
        let name = named_workload(&object, namespace);
        let (job, cron) = (is_of(&object, "Job", "batch"), is_of(&object, "CronJob", "batch"));
        if job && known.has_ended(&name.namespace, &name.name) {
            ended.push(name);
        } else if (job || cron) && is_true(&object, "/spec/suspend")
            || cron && is_true(&object, "/spec/jobTemplate/spec/suspend")
        {
            suspended.push(name);
        } else {
            if cron {
                again.push(name);
            } else if job && has_begun(&mut object, known.progress(&name.namespace, &name.name)) && replicas.is_none() {
                begun.push(name);
            }
            kept.push(object);
        }
    }
    idle.count = suspended.len() + ended.len();
    for (which, what) in [
        (&suspended, "suspended, no pods are planned"),
        (&ended, "ended in the cluster, where it does not run again: no pods are planned"),
        (&again, "one run at a time is planned"),
        (&begun, "begun in the cluster: what is left of it is planned"),
    ] {
        if !which.is_empty() {
            let all = named(which.iter().map(|name| (name.kind.as_str(), name.name.as_str())));
            idle.notes.push(format!("{all}: {what}"));
        }
    }
    idle.paused = suspended.into_iter().filter(|name| name.kind == "Job").collect();
    (kept, idle)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_many_pods_a_job_runs_at_a_time() {
        for (spec, status, expected) in [
            (json!({}), json!({}), 1),
            (json!({"parallelism": 3}), json!({}), 3),
            (json!({"completions": 5}), json!({}), 1),
            (json!({"parallelism": 3, "completions": 5}), Value::Null, 3),
            (json!({"parallelism": 3, "completions": 2}), json!({}), 2),
            (json!({"parallelism": 0, "completions": 2}), json!({}), 0),
            // Less is left than may run.
            (json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 1}), 3),
            (json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 3, "active": 2}), 2),
            (json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 5}), 0),
            (json!({"parallelism": 3, "completions": 5}), json!({"succeeded": 6}), 0),
            (json!({"parallelism": 3, "completions": 5}), json!({"failed": 4}), 3),
            // The same where each has an index, but for those that are given up.
            (json!({"parallelism": 4, "completions": 6, "completionMode": "Indexed"}), json!({"succeeded": 3}), 3),
            (
                json!({"parallelism": 4, "completions": 6, "completionMode": "Indexed"}),
                json!({"succeeded": 2, "completedIndexes": "0,3", "failedIndexes": "1,4-5"}),
                1,
            ),
            // Nothing says how many complete it: the first that succeeds is the beginning of the end.
            (json!({"parallelism": 3}), json!({"succeeded": 1, "active": 2}), 2),
            (json!({"parallelism": 3, "completions": null}), json!({"succeeded": 1}), 0),
            (json!({"parallelism": 3, "completions": 5, "suspend": true}), json!({"succeeded": 1}), 0),
            (json!({"parallelism": 3, "suspend": false}), json!({}), 3),
        ] {
            assert_eq!(at_a_time(&json!({"spec": spec, "status": status})), expected, "{spec} {status}");
        }
    }

    #[test]
    fn what_the_cluster_says_of_a_job_counts_and_not_what_the_file_does() {
        let begun = json!({"kind": "Job", "metadata": {"name": "x"}, "status": {"succeeded": 2}});
        let job = |name: &str| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                   "spec": {"parallelism": 3, "completions": 4}, "status": {"succeeded": 4}})
        };
        let said = "Job \"x\": begun in the cluster: what is left of it is planned";
        for (replicas, notes) in [(None, &[said][..]), (Some(7), &[][..])] {
            let known = Known::of(std::slice::from_ref(&begun));
            let (kept, idle) = without_idle(vec![job("x"), job("y")], "default", replicas, &known);
            assert_eq!((kept.iter().map(at_a_time).collect::<Vec<_>>(), idle.count), (vec![2, 3], 0));
            assert_eq!(idle.notes, notes);
        }
    }

    #[test]
    fn cron_jobs_whose_jobs_are_suspended_make_no_pods() {
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
                          "spec": {"jobTemplate": {"spec": {"suspend": true}}}});
        let (kept, idle) = without_idle(vec![cron], "default", None, &Known::default());
        assert_eq!((kept.len(), idle.count, idle.paused.len()), (0, 1, 0));
        assert_eq!(idle.notes, ["CronJob \"c\": suspended, no pods are planned"]);
    }

    #[test]
    fn lists_of_indexes() {
        for (list, expected) in [
            ("", 0),
            ("7", 1),
            ("1,3", 2),
            ("0-2", 3),
            ("1,3-5,7", 5),
            ("5-3", 1),
            ("a-b", 1),
            (",", 0),
            ("0-18446744073709551615", u64::MAX),
        ] {
            assert_eq!(indexes(list), expected, "{list:?}");
        }
    }
}
