//! `NodeAffinity`: node selector and node affinity of the pod, and the affinity that the configuration adds (upstream
//! `plugins/nodeaffinity`; reference 3.5).

mod args;
mod requirement;

use std::sync::Arc;

use hashbrown::HashSet;
use headroom_core::{
    Str,
    object::{self, Node},
    selector::{NodeSelector, Operator, PreferredSchedulingTerm},
};
use serde_json::Value;

use crate::{
    cache::NodeInfo,
    framework::{
        Actions, ArgsError, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, PreScore,
        Status, View, default_normalize,
    },
};

/// The reason when the pod's own affinity or selector does not match.
pub const REASON: &str = "node(s) didn't match Pod's node affinity/selector";
/// The reason when the added one does not.
pub const REASON_ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";
/// The reason when the pod's terms contradict each other.
pub const REASON_CONFLICT: &str = "pod affinity terms conflict";

/// The plugin.
#[derive(Debug)]
pub struct NodeAffinity {
    added_required: Option<NodeSelector>,
    added_preferred: Arc<[PreferredSchedulingTerm]>,
}

fn affinity(pod: &PodInfo) -> Option<&object::NodeAffinity> {
    pod.pod.spec.affinity.as_deref().and_then(|a| a.node.as_ref())
}

/// Whether the pod's own selector and affinity let it on the node.
pub(crate) fn matches_pod(pod: &PodInfo, node: &Node) -> bool {
    pod.pod.spec.node_selector.selects(&node.meta.labels)
        && affinity(pod)
            .and_then(|a| a.required.as_ref())
            .is_none_or(|required| required.matches(node.name(), &node.meta.labels))
}

/// The nodes that the required terms name, when every one of them names some: a set of alternatives.
fn named_nodes(required: &NodeSelector) -> Option<Vec<Str>> {
    let mut all: Vec<Str> = Vec::new();
    for term in &required.terms {
        let mut of_term: Option<Vec<Str>> = None;
        for r in term.match_fields.iter().filter(|r| r.key == "metadata.name" && r.operator == Operator::In) {
            let values: Vec<Str> = r.values.to_vec();
            of_term = Some(match of_term {
                None => values,
                Some(before) => {
                    let values: HashSet<Str> = values.into_iter().collect();
                    before.into_iter().filter(|v| values.contains(v)).collect()
                }
            });
        }
        all.extend(of_term?);
    }
    Some(all)
}

impl NodeAffinity {
    /// From `NodeAffinityArgs`.
    ///
    /// # Errors
    /// Unknown fields, operators or weights.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let (added_required, preferred) = args::decode(args)?;
        Ok(Self { added_required, added_preferred: preferred.into() })
    }

    fn matches_added(&self, node: &Node) -> bool {
        self.added_required.as_ref().is_none_or(|added| added.matches(node.name(), &node.meta.labels))
    }
}

/// Whether a term counts: with a weight and with requirements.
fn counts(t: &PreferredSchedulingTerm) -> bool {
    t.weight != 0 && !(t.preference.match_expressions.is_empty() && t.preference.match_fields.is_empty())
}

/// The first requirement of a preferred term that cannot be read. The API server lets some through: values that no label
/// can have, bounds that are no integers. Upstream's PreScore fails then, so a pod that fits several nodes waits.
fn unreadable(terms: &[PreferredSchedulingTerm]) -> Option<String> {
    terms.iter().enumerate().filter(|(_, t)| counts(t)).find_map(|(i, t)| {
        t.preference.match_expressions.iter().enumerate().find_map(|(j, r)| {
            let (field, message) = requirement::check(r).err()?;
            Some(format!("[{i}].matchExpressions[{j}].{field}: {message}"))
        })
    })
}

impl Plugin for NodeAffinity {
    type Filter = ();
    type Score = Vec<PreferredSchedulingTerm>;
    /// Sum of the weights of matching terms.
    type Raw = i64;
    type Bounds = i64;

    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score])
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_LABEL))]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let Change::Node { old, new: Some(new) } = change else { return Hint::Queue };
        let queue = self.matches_added(new)
            && matches_pod(pod, new)
            && old.as_ref().is_none_or(|old| !(self.matches_added(old) && matches_pod(pod, old)));
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        let required = affinity(pod).and_then(|a| a.required.as_ref());
        if required.is_none() && pod.pod.spec.node_selector.is_empty() && self.added_required.is_none() {
            return PreFilter::Skip;
        }
        match required.filter(|r| !r.terms.is_empty()).and_then(named_nodes) {
            Some(names) if names.is_empty() => PreFilter::Reject(Status::unresolvable(REASON_CONFLICT)),
            Some(names) => PreFilter::Narrow((), names),
            None => PreFilter::Continue(()),
        }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if !self.matches_added(&node.node) {
            return Status::unresolvable(REASON_ENFORCED);
        }
        if matches_pod(pod, &node.node) { Status::SUCCESS } else { Status::unresolvable(REASON) }
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], _: &View<'_>) -> PreScore<Vec<PreferredSchedulingTerm>> {
        let own = affinity(pod).map_or(&[][..], |a| &a.preferred);
        if own.is_empty() && self.added_preferred.is_empty() {
            return PreScore::Skip;
        }
        if let Some(message) = unreadable(own) {
            return PreScore::Fail(Status::error(message));
        }
        PreScore::Continue(own.iter().chain(&*self.added_preferred).filter(|t| counts(t)).cloned().collect())
    }

    fn score(&self, terms: &Vec<PreferredSchedulingTerm>, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        let matching = terms.iter().filter(|t| t.preference.matches(&node.name, &node.node.meta.labels));
        Ok(matching.fold(0, |sum, t| sum + i64::from(t.weight)))
    }

    fn inside(&self, max: &i64, raw: &i64) -> bool {
        // The largest is 0 without any.
        *raw <= 0 || raw < max
    }

    fn bound(&self, bounds: &mut i64, raw: &i64) {
        *bounds = (*bounds).max(*raw);
    }

    fn join(&self, bounds: &mut i64, others: &i64) -> bool {
        *bounds = (*bounds).max(*others);
        true
    }

    fn normalize(&self, raw: &i64, max: &i64) -> i64 {
        // Weights are 1 to 100; whoever writes negative ones past the API server gets the lowest score.
        default_normalize((*raw).max(0), *max, false).min(100)
    }
}

#[cfg(test)]
mod tests;
