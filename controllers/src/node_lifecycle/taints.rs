//! Which taints a node should have (reference 4.4), and the bodies of patches of nodes.

use headroom_core::{
    Str, Timestamp,
    object::{Node, NodeCondition, Status},
    taint::{Effect, Taint},
};
use serde_json::{Map, Value, json};

/// Ready is False.
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Ready is Unknown.
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions that a silent node gets; `NetworkUnavailable` belongs to others.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// `NoSchedule` taints by condition and status.
const BY_CONDITION: [(&str, Status, &str); 6] = [
    ("Ready", Status::False, NOT_READY),
    ("Ready", Status::Unknown, UNREACHABLE),
    ("MemoryPressure", Status::True, "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", Status::True, "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", Status::True, "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", Status::True, "node.kubernetes.io/pid-pressure"),
];

/// Labels that follow others: (source, follower).
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// Whether a `NoSchedule` taint with this key is ours to add and remove.
fn managed(key: &str) -> bool {
    key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, k)| *k == key)
}

/// The taints that a node lifecycle loop adds and removes, and no other loop of a manager: key, and whether it is
/// `NoExecute`.
pub(super) fn of_lifecycle(node: &Node) -> Vec<(&Str, bool)> {
    let ours = |t: &&Taint| match t.effect {
        Effect::NoSchedule => managed(&t.key),
        Effect::NoExecute => t.key == *NOT_READY || t.key == *UNREACHABLE,
        Effect::PreferNoSchedule => false,
    };
    let mut all: Vec<_> = node.taints.iter().filter(ours).map(|t| (&t.key, t.effect == Effect::NoExecute)).collect();
    all.sort_unstable();
    all
}

/// The `NoSchedule` taints that the node's conditions and cordon ask for.
fn wanted_no_schedule(node: &Node) -> Vec<&'static str> {
    let mut keys: Vec<&'static str> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if node.conditions.iter().any(|c| c.kind == *kind && c.status == status) {
            keys.push(key);
        }
    }
    if node.unschedulable {
        keys.push(UNSCHEDULABLE);
    }
    keys
}

/// Whether the node has this `NoExecute` taint.
pub(super) fn has_no_execute(node: &Node, key: &str) -> bool {
    node.taints.iter().any(|t| t.effect == Effect::NoExecute && t.key == *key)
}

/// What to do about the two `NoExecute` taints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoExecute {
    /// Leave them as they are.
    Keep,
    /// Have neither.
    Neither,
    /// Have this one and not the other.
    Only(&'static str),
}

/// The node's whole list of taints as it should be, or `None` when it is so already. Others' taints are kept, in order.
pub(super) fn desired(node: &Node, no_execute: NoExecute, now: Timestamp) -> Option<Vec<Taint>> {
    let wanted = wanted_no_schedule(node);
    let keep = |t: &Taint| match t.effect {
        Effect::NoSchedule => !managed(&t.key) || wanted.iter().any(|k| t.key == **k),
        Effect::NoExecute if t.key == *NOT_READY || t.key == *UNREACHABLE => match no_execute {
            NoExecute::Keep => true,
            NoExecute::Neither => false,
            NoExecute::Only(key) => t.key == *key,
        },
        _ => true,
    };
    let mut taints: Vec<Taint> = node.taints.iter().filter(|t| keep(t)).cloned().collect();
    let mut changed = taints.len() != node.taints.len();
    let mut add = |key: &str, effect: Effect| {
        if !taints.iter().any(|t| t.effect == effect && t.key == *key) {
            let time_added = Some(now.truncated());
            taints.push(Taint { key: key.into(), value: "".into(), effect, time_added });
            changed = true;
        }
    };
    for key in wanted {
        add(key, Effect::NoSchedule);
    }
    if let NoExecute::Only(key) = no_execute {
        add(key, Effect::NoExecute);
    }
    changed.then_some(taints)
}

