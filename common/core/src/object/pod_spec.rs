//! The part of a pod's spec that its template decides, shared by all pods made from it.

use std::fmt;

use super::storage::InTreePlugin;
use crate::{
    resource::ResourceList,
    selector::{LabelSelector, Labels, NodeSelector, PreferredSchedulingTerm},
    str::Str,
    taint::Toleration,
};

/// `spec.restartPolicy` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RestartPolicy {
    /// Always (the API's default).
    #[default]
    Always,
    /// On failure.
    OnFailure,
    /// Never.
    Never,
}

/// `spec.preemptionPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PreemptionPolicy {
    /// May preempt pods of lower priority (the API's default).
    #[default]
    LowerPriority,
    /// Never preempts.
    Never,
}

/// A port's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Protocol {
    /// TCP (the API's default).
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// From the API's word; unknown ones and the empty one are TCP, the default.
    #[must_use]
    pub fn parse(s: &str) -> Self {
        match s {
            "UDP" => Self::Udp,
            "SCTP" => Self::Sctp,
            _ => Self::Tcp,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A container's port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ContainerPort {
    /// Name, empty when unset.
    pub name: Str,
    /// Port in the pod.
    pub container_port: u16,
    /// Port on the node, 0 when unset.
    pub host_port: u16,
    /// Address on the node, empty when unset (all).
    pub host_ip: Str,
    /// Protocol.
    pub protocol: Protocol,
}

/// A container, an init container or a sidecar (`restartable` init container).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Container {
    /// Name.
    pub name: Str,
    /// Image.
    pub image: Str,
    /// Requests as written (the API server has set unset ones to the limits).
    pub requests: ResourceList,
    /// Limits as written.
    pub limits: ResourceList,
    /// Ports.
    pub ports: Box<[ContainerPort]>,
    /// An init container with `restartPolicy: Always`: it runs beside the app containers.
    pub restartable: bool,
    /// One of its `restartPolicyRules` restarts all containers.
    pub restarts_all: bool,
}

/// What kind of volume, as far as something here cares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VolumeKind {
    /// `emptyDir` in memory, with its size limit in bytes if set.
    MemoryEmptyDir(Option<i64>),
    /// A claim, by name.
    PersistentVolumeClaim(Str),
    /// A generic ephemeral volume: its claim is named `<pod>-<volume>`.
    Ephemeral,
    /// A volume of an in-tree plugin, given inline.
    InTree {
        /// Plugin.
        plugin: InTreePlugin,
        /// The plugin's name for the volume: disk, volume ID, path.
        id: Str,
        /// Whether it is mounted read-only.
        read_only: bool,
    },
    /// `iscsi`.
    Iscsi {
        /// Qualified name of the target.
        iqn: Str,
        /// Whether it is mounted read-only.
        read_only: bool,
    },
    /// `rbd`.
    Rbd(Box<RbdVolume>),
    /// `csi`, given inline: its driver.
    Csi(Str),
}

/// An image of Ceph's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RbdVolume {
    /// `monitors`.
    pub monitors: Box<[Str]>,
    /// `pool`.
    pub pool: Str,
    /// `image`.
    pub image: Str,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// A volume of one of the kinds that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volume {
    /// Name in the pod.
    pub name: Str,
    /// Kind.
    pub kind: VolumeKind,
}

/// `nodeAffinity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NodeAffinity {
    /// Must match.
    pub required: Option<NodeSelector>,
    /// Should match.
    pub preferred: Box<[PreferredSchedulingTerm]>,
}

/// A term of inter-pod (anti-)affinity. The API server has merged `matchLabelKeys` and `mismatchLabelKeys` into the
/// selector, and no scheduler reads them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodAffinityTerm {
    /// Which pods; absent matches none.
    pub selector: Option<LabelSelector>,
    /// In these namespaces (empty with no namespace selector: the pod's own).
    pub namespaces: Box<[Str]>,
    /// And in namespaces with these labels.
    pub namespace_selector: Option<LabelSelector>,
    /// Within the domain given by this node label.
    pub topology_key: Str,
}

