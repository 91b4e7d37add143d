//! Which changes are worth another attempt for a pod that this plugin rejected (`isSchedulableAfter…Change`).

use headroom_core::object::{CsiDriver, MIGRATED_PLUGINS, VolumeKind};

use super::super::claims::needs;
use crate::{
    cache::StorageObject,
    framework::{Change, Hint, PodInfo},
};

pub(super) fn hint(change: &Change, pod: &PodInfo) -> Hint {
    use StorageObject::{Capacity, Claim, Class, CsiDriver, CsiNode};
    let Change::Storage { old, new: Some(new) } = change else { return Hint::Queue };
    let queue = match (old, new) {
        (_, Claim(claim)) => needs(pod, claim),
        (Some(Class(old)), Class(new)) => old.allowed_topologies != new.allowed_topologies,
        (Some(CsiNode(old)), CsiNode(new)) => {
            old.meta.annotations.get(MIGRATED_PLUGINS) != new.meta.annotations.get(MIGRATED_PLUGINS)
        }
        (Some(CsiDriver(old)), CsiDriver(new)) => needs_no_room_any_more(pod, old, new),
        (Some(Capacity(old)), Capacity(new)) => {
            new.limit().is_some_and(|limit| old.limit().is_none_or(|before| limit > before))
        }
        // New ones of any kind.
        _ => true,
    };
    if queue { Hint::Queue } else { Hint::Skip }
}

/// Upstream looks at the pod's inline volumes of the driver here, not at its claims.
fn needs_no_room_any_more(pod: &PodInfo, old: &CsiDriver, new: &CsiDriver) -> bool {
    let uses = pod.pod.spec.volumes.iter().any(|v| matches!(&v.kind, VolumeKind::Csi(d) if *d == new.meta.key.name));
    uses && old.storage_capacity && !new.storage_capacity
}
