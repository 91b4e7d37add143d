//! Nodes.

use serde_json::{Map, Value, json};

use super::Rng;

/// Taints, as key, value and effect.
pub(super) const TAINTS: [(&str, &str, &str); 6] = [
    ("dedicated", "db", "NoSchedule"),
    ("dedicated", "web", "NoSchedule"),
    ("dedicated", "db", "PreferNoSchedule"),
    ("flaky", "", "PreferNoSchedule"),
    ("spot", "true", "PreferNoSchedule"),
    ("broken", "", "NoExecute"),
];

/// Images and their sizes in bytes, the same on every node.
pub(super) const IMAGES: [(&str, u64); 5] = [
    ("a:1", 5_000_000),
    ("b:latest", 60_000_000),
    ("reg.io/team/c:2", 410_000_000),
    ("reg.io:5000/d:latest", 1_900_000_000),
    ("e@sha256:01", 730_000_000),
];

pub(super) fn name(index: usize) -> String {
    format!("n{index}")
}

pub(super) fn node(rng: &mut Rng, index: usize) -> Value {
    let mut labels = Map::new();
    labels.insert("kubernetes.io/hostname".to_owned(), name(index).into());
    if rng.percent(80) {
        labels.insert("topology.kubernetes.io/zone".to_owned(), (rng.pick(&["z0", "z0", "z1", "z2"])).into());
    }
    if rng.percent(45) {
        labels.insert("disk".to_owned(), (rng.pick(&["ssd", "ssd", "hdd"])).into());
    }
    if rng.percent(35) {
        labels.insert("cores".to_owned(), (rng.pick(&["1", "2", "10", "many"])).into());
    }
    let mut allocatable = Map::new();
    let mut set = |name: &str, value: &str| allocatable.insert(name.to_owned(), value.into());
    set("cpu", rng.pick(&["500m", "1", "2", "2", "3920m", "4"]));
    set("memory", rng.pick(&["512Mi", "1Gi", "2Gi", "2Gi", "4Gi", "7936Mi", "3999999k"]));
    set("pods", rng.pick(&["2", "3", "110", "110", "110"]));
    if rng.percent(25) {
        set("ephemeral-storage", rng.pick(&["1Gi", "20Gi"]));
    }
    if rng.percent(25) {
        set("example.com/gpu", rng.pick(&["1", "2", "4"]));
    }
    if rng.percent(10) {
        set("vendor.io/fpga", "1");
    }
    if rng.percent(10) {
        set("hugepages-2Mi", rng.pick(&["0", "64Mi"]));
    }
    let mut spec = Map::new();
    let mut taints: Vec<Value> = Vec::new();
    if rng.percent(40) {
        for (key, value, effect) in rng.some(&TAINTS, 20) {
            // Key and effect are unique on a node.
            if !taints.iter().any(|t| t["key"] == *key && t["effect"] == *effect) {
                taints.push(json!({"key": key, "value": value, "effect": effect}));
            }
        }
    }
    if !taints.is_empty() {
        spec.insert("taints".to_owned(), taints.into());
    }
    if rng.percent(7) {
        spec.insert("unschedulable".to_owned(), true.into());
    }
    let mut status = Map::new();
    if rng.percent(35) {
        let images: Vec<Value> =
            rng.some(&IMAGES, 40).iter().map(|(name, size)| json!({"names": [name], "sizeBytes": size})).collect();
        if !images.is_empty() {
            status.insert("images".to_owned(), images.into());
        }
    }
    status.insert("allocatable".to_owned(), allocatable.into());
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name(index), "labels": labels}, "spec": spec, "status": status})
}
