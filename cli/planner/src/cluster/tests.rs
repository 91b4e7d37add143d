//! Who waits, who stays, and who is felt.

use headroom_core::{
    object::{Affinity, NodeAffinity},
    selector::{NodeSelector, Operator, Requirement},
    testing::{PodBuilder, claim, node, pod, volume},
};

use super::*;

fn cluster(inputs: Vec<Input>) -> Cluster {
    Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000))
}

/// A pod of DaemonSet `d` that is made for this node.
pub(crate) fn daemon(name: &str, made_for: &str) -> PodBuilder {
    let field =
        Requirement { key: "metadata.name".into(), operator: Operator::In, values: Box::new([Str::from(made_for)]) };
    let term = NodeSelectorTerm { match_fields: Box::new([field]), ..NodeSelectorTerm::default() };
    let required = Some(NodeSelector { terms: Box::new([term]) });
    let node = Some(NodeAffinity { required, ..NodeAffinity::default() });
    let affinity = Affinity { node, ..Affinity::default() };
    pod(name).owner("DaemonSet", "d", "d").spec(|spec| spec.affinity = Some(affinity.into()))
}

#[test]
fn pods_are_made_ready_and_share_their_spec() {
    let first = pod("a").spec(|s| s.scheduler_name = "other".into()).arc();
    let mut second = (*first).clone();
    second.meta.key.name = "b".into();
    let c = cluster(vec![Input::PodApplied(first), Input::PodApplied(Arc::new(second))]);
    assert!(Arc::ptr_eq(&c.pods[0].spec, &c.pods[1].spec));
    assert_eq!(c.pods[0].spec.preemption_policy, PreemptionPolicy::Never);
    assert_eq!(c.pods[0].spec.scheduler_name, "default-scheduler");
    assert_eq!(c.waiting().count(), 2);
}

#[test]
fn who_stays_and_who_is_felt() {
    let local = volume("v").affinity(HOSTNAME, &["a"]);
    let remote = volume("w").csi("csi.example.com", "w");
    let c = cluster(vec![
        Input::NodeApplied(node("a").arc()),
        Input::NodeApplied(node("b").arc()),
        Input::StorageApplied(StorageObject::Volume(local.arc())),
        Input::StorageApplied(StorageObject::Volume(remote.arc())),
        Input::StorageApplied(StorageObject::Claim(claim("c").bound("v").arc())),
        Input::StorageApplied(StorageObject::Claim(claim("d").bound("w").arc())),
    ]);
    let with = |claim: &str| pod("p").on("a").claim(claim).owner("StatefulSet", "db", "db").build();
    assert_eq!(c.immovable(&with("c")).as_deref(), Some("its claim c is a local volume of a"));
    assert_eq!(c.immovable(&with("d")), None);
    let web = pod("web").on("a").owner("ReplicaSet", "web", "web").build();
    assert_eq!((c.interruption(&web, 2), c.interruption(&web, 1)), (None, Some("single replica")));
    let job = pod("job").on("a").owner("Job", "job", "job").build();
    assert_eq!(c.interruption(&job, 1), Some("pod of a Job: what it does begins anew"));
    assert!(c.interruption(&pod("bare").on("a").build(), 1).is_some_and(|why| why.starts_with("bare pod")));
    assert_eq!(c.node_of(&pod("lost").on("gone").build()), None);
}

#[test]
fn volumes_are_local_by_whatever_key_selects_one_node() {
    let node = |name: &str, zone: &str| {
        node(name).label("topology.topolvm.io/node", name).label("disk", "ssd").label("example.com/zone", zone)
    };
    let volume = |name: &str, affinity: &[(&str, &str)]| {
        let with = affinity.iter().fold(volume(name), |v, (key, value)| v.affinity(key, &[*value]));
        Input::StorageApplied(StorageObject::Volume(with.arc()))
    };
    let c = cluster(vec![
        Input::NodeApplied(node("a", "east").arc()),
        Input::NodeApplied(node("b", "west").arc()),
        volume("topolvm", &[("topology.topolvm.io/node", "a")]),
        volume("both", &[("example.com/zone", "east"), ("topology.topolvm.io/node", "a")]),
        volume("zonal", &[("example.com/zone", "east")]),
        volume("shared", &[("disk", "ssd")]),
        volume("elsewhere", &[("topology.topolvm.io/node", "b")]),
    ]);
    for (volume, local) in
        [("topolvm", true), ("both", true), ("zonal", false), ("shared", false), ("elsewhere", false)]
    {
        let mut c = c.clone();
        c.claims.insert(ObjectKey::new("default", "c"), claim("c").bound(volume).arc());
        let why = c.immovable(&pod("p").on("a").claim("c").build());
        assert_eq!(why.is_some(), local, "{volume}: {why:?}");
    }
}

#[test]
fn who_waits_wants_a_node_that_there_may_be() {
    let c = cluster(vec![
        Input::NodeApplied(node("a").arc()),
        Input::PodApplied(pod("placed").on("a").arc()),
        Input::PodApplied(pod("pending").arc()),
        Input::PodApplied(pod("lost").on("gone").arc()),
        Input::PodApplied(daemon("daemon-here", "a").arc()),
        Input::PodApplied(daemon("daemon-lost", "gone").on("gone").arc()),
        Input::PodApplied(daemon("daemon-nowhere", "gone").arc()),
        Input::PodApplied(pod("static-lost").owner("Node", "gone", "gone").on("gone").arc()),
    ]);
    let waiting: Vec<&str> = c.waiting().map(|pod| pod.meta.key.name.as_str()).collect();
    assert_eq!(waiting, ["daemon-here", "lost", "pending"]);
    let awaited = |node: &str| c.awaited(node).map(|pod| pod.meta.key.name.to_string()).collect::<Vec<_>>();
    assert_eq!((awaited("a"), awaited("b")), (vec!["daemon-here".to_owned()], vec![]));
}

#[test]
fn daemons_follow_selectors_and_taints() {
    let daemon = pod("d").owner("DaemonSet", "d", "d").node_selector("disk", "ssd").build();
    assert_eq!((bond(&daemon), bond(&pod("p").build())), (Bond::Daemon, Bond::Free));
    assert!(!daemon_wants(&daemon, &node("a").build()));
    let ssd = || node("a").label("disk", "ssd");
    assert!(daemon_wants(&daemon, &ssd().build()));
    assert!(!daemon_wants(&daemon, &ssd().taint("k", "", Effect::NoSchedule).build()));
    assert_eq!(daemon_on(&daemon, &"n".into()).meta.key.name, "d-on-n");
}
