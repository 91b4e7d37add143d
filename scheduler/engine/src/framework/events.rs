//! Cluster events: what can make a rejected pod schedulable (reference 2.6; `pkg/scheduler/framework/events.go`).

use std::sync::Arc;

use headroom_core::{
    Str,
    object::{MemoryProfile, Namespace, Node},
    resource::Resources,
};

use super::pod_info::PodInfo;
use crate::cache::StorageObject;

/// The kind of object that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventResource {
    /// Pods that are bound or assumed.
    AssignedPod,
    /// Pods that wait, in particular the pod itself.
    UnscheduledPod,
    /// Both of these. Only plugins name it; events have one of the two.
    Pod,
    /// Nodes.
    Node,
    /// Namespaces (labels are read by `MemoryHeadroom`; upstream has no such event).
    Namespace,
    /// What is known of a node's memory: its NodeHeadroom, or what ages with time.
    NodeHeadroom,
    /// What was learned of a workload: its MemoryProfile.
    MemoryProfile,
    /// PersistentVolumes.
    PersistentVolume,
    /// PersistentVolumeClaims.
    PersistentVolumeClaim,
    /// StorageClasses.
    StorageClass,
    /// CSINodes.
    CsiNode,
    /// CSIDrivers.
    CsiDriver,
    /// CSIStorageCapacities.
    CsiStorageCapacity,
    /// VolumeAttachments.
    VolumeAttachment,
    /// Everything: moves every pod.
    Any,
}

impl EventResource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AssignedPod => "AssignedPod",
            Self::UnscheduledPod => "UnschedulablePod",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::NodeHeadroom => "NodeHeadroom",
            Self::MemoryProfile => "MemoryProfile",
            Self::PersistentVolume => "PersistentVolume",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::StorageClass => "storage.k8s.io/StorageClass",
            Self::CsiNode => "storage.k8s.io/CSINode",
            Self::CsiDriver => "storage.k8s.io/CSIDriver",
            Self::CsiStorageCapacity => "storage.k8s.io/CSIStorageCapacity",
            Self::VolumeAttachment => "storage.k8s.io/VolumeAttachment",
            Self::Any => "*",
        }
    }

    /// Whether a plugin that registered `self` hears of events of `event`.
    const fn hears(self, event: Self) -> bool {
        match (self, event) {
            (Self::Any, _) | (Self::Pod, Self::AssignedPod | Self::UnscheduledPod) => true,
            (mine, theirs) => mine as u8 == theirs as u8,
        }
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Actions(u32);

macro_rules! actions {
    ($($name:ident = $bit:literal $label:literal;)*) => {
        impl Actions {
            $(
                #[doc = concat!("`", $label, "`.")]
                pub const $name: Self = Self(1 << $bit);
            )*
            const LABELS: &'static [(u32, &'static str)] = &[$((1 << $bit, $label)),*];
        }
    };
}

actions! {
    ADD = 0 "Add";
    DELETE = 1 "Delete";
    UPDATE_NODE_ALLOCATABLE = 2 "UpdateNodeAllocatable";
    UPDATE_NODE_LABEL = 3 "UpdateNodeLabel";
    UPDATE_NODE_TAINT = 4 "UpdateNodeTaint";
    UPDATE_NODE_CONDITION = 5 "UpdateNodeCondition";
    UPDATE_NODE_ANNOTATION = 6 "UpdateNodeAnnotation";
    UPDATE_POD_LABEL = 7 "UpdatePodLabel";
    UPDATE_POD_SCALE_DOWN = 8 "UpdatePodScaleDown";
    UPDATE_POD_TOLERATION = 9 "UpdatePodToleration";
    UPDATE_POD_SCHEDULING_GATES_ELIMINATED = 10 "UpdatePodSchedulingGatesEliminated";
    // An update that is none of the above: only plugins that register `UPDATE` hear of it.
    UPDATE_OTHER = 11 "Update";
    UPDATE_NODE_DECLARED_FEATURE = 12 "UpdateNodeDeclaredFeature";
}

