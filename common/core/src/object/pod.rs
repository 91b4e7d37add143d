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

/// What happens to few pods, so that it has a place of its own: they were refused or evicted, or their containers were
/// restarted or killed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Incidents {
    /// `reason`, for example `OutOfmemory` or `Evicted`; empty when unset.
    pub reason: Str,
    /// App containers and sidecars that were restarted or killed; of a pod that failed, those as well that had started.
    /// Init containers that were killed.
    pub containers: Box<[ContainerStatus]>,
}

impl Incidents {
    /// For [`PodStatus::incidents`]: nothing when nothing happened, so that equal statuses are equal.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        let any = !self.reason.is_empty() || !self.containers.is_empty();
        any.then(|| Box::new(self))
    }
}

/// What is kept of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodStatus {
    /// Phase.
    pub phase: Phase,
    /// All addresses of the pod, the primary one first. None in a scheduler's process.
    pub ips: Box<[Str]>,
    /// Those conditions that are read: `Ready`, `DisruptionTarget`, `PodResizePending`, and `PodScheduled` while it is not
    /// true or the kubelet has not taken the pod.
    pub conditions: Box<[PodCondition]>,
    /// `nominatedNodeName`.
    pub nominated_node_name: Option<Str>,
    /// When the kubelet took the pod.
    pub start_time: Option<Timestamp>,
    /// What happened to it, if anything; see [`Incidents::boxed`]. Nothing in a scheduler's process.
    pub incidents: Option<Box<Incidents>>,
    /// Requests that differ from the spec.
    pub resize: Option<Box<PodResize>>,
}

impl PodStatus {
    /// Reason, for example `OutOfmemory` or `Evicted`; empty when unset.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.incidents.as_ref().map_or("", |incidents| incidents.reason.as_str())
    }

    /// The containers that [`Incidents`] tells of.
    #[must_use]
    pub fn containers(&self) -> &[ContainerStatus] {
        self.incidents.as_ref().map_or(&[][..], |incidents| &incidents.containers)
    }

    /// Changes what happened to it.
    pub fn change_incidents(&mut self, change: impl FnOnce(&mut Incidents)) {
        let mut incidents = self.incidents.take().map_or_else(Incidents::default, |known| *known);
        change(&mut incidents);
        self.incidents = incidents.boxed();
    }
}

/// What the spec has DNS call a pod. Most have nothing of it, so that it has a place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DnsName {
    /// `spec.hostname`, empty when unset.
    pub hostname: Str,
    /// `spec.subdomain`, empty when unset.
    pub subdomain: Str,
}

impl DnsName {
    /// For [`Pod::dns`]: nothing when nothing is set, so that equal pods are equal.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        let is_set = !self.hostname.is_empty() || !self.subdomain.is_empty();
        is_set.then(|| Box::new(self))
    }
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
    /// What DNS calls it; see [`DnsName::boxed`]. Nothing in a scheduler's process.
    pub dns: Option<Box<DnsName>>,
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
    pub fn is_active(&self) -> bool {
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

    /// `spec.hostname`, empty when unset.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.dns.as_ref().map_or("", |dns| dns.hostname.as_str())
    }

    /// `spec.subdomain`, empty when unset.
    #[must_use]
    pub fn subdomain(&self) -> &str {
        self.dns.as_ref().map_or("", |dns| dns.subdomain.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Pod>() <= 248, "{} bytes for every pod", size_of::<Pod>());
    }

    #[test]
    fn what_is_not_said_takes_no_place() {
        let mut status = PodStatus::default();
        status.change_incidents(|incidents| incidents.reason = Str::default());
        assert_eq!((&status, status.reason(), status.containers().len()), (&PodStatus::default(), "", 0));
        status.change_incidents(|incidents| incidents.reason = "Evicted".into());
        assert_eq!(status.reason(), "Evicted");
        assert_eq!(DnsName::default().boxed(), None);
        let named = DnsName { hostname: "web-0".into(), subdomain: Str::default() };
        let pod = Pod { dns: named.boxed(), ..Pod::default() };
        assert_eq!((pod.hostname(), pod.subdomain()), ("web-0", ""));
    }
}
