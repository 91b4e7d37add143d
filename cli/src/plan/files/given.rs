//! Objects that are given more than once, and what files leave to the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use headroom_core::object::Pod;
use headroom_planner::{
    Cluster,
    cluster::{WorkloadName, made_by},
};
use serde_json::Value;

use super::{named_workload, namespace_of, text};
use crate::{doctor::text::counted, plan::known::Known};

/// Most objects that are named in one remark.
const MAX_NAMED: usize = 5;
/// Kinds that have one pod where nothing says how many.
const SCALED: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"];

/// What an object is: the group of its API, its kind, its namespace, its name. None where it has no name yet.
type Identity = (String, String, String, String);

fn identity(object: &Value, namespace: &str) -> Option<Identity> {
    let name = text(object, "/metadata/name");
    let group = text(object, "/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let kind = text(object, "/kind");
    let all = [group, kind, namespace_of(object, namespace), name].map(str::to_owned);
    (!name.is_empty()).then(|| all.into())
}

/// Gives objects that leave their names to the API server one that nothing else has: created twice, they are two.
pub(super) fn name_generated(objects: &mut [Value], namespace: &str, cluster: &Cluster) {
    let stem = |object: &Value| match text(object, "/metadata/name") {
        "" => text(object, "/metadata/generateName").to_owned(),
        _ => String::new(),
    };
    if objects.iter().all(|object| stem(object).is_empty()) {
        return;
    }
    let mut taken: BTreeSet<Identity> = objects.iter().filter_map(|object| identity(object, namespace)).collect();
    // What is made anew replaces nothing that is there.
    for pod in &cluster.pods {
        let key = &pod.meta.key;
        taken.insert((String::new(), "Pod".to_owned(), key.namespace.to_string(), key.name.to_string()));
        let job = made_by(pod).filter(|name| name.kind == "Job");
        taken.extend(job.map(|job| ("batch".to_owned(), job.kind, job.namespace, job.name)));
    }
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    for object in objects {
        let stem = stem(object);
        if stem.is_empty() {
            continue;
        }
        let number = numbers.entry(stem.clone()).or_default();
        loop {
            object["metadata"]["name"] = format!("{stem}{number}").into();
            *number += 1;
            if identity(object, namespace).is_none_or(|name| taken.insert(name)) {
                break;
            }
        }
    }
}

/// Leaves of each object that is given more than once the last one, as if they had been applied one over the other, and
/// says so.
pub(super) fn last_of_each(objects: Vec<Value>, namespace: &str) -> (Vec<Value>, Option<String>) {
    let (mut seen, mut again) = (BTreeSet::new(), BTreeSet::new());
    let mut kept = Vec::with_capacity(objects.len());
    for object in objects.into_iter().rev() {
        match identity(&object, namespace) {
            Some(known) if seen.contains(&known) => {
                again.insert(known);
            }
            other => {
                seen.extend(other);
                kept.push(object);
            }
        }
    }
    kept.reverse();
    (kept, remark(&again))
}

/// What to say of objects that are given more than once.
fn remark(again: &BTreeSet<Identity>) -> Option<String> {
    let named = named(again.iter().map(|(_, kind, _, name)| (kind.as_str(), name.as_str())));
    match again.len() {
        0 => None,
        1 => Some(format!("{named} is given more than once: the last one counts")),
        all => Some(format!("{all} objects are given more than once, of each the last one counts: {named}")),
    }
}

/// The first of several objects, by kind and name, and how many there are besides.
pub(super) fn named<'a>(all: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> String {
    let more = all.len().saturating_sub(MAX_NAMED);
    let named = all.take(MAX_NAMED).map(|(kind, name)| format!("{kind} {name:?}")).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// Gives workloads that name no number of pods the one that they have in the cluster: what is applied without one leaves it to
/// who set it, an autoscaler mostly. Where the cluster does not tell it, the pods that are there are counted. Says so, and of
/// which workloads the number was applied before and is one again.
pub(super) fn keep_numbers(objects: &mut [Value], namespace: &str, cluster: &Cluster, known: &Known) -> Vec<String> {
    let mut there: BTreeMap<WorkloadName, u64> = BTreeMap::new();
    for name in cluster.pods.iter().filter_map(|pod| made_by(pod)) {
        *there.entry(name).or_default() += 1;
    }
    let (mut kept, mut reset) = (0, Vec::new());
    for object in objects {
        let said = object.pointer("/spec/replicas").is_some_and(|number| !number.is_null());
        if said || !SCALED.contains(&text(object, "/kind")) {
            continue;
        }
        let name = named_workload(object, namespace);
        let number = known.replicas(&name).or_else(|| there.get(&name).copied());
        // One is planned in any case.
        if number == Some(1) && known.was_reset(&name) {
            reset.push(name);
            continue;
        }
        let spec = object.get_mut("spec").and_then(Value::as_object_mut);
        if let (Some(number), Some(spec)) = (number.filter(|number| *number != 1), spec) {
            spec.insert("replicas".to_owned(), number.into());
            kept += 1;
        }
    }
    let mut notes = Vec::new();
    if kept > 0 {
        let workloads = counted(kept, "workload");
        notes.push(format!("{workloads} without replicas in the file: as many pods are planned as in the cluster"));
    }
    if !reset.is_empty() {
        let all = named(reset.iter().map(|name| (name.kind.as_str(), name.name.as_str())));
        notes.push(format!("{all}: without replicas, which was applied before: the API server makes it 1"));
    }
    notes
}

/// What to say of DaemonSets that name a node which is not there: they have no pods.
pub(super) fn nowhere(daemons: &[Arc<Pod>], cluster: &Cluster) -> Option<String> {
    let missing = |pod: &&Arc<Pod>| {
        let named = pod.node_name.as_deref().filter(|node| !node.is_empty());
        named.is_some_and(|node| !cluster.nodes.contains_key(node))
    };
    let lost: BTreeSet<&str> =
        daemons.iter().filter(missing).filter_map(|pod| pod.meta.controller()).map(|owner| &*owner.name).collect();
    let all = named(lost.iter().map(|name| ("DaemonSet", *name)));
    (!lost.is_empty()).then(|| format!("{all}: the node that the template names is not there, no pods are planned"))
}
