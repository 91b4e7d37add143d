//! Which volumes a pod would use on a node (`binder.go`; `component-helpers/storage/volume/pv_helpers.go`). Pure.

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    Str,
    object::{
        BindingMode, CsiStorageCapacity, InTreePlugin, NO_PROVISIONER, Node, ObjectKey, PersistentVolume,
        PersistentVolumeClaim, StorageClass,
    },
    selector::{Labels, NodeSelector},
};

use super::super::claims::{claims, foreign};
use crate::{cache::Storage, framework::PodInfo};

/// A bound claim's volume does not reach the node.
pub const REASON_NODE: &str = "node(s) didn't match PersistentVolume's node affinity";
/// An unbound claim finds neither a volume nor a provisioner.
pub const REASON_BIND: &str = "node(s) didn't find available persistent volumes to bind";
/// The provisioner has no room for it.
pub const REASON_SPACE: &str = "node(s) did not have enough free storage";
/// A bound claim's volume does not exist.
pub const REASON_PV: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// A bound claim's volume.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    /// Absent when it does not exist.
    volume: Option<Arc<PersistentVolume>>,
    /// The plugin of an in-tree volume, and its node affinity where the CSI driver serves it.
    migrated: Option<(InTreePlugin, Option<NodeSelector>)>,
}

/// The claims of a pod.
#[derive(Debug, Clone, Default)]
pub(super) struct PodClaims {
    bound: Vec<Bound>,
    /// Unbound, waiting for their first consumer.
    delayed: Vec<Arc<PersistentVolumeClaim>>,
    /// Unbound, and nothing that the scheduler does would bind them.
    pub(super) immediate: usize,
    /// Volumes that the delayed claims may be bound to, by class and name.
    candidates: BTreeMap<Str, Vec<Arc<PersistentVolume>>>,
}

/// What a pod would use on a node, besides the volumes to which its claims are bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PodVolumes {
    /// Volumes that exist, with the claim that each would be bound to.
    pub(super) matches: Vec<(Arc<PersistentVolume>, Arc<PersistentVolumeClaim>)>,
    /// Claims whose volumes are to be made, with the room that was found when it was looked for.
    pub(super) provisions: Vec<(Arc<PersistentVolumeClaim>, Option<Arc<CsiStorageCapacity>>)>,
}

/// Whether all claims of the pod are bound for good (`arePodVolumesBound`).
pub(super) fn all_bound(storage: &Storage, pod: &PodInfo) -> bool {
    claims(pod).all(|needed| {
        let key = ObjectKey { namespace: pod.pod.meta.key.namespace.clone(), name: needed.name.clone() };
        storage
            .claims
            .get(&key)
            .is_some_and(|claim| claim.is_fully_bound() && !(needed.ephemeral && foreign(pod, claim).is_some()))
    })
}

/// The claims of a pod, sorted out (`GetPodVolumeClaims`).
///
/// # Errors
/// The text of a failure.
pub(super) fn pod_claims(storage: &Storage, pod: &PodInfo) -> Result<PodClaims, String> {
    let mut all = PodClaims::default();
    for needed in claims(pod) {
        let key = ObjectKey { namespace: pod.pod.meta.key.namespace.clone(), name: needed.name.clone() };
        let Some(claim) = storage.claims.get(&key) else {
            let text = key.to_string();
            return Err(format!("error getting PVC {text:?}: persistentvolumeclaims {text:?} not found"));
        };
        if needed.ephemeral
            && let Some(message) = foreign(pod, claim)
        {
            return Err(message);
        }
        if claim.is_fully_bound() {
            let volume = storage.volume(&claim.volume_name).cloned();
            let plugin = volume.as_ref().and_then(|v| Some((v, v.in_tree_plugin()?)));
            all.bound.push(Bound { migrated: plugin.map(|(v, plugin)| (plugin, v.migrated_affinity())), volume });
        } else if is_delayed(storage, claim)? && claim.volume_name.is_empty() {
            all.delayed.push(claim.clone());
        } else {
            all.immediate += 1;
        }
    }
    for claim in &all.delayed {
        if !all.candidates.contains_key(&claim.class) {
            all.candidates.insert(claim.class.clone(), storage.volumes_of(&claim.class).cloned().collect());
        }
    }
    Ok(all)
}

