//! A cluster of two cores per node.

use serde_json::json;

use super::*;

const AT: &str = "2026-11-29T10:00:00Z";

pub(super) fn node(name: &str) -> Value {
    let resources = json!({"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "20Gi"});
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "creationTimestamp": AT, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A pod of a StatefulSet of its own, that waits when it is on no node.
pub(super) fn pod(name: &str, cpu: &str, on: Option<&str>) -> Value {
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": name, "controller": true}]);
    let requests = json!({"cpu": cpu, "memory": "64Mi"});
    let phase = if on.is_some() { "Running" } else { "Pending" };
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "ownerReferences": owner},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]},
        "status": {"phase": phase}});
    if let Some(on) = on {
        pod["spec"]["nodeName"] = on.into();
    }
    pod
}

/// These objects, saved.
pub(super) fn saved(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
