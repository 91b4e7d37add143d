//! Pods that are moved to the active queue because somebody asked for it.

use super::*;

#[test]
fn wildcards_move_everything_and_can_be_activated() {
    let mut w = World::new();
    w.add(pod("p"));
    w.pop();
    w.reject("p", &["NodeName"]);
    assert!(w.activate("p"));
    assert_eq!(w.place("p"), Some(Place::Active));
    assert!(!w.activate("p"));
    w.pop();
    w.reject("p", &["NodeName"]);
    w.event(EventResource::Any, Actions::ALL, &Change::None);
    assert_ne!(w.place("p"), Some(Place::Unschedulable));
    w.check();
}

#[test]
fn a_pod_in_flight_is_tried_again_when_it_comes_back() {
    let mut w = World::new();
    w.add(pod("p"));
    w.add(pod("q"));
    w.pop();
    w.pop();
    assert!(!w.activate("p"), "it is not waiting");
    for name in ["q", "p"] {
        w.reject(name, &["NodeName"]);
    }
    assert_eq!((w.place("p"), w.place("q")), (Some(Place::Backoff), Some(Place::Unschedulable)));
    assert!(w.activate("p") && w.place("p") == Some(Place::Active));
    w.check();
}

#[test]
fn one_on_its_way_to_a_node_leaves_nothing_behind() {
    let mut w = World::new();
    w.add(pod("p"));
    w.add(pod("q"));
    w.pop();
    w.pop();
    w.queue.done("uid-p");
    assert!(!w.activate("p") && !w.activate("nobody"));
    assert_eq!(w.queue.in_flight_events(), 0, "nobody could miss it");
    w.check();
}

#[test]
fn backoff_does_not_count_and_pre_enqueue_does() {
    let mut w = World::new();
    w.add(pod("p"));
    w.pop();
    w.error("p");
    assert_eq!((w.place("p"), w.pop()), (Some(Place::Backoff), None));
    assert!(w.activate("p"));
    assert_eq!(w.pop().as_deref(), Some("p"));
    w.add(pod("gated").gate("g"));
    assert!(!w.activate("gated"));
    assert_eq!((w.place("gated"), w.queue.pending().gated), (Some(Place::Unschedulable), 1));
    w.check();
}

#[test]
fn plugins_see_who_waits() {
    let mut w = World::new();
    w.add(pod("rejected"));
    w.pop();
    w.reject("rejected", &["NodeName"]);
    w.add(pod("failed"));
    w.pop();
    w.error("failed");
    w.add(pod("flying"));
    w.pop();
    w.add(pod("active"));
    w.add(pod("gated").gate("g"));
    let waiting = WaitingPods::new(&w.queue);
    let mut names: Vec<_> = waiting.iter().map(|p| p.pod.meta.key.name.to_string()).collect();
    names.sort_unstable();
    assert_eq!(names, ["failed", "gated", "rejected"]);
    assert!(waiting.get("uid-active").is_none() && waiting.get("uid-gated").is_some());
}
