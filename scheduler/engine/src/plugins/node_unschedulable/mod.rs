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
    use headroom_core::testing::{node, pod};

    use super::*;

    #[test]
    fn cordoned() {
        let cordoned = NodeInfo::new(node("n").unschedulable().arc());
        let plain = PodInfo::new(pod("p").arc());
        let daemon = PodInfo::new(pod("d").tolerates("node.kubernetes.io/unschedulable", None, None).arc());
        assert_eq!(NodeUnschedulable.filter(&(), &plain, &cordoned), Status::unresolvable(REASON));
        assert!(NodeUnschedulable.filter(&(), &daemon, &cordoned).is_success());
        assert!(NodeUnschedulable.filter(&(), &plain, &NodeInfo::new(node("n").arc())).is_success());
    }
}
