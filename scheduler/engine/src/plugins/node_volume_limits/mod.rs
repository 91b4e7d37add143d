//! `NodeVolumeLimits`: how many volumes of a CSI driver a node can attach (upstream `plugins/nodevolumelimits`;
//! reference 3.12). The gate VolumeLimitScaling is off in 1.36: drivers that a node lacks do not matter here.

use std::{borrow::Cow, sync::Arc};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Str,
    object::{CsiNode, InTreePlugin, ObjectKey, PersistentVolumeClaim, VolumeKind},
};

use super::claims::{claim_not_found, claims, foreign, needs};
use crate::{
    cache::{NodeInfo, Storage, StorageObject},
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, Reads, Status, View,
    },
};

/// The reason.
pub const REASON: &str = "node(s) exceed max volume count";

/// The plugin.
#[derive(Debug)]
pub struct NodeVolumeLimits;

/// A driver's name for a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Handle<'a> {
    Known(Cow<'a, str>),
    /// A claim without a volume: it will get one.
    Unbound(Str, Str),
}

/// Volumes by driver and handle: one that several pods use is attached once.
type Volumes<'a> = HashSet<(&'a str, Handle<'a>)>;

/// Whether a volume may count.
const fn counts(kind: &VolumeKind) -> bool {
    matches!(kind, VolumeKind::PersistentVolumeClaim(_) | VolumeKind::Ephemeral | VolumeKind::InTree { .. })
}

fn any_counts(pod: &PodInfo) -> bool {
    pod.pod.spec.volumes.iter().any(|v| counts(&v.kind))
}

/// Adds the volumes of a pod. `new` = the pod that is being scheduled, whose claims must exist.
fn collect<'a>(
    storage: &'a Storage,
    pod: &'a PodInfo,
    csi_node: Option<&CsiNode>,
    new: bool,
    into: &mut Volumes<'a>,
) -> Result<(), Status> {
    let namespace = &pod.pod.meta.key.namespace;
    for v in &pod.pod.spec.volumes {
        // In-tree volumes are CSI volumes wherever there are CSI drivers.
        if let VolumeKind::InTree { plugin, id, .. } = &v.kind
            && plugin.is_translated()
            && csi_node.is_some()
        {
            let handle = plugin.inline_handle(id).ok_or_else(|| {
                Status::error(format!(
                    "converting volume({}) from inline to csi: failed to translate Kubernetes ID to EBS Volume ID \
                     Invalid format for AWS volume ({id})",
                    v.name
                ))
            })?;
            into.insert((plugin.csi_driver(), Handle::Known(handle)));
        }
    }
    for needed in claims(pod) {
        if needed.name.is_empty() {
            return Err(Status::error("PersistentVolumeClaim had no name"));
        }
        let Some(claim) = storage.claim(namespace, &needed.name) else {
            if new {
                let message = format!("looking up PVC {namespace}/{}: {}", needed.name, claim_not_found(&needed.name));
                return Err(Status::unresolvable(message));
            }
            continue;
        };
        if needed.ephemeral
            && let Some(message) = foreign(pod, claim)
        {
            return Err(Status::error(message));
        }
        if let Some(volume) = volume_of(storage, claim, csi_node) {
            into.insert(volume);
        }
    }
    Ok(())
}

/// The CSI volume behind a claim, or that it will have; absent when it is none.
fn volume_of<'a>(
    storage: &'a Storage,
    claim: &PersistentVolumeClaim,
    csi_node: Option<&CsiNode>,
) -> Option<(&'a str, Handle<'a>)> {
    let key = ObjectKey { namespace: Str::default(), name: claim.volume_name.clone() };
    if let Some(volume) = storage.volumes.stored(&key) {
        if volume.in_tree_plugin().is_some() && csi_node.is_none() {
            return None;
        }
        let (driver, handle) = volume.csi()?;
        return (!driver.is_empty() && !handle.is_empty()).then_some((driver, Handle::Known(handle)));
    }
    // Not bound, or to a volume that does not exist (any more): its class says which driver.
    let class = storage.class(&claim.class)?;
    let driver = match InTreePlugin::by_name(&class.provisioner) {
        Some(plugin) if plugin.is_translated() && csi_node.is_some() => plugin.csi_driver(),
        Some(_) => return None,
        None => &class.provisioner,
    };
    let key = &claim.meta.key;
    (!driver.is_empty()).then(|| (driver, Handle::Unbound(key.namespace.clone(), key.name.clone())))
}

