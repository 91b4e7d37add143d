use headroom_core::{
    Timestamp,
    testing::{NodeBuilder, PodBuilder, node, pod},
};

use super::*;
use crate::{Configuration, Registry, framework::PluginSet};

mod activation;
mod figures;

struct World {
    profiles: Profiles,
    cache: Cache,
    nominated: Nominated,
    queue: Queue,
    at: u64,
}

macro_rules! cx {
    ($w:expr) => {
        QueueCx {
            profiles: &$w.profiles,
            cache: &$w.cache,
            nominated: &$w.nominated,
            now: Now { wall: Timestamp::from_secs(1_000_000 + ($w.at / 1000) as i64), mono: Mono($w.at * 1000) },
        }
    };
}

impl World {
    fn new() -> Self {
        let profiles = Configuration::default().build(&Registry::in_tree()).unwrap();
        let queue = Queue::new(&profiles, Duration::from_secs(1), Duration::from_secs(10));
        let (cache, nominated) = (Cache::default(), Nominated::default());
        let mut this = Self { profiles, cache, nominated, queue, at: 100_000 };
        this.flush();
        this
    }

    fn add(&mut self, p: PodBuilder) {
        self.queue.add(PodInfo::new(p.arc()), 0, &cx!(self));
    }

    fn update(&mut self, p: PodBuilder) {
        self.queue.update(PodInfo::new(p.arc()), &cx!(self));
    }

    fn pop(&mut self) -> Option<String> {
        self.queue.pop(&cx!(self)).map(|e| e.info.pod.meta.key.name.to_string())
    }

    fn flush(&mut self) {
        self.queue.flush(&cx!(self));
    }

    fn set(&self, plugins: &[&str]) -> PluginSet {
        let mut set = PluginSet::default();
        for id in (0..64).map(PluginId) {
            if plugins.contains(&self.profiles.plugin_name(id)) {
                set.insert(id);
            }
        }
        set
    }

    fn reject(&mut self, name: &str, plugins: &[&str]) {
        let set = self.set(plugins);
        self.queue.requeue(&format!("uid-{name}"), set, PluginSet::default(), &cx!(self));
    }

    fn error(&mut self, name: &str) {
        self.queue.requeue(&format!("uid-{name}"), PluginSet::default(), PluginSet::default(), &cx!(self));
    }

    fn activate(&mut self, name: &str) -> bool {
        self.queue.activate(&format!("uid-{name}"), &cx!(self))
    }

    fn event(&mut self, resource: EventResource, action: Actions, change: &Change) {
        self.queue.on_event(ClusterEvent::new(resource, action), change, Among::All, &cx!(self));
    }

    fn node_added(&mut self, n: NodeBuilder) {
        let change = Change::Node { old: None, new: Some(n.arc()) };
        self.event(EventResource::Node, Actions::ADD, &change);
    }

    fn place(&self, name: &str) -> Option<Place> {
        self.queue.get(&format!("uid-{name}")).map(|e| e.place)
    }

    fn check(&self) {
        assert_eq!(self.queue.inconsistency(), None);
    }
}

#[test]
fn by_priority_then_by_age() {
    let mut w = World::new();
    w.add(pod("old"));
    w.at += 1;
    w.add(pod("young"));
    w.add(pod("high").priority(10));
    let order: Vec<_> = std::iter::from_fn(|| w.pop()).collect();
    assert_eq!(order, ["high", "old", "young"]);
    assert_eq!(w.queue.pending().in_flight, 3);
    w.check();
}

#[test]
fn backoff_is_cut_to_windows_and_doubles() {
    let mut w = World::new();
    w.add(pod("p"));
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_eq!(w.pop().as_deref(), Some("p"));
        w.at = w.at / 1000 * 1000 + 300;
        let start = w.at;
        w.queue.requeue("uid-p", PluginSet::default(), PluginSet::default(), &cx!(w));
        assert_eq!(w.place("p"), Some(Place::Backoff));
        assert!(w.pop().is_none(), "after an error nothing is popped early");
        let due = w.queue.next_deadline().unwrap();
        w.at = due.0 / 1000 - 1;
        w.flush();
        assert_eq!(w.place("p"), Some(Place::Backoff));
        w.at += 1;
        w.flush();
        assert_eq!(w.place("p"), Some(Place::Active));
        waits.push((w.at - start + 300) / 1000);
    }
    // One window more than the backoff, cut to whole seconds.
    assert_eq!(waits, [2, 3, 5, 9, 11, 11]);
    w.check();
}

