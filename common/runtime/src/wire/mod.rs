//! API objects as they come over the wire or from a snapshot file, trimmed to what is read, and their conversion into
//! core rows.
//!
//! The structs have no `Serialize`, so that they can never be written back, and they decode whatever JSON they are
//! given: a field of the wrong type is a fault of that object alone, never of the page or stream it came in. An object
//! with a fault is skipped by whoever reads it, with a warning that names it.

mod de;
mod endpoint_slice;
mod endpoints;
mod interners;
mod lease;
mod memory_profile;
mod meta;
mod namespace;
mod node;
mod node_headroom;
mod pod;
mod pod_disruption_budget;
mod pod_spec;
mod priority_class;
mod raw;
mod replica_set;
mod replication_controller;
mod scheduling;
mod service;
mod storage;
pub mod time;
mod volumes;
mod workload;

use std::{fmt::Debug, sync::Arc};

use headroom_core::{
    Str,
    object::{self, Kind, Meta, ObjectKey},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use thiserror::Error;

use self::{
    de::{Obj, Text},
    meta::WireMeta,
};
pub use self::{
    interners::{Interners, SharedInterners, scheduling_interners, shared_interners},
    memory_profile::MemoryProfileRow,
    node_headroom::NodeHeadroomRow,
    raw::RawObject,
    replica_set::LinkRow,
};

/// An object that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} {key}: {reason}")]
pub struct ConvertError {
    /// Kind of the object.
    pub kind: &'static str,
    /// Its namespace and name, as far as known.
    pub key: ObjectKey,
    /// What is wrong with it.
    pub reason: String,
}

/// What every row can say of itself.
pub trait Row {
    /// Namespace and name.
    fn key(&self) -> &ObjectKey;
    /// UID.
    fn uid(&self) -> &Str;
    /// `resourceVersion`, 0 when it is not a number.
    fn resource_version(&self) -> u64;
}

/// An object on the wire that becomes a row.
pub trait WireObject: DeserializeOwned + Clone + Debug + Send + 'static {
    /// The row.
    type Row: Row + Debug + Send + Sync + 'static;
    /// Kind, with what its URL needs.
    const KIND: Kind;

    /// The row.
    ///
    /// # Errors
    /// [`ConvertError`] when a field is malformed in a way that must not be guessed over.
    fn convert(self, interners: &mut Interners) -> Result<Self::Row, ConvertError>;
}

/// What the body of a kind has to provide; [`Wire`] does the rest.
pub trait Body: DeserializeOwned + Default + Clone + Debug + Send + 'static {
    /// The row.
    type Row: Row + Debug + Send + Sync + 'static;
    /// Kind, with what its URL needs.
    const KIND: Kind;
    /// Whether all annotations are kept.
    const ALL_ANNOTATIONS: bool = false;

    /// Takes the metadata out.
    fn take_meta(&mut self) -> WireMeta;

    /// The row. `Err` is the reason why there is none.
    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Self::Row, String>;
}

/// An object of the kind whose body is `B`.
#[derive(Debug, Clone)]
pub struct Wire<B: Body> {
    meta: WireMeta,
    body: B,
    fault: Option<String>,
}

impl<'de, B: Body> Deserialize<'de> for Wire<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (decoded, fault) = de::with_faults(|| Obj::<B>::deserialize(deserializer));
        let mut body = decoded?.0;
        let meta = body.take_meta();
        Ok(Self { meta, body, fault })
    }
}

impl<B: Body> WireObject for Wire<B> {
    type Row = B::Row;
    const KIND: Kind = B::KIND;

    fn convert(self, interners: &mut Interners) -> Result<Self::Row, ConvertError> {
        let error = |key, reason| ConvertError { kind: B::KIND.kind, key, reason };
        let key = self.meta.key();
        if let Some(fault) = self.fault {
            return Err(error(key, fault));
        }
        if key.name.is_empty() {
            return Err(error(key, "it has no name".to_owned()));
        }
        let meta = self.meta.into_meta(interners, B::ALL_ANNOTATIONS);
        self.body.into_row(meta, interners).map_err(|reason| error(key, reason))
    }
}

