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

/// How an object ends. Most have nothing of it, so that it has a place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// `deletionTimestamp`: when the grace period ends.
    pub deleted: Option<Timestamp>,
    /// `deletionGracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// Whether finalizers hold the object back.
    pub has_finalizers: bool,
}

impl Ending {
    /// For [`Meta::ending`]: nothing when there is nothing to say, so that equal metadata are equal.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
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
    /// Owners.
    pub owners: Arc<[OwnerRef]>,
    /// What there is to say of its end; see [`Ending::boxed`].
    pub ending: Option<Box<Ending>>,
}

impl Meta {
    /// The owner that manages the object (`metav1.GetControllerOf`).
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|o| o.controller)
    }

    /// `deletionTimestamp`: when the grace period ends.
    #[must_use]
    pub fn deleted(&self) -> Option<Timestamp> {
        self.ending.as_ref()?.deleted
    }

    /// `deletionGracePeriodSeconds`.
    #[must_use]
    pub fn deletion_grace_seconds(&self) -> Option<i64> {
        self.ending.as_ref()?.grace_seconds
    }

    /// Whether finalizers hold the object back.
    #[must_use]
    pub fn has_finalizers(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.has_finalizers)
    }

    /// Whether deletion has been asked for.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.deleted().is_some()
    }

    /// Deletion has been asked for, with a grace period that ends then.
    pub fn set_deleted(&mut self, at: Timestamp) {
        self.change_ending(|ending| ending.deleted = Some(at));
    }

    /// Changes what there is to say of its end.
    pub fn change_ending(&mut self, change: impl FnOnce(&mut Ending)) {
        let mut ending = self.ending.take().map_or_else(Ending::default, |known| *known);
        change(&mut ending);
        self.ending = ending.boxed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_takes_no_place() {
        let mut meta = Meta::default();
        meta.change_ending(|ending| ending.has_finalizers = false);
        assert_eq!(meta, Meta::default());
        meta.set_deleted(Timestamp(5));
        meta.change_ending(|ending| {
            ending.grace_seconds = Some(30);
            ending.has_finalizers = true;
        });
        assert_eq!((meta.deleted(), meta.deletion_grace_seconds()), (Some(Timestamp(5)), Some(30)));
        assert!(meta.is_terminating() && meta.has_finalizers());
        meta.change_ending(|ending| *ending = Ending::default());
        assert_eq!(meta.ending, None);
    }
}
