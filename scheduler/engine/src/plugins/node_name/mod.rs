//! `NodeName`: a pod that names its node goes nowhere else (upstream `plugins/nodename`; reference 3.2). Pods with a
//! node never reach the scheduler, so this only matters to whoever explains a placed pod by its own name; there the pod
//! is looked at without its node, as if it were pending.

use crate::{
    cache::NodeInfo,
    framework::{Actions, EventResource, Interest, Plugin, PodInfo, Point, Points, Status},
};

/// The reason.
pub const REASON: &str = "node(s) didn't match the requested node name";

/// The plugin.
#[derive(Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::always(EventResource::Node, Actions::ADD)]
    }

    fn signature(&self, pod: &PodInfo, _: &crate::framework::View<'_>, s: &mut crate::framework::Signature) {
        s.push_str(pod.pod.node_name.as_deref().unwrap_or(""));
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        match &pod.pod.node_name {
            Some(wanted) if !wanted.is_empty() && *wanted != node.name => Status::unresolvable(REASON),
            _ => Status::SUCCESS,
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{node, pod};

    use super::*;

    /// Upstream's `TestNodeName`.
    #[test]
    fn upstreams_table() {
        for (p, name, status) in [
            (pod("p"), "foo", Status::SUCCESS),
            (pod("p").on("foo"), "foo", Status::SUCCESS),
            (pod("p").on("bar"), "foo", Status::unresolvable(REASON)),
        ] {
            let n = NodeInfo::new(node(name).arc());
            assert_eq!(NodeName.filter(&(), &PodInfo::new(p.clone().arc()), &n), status, "{p:?}");
        }
    }
}
