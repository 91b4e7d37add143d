//! `NodePorts`: host ports are free (upstream `plugins/nodeports`; reference 3.6). Ports in use are counted, which
//! upstream does not do (see `cache::UsedPorts`).

use crate::{
    cache::{NodeInfo, UsedPorts},
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
        let mut freed = UsedPorts::default();
        freed.add(&gone.spec.ports);
        if freed.conflicts(&pod.spec.ports) { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        if pod.spec.ports.is_empty() { PreFilter::Skip } else { PreFilter::Continue(()) }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if node.ports.conflicts(&pod.spec.ports) { Status::unschedulable(REASON) } else { Status::SUCCESS }
    }
}

#[cfg(test)]
mod upstream;

#[cfg(test)]
mod tests {
    use headroom_core::{
        object::{ContainerPort, Protocol},
        testing::{container, node, pod},
    };

    use super::*;

    #[test]
    fn taken_ports() {
        let with = |name: &str, port| PodInfo::new(pod(name).container(container("c").port("", 1, port)).arc());
        let mut n = NodeInfo::new(node("n").arc());
        n.add(with("a", 80));
        assert_eq!(NodePorts.filter(&(), &with("b", 80), &n), Status::unschedulable(REASON));
        assert!(NodePorts.filter(&(), &with("b", 81), &n).is_success());
    }

    /// `PROTOCOL/ADDRESS/PORT` as host ports of a pod.
    fn with_ports(name: &str, ports: &str) -> PodInfo {
        let ports = ports.split_whitespace().map(|port| {
            let mut parts = port.split('/');
            let mut next = || parts.next().unwrap();
            ContainerPort {
                protocol: Protocol::parse(next()),
                host_ip: next().into(),
                host_port: next().parse().unwrap(),
                ..ContainerPort::default()
            }
        });
        let ports = ports.collect();
        PodInfo::new(pod(name).container(container("c")).spec(|s| s.containers[0].ports = ports).arc())
    }

    /// Upstream's `TestNodePorts`: ports of the pod, ports in use, whether they are free.
    #[test]
    fn upstreams_table() {
        for (wanted, used, free) in [
            ("", "", true),
            ("UDP/127.0.0.1/8080", "UDP/127.0.0.1/9090", true),
            ("UDP/127.0.0.1/8080", "UDP/127.0.0.1/8080", false),
            ("TCP/127.0.0.1/8080", "TCP/127.0.0.1/8080", false),
            ("TCP/127.0.0.1/8080", "TCP/127.0.0.2/8080", true),
            ("UDP/127.0.0.1/8080", "TCP/127.0.0.1/8080", true),
            ("UDP/127.0.0.1/8000 UDP/127.0.0.1/8080", "UDP/127.0.0.1/8080", false),
            ("TCP/127.0.0.1/8001 UDP/127.0.0.1/8080", "TCP/127.0.0.1/8001 UDP/127.0.0.1/8081", false),
            ("TCP/0.0.0.0/8001", "TCP/127.0.0.1/8001", false),
            ("TCP/10.0.10.10/8001 TCP/0.0.0.0/8001", "TCP/127.0.0.1/8001", false),
            ("TCP/127.0.0.1/8001", "TCP/0.0.0.0/8001", false),
            ("UDP/127.0.0.1/8001", "TCP/0.0.0.0/8001", true),
            ("UDP/127.0.0.1/8001", "TCP/0.0.0.0/8001 UDP/0.0.0.0/8001", false),
        ] {
            let mut n = NodeInfo::new(node("n").arc());
            n.add(with_ports("there", used));
            let status = NodePorts.filter(&(), &with_ports("p", wanted), &n);
            assert_eq!(status, if free { Status::SUCCESS } else { Status::unschedulable(REASON) }, "{wanted}; {used}");
        }
    }
}
