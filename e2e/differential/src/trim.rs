//! Objects as the API server returns them, without what the server itself added and no scheduler reads. A corpus of
//! thousands of cases stays small, and the defaults that matter (requests from limits, priority, overhead, the merged
//! `matchLabelKeys`) stay in it.

use serde_json::{Map, Value, json};

/// The label that every node has.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Fields below `metadata` that are the server's own.
const METADATA: [&str; 6] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"];
/// Fields of a pod's `spec` that no scheduler reads.
const POD_SPEC: [&str; 7] = [
    "dnsPolicy",
    "enableServiceLinks",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "automountServiceAccountToken",
];
/// Fields of a container that no scheduler reads.
const CONTAINER: [&str; 3] = ["imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"];
/// Values that mean the same as their absence, to every scheduler.
const DEFAULTS: [(&str, &str); 3] =
    [("restartPolicy", "Always"), ("schedulerName", "default-scheduler"), ("preemptionPolicy", "PreemptLowerPriority")];

/// Containers are named by their place.
const LISTS: [(&str, &str); 2] = [("containers", "c"), ("initContainers", "i")];
/// An image that no node has.
const IMAGE: &str = "x:1";

/// Trims an object; its kind stays known from where it is kept.
pub fn trim(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "Node" | "Pod") {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        for field in METADATA {
            // Volumes refer to claims by UID.
            if field != "uid" || kind != "PersistentVolumeClaim" {
                metadata.remove(field);
            }
        }
        let name = metadata.get("name").cloned();
        if let Some(Value::Object(labels)) = metadata.get_mut("labels")
            && labels.get(HOSTNAME) == name.as_ref()
            && kind == "Node"
        {
            labels.remove(HOSTNAME);
        }
        if metadata.get("namespace").is_some_and(|n| n == "default") {
            metadata.remove("namespace");
        }
    }
    match kind.as_str() {
        "Node" => node(fields),
        "Pod" => pod(fields),
        _ => {
            if let Some(Value::Object(status)) = fields.get_mut("status") {
                status.retain(|field, _| matches!(field.as_str(), "phase" | "disruptionsAllowed"));
            }
        }
    }
    drop_empty(object);
}

fn node(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(status)) = fields.get_mut("status") {
        status.retain(|field, _| matches!(field.as_str(), "allocatable" | "images" | "declaredFeatures"));
    }
}

fn pod(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(status)) = fields.get_mut("status") {
        status.retain(|field, _| field == "startTime");
    }
    // The server copies them from the node.
    if let Some(Value::Object(labels)) = fields.get_mut("metadata").and_then(|m| m.get_mut("labels")) {
        labels.retain(|label, _| !label.starts_with("topology.kubernetes.io/"));
    }
    let Some(Value::Object(spec)) = fields.get_mut("spec") else { return };
    for field in POD_SPEC {
        spec.remove(field);
    }
    for (field, default) in DEFAULTS {
        if spec.get(field).is_some_and(|v| v == default) {
            spec.remove(field);
        }
    }
    if spec.get("priority").is_some_and(|p| p == 0) {
        spec.remove("priority");
    }
    let placed = spec.contains_key("nodeName");
    for (list, prefix) in LISTS {
        for (i, value) in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            if let Some(fields) = value.as_object_mut() {
                container(fields, &format!("{prefix}{i}"), placed);
            }
        }
    }
}

fn container(fields: &mut Map<String, Value>, name: &str, placed: bool) {
    for field in CONTAINER {
        fields.remove(field);
    }
    if fields.get("name").is_some_and(|n| n == name) {
        fields.remove("name");
    }
    // Images count where the pod is to go, not where it is.
    if placed || fields.get("image").is_some_and(|i| i == IMAGE) {
        fields.remove("image");
    }
    for port in fields.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            if port.get("containerPort") == port.get("hostPort") {
                port.remove("containerPort");
            }
            if port.get("protocol").is_some_and(|p| p == "TCP") {
                port.remove("protocol");
            }
        }
    }
    // The server has made requests of limits.
    if let Some(Value::Object(resources)) = fields.get_mut("resources") {
        let same = resources.get("limits").and_then(Value::as_object).is_some_and(|limits| {
            let requests = resources.get("requests");
            limits.iter().all(|(name, limit)| requests.and_then(|r| r.get(name)) == Some(limit))
        });
        if same {
            resources.remove("limits");
        }
    }
}

/// Empty maps that the server adds. Selectors keep theirs: `{}` is not the same as nothing there.
fn drop_empty(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|key, value| {
            drop_empty(value);
            !matches!(key.as_str(), "resources" | "status" | "spec" | "metadata" | "labels")
                || value.as_object().is_none_or(|v| !v.is_empty())
        });
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(drop_empty);
    }
}

/// The inverse, as far as a reader and the API server need it.
#[must_use]
pub fn restore(object: &Value, kind: &str) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.entry("kind").or_insert_with(|| kind.into());
        fields.entry("apiVersion").or_insert_with(|| "v1".into());
        if kind == "Node"
            && let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut)
        {
            let name = metadata.get("name").cloned().unwrap_or_default();
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.entry(HOSTNAME).or_insert(name);
            }
        }
        if kind == "Pod" {
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.entry("namespace").or_insert_with(|| "default".into());
            }
            let spec = fields.entry("spec").or_insert_with(|| json!({}));
            if let Some(spec) = spec.as_object_mut() {
                spec.entry("schedulerName").or_insert_with(|| "default-scheduler".into());
                for (list, prefix) in LISTS {
                    for (i, value) in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
                    {
                        restore_container(value, &format!("{prefix}{i}"));
                    }
                }
            }
        }
    }
    object
}

fn restore_container(value: &mut Value, name: &str) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.entry("name").or_insert_with(|| name.into());
    fields.entry("image").or_insert_with(|| IMAGE.into());
    for port in fields.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            let host = port.get("hostPort").cloned().unwrap_or_default();
            port.entry("containerPort").or_insert(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_stays() {
        let mut pod = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "a"}, "managedFields": []},
            "spec": {"containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {}},
                    {"name": "c1", "image": "x:1", "ports": [{"hostPort": 80, "containerPort": 80, "protocol": "TCP"}],
                     "resources": {}}],
                "priority": 0, "preemptionPolicy": "Never", "schedulerName": "default-scheduler", "dnsPolicy": "x",
                "topologySpreadConstraints": [{"labelSelector": {}}]},
            "status": {"phase": "Pending"}
        });
        trim(&mut pod);
        assert_eq!(
            pod,
            json!({"metadata": {"name": "p", "labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "i"}, {"ports": [{"hostPort": 80}]}], "preemptionPolicy": "Never",
                    "topologySpreadConstraints": [{"labelSelector": {}}]}})
        );
        let back = restore(&pod, "Pod");
        assert_eq!(back.pointer("/metadata/namespace"), Some(&json!("default")));
        assert_eq!(back.pointer("/spec/schedulerName"), Some(&json!("default-scheduler")));
        assert_eq!(
            back.pointer("/spec/containers/1"),
            Some(&json!({"name": "c1", "image": "x:1", "ports": [{"hostPort": 80, "containerPort": 80}]}))
        );
        let mut node = json!({"kind": "Node", "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}},
            "status": {"allocatable": {"cpu": "1"}, "capacity": {"cpu": "1"}, "nodeInfo": {}}});
        trim(&mut node);
        assert_eq!(node, json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1"}}}));
        assert_eq!(restore(&node, "Node").pointer("/metadata/labels/kubernetes.io~1hostname"), Some(&json!("n")));
    }
}
