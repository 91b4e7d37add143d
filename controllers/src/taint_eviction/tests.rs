//! Timelines.

mod rival;

use std::time::Duration;

use headroom_core::{
    intent::{IntentId, Op, WriteError},
    object::{Phase, Status},
    taint::Effect,
    testing::{PodBuilder, node, pod},
};
use proptest::prelude::*;

use super::*;
use crate::testkit::Rig;

const KEY: &str = "node.kubernetes.io/unreachable";

type Taints = Rig<TaintEvictionController>;

fn rig() -> Taints {
    let mut rig = Rig::new(TaintEvictionController::new(Policy::default(), Params::default()), 1000);
    rig.node(node("n1").arc());
    rig.start();
    rig
}

fn taint(rig: &mut Taints) {
    rig.node(node("n1").taint(KEY, "", Effect::NoExecute).arc());
    rig.settle();
}

fn tolerant(name: &str, seconds: Option<i64>) -> PodBuilder {
    pod(name).on("n1").phase(Phase::Running).tolerates(KEY, Some(Effect::NoExecute), seconds)
}

fn secs(rig: &mut Taints, seconds: u64) {
    rig.advance(Duration::from_secs(seconds));
}

fn one(rig: &mut Taints) -> (IntentId, Op) {
    rig.settle();
    let mut ops = rig.take();
    assert_eq!(ops.len(), 1, "{ops:?}");
    ops.remove(0)
}

/// Answers the condition and the deletion of one eviction, checking both.
fn evicted(rig: &mut Taints, name: &str) {
    let (id, op) = one(rig);
    let Op::PodStatus { pod, uid, patch } = op else { panic!("{op:?}") };
    assert_eq!((&*pod.name, &*uid), (name, format!("uid-{name}").as_str()));
    let condition = &patch.conditions[0];
    assert_eq!((&*condition.kind, condition.status, &*condition.reason), ("DisruptionTarget", Status::True, REASON));
    assert_eq!((&*condition.message, condition.observed_generation), (MESSAGE, 1));
    rig.ok(id, "u", 9);
    let (id, op) = one(rig);
    let Op::Delete { key, uid, grace_seconds: None, .. } = op else { panic!("{op:?}") };
    assert_eq!((&*key.name, uid.as_deref()), (name, Some(format!("uid-{name}").as_str())));
    rig.ok(id, "u", 10);
    rig.settle();
    assert_eq!(rig.take(), []);
}

#[test]
fn at_once_later_or_never() {
    let mut rig = rig();
    rig.pod(pod("none").on("n1").arc());
    rig.pod(tolerant("later", Some(300)).arc());
    rig.pod(tolerant("never", None).arc());
    rig.pod(pod("elsewhere").on("n2").arc());
    rig.settle();
    assert_eq!(rig.take(), []);
    taint(&mut rig);
    assert_eq!(rig.take_events(), ["TaintManagerEviction Marking for deletion Pod default/none"]);
    evicted(&mut rig, "none");
    secs(&mut rig, 299);
    assert_eq!(rig.take(), []);
    secs(&mut rig, 1);
    assert_eq!(rig.take_events(), ["TaintManagerEviction Marking for deletion Pod default/later"]);
    evicted(&mut rig, "later");
    secs(&mut rig, 10_000);
    assert_eq!((rig.take(), rig.controller.deletions()), (vec![], 2));
    let mut measured = Measurements::default();
    rig.controller.measure(&rig.world, &mut measured);
    assert_eq!(measured.texts(&super::measure::DELETIONS), ["=2"]);
    assert_eq!(measured.texts(&super::measure::DURATION), ["=2/0"], "both went when they were to");
    assert!(measured.texts(&super::measure::HELD).is_empty(), "without the brake there is nothing to say of it");
}

#[test]
fn a_taint_that_goes_cancels() {
    let mut rig = rig();
    rig.pod(tolerant("a", Some(300)).arc());
    taint(&mut rig);
    secs(&mut rig, 100);
    rig.node(node("n1").arc());
    rig.settle();
    assert_eq!(rig.take_events(), ["TaintManagerEviction Cancelling deletion of Pod default/a"]);
    secs(&mut rig, 1000);
    assert_eq!(rig.take(), []);
    // The next taint starts a new countdown.
    taint(&mut rig);
    secs(&mut rig, 299);
    assert_eq!(rig.take(), []);
    secs(&mut rig, 1);
    evicted(&mut rig, "a");
}

