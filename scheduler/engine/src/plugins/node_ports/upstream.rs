//! The rest of upstream's tables (`node_ports_test.go`): init containers of `TestNodePorts`, `TestFits`, and the hints.

use headroom_core::{
    Now,
    object::{ContainerPort, Protocol},
    testing::{PodBuilder, container, node, pod},
};

use super::*;
use crate::cache::Cache;

/// Host ports, each given as `PROTOCOL/ADDRESS/PORT`.
fn ports(text: &str) -> Box<[ContainerPort]> {
    let ports = text.split_whitespace().map(|port| {
        let parts: Vec<&str> = port.split('/').collect();
        let [protocol, address, number] = parts[..] else { panic!("{port}") };
        ContainerPort {
            protocol: Protocol::parse(protocol),
            host_ip: address.into(),
            host_port: number.parse().unwrap(),
            ..ContainerPort::default()
        }
    });
    ports.collect()
}

fn with_ports(name: &str, text: &str) -> PodInfo {
    let all = ports(text);
    PodInfo::new(pod(name).container(container("c")).spec(|s| s.containers[0].ports = all).arc())
}

fn pre_filter(p: &PodInfo) -> PreFilter<()> {
    let cache = Cache::default();
    NodePorts.pre_filter(p, &View::new(&cache, Now::default()))
}

/// `TestNodePorts`: ports of init containers are free again when the pod runs, those of sidecars are not.
#[test]
fn init_containers_and_sidecars() {
    let port = || container("i").port("", 8001, 8001);
    let mut n = NodeInfo::new(node("n").arc());
    n.add(with_ports("there", "TCP/0.0.0.0/8001"));
    for (p, before, expected) in [
        (pod("p"), PreFilter::Skip, Status::SUCCESS),
        (pod("p").init(port()), PreFilter::Skip, Status::SUCCESS),
        (pod("p").init(port().restartable()), PreFilter::Continue(()), Status::unschedulable(REASON)),
    ] {
        let p = PodInfo::new(p.arc());
        assert_eq!(pre_filter(&p), before);
        assert_eq!(NodePorts.filter(&(), &p, &n), expected);
    }
}

/// `TestFits`: ports of the pod, ports in use, whether they are free.
#[test]
fn several_ports() {
    let four = "TCP/127.0.0.1/80 TCP/127.0.1.1/80 TCP/127.0.1.1/90 TCP/127.0.1.1/100";
    for (wanted, used, free) in [
        ("TCP/127.0.0.1/80", "TCP/127.0.0.1/9090", true),
        (four, "TCP/127.0.0.1/9090 TCP/127.0.0.1/9191 TCP/127.0.1.1/8080", true),
        ("TCP/127.0.0.1/80", "UDP/127.0.0.1/80", true),
        ("TCP/127.0.0.1/80", "TCP/127.0.0.1/80", false),
        (four, "TCP/127.0.0.1/9090 TCP/127.0.1.1/90 TCP/127.0.1.1/8080", false),
    ] {
        let mut n = NodeInfo::new(node("n").arc());
        n.add(with_ports("there", used));
        let expected = if free { Status::SUCCESS } else { Status::unschedulable(REASON) };
        assert_eq!(NodePorts.filter(&(), &with_ports("p", wanted), &n), expected, "{wanted}; {used}");
    }
}

/// Ours: of two pods with one port the other still holds it when one leaves.
#[test]
fn ports_are_counted() {
    let mut n = NodeInfo::new(node("n").arc());
    for name in ["a", "b"] {
        n.add(with_ports(name, "TCP/0.0.0.0/80"));
    }
    for (gone, expected) in [("uid-a", Status::unschedulable(REASON)), ("uid-b", Status::SUCCESS)] {
        n.remove(gone);
        assert_eq!(NodePorts.filter(&(), &with_ports("p", "TCP/127.0.0.1/80"), &n), expected, "{gone}");
    }
}

/// `Test_isSchedulableAfterPodDeleted`, for a pod that wants 8080: the pod that is gone.
#[test]
fn after_pods() {
    let with = |p: PodBuilder, port| p.container(container("c").port("", 1, port));
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    for (i, (gone, expected)) in [
        (pod("x"), Hint::Skip),
        (pod("x").on("n"), Hint::Skip),
        (with(pod("x").on("n"), 8081), Hint::Skip),
        (with(pod("x").on("n"), 8080), Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Pod { old: Some(PodInfo::new(gone.arc())), new: None };
        let waiting = PodInfo::new(with(pod("p"), 8080).arc());
        assert_eq!(NodePorts.hint(&change, &waiting, &view), expected, "case {i}");
    }
}
