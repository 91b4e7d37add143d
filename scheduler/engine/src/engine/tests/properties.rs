//! Random clusters: the class path against the plain path, the books against counting anew, and no pod placed twice or
//! where it does not fit.

use std::sync::Arc;

use headroom_core::{
    memory::{PodUsage, PressureState, Psi, Sample, SwapBehavior},
    object::{
        Affinity, Meta, NodeAffinity, NodeHeadroom, NodeInclusion, ObjectKey, TopologySpreadConstraint, WorkloadKind,
    },
    selector::{NodeSelector, NodeSelectorTerm, Operator, PreferredSchedulingTerm, Requirement},
    taint::Effect,
    testing::{NodeBuilder, PodBuilder, container, node, pod, selector, spread, term, workload},
};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Pod(u8, u8),
    DeletePod(u8),
    Node(u8, u8),
    DeleteNode(u8),
    Sample(u8, u8, u16),
    NoSample(u8),
    Service(u8),
    Advance(u16),
    Decide(u8),
    Deliver,
    Foreign(u8, u8),
    Fault(u8),
    Budget(u8, u8),
    Ends,
    Refused(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(one(), 1..120)
}

/// Little sequences in little clusters, of which many can be tried.
fn few_acts() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(one(), 1..14)
}

fn one() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(i, t)| Act::Pod(i, t)),
        2 => any::<u8>().prop_map(Act::DeletePod),
        4 => (0_u8..8, any::<u8>()).prop_map(|(i, v)| Act::Node(i, v)),
        1 => (0_u8..8).prop_map(Act::DeleteNode),
        4 => (0_u8..8, any::<u8>(), any::<u16>()).prop_map(|(i, v, w)| Act::Sample(i, v, w)),
        1 => (0_u8..8).prop_map(Act::NoSample),
        1 => (0_u8..8).prop_map(Act::Service),
        2 => (0_u16..400).prop_map(Act::Advance),
        6 => (0_u8..10).prop_map(Act::Decide),
        3 => Just(Act::Deliver),
        1 => (any::<u8>(), 0_u8..8).prop_map(|(p, n)| Act::Foreign(p, n)),
        1 => (0_u8..6).prop_map(Act::Fault),
        1 => (0_u8..3, any::<u8>()).prop_map(|(i, v)| Act::Budget(i, v)),
        2 => Just(Act::Ends),
        1 => (0_u8..4).prop_map(Act::Refused),
    ]
}

fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator, values: values.iter().map(|v| Str::from(*v)).collect() }
}

fn labelled(r: Requirement) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Box::new([r]), match_fields: Box::new([]) }
}

fn affinity(p: PodBuilder, required: Vec<NodeSelectorTerm>, preferred: Vec<NodeSelectorTerm>) -> PodBuilder {
    p.spec(|s| {
        s.affinity = Some(Box::new(Affinity {
            node: Some(NodeAffinity {
                required: (!required.is_empty()).then(|| NodeSelector { terms: required.into() }),
                preferred: preferred
                    .into_iter()
                    .map(|preference| PreferredSchedulingTerm { weight: 7, preference })
                    .collect(),
            }),
            ..Affinity::default()
        }));
    })
}

