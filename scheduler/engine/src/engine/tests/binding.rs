//! Reserve, Permit, PreBind and what follows, told by a plugin that writes down when it is called.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use headroom_core::testing::{node, pod};

use super::*;
use crate::framework::{BindCx, Code, PreFlight, ReserveCx, Status, Step};

type Calls = Arc<Mutex<Vec<String>>>;

/// What a plugin does with pods of a name.
#[derive(Debug, Clone, Default)]
struct Script {
    reserve: Option<Status>,
    permit: Option<Permit>,
    flight: Option<PreFlight>,
    /// PreBind waits so often.
    waits: usize,
    pre_bind: Option<Status>,
}

struct Scribe {
    name: &'static str,
    calls: Calls,
    script: Script,
}

impl Scribe {
    fn wrote(&self, what: &str) {
        self.calls.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Plugin for Scribe {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        self.name
    }
    fn points(&self) -> Points {
        Points::of(&[Point::Reserve, Point::Permit, Point::PreBind, Point::PostBind])
    }
    fn reserve(&mut self, _: &mut ReserveCx<'_>, _: &PodInfo, _: &Str) -> Status {
        self.wrote("reserve");
        self.script.reserve.clone().unwrap_or(Status::SUCCESS)
    }
    fn unreserve(&mut self, _: &mut ReserveCx<'_>, _: &PodInfo, _: &Str) {
        self.wrote("unreserve");
    }
    fn permit(&mut self, _: &PodInfo, _: &Str) -> Permit {
        self.wrote("permit");
        self.script.permit.clone().unwrap_or(Permit::Allow)
    }
    fn pre_bind_pre_flight(&mut self, _: &PodInfo, _: &Str) -> PreFlight {
        self.wrote("flight");
        self.script.flight.clone().unwrap_or(PreFlight::Skip)
    }
    fn pre_bind(&mut self, cx: &mut BindCx<'_>, _: &PodInfo, _: &Str) -> Step {
        self.wrote("pre-bind");
        if self.script.waits > 0 {
            self.script.waits -= 1;
            return Step::Wait(Some(cx.now.mono + Duration::from_secs(1)));
        }
        Step::Done(self.script.pre_bind.clone().unwrap_or(Status::SUCCESS))
    }
    fn post_bind(&mut self, _: &PodInfo, _: &Str) {
        self.wrote("post-bind");
    }
}

/// One node, the plugins A and B, and a pod that has been decided.
fn decided(a: Script, b: Script) -> (Simulator, Calls) {
    let calls = Calls::default();
    let mut registry = Registry::in_tree();
    for (name, script) in [("A", a), ("B", b)] {
        let calls = calls.clone();
        let make = move |_: Option<&serde_json::Value>| {
            Ok(Erased::boxed(Scribe { name, calls: calls.clone(), script: script.clone() }))
        };
        registry.register(name, Some(0), Box::new(make));
    }
    let mut s = Simulator::with(Configuration::default(), registry, Mode::Primary);
    s.node(node("n").capacity("4", "4Gi", 110).build());
    s.pod(pod("p").requests("3", "1Gi").build());
    s.run();
    (s, calls)
}

fn taken(calls: &Calls) -> Vec<String> {
    std::mem::take(&mut *calls.lock().unwrap())
}

#[test]
fn in_order_and_back() {
    let (s, calls) = decided(Script::default(), Script::default());
    assert_eq!(s.node_of("uid-p"), Some("n"));
    assert_eq!(
        taken(&calls),
        ["A reserve", "B reserve", "A permit", "B permit", "A flight", "B flight", "A post-bind", "B post-bind"]
    );
    assert!(s.patches.is_empty(), "nobody has anything to do before binding: it is not announced");

    let refused = Script { reserve: Some(Status::unschedulable("no room")), ..Script::default() };
    let (s, calls) = decided(refused, Script::default());
    assert_eq!(taken(&calls), ["A reserve", "B unreserve", "A unreserve"], "all of them, the last first");
    assert_eq!(s.message("uid-p"), "0/1 nodes are available: 1 no room.");
    let broken = Script { reserve: Some(Status::error("boom")), ..Script::default() };
    let (s, _) = decided(broken, Script::default());
    assert_eq!(s.message("uid-p"), "running Reserve plugin \"A\": boom");
    assert_eq!(s.pods["uid-p"].condition("PodScheduled").unwrap().reason, "SchedulerError");
}

#[test]
fn permit_of_several() {
    let wait = |seconds| Script { permit: Some(Permit::Wait(Duration::from_secs(seconds))), ..Script::default() };
    // A rejection counts more than somebody's wish to wait.
    let no = Script { permit: Some(Permit::Reject(Status::unschedulable("not you"))), ..Script::default() };
    let (s, calls) = decided(wait(60), no);
    assert_eq!(s.message("uid-p"), "0/1 nodes are available: 1 not you.");
    assert_eq!(taken(&calls).last().map(String::as_str), Some("A unreserve"));
    // Each one that waits has to allow it.
    let (mut s, calls) = decided(wait(60), wait(30));
    let mut out = Vec::new();
    assert!(s.engine.allow_waiting_pod(&"uid-p".into(), "A", s.now, &mut out));
    assert!(s.binds.is_empty() && out.is_empty());
    assert!(s.engine.allow_waiting_pod(&"uid-p".into(), "B", s.now, &mut out));
    s.pending.extend(out);
    s.run();
    assert_eq!(s.binds.len(), 1);
    let waited = |seconds, code| crate::Report::PermitWaited { waited: Duration::from_secs(seconds), code };
    assert!(s.reports.contains(&waited(0, Code::Success)), "{:?}", s.reports);
    assert_eq!(taken(&calls).last().map(String::as_str), Some("B post-bind"));
    // The shortest time ends it; no time is longer than a quarter of an hour.
    for (a, b, after, who) in [(60, 30, 31, "30s at plugin B"), (9999, 9999, 901, "15m0s at plugin A")] {
        let (mut s, _) = decided(wait(a), wait(b));
        s.advance(u32::try_from(after).unwrap() - 2);
        s.deliver();
        assert!(s.events.is_empty());
        s.advance(2);
        s.deliver();
        let text = format!("0/1 nodes are available: 1 rejected due to timeout after waiting {who}.");
        assert_eq!(s.events[0].note, text);
        assert!(s.reports.contains(&waited(after - 1, Code::Unschedulable)), "{:?}", s.reports);
    }
    let (mut s, _) = decided(wait(60), Script::default());
    let mut out = Vec::new();
    assert!(s.engine.reject_waiting_pod(&"uid-p".into(), "A", "go away", s.now, &mut out));
    s.pending.extend(out);
    s.deliver();
    assert_eq!(s.events[0].note, "0/1 nodes are available: 1 go away.");
}

#[test]
fn a_pod_that_is_deleted_while_it_is_held_leaves_at_once() {
    let wait = Script { permit: Some(Permit::Wait(Duration::from_secs(60))), ..Script::default() };
    let (mut s, calls) = decided(wait, Script::default());
    s.pod(pod("next").requests("3", "1Gi").build());
    s.run();
    taken(&calls);
    assert_eq!(s.engine.stats().assumed_pods, 1);
    let mut leaving = (*s.pods["uid-p"]).clone();
    leaving.meta.set_deleted(s.now.wall);
    s.pod(leaving);
    assert_eq!(taken(&calls), ["B unreserve", "A unreserve"]);
    s.advance(3);
    assert!(s.step(), "the next one is tried: its place is free");
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn before_binding() {
    let works = |waits, status| Script { flight: Some(PreFlight::Work), waits, pre_bind: status, ..Script::default() };
    let (mut s, calls) = decided(works(2, None), Script::default());
    assert_eq!(s.pods["uid-p"].status.nominated_node_name.as_deref(), Some("n"), "it takes a while: announced");
    s.advance(3);
    s.run();
    assert_eq!(s.node_of("uid-p"), Some("n"));
    let calls = taken(&calls);
    assert_eq!(calls.iter().filter(|c| *c == "A pre-bind").count(), 3);
    assert!(!calls.contains(&"B pre-bind".to_owned()), "it said that it has nothing to do");

    // A rejection is an error by then.
    let (s, calls) = decided(works(0, Some(Status::unschedulable("lost"))), Script::default());
    assert_eq!(s.events[0].note, "running PreBind plugin \"A\": lost");
    assert_eq!(s.pods["uid-p"].condition("PodScheduled").unwrap().reason, "SchedulerError");
    assert_eq!(s.engine.stats().pending.backoff, 1);
    assert_eq!(taken(&calls).last().map(String::as_str), Some("A unreserve"));
    let (s, _) =
        decided(Script { flight: Some(PreFlight::Fail(Status::error("x"))), ..Script::default() }, Script::default());
    assert_eq!(s.events[0].note, "running PreBindPreFlight \"A\": x");
}

#[test]
fn victims_that_are_not_bound_yet_are_turned_back_in_memory() {
    let wait = Script { permit: Some(Permit::Wait(Duration::from_secs(60))), ..Script::default() };
    let works = Script { flight: Some(PreFlight::Work), waits: 99, ..Script::default() };
    for (script, why) in [(wait, "waiting on permit for pod: preempted"), (works, "preempted by DefaultPreemption")] {
        let (mut s, _) = decided(script, Script::default());
        s.events.clear();
        s.pod(pod("vip").requests("3", "1Gi").priority(9).build());
        s.run();
        let notes = notes(&s);
        assert!(notes.contains(&format!("Warning FailedScheduling Scheduling: {why}")), "{notes:?}");
        let told = "Normal Preempted Preempting: Preempted by pod uid-vip on node n (in kube-scheduler memory).";
        assert!(notes.contains(&told.to_owned()), "{notes:?}");
        assert!(s.deletions.is_empty() && s.pods.contains_key("uid-p"));
        assert_eq!(s.pods["uid-vip"].status.nominated_node_name.as_deref(), Some("n"));
        assert_eq!(s.inconsistency(), None);
    }
}
