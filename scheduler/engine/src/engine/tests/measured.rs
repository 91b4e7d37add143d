//! What the shell measures: kinds of events, hints, events in flight.

use std::sync::Mutex;

use headroom_core::testing::{node, pod};

use super::*;
use crate::framework::{ClusterEvent, Hint, HintProbe};

/// Plugin, event, answer.
type Asked = (&'static str, String, Hint);

#[derive(Debug, Default, Clone)]
struct Book(Arc<Mutex<Vec<Asked>>>);

impl HintProbe for Book {
    fn enter(&mut self) {}

    fn exit(&mut self, plugin: &'static str, event: ClusterEvent, hint: Hint) {
        self.0.lock().unwrap().push((plugin, event.label(), hint));
    }
}

fn happened(s: &Simulator) -> Vec<String> {
    s.engine.happened().iter().map(ClusterEvent::label).collect()
}

#[test]
fn every_input_says_what_happened() {
    let mut s = Simulator::new(Mode::Primary);
    s.node(node("n").capacity("1", "4Gi", 110).build());
    assert_eq!(happened(&s), ["NodeAdd"]);
    s.node(node("n").capacity("2", "4Gi", 110).label("disk", "ssd").build());
    assert_eq!(happened(&s).len(), 2, "{:?}", happened(&s));
    s.pod(pod("p").requests("8", "1Gi").build());
    assert_eq!(happened(&s), ["UnschedulablePodAdd"]);
    s.pod(pod("p").requests("8", "1Gi").label("a", "b").build());
    assert_eq!(happened(&s), ["UnschedulablePodUpdate"]);
    s.pod(pod("q").on("n").build());
    assert_eq!(happened(&s), ["AssignedPodAdd"]);
    s.delete_pod("uid-q");
    assert_eq!(happened(&s), ["AssignedPodDelete"]);
    s.delete_pod("uid-p");
    assert_eq!(happened(&s), ["UnschedulablePodDelete"]);
    s.advance(1);
    assert!(happened(&s).is_empty(), "time is no event");
}

#[test]
fn hints_are_told_to_the_probe() {
    let mut s = one_node();
    let book = Book::default();
    s.engine.set_hint_probe(Box::new(book.clone()));
    s.pod(pod("p").requests("8", "1Gi").build());
    s.run();
    let asked = |book: &Book| std::mem::take(&mut *book.0.lock().unwrap());
    asked(&book);
    for (cpu, hint) in [("2", Hint::Skip), ("9", Hint::Queue)] {
        s.node(node(&format!("with-{cpu}")).capacity(cpu, "4Gi", 110).build());
        assert!(asked(&book).contains(&("NodeResourcesFit", "NodeAdd".to_owned(), hint)), "{cpu}");
    }
}

#[test]
fn events_in_flight_are_counted_by_kind() {
    let mut s = one_node();
    s.pod(pod("p").requests("1", "1Gi").build());
    s.watching = false;
    assert!(s.step());
    let count =
        |s: &Simulator, kind: &str| s.engine.stats().in_flight.iter().find(|(k, _)| k == kind).map(|(_, count)| *count);
    // Permit holds nobody: a pod that goes to its binding is in flight no more.
    assert_eq!(count(&s, "PodPopped"), Some(0));
    assert_eq!(s.inconsistency(), None);
}
