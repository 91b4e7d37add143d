//! Builders of volumes, claims and what belongs to them: `volume("pv").class("local").capacity("1Gi").build()`.

use std::sync::Arc;

use super::{PodBuilder, meta, with_label};
use crate::{
    object::{
        AccessModes, BIND_COMPLETED, BindingMode, ClaimRef, CsiDriver, CsiNode, CsiStorageCapacity, InTreePlugin,
        MIGRATED_PLUGINS, OwnerRef, PersistentVolume, PersistentVolumeClaim, PvSource, StorageClass, Volume,
        VolumeAttachment, VolumeKind,
    },
    quantity::value,
    selector::{LabelSelector, NodeSelector, NodeSelectorTerm, Operator, Requirement},
    str::Str,
};

fn one_of(key: &str, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator: Operator::In, values: values.iter().map(|v| Str::from(*v)).collect() }
}

/// Builds a PersistentVolume.
#[derive(Debug, Clone)]
pub struct VolumeBuilder(PersistentVolume);

/// An available volume of 1 GiB, ReadWriteOnce, without a class, reachable from everywhere.
#[must_use]
pub fn volume(name: &str) -> VolumeBuilder {
    VolumeBuilder(PersistentVolume {
        meta: meta("", name),
        capacity: 1 << 30,
        access_modes: AccessModes::READ_WRITE_ONCE,
        available: true,
        ..PersistentVolume::default()
    })
}

impl VolumeBuilder {
    /// Class.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.0.class = class.into();
        self
    }

    /// Capacity.
    #[must_use]
    pub fn capacity(mut self, size: &str) -> Self {
        self.0.capacity = value(size).unwrap();
        self
    }

    /// Resource version.
    #[must_use]
    pub const fn rv(mut self, rv: u64) -> Self {
        self.0.meta.resource_version = rv;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.meta.labels = with_label(&self.0.meta.labels, key, value);
        self
    }

    /// Reachable from nodes that have one of these values under the label, and from those given before only if so.
    #[must_use]
    pub fn affinity(mut self, key: &str, values: &[&str]) -> Self {
        let selector =
            self.0.node_affinity.get_or_insert_with(|| NodeSelector { terms: Box::new([NodeSelectorTerm::default()]) });
        let mut all = selector.terms[0].match_expressions.to_vec();
        all.push(one_of(key, values));
        selector.terms[0].match_expressions = all.into();
        self
    }

    /// Reserved for, or bound to, a claim of namespace `default`; an empty UID is a reservation by a user.
    #[must_use]
    pub fn for_claim(mut self, name: &str, uid: &str) -> Self {
        self.0.claim_ref = Some(ClaimRef { namespace: "default".into(), name: name.into(), uid: uid.into() });
        self
    }

    /// A volume of a CSI driver.
    #[must_use]
    pub fn csi(mut self, driver: &str, handle: &str) -> Self {
        self.0.source = PvSource::Csi { driver: driver.into(), handle: handle.into() };
        self
    }

    /// A volume of an in-tree plugin.
    #[must_use]
    pub fn in_tree(mut self, plugin: InTreePlugin, id: &str) -> Self {
        self.0.source = PvSource::InTree { plugin, id: id.into() };
        self
    }

    /// Changes the row in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut PersistentVolume)) -> Self {
        change(&mut self.0);
        self
    }

    /// The volume.
    #[must_use]
    pub fn build(self) -> PersistentVolume {
        self.0
    }

    /// The volume, shared.
    #[must_use]
    pub fn arc(self) -> Arc<PersistentVolume> {
        Arc::new(self.0)
    }
}

/// Builds a PersistentVolumeClaim in namespace `default` with the UID `uid-<name>`.
#[derive(Debug, Clone)]
pub struct ClaimBuilder(PersistentVolumeClaim);

/// An unbound claim for 1 GiB, ReadWriteOnce, without a class.
#[must_use]
pub fn claim(name: &str) -> ClaimBuilder {
    ClaimBuilder(PersistentVolumeClaim {
        meta: meta("default", name),
        request: Some(1 << 30),
        access_modes: AccessModes::READ_WRITE_ONCE,
        ..PersistentVolumeClaim::default()
    })
}

