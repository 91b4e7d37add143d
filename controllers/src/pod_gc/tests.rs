//! The loop in a world of its own.

mod kills;

use std::{sync::Arc, time::Duration};

use headroom_core::{
    intent::{Found, IntentId, Op, WriteError, Written},
    object::{Kind, ObjectKey, Phase, Pod, Status},
    taint::Effect,
    testing::{PodBuilder, node, pod},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Counters, PERIOD, PodGcController, PodGcOptions, QUARANTINE, Reason};
use crate::{
    framework::{Controller, Measurements},
    testkit::Rig,
};

fn of(counters: &Counters, reason: Reason) -> (u64, u64) {
    let sum = |counts: &std::collections::BTreeMap<(headroom_core::Str, Reason), u64>| {
        counts.iter().filter(|((_, r), _)| *r == reason).map(|(_, n)| n).sum()
    };
    (sum(&counters.deletions), sum(&counters.errors))
}

fn rig(threshold: i32, pods: Vec<PodBuilder>) -> Rig<PodGcController> {
    let options = PodGcOptions { terminated_pod_gc_threshold: threshold };
    let mut rig = Rig::new(PodGcController::new(&options), 1000);
    for p in pods {
        rig.pod(p.arc());
    }
    rig
}

fn what(op: &Op) -> String {
    match op {
        Op::Get { kind, key } if *kind == Kind::NODE => format!("get {}", key.name),
        Op::Patch { kind, key, subresource: "status", .. } if *kind == Kind::POD => format!("patch {}", key.name),
        Op::Delete { kind, key, uid: Some(uid), grace_seconds: Some(0), .. } if *kind == Kind::POD => {
            assert!(uid.ends_with(key.name.as_str()), "the UID is a precondition");
            format!("delete {}", key.name)
        }
        other => panic!("unexpected {other:?}"),
    }
}

/// Answers everything: nodes by `exists`, all writes with success. Pods that were deleted leave the view unless they have
/// finalizers. Returns what was asked for, in order.
fn run(rig: &mut Rig<PodGcController>, exists: &dyn Fn(&str) -> Result<bool, WriteError>) -> Vec<String> {
    let mut seen = vec![];
    for _ in 0..1000 {
        rig.settle();
        let ops = rig.take();
        if ops.is_empty() {
            break;
        }
        for (id, op) in ops {
            seen.push(what(&op));
            answer(rig, id, &op, exists);
        }
    }
    seen
}

fn answer(rig: &mut Rig<PodGcController>, id: IntentId, op: &Op, exists: &dyn Fn(&str) -> Result<bool, WriteError>) {
    match op {
        Op::Get { key, .. } => {
            let found =
                || Found { key: key.clone(), uid: "n".into(), resource_version: 1, body: Arc::new(Value::Null) };
            let result = match exists(&key.name) {
                Ok(true) => Ok(Written { found: vec![found()], ..Written::default() }),
                Ok(false) => Err(WriteError::NotFound(key.name.to_string())),
                Err(error) => Err(error),
            };
            rig.answer(id, result);
        }
        Op::Delete { key, .. } => {
            rig.ok(id, "", 0);
            let Some(row) = rig.world.pods.get(key).cloned() else { return };
            if row.meta.has_finalizers() {
                let mut row = Pod::clone(&row);
                row.meta.set_deleted(rig.now.wall);
                row.meta.change_ending(|ending| ending.grace_seconds = Some(0));
                rig.pod(Arc::new(row));
            } else {
                rig.remove_pod(key);
            }
        }
        Op::Patch { key, .. } => {
            if let Some(row) = rig.world.pods.get(key).cloned() {
                let mut row = Pod::clone(&row);
                row.status.phase = Phase::Failed;
                rig.pod(Arc::new(row));
            }
            rig.ok(id, "", 0);
        }
        _ => panic!("unexpected {op:?}"),
    }
}

const NO_NODES: &dyn Fn(&str) -> Result<bool, WriteError> = &|_| Ok(false);

