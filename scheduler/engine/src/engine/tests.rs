use headroom_core::{
    intent::WriteError,
    object::Phase,
    taint::Effect,
    testing::{node, pod},
};

use super::*;
use crate::{
    Configuration, NoProbe,
    framework::{Erased, Permit, Plugin, PodInfo, Point, Points, PreFilter, View},
    simulator::{Fault, Simulator},
};

mod activation;
mod binding;
mod classes;
mod dump;
mod hostile;
mod measured;
mod permit;
mod properties;
mod volumes;

fn one_node() -> Simulator {
    let mut s = Simulator::new(Mode::Primary);
    s.node(node("n1").capacity("4", "4Gi", 110).build());
    s
}

fn notes(s: &Simulator) -> Vec<String> {
    s.events.iter().map(|e| format!("{} {} {}: {}", e.kind.as_str(), e.reason, e.action, e.note)).collect()
}

#[test]
fn binds_and_says_so() {
    let mut s = one_node();
    s.pod(pod("p").requests("1", "1Gi").build());
    s.run();
    assert_eq!(s.binds, [("uid-p".into(), "n1".into())]);
    assert_eq!(notes(&s), ["Normal Scheduled Binding: Successfully assigned default/p to n1"]);
    assert_eq!(s.events[0].reporter.as_deref(), Some("default-scheduler"));
    assert!(matches!(&s.reports[..], [Report::Bound { attempts: 1, .. }]));
    let stats = s.engine.stats();
    assert_eq!((stats.assumed_pods, stats.bindings, stats.intents, stats.bound), (0, 0, 0, 1));
    assert_eq!(s.inconsistency(), None);
    assert!(s.patches.is_empty(), "the API server sets PodScheduled=True, not we");
}

#[test]
fn says_why_not_once_and_goes_on_when_a_node_comes() {
    let mut s = one_node();
    s.node(node("n2").taint("k", "v", Effect::NoSchedule).build());
    s.node(node("n3").unschedulable().build());
    s.pod(pod("p").requests("8", "1Gi").build());
    s.run();
    let message = "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), \
                   1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/3 nodes are available: \
                   3 Preemption is not helpful for scheduling.";
    assert_eq!(s.message("uid-p"), message);
    assert_eq!(notes(&s), [format!("Warning FailedScheduling Scheduling: {message}")]);
    let condition = s.pods["uid-p"].condition("PodScheduled").unwrap().clone();
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("Unschedulable", message));
    assert_eq!((condition.observed_generation, s.patches.len()), (1, 1));
    let since = condition.last_transition;
    // The same message again: an event, but nothing to write.
    s.advance(400);
    s.run();
    assert_eq!((s.events.len(), s.patches.len()), (2, 1));
    s.delete_node("n3");
    s.node(node("n4").capacity("6", "4Gi", 1).build());
    s.advance(400);
    s.run();
    let condition = s.pods["uid-p"].condition("PodScheduled").unwrap();
    assert_eq!((s.patches.len(), condition.last_transition), (2, since), "the status did not change");
    s.node(node("big").capacity("16", "16Gi", 110).build());
    s.advance(11);
    s.run();
    assert_eq!(s.node_of("uid-p"), Some("big"));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn no_nodes_at_all() {
    let mut s = Simulator::new(Mode::Primary);
    s.pod(pod("p").build());
    s.run();
    assert_eq!(s.message("uid-p"), "no nodes available to schedule pods");
    assert_eq!(s.pods["uid-p"].condition("PodScheduled").unwrap().reason, "Unschedulable");
    s.node(node("n").build());
    s.advance(3);
    s.run();
    assert_eq!(s.node_of("uid-p"), Some("n"));
}

#[test]
fn unsupported_pods_are_told_so() {
    let mut s = one_node();
    s.pod(pod("p").spec(|x| x.unsupported = "resource claims (spec.resourceClaims)".into()).build());
    s.run();
    assert_eq!(
        s.message("uid-p"),
        "0/1 nodes are available: pod needs what this scheduler does not support: resource claims (spec.resourceClaims)."
    );
}

