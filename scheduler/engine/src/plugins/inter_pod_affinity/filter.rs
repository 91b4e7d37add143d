//! PreFilter and Filter: counts per topology domain (`filtering.go`).

use std::sync::Arc;

use headroom_core::Str;

use super::terms::{Counter, Tables, Tally, affinity, invalid, means, meant, namespace_labels};
use crate::{
    cache::{NodeInfo, PodMatch, PodQuery},
    framework::{PodInfo, PreFilter, Status, View},
};

/// The reason when required affinity is not met.
pub const REASON_AFFINITY: &str = "node(s) didn't match pod affinity rules";
/// The reason when required anti-affinity is not.
pub const REASON_ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
/// The reason when that of a pod on a node is not.
pub const REASON_EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// The pod's own required terms, resolved.
#[derive(Debug, Default)]
struct Own {
    /// Pods that match all terms of required affinity.
    all: Option<PodQuery>,
    keys: Vec<Str>,
    anti: Vec<(PodMatch, Str)>,
    /// The pod itself matches all its terms.
    itself: bool,
}

/// What PreFilter counts.
#[derive(Debug, Clone, Default)]
pub struct FilterState {
    own: Arc<Own>,
    /// Pods that match all terms of required affinity, per term.
    affinity: Tables,
    /// Pods that match a term of required anti-affinity.
    anti: Tables,
    /// Pods that have a term of required anti-affinity that means the pod.
    existing: Tables,
}

fn own(pod: &PodInfo, view: &View<'_>) -> Own {
    let Some(a) = affinity(pod) else { return Own::default() };
    let namespace = &pod.pod.meta.key.namespace;
    let resolved: Box<[PodMatch]> = a.pod_required.iter().map(|t| meant(t, namespace, view)).collect();
    let all = (!resolved.is_empty()).then_some(PodQuery { all: resolved, live_only: false });
    Own {
        itself: all.as_ref().is_some_and(|q| q.matches(pod)),
        all,
        keys: a.pod_required.iter().map(|t| t.topology_key.clone()).collect(),
        anti: a.pod_anti_required.iter().map(|t| (meant(t, namespace, view), t.topology_key.clone())).collect(),
    }
}

fn existing(pod: &PodInfo, view: &View<'_>) -> Tables {
    let labels = namespace_labels(pod, view);
    let mut tally = Tally::default();
    for group in view.cache.affinity_groups() {
        let terms = group.affinity().map_or(&[][..], |a| &a.pod_anti_required);
        for term in terms.iter().filter(|t| means(t, group.namespace(), pod, labels)) {
            tally.add(&term.topology_key, view, |domains| group.sums(domains, view.overlay));
        }
    }
    tally.into_tables()
}

pub(super) fn pre_filter(pod: &PodInfo, view: &View<'_>) -> PreFilter<FilterState> {
    if let Some(error) = invalid(pod) {
        return PreFilter::Reject(Status::unresolvable(format!("parsing pod: {error}")));
    }
    let existing = existing(pod, view);
    let own = own(pod, view);
    if existing.is_zero() && own.all.is_none() && own.anti.is_empty() {
        return PreFilter::Skip;
    }
    let (mut affinity, mut anti) = (Tally::default(), Tally::default());
    if let Some(query) = &own.all {
        for key in &own.keys {
            // Several terms may have one key: then it counts once for each.
            affinity.add(key, view, |domains| view.sums(query, domains));
        }
    }
    let counter = Counter::new(own.anti.len(), view);
    for (of, key) in &own.anti {
        anti.add_nonzero(key, view, |domains| counter.sums(of, domains));
    }
    PreFilter::Continue(FilterState {
        own: Arc::new(own),
        affinity: affinity.into_tables(),
        anti: anti.into_tables(),
        existing,
    })
}

/// A pod comes to a node (`by` is 1) or goes (-1).
pub(super) fn update(
    state: &mut FilterState,
    pod: &PodInfo,
    other: &PodInfo,
    node: &NodeInfo,
    by: i64,
    view: &View<'_>,
) {
    let labels = namespace_labels(pod, view);
    let theirs = affinity(other).map_or(&[][..], |a| &a.pod_anti_required);
    for term in theirs.iter().filter(|t| means(t, &other.pod.meta.key.namespace, pod, labels)) {
        state.existing.add(&term.topology_key, view, node.slot, by);
    }
    let own = state.own.clone();
    if own.all.as_ref().is_some_and(|query| query.matches(other)) {
        for key in &own.keys {
            state.affinity.add(key, view, node.slot, by);
        }
    }
    let meta = &other.pod.meta;
    for (_, key) in own.anti.iter().filter(|(of, _)| of.matches(&meta.key.namespace, &meta.labels)) {
        state.anti.add(key, view, node.slot, by);
    }
}

fn affinity_holds(state: &FilterState, slot: u32) -> bool {
    let mut met = true;
    // There is a table for the key of every term, and for no other.
    for count in state.affinity.counts(slot) {
        match count {
            // Every topology label must be on the node.
            None => return false,
            Some(count) => met &= count > 0,
        }
    }
    // The first pod of a group that has affinity to itself may go anywhere.
    met || (state.own.itself && state.affinity.is_zero())
}

pub(super) fn filter(state: &FilterState, node: &NodeInfo) -> Status {
    let slot = node.slot;
    if !affinity_holds(state, slot) {
        return Status::unresolvable(REASON_AFFINITY);
    }
    if state.anti.any(slot) {
        return Status::unschedulable(REASON_ANTI_AFFINITY);
    }
    if state.existing.any(slot) {
        return Status::unschedulable(REASON_EXISTING);
    }
    Status::SUCCESS
}

/// The same for all nodes: closes the slots of those that are rejected.
pub(super) fn filter_rows(state: &FilterState, open: &mut [bool]) {
    let first = state.own.itself && state.affinity.is_zero();
    state.affinity.close(open, |domain, count| domain != 0 && (count > 0 || first));
    state.anti.close(open, |domain, count| domain == 0 || count <= 0);
    state.existing.close(open, |domain, count| domain == 0 || count <= 0);
}

#[cfg(test)]
mod upstream;