/// Pods of every kind that plugins tell apart, hostile ones included.
fn template(i: u8, t: u8) -> PodBuilder {
    let p = pod(&format!("p{}", i % 48)).label("set", ["x", "y", "z"][usize::from(i) % 3]);
    match t % 32 {
        20.. => between_pods(p.label("app", ["a", "b"][usize::from(i) % 2]), t % 32 - 20),
        0 => p,
        1 => p.requests("500m", "256Mi"),
        2 => p.requests("100m", "64Mi").limits("", "256Mi"),
        3 => p.requests("2", "2Gi").priority(5),
        4 => p.requests("250m", "128Mi").limits("250m", "128Mi"),
        5 => p.node_selector("zone", "a").requests("100m", "64Mi"),
        6 => p.tolerates("dedicated", None, None).requests("1", "32Mi"),
        7 => p.container(container("c").port("", 80, 8080)),
        8 => affinity(p, vec![labelled(req("zone", Operator::In, &["a", "b"]))], vec![]),
        9 => affinity(
            p,
            vec![],
            vec![labelled(req("zone", Operator::In, &["b"])), labelled(req("disk", Operator::Exists, &[]))],
        )
        .requests("100m", "100Mi"),
        10 => {
            let fields = Box::new([req("metadata.name", Operator::In, &["n1", "n3", "nowhere"])]);
            let named = NodeSelectorTerm { match_fields: fields, ..NodeSelectorTerm::default() };
            affinity(p, vec![named], vec![])
        }
        11 => p.gate("wait"),
        12 => p.annotation("headroom.dev/memory-hint", "300Mi").requests("1m", "1Mi"),
        13 => p.annotation("headroom.dev/swap", "never").requests("100m", "64Mi").limits("", "512Mi"),
        14 => p.owner("DaemonSet", "ds", "ds").requests("10m", "16Mi"),
        15 => p.requests("9223372036854775807", "9223372036854775807"),
        16 => p.requests("0", "0").overhead("8E", "8E"),
        17 => p.container(container("c")).spec(|s| {
            s.containers[0].requests.scalars = Box::new([("example.com/gpu".into(), 1), ("zero".into(), 0)]);
        }),
        18 => p.priority(2_000_000_000).requests("100m", "64Mi"),
        _ => p.with(|x| x.status.nominated_node_name = Some("n2".into())).requests("1", "512Mi").priority(1),
    }
}

/// Pods that look at other pods.
fn between_pods(p: PodBuilder, t: u8) -> PodBuilder {
    let (zone, host) = ("zone", "kubernetes.io/hostname");
    match t {
        0 => p.spread(spread(1, zone, true, "app=a")),
        1 => p.spread(spread(1, host, true, "app in (a|b)")).requests("100m", "64Mi"),
        2 => p.spread(spread(1, zone, false, "app=a")).spread(spread(2, host, false, "app")),
        3 => p.spread(TopologySpreadConstraint {
            min_domains: 3,
            node_taints: NodeInclusion::Honor,
            match_label_keys: Box::new(["app".into()]),
            ..spread(1, zone, true, "")
        }),
        4 => p.affine(term("app=a", zone)),
        5 => p.anti_affine(term("app=a", host)),
        6 => p.anti_affine(term("app", zone)).priority(3),
        7 => p.prefers(50, term("app=b", zone)).requests("250m", "64Mi"),
        8 => p.avoids(10, term("app=a", host)).avoids(20, term("app=b", "disk")),
        9 => p.affine(term("app=a", zone)).anti_affine(term("app=a", host)),
        10 => p.anti_affine(headroom_core::object::PodAffinityTerm {
            namespace_selector: Some(selector("team!=x")),
            ..term("app=b", zone)
        }),
        _ => p.container(container("c").image("web:1")).owner("ReplicaSet", "rs", "rs"),
    }
}

fn machine(i: u8, v: u8) -> NodeBuilder {
    let n = node(&format!("n{i}")).label("zone", ["a", "b", "c"][usize::from(v) % 3]);
    let n = match v % 5 {
        0 => n.capacity("2", "1Gi", 6),
        1 => n.capacity("4", "4Gi", 10).swap("2Gi"),
        2 => n.capacity("1", "512Mi", 4).swap("1Gi"),
        3 => n.capacity("8", "8Gi", 20).extended("example.com/gpu", 2),
        _ => n.capacity("0", "0", 0),
    };
    match v / 5 % 9 {
        0 => n.unschedulable(),
        1 => n.taint("dedicated", "x", Effect::NoSchedule),
        2 => n.taint("soft", "x", Effect::PreferNoSchedule).label("disk", "ssd"),
        3 => n.label("node-role.kubernetes.io/control-plane", ""),
        4 => n.annotation("headroom.dev/swap-media", "hdd"),
        5 => n.image(&["web:1"], 700 << 20),
        6 => n
            .image(&["web:1", "web@sha256:0"], 300 << 20)
            .with(|n| n.meta.labels = [("disk", "hdd")].into_iter().collect()),
        _ => n,
    }
}