#[test]
fn rejected_pods_wait_for_an_event_of_their_rejectors() {
    let mut w = World::new();
    w.add(pod("p").requests("1", "1Gi"));
    w.pop();
    w.reject("p", &["NodeResourcesFit"]);
    assert_eq!(w.place("p"), Some(Place::Unschedulable));
    assert_eq!(w.queue.pending(), PendingPods { unschedulable: 1, ..PendingPods::default() });
    w.node_added(node("small").capacity("500m", "4Gi", 110));
    assert_eq!(w.place("p"), Some(Place::Unschedulable), "it would not fit there");
    w.event(EventResource::Node, Actions::UPDATE_NODE_LABEL, &Change::None);
    assert_eq!(w.place("p"), Some(Place::Unschedulable), "the plugin does not listen to labels");
    w.node_added(node("big"));
    assert_eq!(w.place("p"), Some(Place::Backoff));
    assert_eq!(w.pop().as_deref(), Some("p"), "popped early since nothing else is active");
    w.check();
}

#[test]
fn events_while_in_flight_are_replayed() {
    let mut w = World::new();
    w.add(pod("p").requests("1", "1Gi"));
    w.pop();
    w.node_added(node("big"));
    w.reject("p", &["NodeResourcesFit"]);
    assert_eq!(w.place("p"), Some(Place::Backoff));
    w.add(pod("q"));
    w.pop();
    w.pop();
    w.reject("q", &["NodeResourcesFit"]);
    assert_eq!(w.place("q"), Some(Place::Unschedulable), "the node came before it was popped");
    assert_eq!(w.queue.in_flight_events(), 0);
    w.check();
}

#[test]
fn gated_pods_wait_for_their_gates() {
    let mut w = World::new();
    w.add(pod("p").gate("g"));
    assert_eq!((w.queue.pending().gated, w.pop()), (1, None));
    w.node_added(node("n"));
    assert_eq!(w.queue.pending().gated, 1);
    w.update(pod("p"));
    assert_eq!(w.place("p"), Some(Place::Active));
    assert_eq!(w.queue.pending().gated, 0);
    w.check();
}

#[test]
fn leftovers_get_another_attempt() {
    let mut w = World::new();
    w.add(pod("p"));
    w.pop();
    w.reject("p", &["NodeName"]);
    for _ in 0..11 {
        w.at += 30_000;
        w.flush();
    }
    assert_eq!(w.place("p"), Some(Place::Active));
    assert!(w.queue.get("uid-p").unwrap().flushed);
    w.check();
}

#[test]
fn updates_and_removals_anywhere() {
    let mut w = World::new();
    for p in ["active", "backoff", "stuck", "flying"] {
        w.add(pod(p));
    }
    for p in ["active", "backoff", "stuck", "flying"] {
        assert_eq!(w.pop().as_deref(), Some(p));
    }
    w.reject("stuck", &["TaintToleration"]);
    w.queue.requeue("uid-backoff", PluginSet::default(), PluginSet::default(), &cx!(w));
    w.queue.put_back("uid-active", &cx!(w));
    w.check();
    for p in ["active", "backoff", "stuck", "flying"] {
        w.update(pod(p).label("a", "b"));
    }
    w.check();
    assert_eq!(w.place("stuck"), Some(Place::Unschedulable), "labels do not help against taints");
    w.update(pod("stuck").label("a", "b").tolerates("k", None, None));
    assert_eq!(w.place("stuck"), Some(Place::Backoff));
    for p in ["active", "backoff", "stuck", "flying"] {
        let gone = w.queue.remove(&format!("uid-{p}"), &cx!(w)).unwrap();
        assert!(gone.info.pod.meta.labels.has("a"), "the newest version");
        w.check();
    }
    assert_eq!(w.queue.pending(), PendingPods::default());
}

#[test]
fn a_rejection_ends_a_row_of_errors() {
    let mut w = World::new();
    w.add(pod("p"));
    let counts = |w: &World| w.queue.get("uid-p").map(|e| (e.attempts, e.unschedulable_count, e.error_count)).unwrap();
    let error = |w: &mut World| {
        let start = w.at;
        w.queue.requeue("uid-p", PluginSet::default(), PluginSet::default(), &cx!(w));
        w.at = w.queue.next_deadline().unwrap().0 / 1000;
        w.flush();
        assert_eq!(w.pop().as_deref(), Some("p"));
        w.at - start
    };
    w.pop();
    error(&mut w);
    let second = error(&mut w);
    assert_eq!(counts(&w), (3, 0, 2));
    w.reject("p", &["NodeName"]);
    assert_eq!(counts(&w), (3, 1, 0));
    w.node_added(node("n"));
    assert_eq!(w.pop().as_deref(), Some("p"), "early: it was rejected");
    let first_again = error(&mut w);
    assert!(first_again < second, "the row of errors began anew: {first_again} ms, {second} ms before");
    assert_eq!(counts(&w), (5, 1, 1));
}

