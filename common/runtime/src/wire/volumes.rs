//! PersistentVolumes and their claims.

use headroom_core::{
    Str,
    object::{AccessModes, ClaimRef, InTreePlugin, Kind, Meta, PersistentVolume, PersistentVolumeClaim, PvSource},
    resource::ResourceList,
};
use serde::Deserialize;

use super::{
    Body,
    de::{List, Obj, Opt, Quantities, Text},
    interners::Interners,
    meta::WireMeta,
    scheduling::{WireLabelSelector, WireNodeSelector},
};

/// The annotation that names a class; it counts before the field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const STORAGE: &str = "storage";

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WirePvSpec>,
    status: Obj<WirePhase>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WirePhase {
    phase: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePvSpec {
    capacity: Quantities,
    access_modes: List<Text>,
    volume_mode: Text,
    storage_class_name: Text,
    volume_attributes_class_name: Text,
    node_affinity: Obj<WireVolumeNodeAffinity>,
    claim_ref: Opt<WireClaimRef>,
    csi: Opt<WireCsi>,
    aws_elastic_block_store: Opt<WireVolumeId>,
    gce_persistent_disk: Opt<WireGcePd>,
    azure_disk: Opt<WireAzureDisk>,
    cinder: Opt<WireVolumeId>,
    portworx_volume: Opt<WireVolumeId>,
    azure_file: Opt<WireAzureFile>,
    vsphere_volume: Opt<WireVsphere>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireVolumeNodeAffinity {
    required: Opt<WireNodeSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireClaimRef {
    namespace: Text,
    name: Text,
    uid: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCsi {
    driver: Text,
    volume_handle: Text,
}

/// Sources of in-tree plugins, the same in volumes and in pods. Not decoded as a flattened struct: that would buffer
/// whatever else a volume has.
#[derive(Debug, Default)]
pub(super) struct WireInTree {
    pub(super) aws_elastic_block_store: Opt<WireVolumeId>,
    pub(super) gce_persistent_disk: Opt<WireGcePd>,
    pub(super) azure_disk: Opt<WireAzureDisk>,
    pub(super) cinder: Opt<WireVolumeId>,
    pub(super) portworx_volume: Opt<WireVolumeId>,
    pub(super) azure_file: Opt<WireAzureFile>,
    pub(super) vsphere_volume: Opt<WireVsphere>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireVolumeId {
    #[serde(rename = "volumeID")]
    volume_id: Text,
    read_only: super::de::Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireGcePd {
    pd_name: Text,
    read_only: super::de::Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireAzureDisk {
    #[serde(rename = "diskURI")]
    disk_uri: Text,
    read_only: super::de::Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireAzureFile {
    share_name: Text,
    read_only: super::de::Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireVsphere {
    volume_path: Text,
}

impl WireInTree {
    /// The plugin, its name for the volume, and whether it is mounted read-only.
    pub(super) fn into_source(self) -> Option<(InTreePlugin, Str, bool)> {
        let by_id = |plugin, v: WireVolumeId| (plugin, v.volume_id.0, v.read_only.set());
        if let Some(v) = self.aws_elastic_block_store.0 {
            return Some(by_id(InTreePlugin::AwsEbs, v));
        }
        if let Some(v) = self.gce_persistent_disk.0 {
            return Some((InTreePlugin::GcePd, v.pd_name.0, v.read_only.set()));
        }
        if let Some(v) = self.azure_disk.0 {
            return Some((InTreePlugin::AzureDisk, v.disk_uri.0, v.read_only.set()));
        }
        if let Some(v) = self.cinder.0 {
            return Some(by_id(InTreePlugin::Cinder, v));
        }
        if let Some(v) = self.portworx_volume.0 {
            return Some(by_id(InTreePlugin::Portworx, v));
        }
        if let Some(v) = self.azure_file.0 {
            return Some((InTreePlugin::AzureFile, v.share_name.0, v.read_only.set()));
        }
        self.vsphere_volume.0.map(|v| (InTreePlugin::Vsphere, v.volume_path.0, false))
    }
}

fn modes(list: &List<Text>) -> AccessModes {
    list.0.iter().fold(AccessModes::default(), |all, word| all.or(AccessModes::parse(word)))
}

fn class(meta: &Meta, field: &Text, interners: &mut Interners) -> Str {
    meta.annotations.get(BETA_CLASS).cloned().unwrap_or_else(|| interners.str(field))
}

fn storage(list: &Quantities) -> Option<i64> {
    list.0.as_ref().and_then(|l: &ResourceList| l.get(STORAGE))
}

impl Body for PersistentVolumeBody {
    type Row = PersistentVolume;
    const KIND: Kind = Kind::PERSISTENT_VOLUME;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<PersistentVolume, String> {
        let spec = self.spec.0;
        let in_tree = WireInTree {
            aws_elastic_block_store: spec.aws_elastic_block_store,
            gce_persistent_disk: spec.gce_persistent_disk,
            azure_disk: spec.azure_disk,
            cinder: spec.cinder,
            portworx_volume: spec.portworx_volume,
            azure_file: spec.azure_file,
            vsphere_volume: spec.vsphere_volume,
        };
        let source = match (spec.csi.0, in_tree.into_source()) {
            (Some(csi), _) => PvSource::Csi { driver: interners.str(&csi.driver), handle: csi.volume_handle.0 },
            (None, Some((plugin, id, _))) => PvSource::InTree { plugin, id },
            (None, None) => PvSource::Other,
        };
        Ok(PersistentVolume {
            class: class(&meta, &spec.storage_class_name, interners),
            meta,
            capacity: storage(&spec.capacity).unwrap_or(0),
            access_modes: modes(&spec.access_modes),
            block: spec.volume_mode == *"Block",
            attributes_class: interners.str(&spec.volume_attributes_class_name),
            node_affinity: spec.node_affinity.0.required.0.map(|s| s.into_row(interners)),
            claim_ref: spec.claim_ref.0.map(|r| ClaimRef {
                namespace: interners.str(&r.namespace),
                name: r.name.0,
                uid: r.uid.0,
            }),
            available: self.status.0.phase == *"Available",
            source,
        })
    }
}

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaimBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireClaimSpec>,
    status: Obj<WirePhase>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireClaimSpec {
    access_modes: List<Text>,
    resources: Obj<WireClaimResources>,
    volume_mode: Text,
    volume_name: Text,
    storage_class_name: Text,
    volume_attributes_class_name: Text,
    selector: Opt<WireLabelSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireClaimResources {
    requests: Quantities,
}

impl Body for PersistentVolumeClaimBody {
    type Row = PersistentVolumeClaim;
    const KIND: Kind = Kind::PERSISTENT_VOLUME_CLAIM;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<PersistentVolumeClaim, String> {
        let spec = self.spec.0;
        Ok(PersistentVolumeClaim {
            class: class(&meta, &spec.storage_class_name, interners),
            meta,
            volume_name: spec.volume_name.0.clone(),
            access_modes: modes(&spec.access_modes),
            request: storage(&spec.resources.requests),
            block: spec.volume_mode == *"Block",
            attributes_class: interners.str(&spec.volume_attributes_class_name),
            selector: spec.selector.0.map(|s| s.into_row(interners)),
            lost: self.status.0.phase == *"Lost",
        })
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::object::SELECTED_NODE;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{PersistentVolumeClaimWire, PersistentVolumeWire, WireObject};

    fn convert<W: WireObject>(value: &Value) -> W::Row {
        serde_json::from_str::<W>(&value.to_string()).unwrap().convert(&mut Interners::default()).unwrap()
    }

    #[test]
    fn a_local_volume() {
        let pv = convert::<PersistentVolumeWire>(&json!({
            "metadata": {"name": "pv", "resourceVersion": "7", "annotations": {
                "pv.kubernetes.io/bound-by-controller": "yes", "noise": "n"}},
            "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"],
                "volumeMode": "Block", "storageClassName": "local", "local": {"path": "/mnt"},
                "claimRef": {"namespace": "d", "name": "c", "uid": "u", "resourceVersion": "3"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}]}}},
            "status": {"phase": "Available"},
        }));
        assert_eq!((pv.capacity, pv.class.as_str(), pv.block, pv.available), (5 << 30, "local", true, true));
        assert!(pv.access_modes.contains(AccessModes::READ_WRITE_ONCE_POD));
        assert_eq!(pv.claim_ref, Some(ClaimRef { namespace: "d".into(), name: "c".into(), uid: "u".into() }));
        assert_eq!((pv.source, pv.meta.annotations.len()), (PvSource::Other, 1));
        assert_eq!(pv.node_affinity.unwrap().terms.len(), 1);
    }

    #[test]
    fn sources_and_classes() {
        let source =
            |source: Value| convert::<PersistentVolumeWire>(&json!({"metadata": {"name": "p"}, "spec": source})).source;
        assert_eq!(
            source(json!({"csi": {"driver": "d", "volumeHandle": "h"}})),
            PvSource::Csi { driver: "d".into(), handle: "h".into() }
        );
        for (plugin, value) in [
            (InTreePlugin::AwsEbs, json!({"awsElasticBlockStore": {"volumeID": "x"}})),
            (InTreePlugin::GcePd, json!({"gcePersistentDisk": {"pdName": "x"}})),
            (InTreePlugin::AzureDisk, json!({"azureDisk": {"diskName": "n", "diskURI": "x"}})),
            (InTreePlugin::Cinder, json!({"cinder": {"volumeID": "x"}})),
            (InTreePlugin::Portworx, json!({"portworxVolume": {"volumeID": "x"}})),
        ] {
            assert_eq!(source(value), PvSource::InTree { plugin, id: "x".into() });
        }
        let beta =
            json!({"metadata": {"name": "p", "annotations": {BETA_CLASS: "old"}}, "spec": {"storageClassName": "new"}});
        assert_eq!(convert::<PersistentVolumeWire>(&beta).class.as_str(), "old");
        assert_eq!(convert::<PersistentVolumeClaimWire>(&beta).class.as_str(), "old");
    }

    #[test]
    fn a_claim() {
        let claim = convert::<PersistentVolumeClaimWire>(&json!({
            "metadata": {"name": "c", "namespace": "d", "annotations": {SELECTED_NODE: "n1", "pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1500m"}},
                "volumeName": "pv", "storageClassName": "fast", "selector": {"matchLabels": {"a": "b"}}},
            "status": {"phase": "Lost"},
        }));
        assert_eq!((claim.request, claim.lost, claim.block), (Some(2), true, false));
        assert!(claim.is_fully_bound());
        assert_eq!(claim.selected_node().map(Str::as_str), Some("n1"));
        assert_eq!(claim.selector.unwrap().requirements.len(), 1);
        let bare = convert::<PersistentVolumeClaimWire>(&json!({"metadata": {"name": "c"}}));
        assert_eq!((bare.request, bare.selector.is_none(), bare.is_fully_bound()), (None, true, false));
    }
}
