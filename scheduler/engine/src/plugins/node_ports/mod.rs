//! `NodePorts`: host ports are free (upstream `plugins/nodeports`; reference 3.6). Ports in use are counted, which
//! upstream does not do (see `cache::UsedPorts`).

use crate::{
    cache::{NodeInfo, ports_conflict},
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, Status, View,
    },
};

/// The reason.
pub const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

/// The plugin.
#[derive(Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::hinted(EventResource::Pod, Actions::DELETE), Interest::always(EventResource::Node, Actions::ADD)]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let Change::Pod { old: Some(gone), .. } = change else { return Hint::Queue };
        let shared = gone.spec.ports.iter().any(|a| pod.spec.ports.iter().any(|b| ports_conflict(a, b)));
        if shared { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        if pod.spec.ports.is_empty() { PreFilter::Skip } else { PreFilter::Continue(()) }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if node.ports.conflicts(&pod.spec.ports) { Status::unschedulable(REASON) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{container, node, pod};

    use super::*;

    #[test]
    fn taken_ports() {
        let with = |name: &str, port| PodInfo::new(pod(name).container(container("c").port("", 1, port)).arc());
        let mut n = NodeInfo::new(node("n").arc());
        n.add(with("a", 80));
        assert_eq!(NodePorts.filter(&(), &with("b", 80), &n), Status::unschedulable(REASON));
        assert!(NodePorts.filter(&(), &with("b", 81), &n).is_success());
    }
}