#[test]
fn events_for_some_pods_only() {
    let delete = ClusterEvent::new(EventResource::AssignedPod, Actions::DELETE);
    let gone = Change::Pod { old: Some(PodInfo::new(pod("x").on("n").priority(5).arc())), new: None };
    for (among, moved) in
        [(Among::All, vec!["high", "low"]), (Among::AllBut("uid-low"), vec!["high"]), (Among::UpTo(5), vec!["low"])]
    {
        let mut w = World::new();
        w.add(pod("high").priority(9));
        w.add(pod("low").priority(1));
        for name in ["high", "low"] {
            assert_eq!(w.pop().as_deref(), Some(name));
            w.reject(name, &["NodeResourcesFit"]);
        }
        w.queue.on_event(delete, &gone, among, &cx!(w));
        let got: Vec<_> = ["high", "low"].into_iter().filter(|n| w.place(n) != Some(Place::Unschedulable)).collect();
        assert_eq!(got, moved, "{among:?}");
        w.check();
    }
}

#[test]
fn pre_enqueue_is_asked_on_the_way_into_backoff_and_not_out_of_it() {
    let mut w = World::new();
    w.add(pod("p"));
    w.pop();
    let gate = |w: &mut World, on: bool| {
        for plugin in &mut w.profiles.all[0].plugins {
            plugin.preempting(&"uid-p".into(), on);
        }
    };
    w.reject("p", &["NodeName"]);
    w.node_added(node("n"));
    assert_eq!(w.place("p"), Some(Place::Backoff));
    gate(&mut w, true);
    w.at += 11_000;
    w.flush();
    assert_eq!(w.place("p"), Some(Place::Active), "it had passed");
    w.pop();
    w.reject("p", &["NodeResourcesFit"]);
    let gone = Change::Pod { old: Some(PodInfo::new(pod("x").on("n").arc())), new: None };
    w.event(EventResource::AssignedPod, Actions::DELETE, &gone);
    assert_eq!((w.place("p"), w.queue.pending().gated), (Some(Place::Unschedulable), 1), "gated now");
    w.node_added(node("m"));
    assert_eq!(w.queue.pending().gated, 1, "new nodes are nothing to who gates it");
    gate(&mut w, false);
    w.event(EventResource::AssignedPod, Actions::DELETE, &gone);
    assert_eq!((w.place("p"), w.queue.pending().gated), (Some(Place::Backoff), 0));
    w.check();
}

#[test]
fn gated_leftovers_are_looked_at_every_five_minutes() {
    let mut w = World::new();
    w.add(pod("p").gate("g"));
    let mut looks = 0;
    for _ in 0..40 {
        w.at += 30_000;
        let before = w.queue.get("uid-p").unwrap().flushed_at;
        w.flush();
        let p = w.queue.get("uid-p").unwrap();
        looks += usize::from(p.flushed_at != before);
        assert!(!p.flushed && p.place == Place::Unschedulable);
    }
    assert_eq!(looks, 3, "20 minutes, more than 5 minutes apart");
    w.check();
}

