//! What the plugins for volumes have in common: the claims of a pod, and how their absence is told.

use headroom_core::{
    Str,
    object::{PersistentVolumeClaim, VolumeKind},
};

use crate::framework::PodInfo;

/// A claim that a pod needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimUse {
    /// Its name; the namespace is the pod's.
    pub(crate) name: Str,
    /// It belongs to a generic ephemeral volume: another controller makes it, and the pod owns it.
    pub(crate) ephemeral: bool,
}

/// The claim of a volume, if it has one.
fn claim_of(pod: &PodInfo, name: &Str, kind: &VolumeKind) -> Option<ClaimUse> {
    match kind {
        VolumeKind::PersistentVolumeClaim(claim) => Some(ClaimUse { name: claim.clone(), ephemeral: false }),
        VolumeKind::Ephemeral => {
            Some(ClaimUse { name: format!("{}-{name}", pod.pod.meta.key.name).into(), ephemeral: true })
        }
        _ => None,
    }
}

/// The claims that a pod needs, one per volume, in the order of its volumes.
pub(crate) fn claims(pod: &PodInfo) -> impl Iterator<Item = ClaimUse> + use<'_> {
    pod.pod.spec.volumes.iter().filter_map(|v| claim_of(pod, &v.name, &v.kind))
}

/// The claims that a pod names: those of ephemeral volumes are left out.
pub(crate) fn named_claims(pod: &PodInfo) -> impl Iterator<Item = &Str> {
    pod.pod.spec.volumes.iter().filter_map(|v| match &v.kind {
        VolumeKind::PersistentVolumeClaim(claim) => Some(claim),
        _ => None,
    })
}

/// Whether the pod needs this claim.
pub(crate) fn needs(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    pod.pod.meta.key.namespace == claim.meta.key.namespace && claims(pod).any(|c| c.name == *claim.name())
}

/// Whether the pod names this claim.
pub(crate) fn names(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    pod.pod.meta.key.namespace == claim.meta.key.namespace && named_claims(pod).any(|name| name == claim.name())
}

/// Why a claim is not the one of a pod's ephemeral volume; absent when it is (`ephemeral.VolumeIsForPod`).
pub(crate) fn foreign(pod: &PodInfo, claim: &PersistentVolumeClaim) -> Option<String> {
    let (mine, its) = (&pod.pod.meta, &claim.meta);
    let owned = mine.key.namespace == its.key.namespace && its.controller().is_some_and(|o| o.uid == mine.uid);
    (!owned).then(|| format!("PVC {} was not created for pod {} (pod is not owner)", its.key, mine.key))
}

/// A lister's error for a claim that does not exist.
pub(crate) fn claim_not_found(name: &str) -> String {
    format!("persistentvolumeclaim {name:?} not found")
}
