//! Plugins name pods that are to be tried at once.

use headroom_core::testing::{PodBuilder, node, pod};

use super::*;
use crate::{
    engine::activate::MAX_ACTIVATED,
    framework::{ReserveCx, Status, WaitingPods},
};

/// When the plugin takes note of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Reserve,
    Unreserve,
    PostBind,
}

/// Once a pod has come to this point, it names the pods of its group that wait, and the pod itself. It refuses those that
/// are labelled so.
#[derive(Debug)]
struct Mates {
    moment: Moment,
    noted: Option<(Str, Str)>,
}

fn group(pod: &PodInfo) -> Option<&Str> {
    pod.pod.meta.labels.get("group")
}

impl Mates {
    fn note(&mut self, moment: Moment, pod: &PodInfo) {
        if moment == self.moment {
            self.noted = group(pod).map(|group| (group.clone(), pod.uid().clone()));
        }
    }
}

impl Plugin for Mates {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "Mates"
    }
    fn points(&self) -> Points {
        Points::of(&[Point::Reserve, Point::PostBind])
    }
    fn reserve(&mut self, _: &mut ReserveCx<'_>, pod: &PodInfo, _: &Str) -> Status {
        self.note(Moment::Reserve, pod);
        if pod.pod.meta.labels.has("refused") { Status::unschedulable("not now") } else { Status::SUCCESS }
    }
    fn unreserve(&mut self, _: &mut ReserveCx<'_>, pod: &PodInfo, _: &Str) {
        self.note(Moment::Unreserve, pod);
    }
    fn post_bind(&mut self, pod: &PodInfo, _: &Str) {
        self.note(Moment::PostBind, pod);
    }
    fn pods_to_activate(&mut self, waiting: &WaitingPods<'_>) -> Vec<Str> {
        let Some((name, uid)) = self.noted.take() else { return Vec::new() };
        waiting.iter().filter(|p| group(p) == Some(&name)).map(|p| p.uid().clone()).chain([uid]).collect()
    }
}

/// One node, and two pods that wait for another one and hear of no pod. The mate is [`in_group`].
fn cluster(moment: Moment) -> Simulator {
    let mut registry = Registry::in_tree();
    let make = move |_: Option<&serde_json::Value>| Ok(Erased::boxed(Mates { moment, noted: None }));
    registry.register("Mates", Some(0), Box::new(make));
    let mut s = Simulator::with(Configuration::default(), registry, Mode::Primary);
    s.node(node("n").capacity("4", "4Gi", 110).build());
    s.pod(in_group("mate").node_selector("zone", "far").build());
    s.pod(pod("stranger").node_selector("zone", "far").build());
    s.run();
    s
}

fn in_group(name: &str) -> PodBuilder {
    pod(name).label("group", "g")
}

/// How often the mate and the stranger were tried.
fn tried(s: &Simulator) -> [usize; 2] {
    ["uid-mate", "uid-stranger"].map(|uid| s.decisions.iter().filter(|d| d.uid == *uid).count())
}

#[test]
fn asked_after_permit_unreserve_and_post_bind() {
    for (moment, at_once) in [(Moment::Reserve, 1), (Moment::Unreserve, 0), (Moment::PostBind, 0)] {
        let mut s = cluster(moment);
        assert_eq!(tried(&s), [1, 1]);
        if moment == Moment::Unreserve {
            s.faults.push_back(Some(Fault::Refused(WriteError::Conflict("no".into()))));
        }
        s.pod(in_group("p").build());
        assert!(s.step());
        assert_eq!(s.engine.stats().pending.active, at_once, "{moment:?}");
        s.run();
        assert_eq!(tried(&s), [2, 1], "{moment:?}");
        assert_eq!(s.inconsistency(), None);
    }
}

#[test]
fn a_pod_that_is_named_while_it_is_decided_backs_off_first() {
    let mut s = cluster(Moment::Unreserve);
    s.pod(in_group("p").label("refused", "").build());
    assert!(s.step());
    let pending = s.engine.stats().pending;
    assert_eq!((pending.active, pending.backoff, pending.unschedulable), (1, 1, 1), "the mate, the pod, the stranger");
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn an_answer_is_bounded_and_gates_hold() {
    let mut s = cluster(Moment::Reserve);
    s.pod(in_group("gated").gate("g").build());
    for i in 0..MAX_ACTIVATED {
        s.pod(in_group(&format!("m{i}")).node_selector("zone", "far").build());
    }
    s.run();
    s.pod(in_group("p").build());
    assert!(s.step());
    let pending = s.engine.stats().pending;
    assert!((MAX_ACTIVATED - 1..=MAX_ACTIVATED).contains(&pending.active), "{pending:?}");
    assert_eq!(pending.gated, 1);
    assert_eq!(s.inconsistency(), None);
}
