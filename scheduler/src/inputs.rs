//! What reaches the decider.

use std::sync::Arc;

use headroom_core::{
    Mono, Str,
    intent::{IntentId, Outcome},
    object::{Kind, Namespace, Node, Pod, PodDisruptionBudget, WorkloadKind, WorkloadSelector},
};
use headroom_engine::{Input, cache::StorageObject, extender::ExtenderAnswer, framework::PodInfo};
use headroom_runtime::{
    informer::Change,
    wire::{MemoryProfileRow, NodeHeadroomRow},
};
use tokio::sync::oneshot;

/// One message. The channel that carries them is bounded: a slow decision slows the informers down, nothing piles up.
#[derive(Debug)]
pub(crate) enum Message {
    /// Pods, and when the informer had read the change.
    Pod(Change<Pod>, Mono),
    /// Nodes.
    Node(Change<Node>),
    /// Namespaces.
    Namespace(Change<Namespace>),
    /// Pod disruption budgets.
    Budget(Change<PodDisruptionBudget>),
    /// Selectors of Services and of what owns pods.
    Selector(WorkloadKind, Change<WorkloadSelector>),
    /// Published samples.
    Headroom(Change<NodeHeadroomRow>),
    /// What was learned of workloads.
    Profile(Change<MemoryProfileRow>),
    /// Volumes, claims and what belongs to them.
    Storage(Input),
    /// The first list of a kind of storage is complete.
    StorageSynced(Kind),
    /// What became of an intent.
    Outcome(Outcome),
    /// An extender answered, or failed to.
    Extended {
        /// The call's.
        id: IntentId,
        /// The answer.
        answer: Result<ExtenderAnswer, String>,
    },
    /// This process leads from now on.
    Lead,
    /// All pods are wanted, with their nodes.
    Pods(oneshot::Sender<Vec<(PodInfo, Str)>>),
    /// Write cache and queue to the log.
    Dump,
    /// Wakes the thread up that is to end.
    Stop,
}

/// The message of a change of an object of storage.
pub(crate) fn storage<T>(kind: Kind, wrap: fn(Arc<T>) -> StorageObject, change: Change<T>) -> Message {
    match change {
        Change::Applied(row) => Message::Storage(Input::StorageApplied(wrap(row))),
        Change::Deleted { key, .. } => Message::Storage(Input::StorageDeleted { kind, key }),
        Change::Synced => Message::StorageSynced(kind),
    }
}
