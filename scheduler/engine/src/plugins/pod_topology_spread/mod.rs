//! `PodTopologySpread`: pods that belong together evenly over the domains of node labels (upstream
//! `plugins/podtopologyspread`; reference 3.15).
//!
//! Upstream looks at every pod of every node in every cycle. Here the cache has counts per selector and node that follow
//! the nodes' generations, and the domain of every node; a cycle adds up numbers.

mod args;
mod constraints;
mod filter;
mod hints;
mod score;

use serde_json::Value;

pub use self::{
    filter::{FilterState, REASON, REASON_MISSING_LABEL},
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
pub struct PodTopologySpread {
    args: args::Args,
}

impl PodTopologySpread {
    /// From `PodTopologySpreadArgs`.
    ///
    /// # Errors
    /// Unknown fields, constraints that the API would refuse.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        Ok(Self { args: args::decode(args)? })
    }

    fn pre_score_of(&self, pod: &PodInfo, open: &[bool], view: &View<'_>) -> PreScore<ScoreState> {
        // Nodes without a zone are spread over all the same when the constraints are the built-in ones.
        let require_all = !pod.pod.spec.topology_spread.is_empty() || !self.args.system;
        match constraints::constraints(&self.args, pod, false, view) {
            Ok(all) if all.is_empty() => PreScore::Skip,
            Ok(all) => PreScore::Continue(score::count(&all, require_all, pod, open, view)),
            Err(_) => PreScore::Fail(Status::error(
                "calculating preScoreState: obtaining pod's soft topology spread constraints: a label selector is not valid",
            )),
        }
    }
}

impl Plugin for PodTopologySpread {
    type Filter = FilterState;
    type Score = ScoreState;
    /// Absent for nodes that lack a topology label.
    type Raw = Option<i64>;
    /// Smallest and largest.
    type Bounds = Option<(i64, i64)>;

    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score])
    }

    fn events(&self) -> Vec<Interest> {
        let pods = Actions::ADD.or(Actions::UPDATE_POD_LABEL).or(Actions::UPDATE_POD_TOLERATION).or(Actions::DELETE);
        let nodes = Actions::ADD.or(Actions::DELETE).or(Actions::UPDATE_NODE_LABEL).or(Actions::UPDATE_NODE_TAINT);
        vec![Interest::hinted(EventResource::Pod, pods), Interest::hinted(EventResource::Node, nodes)]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
        hints::hint(&self.args, change, pod, view)
    }

    fn reads(&self, _: &PodInfo) -> Reads {
        Reads::Cluster
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<FilterState> {
        match constraints::constraints(&self.args, pod, true, view) {
            Ok(all) if all.is_empty() => PreFilter::Skip,
            Ok(all) => PreFilter::Continue(filter::count(all, pod, view)),
            Err(_) => PreFilter::Reject(Status::error(
                "get constraints from pod: obtaining pod's hard topology spread constraints: a label selector is not valid",
            )),
        }
    }

    fn add_pod(&self, state: &mut FilterState, pod: &PodInfo, added: &PodInfo, node: &NodeInfo, _: &View<'_>) {
        filter::update(state, pod, added, node, 1);
    }

    fn remove_pod(&self, state: &mut FilterState, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo, _: &View<'_>) {
        filter::update(state, pod, removed, node, -1);
    }

    fn filter(&self, state: &FilterState, _: &PodInfo, node: &NodeInfo) -> Status {
        filter::filter(state, node)
    }

    fn filter_rows(&self, state: &FilterState, _: &PodInfo, open: &mut [bool]) -> bool {
        filter::filter_rows(state, open);
        true
    }

    fn pre_score(&self, pod: &PodInfo, feasible: &[&NodeInfo], view: &View<'_>) -> PreScore<ScoreState> {
        let mut open = vec![false; view.cache.slots()];
        for node in feasible {
            if let Some(open) = open.get_mut(node.slot as usize) {
                *open = true;
            }
        }
        self.pre_score_of(pod, &open, view)
    }

    fn pre_score_rows(&self, pod: &PodInfo, open: &[bool], view: &View<'_>) -> Option<PreScore<ScoreState>> {
        Some(self.pre_score_of(pod, open, view))
    }

    fn score_rows(&self, state: &ScoreState, _: &PodInfo, open: &[bool], raw: &mut [Option<i64>]) -> bool {
        score::score_rows(state, open, raw);
        true
    }

    fn normalize_rows(
        &self,
        raw: &[Option<i64>],
        bounds: &Option<(i64, i64)>,
        open: &[bool],
        normalized: &mut [u8],
    ) -> bool {
        score::normalize_rows(raw, bounds.unwrap_or_default(), open, normalized)
    }

    fn may_score(&self, pod: &PodInfo, view: &View<'_>) -> bool {
        let own = &pod.pod.spec.topology_spread;
        if own.is_empty() {
            self.args.defaults.iter().any(|c| !c.hard) && view.cache.workloads().selector_of(pod).is_some()
        } else {
            own.iter().any(|c| !c.hard)
        }
    }

    fn score(&self, state: &ScoreState, _: &PodInfo, node: &NodeInfo) -> Result<Option<i64>, Status> {
        Ok(score::score(state, node.slot))
    }

    fn bound(&self, bounds: &mut Option<(i64, i64)>, raw: &Option<i64>) {
        if let Some(raw) = raw {
            // The largest is at least 0.
            let (min, max) = bounds.unwrap_or((*raw, 0));
            *bounds = Some((min.min(*raw), max.max(*raw)));
        }
    }

    fn normalize(&self, raw: &Option<i64>, bounds: &Option<(i64, i64)>) -> i64 {
        raw.map_or(0, |raw| score::normalize(raw, bounds.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