#[test]
fn an_unknown_outcome_is_resolved_by_asking() {
    for (fault, watching) in [(Fault::LostAfter, false), (Fault::LostAfter, true), (Fault::LostBefore, false)] {
        let mut s = one_node();
        s.pod(pod("p").requests("1", "1Gi").build());
        s.watching = watching;
        s.faults.push_back(Some(fault.clone()));
        s.run();
        match fault {
            Fault::LostAfter => assert_eq!(s.reports.len(), 1, "bound"),
            _ => {
                assert!(s.message("uid-p").is_empty());
                let failed = notes(&s);
                assert!(failed[0].contains("outcome unknown: connection reset"), "{failed:?}");
            }
        }
        s.resync();
        s.advance(3);
        s.run();
        assert_eq!(s.binds, [("uid-p".into(), "n1".into())], "exactly once");
        assert_eq!(s.inconsistency(), None);
        assert_eq!(s.engine.stats().assumed_pods, 0);
    }
}

#[test]
fn refusals_requeue_and_a_changed_pod_is_not_written_to() {
    let busy = || WriteError::Throttled { message: "slow down".into(), retry_after_seconds: None };
    for (error, writes) in [
        (WriteError::Conflict("pod is being deleted".into()), false),
        (WriteError::NotFound("p".into()), false),
        (busy(), true),
    ] {
        let mut s = one_node();
        s.pod(pod("p").requests("1", "1Gi").build());
        s.faults.push_back(Some(Fault::Refused(error)));
        s.run();
        assert!(s.binds.is_empty());
        assert_eq!(s.engine.stats().assumed_pods, 0);
        assert_eq!((s.events.is_empty(), s.patches.is_empty()), (!writes, !writes));
        if writes {
            assert_eq!(s.events[0].note, "running Bind plugin \"DefaultBinder\": the API server is busy: slow down");
            assert_eq!(s.pods["uid-p"].condition("PodScheduled").unwrap().reason, "SchedulerError");
        }
        s.advance(3);
        s.run();
        assert_eq!(s.binds.len(), 1);
        assert_eq!(s.inconsistency(), None);
    }
}

