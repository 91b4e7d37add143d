//! `-f`: what the workloads of a file would make, and the objects that their pods need.

use anyhow::Context;
use headroom_core::object::Pod;
use headroom_engine::Input;
use serde_json::{Value, json};

use std::sync::Arc;

use super::defaults;
use crate::snapshot::{Snapshot, objects};

/// Most pods of one workload.
const MAX_REPLICAS: u64 = 100_000;

/// What a file asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Pods, in the order of the file.
    pub(super) pods: Vec<Arc<Pod>>,
    /// Pods of DaemonSets, one each.
    pub(super) daemons: Vec<Arc<Pod>>,
    /// What else the scheduler reads.
    pub(super) others: Vec<Input>,
    /// What was skipped, in sentences for people.
    pub(super) notes: Vec<String>,
}

/// The documents of a file: one or several, each an object or a List.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut document = String::new();
    let separated = |line: &str| line == "---" || line.starts_with("--- ") || line == "...";
    for line in text.lines().chain(["---"]) {
        if !separated(line.trim_end()) {
            document.push_str(line);
            document.push('\n');
            continue;
        }
        let one = std::mem::take(&mut document);
        if one.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let value: Value = serde_saphyr::from_str(&one).map_err(|error| {
            anyhow::anyhow!("not valid YAML or JSON: {}", error.to_string().lines().next().unwrap_or_default())
        })?;
        if let Some(line) = not_an_object(&value) {
            anyhow::bail!(line);
        }
        let is_list = value.get("items").is_some_and(Value::is_array);
        if is_list {
            let items = objects(&one)?;
            if let Some(line) = items.iter().find_map(not_an_object) {
                anyhow::bail!(line);
            }
            all.extend(items);
        } else if value.get("kind").and_then(Value::as_str).is_some() {
            all.push(value);
        } else {
            anyhow::bail!("a document without kind: expected Kubernetes objects");
        }
    }
    Ok(all)
}

/// What to say of an object with a field that is filled in further down, and so must be a mapping where it is there.
fn not_an_object(value: &Value) -> Option<String> {
    const KINDS: [&str; 7] =
        ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "DaemonSet", "Job", "CronJob"];
    const FIELDS: [(&str, &str); 5] = [
        ("/metadata", "metadata"),
        ("/spec/template/metadata/labels", "spec.template.metadata.labels"),
        ("/spec/template/spec", "spec.template.spec"),
        ("/spec/jobTemplate/spec/template/metadata/labels", "spec.jobTemplate.spec.template.metadata.labels"),
        ("/spec/jobTemplate/spec/template/spec", "spec.jobTemplate.spec.template.spec"),
    ];
    let wrong = |path: &str| value.pointer(path).is_some_and(|field| !field.is_object() && !field.is_null());
    // What other kinds have under these names is theirs.
    let filled = |path: &str| path == "/metadata" || KINDS.contains(&text(value, "/kind"));
    let (_, field) = FIELDS.into_iter().find(|(path, _)| filled(path) && wrong(path))?;
    Some(format!("{} {:?}: {field} is no mapping", text(value, "/kind"), text(value, "/metadata/name")))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The pod template of a workload, and how many pods it asks for.
fn template(object: &Value) -> Option<(&Value, u64)> {
    let number = |pointer: &str, default: u64| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(default);
    let at = |pointer: &str| object.pointer(pointer);
    match text(object, "/kind") {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController" => {
            Some((at("/spec/template")?, number("/spec/replicas", 1)))
        }
        "DaemonSet" => Some((at("/spec/template")?, 1)),
        "Job" => {
            let parallel = number("/spec/parallelism", 1);
            Some((at("/spec/template")?, parallel.min(number("/spec/completions", parallel))))
        }
        "CronJob" => Some((at("/spec/jobTemplate/spec/template")?, number("/spec/jobTemplate/spec/parallelism", 1))),
        // Any other kind with a template of pods in the usual place.
        _ => {
            let template = at("/spec/template").filter(|t| t.pointer("/spec/containers").is_some())?;
            Some((template, number("/spec/replicas", 1)))
        }
    }
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
        "Deployment" => (owner("apps/v1", "ReplicaSet", format!("{name}-plan")), Some(("pod-template-hash", "plan"))),
        "CronJob" => (owner("batch/v1", "Job", format!("{name}-00000000")), None),
        _ => (owner(text(object, "/apiVersion"), kind, name.to_owned()), None),
    }
}

/// The pods of a workload, and the claims that a StatefulSet makes for them.
fn made(object: &Value, template: &Value, replicas: u64, namespace: &str) -> Vec<Value> {
    let name = text(object, "/metadata/name");
    let (owners, label) = owner(object);
    let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut made = Vec::new();
    for number in 0..replicas.min(MAX_REPLICAS) {
        let pod_name = format!("{name}-{number}");
        let mut metadata = template.get("metadata").filter(|m| m.is_object()).cloned().unwrap_or_else(|| json!({}));
        metadata["name"] = pod_name.as_str().into();
        metadata["namespace"] = namespace.into();
        metadata["ownerReferences"] = owners.clone();
        if let Some((key, value)) = label {
            metadata["labels"][key] = value.into();
        }
        let mut spec = template.get("spec").cloned().unwrap_or_default();
        for claim in &claims {
            let volume = text(claim, "/metadata/name");
            let claim_name = format!("{volume}-{pod_name}");
            let source = json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}});
            match spec.get_mut("volumes").and_then(Value::as_array_mut) {
                Some(volumes) => volumes.push(source),
                None => spec["volumes"] = json!([source]),
            }
            made.push(json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim_name, "namespace": namespace}, "spec": claim.get("spec"),
            }));
        }
        made.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    }
    made
}

