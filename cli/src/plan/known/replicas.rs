//! How many pods workloads of the cluster are to have, where a file that names no number leaves them alone.
//!
//! `kubectl apply` changes what a file names, and takes away what the file that was applied before named and this one does
//! not; who reads such an object then finds the default. What neither names stays as somebody else has set it, `kubectl scale`
//! or an autoscaler.

use std::collections::BTreeMap;

use headroom_planner::cluster::WorkloadName;
use serde_json::Value;

use super::is_of;
use crate::{
    redact::LAST_APPLIED,
    trace::json::{controller, kind, name, namespace, number, text},
};

/// The kinds that have such a number, with their groups; of the one that has none, its version.
const SCALED: [(&str, &str); 4] =
    [("Deployment", "apps"), ("ReplicaSet", "apps"), ("StatefulSet", "apps"), ("ReplicationController", "v1")];
/// Where nothing says how many.
const DEFAULT: u64 = 1;
/// What a Deployment writes on its ReplicaSets: which of them is the newest, and how many pods it is to have itself.
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
const DESIRED: &str = "/metadata/annotations/deployment.kubernetes.io~1desired-replicas";

/// What an apply without a number leaves a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) number: u64,
    /// Whether it is another one than the workload has: that was applied, and is taken away.
    pub(super) reset: bool,
}

/// What an apply without a number leaves each workload, as far as the objects of the cluster tell it.
pub(super) fn left_alone(objects: &[Value]) -> BTreeMap<WorkloadName, Left> {
    // Of a live cluster Deployments are not read. The ReplicaSet of the newest revision has the number as well.
    let mut newest: BTreeMap<WorkloadName, (u64, u64)> = BTreeMap::new();
    for set in objects.iter().filter(|object| is_of(object, "ReplicaSet", "apps")) {
        let owner = controller(set).filter(|owner| text(owner, "/kind") == "Deployment");
        let desired = text(set, DESIRED).parse::<u64>().ok();
        if let (Some(owner), Some(desired)) = (owner, desired) {
            let of = (text(set, REVISION).parse::<u64>().unwrap_or(0), desired);
            let known = newest.entry(named(set, "Deployment", text(owner, "/name"))).or_insert(of);
            *known = of.max(*known);
        }
    }
    let stays = |number: u64| Left { number, reset: false };
    let mut all: BTreeMap<WorkloadName, Left> =
        newest.into_iter().map(|(workload, (_, desired))| (workload, stays(desired))).collect();
    let scaled = |object: &&Value| SCALED.iter().any(|(kind, group)| is_of(object, kind, group));
    for object in objects.iter().filter(scaled) {
        let own = number(object, "/spec/replicas").and_then(|number| u64::try_from(number).ok());
        if let Some(number) = own {
            let left =
                if was_applied(object) { Left { number: DEFAULT, reset: number != DEFAULT } } else { stays(number) };
            all.insert(named(object, kind(object), name(object)), left);
        }
    }
    all
}

fn named(object: &Value, kind: &str, name: &str) -> WorkloadName {
    let [namespace, kind, name] = [namespace(object), kind, name].map(str::to_owned);
    WorkloadName { namespace, kind, name }
}

/// Whether the file that was applied last named the number.
fn was_applied(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations");
    let applied = annotations.and_then(|all| all.get(LAST_APPLIED)).and_then(Value::as_str);
    let applied = applied.and_then(|text| serde_json::from_str::<Value>(text).ok());
    applied.is_some_and(|applied| applied.pointer("/spec/replicas").is_some_and(|number| !number.is_null()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::redact::redact;

    fn object(version: &str, kind: &str, replicas: &Value, applied: Option<&str>) -> Value {
        json!({"apiVersion": version, "kind": kind,
               "metadata": {"name": "web", "namespace": "shop", "annotations": {LAST_APPLIED: applied}},
               "spec": {"replicas": replicas}})
    }

    /// A ReplicaSet of the Deployment, with what that has written on it.
    fn set(hash: &str, revision: &str, desired: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
               "metadata": {"name": format!("web-{hash}"), "namespace": "shop",
                            "annotations": {"deployment.kubernetes.io/revision": revision,
                                            "deployment.kubernetes.io/desired-replicas": desired},
                            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]},
               "spec": {"replicas": 7}})
    }

    fn whole(objects: &[Value], kind: &str) -> Option<Left> {
        let [namespace, kind, name] = ["shop", kind, "web"].map(str::to_owned);
        left_alone(objects).get(&WorkloadName { namespace, kind, name }).copied()
    }

    fn left(objects: &[Value], kind: &str) -> Option<u64> {
        whole(objects, kind).map(|left| left.number)
    }

    #[test]
    fn what_becomes_another_number_is_known() {
        let named = Some(r#"{"spec": {"replicas": 3}}"#);
        for (replicas, applied, reset) in [(3, named, true), (0, named, true), (1, named, false), (3, None, false)] {
            let there = [object("apps/v1", "StatefulSet", &json!(replicas), applied)];
            assert_eq!(whole(&there, "StatefulSet").map(|left| left.reset), Some(reset), "{replicas} {applied:?}");
        }
        assert_eq!(whole(&[set("a", "1", "3")], "Deployment"), Some(Left { number: 3, reset: false }));
    }

    #[test]
    fn what_nobody_applied_stays() {
        let (named, other) = (r#"{"spec": {"replicas": 3}}"#, r#"{"spec": {"replicas": null, "paused": true}}"#);
        for (version, kind, replicas, applied, expected) in [
            ("apps/v1", "Deployment", json!(0), None, Some(0)),
            ("apps/v1", "Deployment", json!(0), Some(other), Some(0)),
            ("apps/v1", "Deployment", json!(0), Some(named), Some(1)),
            ("apps/v1", "Deployment", json!(5), Some(named), Some(1)),
            ("apps/v1", "Deployment", json!(5), Some("no JSON"), Some(5)),
            ("apps/v1", "StatefulSet", json!(4), None, Some(4)),
            ("apps/v1", "ReplicaSet", json!(0), None, Some(0)),
            ("v1", "ReplicationController", json!(2), Some(named), Some(1)),
            ("v1", "ReplicationController", json!(0), None, Some(0)),
            ("apps/v1", "Deployment", Value::Null, None, None),
            ("apps/v1", "Deployment", json!(-1), None, None),
            ("example.com/v1", "Deployment", json!(4), None, None),
            ("apps/v1", "DaemonSet", json!(4), None, None),
        ] {
            let mut there = [object(version, kind, &replicas, applied)];
            assert_eq!(left(&there, kind), expected, "{version} {kind} {applied:?}");
            // A snapshot tells the same.
            there.iter_mut().for_each(redact);
            assert_eq!(left(&there, kind), expected, "{version} {kind} {applied:?}, saved");
        }
    }

    #[test]
    fn of_a_deployment_that_is_not_read_the_newest_replica_set_tells() {
        let itself = object("apps/v1", "Deployment", &json!(2), None);
        for (objects, expected) in [
            (vec![set("a", "9", "3"), set("b", "10", "0")], Some(0)),
            (vec![set("b", "10", "0"), set("a", "9", "3")], Some(0)),
            (vec![set("a", "1", "")], None),
            (vec![itself, set("a", "1", "0")], Some(2)),
        ] {
            assert_eq!(left(&objects, "Deployment"), expected, "{objects:?}");
        }
    }
}
