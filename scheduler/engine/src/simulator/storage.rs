//! Volumes and claims of the simulated API server, with a PV controller that binds when it is told to.

use std::sync::Arc;

use headroom_core::{
    Str,
    intent::{WriteError, Written},
    object::{
        BIND_COMPLETED, ClaimRef, Kind, ObjectKey, PersistentVolume, PersistentVolumeClaim, SELECTED_NODE, StorageClass,
    },
};
use serde_json::Value;

use super::Simulator;
use crate::{Input, cache::StorageObject};

impl Simulator {
    /// An object of storage comes or changes.
    pub fn storage(&mut self, mut object: StorageObject) {
        self.version += 1;
        let version = self.version;
        match &mut object {
            StorageObject::Volume(o) => Arc::make_mut(o).meta.resource_version = version,
            StorageObject::Claim(o) => Arc::make_mut(o).meta.resource_version = version,
            _ => {}
        }
        let key = (object.resource() as u8, object.meta().key.clone());
        self.stored.insert(key, object.clone());
        if self.watching {
            self.input(Input::StorageApplied(object));
        }
    }

    /// A volume comes or changes.
    pub fn volume(&mut self, volume: PersistentVolume) {
        self.storage(StorageObject::Volume(Arc::new(volume)));
    }

    /// A claim comes or changes.
    pub fn claim(&mut self, claim: PersistentVolumeClaim) {
        self.storage(StorageObject::Claim(Arc::new(claim)));
    }

    /// A class comes or changes.
    pub fn class(&mut self, class: StorageClass) {
        self.storage(StorageObject::Class(Arc::new(class)));
    }

    /// One of the objects of storage goes, by its place among them.
    pub fn delete_storage(&mut self, place: usize) {
        let place = place.checked_rem(self.stored.len()).unwrap_or(0);
        let Some(at) = self.stored.keys().nth(place).cloned() else { return };
        let Some(object) = self.stored.remove(&at) else { return };
        let kind = match object {
            StorageObject::Volume(_) => Kind::PERSISTENT_VOLUME,
            StorageObject::Claim(_) => Kind::PERSISTENT_VOLUME_CLAIM,
            StorageObject::Class(_) => Kind::STORAGE_CLASS,
            StorageObject::CsiNode(_) => Kind::CSI_NODE,
            StorageObject::CsiDriver(_) => Kind::CSI_DRIVER,
            StorageObject::Capacity(_) => Kind::CSI_STORAGE_CAPACITY,
            StorageObject::Attachment(_) => Kind::VOLUME_ATTACHMENT,
        };
        self.input(Input::StorageDeleted { kind, key: at.1 });
    }

    /// An object of storage as the API server has it.
    fn find(&self, kind: Kind, key: &ObjectKey) -> Option<&StorageObject> {
        self.stored.values().find(|o| {
            o.meta().key == *key
                && match o {
                    StorageObject::Volume(_) => kind == Kind::PERSISTENT_VOLUME,
                    StorageObject::Claim(_) => kind == Kind::PERSISTENT_VOLUME_CLAIM,
                    _ => false,
                }
        })
    }

    /// What the scheduler writes: a claim's reference, a chosen node.
    pub(super) fn patch_storage(&mut self, kind: Kind, key: &ObjectKey, body: &Value) -> Result<Written, WriteError> {
        let Some(object) = self.find(kind, key).cloned() else { return Err(WriteError::NotFound(key.to_string())) };
        let meta = object.meta();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("/metadata/uid") != *meta.uid || text("/metadata/resourceVersion") != meta.resource_version.to_string()
        {
            return Err(WriteError::Conflict("the object has been modified".into()));
        }
        match object {
            StorageObject::Volume(volume) => {
                let of = |field: &str| Str::from(text(&format!("/spec/claimRef/{field}")));
                let claim_ref = ClaimRef { namespace: of("namespace"), name: of("name"), uid: of("uid") };
                self.volume(PersistentVolume { claim_ref: Some(claim_ref), ..(*volume).clone() });
            }
            StorageObject::Claim(claim) => {
                let mut claim = (*claim).clone();
                let node = body["metadata"]["annotations"][SELECTED_NODE].as_str().unwrap_or_default();
                claim.meta.annotations = claim.meta.annotations.with(SELECTED_NODE, node);
                self.claim(claim);
            }
            other => panic!("nobody writes {other:?}"),
        }
        Ok(Written { resource_version: self.version, ..Written::default() })
    }

    /// The PV controller: claims whose volume refers to them are bound, and chosen claims get a volume that is made for
    /// them when `provision` says so.
    pub fn bind_claims(&mut self, provision: bool) {
        let all: Vec<StorageObject> = self.stored.values().cloned().collect();
        for claim in &all {
            let StorageObject::Claim(claim) = claim else { continue };
            if claim.is_fully_bound() {
                continue;
            }
            let made = (provision && claim.selected_node().is_some()).then(|| {
                let mut volume = headroom_core::testing::volume(&format!("pvc-{}", claim.meta.uid)).build();
                volume.class = claim.class.clone();
                volume.claim_ref = Some(ClaimRef {
                    namespace: claim.meta.key.namespace.clone(),
                    name: claim.name().clone(),
                    uid: claim.meta.uid.clone(),
                });
                volume
            });
            let reserved = all.iter().find_map(|o| match o {
                StorageObject::Volume(v) if v.is_bound_to(claim) => Some((**v).clone()),
                _ => None,
            });
            let Some(mut volume) = reserved.or(made) else { continue };
            volume.available = false;
            let mut bound = (**claim).clone();
            bound.volume_name = volume.name().clone();
            bound.meta.annotations = bound.meta.annotations.with(BIND_COMPLETED, "yes");
            self.volume(volume);
            self.claim(bound);
        }
    }
}