impl Actions {
    /// Any update.
    pub const UPDATE: Self = Self(0b1_1111_1111_1100);
    /// Everything.
    pub const ALL: Self = Self(0b1_1111_1111_1111);

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have an action in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Something that happened to a kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterEvent {
    /// To what.
    pub resource: EventResource,
    /// What.
    pub action: Actions,
}

/// Label of moves because a pod stayed unschedulable for too long.
pub const UNSCHEDULABLE_TIMEOUT: &str = "UnschedulableTimeout";
/// Label of requeues after a failed attempt.
pub const SCHEDULE_ATTEMPT_FAILURE: &str = "ScheduleAttemptFailure";
/// Label of moves because the backoff is over.
pub const BACKOFF_COMPLETE: &str = "BackoffComplete";
/// Label of moves that were asked for.
pub const FORCE_ACTIVATE: &str = "ForceActivate";

impl ClusterEvent {
    /// Every pod gets another attempt.
    pub const WILDCARD: Self = Self { resource: EventResource::Any, action: Actions::ALL };

    /// An event.
    #[must_use]
    pub const fn new(resource: EventResource, action: Actions) -> Self {
        Self { resource, action }
    }

    /// The label used in metrics, for example `NodeUpdateNodeTaint` (`ClusterEvent.Label`).
    #[must_use]
    pub fn label(&self) -> String {
        let action = Actions::LABELS.iter().find(|(bit, _)| *bit == self.action.0).map_or("Update", |(_, l)| l);
        // What is about everything is only ever recorded because somebody activated a pod.
        if self.resource == EventResource::Any {
            return FORCE_ACTIVATE.to_owned();
        }
        format!("{}{action}", self.resource.as_str())
    }
}

/// What a plugin wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// About what.
    pub resource: EventResource,
    /// Which actions.
    pub actions: Actions,
    /// Whether the plugin's hint is asked (`Plugin::hint`); otherwise any such event requeues.
    pub hinted: bool,
}

impl Interest {
    /// Asks the plugin's hint.
    #[must_use]
    pub const fn hinted(resource: EventResource, actions: Actions) -> Self {
        Self { resource, actions, hinted: true }
    }

    /// Requeues without asking.
    #[must_use]
    pub const fn always(resource: EventResource, actions: Actions) -> Self {
        Self { resource, actions, hinted: false }
    }

    /// Whether `event` is of interest.
    #[must_use]
    pub const fn matches(&self, event: &ClusterEvent) -> bool {
        event.resource as u8 == EventResource::Any as u8
            || (self.resource.hears(event.resource) && self.actions.intersects(event.action))
    }
}

/// A plugin's opinion on an event (`QueueingHint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Worth another attempt.
    Queue,
    /// Changes nothing for this pod.
    Skip,
}

/// The objects behind an event: before and after.
#[derive(Debug, Clone)]
pub enum Change {
    /// A pod.
    Pod {
        /// Before; absent when it is new.
        old: Option<PodInfo>,
        /// After; absent when it is gone.
        new: Option<PodInfo>,
    },
    /// A node.
    Node {
        /// Before; absent when it is new.
        old: Option<Arc<Node>>,
        /// After; absent when it is gone.
        new: Option<Arc<Node>>,
    },
    /// A namespace.
    Namespace {
        /// After; absent when it is gone.
        new: Option<Arc<Namespace>>,
    },
    /// What is known of the memory of the node of this name.
    NodeHeadroom {
        /// The node.
        node: Str,
    },
    /// What was learned of a workload: its profile as it is now, or as it was before it went.
    MemoryProfile(Arc<MemoryProfile>),
    /// A volume, a claim or what belongs to them.
    Storage {
        /// Before; absent when it is new.
        old: Option<StorageObject>,
        /// After; absent when it is gone.
        new: Option<StorageObject>,
    },
    /// No object in particular.
    None,
}

fn shrank(old: &Resources, new: &Resources) -> bool {
    old.milli_cpu > new.milli_cpu
        || old.memory > new.memory
        || old.ephemeral_storage > new.ephemeral_storage
        || old.scalars.iter().any(|(name, amount)| *amount > new.get(name))
}

