//! The constraints of a pod: its own, or the defaults with a selector deduced from Services and owners (`common.go`).

use std::sync::Arc;

use headroom_core::{
    Str,
    object::{Node, NodeInclusion, TopologySpreadConstraint},
    selector::{LabelSelector, Labels, Operator, Requirement},
};

use super::args::Args;
use crate::{
    cache::{Inclusion, NamespaceSet, PodMatch, PodQuery},
    framework::{PodInfo, View},
};

/// The label whose domains are single nodes: counts are per node, and not per domain.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// A constraint, ready to count with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constraint {
    pub(super) max_skew: i64,
    pub(super) key: Str,
    /// Absent matches nothing.
    pub(super) selector: Option<Arc<LabelSelector>>,
    pub(super) min_domains: i64,
    pub(super) honor_affinity: bool,
    pub(super) honor_taints: bool,
}

impl Constraint {
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|s| s.matches(labels))
    }

    /// The pods that count; absent when none does. As in 1.36, a selector that asks for nothing counts none either
    /// (reference 3.15).
    pub(super) fn query(&self, namespace: &Str) -> Option<PodQuery> {
        let selector = self.selector.as_ref().filter(|s| !s.is_empty())?;
        let one = PodMatch { namespaces: NamespaceSet::one(namespace), selector: Some((**selector).clone()) };
        Some(PodQuery { all: Box::new([one]), live_only: true })
    }

    /// Whether the constraint counts the node in this slot.
    pub(super) fn includes(&self, inclusion: Option<&Inclusion>, slot: u32) -> bool {
        inclusion.is_none_or(|i| (!self.honor_affinity || i.affinity(slot)) && (!self.honor_taints || i.taints(slot)))
    }
}

/// A pod's constraints of one kind cannot be read. The API server lets no such selector through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidSelector;

fn compile(all: &[TopologySpreadConstraint], labels: &Labels, hard: bool) -> Result<Vec<Constraint>, InvalidSelector> {
    let chosen = all.iter().filter(|c| c.hard == hard);
    chosen
        .map(|c| {
            if c.selector.as_ref().is_some_and(|s| !s.is_valid()) {
                return Err(InvalidSelector);
            }
            let keys = c.match_label_keys.iter().filter_map(|key| {
                Some(Requirement {
                    key: key.clone(),
                    operator: Operator::In,
                    values: Box::new([labels.get(key)?.clone()]),
                })
            });
            let selector = c.selector.as_ref().map(|s| {
                let requirements = keys.chain(s.requirements.iter().cloned()).collect();
                Arc::new(LabelSelector { requirements })
            });
            Ok(Constraint {
                max_skew: i64::from(c.max_skew),
                key: c.topology_key.clone(),
                selector,
                min_domains: i64::from(c.min_domains),
                honor_affinity: c.node_affinity == NodeInclusion::Honor,
                honor_taints: c.node_taints == NodeInclusion::Honor,
            })
        })
        .collect()
}

/// The pod's constraints, hard or soft.
pub(super) fn constraints(
    args: &Args,
    pod: &PodInfo,
    hard: bool,
    view: &View<'_>,
) -> Result<Vec<Constraint>, InvalidSelector> {
    let own = &pod.pod.spec.topology_spread;
    let labels = &pod.pod.meta.labels;
    if !own.is_empty() {
        return compile(own, labels, hard);
    }
    if !args.defaults.iter().any(|c| c.hard == hard) {
        return Ok(Vec::new());
    }
    let Some(selector) = view.cache.workloads().selector_of(pod) else { return Ok(Vec::new()) };
    let mut all = compile(&args.defaults, labels, hard)?;
    for c in &mut all {
        c.selector = Some(selector.clone());
    }
    Ok(all)
}

/// What the constraints need to know of nodes; absent when every node counts.
pub(super) fn inclusion(all: &[Constraint], pod: &PodInfo, view: &View<'_>) -> Option<Arc<Inclusion>> {
    let spec = &pod.pod.spec;
    let required = spec.affinity.as_deref().and_then(|a| a.node.as_ref()).is_some_and(|n| n.required.is_some());
    let picky = required || !spec.node_selector.is_empty();
    let asked = all.iter().any(|c| (c.honor_affinity && picky) || c.honor_taints);
    asked.then(|| view.inclusion(pod))
}

/// Whether the node has all topology labels.
pub(super) fn has_all_keys(node: &Node, all: &[Constraint]) -> bool {
    all.iter().all(|c| node.meta.labels.has(&c.key))
}
