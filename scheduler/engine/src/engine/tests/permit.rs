//! Permit with waiting, as a plugin uses it: it is asked again about the pods that it holds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use headroom_core::testing::{PodBuilder, node, pod};

use super::*;
use crate::{
    framework::{Code, PreFlight, ReserveCx, Status},
    queue::PointProbe,
};

/// Pods whose name begins with `gang` go together, from two on; one that says `give-up` does not go at all.
#[derive(Debug, Default)]
struct Gang {
    together: usize,
    asked: Arc<Mutex<Vec<String>>>,
}

fn is_member(pod: &PodInfo) -> bool {
    pod.pod.meta.key.name.starts_with("gang")
}

impl Plugin for Gang {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "Gang"
    }
    fn points(&self) -> Points {
        Points::of(&[Point::Reserve, Point::Permit, Point::PreBind, Point::PostBind])
    }
    fn reserve(&mut self, _: &mut ReserveCx<'_>, pod: &PodInfo, _: &Str) -> Status {
        self.together += usize::from(is_member(pod));
        Status::SUCCESS
    }
    fn unreserve(&mut self, _: &mut ReserveCx<'_>, pod: &PodInfo, _: &Str) {
        self.together = self.together.saturating_sub(usize::from(is_member(pod)));
    }
    fn permit(&mut self, pod: &PodInfo, _: &Str) -> Permit {
        self.asked.lock().unwrap().push(pod.pod.meta.key.name.to_string());
        if pod.pod.meta.labels.has("give-up") {
            return Permit::Reject(Status::unschedulable("gave up"));
        }
        if is_member(pod) && self.together < 2 { Permit::Wait(Duration::from_secs(60)) } else { Permit::Allow }
    }
    fn pre_bind_pre_flight(&mut self, _: &PodInfo, _: &Str) -> PreFlight {
        PreFlight::Skip
    }
}

fn cluster() -> (Simulator, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut registry = Registry::in_tree();
    let shared = asked.clone();
    let make = move |_: Option<&serde_json::Value>| Ok(Erased::boxed(Gang { together: 0, asked: shared.clone() }));
    registry.register("Gang", Some(0), Box::new(make));
    let mut s = Simulator::with(Configuration::default(), registry, Mode::Primary);
    s.node(node("n").capacity("8", "8Gi", 110).build());
    (s, asked)
}

fn member(name: &str) -> PodBuilder {
    pod(name).requests("1", "1Gi")
}

#[test]
fn a_pod_waits_for_the_second_of_its_group() {
    let (mut s, asked) = cluster();
    s.pod(member("gang-a").build());
    s.run();
    s.advance(5);
    s.run();
    assert!(s.binds.is_empty());
    assert_eq!(asked.lock().unwrap().len(), 6, "once when it came, and then once a second");
    s.pod(member("alone").build());
    s.run();
    s.pod(member("gang-b").build());
    s.run();
    s.input(Input::Tick);
    s.run();
    let mut bound: Vec<&str> = s.binds.iter().map(|(pod, _)| pod.as_str()).collect();
    bound.sort_unstable();
    assert_eq!(bound, ["uid-alone", "uid-gang-a", "uid-gang-b"], "at the next tick, not at the next second");
    let waited = |code| Report::PermitWaited { waited: Duration::from_secs(5), code };
    assert!(s.reports.contains(&waited(Code::Success)), "{:?}", s.reports);
    let calls = asked.lock().unwrap().len();
    s.advance(5);
    assert_eq!(asked.lock().unwrap().len(), calls, "nobody is held any more");
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn a_plugin_rejects_a_pod_that_it_holds() {
    let (mut s, _) = cluster();
    s.pod(member("gang-a").build());
    s.run();
    s.pod(member("gang-a").label("give-up", "").build());
    s.run();
    s.advance(1);
    s.run();
    assert_eq!(s.events[0].note, "0/1 nodes are available: 1 gave up.", "it is asked with the newest version");
    let rejected = s.reports.iter().any(|r| matches!(r, Report::BindingFailed { rejected: true, .. }));
    assert!(rejected, "{:?}", s.reports);
    assert_eq!((s.engine.stats().assumed_pods, s.inconsistency()), (0, None));
}

#[test]
fn nobody_is_held_for_longer_than_was_said() {
    let (mut s, asked) = cluster();
    s.pod(member("gang-a").build());
    s.run();
    s.advance(59);
    assert!(s.events.is_empty() && s.pending.is_empty());
    s.advance(1);
    s.deliver();
    let note = "0/1 nodes are available: 1 rejected due to timeout after waiting 1m0s at plugin Gang.";
    assert_eq!((s.events[0].note.as_str(), asked.lock().unwrap().len()), (note, 60));
}

/// What was measured outside of the cycle.
#[derive(Debug, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl PointProbe for Noted {
    fn enter(&mut self) {}
    fn exit(&mut self, point: &'static str, code: Code, _: &str) {
        self.0.lock().unwrap().push(format!("{point} {}", code.as_str()));
    }
    fn took(&mut self, point: &'static str, code: Code, profile: &str, _: Duration) {
        self.exit(point, code, profile);
    }
}

#[test]
fn points_of_the_binding_cycle_are_measured() {
    let (mut s, _) = cluster();
    let noted = Noted::default();
    let notes = noted.0.clone();
    s.engine.set_point_probe(Box::new(noted));
    s.pod(member("p").build());
    s.run();
    let of_a_bound_pod =
        ["PreEnqueue Success", "PreBindPreFlight Skip", "PreBind Success", "Bind Success", "PostBind Success"];
    assert_eq!(std::mem::take(&mut *notes.lock().unwrap()), of_a_bound_pod);
    s.faults.push_back(Some(Fault::Refused(WriteError::Conflict("no".into()))));
    s.pod(member("q").build());
    s.run();
    let taken = std::mem::take(&mut *notes.lock().unwrap());
    assert_eq!(taken[2..5], ["PreBind Success", "Bind Error", "Unreserve Success"], "{taken:?}");
}
