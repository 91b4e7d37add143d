//! `metadata`.

use headroom_core::object::{DEFAULT_CLASS, Ending, MIGRATED_PLUGINS, Meta, ObjectKey, OwnerRef};
use serde::Deserialize;

use super::{
    de::{Flag, Int, List, Moment, Obj, Pairs, Text},
    interners::Interners,
};

/// `ObjectMeta`, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WireMeta {
    pub(super) name: Text,
    pub(super) namespace: Text,
    pub(super) uid: Text,
    pub(super) resource_version: Text,
    generation: Int,
    labels: Pairs,
    annotations: Pairs,
    creation_timestamp: Moment,
    deletion_timestamp: Moment,
    deletion_grace_period_seconds: Int,
    owner_references: List<Obj<WireOwner>>,
    finalizers: List<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireOwner {
    api_version: Text,
    kind: Text,
    name: Text,
    uid: Text,
    controller: Flag,
    block_owner_deletion: Flag,
}

/// Whether something reads this annotation. Endpoints and EndpointSlices keep all, since they are copied between them.
fn kept(key: &str) -> bool {
    ["headroom.dev/", "kubernetes.io/config.", "endpoints.kubernetes.io/", "service.kubernetes.io/"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
        // Of volumes and claims, and of CSINodes.
        || ["pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        || matches!(key, "controller.kubernetes.io/pod-deletion-cost" | MIGRATED_PLUGINS)
        || DEFAULT_CLASS.contains(&key)
}

impl WireMeta {
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.0.clone(), name: self.name.0.clone() }
    }

    pub(super) fn into_meta(self, interners: &mut Interners, all_annotations: bool) -> Meta {
        let owners = self
            .owner_references
            .0
            .into_iter()
            .map(|Obj(o)| OwnerRef {
                api_version: interners.str(&o.api_version),
                kind: interners.str(&o.kind),
                name: interners.str(&o.name),
                uid: interners.str(&o.uid),
                controller: o.controller.set(),
                block_owner_deletion: o.block_owner_deletion.set(),
            })
            .collect();
        let ending = Ending {
            deleted: self.deletion_timestamp.0,
            grace_seconds: self.deletion_grace_period_seconds.0,
            has_finalizers: !self.finalizers.0.is_empty(),
        };
        Meta {
            // Names and UIDs of objects are theirs alone; interning them would only grow the interner.
            key: ObjectKey { namespace: interners.str(&self.namespace), name: self.name.0 },
            uid: self.uid.0,
            resource_version: self.resource_version.parse().unwrap_or(0),
            generation: self.generation.0.unwrap_or(0),
            labels: interners.labels(self.labels, |_| true),
            annotations: interners.labels(self.annotations, |key| all_annotations || kept(key)),
            created: self.creation_timestamp.0.unwrap_or_default(),
            owners: interners.owners(owners),
            ending: ending.boxed(),
        }
    }
}
