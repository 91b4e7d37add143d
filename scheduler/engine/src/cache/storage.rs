//! Storage as the plugins for volumes see it: volumes, claims, classes, CSI drivers and their room, attachments.
//!
//! Upstream's plugins keep assumed volumes each for itself, so that profiles do not see each other's; here all share
//! this one store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;
use headroom_core::{
    Str,
    object::{
        CsiDriver, CsiNode, CsiStorageCapacity, Kind, Meta, ObjectKey, PersistentVolume, PersistentVolumeClaim,
        StorageClass, VolumeAttachment,
    },
};

use super::assume::AssumeCache;
use crate::framework::EventResource;

/// An object of any kind that is kept here.
#[derive(Debug, Clone, PartialEq)]
pub enum StorageObject {
    /// A PersistentVolume.
    Volume(Arc<PersistentVolume>),
    /// A PersistentVolumeClaim.
    Claim(Arc<PersistentVolumeClaim>),
    /// A StorageClass.
    Class(Arc<StorageClass>),
    /// A CSINode.
    CsiNode(Arc<CsiNode>),
    /// A CSIDriver.
    CsiDriver(Arc<CsiDriver>),
    /// A CSIStorageCapacity.
    Capacity(Arc<CsiStorageCapacity>),
    /// A VolumeAttachment.
    Attachment(Arc<VolumeAttachment>),
}