/// What an update of a pod means (`PodSchedulingPropertiesChange`).
#[must_use]
pub fn pod_update_actions(old: &PodInfo, new: &PodInfo) -> Vec<Actions> {
    let mut all = Vec::new();
    if old.pod.meta.labels != new.pod.meta.labels {
        all.push(Actions::UPDATE_POD_LABEL);
    }
    if !Arc::ptr_eq(&old.spec, &new.spec) {
        let (was, is) = (&old.pod.spec, &new.pod.spec);
        if shrank(&old.spec.requests, &new.spec.requests) {
            all.push(Actions::UPDATE_POD_SCALE_DOWN);
        }
        if is.scheduling_gates.is_empty() && !was.scheduling_gates.is_empty() {
            all.push(Actions::UPDATE_POD_SCHEDULING_GATES_ELIMINATED);
        }
        if was.tolerations.len() != is.tolerations.len() {
            all.push(Actions::UPDATE_POD_TOLERATION);
        }
    }
    if all.is_empty() {
        all.push(Actions::UPDATE_OTHER);
    }
    all
}

/// What an update of a node means (`NodeSchedulingPropertiesChange`); empty when nothing that matters changed.
#[must_use]
pub fn node_update_actions(old: &Node, new: &Node) -> Vec<Actions> {
    let statuses = |node: &Node| {
        let mut all: Vec<_> = node.conditions.iter().map(|c| (c.kind.clone(), c.status as u8)).collect();
        all.sort();
        all
    };
    let mut all = Vec::new();
    if old.unschedulable && !new.unschedulable {
        all.push(Actions::UPDATE_NODE_TAINT);
    }
    // Capacity and swap are read by `MemoryHeadroom`; upstream looks at allocatable alone.
    if old.allocatable != new.allocatable || old.capacity != new.capacity || old.swap_capacity != new.swap_capacity {
        all.push(Actions::UPDATE_NODE_ALLOCATABLE);
    }
    if old.meta.labels != new.meta.labels {
        all.push(Actions::UPDATE_NODE_LABEL);
    }
    if old.taints != new.taints && !all.contains(&Actions::UPDATE_NODE_TAINT) {
        all.push(Actions::UPDATE_NODE_TAINT);
    }
    if statuses(old) != statuses(new) {
        all.push(Actions::UPDATE_NODE_CONDITION);
    }
    if old.meta.annotations != new.meta.annotations {
        all.push(Actions::UPDATE_NODE_ANNOTATION);
    }
    if old.declared_features != new.declared_features {
        all.push(Actions::UPDATE_NODE_DECLARED_FEATURE);
    }
    all
}

#[cfg(test)]
mod tests {
    use headroom_core::{taint::Effect, testing::node};

    use super::*;

    #[test]
    fn labels_are_upstreams() {
        let e = ClusterEvent::new(EventResource::Node, Actions::UPDATE_NODE_TAINT);
        assert_eq!(e.label(), "NodeUpdateNodeTaint");
        assert_eq!(ClusterEvent::new(EventResource::AssignedPod, Actions::DELETE).label(), "AssignedPodDelete");
        assert_eq!(ClusterEvent::WILDCARD.label(), "ForceActivate");
    }

    #[test]
    fn interests_match() {
        let i = Interest::hinted(EventResource::Pod, Actions::DELETE);
        assert!(i.matches(&ClusterEvent::new(EventResource::AssignedPod, Actions::DELETE)));
        assert!(!i.matches(&ClusterEvent::new(EventResource::AssignedPod, Actions::ADD)));
        assert!(!i.matches(&ClusterEvent::new(EventResource::Node, Actions::DELETE)));
        assert!(i.matches(&ClusterEvent::WILDCARD));
    }

    #[test]
    fn node_updates_are_classified() {
        let old = node("n").unschedulable().build();
        let new = node("n").taint("k", "v", Effect::NoSchedule).label("a", "b").build();
        assert_eq!(node_update_actions(&old, &new), [Actions::UPDATE_NODE_TAINT, Actions::UPDATE_NODE_LABEL]);
        assert!(node_update_actions(&new, &new).is_empty());
    }
}
