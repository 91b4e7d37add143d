//! Claims of a file: the class that they get when they are created, the volumes that are made for them at once, and those
//! that the cluster has already.

use std::{collections::BTreeSet, sync::Arc};

use headroom_core::{
    Str,
    object::{
        BIND_COMPLETED, BindingMode, ClaimRef, DEFAULT_CLASS, Meta, NO_PROVISIONER, ObjectKey, OwnerRef,
        PersistentVolume, PersistentVolumeClaim, Pod, PvSource, StorageClass, VolumeKind,
    },
    selector::{NodeSelector, NodeSelectorTerm},
};
use headroom_engine::{Input, cache::StorageObject};
use headroom_planner::Cluster;
use serde_json::Value;

use crate::{
    doctor::text::counted,
    trace::json::{kind, name},
};

/// The annotation of claims that names a class; it counts before the field.
const BETA_CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

/// Gives the default class to claims that name none, not even the empty one (admission plugin DefaultStorageClass).
pub(super) fn set_class(objects: &mut [Value], cluster: &Cluster) {
    let Some(class) = default_class(objects, cluster) else { return };
    let set = |object: &Value, field: &str| object.pointer(field).is_some_and(|value| !value.is_null());
    for claim in objects.iter_mut().filter(|object| kind(object) == "PersistentVolumeClaim") {
        if set(claim, "/spec/storageClassName") || set(claim, BETA_CLASS) {
            continue;
        }
        if let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("storageClassName".to_owned(), class.as_str().into());
        }
    }
}

/// The class of claims that name none: of several the newest, then the first by name (`GetDefaultClass`). One of the
/// file counts where the cluster has none.
fn default_class(objects: &[Value], cluster: &Cluster) -> Option<String> {
    let classes = cluster.others.iter().filter_map(class_of).filter(|class| class.is_default());
    let newest = classes.map(|class| &class.meta).min_by(|a, b| newest_first(a, b));
    let planned = || {
        let marked = |class: &&Value| {
            let annotation = |key: &str| class.pointer("/metadata/annotations").and_then(|all| all.get(key));
            DEFAULT_CLASS.iter().any(|key| annotation(key).and_then(Value::as_str) == Some("true"))
        };
        objects.iter().filter(|object| kind(object) == "StorageClass").filter(marked).map(name).min()
    };
    newest.map(|meta| meta.key.name.to_string()).or_else(|| planned().map(str::to_owned))
}

fn newest_first(a: &Meta, b: &Meta) -> std::cmp::Ordering {
    b.created.cmp(&a.created).then_with(|| a.key.name.cmp(&b.key.name))
}

const fn class_of(input: &Input) -> Option<&Arc<StorageClass>> {
    match input {
        Input::StorageApplied(StorageObject::Class(class)) => Some(class),
        _ => None,
    }
}

/// The key of a claim or of a volume; no claim has that of a volume, which has no namespace.
fn key(input: &Input) -> Option<&ObjectKey> {
    match input {
        Input::StorageApplied(StorageObject::Claim(claim)) => Some(&claim.meta.key),
        Input::StorageApplied(StorageObject::Volume(volume)) => Some(&volume.meta.key),
        _ => None,
    }
}

/// Takes out claims and volumes that the cluster has: a file says nothing of what they are bound to. Those of ephemeral
/// volumes go with their pod, and the pod of the file gets new ones.
pub(super) fn without_those_there(others: &mut Vec<Input>, cluster: &Cluster) {
    let there: BTreeSet<&ObjectKey> = cluster.others.iter().filter_map(key).collect();
    others.retain(|input| is_ephemeral(input) || key(input).is_none_or(|key| !there.contains(key)));
}

/// Whether it is the claim of a pod's ephemeral volume.
fn is_ephemeral(input: &Input) -> bool {
    let Input::StorageApplied(StorageObject::Claim(claim)) = input else { return false };
    claim.meta.controller().is_some_and(|owner| owner.kind == "Pod")
}

/// The claims of the ephemeral volumes of a pod's copy, with the volumes that were made for them at once: as those of the
/// pod itself.
pub(super) fn of_copy(others: &[Input], pod: &Pod, copy: &Pod) -> Vec<Input> {
    let mut made = Vec::new();
    for volume in pod.spec.volumes.iter().filter(|volume| matches!(volume.kind, VolumeKind::Ephemeral)) {
        let of = |pod: &Pod| {
            let key = &pod.meta.key;
            ObjectKey { namespace: key.namespace.clone(), name: format!("{}-{}", key.name, volume.name).into() }
        };
        let (its, own) = (of(pod), of(copy));
        let claim = others.iter().find_map(|input| match input {
            Input::StorageApplied(StorageObject::Claim(claim)) if claim.meta.key == its => Some(claim),
            _ => None,
        });
        let Some(claim) = claim else { continue };
        let mut claim = (**claim).clone();
        claim.meta.uid = format!("plan/{own}").into();
        claim.meta.key = own;
        let owned = |owner: &OwnerRef| OwnerRef {
            name: copy.meta.key.name.clone(),
            uid: copy.meta.uid.clone(),
            ..owner.clone()
        };
        claim.meta.owners = claim.meta.owners.iter().map(owned).collect();
        let bound = others.iter().find_map(|input| match input {
            Input::StorageApplied(StorageObject::Volume(volume)) if *volume.name() == claim.volume_name => Some(volume),
            _ => None,
        });
        if let Some(bound) = bound {
            let mut bound = (**bound).clone();
            name_after(&mut bound, &claim);
            claim.volume_name = bound.meta.key.name.clone();
            made.push(Input::StorageApplied(StorageObject::Volume(Arc::new(bound))));
        }
        made.push(Input::StorageApplied(StorageObject::Claim(Arc::new(claim))));
    }
    made
}