/// Translated from `TestGCTerminated`: the order of creation is that of the list.
#[test]
fn pods_that_have_ended_and_are_too_many() {
    use Phase::{Failed, Running, Succeeded};
    let evicted = "Evicted";
    type Case<'a> = (&'a [(&'a str, Phase, &'a str)], i32, &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        (&[("a", Failed, ""), ("b", Succeeded, ""), ("c", Failed, "")], 1, &["a", "b"]),
        (&[("a", Failed, ""), ("b", Succeeded, "")], 0, &[]),
        (&[("a", Failed, ""), ("b", Succeeded, "")], -1, &[]),
        (&[("a", Running, ""), ("b", Succeeded, ""), ("c", Failed, "")], 1, &["b"]),
        (&[("a", Failed, ""), ("b", Succeeded, "")], 1, &["a"]),
        (&[("a", Failed, ""), ("b", Succeeded, "")], 5, &[]),
        (&[("a", Failed, ""), ("b", Succeeded, ""), ("c", Failed, evicted)], 1, &["c", "a"]),
        (&[("a", Running, ""), ("b", Succeeded, ""), ("c", Failed, evicted)], 1, &["c"]),
        (&[("z", Failed, ""), ("b", Succeeded, evicted)], 1, &["z"]),
    ];
    for (pods, threshold, expected) in cases {
        let pods = pods.iter().enumerate().map(|(i, (name, phase, reason))| {
            let built = pod(name).on("node").phase(*phase).created(3600 * i as i64);
            built.with(|p| p.status.change_incidents(|all| all.reason = (*reason).into()))
        });
        let mut rig = rig(threshold, pods.collect());
        rig.node(node("node").arc());
        rig.start();
        let deleted: Vec<_> = expected.iter().map(|name| format!("delete {name}")).collect();
        assert_eq!(run(&mut rig, NO_NODES), deleted, "{expected:?}");
        let counted = of(rig.controller.counters(), Reason::Terminated).0;
        assert_eq!(counted, expected.len() as u64);
        rig.advance(3 * PERIOD);
        assert!(rig.take().is_empty(), "and no more");
    }
}

#[test]
fn equally_old_pods_go_by_name_and_deletions_out_of_sight_do_not_count() {
    let pods = ["b", "a", "c", "d"].map(|n| pod(n).on("node").phase(Phase::Failed).created(5)).to_vec();
    let mut rig = rig(2, pods);
    rig.node(node("node").arc());
    rig.start();
    rig.settle();
    let ops = rig.take();
    assert_eq!(ops.iter().map(|(_, op)| what(op)).collect::<Vec<_>>(), ["delete a", "delete b"]);
    for (id, _) in ops {
        rig.ok(id, "", 0);
    }
    // The view lags for two passes, and another pod ends meanwhile.
    rig.advance(PERIOD);
    rig.pod(pod("0").on("node").phase(Phase::Failed).created(5).arc());
    rig.advance(PERIOD);
    let ops = rig.take();
    assert_eq!(ops.iter().map(|(_, op)| what(op)).collect::<Vec<_>>(), ["delete 0"]);
    for (id, _) in ops {
        rig.answer(id, Err(WriteError::NotFound("0".into())));
    }
    for name in ["a", "b", "0"] {
        rig.remove_pod(&ObjectKey::new("default", name));
    }
    rig.advance(3 * PERIOD);
    assert!(rig.take().is_empty());
}

