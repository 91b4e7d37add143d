//! The pods that the workloads of a file make, and the claims that are made for them.

use std::{collections::BTreeSet, ops::Range};

use headroom_planner::{
    Cluster,
    cluster::{WorkloadName, made_by},
};
use serde_json::{Value, json};

use super::{namespace_of, number_of_pods, text};

/// What the controller lets pods of a DaemonSet tolerate, with its effects (`AddOrUpdateDaemonPodTolerations`).
const DAEMON_TOLERATIONS: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// And those in the network of their host.
const HOST_NETWORK_TOLERATION: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");
/// The label that tells the pods of a Deployment's ReplicaSets apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// What it says on planned pods.
pub(super) const HASH: &str = "plan";

/// Names that pods have, with their namespaces.
pub(super) struct Names(BTreeSet<(String, String)>);

impl Names {
    /// Those that no other pod may have: of the files' pods and those of their StatefulSets, and of the pods of the
    /// cluster that stay. Pods that are asked for several times get names as those of workloads do.
    pub(super) fn given(
        objects: &[Value],
        namespace: &str,
        replicas: Option<u64>,
        cluster: &Cluster,
        replaced: &BTreeSet<WorkloadName>,
    ) -> Self {
        let mut names = BTreeSet::new();
        for object in objects {
            let (name, namespace) = (text(object, "/metadata/name"), namespace_of(object, namespace));
            match text(object, "/kind") {
                "Pod" if replicas.is_none_or(|replicas| replicas <= 1) => {
                    names.insert((namespace.to_owned(), name.to_owned()));
                }
                "StatefulSet" => {
                    let numbers = ordinals(object, number_of_pods(object, replicas));
                    names.extend(numbers.map(|number| (namespace.to_owned(), format!("{name}-{number}"))));
                }
                _ => {}
            }
        }
        for pod in &cluster.pods {
            if made_by(pod).is_none_or(|name| !replaced.contains(&name)) {
                let key = &pod.meta.key;
                names.insert((key.namespace.to_string(), key.name.to_string()));
            }
        }
        Self(names)
    }

    /// The name of a pod of a workload, or of one of several pods that a bare one stands for. Only StatefulSets have a say
    /// in it; workloads of several kinds may have one name, and their pods are not the same pods.
    pub(super) fn next(&mut self, kind: &str, workload: &str, namespace: &str, number: u64) -> String {
        let mut stem = workload.to_owned();
        loop {
            let name = format!("{stem}-{number}");
            if kind == "StatefulSet" || self.0.insert((namespace.to_owned(), name.clone())) {
                return name;
            }
            stem = format!("{stem}-{}", kind.to_lowercase());
        }
    }
}

/// The numbers of a workload's pods.
fn ordinals(object: &Value, count: u64) -> Range<u64> {
    let start = object.pointer("/spec/ordinals/start").filter(|_| text(object, "/kind") == "StatefulSet");
    let start = start.and_then(Value::as_u64).unwrap_or(0);
    start..start.saturating_add(count)
}

/// The ReplicaSet that makes the planned pods of a Deployment.
pub(super) fn replica_set(deployment: &str) -> String {
    format!("{deployment}-{HASH}")
}

/// Who the pods of a workload say that they belong to, and the labels that tell it.
fn owner(object: &Value) -> (Value, Option<(&'static str, &'static str)>) {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    let owner = |api_version: &str, kind: &str, name: String| {
        let uid = format!("plan-{name}");
        json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true}])
    };
    match kind {
        // Names lead from the pods of a ReplicaSet to the Deployment, and from those of a Job to the CronJob.
        "Deployment" => (owner("apps/v1", "ReplicaSet", replica_set(name)), Some((HASH_LABEL, HASH))),
        "CronJob" => (owner("batch/v1", "Job", format!("{name}-00000000")), None),
        _ => (owner(text(object, "/apiVersion"), kind, name.to_owned()), None),
    }
}

/// Lets the pods of a DaemonSet tolerate what its controller does.
fn tolerate_as_daemons(spec: &mut Value) {
    let on_host = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    let all = DAEMON_TOLERATIONS.into_iter().chain(on_host.then_some(HOST_NETWORK_TOLERATION));
    let all: Vec<Value> =
        all.map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect})).collect();
    match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        Some(tolerations) => tolerations.extend(all),
        None => spec["tolerations"] = all.into(),
    }
}

/// A claim of this name as a template has it.
fn claim(name: &str, namespace: &str, template: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "annotations": template.pointer("/metadata/annotations")},
        "spec": template.get("spec"),
    })
}

/// The pods of a workload, and the claims that a StatefulSet makes for them.
pub(super) fn made(object: &Value, template: &Value, replicas: u64, namespace: &str, names: &mut Names) -> Vec<Value> {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    let (owners, label) = owner(object);
    let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut made = Vec::new();
    for number in ordinals(object, replicas) {
        let pod_name = names.next(kind, name, namespace, number);
        let mut metadata = template.get("metadata").filter(|m| m.is_object()).cloned().unwrap_or_else(|| json!({}));
        metadata["name"] = pod_name.as_str().into();
        metadata["namespace"] = namespace.into();
        metadata["ownerReferences"] = owners.clone();
        if let Some((key, value)) = label {
            metadata["labels"][key] = value.into();
        }
        let mut spec = template.get("spec").cloned().unwrap_or_default();
        if kind == "DaemonSet" {
            tolerate_as_daemons(&mut spec);
        }
        for template in &claims {
            let volume = text(template, "/metadata/name");
            let claim_name = format!("{volume}-{pod_name}");
            let source = json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}});
            match spec.get_mut("volumes").and_then(Value::as_array_mut) {
                Some(volumes) => volumes.push(source),
                None => spec["volumes"] = json!([source]),
            }
            made.push(claim(&claim_name, namespace, template));
        }
        made.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    }
    made
}

/// The claims that are made for the generic ephemeral volumes of pods, which own them.
pub(super) fn ephemeral_claims(pod: &Value) -> Vec<Value> {
    let [namespace, name, uid] = ["namespace", "name", "uid"].map(|field| text(pod, &format!("/metadata/{field}")));
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let of = |volume: &Value| {
        let template = volume.pointer("/ephemeral/volumeClaimTemplate")?;
        let mut claim = claim(&format!("{name}-{}", text(volume, "/name")), namespace, template);
        claim["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid, "controller": true}]);
        Some(claim)
    };
    volumes.into_iter().flatten().filter_map(of).collect()
}

/// Makes a pod one that is created: with a UID of its own, and without what only a pod has that was there already.
pub(super) fn created(pod: &mut Value) {
    let uid = format!("plan/{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    if let Some(fields) = pod.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("deletionTimestamp");
        metadata.insert("uid".to_owned(), uid.into());
    }
}
