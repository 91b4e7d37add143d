//! Pods.

use std::sync::Arc;

use super::{meta::Meta, node::Status, pod_spec::PodSpec};
use crate::{requests, resource::ResourceList, str::Str, time::Timestamp};

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// Bound and started.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, at least one badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

impl Phase {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }

    /// From the API's word; an empty or unknown one is `Pending`.
    #[must_use]
    pub fn parse(s: &str) -> Self {
        match s {
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Unknown" => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

/// Quality of service class (`pkg/apis/core/v1/helper/qos`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qos {
    /// Every container has equal requests and limits for CPU and memory.
    Guaranteed,
    /// Some request or limit.
    Burstable,
    /// None.
    BestEffort,
}

/// A condition in `status.conditions`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodCondition {
    /// Type, for example `PodScheduled`.
    pub kind: Str,
    /// Status.
    pub status: Status,
    /// Reason, empty when unset.
    pub reason: Str,
    /// Message, empty when unset or not kept.
    pub message: Str,
    /// When the status last changed.
    pub last_transition: Option<Timestamp>,
    /// `observedGeneration`, 0 when unset.
    pub observed_generation: i64,
}

/// What is kept of `status.containerStatuses` and `initContainerStatuses`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerStatus {
    /// Name.
    pub name: Str,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: i32,
    /// When it started, if it runs.
    pub started_at: Option<Timestamp>,
    /// Whether its last end was an OOM kill, and when.
    pub oom_killed_at: Option<Timestamp>,
}

/// Resources of a running container that are not those of its spec: a resize is under way or was put off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerResize {
    /// Name of the container or sidecar.
    pub name: Str,
    /// `resources.requests`: what it runs with.
    pub actuated: ResourceList,
    /// `allocatedResources`: what the node has promised it.
    pub allocated: ResourceList,
}

/// Where requests in a pod's status are not those of its spec (in-place resize). Only differences are kept: a pod whose
/// status says what its spec says has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodResize {
    /// Containers and sidecars whose status has `resources`.
    pub containers: Box<[ContainerResize]>,
    /// `status.resources.requests` and `status.allocatedResources`: the pod level.
    pub pod: Option<(ResourceList, ResourceList)>,
}

/// What is kept of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodStatus {
    /// Phase.
    pub phase: Phase,
    /// Reason, for example `OutOfmemory` or `Evicted`.
    pub reason: Str,
    /// All addresses of the pod, the primary one first.
    pub ips: Box<[Str]>,
    /// Address of the node.
    pub host_ip: Str,
    /// Conditions.
    pub conditions: Box<[PodCondition]>,
    /// `nominatedNodeName`.
    pub nominated_node_name: Option<Str>,
    /// When the kubelet took the pod.
    pub start_time: Option<Timestamp>,
    /// App containers and sidecars.
    pub containers: Box<[ContainerStatus]>,
    /// Requests that differ from the spec.
    pub resize: Option<Box<PodResize>>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Metadata.
    pub meta: Meta,
    /// What the template says.
    pub spec: Arc<PodSpec>,
    /// `spec.nodeName`: where it is bound.
    pub node_name: Option<Str>,
    /// `spec.hostname`, empty when unset.
    pub hostname: Str,
    /// `spec.subdomain`, empty when unset.
    pub subdomain: Str,
    /// Status.
    pub status: PodStatus,
}

impl Pod {
    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|c| c.kind == *kind)
    }

    /// Whether the `Ready` condition is true (`podutil.IsPodReady`).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == Status::True)
    }

    /// Whether the pod has ended for good (`podutil.IsPodTerminal`).
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self.status.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Neither ended nor being deleted (`controller.IsPodActive`).
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.is_terminal() && !self.meta.is_terminating()
    }

    /// Ready for at least `min_ready_seconds` (`podutil.IsPodAvailable`).
    #[must_use]
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        let Some(ready) = self.condition("Ready").filter(|c| c.status == Status::True) else { return false };
        if min_ready_seconds <= 0 {
            return true;
        }
        ready
            .last_transition
            .is_some_and(|t| now.0.saturating_sub(t.0) >= i64::from(min_ready_seconds).saturating_mul(1_000_000))
    }

    /// A static pod's mirror in the API.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.meta.annotations.has("kubernetes.io/config.mirror")
    }

    /// Quality of service class.
    #[must_use]
    pub fn qos(&self) -> Qos {
        requests::qos(&self.spec)
    }
}
