//! Volumes, claims and what belongs to them. No controller of volumes runs: what is bound is written as bound, and what
//! waits for its first consumer waits.

use serde_json::{Value, json};

use super::{Rng, node};

const CSI: &str = "csi.example.com";

/// The objects, and the names of the claims.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) objects: Vec<Value>,
    /// Bound ones, for pods on nodes.
    pub(super) bound: Vec<String>,
    pub(super) all: Vec<String>,
}

fn expression(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "In", "values": [value]})
}

fn class(rng: &mut Rng, name: &str, provisioner: &str, mode: &str) -> Value {
    let mut class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": mode});
    if rng.percent(30) {
        class["allowedTopologies"] = json!([{"matchLabelExpressions": [
            {"key": "topology.kubernetes.io/zone", "values": rng.pick(&[&["z0"][..], &["z1", "z2"]])}]}]);
    }
    class
}

fn volume(rng: &mut Rng, name: &str, class: &str, nodes: usize) -> Value {
    let mut volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"capacity": {"storage": rng.pick(&["1Gi", "1Gi", "5Gi"])}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": class},
        "status": {"phase": "Available"}});
    let terms = match rng.below(4) {
        0 => Some(expression("kubernetes.io/hostname", &node::name(rng.below(nodes)))),
        1 => Some(expression("topology.kubernetes.io/zone", rng.pick(&["z0", "z1"]))),
        2 => Some(expression("disk", "ssd")),
        _ => None,
    };
    if let Some(term) = terms {
        volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}});
    }
    if rng.percent(25) {
        volume["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": rng.pick(&["z0", "z1", "z0__z1"])});
    }
    if rng.percent(60) {
        volume["spec"]["csi"] = json!({"driver": CSI, "volumeHandle": format!("h-{name}")});
    } else {
        volume["spec"]["hostPath"] = json!({"path": "/x"});
    }
    volume
}

fn claim(name: &str, class: &str, mode: &str, size: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": [mode], "storageClassName": class, "resources": {"requests": {"storage": size}}}})
}

/// What a cluster with this many nodes has.
pub(super) fn storage(rng: &mut Rng, seed: u64, nodes: usize) -> Storage {
    let name = |what: &str| format!("{what}-{seed}");
    let classes = [name("wait"), name("made"), name("csi"), name("now")];
    let mut objects = vec![
        class(rng, &classes[0], "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        class(rng, &classes[1], "example.com/p", "WaitForFirstConsumer"),
        class(rng, &classes[2], CSI, "WaitForFirstConsumer"),
        class(rng, &classes[3], "example.com/p", "Immediate"),
    ];
    let (mut bound, mut all) = (Vec::new(), Vec::new());
    for i in 0..rng.between(1, 4) {
        let claim_name = name(&format!("b{i}"));
        let volume_name = name(&format!("bv{i}"));
        let mode = if rng.percent(30) { "ReadWriteOncePod" } else { "ReadWriteOnce" };
        let mut claim = claim(&claim_name, &classes[0], mode, "1Gi");
        claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
        claim["spec"]["volumeName"] = volume_name.as_str().into();
        let mut volume = volume(rng, &volume_name, &classes[0], nodes);
        volume["spec"]["accessModes"] = json!([mode]);
        volume["spec"]["claimRef"] = json!({"namespace": "default", "name": claim_name});
        volume["status"]["phase"] = "Bound".into();
        objects.extend([claim, volume]);
        bound.push(claim_name.clone());
        all.push(claim_name);
    }
    for i in 0..rng.between(0, 3) {
        objects.push(volume(rng, &name(&format!("v{i}")), &classes[0], nodes));
    }
    for i in 0..rng.between(1, 3) {
        let claim_name = name(&format!("u{i}"));
        let class = rng.pick(&[0, 0, 0, 1, 2, 3]);
        objects.push(claim(&claim_name, &classes[class], "ReadWriteOnce", rng.pick(&["1Gi", "1Gi", "4Gi"])));
        all.push(claim_name);
    }
    for i in 0..nodes {
        if rng.percent(60) {
            let count = rng.between(0, 2);
            objects.push(
                json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node::name(i)},
                "spec": {"drivers": [{"name": CSI, "nodeID": "x", "allocatable": {"count": count}}]}}),
            );
        }
    }
    Storage { objects, bound, all }
}

/// Gives a pod one or two of these claims.
pub(super) fn attach(rng: &mut Rng, pod: &mut Value, claims: &[String]) {
    if claims.is_empty() {
        return;
    }
    let mut names: Vec<&String> = vec![&claims[rng.below(claims.len())]];
    if rng.percent(35) {
        names.push(&claims[rng.below(claims.len())]);
        names.dedup();
    }
    if rng.percent(5) {
        pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "no-such-claim"}}]);
        return;
    }
    let volume =
        |(i, name): (usize, &&String)| json!({"name": format!("v{i}"), "persistentVolumeClaim": {"claimName": name}});
    pod["spec"]["volumes"] = names.iter().enumerate().map(volume).collect();
}
