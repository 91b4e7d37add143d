//! Random clusters: the class path against the plain path, the books against counting anew, and no pod placed twice or
//! where it does not fit.

use proptest::{prelude::*, strategy::ValueTree};

use super::*;
use crate::simulator::{
    Confirmed,
    acts::{Act, both_paths, machine, perform, template},
};

fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(any::<[u8; 4]>().prop_map(Act::from), 1..most)
}

fn overcommitted(s: &Simulator, foreign: bool) -> Option<String> {
    if foreign {
        return None;
    }
    s.engine.cache().nodes().find_map(|(_, n)| {
        let (used, has) = (&n.requested, &n.node.allocatable);
        let over = used.milli_cpu > has.milli_cpu || used.memory > has.memory || n.pods.len() as i64 > has.pods;
        over.then(|| format!("{}: {used:?} of {has:?}", n.name))
    })
}

/// Several tests of the same property: together 10,000 random courses of events, on all cores.
macro_rules! courses {
    ($($name:ident)*) => {
        $(proptest! {
            #![proptest_config(ProptestConfig { cases: 2_500, ..ProptestConfig::default() })]

            /// Whatever happens: both paths decide the same, and the books are right.
            #[test]
            fn $name(all in acts(80)) {
                both_paths(&all).map_err(TestCaseError::fail)?;
            }
        })*
    };
}

courses! {
    classes_decide_as_the_plain_path_1
    classes_decide_as_the_plain_path_2
    classes_decide_as_the_plain_path_3
    classes_decide_as_the_plain_path_4
}

/// The courses are worth running: all that can happen does.
#[test]
fn courses_reach_everything() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut classes, mut plain, mut rejected, mut preempted, mut nominated, mut claims) = (0, 0, 0, 0, 0, 0);
    let ways = [Confirmed::AsAssumed, Confirmed::OtherMeta, Confirmed::OtherSpec, Confirmed::Elsewhere];
    let mut confirmed = [0; 4];
    for _ in 0..500 {
        let all = acts(80).new_tree(&mut runner).unwrap().current();
        let [s, _] = both_paths(&all).unwrap();
        for d in &s.decisions {
            match d.result {
                DecisionResult::Assumed { class: true, .. } => classes += 1,
                DecisionResult::Assumed { .. } => plain += 1,
                DecisionResult::Unschedulable { .. } => rejected += 1,
                _ => {}
            }
        }
        preempted += s.deletions.len();
        nominated += s.patches.iter().filter(|(_, p)| matches!(p.nominated_node_name, Some(Some(_)))).count();
        let bound = |uid: &Str| s.pods.get(uid).is_some_and(|p| p.spec.has_claims());
        claims += s.binds.iter().filter(|(uid, _)| bound(uid)).count();
        for (count, way) in confirmed.iter_mut().zip(ways) {
            *count += s.confirmed.iter().filter(|c| **c == way).count();
        }
    }
    let reached = [classes, plain, rejected, preempted, nominated, claims];
    println!("classes, plain, rejected, preempted, nominated, with claims: {reached:?}");
    assert!(reached.iter().all(|n| *n >= 15), "{reached:?}");
    println!("confirmed, {ways:?}: {confirmed:?}");
    assert!(confirmed.iter().all(|n| *n >= 5), "{ways:?}: {confirmed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The same in long ones.
    #[test]
    fn classes_decide_as_the_plain_path_for_long(all in acts(250)) {
        both_paths(&all).map_err(TestCaseError::fail)?;
    }

    /// Who is preempted has less priority than who preempts, is told so before it is deleted, and never more than once
    /// unless the deletion failed.
    #[test]
    fn preempts_only_lower_priorities(all in acts(120)) {
        let mut s = Simulator::new(Mode::Primary);
        for a in &all {
            let priorities: std::collections::BTreeMap<_, _> =
                s.pods.values().map(|p| (p.meta.uid.clone(), p.spec.priority)).collect();
            let seen = s.events.len();
            perform(&mut s, *a);
            for event in s.events[seen..].iter().filter(|e| e.reason == "Preempted") {
                let (victim, preemptor) = (&event.regarding.uid, &event.related.as_ref().unwrap().uid);
                let of = |uid: &Str| priorities.get(uid).copied();
                if let (Some(victim), Some(preemptor)) = (of(victim), of(preemptor)) {
                    prop_assert!(victim < preemptor, "{event:?}");
                }
            }
        }
        s.run();
        prop_assert_eq!(s.engine.preemptions_in_progress(), 0);
        for uid in &s.deletions {
            if let Some(p) = s.pods.get(uid).filter(|p| p.meta.is_terminating()) {
                let told = p.condition("DisruptionTarget").is_some_and(|c| c.reason == "PreemptionByScheduler");
                prop_assert!(told, "{uid} was not told");
            }
        }
    }

    /// Pods are bound once, and nodes are not promised more than they have (as long as nodes do not shrink).
    #[test]
    fn never_twice_never_too_much(all in acts(120)) {
        let mut s = Simulator::new(Mode::Primary);
        for i in 0..6 {
            s.node(machine(i, i).build());
        }
        for a in &all {
            if matches!(a, Act::Node(..) | Act::DeleteNode(_) | Act::Foreign(..)) {
                continue;
            }
            perform(&mut s, *a);
            prop_assert_eq!(overcommitted(&s, false), None, "after {:?}", a);
        }
        s.run();
        let mut bound: Vec<_> = s.binds.iter().map(|(uid, _)| uid).collect();
        bound.sort();
        let deleted = all.iter().any(|a| matches!(a, Act::DeletePod(_)));
        let count = bound.len();
        bound.dedup();
        prop_assert!(deleted || bound.len() == count, "a pod was bound twice");
        // At rest nothing is left over: every pod is bound, waits, or is gated.
        let stats = s.engine.stats();
        prop_assert_eq!(stats.intents, 0);
        prop_assert_eq!(stats.pending.active, 0);
    }

    /// The explanation is the decision.
    #[test]
    fn explains_the_decision(all in acts(120), t in any::<u8>()) {
        let mut s = Simulator::new(Mode::Primary);
        for a in &all {
            perform(&mut s, *a);
        }
        s.run();
        s.decisions.clear();
        let p = template(200, t).uid("uid-new").with(|x| x.meta.key.name = "new".into()).build();
        let e = s.engine.explain(&p, s.now);
        s.pod(p);
        s.run();
        let last = s.decisions.iter().find(|d| d.uid == "uid-new");
        match last.map(|d| &d.result) {
            Some(DecisionResult::Assumed { node, total, .. }) => {
                prop_assert_eq!(e.result.node.as_ref(), Some(node));
                let explained = e.nodes.iter().find(|n| n.name == *node).and_then(|n| n.total);
                prop_assert!(total.is_none() || explained == *total);
            }
            Some(DecisionResult::Unschedulable { message, .. }) => prop_assert_eq!(&e.result.message, message),
            Some(_) => {}
            None => prop_assert!(!e.result.scheduled, "gated"),
        }
    }
}