fn sample(s: &Simulator, i: u8, v: u8, w: u16) -> NodeHeadroom {
    let name = format!("n{i}");
    let capacity = s.nodes.get(name.as_str()).map_or(1 << 30, |n| n.capacity.memory);
    let state =
        [PressureState::Calm, PressureState::Elevated, PressureState::Hot, PressureState::Thrash][usize::from(v) % 4];
    let mut pods: Vec<_> = s
        .pods
        .values()
        .filter(|p| p.node_name.as_deref() == Some(&name) && !w.is_multiple_of(3))
        .map(|p| {
            let usage = PodUsage {
                working_set: i64::from(w) << 12,
                swap: (!v.is_multiple_of(3)).then_some(i64::from(w) << 8),
                swap_available: (!v.is_multiple_of(5)).then_some(1 << 20),
            };
            (p.meta.key.clone(), p.meta.uid.clone(), usage)
        })
        .collect();
    pods.sort_by(|a, b| a.1.cmp(&b.1));
    NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
        sample: (v != 7).then(|| Sample {
            at: s.now.wall,
            working_set: Some(capacity / 65_536 * i64::from(w)),
            swap_used: (v % 3 != 1).then_some(i64::from(w) << 10),
            psi: v.is_multiple_of(2).then(|| Psi {
                some10: 1.0,
                some60: f64::from(v) / 16.0,
                full10: 0.0,
                full60: 0.0,
            }),
            state: if v < 128 { PressureState::Calm } else { state },
            state_since: Some(s.now.wall),
            ..Sample::default()
        }),
        eviction_hard: Some(0),
        swap_behavior: [Some(SwapBehavior::LimitedSwap), Some(SwapBehavior::NoSwap), None][usize::from(v) % 3],
        swap_capacity: Some(1 << 30),
        ..NodeHeadroom { pods: pods.into(), ..NodeHeadroom::default() }
    }
}

fn act(s: &mut Simulator, a: &Act) {
    match *a {
        Act::Pod(i, t) => {
            let mut p = template(i, t).build();
            if let Some(known) = s.pods.get(&p.meta.uid) {
                // The spec of a pod does not change; its labels do, and its gates go.
                p = (**known).clone();
                p.meta.labels = [("v", "x"), ("set", "y")].into_iter().collect();
                if !p.spec.scheduling_gates.is_empty() {
                    Arc::make_mut(&mut p.spec).scheduling_gates = Box::new([]);
                }
            }
            s.pod(p);
        }
        Act::DeletePod(i) => s.delete_pod(&format!("uid-p{}", i % 48)),
        Act::Node(i, v) => s.node(machine(i, v).build()),
        Act::DeleteNode(i) => s.delete_node(&format!("n{i}")),
        Act::Sample(i, v, w) => {
            let row = sample(s, i, v, w);
            s.sample(row);
        }
        Act::NoSample(i) => s.input(Input::SampleDeleted { name: format!("n{i}").into() }),
        Act::Service(n) => match n {
            0 => s.input(Input::SelectorDeleted {
                kind: WorkloadKind::Service,
                key: ObjectKey::new("default", "service"),
            }),
            1 => s.input(Input::SelectorApplied(Arc::new(workload(WorkloadKind::ReplicaSet, "rs", "app")))),
            n => {
                let text = ["app=a", "app=b"][usize::from(n) % 2];
                s.input(Input::SelectorApplied(Arc::new(workload(WorkloadKind::Service, "service", text))));
            }
        },
        Act::Advance(seconds) => s.advance(u32::from(seconds)),
        Act::Decide(n) => {
            for _ in 0..n {
                s.step();
            }
        }
        Act::Deliver => s.deliver(),
        Act::Foreign(p, n) => {
            if let Some(pod) = s.pods.get(format!("uid-p{}", p % 48).as_str()).filter(|p| p.node_name.is_none()) {
                let mut bound = (**pod).clone();
                bound.node_name = Some(format!("n{n}").into());
                s.pod(bound);
            }
        }
        Act::Budget(i, v) => {
            if v.is_multiple_of(4) {
                let key = ObjectKey::new("default", format!("b{i}"));
                s.input(Input::BudgetDeleted { key });
            } else {
                let set = ["x", "y", "z"][usize::from(i) % 3];
                s.budget(headroom_core::testing::budget(&format!("b{i}"), "set", set, i32::from(v % 3)));
            }
        }
        Act::Ends => s.finish_deletions(),
        Act::Refused(f) => s.deletion_faults.push_back(match f {
            0 => Some(WriteError::Forbidden("x".into())),
            1 => Some(WriteError::NotFound("x".into())),
            2 => Some(WriteError::Unknown("x".into())),
            _ => None,
        }),
        Act::Fault(f) => s.faults.push_back(match f {
            0 => Some(Fault::LostAfter),
            1 => Some(Fault::LostBefore),
            2 => Some(Fault::Refused(WriteError::Busy)),
            3 => Some(Fault::Refused(WriteError::Conflict("x".into()))),
            _ => None,
        }),
    }
}

