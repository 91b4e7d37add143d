use std::sync::Arc;

use headroom_core::{
    Now, Timestamp,
    memory::{History, PodUsage, PressureState, Psi, Rule, Sample, SwapBehavior},
    object::{MemoryProfile, Meta, Namespace, NodeHeadroom, ObjectKey, ProfileEntry},
    testing::{NodeBuilder, PodBuilder, node, pod},
};

use super::*;
use crate::cache::Cache;

mod waking;

fn now() -> Now {
    Now { wall: Timestamp::from_secs(1_800_000_000), ..Now::default() }
}

/// The base node of memory-and-swap.md 6: C 1024, S 2048.
fn n1() -> NodeBuilder {
    node("n1").capacity("4", "1Gi", 110).swap("2Gi")
}

/// Its sample: W 620, U 300, some60 0.2, evict 0.
fn s1(name: &str) -> NodeHeadroom {
    NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
        sample: Some(Sample {
            at: now().wall,
            working_set: Some(620 * MIB),
            swap_used: Some(300 * MIB),
            psi: Some(Psi { some10: 0.2, some60: 0.2, ..Psi::default() }),
            ..Sample::default()
        }),
        eviction_hard: Some(0),
        swap_behavior: Some(SwapBehavior::LimitedSwap),
        ..NodeHeadroom::default()
    }
}

fn cache(nodes: Vec<NodeBuilder>, samples: Vec<NodeHeadroom>) -> Cache {
    let mut c = Cache::default();
    c.enable_memory(Params::default());
    c.set_time(now().wall);
    for n in nodes {
        c.set_node(n.arc());
    }
    for s in samples {
        c.set_headroom(Arc::new(s));
    }
    c
}

fn web() -> PodBuilder {
    pod("web").requests("", "64Mi").limits("", "256Mi")
}

