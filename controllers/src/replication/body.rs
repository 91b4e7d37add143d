//! What is sent: pods from templates, adoption and release, status (reference 1.6, 1.7, 1.10).

use headroom_core::object::{Pod, ReplicationController, ReplicationControllerStatus};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::names::generate_name;

/// Why no pod can be made from a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum TemplateError {
    /// The API server would not have taken such a replication controller.
    #[error("the pod template is not valid: {0}")]
    Malformed(String),
    /// Upstream's words.
    #[error("unable to create pods, no labels")]
    NoLabels,
}

/// The owner reference of a pod that this replication controller manages.
pub(super) fn owner_reference(rc: &ReplicationController) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": rc.meta.key.name,
        "uid": rc.meta.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A pod without its name. The template's spec is passed through as it is; of its metadata, labels, annotations and
/// finalizers (`GetPodFromTemplate`).
///
/// # Errors
/// When the template is not an object or has no labels.
pub(super) fn pod_from_template(rc: &ReplicationController) -> Result<Value, TemplateError> {
    let mut template: Map<String, Value> =
        serde_json::from_str(&rc.template).map_err(|e| TemplateError::Malformed(e.to_string()))?;
    let mut metadata = Map::new();
    if let Some(Value::Object(mut from)) = template.remove("metadata") {
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) = from.remove(field).filter(|v| !v.is_null()) {
                metadata.insert(field.to_owned(), value);
            }
        }
    }
    if metadata.get("labels").and_then(Value::as_object).is_none_or(Map::is_empty) {
        return Err(TemplateError::NoLabels);
    }
    metadata.insert("namespace".to_owned(), json!(rc.meta.key.namespace));
    metadata.insert("generateName".to_owned(), json!(generate_name(&rc.meta.key.name)));
    metadata.insert("ownerReferences".to_owned(), json!([owner_reference(rc)]));
    let spec = template.remove("spec").unwrap_or_else(|| json!({}));
    Ok(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
}

/// The pod under this name.
pub(super) fn named(base: &Value, name: &str) -> Value {
    let mut pod = base.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(name));
    }
    pod
}

/// Strategic merge patch that makes the pod ours; its UID is the precondition.
pub(super) fn adopt(rc: &ReplicationController, pod: &Pod) -> Value {
    json!({ "metadata": { "uid": pod.meta.uid, "ownerReferences": [owner_reference(rc)] } })
}

/// Strategic merge patch that sets the pod free.
pub(super) fn release(rc: &ReplicationController, pod: &Pod) -> Value {
    json!({ "metadata": {
        "uid": pod.meta.uid,
        "ownerReferences": [{ "$patch": "delete", "uid": rc.meta.uid }],
    } })
}

/// Merge patch of the status. Upstream PUTs the whole object; a patch cannot drop what our rows do not have.
pub(super) fn status(rc: &ReplicationController, resource_version: u64, status: &ReplicationControllerStatus) -> Value {
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|c| {
            json!({
                "type": c.kind,
                "status": c.status.as_str(),
                "reason": c.reason,
                "message": c.message,
                "lastTransitionTime": c.last_transition.map(|t| t.truncated().to_string()),
            })
        })
        .collect();
    json!({
        "metadata": { "uid": rc.meta.uid, "resourceVersion": resource_version.to_string() },
        "status": {
            "replicas": status.replicas,
            "fullyLabeledReplicas": status.fully_labeled_replicas,
            "readyReplicas": status.ready_replicas,
            "availableReplicas": status.available_replicas,
            "observedGeneration": status.observed_generation,
            "conditions": if conditions.is_empty() { Value::Null } else { Value::Array(conditions) },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::tests::rc;

    #[test]
    fn the_template_is_passed_through() {
        let mut rc = rc("web", 2);
        rc.template = r#"{"metadata":{"name":"ignored","labels":{"app":"web"},"annotations":{"a":"b"},"finalizers":["f/x"],"creationTimestamp":null},
            "spec":{"containers":[{"name":"c","image":"i","somethingNew":{"x":1.5}}],"nodeName":"n"}}"#
            .into();
        let pod = named(&pod_from_template(&rc).unwrap(), "web-abcde");
        assert_eq!(
            pod,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": "web-abcde", "generateName": "web-", "namespace": "default",
                    "labels": {"app": "web"}, "annotations": {"a": "b"}, "finalizers": ["f/x"],
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "ReplicationController", "name": "web", "uid": "uid-web",
                        "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "spec": {"containers": [{"name": "c", "image": "i", "somethingNew": {"x": 1.5}}], "nodeName": "n"},
            })
        );
    }

    #[test]
    fn templates_that_cannot_work() {
        let mut rc = rc("web", 2);
        rc.template = r#"{"spec":{}}"#.into();
        assert_eq!(pod_from_template(&rc), Err(TemplateError::NoLabels));
        rc.template = "[".into();
        assert!(matches!(pod_from_template(&rc), Err(TemplateError::Malformed(_))));
    }
}