macro_rules! wires {
    ($($(#[$doc:meta])* $name:ident = $body:ty;)*) => { $($(#[$doc])* pub type $name = Wire<$body>;)* };
}

wires! {
    /// `v1` Pod.
    PodWire = pod::PodBody;
    /// `v1` Node.
    NodeWire = node::NodeBody;
    /// `v1` Namespace.
    NamespaceWire = namespace::NamespaceBody;
    /// `v1` Service.
    ServiceWire = service::ServiceBody;
    /// `v1` Endpoints.
    EndpointsWire = endpoints::EndpointsBody;
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSliceWire = endpoint_slice::EndpointSliceBody;
    /// `v1` ReplicationController.
    ReplicationControllerWire = replication_controller::ReplicationControllerBody;
    /// `coordination.k8s.io/v1` Lease.
    LeaseWire = lease::LeaseBody;
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClassWire = priority_class::PriorityClassBody;
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudgetWire = pod_disruption_budget::PodDisruptionBudgetBody;
    /// `apps/v1` ReplicaSet: metadata with its owners.
    ReplicaSetWire = replica_set::ReplicaSetBody;
    /// `batch/v1` Job: metadata with its owners.
    JobWire = replica_set::JobBody;
    /// `v1` Service: its selector only.
    ServiceSelectorWire = workload::ServiceSelectorBody;
    /// `v1` ReplicationController: its selector only.
    ReplicationControllerSelectorWire = workload::ReplicationControllerSelectorBody;
    /// `apps/v1` ReplicaSet: its selector only.
    ReplicaSetSelectorWire = workload::ReplicaSetSelectorBody;
    /// `apps/v1` StatefulSet: its selector only.
    StatefulSetSelectorWire = workload::StatefulSetSelectorBody;
    /// `v1` PersistentVolume.
    PersistentVolumeWire = volumes::PersistentVolumeBody;
    /// `v1` PersistentVolumeClaim.
    PersistentVolumeClaimWire = volumes::PersistentVolumeClaimBody;
    /// `storage.k8s.io/v1` StorageClass.
    StorageClassWire = storage::StorageClassBody;
    /// `storage.k8s.io/v1` CSINode.
    CsiNodeWire = storage::CsiNodeBody;
    /// `storage.k8s.io/v1` CSIDriver.
    CsiDriverWire = storage::CsiDriverBody;
    /// `storage.k8s.io/v1` CSIStorageCapacity.
    CsiStorageCapacityWire = storage::CsiStorageCapacityBody;
    /// `storage.k8s.io/v1` VolumeAttachment.
    VolumeAttachmentWire = storage::VolumeAttachmentBody;
    /// `headroom.dev/v1alpha1` NodeHeadroom.
    NodeHeadroomWire = node_headroom::NodeHeadroomBody;
    /// `headroom.dev/v1alpha1` MemoryProfile.
    MemoryProfileWire = memory_profile::MemoryProfileBody;
}

macro_rules! rows {
    ($($row:ty),* $(,)?) => {
        $(impl Row for $row {
            fn key(&self) -> &ObjectKey {
                &self.meta.key
            }
            fn uid(&self) -> &Str {
                &self.meta.uid
            }
            fn resource_version(&self) -> u64 {
                self.meta.resource_version
            }
        })*
    };
}

rows!(
    object::Pod,
    object::Node,
    object::Namespace,
    object::Service,
    object::Endpoints,
    object::EndpointSlice,
    object::ReplicationController,
    object::Lease,
    object::PriorityClass,
    object::PodDisruptionBudget,
    object::PersistentVolume,
    object::PersistentVolumeClaim,
    object::StorageClass,
    object::CsiNode,
    object::CsiDriver,
    object::CsiStorageCapacity,
    object::VolumeAttachment,
    LinkRow,
    NodeHeadroomRow,
    MemoryProfileRow,
);

impl Row for object::WorkloadSelector {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
    fn uid(&self) -> &Str {
        &self.uid
    }
    fn resource_version(&self) -> u64 {
        self.resource_version
    }
}

/// A row of any kind, for readers of snapshot files.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are the kinds")]
pub enum AnyRow {
    Pod(Arc<object::Pod>),
    Node(Arc<object::Node>),
    Namespace(Arc<object::Namespace>),
    Service(Arc<object::Service>),
    Endpoints(Arc<object::Endpoints>),
    EndpointSlice(Arc<object::EndpointSlice>),
    ReplicationController(Arc<object::ReplicationController>),
    Lease(Arc<object::Lease>),
    PriorityClass(Arc<object::PriorityClass>),
    PodDisruptionBudget(Arc<object::PodDisruptionBudget>),
    PersistentVolume(Arc<object::PersistentVolume>),
    PersistentVolumeClaim(Arc<object::PersistentVolumeClaim>),
    StorageClass(Arc<object::StorageClass>),
    CsiNode(Arc<object::CsiNode>),
    CsiDriver(Arc<object::CsiDriver>),
    CsiStorageCapacity(Arc<object::CsiStorageCapacity>),
    VolumeAttachment(Arc<object::VolumeAttachment>),
    ReplicaSet(Arc<LinkRow>),
    NodeHeadroom(Arc<NodeHeadroomRow>),
    MemoryProfile(Arc<MemoryProfileRow>),
}

/// One object of a snapshot file. `kind` is its own `kind` field.
///
/// Kinds that nothing here reads are `Ok(None)`.
///
/// # Errors
/// [`ConvertError`] when the object is malformed.
pub fn from_json(
    kind: &str,
    object: serde_json::Value,
    interners: &mut Interners,
) -> Result<Option<AnyRow>, ConvertError> {
    macro_rules! dispatch {
        ($($name:literal => $wire:ident $variant:ident,)*) => {
            match kind {
                $($name if same_group::<$wire>(&object) => {
                    decode::<$wire>(object, interners).map(|row| Some(AnyRow::$variant(Arc::new(row))))
                })*
                _ => Ok(None),
            }
        };
    }
    dispatch! {
        "Pod" => PodWire Pod,
        "Node" => NodeWire Node,
        "Namespace" => NamespaceWire Namespace,
        "Service" => ServiceWire Service,
        "Endpoints" => EndpointsWire Endpoints,
        "EndpointSlice" => EndpointSliceWire EndpointSlice,
        "ReplicationController" => ReplicationControllerWire ReplicationController,
        "Lease" => LeaseWire Lease,
        "PriorityClass" => PriorityClassWire PriorityClass,
        "PodDisruptionBudget" => PodDisruptionBudgetWire PodDisruptionBudget,
        "PersistentVolume" => PersistentVolumeWire PersistentVolume,
        "PersistentVolumeClaim" => PersistentVolumeClaimWire PersistentVolumeClaim,
        "StorageClass" => StorageClassWire StorageClass,
        "CSINode" => CsiNodeWire CsiNode,
        "CSIDriver" => CsiDriverWire CsiDriver,
        "CSIStorageCapacity" => CsiStorageCapacityWire CsiStorageCapacity,
        "VolumeAttachment" => VolumeAttachmentWire VolumeAttachment,
        "ReplicaSet" => ReplicaSetWire ReplicaSet,
        "NodeHeadroom" => NodeHeadroomWire NodeHeadroom,
        "MemoryProfile" => MemoryProfileWire MemoryProfile,
    }
}

/// Whether the object's `apiVersion`, if it has one, is of the group that is read: other groups have kinds of the same
/// name.
fn same_group<W: WireObject>(object: &serde_json::Value) -> bool {
    let Some(version) = object.get("apiVersion").and_then(serde_json::Value::as_str) else { return true };
    version.rsplit_once('/').map_or("", |(group, _)| group) == W::KIND.group
}

/// The selector of a Service, ReplicationController, ReplicaSet or StatefulSet of a snapshot file. `kind` is its own
/// `kind` field; other kinds are `Ok(None)`.
///
/// # Errors
/// [`ConvertError`] when the object is malformed.
pub fn selector_from_json(
    kind: &str,
    object: serde_json::Value,
    interners: &mut Interners,
) -> Result<Option<object::WorkloadSelector>, ConvertError> {
    macro_rules! selectors {
        ($($kind:literal => $wire:ident,)*) => {
            match kind {
                $($kind if same_group::<$wire>(&object) => decode::<$wire>(object, interners).map(Some),)*
                _ => Ok(None),
            }
        };
    }
    selectors! {
        "Service" => ServiceSelectorWire,
        "ReplicationController" => ReplicationControllerSelectorWire,
        "ReplicaSet" => ReplicaSetSelectorWire,
        "StatefulSet" => StatefulSetSelectorWire,
    }
}

fn decode<W: WireObject>(object: serde_json::Value, interners: &mut Interners) -> Result<W::Row, ConvertError> {
    let wire: W = serde_json::from_value(object).map_err(|e| ConvertError {
        kind: W::KIND.kind,
        key: ObjectKey::default(),
        reason: e.to_string(),
    })?;
    wire.convert(interners)
}

/// A port of the API, 0 when it is absent or out of range.
fn port(number: Option<i64>) -> u16 {
    number.and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
}

/// As `i32`, cut at its ends.
fn narrow(number: Option<i64>) -> i32 {
    let n = number.unwrap_or(0);
    i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX })
}

/// Absent when empty.
fn optional(text: &Text, interners: &mut Interners) -> Option<Str> {
    (!text.is_empty()).then(|| interners.str(text))
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
