//! What a snapshot leaves out: whatever may hold a secret or is of no use to a scheduler (interfaces.md 4).

use serde_json::{Map, Value, json};

/// The annotation in which `kubectl apply` keeps a whole manifest, environment included.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Kinds of whose last applied configuration the number of pods stays: `plan -f` asks who has set it.
const SCALED: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"];

/// Removes environment values, commands and arguments, headers of probes, managedFields and the last applied
/// configuration but for its number of pods, from pods and from templates of pods; and what commands said, from events.
pub(crate) fn redact(object: &mut Value) {
    let applied = replicas_applied(object);
    redact_fields(object);
    let Some(number) = applied else { return };
    if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
        let kept = json!({"spec": {"replicas": number}}).to_string();
        annotations.insert(LAST_APPLIED.to_owned(), kept.into());
    }
}

/// The number of pods that was applied last, where that says one.
fn replicas_applied(object: &Value) -> Option<u64> {
    object.get("kind").and_then(Value::as_str).filter(|kind| SCALED.contains(kind))?;
    let applied = object.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str::<Value>(applied).ok()?.pointer("/spec/replicas")?.as_u64()
}

fn redact_fields(object: &mut Value) {
    match object {
        Value::Object(fields) => {
            if fields.get("kind").and_then(Value::as_str) == Some("Event") {
                event(fields);
            }
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

/// How the kubelet begins to tell of probes and of hooks. Behind it are commands and what they printed, URLs, answers.
const TOLD: [&str; 4] = ["probe failed:", "probe errored", "probe warning:", "hook"];
/// What it says of the answer to a request, which is a number.
const STATUS: &str = "HTTP probe failed with statuscode: ";

/// The words of events about probes and hooks are cut off where commands or what they printed can begin.
fn event(fields: &mut Map<String, Value>) {
    let reason = fields.get("reason").and_then(Value::as_str).unwrap_or_default();
    if !matches!(reason, "Unhealthy" | "ProbeError" | "ProbeWarning" | "FailedPostStartHook" | "FailedPreStopHook") {
        return;
    }
    for field in ["message", "note"] {
        let Some(Value::String(words)) = fields.get_mut(field) else { continue };
        // No more than a word or two stands before.
        let ends = TOLD.iter().filter_map(|told| Some(words.find(told).filter(|at| *at < 20)? + told.len()));
        let (kept, rest) = words.split_at(ends.min().unwrap_or(0));
        let status = rest.trim_start().strip_prefix(STATUS).and_then(|number| number.trim().parse::<u16>().ok());
        *words = match status {
            Some(status) => format!("{kept} {STATUS}{status}"),
            None => format!("{} (left out)", kept.trim_end_matches(':')).trim_start().to_owned(),
        };
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

    #[test]
    fn of_what_was_applied_the_number_of_pods_stays() {
        let all = r#"{"kind": "Deployment", "spec": {"replicas": 3, "template": {"env": "S1"}}}"#;
        let number = |number: u64| Some(format!("{{\"spec\":{{\"replicas\":{number}}}}}"));
        for (kind, applied, kept) in [
            ("Deployment", all, number(3)),
            ("StatefulSet", r#"{"spec": {"replicas": 0}}"#, number(0)),
            ("ReplicaSet", all, number(3)),
            ("ReplicationController", all, number(3)),
            ("Deployment", r#"{"spec": {"replicas": null, "paused": true}}"#, None),
            ("Deployment", r#"{"spec": {"replicas": "S1"}}"#, None),
            ("Deployment", r#"{"spec": {"replicas": {"a": "S1"}}}"#, None),
            ("Deployment", "S1", None),
            ("DaemonSet", all, None),
            ("Pod", all, None),
        ] {
            let metadata = json!({"name": "x", "annotations": {LAST_APPLIED: applied, "a": "b"}});
            let mut objects =
                [json!({"kind": kind, "metadata": metadata, "spec": {"template": {"metadata": metadata}}})];
            objects.iter_mut().for_each(redact);
            let [object] = objects;
            let annotations = &object["metadata"]["annotations"];
            assert_eq!(annotations[LAST_APPLIED].as_str(), kept.as_deref(), "{kind} {applied}");
            assert_eq!((&annotations["a"], object.to_string().contains("S1")), (&json!("b"), false));
            assert_eq!(object["spec"]["template"]["metadata"]["annotations"], json!({"a": "b"}));
        }
    }

    #[test]
    fn events_keep_what_trace_says_and_lose_what_commands_said() {
        for (reason, message, expected) in [
            ("Scheduled", "Successfully assigned shop/web to a", "Successfully assigned shop/web to a"),
            ("BackOff", "Back-off restarting failed container c", "Back-off restarting failed container c"),
            (
                "Unhealthy",
                "Readiness probe failed: HTTP probe failed with statuscode: 503",
                "Readiness probe failed: HTTP probe failed with statuscode: 503",
            ),
            ("Unhealthy", "Liveness probe failed: password S1 is wrong", "Liveness probe failed (left out)"),
            (
                "Unhealthy",
                "Liveness probe errored and resulted in unknown state: rpc error: command \"S1\" timed out",
                "Liveness probe errored (left out)",
            ),
            ("ProbeWarning", "Readiness probe warning: S1", "Readiness probe warning (left out)"),
            (
                "FailedPostStartHook",
                "Exec lifecycle hook ([S1 S1]) for Container \"c\" failed",
                "Exec lifecycle hook (left out)",
            ),
            ("FailedPreStopHook", "S1", "(left out)"),
        ] {
            for field in ["message", "note"] {
                let mut event =
                    json!({"kind": "Event", "reason": reason, "involvedObject": {"kind": "Pod", "name": "p"}});
                event[field] = message.into();
                redact(&mut event);
                assert_eq!(event[field], expected);
                assert_eq!(event["involvedObject"]["name"], "p");
            }
        }
    }
}