/// Translated from `TestGCOrphaned`: what happens when the quarantine has passed.
#[test]
fn pods_of_nodes_that_do_not_exist() {
    use Phase::{Failed, Running, Succeeded};
    type Change = fn(&mut Rig<PodGcController>);
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Duration, Change, Vec<PodBuilder>, &'a [&'a str]);
    let nothing: Change = |_| {};
    let long = 2 * QUARANTINE;
    let three = |x: &str, y: &str| {
        vec![pod("a").on(x).phase(Running), pod("b").on(y).phase(Failed), pod("c").on(y).phase(Succeeded)]
    };
    let cases: Vec<Case<'_>> = vec![
        ("in the view", &["e1", "e2"], &[], long, nothing, three("e1", "e2"), &[]),
        ("in the API server alone", &[], &["e1", "e2"], long, nothing, three("e1", "e2"), &["get e1", "get e2"]),
        (
            "nowhere",
            &[],
            &[],
            long,
            nothing,
            three("gone", "gone"),
            &["get gone", "patch a", "delete b", "delete c", "delete a"],
        ),
        ("not long enough", &[], &[], QUARANTINE / 2, nothing, three("gone", "gone"), &[]),
        ("some nodes", &["e"], &["e"], long, nothing, three("e", "gone"), &["get gone", "delete b", "delete c"]),
        ("comes back", &[], &[], long, |rig| rig.node(node("gone").arc()), three("gone", "gone"), &[]),
        ("goes late", &["gone"], &[], long, |rig| rig.remove_node("gone"), three("gone", "gone"), &[]),
    ];
    for (name, view, server, delay, change, pods, expected) in cases {
        let mut rig = rig(-1, pods);
        for n in view {
            rig.node(node(n).arc());
        }
        rig.start();
        let exists = |n: &str| Ok(server.contains(&n));
        assert_eq!(run(&mut rig, &exists), Vec::<String>::new(), "{name}: at first");
        // As upstream's test: one pass before, one after.
        rig.jump(delay);
        change(&mut rig);
        assert_eq!(run(&mut rig, &exists), expected, "{name}");
    }
}

#[test]
fn an_orphan_is_marked_with_everything_before_it_goes() {
    let orphan = pod("a").on("gone").ready(900, "10.0.0.1").with(|p| p.meta.generation = 7);
    let mut rig = rig(-1, vec![orphan.clone()]);
    rig.start();
    rig.advance(QUARANTINE - Duration::from_secs(1));
    assert!(rig.take().is_empty());
    rig.advance(Duration::from_secs(1));
    let (id, op) = rig.take().remove(0);
    answer(&mut rig, id, &op, NO_NODES);
    rig.settle();
    let (id, op) = rig.take().remove(0);
    let Op::Patch { kind, key, subresource, patch, body } = &op else { panic!("{op:?}") };
    assert_eq!((*kind, key, *subresource), (Kind::POD, &ObjectKey::new("default", "a"), "status"));
    assert_eq!(*patch, headroom_core::intent::PatchKind::Strategic);
    assert_eq!(
        **body,
        json!({"metadata": {"uid": "uid-a"}, "status": {"phase": "Failed", "observedGeneration": 7, "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "observedGeneration": 7,
            "message": "PodGC: node no longer exists", "lastTransitionTime": rig.now.wall.truncated().to_string()}]}})
    );
    rig.ok(id, "uid-a", 9);
    let ops = rig.take();
    let Op::Delete { key, uid, grace_seconds, resource_version, .. } = &ops[0].1 else { panic!() };
    assert_eq!((&*key.name, uid.as_deref(), *grace_seconds, *resource_version), ("a", Some("uid-a"), Some(0), None));
    // A condition that stands keeps its time.
    let marked = orphan.condition("DisruptionTarget", Status::True, 800).build();
    let body = super::decide::mark_failed(&marked, Reason::Orphaned, rig.now).unwrap();
    assert_eq!(body["status"]["conditions"][0]["lastTransitionTime"], json!("1970-01-01T00:13:20Z"));
    assert!(
        super::decide::mark_failed(&marked, Reason::Unscheduled, rig.now).unwrap()["status"]["conditions"].is_null()
    );
}