#[test]
fn a_node_that_is_deleted_calls_nothing_off_and_begins_nothing() {
    for returns in [false, true] {
        let mut rig = rig();
        rig.pod(tolerant("a", Some(300)).arc());
        taint(&mut rig);
        secs(&mut rig, 100);
        rig.remove_node("n1");
        rig.pod(pod("new").on("n1").arc());
        secs(&mut rig, 100);
        assert_eq!((rig.take(), rig.take_events()), (vec![], vec![]));
        if returns {
            rig.node(node("n1").arc());
            rig.settle();
            assert_eq!(rig.take_events(), ["TaintManagerEviction Cancelling deletion of Pod default/a"]);
            secs(&mut rig, 1000);
            assert_eq!((rig.take(), rig.take_events()), (vec![], vec![]));
        } else {
            secs(&mut rig, 99);
            assert_eq!(rig.take(), []);
            secs(&mut rig, 1);
            assert_eq!(rig.take_events(), ["TaintManagerEviction Marking for deletion Pod default/a"]);
            evicted(&mut rig, "a");
        }
    }
}

#[test]
fn a_running_countdown_is_kept() {
    let mut rig = rig();
    rig.pod(tolerant("a", Some(300)).arc());
    taint(&mut rig);
    secs(&mut rig, 100);
    // Longer, shorter, and the other of the two keys: nothing changes (as stock).
    rig.pod(tolerant("a", Some(1000)).arc());
    secs(&mut rig, 1);
    rig.pod(tolerant("a", Some(10)).tolerates("node.kubernetes.io/not-ready", None, Some(300)).arc());
    secs(&mut rig, 1);
    rig.node(node("n1").taint("node.kubernetes.io/not-ready", "", Effect::NoExecute).arc());
    secs(&mut rig, 197);
    assert_eq!((rig.take(), rig.take_events()), (vec![], vec![]));
    secs(&mut rig, 1);
    evicted(&mut rig, "a");
}

#[test]
fn a_second_taint_that_is_not_tolerated_ends_it_now() {
    let mut rig = rig();
    rig.pod(tolerant("a", Some(300)).arc());
    taint(&mut rig);
    secs(&mut rig, 10);
    rig.node(node("n1").taint(KEY, "", Effect::NoExecute).taint("k", "v", Effect::NoExecute).arc());
    rig.settle();
    assert_eq!(
        rig.take_events(),
        [
            "TaintManagerEviction Cancelling deletion of Pod default/a",
            "TaintManagerEviction Marking for deletion Pod default/a"
        ]
    );
    evicted(&mut rig, "a");
}

#[test]
fn pods_that_come_go_or_are_made_anew() {
    let mut rig = rig();
    taint(&mut rig);
    rig.pod(tolerant("a", Some(100)).arc());
    rig.pod(tolerant("b", Some(100)).arc());
    secs(&mut rig, 50);
    rig.remove_pod(&ObjectKey::new("default", "a"));
    rig.pod(tolerant("b", Some(100)).uid("second").arc());
    rig.settle();
    assert_eq!(rig.take_events().len(), 2, "both plans are called off");
    secs(&mut rig, 99);
    assert_eq!(rig.take(), [], "the second b has its own time");
    secs(&mut rig, 1);
    let (_, op) = one(&mut rig);
    assert!(matches!(op, Op::PodStatus { uid, .. } if uid == "second"));
}

#[test]
fn pods_that_go_already_and_pods_that_have_ended() {
    let with = |policy: Policy| {
        let mut rig = Rig::new(TaintEvictionController::new(policy, Params::default()), 1000);
        rig.node(node("n1").arc());
        rig.start();
        rig.pod(tolerant("goes", Some(5)).deleted(2000).arc());
        rig.pod(tolerant("ended", Some(5)).phase(Phase::Succeeded).arc());
        taint(&mut rig);
        rig
    };
    // As stock: one that has ended goes like any other. One that is being deleted is left alone.
    let mut rig = with(Policy::default());
    secs(&mut rig, 5);
    evicted(&mut rig, "ended");
    secs(&mut rig, 100);
    assert_eq!(rig.take_events(), ["TaintManagerEviction Marking for deletion Pod default/ended"]);
    let mut rig = with(Policy { spare_ended: true, ..Policy::default() });
    secs(&mut rig, 100);
    assert_eq!((rig.take(), rig.take_events()), (vec![], vec![]));
}