/// A decision without the word which path it took.
fn essence(d: &Decision) -> Decision {
    let mut d = d.clone();
    if let DecisionResult::Assumed { class, .. } = &mut d.result {
        *class = false;
    }
    d
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

/// The class path and the plain path side by side; after each step the books against counting anew.
fn both_paths(all: &[Act]) -> Result<(), TestCaseError> {
    let (mut with, mut without) = (Simulator::new(Mode::Primary), Simulator::new(Mode::Primary));
    without.engine.set_classes_enabled(false);
    for a in all {
        act(&mut with, a);
        act(&mut without, a);
        let new: Vec<_> = with.decisions.drain(..).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (new.iter().map(essence).collect(), without.decisions.drain(..).map(|d| essence(&d)).collect());
        prop_assert_eq!(&ours, &theirs, "after {:?}", a);
        prop_assert_eq!(with.inconsistency(), None, "after {:?}", a);
    }
    prop_assert_eq!(&with.binds, &without.binds);
    prop_assert_eq!(&with.deletions, &without.deletions);
    prop_assert_eq!(without.engine.stats().classes, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// The same in many small clusters.
    #[test]
    fn classes_decide_as_the_plain_path_in_ten_thousand_little_clusters(all in few_acts()) {
        both_paths(&all)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens: both paths decide the same, and the books are right.
    #[test]
    fn classes_decide_as_the_plain_path(all in acts()) {
        both_paths(&all)?;
    }

    /// Who is preempted has less priority than who preempts, is told so before it is deleted, and never more than once
    /// unless the deletion failed.
    #[test]
    fn preempts_only_lower_priorities(all in acts()) {
        let mut s = Simulator::new(Mode::Primary);
        for a in &all {
            let priorities: std::collections::BTreeMap<_, _> =
                s.pods.values().map(|p| (p.meta.uid.clone(), p.spec.priority)).collect();
            let seen = s.events.len();
            act(&mut s, a);
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
    fn never_twice_never_too_much(all in acts()) {
        let mut s = Simulator::new(Mode::Primary);
        for i in 0..6 {
            s.node(machine(i, i).build());
        }
        for a in &all {
            if matches!(a, Act::Node(..) | Act::DeleteNode(_) | Act::Foreign(..)) {
                continue;
            }
            act(&mut s, a);
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
    fn explains_the_decision(all in acts(), t in any::<u8>()) {
        let mut s = Simulator::new(Mode::Primary);
        for a in &all {
            act(&mut s, a);
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
