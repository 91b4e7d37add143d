//! Pods.

use serde_json::{Map, Value, json};

use super::{Rng, affinity, node};
use crate::world::{NAMESPACES, PROFILES, RUNTIME_CLASS};

/// What the pods of one cluster have in common, so that a case is about few things.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flavour {
    namespaces: usize,
    inter_pod: usize,
    spread: usize,
    ports: usize,
    node_affinity: usize,
    resources: usize,
}

impl Flavour {
    pub(super) fn of(rng: &mut Rng) -> Self {
        Self {
            namespaces: rng.pick(&[0, 0, 40]),
            inter_pod: rng.pick(&[0, 0, 0, 60]),
            spread: rng.pick(&[0, 0, 0, 60]),
            ports: rng.pick(&[0, 0, 60]),
            node_affinity: rng.pick(&[0, 0, 50]),
            resources: rng.pick(&[30, 70, 95]),
        }
    }
}

const CPU: [&str; 8] = ["10m", "10m", "100m", "150m", "300m", "0", "1", "1500m"];
const MEMORY: [&str; 8] = ["16Mi", "64Mi", "64Mi", "100M", "256Mi", "500Mi", "1Gi", "0"];

/// Requests, and sometimes limits: the API server makes requests of limits that stand alone.
fn resources(rng: &mut Rng, chance: usize) -> Value {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    if rng.percent(chance) {
        let into = if rng.percent(85) { &mut requests } else { &mut limits };
        into.insert("cpu".to_owned(), (rng.pick(&CPU)).into());
    }
    if rng.percent(chance) {
        let into = if rng.percent(85) { &mut requests } else { &mut limits };
        into.insert("memory".to_owned(), (rng.pick(&MEMORY)).into());
    }
    if rng.percent(3) {
        requests.insert("ephemeral-storage".to_owned(), (rng.pick(&["100Mi", "2Gi"])).into());
    }
    // Extended resources and huge pages are not overcommitted: request and limit are the same.
    for (name, values, share) in [
        ("example.com/gpu", &["1", "2", "3"][..], 5),
        ("vendor.io/fpga", &["1"][..], 2),
        ("hugepages-2Mi", &["32Mi", "128Mi"][..], 2),
    ] {
        // The API server wants cpu or memory beside huge pages.
        let beside = ["cpu", "memory"].iter().any(|r| requests.contains_key(*r) || limits.contains_key(*r));
        if rng.percent(share) && (beside || !name.starts_with("huge")) {
            limits.insert(name.to_owned(), (rng.pick(values)).into());
        }
    }
    let mut all = Map::new();
    if !requests.is_empty() {
        all.insert("requests".to_owned(), requests.into());
    }
    if !limits.is_empty() {
        all.insert("limits".to_owned(), limits.into());
    }
    all.into()
}

fn container(rng: &mut Rng, name: &str, chance: usize) -> Value {
    let image = if rng.percent(60) { "x:1" } else { rng.pick(&node::IMAGES).0 };
    // A name without its tag is the same image.
    let image = image.strip_suffix(":latest").filter(|_| rng.percent(50)).unwrap_or(image);
    json!({"name": name, "image": image, "resources": resources(rng, chance)})
}

fn ports(rng: &mut Rng) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..rng.pick(&[1, 1, 2]) {
        let host_port = rng.pick(&[80, 80, 443]);
        let mut port = json!({"containerPort": host_port, "hostPort": host_port});
        if rng.percent(35) {
            port["hostIP"] = json!(rng.pick(&["10.0.0.1", "10.0.0.2", "0.0.0.0"]));
        }
        if rng.percent(30) {
            port["protocol"] = json!(rng.pick(&["UDP", "TCP"]));
        }
        if !all.iter().any(|p| p["hostPort"] == port["hostPort"]) {
            all.push(port);
        }
    }
    all
}