impl Plugin for NodeVolumeLimits {
    type Filter = Arc<Storage>;
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::always(EventResource::CsiNode, Actions::ADD),
            Interest::hinted(EventResource::CsiNode, Actions::UPDATE),
            Interest::hinted(EventResource::Pod, Actions::DELETE),
            Interest::hinted(EventResource::PersistentVolumeClaim, Actions::ADD),
            Interest::hinted(EventResource::VolumeAttachment, Actions::DELETE),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let queue = match change {
            // Only pods that were on a node, assumed or nominated to one are told of: what upstream asks for first.
            Change::Pod { old: Some(gone), new: None } => any_counts(gone),
            Change::Storage { new: Some(StorageObject::Claim(claim)), .. } => needs(pod, claim),
            Change::Storage { old: Some(StorageObject::Attachment(gone)), new: None } => {
                pod.pod.spec.volumes.iter().any(|v| match &v.kind {
                    VolumeKind::PersistentVolumeClaim(_) => true,
                    VolumeKind::InTree { plugin, .. } => gone.attacher == *plugin.csi_driver(),
                    _ => false,
                })
            }
            Change::Storage { old: Some(StorageObject::CsiNode(old)), new: Some(StorageObject::CsiNode(new)) } => {
                let limit = |limit: Option<i32>| limit.unwrap_or(0);
                let before = |name: &Str| old.drivers.iter().rfind(|(n, _)| n == name).map_or(0, |(_, l)| limit(*l));
                new.drivers.iter().any(|(name, now)| limit(*now) > before(name))
            }
            _ => true,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn reads(&self, pod: &PodInfo) -> Reads {
        if any_counts(pod) { Reads::Cluster } else { Reads::Node }
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<Arc<Storage>> {
        if any_counts(pod) { PreFilter::Continue(view.cache.storage().clone()) } else { PreFilter::Skip }
    }

    fn filter(&self, storage: &Arc<Storage>, pod: &PodInfo, node: &NodeInfo) -> Status {
        let csi_node = storage.csi_node(&node.name).map(|n| &**n);
        let mut new = Volumes::new();
        if let Err(status) = collect(storage, pod, csi_node, true, &mut new) {
            return status;
        }
        let limits: HashMap<&str, i32> =
            csi_node.iter().flat_map(|n| &n.drivers).filter_map(|(name, limit)| Some((&**name, (*limit)?))).collect();
        if new.is_empty() || limits.is_empty() {
            return Status::SUCCESS;
        }
        let mut attached = Volumes::new();
        for other in &node.pods {
            if let Err(status) = collect(storage, other, csi_node, false, &mut attached) {
                return status;
            }
        }
        new.retain(|volume| !attached.contains(volume));
        // Attached by the driver, in use by no pod (any more).
        for attachment in storage.attachments_of(&node.name).filter(|a| !a.attacher.is_empty()) {
            let Some(name) = &attachment.volume_name else { continue };
            let key = ObjectKey { namespace: Str::default(), name: name.clone() };
            let Some(volume) = storage.volumes.stored(&key).filter(|v| v.in_tree_plugin().is_none()) else { continue };
            if let Some((_, handle)) = volume.csi() {
                attached.insert((&attachment.attacher, Handle::Known(handle)));
            }
        }
        let of = |volumes: &Volumes<'_>, driver: &str| volumes.iter().filter(|(d, _)| *d == driver).count();
        let full = limits.iter().any(|(driver, limit)| {
            let wanted = of(&new, driver);
            wanted > 0 && of(&attached, driver) + wanted > usize::try_from(*limit).unwrap_or(0)
        });
        if full { Status::unschedulable(REASON) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod tests;
