//! What reaches the thread that decides.

use headroom_core::{
    intent::Outcome,
    object::{Namespace, Node, Pod, PodDisruptionBudget, WorkloadKind, WorkloadSelector},
};
use headroom_runtime::{informer::Change, wire::NodeHeadroomRow};

/// One message. The channel that carries them is bounded: a slow decision slows the informers down, nothing piles up.
#[derive(Debug)]
pub(crate) enum Message {
    /// Pods.
    Pod(Change<Pod>),
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
    /// What became of an intent.
    Outcome(Outcome),
    /// This process leads from now on.
    Lead,
    /// Write cache and queue to the log.
    Dump,
    /// End the thread.
    Stop,
}
