//! `VolumeRestrictions`: disks that only one pod may use on a node, and claims that only one pod may use at all (upstream
//! `plugins/volumerestrictions`; reference 3.11).
//!
//! Different on purpose: pods that are added or removed for a try (nominated ones, victims) count only when they are in
//! the namespace of the pod. Upstream takes a claim of the same name in another namespace for the same.

use std::sync::Arc;

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
    /// Claims with the access mode ReadWriteOncePod.
    exclusive: Arc<[Str]>,
    /// How many of them are in use, or how often.
    conflicts: i64,
}

impl State {
    fn count(&self, pod: &PodInfo, other: &PodInfo) -> i64 {
        if self.exclusive.is_empty() || pod.pod.meta.key.namespace != other.pod.meta.key.namespace {
            return 0;
        }
        let uses = named_claims(other).filter(|name| self.exclusive.contains(name)).count();
        i64::try_from(uses).unwrap_or(i64::MAX)
    }
}

/// Whether a volume is of a kind that two pods may fight for.
const fn is_disk(kind: &VolumeKind) -> bool {
    matches!(
        kind,
        VolumeKind::InTree { plugin: InTreePlugin::GcePd | InTreePlugin::AwsEbs, .. }
            | VolumeKind::Iscsi { .. }
            | VolumeKind::Rbd(_)
    )
}

/// Whether two volumes are the same disk, and not both read it only.
fn conflict(a: &VolumeKind, b: &VolumeKind) -> bool {
    use VolumeKind::{InTree, Iscsi, Rbd};
    match (a, b) {
        (
            InTree { plugin: InTreePlugin::GcePd, id: x, read_only: rx },
            InTree { plugin: InTreePlugin::GcePd, id: y, read_only: ry },
        )
        | (Iscsi { iqn: x, read_only: rx }, Iscsi { iqn: y, read_only: ry }) => x == y && !(*rx && *ry),
        (InTree { plugin: InTreePlugin::AwsEbs, id: x, .. }, InTree { plugin: InTreePlugin::AwsEbs, id: y, .. }) => {
            x == y
        }
        (Rbd(x), Rbd(y)) => {
            x.pool == y.pool
                && x.image == y.image
                && !(x.read_only && y.read_only)
                && x.monitors.iter().any(|m| y.monitors.contains(m))
        }
        _ => false,
    }
}

fn disks_conflict(pod: &PodInfo, other: &PodInfo) -> bool {
    let disks = pod.pod.spec.volumes.iter().filter(|v| is_disk(&v.kind));
    disks.into_iter().any(|mine| other.pod.spec.volumes.iter().any(|theirs| conflict(&mine.kind, &theirs.kind)))
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
                    && (disks_conflict(pod, gone)
                        || named_claims(gone).any(|theirs| named_claims(pod).any(|mine| mine == theirs)))
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
            if claim.access_modes.contains(AccessModes::READ_WRITE_ONCE_POD) && !exclusive.contains(name) {
                exclusive.push(name.clone());
            }
        }
        // A pod that is looked at as if it were pending does not stand in its own way.
        let own = view.cache.pod(pod.uid()).map(|known| &known.info);
        let used = exclusive.iter().filter(|name| {
            let key = ObjectKey { namespace: namespace.clone(), name: (*name).clone() };
            let mine = own.map_or(0, |own| named_claims(own).filter(|n| n == name).count());
            usize::try_from(view.cache.claim_users(&key)).unwrap_or(usize::MAX) > mine
        });
        let conflicts = i64::try_from(used.count()).unwrap_or(i64::MAX);
        if conflicts == 0 && !pod.pod.spec.volumes.iter().any(|v| is_disk(&v.kind)) {
            return PreFilter::Skip;
        }
        PreFilter::Continue(State { exclusive: exclusive.into(), conflicts })
    }

    fn add_pod(&self, state: &mut State, pod: &PodInfo, added: &PodInfo, _: &NodeInfo, _: &View<'_>) {
        state.conflicts = state.conflicts.saturating_add(state.count(pod, added));
    }

    fn remove_pod(&self, state: &mut State, pod: &PodInfo, removed: &PodInfo, _: &NodeInfo, _: &View<'_>) {
        state.conflicts = state.conflicts.saturating_sub(state.count(pod, removed));
    }

    fn filter(&self, state: &State, pod: &PodInfo, node: &NodeInfo) -> Status {
        if pod.pod.spec.volumes.iter().any(|v| is_disk(&v.kind))
            && node.pods.iter().any(|other| disks_conflict(pod, other))
        {
            return Status::unschedulable(REASON_DISK);
        }
        if state.conflicts > 0 { Status::unschedulable(REASON_CLAIM) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod tests;
