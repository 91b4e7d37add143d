//! Queueing hints (`plugin.go`).

use headroom_core::object::Node;

use super::{
    args::Args,
    constraints::{Constraint, constraints, has_all_keys},
};
use crate::framework::{Change, Hint, PodInfo, View};

/// Whether a pod can count for `pod`'s constraints.
fn involved(other: &PodInfo, pod: &PodInfo) -> bool {
    let set = |name: &Option<headroom_core::Str>| name.as_ref().is_some_and(|n| !n.is_empty());
    other.uid() == pod.uid()
        || ((set(&other.pod.node_name) || set(&other.pod.status.nominated_node_name))
            && other.pod.meta.key.namespace == pod.pod.meta.key.namespace)
}

fn after_pod_change(old: Option<&PodInfo>, new: Option<&PodInfo>, pod: &PodInfo, all: &[Constraint]) -> bool {
    let labels = |p: &PodInfo| p.pod.meta.labels.clone();
    let counts = |p: &PodInfo| all.iter().any(|c| c.matches(&p.pod.meta.labels));
    match (old, new) {
        (Some(old), Some(new)) => {
            let tolerations = old.pod.spec.tolerations != new.pod.spec.tolerations;
            if new.uid() == pod.uid() && tolerations && all.iter().any(|c| c.honor_taints) {
                return true;
            }
            labels(old) != labels(new) && all.iter().any(|c| c.matches(&labels(old)) != c.matches(&labels(new)))
        }
        (None, Some(one)) | (Some(one), None) => counts(one),
        (None, None) => true,
    }
}

fn after_node_change(old: Option<&Node>, new: Option<&Node>, all: &[Constraint]) -> bool {
    let matches = |node: Option<&Node>| node.is_some_and(|n| has_all_keys(n, all));
    match (old, new) {
        (Some(old), Some(new)) => {
            let moved = all.iter().any(|c| old.meta.labels.get(&c.key) != new.meta.labels.get(&c.key));
            matches(Some(old)) != matches(Some(new)) || (matches(Some(new)) && (moved || old.taints != new.taints))
        }
        (None, None) => true,
        (one, None) | (None, one) => matches(one),
    }
}

pub(super) fn hint(args: &Args, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
    if let Change::Pod { old, new } = change
        && [old, new].into_iter().flatten().any(|p| !involved(p, pod))
    {
        return Hint::Skip;
    }
    let Ok(all) = constraints(args, pod, true, view) else { return Hint::Queue };
    let queue = match change {
        Change::Pod { old, new } => after_pod_change(old.as_ref(), new.as_ref(), pod, &all),
        Change::Node { old, new } => after_node_change(old.as_deref(), new.as_deref(), &all),
        _ => true,
    };
    if queue { Hint::Queue } else { Hint::Skip }
}
