//! The brake against a cluster whose owners make pods anew.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    intent::Op,
    memory::{MIB, Sample, SwapBehavior},
    object::{Meta, NodeHeadroom, Phase},
    taint::Effect,
    testing::{PodBuilder, node, pod},
};
use proptest::prelude::*;

use super::*;
use crate::{framework::HeadroomRow, testkit::Rig};

const KEY: &str = "node.kubernetes.io/unreachable";
const TOLERATED: u64 = 60;

struct Cluster {
    rig: Rig<TaintEvictionController>,
    /// Nodes of 1 GiB that are alive, and what is used there in MiB.
    used: BTreeMap<String, i64>,
    /// Pods that were deleted: name, second.
    deleted: Vec<(String, u64)>,
    events: Vec<String>,
    measured: bool,
}

impl Cluster {
    fn new(used: &[i64]) -> Self {
        let policy = Policy { brake: true, spare_ended: true, ..Policy::default() };
        let mut rig = Rig::new(TaintEvictionController::new(policy, Params::default()), 1_000_000);
        let used: BTreeMap<String, i64> = used.iter().enumerate().map(|(i, mib)| (format!("live-{i}"), *mib)).collect();
        for name in used.keys() {
            rig.node(node(name).capacity("4", "1Gi", 110).arc());
        }
        rig.node(node("dead").arc());
        rig.start();
        Self { rig, used, deleted: Vec::new(), events: Vec::new(), measured: true }
    }

    /// A pod of the node that will die, of a ReplicaSet, that needs so many MiB.
    fn pod(&mut self, name: &str, mib: i64, priority: i32) {
        self.rig.pod(of_replica_set(name, mib).priority(priority).arc());
    }

    fn second(&self) -> u64 {
        self.rig.now.mono.0 / 1_000_000 - 1_000_000
    }

    fn die(&mut self) {
        self.rig.node(silent().arc());
        self.run(0);
    }

    /// New samples.
    fn sample(&mut self) {
        for (name, mib) in self.used.clone() {
            let meta = Meta { key: ObjectKey::new("", name.as_str()), ..Meta::default() };
            let sample = Sample { at: self.rig.now.wall, working_set: Some(mib * MIB), ..Sample::default() };
            let details = NodeHeadroom {
                meta: meta.clone(),
                sample: Some(sample),
                eviction_hard: Some(0),
                swap_behavior: Some(SwapBehavior::NoSwap),
                ..NodeHeadroom::default()
            };
            let row = HeadroomRow { meta, sample, details: Some(Arc::new(details)), ..HeadroomRow::default() };
            self.rig.headroom(Arc::new(row));
        }
    }

