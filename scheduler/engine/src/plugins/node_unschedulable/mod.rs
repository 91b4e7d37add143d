//! `NodeUnschedulable`: cordoned nodes take only pods that tolerate it (upstream `plugins/nodeunschedulable`; reference
//! 3.3).

use headroom_core::{
    Str,
    taint::{Effect, Taint},
};

use crate::{
    cache::NodeInfo,
    framework::{Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, Status, View},
};

/// The reason.
pub const REASON: &str = "node(s) were unschedulable";

/// The plugin.
#[derive(Debug)]
pub struct NodeUnschedulable;

fn tolerates_cordon(pod: &PodInfo) -> bool {
    let tolerations = &pod.pod.spec.tolerations;
    if tolerations.is_empty() {
        return false;
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: Str::default(),
        effect: Effect::NoSchedule,
        time_added: None,
    };
    tolerations.iter().any(|t| t.tolerates(&taint))
}

impl Plugin for NodeUnschedulable {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_TAINT)),
            Interest::hinted(EventResource::Pod, Actions::UPDATE_POD_TOLERATION),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let queue = match change {
            Change::Node { old, new: Some(new) } => !new.unschedulable && old.as_ref().is_none_or(|o| o.unschedulable),
            Change::Pod { new: Some(new), .. } => new.uid() == pod.uid() && tolerates_cordon(new),
            _ => false,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if node.node.unschedulable && !tolerates_cordon(pod) { Status::unresolvable(REASON) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        taint::{Effect, Toleration, TolerationOperator},
        testing::{NodeBuilder, PodBuilder, node, pod},
    };

    use super::*;
    use crate::cache::Cache;

    const CORDON: &str = "node.kubernetes.io/unschedulable";

    /// Upstream's `TestNodeUnschedulable`; a toleration of upstream's has no operator, which means `Equal`.
    #[test]
    fn upstreams_table_of_filter() {
        let (cordoned, open) = (|| node("n").unschedulable(), || node("n"));
        let equal = Toleration {
            key: CORDON.into(),
            operator: TolerationOperator::Equal,
            value: Str::default(),
            effect: Some(Effect::NoSchedule),
            seconds: None,
        };
        let no = || Status::unresolvable(REASON);
        for (i, (p, n, status)) in [
            (pod("p"), cordoned(), no()),
            (pod("p"), open(), Status::SUCCESS),
            (pod("p").spec(|s| s.tolerations = Box::new([equal])), cordoned(), Status::SUCCESS),
            // Ours.
            (pod("p").tolerates(CORDON, None, None), cordoned(), Status::SUCCESS),
            (pod("p").tolerates(CORDON, Some(Effect::NoExecute), None), cordoned(), no()),
            (pod("p").tolerates("other", None, None), cordoned(), no()),
        ]
        .into_iter()
        .enumerate()
        {
            let got = NodeUnschedulable.filter(&(), &PodInfo::new(p.arc()), &NodeInfo::new(n.arc()));
            assert_eq!(got, status, "case {i}");
        }
    }

    /// Upstream's `TestIsSchedulableAfterNodeChange`.
    #[test]
    fn upstreams_table_of_hints_after_nodes() {
        let (cordoned, open) = (|| node("n").unschedulable(), || node("n"));
        let not_ready = |n: NodeBuilder| n.taint("node.kubernetes.io/not-ready", "", Effect::NoExecute);
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        for (i, (old, new, expected)) in [
            (None, cordoned(), Hint::Skip),
            (None, open(), Hint::Queue),
            (Some(cordoned()), not_ready(cordoned()), Hint::Skip),
            (Some(open()), not_ready(open()), Hint::Skip),
            (Some(cordoned()), open(), Hint::Queue),
        ]
        .into_iter()
        .enumerate()
        {
            let change = Change::Node { old: old.map(NodeBuilder::arc), new: Some(new.arc()) };
            let got = NodeUnschedulable.hint(&change, &PodInfo::new(pod("p").arc()), &view);
            assert_eq!(got, expected, "case {i}");
        }
    }

    /// Upstream's `TestIsSchedulableAfterPodTolerationChange`.
    #[test]
    fn upstreams_table_of_hints_after_pods() {
        let info = |p: PodBuilder| Some(PodInfo::new(p.arc()));
        let tolerating = |name: &str, key: &str| pod(name).tolerates(key, None, None);
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        for (i, (old, new, expected)) in [
            (pod("other"), tolerating("other", CORDON), Hint::Skip),
            (pod("p"), tolerating("p", CORDON), Hint::Queue),
            (pod("p"), tolerating("p", "unrelated-key"), Hint::Skip),
        ]
        .into_iter()
        .enumerate()
        {
            let change = Change::Pod { old: info(old), new: info(new) };
            let got = NodeUnschedulable.hint(&change, &PodInfo::new(pod("p").arc()), &view);
            assert_eq!(got, expected, "case {i}");
        }
    }
}
