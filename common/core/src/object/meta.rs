//! What every row knows of its object's metadata.

use std::{fmt, sync::Arc};

use crate::{selector::Labels, str::Str, time::Timestamp};

/// Namespace and name; the namespace is empty for cluster-scoped objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
}

impl ObjectKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: impl Into<Str>, name: impl Into<Str>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    /// `namespace/name`, or the name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerRef {
    /// `apiVersion` of the owner.
    pub api_version: Str,
    /// Kind of the owner.
    pub kind: Str,
    /// Name of the owner, in the same namespace or cluster-scoped.
    pub name: Str,
    /// UID of the owner.
    pub uid: Str,
    /// Whether the owner manages this object.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

/// Metadata that is kept. Annotations are only those that something reads (the runtime's conversion lists them).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Str,
    /// `resourceVersion`; comparable since Kubernetes 1.35 says so, 0 when it is not a number.
    pub resource_version: u64,
    /// `metadata.generation`, 0 when unset.
    pub generation: i64,
    /// All labels.
    pub labels: Labels,
    /// Some annotations.
    pub annotations: Labels,
    /// `creationTimestamp`.
    pub created: Timestamp,
    /// `deletionTimestamp`: when the grace period ends.
    pub deleted: Option<Timestamp>,
    /// `deletionGracePeriodSeconds`.
    pub deletion_grace_seconds: Option<i64>,
    /// Owners.
    pub owners: Arc<[OwnerRef]>,
    /// Whether finalizers hold the object back.
    pub has_finalizers: bool,
}

impl Meta {
    /// The owner that manages the object (`metav1.GetControllerOf`).
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|o| o.controller)
    }

    /// Whether deletion has been asked for.
    #[must_use]
    pub const fn is_terminating(&self) -> bool {
        self.deleted.is_some()
    }
}