/// Whether the claim waits for its first consumer (`IsDelayBindingMode`).
fn is_delayed(storage: &Storage, claim: &PersistentVolumeClaim) -> Result<bool, String> {
    if claim.class.is_empty() {
        return Ok(false);
    }
    match storage.class(&claim.class).map(|c| c.binding_mode) {
        None => Ok(false),
        Some(None) => Err(format!("VolumeBindingMode not set for StorageClass {:?}", &*claim.class)),
        Some(Some(mode)) => Ok(mode == BindingMode::WaitForFirstConsumer),
    }
}

/// The node affinity of a volume on this node (`tryTranslatePVToCSI`).
pub(super) fn reaches(storage: &Storage, volume: &PersistentVolume, node: &Node) -> bool {
    let migrated =
        volume.in_tree_plugin().filter(|p| storage.csi_node(node.name()).is_some_and(|n| n.has_migrated(*p)));
    match migrated {
        Some(_) => matches(volume.migrated_affinity().as_ref(), &node.meta.labels),
        None => volume.reaches(&node.meta.labels),
    }
}

fn matches(affinity: Option<&NodeSelector>, labels: &Labels) -> bool {
    affinity.is_none_or(|a| a.matches("", labels))
}

/// What became of the claims to provision.
enum Provisioning {
    Possible(Vec<(Arc<PersistentVolumeClaim>, Option<Arc<CsiStorageCapacity>>)>),
    Impossible,
    NoRoom,
}

impl PodClaims {
    /// The volumes that the pod would use on a node, or why it cannot go there (`FindPodVolumes`).
    ///
    /// # Errors
    /// The text of a failure.
    pub(super) fn on(&self, storage: &Storage, node: &Node) -> Result<Result<PodVolumes, Vec<&'static str>>, String> {
        let (mut reached, mut bindable, mut room, mut exist) = (true, true, true, true);
        for bound in &self.bound {
            let Some(volume) = &bound.volume else {
                exist = false;
                break;
            };
            let affinity = match &bound.migrated {
                Some((plugin, affinity)) if storage.csi_node(node.name()).is_some_and(|n| n.has_migrated(*plugin)) => {
                    affinity.as_ref()
                }
                _ => volume.node_affinity.as_ref(),
            };
            if !matches(affinity, &node.meta.labels) {
                reached = false;
                break;
            }
        }
        let mut volumes = PodVolumes::default();
        let selected_elsewhere =
            self.delayed.iter().any(|c| c.selected_node().is_some_and(|selected| selected != node.name()));
        if selected_elsewhere {
            bindable = false;
        } else if !self.delayed.is_empty() {
            let (mut provision, to_match): (Vec<_>, Vec<_>) =
                self.delayed.iter().cloned().partition(|c| c.selected_node().is_some());
            provision.extend(self.match_volumes(to_match, node, &mut volumes));
            if !provision.is_empty() {
                match provisioning(storage, provision, node)? {
                    Provisioning::Possible(provisions) => volumes.provisions = provisions,
                    Provisioning::Impossible => bindable = false,
                    Provisioning::NoRoom => room = false,
                }
            }
        }
        let reasons: Vec<_> =
            [(reached, REASON_NODE), (bindable, REASON_BIND), (room, REASON_SPACE), (exist, REASON_PV)]
                .into_iter()
                .filter_map(|(fine, reason)| (!fine).then_some(reason))
                .collect();
        Ok(if reasons.is_empty() { Ok(volumes) } else { Err(reasons) })
    }

    /// Finds a volume for each claim, the smallest claim first. Answers the claims without one.
    fn match_volumes(
        &self,
        mut claims: Vec<Arc<PersistentVolumeClaim>>,
        node: &Node,
        volumes: &mut PodVolumes,
    ) -> Vec<Arc<PersistentVolumeClaim>> {
        claims.sort_by_key(|c| c.request.unwrap_or(0));
        let mut unmatched = Vec::new();
        for claim in claims {
            let candidates = self.candidates.get(&claim.class).map_or(&[][..], Vec::as_slice);
            let taken = |v: &PersistentVolume| volumes.matches.iter().any(|(m, _)| m.name() == v.name());
            match best_volume(&claim, candidates.iter().filter(|v| !taken(v)), node).cloned() {
                Some(volume) => volumes.matches.push((volume, claim)),
                None => unmatched.push(claim),
            }
        }
        unmatched
    }
}

