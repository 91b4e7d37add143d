//! Intents: what a core wants done, as data (DESIGN.md 4.2).
//!
//! A core emits [`Intent`]s; the dispatcher of the runtime executes them behind the leader gate, with preconditions,
//! limits and deadlines, and each comes back as exactly one [`Outcome`] (events excepted: they are fire and forget).

use std::{fmt, sync::Arc};

use serde_json::Value;
use thiserror::Error;

use crate::{
    object::{Kind, ObjectKey, ObjectReference, PodCondition},
    str::Str,
    time::Timestamp,
};

/// Ties an outcome to its intent. Chosen by the core that emits it; unique per core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(pub u64);

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Comes back in the outcome.
    pub id: IntentId,
    /// What.
    pub op: Op,
}

/// The three lanes of the dispatcher, in the order of their precedence (DESIGN.md 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Bindings, creations, deletions and whatever else a decision rests on. Never dropped.
    Write,
    /// Patches of a pod's status: coalesced per pod, never dropped.
    Status,
    /// Events: dropped, and counted, when their lane is full.
    Event,
}

/// How a patch is to be read by the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge patch (built-in kinds only).
    Strategic,
    /// RFC 6902.
    Json,
}

/// An operation. All carry the preconditions that make a late arrival harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Binds a pod: POST of a `Binding` with the pod's UID.
    Bind {
        /// Which pod.
        pod: ObjectKey,
        /// Its UID: a pod made anew under the same name is not bound.
        uid: Str,
        /// Where.
        node: Str,
    },
    /// Sets conditions and the nominated node in a pod's status, by a strategic merge patch with the pod's UID.
    PodStatus {
        /// Which pod.
        pod: ObjectKey,
        /// Its UID.
        uid: Str,
        /// What to set.
        patch: PodStatusPatch,
    },
    /// Creates an object.
    Create {
        /// Kind.
        kind: Kind,
        /// Namespace (empty for cluster-scoped kinds) and name.
        key: ObjectKey,
        /// The full object as JSON, `apiVersion` and `kind` included.
        body: Arc<Value>,
    },
    /// Patches an object, or its subresource.
    Patch {
        /// Kind.
        kind: Kind,
        /// Which object.
        key: ObjectKey,
        /// `status`, or empty for the object itself.
        subresource: &'static str,
        /// Format of the patch.
        patch: PatchKind,
        /// The patch. Preconditions (`metadata.uid`, `metadata.resourceVersion`, JSON patch `test`) are part of it.
        body: Arc<Value>,
    },
    /// Replaces an object of our own (never one whose newer fields our types might drop). The body carries the
    /// `resourceVersion` that it was made from.
    Update {
        /// Kind.
        kind: Kind,
        /// Which object.
        key: ObjectKey,
        /// `status`, or empty for the object itself.
        subresource: &'static str,
        /// The full object as JSON.
        body: Arc<Value>,
    },
    /// Deletes an object.
    Delete {
        /// Kind.
        kind: Kind,
        /// Which object.
        key: ObjectKey,
        /// Precondition: this UID.
        uid: Option<Str>,
        /// Precondition: this resource version.
        resource_version: Option<u64>,
        /// Grace period in seconds; absent means the object's own.
        grace_seconds: Option<i64>,
    },
    /// Reads an object from etcd (consistent): to learn what became of a write of unknown outcome.
    Get {
        /// Kind.
        kind: Kind,
        /// Which object.
        key: ObjectKey,
    },
    /// Lists objects from etcd (consistent), trimmed to metadata: names, UIDs, labels and owners.
    List {
        /// Kind.
        kind: Kind,
        /// Namespace, empty for all.
        namespace: Str,
        /// Label selector in the API's syntax, empty for all.
        labels: String,
    },
    /// Records an event. No outcome comes back.
    Event(EventRecord),
}

impl Op {
    /// The lane in which the dispatcher executes the operation.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::PodStatus { .. } => Lane::Status,
            Self::Event(_) => Lane::Event,
            _ => Lane::Write,
        }
    }
}

/// Changes to a pod's status. Superseded ones are merged: the last of equal condition types wins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodStatusPatch {
    /// Conditions to set, merged by type.
    pub conditions: Vec<PodCondition>,
    /// `Some(Some(node))` sets `nominatedNodeName`, `Some(None)` clears it, `None` leaves it.
    pub nominated_node_name: Option<Option<Str>>,
}

impl PodStatusPatch {
    /// Takes over what `later` sets.
    pub fn supersede(&mut self, later: Self) {
        for condition in later.conditions {
            match self.conditions.iter_mut().find(|c| c.kind == condition.kind) {
                Some(mine) => *mine = condition,
                None => self.conditions.push(condition),
            }
        }
        if later.nominated_node_name.is_some() {
            self.nominated_node_name = later.nominated_node_name;
        }
    }
}

/// `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Nothing is wrong.
    Normal,
    /// Something is.
    Warning,
}