    /// Lets time pass: samples come every 15 s, everything is written at once, and a ReplicaSet makes pods anew; these
    /// wait for a node.
    fn run(&mut self, seconds: u64) {
        for left in (0..=seconds).rev() {
            if self.measured && self.second().is_multiple_of(15) {
                self.sample();
            }
            loop {
                self.rig.settle();
                let ops = self.rig.take();
                if ops.is_empty() {
                    break;
                }
                for (id, op) in ops {
                    if let Op::Delete { key, .. } = &op {
                        let old = self.rig.world.pods.get(key).unwrap().clone();
                        assert!(
                            self.rig.world.nodes["dead"].taints.iter().any(|t| t.effect == Effect::NoExecute),
                            "{key} without a taint"
                        );
                        self.deleted.push((key.name.to_string(), self.second()));
                        self.rig.remove_pod(key);
                        if old.meta.controller().is_some_and(|o| o.kind == "ReplicaSet") {
                            let mut new = (*old).clone();
                            new.meta.key.name = format!("{}-new", key.name).as_str().into();
                            new.meta.uid = format!("{}-new", old.meta.uid).as_str().into();
                            new.meta.created = self.rig.now.wall;
                            new.node_name = None;
                            new.status = headroom_core::object::PodStatus::default();
                            self.rig.pod(Arc::new(new));
                        }
                    }
                    self.rig.ok(id, "u", 9);
                }
            }
            let told = std::mem::take(&mut self.rig.events);
            let on_nodes = told.iter().filter(|e| &*e.regarding.kind == "Node");
            self.events.extend(on_nodes.map(|e| format!("{} {} {}", e.reason, e.regarding.name, e.note)));
            if left > 0 {
                self.rig.advance(Duration::from_secs(1));
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.deleted.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

fn silent() -> headroom_core::testing::NodeBuilder {
    node("dead").condition("Ready", Status::Unknown, 1).taint(KEY, "", Effect::NoExecute)
}

fn of_replica_set(name: &str, mib: i64) -> PodBuilder {
    let size = format!("{mib}Mi");
    let bare = pod(name).on("dead").phase(Phase::Running).requests("", &size).limits("", &size);
    let tolerated = i64::try_from(TOLERATED).unwrap();
    bare.owner("ReplicaSet", "web", "uid-rs").tolerates(KEY, Some(Effect::NoExecute), Some(tolerated))
}

#[test]
fn what_fits_goes_and_the_rest_waits_and_is_named() {
    // H = 1024 - 460 - 82 = 482.
    let mut c = Cluster::new(&[460]);
    for i in 0..9 {
        c.pod(&format!("web-{i}"), 120, i / 3);
    }
    c.die();
    c.run(TOLERATED - 1);
    assert_eq!(c.names(), Vec::<&str>::new());
    c.run(3);
    assert_eq!(c.names(), ["web-3", "web-6", "web-7", "web-8"], "highest priority first");
    assert_eq!(
        c.events,
        [
            "EvictionsHeldBack dead 4 of 9 pods placed, 5 wait: need 600Mi (default/web-4, default/web-5, default/web-0 and 2 more)"
        ]
    );
    // Their successors wait for a node, and count.
    c.run(200);
    assert_eq!((c.deleted.len(), c.events.len()), (4, 1));
    // Somebody leaves a live node: one more.
    c.used.insert("live-0".to_owned(), 330);
    c.run(30);
    assert_eq!(c.deleted.last().map(|(name, _)| name.as_str()), Some("web-4"));
    assert_eq!((c.deleted.len(), c.events.len()), (5, 2));
    assert!(c.events[1].contains("5 of 9 pods placed, 4 wait: need 480Mi (default/web-5"), "{:?}", c.events);
    // Ten minutes after their time the rest goes all the same.
    c.run(TOLERATED + 590 - c.second());
    assert_eq!(c.deleted.len(), 5);
    c.run(20);
    assert_eq!(c.deleted.len(), 9);
    assert!(c.deleted.iter().all(|(_, at)| *at <= TOLERATED + 600 + 6), "{:?}", c.deleted);
    c.run(60);
    assert!(c.events[2].contains("5 of 9 pods placed, 4 let go unplaced"), "{:?}", c.events);
    c.run(600);
    assert_eq!(c.events.len(), 3);
    assert_eq!(c.rig.controller.next_deadline(), None, "nothing is left to do");
}

#[test]
fn all_that_fits_goes_at_once_and_nobody_is_told() {
    let mut c = Cluster::new(&[200, 200]);
    for i in 0..9 {
        c.pod(&format!("web-{i}"), 120, 0);
    }
    c.die();
    c.run(TOLERATED + 2);
    assert_eq!((c.deleted.len(), c.events.len()), (9, 0));
    assert!(c.deleted.iter().all(|(_, at)| *at <= TOLERATED + 1), "{:?}", c.deleted);
}

#[test]
fn without_samples_nothing_is_held() {
    // None ever; no object at all; and those that there are have become old.
    for (objects, old) in [(false, 0), (true, 0), (true, 400)] {
        let mut c = Cluster::new(&[1000]);
        c.measured = false;
        for i in 0..3 {
            c.pod(&format!("web-{i}"), 500, 0);
        }
        if objects && old == 0 {
            let meta = Meta { key: ObjectKey::new("", "live-0"), ..Meta::default() };
            c.rig.headroom(Arc::new(HeadroomRow { meta, ..HeadroomRow::default() }));
        } else if objects {
            c.sample();
            c.run(old);
        }
        let from = c.second();
        c.die();
        c.run(TOLERATED + 2);
        assert_eq!((c.deleted.len(), c.events.len()), (3, 0));
        assert!(c.deleted.iter().all(|(_, at)| *at <= from + TOLERATED + 1));
    }
}

#[test]
fn only_pods_that_are_made_anew_are_held_and_only_for_silence() {
    let mut c = Cluster::new(&[1000]);
    c.pod("held", 500, 0);
    for (name, kind) in [("set-0", "StatefulSet"), ("daemon", "DaemonSet"), ("static", "Node")] {
        c.rig.pod(of_replica_set(name, 500).owner(kind, "o", "uid-o").arc());
    }
    c.rig.pod(of_replica_set("bare", 500).with(|p| p.meta.owners = Arc::new([])).arc());
    c.rig.pod(of_replica_set("job", 500).owner("Job", "j", "uid-j").arc());
    c.rig.pod(of_replica_set("rollout", 500).owner("Rollout", "r", "uid-r").arc());
    c.die();
    c.run(TOLERATED);
    assert_eq!(c.names(), ["bare", "daemon", "set-0", "static"]);
    c.run(100);
    assert_eq!(c.deleted.len(), 4);
    // Somebody wants the node empty: that is followed.
    c.rig.node(silent().taint("example.com/drain", "", Effect::NoExecute).arc());
    c.run(1);
    assert_eq!(c.deleted.len(), 7);
}

#[test]
fn a_node_that_returns_keeps_what_waited() {
    let mut c = Cluster::new(&[800]);
    for i in 0..4 {
        c.pod(&format!("web-{i}"), 120, 0);
    }
    c.die();
    c.run(TOLERATED + 100);
    assert_eq!((c.names(), c.events.len()), (vec!["web-0"], 1));
    c.rig.node(node("dead").arc());
    c.run(1000);
    assert_eq!((c.deleted.len(), c.events.len()), (1, 1));
    assert!(c.rig.controller.evictions.is_empty());
    assert_eq!(c.rig.controller.next_deadline(), None);
}

#[test]
fn a_node_that_is_deleted_does_not_let_go_of_what_waits() {
    let mut c = Cluster::new(&[800]);
    for i in 0..4 {
        c.pod(&format!("web-{i}"), 120, 0);
    }
    c.die();
    c.run(TOLERATED + 100);
    c.rig.remove_node("dead");
    c.run(100);
    assert_eq!((c.names(), c.rig.controller.evictions.len()), (vec!["web-0"], 3));
}

#[test]
fn nodes_that_cannot_take_pods_are_no_room() {
    let (cordoned, tainted) = (node("live-0").unschedulable(), node("live-0").taint("k", "", Effect::NoSchedule));
    let silent = node("live-0").condition("Ready", Status::False, 1);
    let leaving = node("live-0").taint(KEY, "", Effect::NoExecute);
    for (row, room) in [(node("live-0"), true), (cordoned, false), (tainted, false), (silent, false), (leaving, false)]
    {
        // The other live node is full.
        let mut c = Cluster::new(&[100, 1000]);
        c.rig.node(row.clone().capacity("4", "1Gi", 110).arc());
        c.pod("web", 120, 0);
        c.die();
        c.run(TOLERATED + 10);
        assert_eq!(c.deleted.len() == 1, room, "{row:?}");
    }
}

#[test]
fn pods_that_wait_for_a_node_come_first_when_they_are_as_important() {
    for (priority, age, goes) in [(0, 0, false), (5, 0, false), (-5, 0, true), (0, 700, true)] {
        let mut c = Cluster::new(&[800]);
        c.pod("web", 100, 0);
        c.die();
        let created = c.rig.now.wall.secs() - age;
        let waiting = of_replica_set("waiting", 100).owner("ReplicaSet", "other", "uid-other");
        c.rig.pod(waiting.priority(priority).created(created).with(|p| p.node_name = None).arc());
        c.run(TOLERATED + 10);
        assert_eq!(c.deleted.len() == 1, goes, "priority {priority}, waiting for {age} s");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Within ten minutes no more goes than the rest can take, no pod that fits nowhere, and none before one that is as
    /// important or more and needs no more. Then everything goes, once.
    #[test]
    fn never_more_than_the_rest_can_take(
        used in prop::collection::vec(0_i64..1024, 1..4),
        pods in prop::collection::vec((1_i64..400, 0_i32..3), 1..16),
    ) {
        let mut c = Cluster::new(&used);
        for (i, (mib, priority)) in pods.iter().enumerate() {
            c.pod(&format!("p{i}"), *mib, *priority);
        }
        c.die();
        c.run(TOLERATED + 598);
        let of = |name: &str| pods[name[1..].parse::<usize>().unwrap()];
        let room: Vec<i64> = used.iter().map(|used| (1024 - used - 81).max(0)).collect();
        let gone: Vec<(i64, i32)> = c.deleted.iter().map(|(name, _)| of(name)).collect();
        prop_assert!(gone.iter().map(|(mib, _)| mib).sum::<i64>() <= room.iter().sum::<i64>());
        prop_assert!(gone.iter().all(|(mib, _)| room.iter().any(|room| mib <= room)));
        for (i, &(mib, priority)) in pods.iter().enumerate() {
            let stays = !c.deleted.iter().any(|(name, _)| *name == format!("p{i}"));
            prop_assert!(!stays || gone.iter().all(|&(m, p)| m < mib || p >= priority), "{i} waits");
        }
        c.run(20);
        prop_assert_eq!(c.deleted.len(), pods.len());
        c.deleted.sort();
        c.deleted.dedup_by(|a, b| a.0 == b.0);
        prop_assert_eq!(c.deleted.len(), pods.len());
    }
}
