//! `VolumeZone`: bound volumes that tell their zone or region by labels (upstream `plugins/volumezone`; reference 3.14).

use std::sync::Arc;

use headroom_core::{
    Str,
    object::{BindingMode, PersistentVolume},
};

use super::claims::{claim_not_found, named_claims, names};
use crate::{
    cache::{NodeInfo, StorageObject},
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, Reads, Status, View,
    },
};

/// The reason.
pub const REASON: &str = "node(s) had no available volume zone";

/// Labels that tell a place, in upstream's order, with the one that a node may have instead.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];
/// Between the zones of a volume that is in several.
const DELIMITER: &str = "__";

/// The plugin.
#[derive(Debug)]
pub struct VolumeZone;

/// A place where a volume is: label, the label that a node may have instead, and their possible values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    label: (&'static str, &'static str),
    values: Box<[Str]>,
}

/// Where a volume is. A label with an empty value among its values says nothing.
fn places(volume: &PersistentVolume) -> impl Iterator<Item = Place> {
    LABELS.iter().filter_map(|label| {
        let mut values: Vec<Str> = Vec::new();
        for value in volume.meta.labels.get(label.0)?.split(DELIMITER).map(str::trim) {
            if value.is_empty() {
                return None;
            }
            if !values.iter().any(|v| v == value) {
                values.push(value.into());
            }
        }
        values.sort();
        Some(Place { label: *label, values: values.into() })
    })
}

impl VolumeZone {
    fn pod_places(pod: &PodInfo, view: &View<'_>) -> Result<Vec<Place>, Status> {
        let storage = view.cache.storage();
        let reject = |message: String| Err(Status::unresolvable(message));
        let mut all = Vec::new();
        for name in named_claims(pod) {
            if name.is_empty() {
                return reject("PersistentVolumeClaim had no name".into());
            }
            let Some(claim) = storage.claim(&pod.pod.meta.key.namespace, name) else {
                return reject(claim_not_found(name));
            };
            if claim.volume_name.is_empty() {
                if claim.class.is_empty() {
                    return reject("PersistentVolumeClaim had no pv name and storageClass name".into());
                }
                let class = &*claim.class;
                match storage.class(class).map(|c| c.binding_mode) {
                    None => return reject(format!("storageclass.storage.k8s.io {class:?} not found")),
                    Some(None) => return reject(format!("VolumeBindingMode not set for StorageClass {class:?}")),
                    Some(Some(BindingMode::WaitForFirstConsumer)) => continue,
                    Some(Some(BindingMode::Immediate)) => return reject("PersistentVolume had no name".into()),
                }
            }
            let stored = headroom_core::object::ObjectKey::new("", claim.volume_name.clone());
            let Some(volume) = storage.volumes.stored(&stored) else {
                return reject(format!("persistentvolume {:?} not found", &*claim.volume_name));
            };
            all.extend(places(volume));
        }
        Ok(all)
    }
}

impl Plugin for VolumeZone {
    type Filter = Arc<[Place]>;
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        let changes = Actions::ADD.or(Actions::UPDATE);
        vec![
            Interest::hinted(EventResource::StorageClass, Actions::ADD),
            Interest::always(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_LABEL)),
            Interest::hinted(EventResource::PersistentVolumeClaim, changes),
            Interest::hinted(EventResource::PersistentVolume, changes),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let Change::Storage { old, new: Some(new) } = change else { return Hint::Queue };
        let queue = match (old, new) {
            (_, StorageObject::Claim(claim)) => names(pod, claim),
            (_, StorageObject::Class(class)) => class.binding_mode == Some(BindingMode::WaitForFirstConsumer),
            (Some(StorageObject::Volume(old)), StorageObject::Volume(new)) => !places(old).eq(places(new)),
            _ => true,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn reads(&self, pod: &PodInfo) -> Reads {
        if named_claims(pod).next().is_some() { Reads::Cluster } else { Reads::Node }
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<Arc<[Place]>> {
        match Self::pod_places(pod, view) {
            Ok(places) if places.is_empty() => PreFilter::Skip,
            Ok(places) => PreFilter::Continue(places.into()),
            Err(status) => PreFilter::Reject(status),
        }
    }

    fn filter(&self, places: &Arc<[Place]>, _: &PodInfo, node: &NodeInfo) -> Status {
        let labels = &node.node.meta.labels;
        // Clusters of one zone have nodes that tell none.
        if !LABELS.iter().any(|(label, _)| labels.has(label)) {
            return Status::SUCCESS;
        }
        let here = places.iter().all(|place| {
            let value = labels.get(place.label.0).or_else(|| labels.get(place.label.1));
            value.is_some_and(|v| place.values.contains(v))
        });
        if here { Status::SUCCESS } else { Status::unresolvable(REASON) }
    }
}

#[cfg(test)]
mod tests;
