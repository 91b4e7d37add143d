//! The objects as they are written.

use headroom_api::{ContainerProfile, GROUP, MemoryProfileStatus, VERSION, Workload};
use headroom_core::object::{ObjectKey, OwnerRef, ProfileEntry};
use serde_json::{Value, json};

fn header() -> Value {
    json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "MemoryProfile"})
}

/// The object as it is created: the status follows, since it is a subresource. The garbage collector takes the object
/// away with its workload.
#[must_use]
pub(super) fn new_object(key: &ObjectKey, owner: &OwnerRef) -> Value {
    let mut object = header();
    object["metadata"] = json!({
        "name": &*key.name,
        "namespace": &*key.namespace,
        "ownerReferences": [{
            "apiVersion": &*owner.api_version, "kind": &*owner.kind, "name": &*owner.name, "uid": &*owner.uid,
            "controller": false, "blockOwnerDeletion": false,
        }],
    });
    object
}

/// The whole status, for an update of the subresource: what is no longer there must vanish.
#[must_use]
pub(super) fn full_body(
    key: &ObjectKey,
    uid: &str,
    resource_version: u64,
    owner: &OwnerRef,
    entries: &[ProfileEntry],
) -> Value {
    let status = MemoryProfileStatus {
        workload: Workload {
            api_version: owner.api_version.to_string(),
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
        },
        containers: entries
            .iter()
            .map(|entry| ContainerProfile {
                name: entry.name.to_string(),
                image: entry.image.to_string(),
                peak_bytes: entry.history.peak,
                samples: i64::from(entry.history.samples),
                first_observed_at: entry.history.first_observed.to_string(),
                observed_at: entry.history.observed.to_string(),
            })
            .collect(),
    };
    let mut object = header();
    object["metadata"] = json!({
        "name": &*key.name, "namespace": &*key.namespace, "uid": uid, "resourceVersion": resource_version.to_string(),
    });
    object["status"] = serde_json::to_value(status).unwrap_or_default();
    object
}
