//! Objects whose selectors say which pods belong together.

use super::{
    kind::Kind,
    meta::{ObjectKey, OwnerRef},
};
use crate::{selector::LabelSelector, str::Str};

/// A kind of such objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A Service.
    Service,
    /// A ReplicationController.
    ReplicationController,
    /// A ReplicaSet.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
}

impl WorkloadKind {
    /// The kind, with what its URL needs.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Service => Kind::SERVICE,
            Self::ReplicationController => Kind::REPLICATION_CONTROLLER,
            Self::ReplicaSet => Kind::REPLICA_SET,
            Self::StatefulSet => Kind::STATEFUL_SET,
        }
    }

    /// The kind that an owner reference names, when it is one of those that own pods.
    #[must_use]
    pub fn of_owner(api_version: &str, kind: &str) -> Option<Self> {
        Some(match (api_version, kind) {
            ("v1", "ReplicationController") => Self::ReplicationController,
            ("apps/v1", "ReplicaSet") => Self::ReplicaSet,
            ("apps/v1", "StatefulSet") => Self::StatefulSet,
            _ => return None,
        })
    }
}

/// A Service, ReplicationController, ReplicaSet or StatefulSet, as far as its selector goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadSelector {
    /// Which kind.
    pub kind: WorkloadKind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Str,
    /// `resourceVersion`, 0 when it is not a number.
    pub resource_version: u64,
    /// The selector; absent selects nothing.
    pub selector: Option<LabelSelector>,
    /// Of a ReplicaSet: who manages it.
    pub owner: Option<OwnerRef>,
}
