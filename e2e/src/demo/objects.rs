//! The objects that the demo creates.

use k8s_openapi::api::core::v1::{ReplicationController, Service};
use serde_json::{Value, json};

/// Everything the demo makes is called so.
pub(super) const APP: &str = "web";
/// Seconds for which its pods tolerate a dead node; the API server would say 300.
pub(super) const TOLERATION_SECONDS: i64 = 5;

fn toleration(key: &str) -> Value {
    json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS})
}

/// Pods that ask for 64Mi, may have 256Mi and really use 150Mi.
pub(super) fn replication_controller(replicas: i32) -> Result<ReplicationController, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": APP},
        "spec": {
            "replicas": replicas,
            "selector": {"app": APP},
            "template": {
                "metadata": {"labels": {"app": APP}, "annotations": {"hollow.headroom.dev/memory": "150Mi"}},
                "spec": {
                    "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")],
                    "containers": [{
                        "name": "web",
                        "image": "registry.example/web:1",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "resources": {
                            "requests": {"cpu": "50m", "memory": "64Mi"},
                            "limits": {"memory": "256Mi"},
                        },
                    }],
                },
            },
        },
    }))
}

/// Port 80 to the pods' port by name.
pub(super) fn service() -> Result<Service, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": APP},
        "spec": {"selector": {"app": APP}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }))
}