/// Translated from `TestGCTerminating` and `TestGCUnscheduledTerminating`.
#[test]
fn pods_that_no_kubelet_will_finish() {
    let held = |p: PodBuilder| p.with(|p| p.meta.change_ending(|ending| ending.has_finalizers = true));
    let pods = vec![
        pod("a").on("dead").phase(Phase::Running),
        pod("b").on("dead").ready(5, "10.0.0.1").deleted(9),
        pod("c").on("dead").phase(Phase::Failed).deleted(9),
        pod("d").on("ready").phase(Phase::Running).deleted(9),
        pod("e").on("untainted").phase(Phase::Running).deleted(9),
        held(pod("f").phase(Phase::Pending).deleted(9)),
        pod("g").phase(Phase::Pending),
        pod("h").phase(Phase::Succeeded).deleted(9),
    ];
    let mut rig = rig(0, pods);
    let tainted = |n: &str, status| {
        node(n).taint("node.kubernetes.io/out-of-service", "", Effect::NoExecute).condition("Ready", status, 1)
    };
    rig.node(tainted("dead", Status::Unknown).arc());
    rig.node(tainted("ready", Status::True).arc());
    rig.node(node("untainted").condition("Ready", Status::False, 1).arc());
    rig.start();
    let mut seen = run(&mut rig, NO_NODES);
    let first: Vec<_> = seen.drain(..4).collect();
    assert_eq!(first, ["patch b", "delete c", "patch f", "delete h"], "in the order of the passes");
    seen.sort();
    assert_eq!(seen, ["delete b", "delete f"]);
    let counters = rig.controller.counters();
    assert_eq!((of(counters, Reason::OutOfService), of(counters, Reason::Unscheduled)), ((2, 0), (2, 0)));
    let mut measured = Measurements::default();
    rig.controller.measure(&rig.world, &mut measured);
    assert_eq!(measured.texts(&super::measure::DELETIONS), ["default,out-of-service=2", "default,unscheduled=2"]);
    assert!(measured.texts(&super::measure::ERRORS).is_empty());
    rig.advance(3 * PERIOD);
    assert!(rig.take().is_empty(), "finalizers hold it: nothing more can be done");
    assert!(rig.world.pods.get(&ObjectKey::new("default", "f")).is_some());
}

#[test]
fn what_fails_is_tried_again_by_a_later_pass() {
    let pods = vec![pod("a").on("gone").phase(Phase::Running), pod("b").phase(Phase::Pending).deleted(9)];
    let mut rig = rig(-1, pods);
    rig.start();
    rig.settle();
    let (id, op) = rig.take().remove(0);
    assert_eq!(what(&op), "patch b");
    rig.answer(id, Err(WriteError::Forbidden("no".into())));
    assert!(rig.take().is_empty(), "a pod that is not marked is not deleted");
    assert!(rig.controller.forbidden_said);
    rig.advance(PERIOD);
    let (id, _) = rig.take().remove(0);
    rig.ok(id, "", 0);
    let (id, op) = rig.take().remove(0);
    assert_eq!(what(&op), "delete b");
    rig.answer(id, Err(WriteError::Unreachable("refused".into())));
    assert_eq!(of(rig.controller.counters(), Reason::Unscheduled).1, 2);
    rig.remove_pod(&ObjectKey::new("default", "b"));
    // No answer about the node: another quarantine.
    let refused: &dyn Fn(&str) -> Result<bool, WriteError> = &|_| Err(WriteError::Unknown("timeout".into()));
    let mut asked = 0;
    for _ in 0..12 {
        rig.advance(PERIOD);
        for (id, op) in rig.take() {
            assert_eq!(what(&op), "get gone");
            answer(&mut rig, id, &op, refused);
            asked += 1;
        }
    }
    assert!((4..=6).contains(&asked), "{asked}");
    rig.advance(QUARANTINE);
    rig.advance(PERIOD);
    // The node appears while the question is under way.
    let (id, op) = rig.take().remove(0);
    rig.node(node("gone").arc());
    answer(&mut rig, id, &op, NO_NODES);
    rig.advance(PERIOD);
    assert!(rig.take().is_empty());
}