#[test]
fn deleted_while_binding() {
    let mut s = one_node();
    s.pod(pod("p").requests("3", "1Gi").build());
    assert!(s.step());
    s.delete_pod("uid-p");
    s.pod(pod("q").requests("3", "1Gi").build());
    s.run();
    assert_eq!(s.binds, [("uid-q".into(), "n1".into())]);
    let stats = s.engine.stats();
    assert_eq!((stats.bindings, stats.intents, stats.pending.in_flight), (0, 0, 0));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn somebody_else_binds() {
    let mut s = one_node();
    s.node(node("n2").build());
    s.pod(pod("p").build());
    s.pod(pod("q").build());
    // Theirs before we looked at q, and against our binding of p.
    assert!(s.step());
    let DecisionResult::Assumed { node: ours, .. } = &s.decisions[0].result else { panic!() };
    let theirs = if *ours == "n1" { "n2" } else { "n1" };
    s.pod(pod("p").on(theirs).build());
    s.pod(pod("q").on("n1").build());
    s.run();
    assert!(s.binds.is_empty());
    assert_eq!(s.engine.stats().foreign_bindings, 2);
    assert_eq!(s.engine.cache().node(theirs).unwrap().pods.iter().filter(|p| p.uid() == "uid-p").count(), 1);
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn a_bound_pod_that_the_watch_does_not_show_is_asked_for() {
    let mut s = one_node();
    s.pod(pod("p").build());
    s.watching = false;
    s.run();
    assert_eq!(s.engine.stats().assumed_pods, 1);
    s.advance(301);
    s.deliver();
    assert_eq!(s.engine.stats().assumed_pods, 1, "it is there");
    s.pods.clear();
    s.advance(301);
    s.deliver();
    assert_eq!(s.engine.stats().assumed_pods, 0, "it is gone");
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn skipped_and_ended_pods() {
    let mut s = one_node();
    s.pod(pod("p").build());
    s.pod(pod("p").deleted(5).build());
    s.run();
    assert_eq!(notes(&s), ["Warning FailedScheduling Scheduling: skip schedule deleting pod: default/p"]);
    s.pod(pod("done").on("n1").requests("4", "4Gi").phase(Phase::Running).build());
    s.pod(pod("q").requests("1", "1Gi").build());
    s.run();
    assert_eq!(s.node_of("uid-q"), None);
    s.pod(pod("done").on("n1").requests("4", "4Gi").phase(Phase::Succeeded).build());
    s.run();
    assert_eq!(s.node_of("uid-q"), Some("n1"));
    s.pod(pod("other").spec(|x| x.scheduler_name = "another".into()).build());
    s.run();
    assert_eq!(s.node_of("uid-other"), None);
}

#[test]
fn nominated_pods_hold_their_place() {
    let mut s = one_node();
    let nominated = |name: &str| {
        pod(name).requests("3", "1Gi").priority(10).with(|p| {
            p.status.nominated_node_name = Some("n1".into());
        })
    };
    s.pod(nominated("vip").gate("not-yet").build());
    s.pod(pod("p").requests("3", "1Gi").build());
    s.run();
    assert_eq!(s.node_of("uid-p"), None, "it would take the place");
    s.pod(pod("small").requests("1", "1Gi").build());
    s.run();
    assert_eq!(s.node_of("uid-small"), Some("n1"));
    s.pod(nominated("vip").build());
    s.run();
    assert_eq!(s.node_of("uid-vip"), Some("n1"));
}

/// Holds every pod at Permit, and panics on pods named `bomb`.
struct Odd;

impl Plugin for Odd {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "Odd"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Permit])
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        assert!(pod.pod.meta.key.name != "bomb", "boom");
        PreFilter::Skip
    }

    fn permit(&mut self, pod: &PodInfo, _: &Str) -> Permit {
        if pod.pod.meta.key.name == "held" { Permit::Wait(std::time::Duration::from_secs(90)) } else { Permit::Allow }
    }
}

fn odd() -> Simulator {
    let mut registry = Registry::in_tree();
    registry.register("Odd", Some(0), Box::new(|_| Ok(Erased::boxed(Odd))));
    let mut s = Simulator::with(Configuration::default(), registry, Mode::Primary);
    s.node(node("n1").capacity("4", "4Gi", 110).build());
    s
}

#[test]
fn permit_holds_until_allowed_or_too_late() {
    let mut s = odd();
    s.pod(pod("held").requests("3", "1Gi").build());
    s.run();
    assert!(s.binds.is_empty());
    assert_eq!(s.pods["uid-held"].status.nominated_node_name.as_deref(), Some("n1"), "tells where it will go");
    let mut out = Vec::new();
    assert!(!s.engine.allow_waiting_pod(&"uid-held".into(), "Other", s.now, &mut out));
    assert!(s.engine.allow_waiting_pod(&"uid-held".into(), "Odd", s.now, &mut out));
    s.pending.extend(out);
    s.run();
    assert_eq!(s.binds.len(), 1);

    let mut s = odd();
    s.pod(pod("held").requests("3", "1Gi").build());
    s.run();
    s.advance(91);
    s.deliver();
    let expected = "0/1 nodes are available: 1 rejected due to timeout after waiting 1m30s at plugin Odd.";
    assert_eq!(s.events[0].note, expected);
    assert_eq!(s.engine.stats().assumed_pods, 0);
    assert_eq!(s.pods["uid-held"].status.nominated_node_name, None, "cleared again");
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn a_pod_that_panics_is_left_alone_and_the_rest_goes_on() {
    let mut s = odd();
    s.pod(pod("bomb").priority(5).build());
    s.pod(pod("p").build());
    let crashed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut out = Vec::new();
        s.engine.schedule_one(s.now, &mut out, &mut NoProbe);
    }));
    assert!(crashed.is_err());
    let mut out = Vec::new();
    let culprit = s.engine.rebuild_after_panic(s.now, &mut out);
    assert_eq!(culprit.unwrap().name, "bomb");
    s.pending.extend(out);
    s.run();
    assert_eq!(s.node_of("uid-p"), Some("n1"));
    let condition = s.pods["uid-bomb"].condition("PodScheduled").unwrap();
    assert_eq!(condition.reason, "SchedulerError");
    s.advance(400);
    s.run();
    assert_eq!((s.engine.stats().quarantined, s.inconsistency()), (1, None));
    s.delete_pod("uid-bomb");
    assert_eq!(s.engine.stats().quarantined, 0);
}

