//! The suggestions carried out on objects in memory, for `plan --after-rightsize`: as if every workload had been patched
//! and all of its pods had been made anew.

use std::collections::BTreeMap;

use headroom_core::{Timestamp, memory::Params, quantity::human_bytes};
use serde_json::{Map, Value};

use super::{
    report::{Report, Rules, Workload, build, mebibytes},
    suggest::Confidence,
};
use crate::{
    doctor::text::counted,
    trace::json::{kind, name, namespace},
};

/// Gives pods the sizes that `rightsize` would suggest at this time, and says what was done, in sentences for people.
pub(crate) fn applied(objects: &mut [Value], at: Timestamp) -> Vec<String> {
    let params = Params::default();
    let report = build(objects, |_, _, _| true, &Rules { params: &params, lower_from: Confidence::Medium, at });
    let mut workloads: BTreeMap<(&str, &str), &Workload> = BTreeMap::new();
    for workload in patched(&report) {
        workloads.extend(workload.pods.iter().map(|pod| ((&*workload.namespace, &**pod), workload)));
    }
    for pod in objects.iter_mut().filter(|object| kind(object) == "Pod") {
        let workload = workloads.get(&(namespace(pod), name(pod))).copied();
        if let Some(workload) = workload {
            resize(pod, workload);
        }
    }
    said(&report)
}

/// The workloads whose sizes change.
fn patched(report: &Report) -> impl Iterator<Item = &Workload> {
    report.workloads.iter().filter(|workload| workload.patch.is_some())
}

fn resize(pod: &mut Value, workload: &Workload) {
    for container in workload.changed() {
        let list = if container.sidecar { "/spec/initContainers" } else { "/spec/containers" };
        let all = pod.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for spec in all.filter(|spec| spec["name"] == container.name.as_str()) {
            let Some(resources) = inner(spec, "resources") else { continue };
            let sizes = container.suggested;
            for (side, bytes) in [("requests", sizes.request_bytes), ("limits", sizes.limit_bytes)] {
                let Some(bytes) = bytes else { continue };
                if let Some(Value::Object(side)) = inner(resources, side) {
                    side.insert("memory".to_owned(), mebibytes(bytes).into());
                }
            }
        }
    }
    // What the kubelet says of the sizes is of the pod that runs.
    let Some(status) = pod.get_mut("status") else { return };
    without_sizes(status);
    for list in ["initContainerStatuses", "containerStatuses"] {
        let all = status.get_mut(list).and_then(Value::as_array_mut);
        all.into_iter().flatten().for_each(without_sizes);
    }
}

fn without_sizes(status: &mut Value) {
    if let Some(fields) = status.as_object_mut() {
        fields.remove("resources");
        fields.remove("allocatedResources");
    }
}

/// The object in a field, which is made where there is none.
fn inner<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    let inner = value.as_object_mut()?.entry(field).or_insert(Value::Null);
    if inner.is_null() {
        *inner = Value::Object(Map::new());
    }
    inner.is_object().then_some(inner)
}

fn said(report: &Report) -> Vec<String> {
    let mut difference = 0_i64;
    for workload in patched(report) {
        let pods = i64::try_from(workload.pods.len()).unwrap_or(i64::MAX);
        let each: i64 = workload.changed().map(|container| container.difference_bytes).fold(0, i64::saturating_add);
        difference = difference.saturating_add(each.saturating_mul(pods));
    }
    let mut said = Vec::new();
    let (count, more) = (patched(report).count(), if difference < 0 { "less" } else { "more" });
    if count == 0 {
        said.push("rightsize suggests no other sizes than those of today".to_owned());
    } else {
        let (which, bytes) = (counted(count, "workload"), human_bytes(difference.saturating_abs()));
        said.push(format!(
            "the pods of {which} are as if made anew with what rightsize suggests: {bytes} {more} requested"
        ));
    }
    let strange = report.workloads.iter().filter(|w| w.patch.is_none() && w.changed().next().is_some());
    let strange: Vec<String> = strange.map(|w| format!("{} of {}", w.short(), w.namespace)).collect();
    if !strange.is_empty() {
        said.push(format!("not of Kubernetes' own kinds, and left as they are: {}", strange.join(", ")));
    }
    said
}

#[cfg(test)]
mod tests {
    use headroom_runtime::wire::time::parse_rfc3339;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: (&str, &str), container: &Value) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"pod-template-hash": "6f7"},
                "ownerReferences": [{"kind": owner.0, "name": owner.1, "controller": true}]},
               "spec": {"containers": [container]},
               "status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": true,
                          "resources": {"requests": {"memory": "1Gi"}}, "allocatedResources": {"memory": "1Gi"}}]}})
    }

    fn profile(kind: &str, name: &str) -> Value {
        let seen = json!({"name": "c", "image": "i", "peakBytes": 112 << 20, "samples": 99,
            "firstObservedAt": "2026-11-13T09:59:00Z", "observedAt": "2026-11-22T09:59:00Z"});
        json!({"kind": "MemoryProfile", "apiVersion": "headroom.dev/v1alpha1",
               "metadata": {"name": format!("{}-{name}", kind.to_lowercase()), "namespace": "shop"},
               "status": {"workload": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "containers": [seen]}})
    }

    fn applied_to(objects: &mut [Value]) -> Vec<String> {
        applied(objects, parse_rfc3339("2026-11-22T10:00:00Z").unwrap())
    }

    #[test]
    fn pods_have_what_is_suggested_and_nothing_else_changes() {
        let large = json!({"name": "c", "image": "i",
            "resources": {"requests": {"memory": "256Mi", "cpu": "10m"}, "limits": {"memory": "512Mi"}}});
        let bare = json!({"name": "c", "image": "i"});
        let mut objects = vec![
            // No ReplicaSet is there: its name and the label tell.
            pod("web-6f7-a", ("ReplicaSet", "web-6f7"), &large),
            pod("web-6f7-b", ("ReplicaSet", "web-6f7"), &large),
            pod("cache-0", ("StatefulSet", "cache"), &bare),
            pod("other-0", ("StatefulSet", "other"), &large),
            pod("odd-0", ("Rollout", "odd"), &bare),
            profile("Deployment", "web"),
            profile("StatefulSet", "cache"),
            profile("Rollout", "odd"),
        ];
        let before = objects.clone();
        let said = applied_to(&mut objects);
        let resources = |index: usize| &objects[index]["spec"]["containers"][0]["resources"];
        for web in [0, 1] {
            let expected = json!({"requests": {"memory": "132Mi", "cpu": "10m"}, "limits": {"memory": "512Mi"}});
            assert_eq!(*resources(web), expected);
            assert_eq!(objects[web]["status"]["containerStatuses"], json!([{"name": "c", "ready": true}]));
        }
        assert_eq!(*resources(2), json!({"requests": {"memory": "132Mi"}}));
        assert_eq!(objects[3..], before[3..]);
        assert_eq!(
            said,
            [
                "the pods of 2 workloads are as if made anew with what rightsize suggests: 116Mi less requested",
                "not of Kubernetes' own kinds, and left as they are: rollout/odd of shop",
            ]
        );
        let said = applied_to(&mut objects);
        assert_eq!(said[0], "rightsize suggests no other sizes than those of today");
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let odd = json!({"name": "c", "image": "i", "resources": "lots"});
        let mut objects = vec![pod("cache-0", ("StatefulSet", "cache"), &odd), profile("StatefulSet", "cache")];
        applied_to(&mut objects);
        assert_eq!(objects[0]["spec"]["containers"][0], odd);
    }
}
