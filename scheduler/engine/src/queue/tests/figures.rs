//! What is counted and measured of the queue.

use std::sync::{Arc, Mutex};

use super::*;
use crate::framework::Code;

#[test]
fn who_came_where_and_why() {
    let mut w = World::new();
    let count = |w: &World, place: Place, cause: &str| {
        w.queue.incoming().filter(|(at, why, _)| *at == place && why.label() == cause).map(|(.., n)| n).sum::<u64>()
    };
    w.add(pod("gated").gate("g"));
    assert_eq!(count(&w, Place::Unschedulable, "UnschedulablePodAdd"), 1, "gated pods count there");
    for _ in 0..12 {
        w.at += 30_000;
        w.flush();
    }
    assert_eq!(count(&w, Place::Unschedulable, "UnschedulableTimeout"), 0, "it never left");
    w.add(pod("p"));
    w.pop();
    w.reject("p", &["NodeName"]);
    w.node_added(node("n"));
    assert_eq!((w.place("p"), count(&w, Place::Active, "PopFromBackoffQ")), (Some(Place::Backoff), 0));
    w.pop();
    assert_eq!(count(&w, Place::Active, "PopFromBackoffQ"), 1);
    assert_eq!(count(&w, Place::Active, "UnschedulablePodAdd"), 1);
    w.check();
}

#[test]
fn when_a_pod_was_seen_counts_from_the_first_time_and_is_told_once() {
    let mut w = World::new();
    let (uid, first, later) = ("uid-p", Mono(7), Mono(9));
    w.queue.set_seen(uid, first);
    assert_eq!(w.queue.take_seen(uid), None, "it does not wait here");
    w.add(pod("p"));
    w.queue.set_seen(uid, first);
    w.queue.set_seen(uid, later);
    w.pop();
    assert_eq!(w.queue.take_seen(uid), Some(first));
    w.queue.set_seen(uid, later);
    assert_eq!(w.queue.take_seen(uid), None, "a second attempt follows from something else");
}

/// Writes down what was measured.
#[derive(Debug, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl PointProbe for Noted {
    fn enter(&mut self) {
        self.0.lock().unwrap().push("enter".to_owned());
    }
    fn exit(&mut self, point: &'static str, code: Code, profile: &str) {
        self.0.lock().unwrap().push(format!("{point} {} {profile}", code.as_str()));
    }
    fn took(&mut self, _: &'static str, _: Code, _: &str, _: Duration) {}
}

#[test]
fn pre_enqueue_is_measured() {
    let mut w = World::new();
    let noted = Noted::default();
    let notes = noted.0.clone();
    w.profiles.spans.tell(Box::new(noted));
    w.add(pod("p").gate("g"));
    // As upstream: Success, whatever the plugins say.
    assert_eq!(*notes.lock().unwrap(), ["enter", "PreEnqueue Success default-scheduler"]);
}
