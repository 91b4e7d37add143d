use headroom_core::{
    Timestamp,
    testing::{PodBuilder, node, pod},
};

use super::*;
use crate::{Configuration, Registry, framework::PluginSet};

struct World {
    profiles: Profiles,
    cache: Cache,
    queue: Queue,
    at: u64,
}

macro_rules! cx {
    ($w:expr) => {
        QueueCx {
            profiles: &$w.profiles,
            cache: &$w.cache,
            now: Now { wall: Timestamp::from_secs(1_000_000 + ($w.at / 1000) as i64), mono: Mono($w.at * 1000) },
        }
    };
}

impl World {
    fn new() -> Self {
        let profiles = Configuration::default().build(&Registry::in_tree()).unwrap();
        let queue = Queue::new(&profiles, Duration::from_secs(1), Duration::from_secs(10));
        let mut this = Self { profiles, cache: Cache::default(), queue, at: 100_000 };
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

    fn event(&mut self, resource: EventResource, action: Actions, change: &Change) {
        self.queue.on_event(ClusterEvent::new(resource, action), change, Among::All, &cx!(self));
    }

    fn node_added(&mut self, n: headroom_core::testing::NodeBuilder) {
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
fn wildcards_move_everything_and_can_be_activated() {
    let mut w = World::new();
    w.add(pod("p"));
    w.pop();
    w.reject("p", &["NodeName"]);
    assert!(w.queue.activate("uid-p", &cx!(w)));
    assert_eq!(w.place("p"), Some(Place::Active));
    assert!(!w.queue.activate("uid-p", &cx!(w)));
    w.pop();
    w.reject("p", &["NodeName"]);
    w.queue.on_event(ClusterEvent::WILDCARD, &Change::None, Among::All, &cx!(w));
    assert_ne!(w.place("p"), Some(Place::Unschedulable));
    w.check();
}