impl EventType {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// An event to be recorded. Which API it goes to (`events.k8s.io/v1` with series, or core `v1`) is the recorder's
/// configuration, as it is upstream: the scheduler uses the former, the controllers the latter.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// `apiVersion` of the object it is about.
    pub regarding_api_version: &'static str,
    /// The object it is about.
    pub regarding: ObjectReference,
    /// A second object, if any.
    pub related: Option<ObjectReference>,
    /// Type.
    pub kind: EventType,
    /// CamelCase reason.
    pub reason: &'static str,
    /// What was done (`events.k8s.io/v1` only).
    pub action: &'static str,
    /// For people; the recorder cuts it at 1024 bytes as the API demands.
    pub note: String,
    /// Who says so when it is not the process's default: the name of a profile or a controller.
    pub reporter: Option<Str>,
    /// When.
    pub at: Timestamp,
}

/// What became of an intent.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whose outcome.
    pub id: IntentId,
    /// The object as written, or why it was not.
    pub result: Result<Written, WriteError>,
}

/// Metadata of an object found by a consistent read.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Str,
    /// `resourceVersion`.
    pub resource_version: u64,
    /// The whole object as JSON for `Get`, null for `List`.
    pub body: Arc<Value>,
}

/// A write that was done, or a read that was answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// UID of the object, when the answer had one.
    pub uid: Option<Str>,
    /// `resourceVersion` of the object, or of the list; 0 when the answer had none.
    pub resource_version: u64,
    /// What a read found.
    pub found: Vec<Found>,
}

/// Why a write was not done. [`WriteError::is_unknown`] is the one case in which it may have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// This process does not hold the lease (any more): nothing was sent.
    #[error("not the leader: nothing was sent")]
    NotLeader,
    /// The dispatcher had no room: nothing was sent. Cores that take a credit first never see it.
    #[error("the dispatcher's queue is full: nothing was sent")]
    Busy,
    /// 409 Conflict: the precondition did not hold.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 409 AlreadyExists.
    #[error("already exists: {0}")]
    AlreadyExists(String),
    /// 404.
    #[error("not found: {0}")]
    NotFound(String),
    /// 403; the message names the missing rule, or the quota that is used up.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 422 or 400.
    #[error("invalid: {0}")]
    Invalid(String),
    /// 403 because the namespace is being deleted.
    #[error("the namespace is being terminated: {0}")]
    NamespaceTerminating(String),
    /// 429 or 503: the server asks for patience.
    #[error("the API server is busy: {message}")]
    Throttled {
        /// What it said.
        message: String,
        /// `Retry-After` in seconds, if it said.
        retry_after_seconds: Option<u64>,
    },
    /// No answer in time, or the connection broke after the request was sent: it may or may not have been done.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The connection could not be made: nothing was sent.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// Any other status.
    #[error("HTTP {code}: {message}")]
    Other {
        /// Status code.
        code: u16,
        /// What the server said.
        message: String,
    },
}

impl WriteError {
    /// Whether the same intent may succeed later without anything else changing.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unknown(_) | Self::Unreachable(_) | Self::Busy => true,
            Self::Other { code, .. } => *code >= 500,
            _ => false,
        }
    }

    /// Whether it may have been done all the same.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Other { code, .. } => *code >= 500,
            _ => false,
        }
    }

    /// A word for metrics' labels.
    #[must_use]
    pub const fn metric_label(&self) -> &'static str {
        match self {
            Self::NotLeader => "not_leader",
            Self::Busy => "busy",
            Self::Conflict(_) => "conflict",
            Self::AlreadyExists(_) => "already_exists",
            Self::NotFound(_) => "not_found",
            Self::Forbidden(_) => "forbidden",
            Self::Invalid(_) => "invalid",
            Self::NamespaceTerminating(_) => "namespace_terminating",
            Self::Throttled { .. } => "throttled",
            Self::Unknown(_) => "unknown",
            Self::Unreachable(_) => "unreachable",
            Self::Other { .. } => "other",
        }
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Status;

    fn condition(kind: &str, message: &str) -> PodCondition {
        PodCondition {
            kind: kind.into(),
            status: Status::False,
            reason: "r".into(),
            message: message.into(),
            last_transition: None,
            observed_generation: 0,
        }
    }

    #[test]
    fn the_later_status_wins_by_condition_type() {
        let mut patch = PodStatusPatch {
            conditions: vec![condition("A", "1"), condition("B", "1")],
            nominated_node_name: Some(Some("n".into())),
        };
        patch.supersede(PodStatusPatch {
            conditions: vec![condition("B", "2"), condition("C", "2")],
            nominated_node_name: None,
        });
        let got: Vec<_> = patch.conditions.iter().map(|c| format!("{}{}", c.kind, c.message)).collect();
        assert_eq!(got, ["A1", "B2", "C2"]);
        assert_eq!(patch.nominated_node_name, Some(Some("n".into())));
    }

    #[test]
    fn only_what_may_have_been_done_is_unknown() {
        assert!(WriteError::Unknown(String::new()).is_unknown());
        assert!(!WriteError::Unreachable(String::new()).is_unknown());
        assert!(WriteError::Unreachable(String::new()).is_retryable());
        assert!(!WriteError::NotLeader.is_retryable());
    }
}