impl StorageObject {
    /// Metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Volume(o) => &o.meta,
            Self::Claim(o) => &o.meta,
            Self::Class(o) => &o.meta,
            Self::CsiNode(o) => &o.meta,
            Self::CsiDriver(o) => &o.meta,
            Self::Capacity(o) => &o.meta,
            Self::Attachment(o) => &o.meta,
        }
    }

    /// What events on it are called.
    #[must_use]
    pub const fn resource(&self) -> EventResource {
        match self {
            Self::Volume(_) => EventResource::PersistentVolume,
            Self::Claim(_) => EventResource::PersistentVolumeClaim,
            Self::Class(_) => EventResource::StorageClass,
            Self::CsiNode(_) => EventResource::CsiNode,
            Self::CsiDriver(_) => EventResource::CsiDriver,
            Self::Capacity(_) => EventResource::CsiStorageCapacity,
            Self::Attachment(_) => EventResource::VolumeAttachment,
        }
    }

    /// The UID of the claim whose binding a change of this object may advance.
    #[must_use]
    pub fn claim_uid(&self) -> Option<&Str> {
        match self {
            Self::Claim(c) => Some(&c.meta.uid),
            Self::Volume(v) => v.claim_ref.as_ref().map(|r| &r.uid).filter(|uid| !uid.is_empty()),
            _ => None,
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    /// Volumes.
    pub volumes: AssumeCache<PersistentVolume>,
    /// Claims.
    pub claims: AssumeCache<PersistentVolumeClaim>,
    /// Names of volumes by class, sorted, so that choices can be repeated.
    by_class: HashMap<Str, BTreeSet<Str>>,
    classes: HashMap<Str, Arc<StorageClass>>,
    csi_nodes: HashMap<Str, Arc<CsiNode>>,
    csi_drivers: HashMap<Str, Arc<CsiDriver>>,
    capacities: BTreeMap<ObjectKey, Arc<CsiStorageCapacity>>,
    attachments: HashMap<Str, Arc<VolumeAttachment>>,
    /// Names of attachments by node.
    attached: HashMap<Str, BTreeSet<Str>>,
}

fn unindex(index: &mut HashMap<Str, BTreeSet<Str>>, under: &str, name: &str) {
    if let Some(names) = index.get_mut(under) {
        names.remove(name);
        if names.is_empty() {
            index.remove(under);
        }
    }
}

impl Storage {
    /// An object came or changed. Answers what was known of it before.
    pub fn set(&mut self, object: StorageObject) -> Option<StorageObject> {
        match object {
            StorageObject::Volume(new) => {
                let (name, class) = (new.name().clone(), new.class.clone());
                let old = self.volumes.set(new);
                if let Some(old) = old.as_ref().filter(|old| old.class != class) {
                    unindex(&mut self.by_class, &old.class, &name);
                }
                self.by_class.entry(class).or_default().insert(name);
                old.map(StorageObject::Volume)
            }
            StorageObject::Claim(new) => self.claims.set(new).map(StorageObject::Claim),
            StorageObject::Class(new) => self.classes.insert(new.meta.key.name.clone(), new).map(StorageObject::Class),
            StorageObject::CsiNode(new) => {
                self.csi_nodes.insert(new.meta.key.name.clone(), new).map(StorageObject::CsiNode)
            }
            StorageObject::CsiDriver(new) => {
                self.csi_drivers.insert(new.meta.key.name.clone(), new).map(StorageObject::CsiDriver)
            }
            StorageObject::Capacity(new) => {
                self.capacities.insert(new.meta.key.clone(), new).map(StorageObject::Capacity)
            }
            StorageObject::Attachment(new) => {
                let (name, node) = (new.meta.key.name.clone(), new.node_name.clone());
                let old = self.attachments.insert(name.clone(), new);
                if let Some(old) = old.as_ref().filter(|old| old.node_name != node) {
                    unindex(&mut self.attached, &old.node_name, &name);
                }
                self.attached.entry(node).or_default().insert(name);
                old.map(StorageObject::Attachment)
            }
        }
    }

    /// An object went. Answers what was known of it.
    pub fn remove(&mut self, kind: Kind, key: &ObjectKey) -> Option<StorageObject> {
        let name = &key.name;
        match kind {
            Kind::PERSISTENT_VOLUME => {
                let old = self.volumes.remove(key)?;
                unindex(&mut self.by_class, &old.class, name);
                Some(StorageObject::Volume(old))
            }
            Kind::PERSISTENT_VOLUME_CLAIM => self.claims.remove(key).map(StorageObject::Claim),
            Kind::STORAGE_CLASS => self.classes.remove(name).map(StorageObject::Class),
            Kind::CSI_NODE => self.csi_nodes.remove(name).map(StorageObject::CsiNode),
            Kind::CSI_DRIVER => self.csi_drivers.remove(name).map(StorageObject::CsiDriver),
            Kind::CSI_STORAGE_CAPACITY => self.capacities.remove(key).map(StorageObject::Capacity),
            Kind::VOLUME_ATTACHMENT => {
                let old = self.attachments.remove(name)?;
                unindex(&mut self.attached, &old.node_name, name);
                Some(StorageObject::Attachment(old))
            }
            _ => None,
        }
    }

    /// The volume of this name, as assumed.
    #[must_use]
    pub fn volume(&self, name: &Str) -> Option<&Arc<PersistentVolume>> {
        self.volumes.get(&ObjectKey { namespace: Str::default(), name: name.clone() })
    }

    /// The volumes of a class as assumed, by name.
    pub fn volumes_of(&self, class: &str) -> impl Iterator<Item = &Arc<PersistentVolume>> {
        self.by_class.get(class).into_iter().flatten().filter_map(|name| self.volume(name))
    }

    /// A claim as the API server has it.
    #[must_use]
    pub fn claim(&self, namespace: &Str, name: &Str) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.stored(&ObjectKey { namespace: namespace.clone(), name: name.clone() })
    }

    /// A class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.get(name)
    }

    /// The CSI drivers of a node.
    #[must_use]
    pub fn csi_node(&self, name: &str) -> Option<&Arc<CsiNode>> {
        self.csi_nodes.get(name)
    }

    /// A CSI driver.
    #[must_use]
    pub fn csi_driver(&self, name: &str) -> Option<&Arc<CsiDriver>> {
        self.csi_drivers.get(name)
    }

    /// Room for volumes, by namespace and name.
    pub fn capacities(&self) -> impl Iterator<Item = &Arc<CsiStorageCapacity>> {
        self.capacities.values()
    }

    /// What is attached to a node, by name.
    pub fn attachments_of(&self, node: &str) -> impl Iterator<Item = &Arc<VolumeAttachment>> {
        self.attached.get(node).into_iter().flatten().filter_map(|name| self.attachments.get(name))
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{volume, volume_attachment};

    use super::*;

    #[test]
    fn indexes_follow_the_objects() {
        let mut s = Storage::default();
        let names = |s: &Storage, class: &str| s.volumes_of(class).map(|v| v.name().to_string()).collect::<Vec<_>>();
        for (name, class) in [("b", "x"), ("a", "x"), ("c", "y")] {
            s.set(StorageObject::Volume(volume(name).class(class).arc()));
        }
        assert_eq!((names(&s, "x"), names(&s, "y")), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
        s.set(StorageObject::Volume(volume("b").class("y").rv(2).arc()));
        s.remove(Kind::PERSISTENT_VOLUME, &ObjectKey::new("", "c"));
        assert_eq!((names(&s, "x"), names(&s, "y")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        s.set(StorageObject::Attachment(Arc::new(volume_attachment("v", "d", "n1", "a"))));
        s.set(StorageObject::Attachment(Arc::new(volume_attachment("v", "d", "n2", "a"))));
        assert_eq!((s.attachments_of("n1").count(), s.attachments_of("n2").count()), (0, 1));
        s.remove(Kind::VOLUME_ATTACHMENT, &ObjectKey::new("", "v"));
        assert!(s.attached.is_empty());
    }
}
