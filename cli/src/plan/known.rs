//! What decides over the objects of a file in the cluster that they come to, and no scheduler asks for: classes of
//! priority, Jobs that have ended or begun, how many pods workloads are to have.

mod replicas;

use std::collections::{BTreeMap, BTreeSet};

use headroom_planner::cluster::WorkloadName;
use serde_json::Value;

use crate::trace::json::{is_true, kind, list, name, namespace, number, text};

/// Classes that every cluster has.
const SYSTEM: [(&str, i64); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// What is known of a cluster besides what its scheduler knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Its PriorityClasses.
    pub(super) classes: Classes,
    /// Namespaces and names of Jobs that are complete or have failed.
    ended: BTreeSet<(String, String)>,
    /// What the others have completed of what they are for, if anything: their status.
    progress: BTreeMap<(String, String), Value>,
    /// How many pods an apply that names no number leaves workloads.
    replicas: BTreeMap<WorkloadName, replicas::Left>,
}

impl Known {
    /// As the objects of the cluster have it.
    pub(super) fn of(objects: &[Value]) -> Self {
        let (mut ended, mut progress) = (BTreeSet::new(), BTreeMap::new());
        for job in objects.iter().filter(|object| is_of(object, "Job", "batch")) {
            let key = (namespace(job).to_owned(), name(job).to_owned());
            if has_ended(job) {
                ended.insert(key);
            } else if let Some(status) = job.get("status").filter(|_| has_completed(job)) {
                progress.insert(key, status.clone());
            }
        }
        Self { classes: Classes::default().and(objects), ended, progress, replicas: replicas::left_alone(objects) }
    }