#[test]
fn failures_are_retried_with_backoff_and_an_end() {
    let mut rig = rig();
    rig.pod(pod("a").on("n1").arc());
    taint(&mut rig);
    let (id, _) = one(&mut rig);
    rig.answer(id, Err(WriteError::Unreachable("x".into())));
    rig.settle();
    assert_eq!(rig.take(), [], "not at once");
    secs(&mut rig, 1);
    let (id, op) = one(&mut rig);
    assert!(matches!(op, Op::PodStatus { .. }));
    rig.ok(id, "u", 9);
    let mut tries = 0;
    for _ in 0..600 {
        rig.settle();
        for (id, op) in rig.take() {
            assert!(matches!(op, Op::Delete { .. }));
            tries += 1;
            rig.answer(id, Err(WriteError::Throttled { message: "x".into(), retry_after_seconds: None }));
        }
        secs(&mut rig, 1);
    }
    assert!((8..=20).contains(&tries), "{tries}");
    assert_eq!(rig.take_events().len(), 1, "announced once");
    secs(&mut rig, 1000);
    let (id, _) = one(&mut rig);
    rig.answer(id, Err(WriteError::NotFound("x".into())));
    secs(&mut rig, 5000);
    assert_eq!(rig.take(), []);
    assert!(rig.controller.evictions.is_empty());
}

#[test]
fn nothing_before_leading() {
    let mut rig = Rig::new(TaintEvictionController::new(Policy::default(), Params::default()), 1000);
    rig.pod(pod("a").on("n1").arc());
    rig.node(node("n1").taint(KEY, "", Effect::NoExecute).arc());
    rig.settle();
    assert_eq!(rig.take(), []);
    rig.start();
    evicted(&mut rig, "a");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens to taints and tolerations: no pod is deleted that is tolerated for ever or whose node has no
    /// taint at that moment, and in the end every pod that is not tolerated is deleted, once.
    #[test]
    fn deleted_only_with_a_reason_and_always_with_one(
        steps in prop::collection::vec((0_u8..4, 0_u8..3, prop::option::of(1_i64..60), 1_u64..50), 1..40)
    ) {
        let mut rig = rig();
        let mut tainted = false;
        let mut alive: std::collections::BTreeMap<String, Option<Option<i64>>> = std::collections::BTreeMap::new();
        let mut rv = 1;
        for (what, which, seconds, wait) in steps {
            let name = format!("p{which}");
            match what {
                0 => { tainted = true; taint(&mut rig); }
                1 => { tainted = false; rig.node(node("n1").arc()); }
                2 => { rig.pod(tolerant(&name, seconds).arc()); alive.insert(name, Some(seconds)); }
                _ => { rig.pod(pod(&name).on("n1").arc()); alive.insert(name, None); }
            }
            for _ in 0..wait {
              secs(&mut rig, 1);
              loop {
                rig.settle();
                let ops = rig.take();
                if ops.is_empty() { break; }
                for (id, op) in ops {
                    rv += 1;
                    if let Op::Delete { key, .. } = &op {
                        let tolerance = alive.remove(&*key.name);
                        prop_assert!(tolerance.is_some(), "deleted twice");
                        prop_assert!(tolerance != Some(Some(None)), "tolerated for ever");
                        prop_assert!(tainted);
                        rig.remove_pod(key);
                    }
                    rig.ok(id, "u", rv);
                }
              }
            }
        }
        taint(&mut rig);
        for _ in 0..200 {
            rig.settle();
            for (id, op) in rig.take() {
                if let Op::Delete { key, .. } = &op {
                    prop_assert!(alive.remove(&*key.name).is_some());
                    rig.remove_pod(key);
                }
                rig.ok(id, "u", rv);
            }
            secs(&mut rig, 1);
        }
        prop_assert!(alive.values().all(|t| *t == Some(None)), "{alive:?}");
    }
}