/// What a file asks for. `replicas` replaces the number that each workload has.
///
/// # Errors
/// One line: it cannot be read, or there is nothing in it that makes pods.
pub(super) fn asked(file: &str, namespace: &str, replicas: Option<u64>) -> anyhow::Result<Asked> {
    let mut all = Vec::new();
    for mut object in documents(file)? {
        let own = text(&object, "/metadata/namespace");
        let namespace = if own.is_empty() { namespace } else { own }.to_owned();
        let Some((template, number)) = template(&object) else {
            let kind = text(&object, "/kind").to_owned();
            if kind == "Pod" {
                let name = text(&object, "/metadata/name").to_owned();
                for number in 0..replicas.unwrap_or(1).min(MAX_REPLICAS) {
                    let mut pod = object.clone();
                    pod["metadata"]["namespace"] = namespace.as_str().into();
                    if replicas.is_some_and(|replicas| replicas > 1) {
                        pod["metadata"]["name"] = format!("{name}-{number}").into();
                    }
                    all.push(pod);
                }
            } else {
                if kind == "PersistentVolumeClaim" || kind == "Service" || kind == "PodDisruptionBudget" {
                    object["metadata"]["namespace"] = namespace.into();
                }
                all.push(object);
            }
            continue;
        };
        let daemon = text(&object, "/kind") == "DaemonSet";
        let number = if daemon { 1 } else { replicas.unwrap_or(number) };
        all.extend(made(&object, template, number, &namespace));
    }
    all.iter_mut().filter(|object| text(object, "/kind") == "Pod").for_each(defaults::set);
    let snapshot = Snapshot::from_objects(all);
    let mut asked = Asked { notes: snapshot.notes.clone(), ..Asked::default() };
    // Services, ConfigMaps and the like need no remark; what could not be read does.
    asked.notes.retain(|note| note.starts_with("skipped: "));
    for input in snapshot.inputs() {
        match input {
            Input::PodApplied(pod) => {
                let daemon = pod.meta.controller().is_some_and(|owner| owner.kind == "DaemonSet");
                if daemon { asked.daemons.push(pod) } else { asked.pods.push(pod) }
            }
            other => asked.others.push(other),
        }
    }
    if asked.pods.is_empty() && asked.daemons.is_empty() {
        let why = asked.notes.first().cloned().unwrap_or_else(|| "nothing in it makes pods".to_owned());
        return Err(anyhow::anyhow!(why)).context("nothing to place");
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use headroom_planner::cluster::workload;

    use super::*;

    const APP: &str = "
# what helm template prints
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, resources: {requests: {memory: 64Mi}}}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template: {spec: {containers: [{name: c}]}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec: {template: {spec: {containers: [{name: c}]}}}
";

    #[test]
    fn workloads_become_pods() {
        let asked = asked(APP, "default", None).unwrap();
        let keys: Vec<String> = asked.pods.iter().map(|pod| pod.meta.key.to_string()).collect();
        assert_eq!(keys, ["shop/web-0", "shop/web-1", "default/db-0"]);
        let web = workload(&asked.pods[0]).unwrap();
        assert_eq!((web.kind.as_str(), web.name.as_str()), ("Deployment", "web"));
        assert_eq!((asked.daemons.len(), asked.others.len(), asked.notes.len()), (1, 1, 0));
        assert!(asked.pods[2].spec.has_claims());
        assert_eq!(super::asked(APP, "default", Some(5)).unwrap().pods.len(), 10);
    }

    #[test]
    fn what_asks_for_nothing_gets_one_line() {
        for (text, expected) in [
            ("kind: ConfigMap\nmetadata: {name: c}\n", "nothing in it makes pods"),
            ("a: [", "not valid YAML or JSON"),
            ("a: b", "a document without kind"),
            ("kind: Pod\nmetadata: [a]\n", "Pod \"\": metadata is no mapping"),
            (
                "kind: Deployment\nspec: {template: {metadata: {labels: a}, spec: {containers: []}}}\n",
                "Deployment \"\": spec.template.metadata.labels is no mapping",
            ),
            ("kind: StatefulSet\nspec: {template: {spec: a}}\n", "StatefulSet \"\": spec.template.spec is no mapping"),
            ("kind: List\nitems: [{kind: Pod, metadata: a}]\n", "Pod \"\": metadata is no mapping"),
            ("", "nothing in it makes pods"),
        ] {
            let line = format!("{:#}", asked(text, "default", None).unwrap_err());
            assert!(line.contains(expected) && !line.contains('\n'), "{text:?}: {line}");
        }
    }

    #[test]
    fn json_and_lists_are_read_as_well() {
        let pod = r#"{"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}"#;
        assert_eq!(asked(pod, "ns", Some(2)).unwrap().pods.len(), 2);
        let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{pod}]}}"#);
        assert_eq!(asked(&list, "ns", None).unwrap().pods[0].meta.key.to_string(), "ns/p");
    }
}