impl ClaimBuilder {
    /// Class.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.0.class = class.into();
        self
    }

    /// Size asked for.
    #[must_use]
    pub fn request(mut self, size: &str) -> Self {
        self.0.request = Some(value(size).unwrap());
        self
    }

    /// Resource version.
    #[must_use]
    pub const fn rv(mut self, rv: u64) -> Self {
        self.0.meta.resource_version = rv;
        self
    }

    /// Names its volume without being bound to it.
    #[must_use]
    pub fn volume(mut self, name: &str) -> Self {
        self.0.volume_name = name.into();
        self
    }

    /// Bound to this volume for good.
    #[must_use]
    pub fn bound(self, name: &str) -> Self {
        self.volume(name).annotation(BIND_COMPLETED, "yes")
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.meta.annotations = with_label(&self.0.meta.annotations, key, value);
        self
    }

    /// Access modes.
    #[must_use]
    pub const fn modes(mut self, modes: AccessModes) -> Self {
        self.0.access_modes = modes;
        self
    }

    /// Made for the ephemeral volume of the pod with this name (of the builder's UID).
    #[must_use]
    pub fn of_pod(mut self, pod: &str) -> Self {
        self.0.meta.owners = Arc::new([OwnerRef {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: pod.into(),
            uid: format!("uid-{pod}").into(),
            controller: true,
            block_owner_deletion: true,
        }]);
        self
    }

    /// Changes the row in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut PersistentVolumeClaim)) -> Self {
        change(&mut self.0);
        self
    }

    /// The claim.
    #[must_use]
    pub fn build(self) -> PersistentVolumeClaim {
        self.0
    }

    /// The claim, shared.
    #[must_use]
    pub fn arc(self) -> Arc<PersistentVolumeClaim> {
        Arc::new(self.0)
    }
}

/// A class that waits for the first consumer.
#[must_use]
pub fn waiting_class(name: &str, provisioner: &str) -> StorageClass {
    StorageClass {
        meta: meta("", name),
        provisioner: provisioner.into(),
        binding_mode: Some(BindingMode::WaitForFirstConsumer),
        ..StorageClass::default()
    }
}

/// A class that binds at once.
#[must_use]
pub fn immediate_class(name: &str, provisioner: &str) -> StorageClass {
    StorageClass { binding_mode: Some(BindingMode::Immediate), ..waiting_class(name, provisioner) }
}

/// The same class, allowed only where the label has one of these values.
#[must_use]
pub fn allowed_in(mut class: StorageClass, key: &str, values: &[&str]) -> StorageClass {
    let mut all = class.allowed_topologies.into_vec();
    all.push(Box::new([one_of(key, values)]));
    class.allowed_topologies = all.into();
    class
}

/// The CSI drivers of a node with their limits, and the in-tree plugins that have moved to them.
#[must_use]
pub fn csi_node(node: &str, drivers: &[(&str, Option<i32>)], migrated: &str) -> CsiNode {
    let mut row = CsiNode {
        meta: meta("", node),
        drivers: drivers.iter().map(|(name, limit)| (Str::from(*name), *limit)).collect(),
    };
    if !migrated.is_empty() {
        row.meta.annotations = with_label(&row.meta.annotations, MIGRATED_PLUGINS, migrated);
    }
    row
}

/// A CSI driver.
#[must_use]
pub fn csi_driver(name: &str, storage_capacity: bool) -> CsiDriver {
    CsiDriver { meta: meta("", name), storage_capacity }
}

/// Room for a class on nodes that have this label.
#[must_use]
pub fn csi_capacity(name: &str, class: &str, topology: Option<(&str, &str)>, capacity: &str) -> CsiStorageCapacity {
    CsiStorageCapacity {
        meta: meta("kube-system", name),
        class: class.into(),
        node_topology: topology.map(|(key, value)| LabelSelector { requirements: Box::new([one_of(key, &[value])]) }),
        capacity: Some(value(capacity).unwrap()),
        maximum_volume_size: None,
    }
}

/// A volume that a driver has attached to a node.
#[must_use]
pub fn volume_attachment(name: &str, attacher: &str, node: &str, volume: &str) -> VolumeAttachment {
    VolumeAttachment {
        meta: meta("", name),
        attacher: attacher.into(),
        node_name: node.into(),
        volume_name: Some(volume.into()),
    }
}

impl PodBuilder {
    /// Adds a volume.
    #[must_use]
    pub fn volume(mut self, name: &str, kind: VolumeKind) -> Self {
        let mut all = self.spec.volumes.into_vec();
        all.push(Volume { name: name.into(), kind });
        self.spec.volumes = all.into();
        self
    }

    /// Uses a claim.
    #[must_use]
    pub fn claim(self, name: &str) -> Self {
        self.volume(name, VolumeKind::PersistentVolumeClaim(name.into()))
    }

    /// Has a generic ephemeral volume.
    #[must_use]
    pub fn ephemeral(self, volume: &str) -> Self {
        self.volume(volume, VolumeKind::Ephemeral)
    }

    /// Uses a volume of an in-tree plugin, given inline.
    #[must_use]
    pub fn inline(self, plugin: InTreePlugin, id: &str, read_only: bool) -> Self {
        self.volume(id, VolumeKind::InTree { plugin, id: id.into(), read_only })
    }
}