/// The volume that the user has reserved for the claim, else the smallest one that fits (`FindMatchingVolume`).
fn best_volume<'a>(
    claim: &PersistentVolumeClaim,
    candidates: impl Iterator<Item = &'a Arc<PersistentVolume>>,
    node: &Node,
) -> Option<&'a Arc<PersistentVolume>> {
    let mut best: Option<&Arc<PersistentVolume>> = None;
    for volume in candidates {
        let reserved = volume.is_bound_to(claim);
        if (volume.claim_ref.is_some() && !reserved)
            || volume.capacity < claim.request.unwrap_or(0)
            || volume.block != claim.block
            || volume.attributes_class != claim.attributes_class
            || volume.meta.is_terminating()
        {
            continue;
        }
        if reserved {
            // It is this one or none.
            return volume.reaches(&node.meta.labels).then_some(volume);
        }
        let smaller = best.is_none_or(|b| volume.capacity < b.capacity);
        if smaller
            && volume.available
            && claim.selector.as_ref().is_none_or(|s| s.matches(&volume.meta.labels))
            && volume.class == claim.class
            && volume.access_modes.contains(claim.access_modes)
            && volume.reaches(&node.meta.labels)
        {
            best = Some(volume);
        }
    }
    best
}

/// Whether volumes for the claims can be made for this node (`checkVolumeProvisions`).
fn provisioning(
    storage: &Storage,
    claims: Vec<Arc<PersistentVolumeClaim>>,
    node: &Node,
) -> Result<Provisioning, String> {
    let mut all = Vec::with_capacity(claims.len());
    for claim in claims {
        if claim.class.is_empty() {
            return Err(format!("no class for claim {:?}", claim.meta.key.to_string()));
        }
        let Some(class) = storage.class(&claim.class) else {
            return Err(format!("failed to find storage class {:?}", &*claim.class));
        };
        if class.provisioner.is_empty() || class.provisioner == *NO_PROVISIONER || !class.allows(&node.meta.labels) {
            return Ok(Provisioning::Impossible);
        }
        match room(storage, class, &claim, node) {
            Room::Enough(room) => all.push((claim, room)),
            Room::Lacking => return Ok(Provisioning::NoRoom),
        }
    }
    Ok(Provisioning::Possible(all))
}

/// What a provisioner has.
enum Room {
    /// Enough; who said so, if it had to be said.
    Enough(Option<Arc<CsiStorageCapacity>>),
    /// Not enough.
    Lacking,
}

/// Whether the provisioner has room for a claim on this node (`hasEnoughCapacity`). Of several that have it, the first
/// by namespace and name is taken.
fn room(storage: &Storage, class: &StorageClass, claim: &PersistentVolumeClaim, node: &Node) -> Room {
    let Some(size) = claim.request else { return Room::Enough(None) };
    if !storage.csi_driver(&class.provisioner).is_some_and(|d| d.storage_capacity) {
        return Room::Enough(None);
    }
    let found = storage.capacities().find(|c| {
        c.class == class.meta.key.name
            && c.limit().is_some_and(|limit| limit >= size)
            && c.node_topology.as_ref().is_some_and(|t| t.matches(&node.meta.labels))
    });
    found.map_or(Room::Lacking, |c| Room::Enough(Some(c.clone())))
}
