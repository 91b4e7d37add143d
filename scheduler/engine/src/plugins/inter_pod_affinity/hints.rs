//! Queueing hints (`plugin.go`). Namespace selectors are resolved here as in Filter; upstream takes the labels of the
//! namespace for empty, and so does not wake pods whose terms name namespaces by label.

use headroom_core::object::{Node, PodAffinityTerm};

use super::terms::{affinity, invalid, means, namespace_labels, selects};
use crate::framework::{Change, Hint, PodInfo, View};

fn is_placed(pod: &PodInfo) -> bool {
    let set = |name: &Option<headroom_core::Str>| name.as_ref().is_some_and(|n| !n.is_empty());
    set(&pod.pod.node_name) || set(&pod.pod.status.nominated_node_name)
}

/// Whether all of the terms mean this pod; without any term none is meant. A pod may have thousands of terms, and every
/// event comes by here: most often the first one says no.
fn all_mean(terms: &[PodAffinityTerm], other: &PodInfo, pod: &PodInfo, view: &View<'_>) -> bool {
    !terms.is_empty() && terms.iter().all(|t| selects(t, &pod.pod.meta.key.namespace, other, view))
}

fn after_pod_change(old: Option<&PodInfo>, new: Option<&PodInfo>, pod: &PodInfo, view: &View<'_>) -> bool {
    if let (Some(_), Some(new)) = (old, new)
        && new.uid() == pod.uid()
    {
        // Others may have had anti-affinity to its labels.
        return true;
    }
    if [old, new].into_iter().flatten().any(|p| !is_placed(p)) {
        return false;
    }
    if invalid(pod).is_some() {
        return true;
    }
    let own = affinity(pod);
    let wanted = |other: &PodInfo| all_mean(own.map_or(&[], |a| &a.pod_required), other, pod, view);
    let hated = |other: &PodInfo| all_mean(own.map_or(&[], |a| &a.pod_anti_required), other, pod, view);
    match (old, new) {
        (Some(old), Some(new)) => (!wanted(old) && wanted(new)) || (hated(old) && !hated(new)),
        (None, Some(new)) => wanted(new),
        (Some(old), None) => {
            let theirs = affinity(old).map_or(&[][..], |a| &a.pod_anti_required);
            let labels = namespace_labels(pod, view);
            let hates = |t: &PodAffinityTerm| means(t, &old.pod.meta.key.namespace, pod, labels);
            hated(old) || (!theirs.is_empty() && theirs.iter().all(hates))
        }
        (None, None) => true,
    }
}

fn after_node_change(old: Option<&Node>, new: &Node, pod: &PodInfo) -> bool {
    let value = |node: &Node, term: &PodAffinityTerm| node.meta.labels.get(&term.topology_key).cloned();
    let own = affinity(pod);
    let wanted = own.map_or(&[][..], |a| &a.pod_required);
    let hated = own.map_or(&[][..], |a| &a.pod_anti_required);
    wanted.iter().any(|t| match (old, value(new, t)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(now)) => value(old, t).as_ref() != Some(&now),
    }) || hated.iter().any(|t| match old {
        // Whether the new node's domain holds pods that it hates is not looked at.
        None => true,
        Some(old) => value(old, t).is_some_and(|before| value(new, t).as_ref() != Some(&before)),
    })
}

pub(super) fn hint(change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
    let queue = match change {
        Change::Pod { old, new } => after_pod_change(old.as_ref(), new.as_ref(), pod, view),
        Change::Node { old, new: Some(new) } => after_node_change(old.as_deref(), new, pod),
        _ => true,
    };
    if queue { Hint::Queue } else { Hint::Skip }
}