/// A preferred term with a weight from 1 to 100.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightedPodAffinityTerm {
    /// Weight.
    pub weight: i32,
    /// Term.
    pub term: PodAffinityTerm,
}

/// `spec.affinity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Affinity {
    /// To nodes.
    pub node: Option<NodeAffinity>,
    /// To pods, required.
    pub pod_required: Box<[PodAffinityTerm]>,
    /// To pods, preferred.
    pub pod_preferred: Box<[WeightedPodAffinityTerm]>,
    /// Away from pods, required.
    pub pod_anti_required: Box<[PodAffinityTerm]>,
    /// Away from pods, preferred.
    pub pod_anti_preferred: Box<[WeightedPodAffinityTerm]>,
}

/// `nodeAffinityPolicy` and `nodeTaintsPolicy` of a spread constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeInclusion {
    /// Only nodes that pass count.
    Honor,
    /// All nodes count.
    Ignore,
}

/// A topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopologySpreadConstraint {
    /// `maxSkew`, at least 1.
    pub max_skew: i32,
    /// Node label that gives the domains.
    pub topology_key: Str,
    /// `whenUnsatisfiable: DoNotSchedule`; otherwise `ScheduleAnyway`.
    pub hard: bool,
    /// Which pods are counted; absent counts none.
    pub selector: Option<LabelSelector>,
    /// `minDomains`, 1 when unset.
    pub min_domains: i32,
    /// `nodeAffinityPolicy`, [`NodeInclusion::Honor`] when unset.
    pub node_affinity: NodeInclusion,
    /// `nodeTaintsPolicy`, [`NodeInclusion::Ignore`] when unset.
    pub node_taints: NodeInclusion,
    /// `matchLabelKeys`.
    pub match_label_keys: Box<[Str]>,
}

/// What a pod's template says. What differs from pod to pod (node, host name) is in [`super::Pod`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodSpec {
    /// `schedulerName`.
    pub scheduler_name: Str,
    /// `priority`, 0 when unset.
    pub priority: i32,
    /// `priorityClassName`.
    pub priority_class_name: Str,
    /// `preemptionPolicy`.
    pub preemption_policy: PreemptionPolicy,
    /// `restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// `affinity`.
    pub affinity: Option<Box<Affinity>>,
    /// `tolerations`.
    pub tolerations: Box<[Toleration]>,
    /// App containers.
    pub containers: Box<[Container]>,
    /// Init containers and sidecars, in order.
    pub init_containers: Box<[Container]>,
    /// Pod-level requests (`spec.resources.requests`), absent when unset.
    pub pod_requests: Option<Box<ResourceList>>,
    /// Pod-level limits (`spec.resources.limits`), absent when unset.
    pub pod_limits: Option<Box<ResourceList>>,
    /// `overhead` of the runtime class.
    pub overhead: ResourceList,
    /// `hostNetwork`.
    pub host_network: bool,
    /// `hostUsers`.
    pub host_users: Option<bool>,
    /// `topologySpreadConstraints`.
    pub topology_spread: Box<[TopologySpreadConstraint]>,
    /// References of image volumes.
    pub image_volumes: Box<[Str]>,
    /// `schedulingGates`, by name.
    pub scheduling_gates: Box<[Str]>,
    /// Volumes of the kinds that matter here.
    pub volumes: Box<[Volume]>,
    /// `terminationGracePeriodSeconds`, 30 when unset.
    pub termination_grace_seconds: i64,
    /// Why this pod needs something that is not supported and must be told so, instead of being bound wrongly: for
    /// example resource claims. Empty for ordinary pods.
    pub unsupported: Str,
}

impl PodSpec {
    /// Whether a volume needs a claim.
    #[must_use]
    pub fn has_claims(&self) -> bool {
        self.volumes.iter().any(|v| matches!(v.kind, VolumeKind::PersistentVolumeClaim(_) | VolumeKind::Ephemeral))
    }
}