/// Who waits for what: each plugin's hint, as upstream's tables have it (`*_test.go`, `Test_isSchedulableAfter*`).
#[test]
fn hints_of_the_plugins() {
    use headroom_core::taint::Effect;
    let node_change = |old: Option<NodeBuilder>, new: NodeBuilder| Change::Node {
        old: old.map(NodeBuilder::arc),
        new: Some(new.arc()),
    };
    let gone = |p: PodBuilder| Change::Pod { old: Some(PodInfo::new(p.arc())), new: None };
    let ports = |name: &str, port| pod(name).container(headroom_core::testing::container("c").port("", 80, port));
    let n = || node("n");
    let (add, label, taint, allocatable) =
        (Actions::ADD, Actions::UPDATE_NODE_LABEL, Actions::UPDATE_NODE_TAINT, Actions::UPDATE_NODE_ALLOCATABLE);
    let dedicated = || n().taint("k", "v", Effect::NoSchedule);
    let cases: Vec<(&str, PodBuilder, EventResource, Actions, Change, bool)> = vec![
        ("NodeName", pod("p"), EventResource::Node, add, node_change(None, n()), true),
        ("NodeName", pod("p"), EventResource::Node, label, node_change(Some(n()), n().label("a", "b")), false),
        ("NodeUnschedulable", pod("p"), EventResource::Node, add, node_change(None, n().unschedulable()), false),
        ("NodeUnschedulable", pod("p"), EventResource::Node, taint, node_change(Some(n().unschedulable()), n()), true),
        ("NodeUnschedulable", pod("p"), EventResource::Node, taint, node_change(Some(dedicated()), n()), false),
        ("TaintToleration", pod("p"), EventResource::Node, add, node_change(None, dedicated()), false),
        ("TaintToleration", pod("p"), EventResource::Node, taint, node_change(Some(dedicated()), n()), true),
        ("TaintToleration", pod("p"), EventResource::Node, taint, node_change(Some(n()), n()), false),
        (
            "TaintToleration",
            pod("p").tolerates("k", None, None),
            EventResource::Node,
            add,
            node_change(None, dedicated()),
            true,
        ),
        (
            "NodeAffinity",
            pod("p").node_selector("a", "b"),
            EventResource::Node,
            label,
            node_change(Some(n()), n().label("a", "b")),
            true,
        ),
        (
            "NodeAffinity",
            pod("p").node_selector("a", "b"),
            EventResource::Node,
            label,
            node_change(Some(n().label("a", "b")), n().label("a", "b").label("c", "d")),
            false,
        ),
        ("NodeAffinity", pod("p").node_selector("a", "b"), EventResource::Node, add, node_change(None, n()), false),
        ("NodePorts", ports("p", 80), EventResource::AssignedPod, Actions::DELETE, gone(ports("x", 80).on("n")), true),
        ("NodePorts", ports("p", 80), EventResource::AssignedPod, Actions::DELETE, gone(ports("x", 81).on("n")), false),
        ("NodePorts", ports("p", 80), EventResource::AssignedPod, Actions::DELETE, gone(pod("x").on("n")), false),
        ("NodePorts", ports("p", 80), EventResource::Node, add, node_change(None, n()), true),
        (
            "NodeResourcesFit",
            pod("p").requests("1", ""),
            EventResource::Node,
            allocatable,
            node_change(Some(n().capacity("1", "1Gi", 9)), n().capacity("1", "2Gi", 9)),
            false,
        ),
        (
            "NodeResourcesFit",
            pod("p").requests("1", ""),
            EventResource::Node,
            allocatable,
            node_change(Some(n().capacity("1", "1Gi", 9)), n().capacity("1", "1Gi", 10)),
            true,
        ),
        (
            "NodeResourcesFit",
            pod("p").requests("1", ""),
            EventResource::AssignedPod,
            Actions::UPDATE_POD_SCALE_DOWN,
            Change::Pod {
                old: Some(PodInfo::new(pod("x").on("n").requests("2", "1Gi").arc())),
                new: Some(PodInfo::new(pod("x").on("n").requests("1", "1Gi").arc())),
            },
            true,
        ),
        (
            "NodeResourcesFit",
            pod("p").requests("1", ""),
            EventResource::AssignedPod,
            Actions::UPDATE_POD_SCALE_DOWN,
            Change::Pod {
                old: Some(PodInfo::new(pod("x").on("n").requests("2", "2Gi").arc())),
                new: Some(PodInfo::new(pod("x").on("n").requests("2", "1Gi").arc())),
            },
            false,
        ),
        ("DefaultPreemption", pod("p"), EventResource::AssignedPod, Actions::DELETE, gone(pod("x").on("n")), false),
        // Whoever hears of new nodes hears of taints as well: another plugin may have hidden the node before.
        ("NodeName", pod("p"), EventResource::Node, taint, node_change(Some(dedicated()), n()), true),
        ("NodePorts", ports("p", 80), EventResource::Node, taint, node_change(Some(dedicated()), n()), true),
    ];
    for (i, (plugin, p, resource, action, change, moves)) in cases.into_iter().enumerate() {
        let mut w = World::new();
        w.add(p);
        w.pop();
        w.reject("p", &[plugin]);
        w.event(resource, action, &change);
        assert_eq!(w.place("p") != Some(Place::Unschedulable), moves, "case {i}: {plugin}");
    }
}

#[test]
fn an_empty_queue_gives_its_slots_back() {
    let mut w = World::new();
    let names: Vec<String> = (0..=MANY_SLOTS).map(|i| format!("p{i}")).collect();
    for _ in 0..2 {
        for name in &names {
            w.add(pod(name));
        }
        w.check();
        for name in &names {
            assert!(w.queue.remove(&format!("uid-{name}"), &cx!(w)).is_some());
        }
        let kept = (w.queue.entries.capacity(), w.queue.free.capacity(), w.queue.by_uid.capacity());
        assert_eq!((kept, w.pop()), ((0, 0, 0), None));
        w.check();
    }
}
