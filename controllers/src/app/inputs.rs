//! What reaches the loops: changes of the world, outcomes, and what kubelets answered.

use headroom_core::{
    intent::Outcome,
    object::{EndpointSlice, Endpoints, Kind, Lease, Namespace, Node, Pod, ReplicationController, Service},
};
use headroom_runtime::{
    informer::Change,
    wire::{LinkRow, MemoryProfileRow, NodeHeadroomRow},
};

use crate::{memory_profile, node_headroom::Answer, selection};

/// One input. The channel that carries them is bounded: a slow loop slows the informers down, nothing piles up.
#[derive(Debug)]
pub(super) enum Input {
    /// Pods.
    Pod(Change<Pod>),
    /// Nodes.
    Node(Change<Node>),
    /// Replication controllers.
    Rc(Change<ReplicationController>),
    /// Services.
    Service(Change<Service>),
    /// Endpoints.
    Endpoints(Change<Endpoints>),
    /// Slices.
    Slice(Change<EndpointSlice>),
    /// Node leases.
    Lease(Change<Lease>),
    /// Namespaces.
    Namespace(Change<Namespace>),
    /// Published samples.
    Headroom(Change<NodeHeadroomRow>),
    /// What was learned of workloads.
    Profile(Change<MemoryProfileRow>),
    /// ReplicaSets.
    ReplicaSet(Change<LinkRow>),
    /// Jobs.
    Job(Change<LinkRow>),
    /// What became of an intent.
    Outcome(Outcome),
    /// What a kubelet or metrics.k8s.io answered.
    Answer(Answer),
}

/// The kinds that a loop has to know completely before it may start.
#[must_use]
pub(super) fn needs(controller: &str) -> &'static [Kind] {
    match controller {
        selection::REPLICATION => &[Kind::POD, Kind::REPLICATION_CONTROLLER],
        selection::ENDPOINTS => &[Kind::POD, Kind::SERVICE, Kind::ENDPOINTS],
        selection::ENDPOINT_SLICE => &[Kind::POD, Kind::SERVICE, Kind::ENDPOINT_SLICE, Kind::NODE],
        selection::ENDPOINT_SLICE_MIRRORING => &[Kind::SERVICE, Kind::ENDPOINTS, Kind::ENDPOINT_SLICE],
        selection::POD_GC => &[Kind::POD, Kind::NODE],
        selection::NODE_LIFECYCLE => &[Kind::NODE, Kind::LEASE, Kind::POD],
        selection::TAINT_EVICTION => &[Kind::NODE, Kind::POD],
        selection::NODE_HEADROOM => &[Kind::NODE, Kind::POD, Kind::NODE_HEADROOM],
        selection::MEMORY_PROFILE => memory_profile::NEEDS,
        _ => &[],
    }
}
