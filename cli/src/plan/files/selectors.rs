//! What owns the pods of a file, as far as the scheduler reads it: selectors of ReplicaSets, StatefulSets and
//! ReplicationControllers, from which default topology spreading takes its own. Services are read as they stand in the file.

use serde_json::{Map, Value, json};

use super::{
    made::{HASH, HASH_LABEL, replica_set},
    text,
};

/// A field of an object that is a mapping with something in it.
fn filled<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(pointer).and_then(Value::as_object).filter(|fields| !fields.is_empty())
}

/// The selector of a Deployment's ReplicaSet: its own, and the label that tells its ReplicaSets apart (`getNewReplicaSet`,
/// pkg/controller/deployment).
fn with_hash(mut selector: Map<String, Value>) -> Map<String, Value> {
    let labels = selector.entry("matchLabels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = json!({});
    }
    // Anything else the API server refuses, and nothing here reads.
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(HASH_LABEL.to_owned(), HASH.into());
    }
    selector
}

/// What owns the pods of a workload, with nothing but its selector. None where no scheduler reads any, or where the workload
/// has none, which the API server refuses; but of a ReplicationController the labels of its pods are the default
/// (`SetDefaults_ReplicationController`).
pub(super) fn of_owner(workload: &Value, namespace: &str) -> Option<Value> {
    let (kind, name) = (text(workload, "/kind"), text(workload, "/metadata/name"));
    let own = filled(workload, "/spec/selector");
    let owner = |selector: &Map<String, Value>| {
        json!({
            "apiVersion": workload.get("apiVersion"), "kind": kind,
            "metadata": {"name": name, "namespace": namespace,
                         "ownerReferences": workload.pointer("/metadata/ownerReferences")},
            "spec": {"selector": selector},
        })
    };
    match kind {
        // What was learned of the Deployment is found through the owner of its ReplicaSet.
        "Deployment" => Some(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": replica_set(name), "namespace": namespace, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("plan-{name}"), "controller": true}]},
            "spec": {"selector": with_hash(own?.clone())},
        })),
        "ReplicaSet" | "StatefulSet" => Some(owner(own?)),
        "ReplicationController" => Some(owner(own.or_else(|| filled(workload, "/spec/template/metadata/labels"))?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_scheduler_reads_of_workloads() {
        let labels = json!({"matchLabels": {"app": "web"}});
        let hashed = json!({"matchLabels": {"app": "web", "pod-template-hash": "plan"}});
        let exists = json!([{"key": "app", "operator": "Exists"}]);
        let by_expressions = json!({"matchExpressions": exists});
        let both = json!({"matchExpressions": exists, "matchLabels": {"pod-template-hash": "plan"}});
        let null = json!({"matchExpressions": exists, "matchLabels": null});
        let none = Value::Null;
        for (kind, selector, expected) in [
            ("Deployment", &labels, Some(("ReplicaSet", "web-plan", &hashed))),
            ("Deployment", &by_expressions, Some(("ReplicaSet", "web-plan", &both))),
            ("Deployment", &null, Some(("ReplicaSet", "web-plan", &both))),
            ("Deployment", &none, None),
            ("Deployment", &json!({}), None),
            ("Deployment", &json!("app=web"), None),
            ("ReplicaSet", &labels, Some(("ReplicaSet", "web", &labels))),
            ("ReplicaSet", &none, None),
            ("StatefulSet", &labels, Some(("StatefulSet", "web", &labels))),
            (
                "ReplicationController",
                &json!({"app": "web"}),
                Some(("ReplicationController", "web", &json!({"app": "web"}))),
            ),
            ("ReplicationController", &none, Some(("ReplicationController", "web", &json!({"tier": "front"})))),
            ("ReplicationController", &json!({}), Some(("ReplicationController", "web", &json!({"tier": "front"})))),
            ("DaemonSet", &labels, None),
            ("Job", &labels, None),
        ] {
            let workload = json!({"kind": kind, "metadata": {"name": "web"},
                "spec": {"selector": selector, "template": {"metadata": {"labels": {"tier": "front"}}}}});
            let owner = of_owner(&workload, "shop");
            let found = owner.as_ref().map(|owner| {
                assert_eq!(owner["metadata"]["namespace"], "shop");
                (text(owner, "/kind"), text(owner, "/metadata/name"), &owner["spec"]["selector"])
            });
            assert_eq!(found, expected, "{kind} {selector}");
        }
        // What is not written as it should be is left to the API server.
        let odd =
            json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": [1]}}});
        assert_eq!(of_owner(&odd, "shop").unwrap()["spec"]["selector"], json!({"matchLabels": [1]}));
    }

    #[test]
    fn owners_of_owners_are_kept() {
        let mut workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                                  "spec": {"selector": {"matchLabels": {"app": "web"}}}});
        let owner = of_owner(&workload, "shop").unwrap();
        assert_eq!(text(&owner, "/metadata/ownerReferences/0/kind"), "Deployment");
        assert_eq!(text(&owner, "/metadata/ownerReferences/0/name"), "web");
        workload["kind"] = json!("ReplicaSet");
        assert!(of_owner(&workload, "shop").unwrap()["metadata"]["ownerReferences"].is_null());
        workload["metadata"]["ownerReferences"] = json!([{"kind": "Rollout", "name": "web", "controller": true}]);
        let owner = of_owner(&workload, "shop").unwrap();
        assert_eq!(text(&owner, "/metadata/ownerReferences/0/kind"), "Rollout");
    }
}