fn base(rng: &mut Rng, name: String, flavour: &Flavour) -> Value {
    let mut labels = Map::new();
    if rng.percent(80) {
        labels.insert("app".to_owned(), (rng.pick(&affinity::APPS)).into());
    }
    if rng.percent(25) {
        labels.insert("tier".to_owned(), (rng.pick(&["front", "back"])).into());
    }
    let namespace = if rng.percent(flavour.namespaces) { rng.pick(&NAMESPACES) } else { "default" };
    let mut metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    if rng.percent(15) {
        let (version, kind, owner) = rng.pick(&[
            ("apps/v1", "ReplicaSet", "rs-b"),
            ("apps/v1", "StatefulSet", "sts-c"),
            ("v1", "ReplicationController", "rc-a"),
            ("batch/v1", "Job", "job"),
        ]);
        metadata["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": owner, "uid": "o", "controller": true}]);
    }
    let mut containers: Vec<Value> =
        (0..rng.pick(&[1, 1, 1, 1, 1, 2, 3])).map(|i| container(rng, &format!("c{i}"), flavour.resources)).collect();
    if rng.percent(flavour.ports) {
        containers[0]["ports"] = ports(rng).into();
    }
    let mut spec = json!({"containers": containers});
    if rng.percent(20) {
        let init: Vec<Value> = (0..rng.pick(&[1, 1, 2, 3]))
            .map(|i| {
                let mut container = container(rng, &format!("i{i}"), flavour.resources);
                if rng.percent(50) {
                    container["restartPolicy"] = "Always".into();
                    if rng.percent(flavour.ports / 3) {
                        container["ports"] = ports(rng).into();
                    }
                }
                container
            })
            .collect();
        spec["initContainers"] = init.into();
    }
    if rng.percent(7) {
        spec["runtimeClassName"] = RUNTIME_CLASS.into();
    }
    if rng.percent(8) {
        // More than any sum of containers: less is refused.
        let cpu = rng.pick(&["7", "7500m"]);
        let memory = rng.pick(&["8Gi", "7Gi"]);
        spec["resources"] = match rng.below(3) {
            0 => json!({"requests": {"cpu": cpu}}),
            1 => json!({"requests": {"memory": memory}}),
            _ => json!({"requests": {"cpu": cpu, "memory": memory}}),
        };
        // Small containers, so that the pod's own figures can be small as well.
        if rng.percent(70) {
            for container in spec["containers"].as_array_mut().into_iter().flatten() {
                container["resources"] = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
            }
            if let Some(fields) = spec.as_object_mut() {
                fields.remove("initContainers");
            }
            let requests = &mut spec["resources"]["requests"];
            for (name, small) in [("cpu", "400m"), ("memory", "300Mi")] {
                if requests.get(name).is_some() {
                    requests[name] = small.into();
                }
            }
        }
    }
    let mut affinities = Map::new();
    if rng.percent(flavour.inter_pod) {
        let kinds =
            rng.pick(&[&["podAffinity"][..], &["podAntiAffinity"][..], &["podAffinity", "podAntiAffinity"][..]]);
        for kind in kinds {
            affinities.insert((*kind).to_owned(), affinity::pod_affinity(rng, 55));
        }
    }
    if !affinities.is_empty() {
        spec["affinity"] = affinities.into();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// A pod that is on a node already, whether it fits there or not.
pub(super) fn existing(rng: &mut Rng, seed: u64, index: usize, nodes: usize, flavour: &Flavour) -> Value {
    let mut pod = base(rng, format!("e{index}-{seed}"), flavour);
    pod["spec"]["nodeName"] = node::name(rng.below(nodes)).into();
    pod
}

/// A pod that waits.
pub(super) fn pending(rng: &mut Rng, seed: u64, index: usize, nodes: usize, flavour: &Flavour) -> Value {
    let mut pod = base(rng, format!("p{index}-{seed}"), flavour);
    let spec = &mut pod["spec"];
    if rng.percent(40) {
        let tolerations = affinity::tolerations(rng);
        if !tolerations.is_empty() {
            spec["tolerations"] = tolerations.into();
        }
    }
    if rng.percent(flavour.node_affinity / 3) {
        spec["nodeSelector"] = match rng.below(3) {
            0 => json!({"disk": "ssd"}),
            1 => json!({"topology.kubernetes.io/zone": rng.pick(&["z0", "z1"])}),
            _ => json!({"disk": "ssd", "topology.kubernetes.io/zone": "z0"}),
        };
    }
    if rng.percent(flavour.node_affinity) {
        spec["affinity"]["nodeAffinity"] = affinity::node_affinity(rng, nodes);
    }
    if rng.percent(flavour.spread) {
        spec["topologySpreadConstraints"] = affinity::spread(rng).into();
    }
    if rng.percent(25) {
        spec["schedulerName"] = (rng.pick(&PROFILES)).into();
    }
    if rng.percent(10) {
        spec["priorityClassName"] = "polite".into();
    }
    pod
}
