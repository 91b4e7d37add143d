//! `InterPodAffinity`: near pods with certain labels or away from them, within the domain of a node label (upstream
//! `plugins/interpodaffinity`; reference 3.16).
//!
//! Upstream looks at every pod of every node in every cycle. Here the cache has the pods with terms grouped by template,
//! counts per selector and node that follow the nodes' generations, and the domain of every node; a cycle adds up
//! numbers.

mod args;
mod filter;
mod hints;
mod score;
mod terms;

use serde_json::Value;

pub use self::{
    filter::{FilterState, REASON_AFFINITY, REASON_ANTI_AFFINITY, REASON_EXISTING},
    score::ScoreState,
};
use crate::{
    cache::NodeInfo,
    framework::{
        Actions, ArgsError, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, PreScore,
        Reads, Status, View,
    },
};

/// The plugin.
#[derive(Debug)]
pub struct InterPodAffinity {
    args: args::Args,
}

impl InterPodAffinity {
    /// From `InterPodAffinityArgs`.
    ///
    /// # Errors
    /// Unknown fields, a weight out of range.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        Ok(Self { args: args::decode(args)? })
    }
}

impl Plugin for InterPodAffinity {
    type Filter = FilterState;
    type Score = ScoreState;
    /// Sum of the weights.
    type Raw = i64;
    /// Smallest and largest.
    type Bounds = Option<(i64, i64)>;

    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Pod, Actions::ADD.or(Actions::UPDATE_POD_LABEL).or(Actions::DELETE)),
            Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_LABEL)),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
        hints::hint(change, pod, view)
    }

    fn reads(&self, _: &PodInfo) -> Reads {
        Reads::Cluster
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<FilterState> {
        filter::pre_filter(pod, view)
    }

    fn add_pod(&self, state: &mut FilterState, pod: &PodInfo, added: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        filter::update(state, pod, added, node, 1, view);
    }

    fn remove_pod(&self, state: &mut FilterState, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        filter::update(state, pod, removed, node, -1, view);
    }

    fn filter(&self, state: &FilterState, _: &PodInfo, node: &NodeInfo) -> Status {
        filter::filter(state, node)
    }

    fn filter_rows(&self, state: &FilterState, _: &PodInfo, open: &mut [bool]) -> bool {
        filter::filter_rows(state, open);
        true
    }

    fn pre_score_rows(&self, pod: &PodInfo, _: &[bool], view: &View<'_>) -> Option<PreScore<ScoreState>> {
        Some(score::pre_score(self.args, pod, view))
    }

    fn score_rows(&self, state: &ScoreState, _: &PodInfo, _: &[bool], raw: &mut [i64]) -> bool {
        score::score_rows(state, raw);
        true
    }

    fn normalize_rows(&self, raw: &[i64], bounds: &Option<(i64, i64)>, open: &[bool], normalized: &mut [u8]) -> bool {
        score::normalize_rows(raw, bounds.unwrap_or_default(), open, normalized)
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], view: &View<'_>) -> PreScore<ScoreState> {
        score::pre_score(self.args, pod, view)
    }

    fn may_score(&self, pod: &PodInfo, view: &View<'_>) -> bool {
        score::may_score(self.args, pod, view)
    }

    fn score(&self, state: &ScoreState, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        Ok(score::score(state, node.slot))
    }

    fn bound(&self, bounds: &mut Option<(i64, i64)>, raw: &i64) {
        let (min, max) = bounds.unwrap_or((*raw, *raw));
        *bounds = Some((min.min(*raw), max.max(*raw)));
    }

    fn normalize(&self, raw: &i64, bounds: &Option<(i64, i64)>) -> i64 {
        score::normalize(*raw, bounds.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
