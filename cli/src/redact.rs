//! What a snapshot leaves out: whatever may hold a secret or is of no use to a scheduler (interfaces.md 4).

use serde_json::Value;

/// The annotation in which `kubectl apply` keeps a whole manifest, environment included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes environment values, commands and arguments, headers of probes, managedFields and the last applied
/// configuration, from pods and from templates of pods.
pub(crate) fn redact(object: &mut Value) {
    match object {
        Value::Object(fields) => {
            fields.remove("managedFields");
            if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
                annotations.remove(LAST_APPLIED);
            }
            for (key, value) in fields.iter_mut() {
                match (key.as_str(), value) {
                    ("containers" | "initContainers" | "ephemeralContainers", Value::Array(containers)) => {
                        containers.iter_mut().for_each(container);
                    }
                    (_, value) => redact(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// Inside a container these fields are never anything else.
fn container(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for field in ["command", "args", "httpHeaders"] {
                fields.remove(field);
            }
            if let Some(Value::Array(variables)) = fields.get_mut("env") {
                for variable in variables {
                    if let Some(variable) = variable.as_object_mut() {
                        variable.remove("value");
                    }
                }
            }
            fields.values_mut().for_each(container);
        }
        Value::Array(items) => items.iter_mut().for_each(container),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_secret_is_left_and_nothing_needed_is_gone() {
        let spec = json!({
            "nodeName": "a",
            "containers": [{
                "name": "c", "image": "i:1", "command": ["S1"], "args": ["S2"],
                "env": [{"name": "PASSWORD", "value": "S3"}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "livenessProbe": {"httpGet": {"path": "/", "httpHeaders": [{"name": "Authorization", "value": "S4"}]}},
                "readinessProbe": {"exec": {"command": ["S5"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["S6"]}}},
                "resources": {"requests": {"memory": "64Mi"}},
            }],
            "initContainers": [{"name": "i", "args": ["S7"]}],
        });
        let metadata = json!({"name": "p", "managedFields": [{"manager": "S8"}],
            "annotations": {LAST_APPLIED: "S9", "headroom.dev/swap": "never"}});
        let mut list = json!({"items": [
            {"kind": "Pod", "metadata": metadata, "spec": spec},
            {"kind": "ReplicaSet", "spec": {"template": {"metadata": metadata, "spec": spec}}},
        ]});
        redact(&mut list);
        let text = list.to_string();
        for secret in 1..=9 {
            assert!(!text.contains(&format!("\"S{secret}\"")), "S{secret} in {text}");
        }
        for kept in ["PASSWORD", "\"memory\":\"64Mi\"", "headroom.dev/swap", "\"nodeName\":\"a\"", "\"path\":\"/\""] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
    }
}
