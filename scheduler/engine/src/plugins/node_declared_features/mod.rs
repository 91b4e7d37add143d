//! `NodeDeclaredFeatures`: only nodes whose kubelets declare the features that the pod needs (upstream
//! `plugins/nodedeclaredfeatures` and `component-helpers/nodedeclaredfeatures`; reference 3.18).
//!
//! The features of 1.36 that scheduling infers from a spec; the others of its registry concern updates only.

use headroom_core::object::PodSpec;

use crate::{
    cache::NodeInfo,
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter, Status, View,
    },
};

/// The reason.
pub const REASON: &str = "node(s) didn't match Pod's required features";

const RESTART_ALL_CONTAINERS: &str = "RestartAllContainersOnContainerExits";
const USER_NAMESPACES_HOST_NETWORK: &str = "UserNamespacesHostNetworkSupport";

/// The plugin.
#[derive(Debug)]
pub struct NodeDeclaredFeatures;

/// Which features a pod needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    restart_all_containers: bool,
    user_namespaces_host_network: bool,
}

impl Needs {
    fn of(spec: &PodSpec) -> Self {
        Self {
            restart_all_containers: spec.containers.iter().chain(&spec.init_containers).any(|c| c.restarts_all),
            user_namespaces_host_network: spec.host_network && spec.host_users == Some(false),
        }
    }

    fn met_by(self, node: &NodeInfo) -> bool {
        let declares = |name: &str| node.node.declared_features.iter().any(|f| f == name);
        (!self.restart_all_containers || declares(RESTART_ALL_CONTAINERS))
            && (!self.user_namespaces_host_network || declares(USER_NAMESPACES_HOST_NETWORK))
    }
}

impl Plugin for NodeDeclaredFeatures {
    type Filter = Needs;
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_DECLARED_FEATURE)),
            Interest::hinted(EventResource::Pod, Actions::UPDATE),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let queue = match change {
            Change::Node { old: Some(old), new: Some(new) } => old.declared_features != new.declared_features,
            Change::Pod { new: Some(new), .. } if new.uid() != pod.uid() => false,
            Change::Pod { old: Some(old), new: Some(new) } => Needs::of(&old.pod.spec) != Needs::of(&new.pod.spec),
            _ => true,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<Needs> {
        let needs = Needs::of(&pod.pod.spec);
        if needs == Needs::default() { PreFilter::Skip } else { PreFilter::Continue(needs) }
    }

    fn filter(&self, needs: &Needs, _: &PodInfo, node: &NodeInfo) -> Status {
        if needs.met_by(node) { Status::SUCCESS } else { Status::unresolvable(REASON) }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        testing::{container, node, pod},
    };

    use super::*;
    use crate::cache::Cache;

    fn needing(network: bool, restart: bool) -> PodInfo {
        let p = pod("p").container(container("a")).init(container("b")).spec(|s| {
            (s.host_network, s.host_users) = (network, Some(!network));
            s.init_containers[0].restarts_all = restart;
        });
        PodInfo::new(p.arc())
    }

    #[test]
    fn filters() {
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        assert_eq!(NodeDeclaredFeatures.pre_filter(&needing(false, false), &view), PreFilter::Skip);
        for (network, restart, features, ok) in [
            (true, false, &[][..], false),
            (true, false, &[USER_NAMESPACES_HOST_NETWORK][..], true),
            (true, true, &[USER_NAMESPACES_HOST_NETWORK][..], false),
            (true, true, &[RESTART_ALL_CONTAINERS, USER_NAMESPACES_HOST_NETWORK][..], true),
            (false, true, &[RESTART_ALL_CONTAINERS, "Other"][..], true),
        ] {
            let p = needing(network, restart);
            let PreFilter::Continue(needs) = NodeDeclaredFeatures.pre_filter(&p, &view) else { panic!() };
            let n = NodeInfo::new(features.iter().fold(node("n"), |n, f| n.feature(f)).arc());
            let expected = if ok { Status::SUCCESS } else { Status::unresolvable(REASON) };
            assert_eq!(NodeDeclaredFeatures.filter(&needs, &p, &n), expected, "{features:?}");
        }
    }

    #[test]
    fn hints() {
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        let p = needing(true, false);
        let (old, new) = (node("n").arc(), node("n").feature("F").arc());
        let hint = |change| NodeDeclaredFeatures.hint(&change, &p, &view);
        assert_eq!(hint(Change::Node { old: Some(old.clone()), new: Some(new.clone()) }), Hint::Queue);
        assert_eq!(hint(Change::Node { old: Some(new.clone()), new: Some(new.clone()) }), Hint::Skip);
        assert_eq!(hint(Change::Node { old: None, new: Some(old) }), Hint::Queue);
        let other = PodInfo::new(pod("q").arc());
        assert_eq!(hint(Change::Pod { old: Some(other.clone()), new: Some(other) }), Hint::Skip);
        let pods = |old: &PodInfo, new: &PodInfo| Change::Pod { old: Some(old.clone()), new: Some(new.clone()) };
        assert_eq!(hint(pods(&p, &p)), Hint::Skip);
        assert_eq!(hint(pods(&p, &needing(true, true))), Hint::Queue);
    }
}
