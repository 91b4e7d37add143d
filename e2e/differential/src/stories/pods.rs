//! Pods of a story: who is who, and what a kubelet would write.

use serde_json::{Value, json};

use super::Pick;

/// The address with this number.
pub(super) fn address(number: u32) -> String {
    format!("10.1.{}.{}", number / 250, number % 250 + 1)
}

fn text<'a>(pod: &'a Value, pointer: &str) -> &'a str {
    pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What a pod is called in every run: by its address, which a story gives; before that those of an owner are all alike.
pub(super) fn identity(pod: &Value) -> String {
    match (text(pod, "/metadata/generateName"), text(pod, "/status/podIP")) {
        ("", _) => text(pod, "/metadata/name").to_owned(),
        (stem, "") => format!("{stem}?"),
        (stem, address) => format!("{stem}{address}"),
    }
}

/// When it was created, as text that sorts by time.
pub(super) fn created(pod: &Value) -> &str {
    text(pod, "/metadata/creationTimestamp")
}

/// A time as objects have it.
pub(super) fn time(seconds: i64) -> String {
    headroom_core::Timestamp::from_secs(seconds).to_string()
}

/// The name of the pod that is meant, if it is there.
pub(super) fn find(pick: &Pick, pods: &[Value]) -> Option<String> {
    let terminating = |pod: &&Value| pod.pointer("/metadata/deletionTimestamp").is_some();
    let found = match pick {
        Pick::Address(number) => {
            let wanted = address(*number);
            pods.iter().find(|pod| text(pod, "/status/podIP") == wanted)
        }
        Pick::Name(name) => pods.iter().find(|pod| text(pod, "/metadata/name") == name),
        Pick::Fresh(owner) => pods
            .iter()
            .filter(|pod| text(pod, "/status/podIP").is_empty() && !terminating(pod))
            .filter(|pod| text(pod, "/metadata/generateName").strip_suffix('-') == Some(owner.as_str()))
            // Of pods that are not alike always the same one.
            .min_by_key(|pod| {
                (pod["metadata"]["labels"].to_string(), pod["spec"]["containers"][0]["ports"].to_string())
            }),
    };
    found.map(|pod| text(pod, "/metadata/name").to_owned())
}

/// The status of a pod that runs. The longer ago a pod got ready the later it is chosen for deletion, by powers of two:
/// pods are put far enough apart for that, and long ago enough not to wait for `minReadySeconds`.
pub(super) fn running(number: u32, ready: bool, now: i64) -> Value {
    let age = 60_i64 << (2 * i64::from(number.min(12)));
    let since = time(now - age);
    json!({"status": {
        "phase": "Running", "startTime": since,
        "podIP": address(number), "podIPs": [{"ip": address(number)}, {"ip": format!("fd00::{:x}", 0x1000 + number)}],
        "conditions": conditions(ready, &since),
    }})
}

/// The status of a pod that got ready or unready, which does not become younger by it.
pub(super) fn readiness(pod: &Value, ready: bool) -> Value {
    json!({"status": {"conditions": conditions(ready, text(pod, "/status/startTime"))}})
}

fn conditions(ready: bool, since: &str) -> Value {
    let status = if ready { "True" } else { "False" };
    json!([{"type": "Ready", "status": status, "lastTransitionTime": since}])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_found_by_what_is_the_same_in_every_run() {
        let pods = [
            json!({"metadata": {"name": "web-1", "generateName": "web-"}, "status": {"podIP": address(1)}}),
            json!({"metadata": {"name": "web-2", "generateName": "web-", "deletionTimestamp": "x"}}),
            json!({"metadata": {"name": "web-3", "generateName": "web-"}}),
            json!({"metadata": {"name": "bare"}}),
        ];
        let find = |pick: Pick| find(&pick, &pods);
        assert_eq!(find(Pick::Address(1)).as_deref(), Some("web-1"));
        assert_eq!(find(Pick::Address(2)), None);
        assert_eq!(find(Pick::Fresh("web".to_owned())).as_deref(), Some("web-3"));
        assert_eq!(find(Pick::Name("bare".to_owned())).as_deref(), Some("bare"));
        assert_eq!(pods.each_ref().map(identity), ["web-10.1.0.2", "web-?", "web-?", "bare"]);
    }
}
