//! Clusters that are full of pods that may be preempted.

use serde_json::{Value, json};

use super::Rng;

/// Gives a pod on a node a priority and a start time, different for each pod: stock takes a pod without one for one that
/// starts at the moment of asking.
pub(super) fn victim(rng: &mut Rng, pod: &mut Value, index: usize) {
    if let Some(class) = rng.pick(&[None, None, Some("low"), Some("low"), Some("high")]) {
        pod["spec"]["priorityClassName"] = class.into();
    }
    let minute = (index * 7 + rng.below(7)) % 60;
    pod["status"] = json!({"startTime": format!("2026-01-01T00:{minute:02}:{:02}Z", index % 60)});
    if rng.percent(60) {
        let requests = json!({"cpu": rng.pick(&["200m", "400m", "900m"]), "memory": rng.pick(&["128Mi", "300Mi"])});
        pod["spec"]["containers"][0]["resources"] = json!({"requests": requests});
    }
}

/// Gives a waiting pod a priority, and often a large appetite.
pub(super) fn preemptor(rng: &mut Rng, pod: &mut Value) {
    if let Some(class) = rng.pick(&[Some("high"), Some("high"), Some("high"), Some("low"), None]) {
        pod["spec"]["priorityClassName"] = class.into();
    }
    if rng.percent(75) {
        let requests = json!({"cpu": rng.pick(&["400m", "900m", "1800m"]), "memory": rng.pick(&["128Mi", "600Mi"])});
        pod["spec"]["containers"][0]["resources"] = json!({"requests": requests});
    }
}

/// A budget or two.
pub(super) fn budgets(rng: &mut Rng, seed: u64) -> Vec<Value> {
    let mut all = Vec::new();
    for app in ["a", "b"] {
        if rng.percent(35) {
            let allowed = rng.below(3);
            all.push(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": format!("{app}-{seed}"), "namespace": "default"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}},
                "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}}));
        }
    }
    all
}
