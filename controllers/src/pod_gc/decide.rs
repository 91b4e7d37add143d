//! Which pods are garbage (reference 4.9), as pure functions of the view.

use std::{cmp::Reverse, sync::Arc};

use headroom_core::{
    Now, Timestamp,
    object::{Node, ObjectKey, Phase, Pod, PodCondition, Status},
};
use serde_json::{Value, json};

use crate::framework::World;

/// Taint that an administrator gives to a node that is shut down and will not come back.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Why a pod is deleted: upstream's words, as in its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// One of too many that have ended.
    Terminated,
    /// It is being deleted, and its node is out of service.
    OutOfService,
    /// Its node does not exist.
    Orphaned,
    /// It is being deleted, and was never bound.
    Unscheduled,
}

impl Reason {
    /// Upstream's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::OutOfService => "out-of-service",
            Self::Orphaned => "orphaned",
            Self::Unscheduled => "unscheduled",
        }
    }

    /// Whether the reason stands. It is asked again right before each pod is touched: the plan may be seconds old.
    pub(super) fn stands(self, pod: &Pod, world: &World) -> bool {
        let node = pod.node_name.as_ref();
        match self {
            Self::Terminated => pod.is_terminal(),
            Self::OutOfService => {
                pod.meta.is_terminating() && node.and_then(|n| world.nodes.get(n)).is_some_and(|n| is_out_of_service(n))
            }
            Self::Orphaned => node.is_some_and(|n| !world.nodes.contains_key(n)),
            Self::Unscheduled => pod.meta.is_terminating() && node.is_none(),
        }
    }
}

/// Not ready, and marked as gone: the taint's effect does not matter, as upstream.
fn is_out_of_service(node: &Node) -> bool {
    let ready = node.condition("Ready").is_some_and(|c| c.status == Status::True);
    !ready && node.taints.iter().any(|t| t.key == *OUT_OF_SERVICE)
}

/// The pods that have ended and are too many, in the order in which they go: evicted ones, then the oldest
/// (`byEvictionAndCreationTimestamp`). `gone` says which are deleted already, although the view still has them.
pub(super) fn terminated(
    world: &World,
    threshold: i32,
    gone: impl Fn(&Pod) -> bool,
) -> impl Iterator<Item = &Arc<Pod>> {
    let threshold = usize::try_from(threshold).unwrap_or(0);
    let mut ended: Vec<_> = match threshold {
        0 => Vec::new(),
        _ => world.pods.iter().filter(|p| p.is_terminal() && !gone(p)).collect(),
    };
    let surplus = ended.len().saturating_sub(threshold);
    if surplus > 0 {
        ended.sort_by_cached_key(|p| sort_key(p));
    }
    ended.into_iter().take(surplus)
}

type SortKey = (Reverse<bool>, Timestamp, ObjectKey);

/// Upstream compares names alone; namespaces only make it repeatable.
fn sort_key(pod: &Pod) -> SortKey {
    let evicted = pod.status.phase == Phase::Failed && pod.status.reason() == "Evicted";
    let named = ObjectKey::new(pod.meta.key.name.clone(), pod.meta.key.namespace.clone());
    (Reverse(evicted), pod.meta.created, named)
}

/// The pods that are being deleted and that no kubelet will ever finish.
pub(super) fn terminating(world: &World, reason: Reason) -> Vec<&Arc<Pod>> {
    let mut found: Vec<_> = world.pods.iter().filter(|p| p.meta.is_terminating() && reason.stands(p, world)).collect();
    found.sort_by_cached_key(|p| sort_key(p));
    found
}

/// Whether nothing but finalizers holds the pod: another deletion would change nothing.
pub(super) fn is_only_held(pod: &Pod) -> bool {
    pod.meta.is_terminating() && pod.meta.deletion_grace_seconds() == Some(0) && pod.meta.has_finalizers()
}

/// The strategic merge patch of the status that a pod has before it is deleted: nobody else will ever say how it ended,
/// and Jobs count it by its phase. None when it has ended.
pub(super) fn mark_failed(pod: &Pod, reason: Reason, now: Now) -> Option<Value> {
    if pod.is_terminal() {
        return None;
    }
    let mut status = json!({ "phase": Phase::Failed.as_str() });
    if pod.meta.generation != 0 {
        status["observedGeneration"] = json!(pod.meta.generation);
    }
    if reason == Reason::Orphaned {
        status["conditions"] = json!([condition(pod, now)]);
    }
    Some(json!({ "metadata": { "uid": pod.meta.uid }, "status": status }))
}

/// `DisruptionTarget`, with the time at which it became true.
fn condition(pod: &Pod, now: Now) -> Value {
    let is_true = |c: &&PodCondition| c.status == Status::True;
    let since = pod.condition("DisruptionTarget").filter(is_true).and_then(|c| c.last_transition);
    let mut condition = json!({
        "type": "DisruptionTarget",
        "status": Status::True.as_str(),
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": since.unwrap_or(now.wall).truncated().to_string(),
    });
    if pod.meta.generation != 0 {
        condition["observedGeneration"] = json!(pod.meta.generation);
    }
    condition
}