#[test]
fn shadow_looks_once_and_compares() {
    let mut s = Simulator::new(Mode::Shadow);
    s.node(node("small").capacity("2", "2Gi", 110).build());
    s.node(node("big").capacity("8", "8Gi", 110).build());
    for p in ["a", "b", "c", "late"] {
        s.pod(pod(p).requests(if p == "c" { "16" } else { "1" }, "1Gi").build());
    }
    assert!(s.step() && s.step() && s.step());
    // Stock binds, one of them before we looked.
    let last = s.decisions.last().unwrap().uid.clone();
    assert_eq!(last, "uid-c");
    s.pod(pod("late").on("big").requests("1", "1Gi").build());
    s.pod(pod("a").on("big").requests("1", "1Gi").build());
    s.pod(pod("b").on("small").requests("1", "1Gi").build());
    s.pod(pod("c").on("big").requests("16", "1Gi").build());
    s.run();
    assert!(s.events.is_empty() && s.patches.is_empty() && s.binds.is_empty(), "nothing is written");
    let stats = s.engine.stats();
    assert_eq!(
        (stats.shadow_agrees, stats.shadow_differs, stats.shadow_would_wait, stats.shadow_not_compared),
        (1, 1, 1, 1)
    );
    assert_eq!((stats.assumed_pods, stats.shadow_pending, stats.foreign_bindings), (0, 0, 0));
}

#[test]
fn explains_what_it_would_do() {
    let mut s = one_node();
    s.node(node("n2").capacity("8", "8Gi", 110).build());
    s.node(node("n0").unschedulable().build());
    let p = pod("p").requests("1", "1Gi").build();
    let e = s.engine.explain(&p, s.now);
    s.pod(p.clone());
    s.run();
    assert_eq!(e.result.node.as_deref(), s.node_of("uid-p"));
    assert_eq!(e.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["n0", "n1", "n2"]);
    assert_eq!(e.nodes[0].rejections[0].reasons, ["node(s) were unschedulable"]);
    assert!(e.nodes[2].total > e.nodes[1].total && e.nodes[0].total.is_none());
    // Placed, it is explained as if it were not there.
    let placed = s.engine.explain(&s.pods["uid-p"], s.now);
    assert_eq!(placed.pod.node_name.as_deref(), Some("n2"));
    assert_eq!((placed.result, placed.nodes), (e.result, e.nodes));
    let json = serde_json::to_value(s.engine.explain(&pod("x").requests("9", "1").build(), s.now)).unwrap();
    let message = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, \
                   preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
    assert_eq!(json["result"]["message"], message);
    assert_eq!(json["nodes"][1]["rejections"][0]["code"], "UnschedulableAndUnresolvable");
    assert_eq!(json["nodes"][1]["memory"], serde_json::Value::Null);
    assert_eq!(json["pod"]["schedulerName"], "default-scheduler");
}

#[test]
fn deadlines_come_by_themselves() {
    let mut s = Simulator::new(Mode::Primary);
    assert_eq!(s.engine.next_deadline(), None);
    s.pod(pod("p").build());
    s.run();
    let due = s.engine.next_deadline().unwrap();
    assert!(due > s.now.mono && due.since(s.now.mono).as_secs() <= 2);
}