fn verdict(c: &Cache, p: PodBuilder, name: &str) -> (Option<NodeVerdict>, Status) {
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let p = PodInfo::new(p.arc());
    let view = View::new(c, now());
    let row = c.node(name).unwrap();
    match plugin.pre_filter(&p, &view) {
        PreFilter::Continue(state) => {
            (MemoryHeadroom::verdict(&state, row, &plugin.params), plugin.filter(&state, &p, row))
        }
        PreFilter::Skip => (None, Status::SUCCESS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_samples_it_is_inert() {
    let c = cache(vec![n1()], vec![]);
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let p = PodInfo::new(web().arc());
    let view = View::new(&c, now());
    assert!(matches!(plugin.pre_filter(&p, &view), PreFilter::Skip));
    assert!(matches!(plugin.pre_score(&p, &[], &view), PreScore::Skip));
    assert!(c.node("n1").unwrap().memory.is_none());
}

#[test]
fn f1_and_f3_and_f4() {
    let c = cache(vec![n1()], vec![s1("n1")]);
    let (v, status) = verdict(&c, web(), "n1");
    let v = v.unwrap();
    assert!(status.is_success());
    assert_eq!((v.headroom / MIB, v.pod_swap_limit / MIB, v.accessible_swap / MIB), (322, 128, 128));
    let huge = pod("huge").requests("", "256Mi").limits("", "1Gi");
    let (v, status) = verdict(&c, huge, "n1");
    assert_eq!(v.unwrap().rule, Rule::HotSet);
    assert_eq!(status, Status::unschedulable("node(s) had too little memory headroom for the hot part of the pod"));
    let (v, status) = verdict(&c, pod("be"), "n1");
    assert!(status.is_success());
    assert_eq!(v.unwrap().accessible_swap, 0);
}

#[test]
fn pressure_is_unresolvable_and_named() {
    let mut hot = s1("n1");
    hot.sample = hot.sample.map(|s| Sample { state: PressureState::Hot, ..s });
    let c = cache(vec![n1()], vec![hot.clone()]);
    assert_eq!(verdict(&c, web(), "n1").1, Status::unresolvable("node(s) were under memory pressure"));
    hot.sample = hot.sample.map(|s| Sample { state: PressureState::Thrash, ..s });
    let c = cache(vec![n1()], vec![hot]);
    assert_eq!(verdict(&c, web(), "n1").1, Status::unresolvable("node(s) were thrashing"));
    let critical = web().priority(2_000_000_000);
    assert!(verdict(&c, critical, "n1").1.is_success(), "critical pods are exempt");
}

#[test]
fn assumed_pods_count_as_growth_and_leave_again() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    let slot = c.slot("n1").unwrap();
    for i in 0..2 {
        c.assume(PodInfo::new(pod(&format!("be-{i}")).arc()), slot);
    }
    let (v, _) = verdict(&c, web(), "n1");
    assert_eq!(v.unwrap().growth / MIB, 256, "two unknown pods of 128Mi");
    assert_eq!(c.memory_difference(), None);
    c.forget("uid-be-0");
    c.remove_pod("uid-be-1");
    assert_eq!(verdict(&c, web(), "n1").0.unwrap().growth, 0);
    assert_eq!(c.memory_difference(), None);
}

#[test]
fn a_pod_of_the_sample_that_leaves_is_credited_until_the_next_one() {
    let mut c = cache(vec![n1()], vec![]);
    c.set_pod(PodInfo::new(pod("a").on("n1").ready(1, "10.0.0.1").arc()), &"n1".into());
    let mut s = s1("n1");
    let usage = PodUsage { working_set: 100 * MIB, swap: Some(50 * MIB), swap_available: Some(0) };
    s.pods = Box::new([("uid-a".into(), usage)]);
    c.set_headroom(Arc::new(s.clone()));
    let before = verdict(&c, pod("be"), "n1").0.unwrap().headroom;
    c.remove_pod("uid-a");
    assert_eq!(verdict(&c, pod("be"), "n1").0.unwrap().headroom - before, 100 * MIB);
    assert_eq!(c.memory_difference(), None);
    c.set_node(n1().label("a", "b").arc());
    assert_eq!(verdict(&c, pod("be"), "n1").0.unwrap().headroom - before, 100 * MIB, "the same sample");
    s.pods = Box::new([]);
    s.sample = s.sample.map(|x| Sample { at: Timestamp(x.at.0 + 1), ..x });
    c.set_headroom(Arc::new(s));
    assert_eq!(verdict(&c, pod("be"), "n1").0.unwrap().headroom, before);
    assert_eq!(c.memory_difference(), None);
}

#[test]
fn samples_age_by_themselves() {
    let mut c = cache(vec![n1(), node("n2").capacity("4", "1Gi", 110)], vec![s1("n1"), s1("n2")]);
    let generation = c.generations()[0];
    let mut later = now();
    later.wall = Timestamp::from_secs(later.wall.secs() + 181);
    let mut fresh = s1("n2");
    fresh.sample = fresh.sample.map(|s| Sample { at: later.wall, ..s });
    c.set_time(later.wall);
    c.set_headroom(Arc::new(fresh));
    assert!(c.generations()[0] > generation);
    let view = View::new(&c, later);
    let p = PodInfo::new(web().arc());
    let state = MemoryHeadroom::pod_state(&p, &view).unwrap();
    assert!(!state.context.cluster.degraded);
    let v = MemoryHeadroom::verdict(&state, c.node("n1").unwrap(), &Params::default()).unwrap();
    assert_eq!(v.sample.as_str(), "Stale");
    assert_eq!(c.memory_difference(), None);
    let last = Timestamp::from_secs(later.wall.secs() + 200);
    c.set_time(last);
    let state = MemoryHeadroom::pod_state(&p, &View::new(&c, Now { wall: last, ..later })).unwrap();
    assert!(state.context.cluster.degraded, "every sample is stale now");
}

#[test]
fn a_namespace_can_ask_for_advice_only() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    let huge = || pod("huge").requests("", "256Mi").limits("", "1Gi");
    assert!(!verdict(&c, huge(), "n1").1.is_success());
    let labels = [(ENFORCEMENT_LABEL, "Score")].into_iter().collect();
    let meta = Meta { key: ObjectKey::new("", "default"), labels, ..Meta::default() };
    c.set_namespace(Arc::new(Namespace { meta, terminating: false }));
    assert!(verdict(&c, huge(), "n1").1.is_success());
}

#[test]
fn protected_nodes() {
    let control = node("cp").capacity("4", "2Gi", 110).label("node-role.kubernetes.io/control-plane", "");
    let mut s = s1("cp");
    s.sample = s.sample.map(|x| Sample { working_set: Some(1450 * MIB), swap_used: Some(0), ..x });
    let c = cache(vec![control, n1()], vec![s, s1("n1")]);
    assert_eq!(verdict(&c, pod("be"), "cp").1, Status::unschedulable("node(s) were protected control plane"));
    let mirror = |c: &mut Cache| {
        let etcd = pod("etcd").annotation("kubernetes.io/config.mirror", "x").label("component", "etcd").on("n1");
        c.set_pod(PodInfo::new(etcd.arc()), &"n1".into());
    };
    let mut c = c;
    assert!(!verdict(&c, pod("be"), "n1").0.unwrap().protected);
    mirror(&mut c);
    assert!(verdict(&c, pod("be"), "n1").0.unwrap().protected);
    assert_eq!(c.memory_difference(), None);
    c.remove_pod("uid-etcd");
    assert!(!verdict(&c, pod("be"), "n1").0.unwrap().protected);
    assert_eq!(c.memory_difference(), None);
}

#[test]
fn arguments() {
    let make = |json: &str| params(Some(&serde_json::from_str(json).unwrap()));
    let p = make(
        r#"{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"MemoryHeadroomArgs","phi":0.5,"floorMinBytes":"32Mi",
            "floorMaxBytes":1073741824,"enforcement":"Score","latencyCriticalPriority":1000}"#,
    )
    .unwrap();
    assert_eq!((p.phi, p.floor_min_bytes, p.floor_max_bytes), (0.5, 32 * MIB, 1 << 30));
    assert_eq!((p.enforcement, p.latency_critical_priority), (Enforcement::Score, Some(1000)));
    for (json, expected) in [
        (r#"{"phi":2}"#, "phi: 2 is not allowed: must be between 0 and 1"),
        (r#"{"floorMinBytes":"32Mb"}"#, "floorMinBytes: expected a size, like 256Mi, not \"32Mb\""),
        (r#"{"floorMinBytes":true}"#, "floorMinBytes: expected a size, like 256Mi"),
        (r#"{"phy":1}"#, "phy: unknown field"),
        (r#"{"enforcement":"Maybe"}"#, "enforcement: expected Filter or Score, not \"Maybe\""),
    ] {
        let error = make(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A profile of the Deployment `web` with this peak of its container `main`, seen just now.
fn learned(mib: i64) -> Arc<MemoryProfile> {
    let history = History { peak: mib * MIB, samples: 3, first_observed: now().wall, observed: now().wall };
    let entry = ProfileEntry { name: "main".into(), image: "".into(), history };
    Arc::new(MemoryProfile {
        meta: Meta { key: ObjectKey::new("default", "deployment-web"), ..Meta::default() },
        workload_api_version: "apps/v1".into(),
        workload_kind: "Deployment".into(),
        workload_name: "web".into(),
        containers: Box::new([entry]),
    })
}

fn replica(name: &str) -> PodBuilder {
    pod(name).owner("ReplicaSet", "web-1", "u").label("pod-template-hash", "1").requests("", "32Mi")
}

#[test]
fn a_learned_peak_replaces_the_request() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    let demand = |c: &Cache, p: PodBuilder| {
        let demand = c.memory().unwrap().candidate(&PodInfo::new(p.arc()), now().wall).demand;
        (demand.total / MIB, demand.source.as_str())
    };
    assert_eq!(demand(&c, replica("a")), (38, "request"));
    assert!(c.set_profile(learned(300)));
    assert!(!c.set_profile(learned(300)), "nothing new");
    assert_eq!(demand(&c, replica("a")), (345, "profile"));
    assert_eq!(demand(&c, replica("a").owner("ReplicaSet", "other-1", "u")), (38, "request"));
    assert!(c.remove_profile(&ObjectKey::new("default", "deployment-web")).is_some());
    assert_eq!(demand(&c, replica("a")), (38, "request"));
}

#[test]
fn pods_on_nodes_are_counted_anew_when_their_profile_changes_or_ages() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    c.set_pod(PodInfo::new(replica("a").on("n1").arc()), &"n1".into());
    c.set_pod(PodInfo::new(pod("b").on("n1").arc()), &"n1".into());
    let growth = |c: &Cache| c.node("n1").unwrap().memory.as_ref().unwrap().state.growth / MIB;
    assert_eq!(growth(&c), 38 + 128);
    c.set_profile(learned(400));
    assert_eq!((growth(&c), c.memory_difference()), (460 + 128, None));
    let fresh = c.node("n1").unwrap().memory.as_ref().unwrap().state.growth;
    // The last microsecond of the step, then the next step.
    let at = |micros: i64| Timestamp(now().wall.0 + micros);
    c.set_time(at(299_999_999));
    assert_eq!((c.node("n1").unwrap().memory.as_ref().unwrap().state.growth, c.memory_difference()), (fresh, None));
    assert!(c.memory_deadline().is_some_and(|until| until <= at(300_000_000)));
    c.set_time(at(300_000_000));
    assert!(c.node("n1").unwrap().memory.as_ref().unwrap().state.growth < fresh);
    assert_eq!(c.memory_difference(), None);
    // A ReplicaSet that belongs to nobody after all.
    c.set_replica_set(&ObjectKey::new("default", "web-1"), None);
    assert_eq!((growth(&c), c.memory_difference()), (38 + 128, None));
    c.remove_replica_set(&ObjectKey::new("default", "web-1"));
    assert_eq!((c.memory_difference(), c.difference(&c.recomputed())), (None, None));
    assert!(growth(&c) > 400);
    assert_eq!(c.recomputed().memory_difference(), None);
}

#[test]
fn a_changed_profile_wakes_the_pods_of_its_workload_that_fit_now() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    c.set_profile(learned(900));
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let hint = |c: &Cache, profile: Arc<MemoryProfile>, p: PodBuilder| {
        plugin.hint(&Change::MemoryProfile(profile), &PodInfo::new(p.arc()), &View::new(c, now()))
    };
    assert_eq!(hint(&c, learned(900), replica("a")), Hint::Skip, "still too large");
    c.set_profile(learned(100));
    assert_eq!(hint(&c, learned(100), replica("a")), Hint::Queue);
    assert_eq!(hint(&c, learned(100), replica("a").namespace("other")), Hint::Skip);
    assert_eq!(hint(&c, learned(100), pod("bare")), Hint::Skip);
}

#[test]
fn the_same_sample_again_changes_nothing() {
    let mut c = cache(vec![n1()], vec![s1("n1")]);
    c.take_memory_news();
    let state = |c: &Cache| c.node("n1").unwrap().memory.as_ref().unwrap().state;
    let before = state(&c);
    c.set_headroom(Arc::new(s1("n1")));
    assert_eq!((state(&c), c.take_memory_news()), (before, (Vec::new(), false)));
}