    /// Whether a Job has ended: nothing runs it again.
    pub(super) fn has_ended(&self, namespace: &str, name: &str) -> bool {
        self.ended.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// How many pods an apply that names no number leaves a workload, where the cluster has it.
    pub(super) fn replicas(&self, workload: &WorkloadName) -> Option<u64> {
        self.replicas.get(workload).map(|left| left.number)
    }

    /// Whether that is another number than it has, because the one that was applied is taken away.
    pub(super) fn was_reset(&self, workload: &WorkloadName) -> bool {
        self.replicas.get(workload).is_some_and(|left| left.reset)
    }

    /// The status of a Job that has not ended, and has completed something.
    pub(super) fn progress(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.progress.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// Whether an object is of this kind, and not of another group that has one of the name.
pub(super) fn is_of(object: &Value, wanted: &str, group: &str) -> bool {
    let version = text(object, "/apiVersion");
    kind(object) == wanted && (version.is_empty() || version.split('/').next() == Some(group))
}

/// Whether a Job has ended.
fn has_ended(job: &Value) -> bool {
    let ends = |condition: &Value| {
        matches!(text(condition, "/type"), "Complete" | "Failed") && text(condition, "/status") == "True"
    };
    list(job, "/status/conditions").iter().any(ends)
}

/// Whether a Job has completed something, or given something up for good.
fn has_completed(job: &Value) -> bool {
    number(job, "/status/succeeded").is_some_and(|pods| pods > 0) || !text(job, "/status/failedIndexes").is_empty()
}

/// PriorityClasses by name, and the one of pods that name none.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    values: BTreeMap<String, i64>,
    default: Option<i64>,
}

impl Classes {
    /// With those of these objects. Of one that is known already the value stays, as the API server has it; so does the
    /// default one. Of several that are marked as such the lowest is (`getDefaultPriorityClass`).
    pub(super) fn and(&self, objects: &[Value]) -> Self {
        let mut all = self.clone();
        let mut lowest: Option<i64> = None;
        for object in objects.iter().filter(|object| is_of(object, "PriorityClass", "scheduling.k8s.io")) {
            let value = number(object, "/value").unwrap_or(0);
            if is_true(object, "/globalDefault") {
                lowest = Some(lowest.map_or(value, |lowest| lowest.min(value)));
            }
            all.values.entry(name(object).to_owned()).or_insert(value);
        }
        all.default = self.default.or(lowest);
        all
    }

    fn value(&self, class: &str) -> Option<i64> {
        let system = || SYSTEM.into_iter().find(|(name, _)| *name == class).map(|(_, value)| value);
        self.values.get(class).copied().or_else(system)
    }

    /// The priority of a pod that names this class, or none.
    pub(super) fn priority(&self, class: Option<&str>) -> Option<i64> {
        match class.filter(|class| !class.is_empty()) {
            Some(class) => self.value(class),
            None => self.default,
        }
    }

    /// The class that a pod names, where there is no such class.
    pub(super) fn missing<'a>(&self, pod: &'a Value) -> Option<&'a str> {
        let class = text(pod, "/spec/priorityClassName");
        let unset = number(pod, "/spec/priority").is_none();
        (unset && !class.is_empty() && self.value(class).is_none()).then_some(class)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
               "value": value, "globalDefault": default})
    }

    #[test]
    fn classes_of_the_cluster_count_before_those_of_a_file() {
        let foreign = json!({"apiVersion": "example.com/v1", "kind": "PriorityClass", "metadata": {"name": "c"}});
        let cluster = Known::of(&[class("a", 7, false), foreign]).classes;
        let both = cluster.and(&[class("a", 8, false), class("b", -3, false)]);
        let priority = |class: &str| both.priority(Some(class));
        assert_eq!((priority("a"), priority("b"), priority("c"), priority("")), (Some(7), Some(-3), None, None));
        assert_eq!(priority("system-node-critical"), Some(2_000_001_000));
        assert_eq!(both.priority(None), None);
        let pod = json!({"kind": "Pod", "spec": {"priorityClassName": "b"}});
        assert_eq!((cluster.missing(&pod), both.missing(&pod)), (Some("b"), None));
        let told = json!({"kind": "Pod", "spec": {"priorityClassName": "b", "priority": 1}});
        assert_eq!((cluster.missing(&told), cluster.missing(&json!({"kind": "Pod"}))), (None, None));
    }

    #[test]
    fn jobs_that_have_ended() {
        let job = |version: &str, name: &str, condition: &str, status: &str| {
            json!({"apiVersion": version, "kind": "Job", "metadata": {"name": name},
                   "status": {"conditions": [{"type": "Suspended", "status": "False"}, {"type": condition, "status": status}]}})
        };
        let mut named = job("batch/v1", "named", "Complete", "True");
        named["metadata"]["namespace"] = json!("shop");
        let known = Known::of(&[
            job("batch/v1", "done", "Complete", "True"),
            job("batch/v1", "failed", "Failed", "True"),
            job("batch/v1", "not-yet", "Complete", "False"),
            job("batch/v1", "pauses", "Suspended", "True"),
            job("batch.volcano.sh/v1alpha1", "foreign", "Complete", "True"),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "runs"}}),
            named,
        ]);
        let ended: Vec<&str> = ["done", "failed", "not-yet", "pauses", "foreign", "runs", "named"]
            .into_iter()
            .filter(|name| known.has_ended("default", name))
            .collect();
        assert_eq!((ended, known.has_ended("shop", "named")), (vec!["done", "failed"], true));
        let mut half = job("batch/v1", "half", "Suspended", "False");
        half["status"]["succeeded"] = json!(2);
        let mut done = job("batch/v1", "done", "Complete", "True");
        done["status"]["succeeded"] = json!(3);
        let known = Known::of(&[half, done, job("batch/v1", "begins", "Complete", "False")]);
        let succeeded = |name: &str| known.progress("default", name).map(|status| status["succeeded"].clone());
        assert_eq!((succeeded("half"), succeeded("done"), succeeded("begins")), (Some(json!(2)), None, None));
        assert_eq!(known.progress("shop", "half"), None);
    }

    #[test]
    fn of_several_default_classes_the_lowest_counts() {
        let cluster = Known::of(&[class("a", 7, true), class("b", 5, true), class("c", 1, false)]).classes;
        assert_eq!(
            (cluster.priority(None), cluster.priority(Some("")), cluster.priority(Some("a"))),
            (Some(5), Some(5), Some(7))
        );
        assert_eq!(cluster.and(&[class("d", 2, true)]).priority(None), Some(5), "the API server refuses a second one");
        assert_eq!(Classes::default().and(&[class("d", 2, true)]).priority(None), Some(2));
    }
}