/// Makes a volume the one of this claim.
fn name_after(volume: &mut PersistentVolume, claim: &PersistentVolumeClaim) {
    let key = &claim.meta.key;
    let name: Str = format!("plan-{}-{}", key.namespace, key.name).into();
    volume.meta.key = ObjectKey { namespace: Str::default(), name: name.clone() };
    volume.meta.uid = name.clone();
    if let PvSource::Csi { handle, .. } = &mut volume.source {
        *handle = name;
    }
    volume.claim_ref =
        Some(ClaimRef { namespace: key.namespace.clone(), name: key.name.clone(), uid: claim.meta.uid.clone() });
}

/// Gives volumes to new claims of classes that bind at once, as their provisioners would before any pod is placed: where
/// such a volume will be nobody knows, so it reaches all nodes for which the class makes any. Says so.
pub(super) fn bind_at_once(others: &mut Vec<Input>, cluster: &Cluster) -> Option<String> {
    let at_once = |class: &&Arc<StorageClass>| {
        let made = !class.provisioner.is_empty() && class.provisioner != *NO_PROVISIONER;
        class.binding_mode == Some(BindingMode::Immediate) && made
    };
    let classes: Vec<Arc<StorageClass>> =
        others.iter().chain(&cluster.others).filter_map(class_of).filter(at_once).cloned().collect();
    let mut made = Vec::new();
    for input in &mut *others {
        let Input::StorageApplied(StorageObject::Claim(claim)) = input else { continue };
        let class = classes.iter().find(|class| class.meta.key.name == claim.class);
        // A claim with a selector gets no volume made for it.
        let Some(class) = class.filter(|_| claim.volume_name.is_empty() && claim.selector.is_none()) else { continue };
        let volume = volume(claim, class);
        let mut bound = (**claim).clone();
        bound.volume_name = volume.meta.key.name.clone();
        bound.meta.annotations = bound.meta.annotations.with(BIND_COMPLETED, "yes");
        *claim = Arc::new(bound);
        made.push(Input::StorageApplied(StorageObject::Volume(Arc::new(volume))));
    }
    if made.is_empty() {
        return None;
    }
    let claims = counted(made.len(), "claim");
    others.extend(made);
    Some(format!(
        "volumes of {claims} are made before pods are placed, and taken to reach all nodes that their class allows"
    ))
}

/// The volume that is made for a claim.
fn volume(claim: &PersistentVolumeClaim, class: &StorageClass) -> PersistentVolume {
    let terms: Box<[NodeSelectorTerm]> = (class.allowed_topologies.iter())
        .map(|all| NodeSelectorTerm { match_expressions: all.clone(), ..NodeSelectorTerm::default() })
        .collect();
    let mut volume = PersistentVolume {
        class: claim.class.clone(),
        capacity: claim.request.unwrap_or(0),
        access_modes: claim.access_modes,
        block: claim.block,
        attributes_class: claim.attributes_class.clone(),
        node_affinity: (!terms.is_empty()).then_some(NodeSelector { terms }),
        source: PvSource::Csi { driver: class.provisioner.clone(), handle: Str::default() },
        ..PersistentVolume::default()
    };
    name_after(&mut volume, claim);
    volume
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;

    fn cluster(objects: &[Value]) -> Cluster {
        let inputs = Snapshot::from_objects(objects.iter().cloned()).inputs();
        Cluster::new(inputs, &headroom_planner::Scheduler::standard(), headroom_core::Now::default())
    }

    fn class(name: &str, created: &str, default: &str) -> Value {
        json!({"kind": "StorageClass", "metadata": {"name": name, "creationTimestamp": created,
               "annotations": {"storageclass.kubernetes.io/is-default-class": default}}})
    }

    #[test]
    fn the_newest_default_class_is_set_where_none_is_named() {
        let (old, new) = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z");
        let planned = json!({"kind": "StorageClass", "metadata": {"name": "planned",
                             "annotations": {"storageclass.beta.kubernetes.io/is-default-class": "true"}}});
        for (there, file, expected) in [
            (vec![], vec![], None),
            (vec![class("a", old, "false")], vec![], None),
            (vec![class("a", old, "true"), class("c", new, "true"), class("b", new, "true")], vec![], Some("b")),
            (vec![class("a", old, "true")], vec![planned.clone()], Some("a")),
            (vec![], vec![planned], Some("planned")),
        ] {
            assert_eq!(default_class(&file, &cluster(&there)).as_deref(), expected, "{there:?}");
        }
        let claim = |spec: Value| json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec});
        let mut annotated = claim(json!({}));
        annotated["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "mine"});
        let mut objects = vec![
            claim(json!({})),
            claim(json!({"storageClassName": null})),
            claim(json!({"storageClassName": ""})),
            claim(json!({"storageClassName": "mine"})),
            annotated,
            claim(Value::Null),
            json!({"kind": "Pod", "spec": {}}),
        ];
        set_class(&mut objects, &cluster(&[class("a", old, "true")]));
        let classes: Vec<&Value> = objects.iter().map(|object| &object["spec"]["storageClassName"]).collect();
        let none = Value::Null;
        assert_eq!(classes, [&json!("a"), &json!("a"), &json!(""), &json!("mine"), &none, &none, &none]);
    }
}