#[test]
fn a_herd_is_led_in_small_groups_and_a_silent_api_server_ends_the_pass() {
    let pods = (0..100).map(|i| pod(&format!("p{i:03}")).phase(Phase::Failed).on("n").created(i)).collect();
    let mut rig = rig(10, pods);
    rig.node(node("n").arc());
    rig.start();
    rig.settle();
    let mut ops = rig.take();
    assert_eq!(ops.len(), 20);
    let (id, op) = ops.remove(0);
    assert_eq!(what(&op), "delete p000");
    rig.ok(id, "", 0);
    rig.settle();
    assert_eq!(rig.take().len(), 1, "one goes, one comes");
    let (id, _) = ops.remove(0);
    rig.answer(id, Err(WriteError::Unreachable("refused".into())));
    for (id, _) in ops {
        rig.answer(id, Err(WriteError::Conflict("another pod".into())));
    }
    rig.settle();
    assert!(rig.take().is_empty());
    assert_eq!(rig.controller.next_deadline(), None, "one answer is missing");
}

proptest! {
    /// Whatever the pods and nodes: no pod is touched whose node exists and that neither has ended nor is being deleted,
    /// and of those that have ended at least as many stay as may.
    #[test]
    fn nobody_else_is_touched(
        pods in proptest::collection::vec((0u8..4, 0u8..4, any::<bool>(), any::<bool>()), 0..30),
        threshold in -1i32..8, ready in any::<bool>(), tainted in any::<bool>(),
    ) {
        let phases = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed];
        let built: Vec<_> = pods.iter().enumerate().map(|(i, (phase, place, deleted, held))| {
            let mut p = pod(&format!("p{i}")).phase(phases[usize::from(*phase)]).created(i as i64 % 3);
            if *place > 0 { p = p.on(["", "n1", "n2", "gone"][usize::from(*place)]); }
            if *deleted { p = p.deleted(9); }
            p.with(|p| p.meta.change_ending(|ending| ending.has_finalizers = *held))
        }).collect();
        let mut rig = rig(threshold, built.clone());
        let mut n1 = node("n1").condition("Ready", if ready { Status::True } else { Status::False }, 1);
        if tainted { n1 = n1.taint("node.kubernetes.io/out-of-service", "", Effect::NoSchedule); }
        rig.node(n1.arc());
        rig.node(node("n2").condition("Ready", Status::True, 1).arc());
        rig.start();
        let mut touched = vec![];
        for _ in 0..6 {
            touched.extend(run(&mut rig, NO_NODES));
            rig.jump(PERIOD);
        }
        let mut ended = 0;
        for p in built {
            let p = p.build();
            let name = p.meta.key.name.as_str();
            let node = p.node_name.as_ref().map_or("", |n| n.as_str());
            ended += usize::from(p.is_terminal());
            let out = node == "n1" && tainted && !ready;
            let may = p.is_terminal() && threshold > 0 || p.meta.is_terminating() && (node.is_empty() || out) || node == "gone";
            let of = format!(" {name}");
            let was = touched.iter().any(|t| t.ends_with(&of));
            prop_assert!(may || !was, "{} was touched: {:?}", name, touched);
            if node == "gone" || p.meta.is_terminating() && (node.is_empty() || out) {
                prop_assert!(rig.world.pods.get(&p.meta.key).is_none() || p.meta.has_finalizers(), "{} was left", name);
            }
            // Ended before it was deleted, unless it had.
            let marked = format!("patch {name}");
            prop_assert!(p.is_terminal() || !was || touched.contains(&marked), "{} was not marked", name);
        }
        let surplus = ended.saturating_sub(usize::try_from(threshold).unwrap_or(0));
        let deleted = of(rig.controller.counters(), Reason::Terminated).0;
        if threshold > 0 && pods.iter().all(|p| p.1 != 3 && !p.3) {
            prop_assert!(deleted >= surplus.min(1) as u64);
        }
    }
}
