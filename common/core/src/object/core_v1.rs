//! Replication controllers, services, namespaces, priority classes and leases.

use std::sync::Arc;

use super::{
    meta::Meta,
    node::Status,
    pod_spec::{PreemptionPolicy, Protocol},
};
use crate::{selector::Labels, str::Str, time::Timestamp};

/// A condition of a replication controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RcCondition {
    /// Type: `ReplicaFailure`.
    pub kind: Str,
    /// Status.
    pub status: Status,
    /// Reason.
    pub reason: Str,
    /// Message.
    pub message: Str,
    /// When the status last changed.
    pub last_transition: Option<Timestamp>,
}

/// `status` of a replication controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ReplicationControllerStatus {
    /// Active pods.
    pub replicas: i32,
    /// Of these, with all labels of the template.
    pub fully_labeled_replicas: i32,
    /// Of these, ready.
    pub ready_replicas: i32,
    /// Of these, ready for `minReadySeconds`.
    pub available_replicas: i32,
    /// The generation that the status speaks of.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Box<[RcCondition]>,
}

/// A replication controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicationController {
    /// Metadata.
    pub meta: Meta,
    /// Wanted pods; the API's default is 1.
    pub replicas: i32,
    /// `minReadySeconds`.
    pub min_ready_seconds: i32,
    /// Equality selector; the API server sets it from the template's labels when unset.
    pub selector: Labels,
    /// Labels of the template.
    pub template_labels: Labels,
    /// The template as JSON, untouched: what is written into pods must lose no field.
    pub template: Arc<str>,
    /// Status.
    pub status: ReplicationControllerStatus,
}

/// Where a service's port leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container's port.
    Name(Str),
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Name, empty when unset.
    pub name: Str,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the service.
    pub port: u16,
    /// Where it leads.
    pub target: TargetPort,
    /// `appProtocol`.
    pub app_protocol: Option<Str>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Metadata.
    pub meta: Meta,
    /// Equality selector; absent means that somebody else writes the endpoints.
    pub selector: Option<Labels>,
    /// Ports.
    pub ports: Box<[ServicePort]>,
    /// `clusterIP`; `None` (the word) means headless.
    pub cluster_ip: Str,
    /// `type`: `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    pub kind: Str,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// `ipFamilies`: `IPv4`, `IPv6`.
    pub ip_families: Box<[Str]>,
    /// `trafficDistribution`, empty when unset.
    pub traffic_distribution: Str,
}

impl Service {
    /// Whether it has no cluster address.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Metadata.
    pub meta: Meta,
    /// Whether it is being deleted (`status.phase` is `Terminating`).
    pub terminating: bool,
}

/// A priority class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriorityClass {
    /// Metadata.
    pub meta: Meta,
    /// Value.
    pub value: i32,
    /// Preemption policy.
    pub preemption_policy: PreemptionPolicy,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// Metadata.
    pub meta: Meta,
    /// Who holds it, empty when nobody does.
    pub holder: Str,
    /// For how long after `renewed`.
    pub duration_seconds: i32,
    /// Last renewal.
    pub renewed: Option<Timestamp>,
}