fn precondition(node: &Node) -> Value {
    json!({"uid": &*node.meta.uid, "resourceVersion": node.meta.resource_version.to_string()})
}

/// Merge patch of the taints. The list is atomic: without the resource version other writers' taints would be lost
/// (trap 10).
pub(super) fn taints_body(node: &Node, taints: &[Taint]) -> Value {
    let list: Vec<Value> = taints
        .iter()
        .map(|t| {
            let mut taint = Map::new();
            taint.insert("key".into(), json!(&*t.key));
            if !t.value.is_empty() {
                taint.insert("value".into(), json!(&*t.value));
            }
            taint.insert("effect".into(), json!(t.effect.as_str()));
            if let Some(at) = t.time_added {
                taint.insert("timeAdded".into(), json!(at.truncated().to_string()));
            }
            Value::Object(taint)
        })
        .collect();
    json!({"metadata": precondition(node), "spec": {"taints": list}})
}

/// Merge patch of the labels that follow others, or `None` when they do.
pub(super) fn labels_body(node: &Node) -> Option<Value> {
    let mut labels = Map::new();
    for (source, follower) in LABELS {
        if let Some(value) = node.meta.labels.get(source)
            && node.meta.labels.get(follower) != Some(value)
        {
            labels.insert(follower.to_owned(), json!(&**value));
        }
    }
    (!labels.is_empty()).then(|| json!({"metadata": {"uid": &*node.meta.uid, "labels": labels}}))
}

