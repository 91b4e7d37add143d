//! The machines of the control plane.

use std::sync::Arc;

use headroom_core::object::Node;

use crate::{
    cluster::{CONTROL_PLANE_ROLES, Cluster, is_control_plane},
    fleet::SURVIVING_SERVERS,
};

/// How many machines a control plane of `today` nodes needs: two members of etcd survive no failure more than one does,
/// three and more are there to survive one.
pub(super) const fn control_planes(today: usize) -> usize {
    match today {
        0 => 0,
        1 | 2 => 1,
        _ => SURVIVING_SERVERS,
    }
}

/// Whether nothing else goes to the nodes of the control plane today.
pub(super) fn is_separate(cluster: &Cluster) -> bool {
    let mut servers = cluster.nodes.values().filter(|node| is_control_plane(node)).peekable();
    let closed = |node: &Arc<Node>| {
        node.unschedulable || node.taints.iter().any(|taint| CONTROL_PLANE_ROLES.contains(&taint.key.as_str()))
    };
    servers.peek().is_some() && servers.all(closed)
}
