//! Clusters that are full of pods that may be preempted.

use std::collections::BTreeSet;

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

/// Takes host ports from pods whose node has a pod with the same one. Stock's node forgets a port with the first of two
/// pods that hold it, which is a defect; while victims are tried one after the other it would decide cases.
pub(super) fn one_pod_per_host_port(pods: &mut [Value]) {
    let mut taken = BTreeSet::new();
    for pod in pods {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        for kind in ["containers", "initContainers"] {
            for container in pod["spec"].get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) else { continue };
                ports.retain(|port| taken.insert((node.clone(), port["hostPort"].as_u64())));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{PREEMPTION, cluster};

    #[test]
    fn no_host_port_twice_on_a_node() {
        for seed in PREEMPTION..PREEMPTION + 300 {
            let mut seen = BTreeSet::new();
            for pod in cluster(seed).pods {
                for kind in ["containers", "initContainers"] {
                    for container in pod["spec"][kind].as_array().into_iter().flatten() {
                        for port in container["ports"].as_array().into_iter().flatten() {
                            let place = (pod["spec"]["nodeName"].to_string(), port["hostPort"].to_string());
                            assert!(seen.insert(place.clone()), "seed {seed}: {place:?}");
                        }
                    }
                }
            }
        }
    }
}
