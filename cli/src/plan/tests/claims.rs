//! `-f` with claims: the class that they get, and those that are bound already.

use serde_json::json;

use super::*;

const AT: &str = "2026-11-29T10:00:00Z";

fn node(name: &str, memory: &str) -> Value {
    let resources = json!({"cpu": "4", "memory": memory, "pods": "110", "ephemeral-storage": "20Gi"});
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "creationTimestamp": AT, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn class(name: &str, default: bool, mode: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": name, "creationTimestamp": AT,
                     "annotations": {"storageclass.kubernetes.io/is-default-class": default.to_string()}},
        "provisioner": "csi.example.com", "volumeBindingMode": mode})
}

fn saved(objects: &[Value]) -> String {
    let nodes = [node("small", "4Gi"), node("large", "16Gi")];
    let items = [&nodes[..], objects].concat();
    json!({"kind": "List", "apiVersion": "v1", "items": items}).to_string()
}

/// The usual StatefulSet, with this much in the spec of its claims besides.
fn database(more: &str) -> tempfile::NamedTempFile {
    file(&format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: 2
  template:
    spec: {{containers: [{{name: c, resources: {{requests: {{memory: 64Mi}}}}, volumeMounts: [{{name: data}}]}}]}}
  volumeClaimTemplates:
  - {{metadata: {{name: data}}, spec: {{{more} accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}
"
    ))
}

fn fit(objects: &[Value], more: &str) -> Plan {
    let file = database(more);
    plan_of(&saved(objects), &["-f", file.path().to_str().unwrap()])
}

#[test]
fn claims_without_a_class_get_the_default_one() {
    let (default, other) = (class("standard", true, "WaitForFirstConsumer"), class("other", false, "Immediate"));
    let there = [default, other.clone()];
    let plan = fit(&there, "");
    assert!(plan.fits && plan.placements.len() == 2, "{:?}", plan.pending);
    // Nothing fills it in where there is no default class, and an empty one is meant.
    for (objects, more) in [(&there[1..], ""), (&there[..], "storageClassName: '',")] {
        let plan = fit(objects, more);
        assert!(!plan.fits && plan.pending[0].reason.contains("unbound immediate"), "{more}: {:?}", plan.pending);
    }
    // Volumes of such a class are there before the pod is.
    let plan = fit(&[class("standard", true, "Immediate")], "");
    assert!(plan.fits, "{:?}", plan.pending);
    assert!(fit(&there, "storageClassName: other,").fits);
}

#[test]
fn claims_that_are_bound_stay_so() {
    let terms =
        json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["small"]}]}]);
    let size = json!({"storage": "1Gi"});
    let modes = json!(["ReadWriteOnce"]);
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "db", "controller": true}]);
    let objects = [
        class("standard", true, "WaitForFirstConsumer"),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
            "spec": {"capacity": size, "accessModes": modes, "storageClassName": "standard", "local": {"path": "/v"},
                     "claimRef": {"namespace": "default", "name": "data-db-0", "uid": "claim"},
                     "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
            "status": {"phase": "Bound"}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-db-0", "namespace": "default", "uid": "claim",
                         "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"accessModes": modes, "storageClassName": "standard", "volumeName": "v",
                     "resources": {"requests": size}},
            "status": {"phase": "Bound"}}),
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "db-0", "namespace": "default", "uid": "db-0", "ownerReferences": owner},
            "spec": {"nodeName": "small", "containers": [{"name": "c", "image": "i"}],
                     "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]},
            "status": {"phase": "Running"}}),
    ];
    let plan = fit(&objects, "");
    assert!(plan.fits, "{:?}", plan.pending);
    let first = plan.placements.iter().find(|placed| placed.name == "db-0").unwrap();
    assert_eq!(first.to, "small", "its data is there, although the other node has more room");
}

/// A workload whose pods have an ephemeral volume, with this much in the spec of its claims besides.
fn scratch(kind: &str, more: &str) -> tempfile::NamedTempFile {
    file(&format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: db}}
spec:
  template:
    spec:
      containers: [{{name: c, resources: {{requests: {{memory: 64Mi}}}}}}]
      volumes:
      - name: scratch
        ephemeral:
          volumeClaimTemplate:
            spec: {{{more} accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"
    ))
}

#[test]
fn ephemeral_volumes_get_claims_as_the_templates_of_a_stateful_set_do() {
    for (kind, pods) in [("Deployment", 1), ("StatefulSet", 1), ("DaemonSet", 2)] {
        let fit = |objects: &[Value], more: &str| {
            let file = scratch(kind, more);
            plan_of(&saved(objects), &["-f", file.path().to_str().unwrap()])
        };
        for (mode, volumes) in [("WaitForFirstConsumer", false), ("Immediate", true)] {
            let plan = fit(&[class("standard", true, mode)], "");
            assert!(plan.fits && plan.placements.len() == pods, "{kind}, {mode}: {:?}", plan.pending);
            let file = scratch(kind, "");
            let asked = [file.path().to_owned()];
            let inputs = Snapshot::from_objects([class("standard", true, mode)]).inputs();
            let cluster = Cluster::new(inputs, &Scheduler::standard(), snapshot::now(clock::wall()));
            let notes = files::asked(&asked, "default", None, &cluster, &Known::default()).unwrap().notes;
            let said = notes.iter().any(|note| note.starts_with("volumes of 1 claim are made before"));
            assert_eq!(said, volumes, "{notes:?}");
        }
        // Nothing fills the class in, and an empty one is meant.
        for (objects, more) in [(vec![], ""), (vec![class("standard", true, "Immediate")], "storageClassName: '',")] {
            let plan = fit(&objects, more);
            assert!(!plan.fits && plan.pending[0].reason.contains("unbound immediate"), "{kind}: {:?}", plan.pending);
        }
    }
}

#[test]
fn claims_of_ephemeral_volumes_go_with_the_pods_that_are_replaced() {
    let owner = |version: &str, kind: &str, name: &str| json!([{"apiVersion": version, "kind": kind, "name": name, "uid": name, "controller": true}]);
    let there = [
        class("standard", true, "WaitForFirstConsumer"),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "db-0-scratch", "namespace": "default", "uid": "claim",
                         "ownerReferences": owner("v1", "Pod", "db-0")},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                     "resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "db-0", "namespace": "default", "uid": "db-0",
                         "ownerReferences": owner("apps/v1", "StatefulSet", "db")},
            "spec": {"nodeName": "small", "containers": [{"name": "c", "image": "i"}],
                     "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
            "status": {"phase": "Running"}}),
    ];
    let file = scratch("StatefulSet", "");
    let plan = plan_of(&saved(&there), &["-f", file.path().to_str().unwrap()]);
    assert!(plan.fits && plan.placements.len() == 1, "{:?}", plan.pending);
}
