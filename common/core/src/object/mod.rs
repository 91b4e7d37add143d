//! Rows: what is kept of each API object.
//!
//! A row has the fields that something here reads, and no others; it can never be written back (rows have no
//! `Serialize`), so writing is always a patch, a create or a full typed object (DESIGN.md 4.4). The runtime converts
//! wire objects into rows and interns what repeats: all pods of one template share one [`PodSpec`].

mod core_v1;
mod csi_translation;
mod endpoints;
mod kind;
mod memory_profile;
mod meta;
mod node;
mod node_headroom;
mod pod;
mod pod_spec;
mod policy;
mod storage;
mod workload;

pub use self::{
    core_v1::{
        Lease, Namespace, PriorityClass, RcCondition, ReplicationController, ReplicationControllerStatus, Service,
        ServicePort, TargetPort,
    },
    endpoints::{
        AddressType, Endpoint, EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints,
        ObjectReference, TargetRef, TargetRest,
    },
    kind::Kind,
    memory_profile::{MemoryProfile, ProfileEntry},
    meta::{Ending, Meta, ObjectKey, OwnerRef},
    node::{ContainerImage, Node, NodeAddress, NodeCondition, Status},
    node_headroom::{NodeHeadroom, PublishedCondition},
    pod::{ContainerResize, ContainerStatus, DnsName, Incidents, Phase, Pod, PodCondition, PodResize, PodStatus, Qos},
    pod_spec::{
        Affinity, Container, ContainerPort, NodeAffinity, NodeInclusion, PodAffinityTerm, PodSpec, PreemptionPolicy,
        Protocol, RbdVolume, RestartPolicy, TopologySpreadConstraint, Volume, VolumeKind, WeightedPodAffinityTerm,
    },
    policy::PodDisruptionBudget,
    storage::{
        AccessModes, BIND_COMPLETED, BOUND_BY_CONTROLLER, BindingMode, ClaimRef, CsiDriver, CsiNode,
        CsiStorageCapacity, DEFAULT_CLASS, InTreePlugin, MIGRATED_PLUGINS, NO_PROVISIONER, PersistentVolume,
        PersistentVolumeClaim, PvSource, SELECTED_NODE, StorageClass, VolumeAttachment,
    },
    workload::{WorkloadKind, WorkloadSelector},
};