/// Strategic merge patch (conditions are merged by type) that makes a silent node's conditions Unknown, or `None` when
/// Ready is Unknown already.
pub(super) fn unknown_body(node: &Node, now: Timestamp) -> Option<Value> {
    if node.condition("Ready").is_some_and(|c| c.status == Status::Unknown) {
        return None;
    }
    let now = now.truncated().to_string();
    let unknown = |kind: &&str| match node.condition(kind) {
        None => Some(json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
            "lastHeartbeatTime": node.meta.created.truncated().to_string(), "lastTransitionTime": now,
        })),
        Some(NodeCondition { status: Status::Unknown, .. }) => None,
        Some(_) => Some(json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastTransitionTime": now,
        })),
    };
    let conditions: Vec<Value> = KUBELET_CONDITIONS.iter().filter_map(unknown).collect();
    Some(json!({"metadata": precondition(node), "status": {"conditions": conditions}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::node;

    fn names(taints: &[Taint]) -> Vec<String> {
        taints.iter().map(|t| format!("{}:{}", t.key.rsplit('/').next().unwrap(), t.effect.as_str())).collect()
    }

    #[test]
    fn no_schedule_follows_conditions_and_cordon() {
        let now = Timestamp::from_secs(9);
        let ready = node("n").build();
        assert_eq!(desired(&ready, NoExecute::Keep, now), None);
        let n = node("n")
            .taint("example.com/mine", "v", Effect::NoSchedule)
            .taint("node.kubernetes.io/disk-pressure", "", Effect::NoSchedule)
            .taint(NOT_READY, "", Effect::PreferNoSchedule)
            .condition("Ready", Status::Unknown, 1)
            .condition("MemoryPressure", Status::True, 1)
            .condition("PIDPressure", Status::Unknown, 1)
            .condition("NetworkUnavailable", Status::True, 1)
            .unschedulable()
            .build();
        let taints = desired(&n, NoExecute::Keep, now).unwrap();
        assert_eq!(
            names(&taints),
            [
                "mine:NoSchedule",
                "not-ready:PreferNoSchedule",
                "unreachable:NoSchedule",
                "memory-pressure:NoSchedule",
                "network-unavailable:NoSchedule",
                "unschedulable:NoSchedule"
            ]
        );
        let body = taints_body(&n, &taints);
        assert_eq!(body["metadata"]["resourceVersion"], "1");
        assert_eq!(body["spec"]["taints"][0], json!({"key": "example.com/mine", "value": "v", "effect": "NoSchedule"}));
        assert_eq!(body["spec"]["taints"][2]["timeAdded"], "1970-01-01T00:00:09Z");
        let mut after = n;
        after.taints = taints.into();
        assert_eq!(desired(&after, NoExecute::Keep, now), None);
        let bare = node("n").with(|n| n.conditions = Box::new([])).build();
        assert_eq!(desired(&bare, NoExecute::Keep, now), None, "no condition, no taint");
    }

    #[test]
    fn the_two_no_execute_taints_exclude_each_other() {
        let now = Timestamp::from_secs(9);
        let n = node("n").taint(NOT_READY, "", Effect::NoExecute).taint("k", "", Effect::NoExecute).build();
        assert_eq!(
            names(&desired(&n, NoExecute::Only(UNREACHABLE), now).unwrap()),
            ["k:NoExecute", "unreachable:NoExecute"]
        );
        assert_eq!(names(&desired(&n, NoExecute::Neither, now).unwrap()), ["k:NoExecute"]);
        assert_eq!(desired(&n, NoExecute::Only(NOT_READY), now), None);
        assert_eq!(desired(&n, NoExecute::Keep, now), None);
    }

    #[test]
    fn whose_taints_a_change_concerns() {
        let base = || node("n").taint("node.cloudprovider.kubernetes.io/uninitialized", "", Effect::NoSchedule);
        let none: Vec<(&Str, bool)> = Vec::new();
        let others = base().taint(NOT_READY, "", Effect::PreferNoSchedule).taint(UNSCHEDULABLE, "", Effect::NoExecute);
        assert_eq!(of_lifecycle(&others.build()), none);
        let one = base().taint(UNREACHABLE, "", Effect::NoExecute).taint(UNREACHABLE, "", Effect::NoSchedule).build();
        let other =
            node("n").taint(UNREACHABLE, "x", Effect::NoSchedule).taint(UNREACHABLE, "", Effect::NoExecute).build();
        assert_eq!(of_lifecycle(&one), of_lifecycle(&other));
        assert_eq!(of_lifecycle(&one).len(), 2);
    }

    #[test]
    fn labels_follow() {
        let n = node("n").label("kubernetes.io/os", "linux").label("beta.kubernetes.io/os", "plan9").build();
        let body = labels_body(&n).unwrap();
        assert_eq!(body, json!({"metadata": {"uid": "uid-n", "labels": {"beta.kubernetes.io/os": "linux"}}}));
        assert_eq!(labels_body(&node("n").build()), None);
    }

    #[test]
    fn a_silent_nodes_conditions() {
        let n = node("n")
            .condition("MemoryPressure", Status::False, 5)
            .condition("DiskPressure", Status::Unknown, 5)
            .condition("NetworkUnavailable", Status::False, 5)
            .build();
        let body = unknown_body(&n, Timestamp(9_700_000)).unwrap();
        let conditions = body["status"]["conditions"].as_array().unwrap();
        let short: Vec<_> = conditions.iter().map(|c| format!("{} {}", c["type"], c["reason"])).collect();
        assert_eq!(
            short,
            [
                "\"Ready\" \"NodeStatusUnknown\"",
                "\"MemoryPressure\" \"NodeStatusUnknown\"",
                "\"PIDPressure\" \"NodeStatusNeverUpdated\""
            ]
        );
        assert!(conditions[0].get("lastHeartbeatTime").is_none(), "the kubelet's own stays");
        assert_eq!(conditions[2]["lastHeartbeatTime"], "1970-01-01T00:00:00Z");
        assert_eq!(conditions[0]["lastTransitionTime"], "1970-01-01T00:00:09Z");
        assert_eq!(unknown_body(&node("n").condition("Ready", Status::Unknown, 1).build(), Timestamp(0)), None);
    }
}
