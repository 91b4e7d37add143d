//! `VolumeRestrictions`: disks that only one pod may use on a node, and claims that only one pod may use at all (upstream
//! `plugins/volumerestrictions`; reference 3.11).
//!
//! Different on purpose: pods that are added or removed for a try (nominated ones, victims) count only when they are in
//! the namespace of the pod. Upstream takes a claim of the same name in another namespace for the same.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Str,
    object::{AccessModes, InTreePlugin, ObjectKey, VolumeKind},
};

use super::claims::{claim_not_found, named_claims, names};
use crate::{
    cache::{NodeInfo, StorageObject},
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, Reads, Status, View,
    },
};

/// The reason when a disk is in use.
pub const REASON_DISK: &str = "node(s) had no available disk";
/// The reason when a claim is in use.
pub const REASON_CLAIM: &str =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

/// The plugin.
#[derive(Debug)]
pub struct VolumeRestrictions;

/// What Filter needs to know of the pod's claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The pod's disks.
    disks: Arc<Disks>,
    /// Claims with the access mode ReadWriteOncePod, sorted.
    exclusive: Arc<[Str]>,
    /// How many of them are in use, or how often.
    conflicts: i64,
}

impl State {
    fn count(&self, pod: &PodInfo, other: &PodInfo) -> i64 {
        if self.exclusive.is_empty() || pod.pod.meta.key.namespace != other.pod.meta.key.namespace {
            return 0;
        }
        let uses = named_claims(other).filter(|name| self.exclusive.binary_search(name).is_ok()).count();
        i64::try_from(uses).unwrap_or(i64::MAX)
    }
}

/// Whether two pods of a namespace name the same claim.
fn share_claims(a: &PodInfo, b: &PodInfo) -> bool {
    let of_a: HashSet<&Str> = named_claims(a).collect();
    !of_a.is_empty() && named_claims(b).any(|name| of_a.contains(name))
}

/// What two volumes have in common when they are the same disk: plugin, name, pool and monitor, as far as it has them.
type DiskKey = (&'static str, Str, Str, Str);

/// The disks of a pod, and whether it may write to each: pods name thousands of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Disks(HashMap<DiskKey, bool>);

/// The keys of a volume, and whether it may be written to. An image of Ceph's has one for each monitor.
fn disk_keys(kind: &VolumeKind) -> (impl Iterator<Item = DiskKey> + use<'_>, bool) {
    let (one, rbd, writable) = match kind {
        VolumeKind::InTree { plugin: InTreePlugin::GcePd, id, read_only } => (Some(("gce", id)), None, !read_only),
        // Not shared, not even for reading.
        VolumeKind::InTree { plugin: InTreePlugin::AwsEbs, id, .. } => (Some(("ebs", id)), None, true),
        VolumeKind::Iscsi { iqn, read_only } => (Some(("iscsi", iqn)), None, !read_only),
        VolumeKind::Rbd(rbd) => (None, Some(rbd), !rbd.read_only),
        _ => (None, None, false),
    };
    let alone = one.into_iter().map(|(plugin, id)| (plugin, id.clone(), Str::default(), Str::default()));
    let monitors = rbd.into_iter().flat_map(|rbd| {
        rbd.monitors.iter().map(move |monitor| ("rbd", rbd.image.clone(), rbd.pool.clone(), monitor.clone()))
    });
    (alone.chain(monitors), writable)
}

impl Disks {
    fn of(pod: &PodInfo) -> Self {
        let mut all = HashMap::new();
        for volume in &pod.pod.spec.volumes {
            let (keys, writable) = disk_keys(&volume.kind);
            for key in keys {
                *all.entry(key).or_default() |= writable;
            }
        }
        Self(all)
    }

    /// Whether the pod uses one of these disks, and not all read it only.
    fn conflict(&self, other: &PodInfo) -> bool {
        !self.0.is_empty()
            && other.pod.spec.volumes.iter().any(|volume| {
                let (mut keys, theirs) = disk_keys(&volume.kind);
                keys.any(|key| self.0.get(&key).is_some_and(|mine| *mine || theirs))
            })
    }
}

impl Plugin for VolumeRestrictions {
    type Filter = State;
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Pod, Actions::DELETE),
            Interest::always(EventResource::Node, Actions::ADD),
            Interest::hinted(EventResource::PersistentVolumeClaim, Actions::ADD),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let queue = match change {
            Change::Pod { old: Some(gone), new: None } => {
                gone.pod.meta.key.namespace == pod.pod.meta.key.namespace
                    && (Disks::of(pod).conflict(gone) || share_claims(pod, gone))
            }
            Change::Storage { new: Some(StorageObject::Claim(claim)), .. } => names(pod, claim),
            _ => true,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn reads(&self, pod: &PodInfo) -> Reads {
        if named_claims(pod).next().is_some() { Reads::Cluster } else { Reads::Node }
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<State> {
        let namespace = &pod.pod.meta.key.namespace;
        let mut exclusive: Vec<Str> = Vec::new();
        for name in named_claims(pod) {
            let Some(claim) = view.cache.storage().claim(namespace, name) else {
                return PreFilter::Reject(Status::unresolvable(claim_not_found(name)));
            };
            if claim.access_modes.contains(AccessModes::READ_WRITE_ONCE_POD) {
                exclusive.push(name.clone());
            }
        }
        exclusive.sort_unstable();
        exclusive.dedup();
        // A pod that is looked at as if it were pending does not stand in its own way.
        let mut own: HashMap<&Str, u32> = HashMap::new();
        for name in view.cache.pod(pod.uid()).into_iter().flat_map(|known| named_claims(&known.info)) {
            *own.entry(name).or_default() += 1;
        }
        let used = exclusive.iter().filter(|name| {
            let key = ObjectKey { namespace: namespace.clone(), name: (*name).clone() };
            view.cache.claim_users(&key) > own.get(name).copied().unwrap_or(0)
        });
        let conflicts = i64::try_from(used.count()).unwrap_or(i64::MAX);
        let disks = Disks::of(pod);
        if conflicts == 0 && disks.0.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Continue(State { disks: disks.into(), exclusive: exclusive.into(), conflicts })
    }

    fn add_pod(&self, state: &mut State, pod: &PodInfo, added: &PodInfo, _: &NodeInfo, _: &View<'_>) {
        state.conflicts = state.conflicts.saturating_add(state.count(pod, added));
    }

    fn remove_pod(&self, state: &mut State, pod: &PodInfo, removed: &PodInfo, _: &NodeInfo, _: &View<'_>) {
        state.conflicts = state.conflicts.saturating_sub(state.count(pod, removed));
    }

    fn filter(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> Status {
        if node.pods.iter().any(|other| state.disks.conflict(other)) {
            return Status::unschedulable(REASON_DISK);
        }
        if state.conflicts > 0 { Status::unschedulable(REASON_CLAIM) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod tests;
