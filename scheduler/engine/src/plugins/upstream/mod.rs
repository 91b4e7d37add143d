//! Upstream's tables that are too small for files of their own, and those of what several plugins share.

use std::sync::Arc;

use headroom_core::{
    Mono, Now,
    intent::{IntentId, Op, Outcome, WriteError, Written},
    object::WorkloadKind,
    testing::{PodBuilder, container, node, pod, selector, workload},
};

use super::{
    default_binder::DefaultBinder,
    node_declared_features::{NodeDeclaredFeatures, REASON},
    priority_sort::PrioritySort,
    scheduling_gates::SchedulingGates,
};
use crate::{
    cache::{Cache, NodeInfo},
    framework::{BindCx, Change, Hint, Plugin, PodInfo, PreFilter, QueueItem, Status, Step, View, default_normalize},
};

fn info(p: PodBuilder) -> PodInfo {
    PodInfo::new(p.arc())
}

fn hint<P: Plugin>(plugin: &P, p: PodBuilder, change: Change) -> Hint {
    let cache = Cache::default();
    plugin.hint(&change, &info(p), &View::new(&cache, Now::default()))
}

fn pods(old: PodBuilder, new: PodBuilder) -> Change {
    Change::Pod { old: Some(info(old)), new: Some(info(new)) }
}

/// `TestPreEnqueue` and `Test_isSchedulableAfterPodChange` (`schedulinggates/scheduling_gates_test.go`).
#[test]
fn scheduling_gates() {
    let gated = |name: &str, gates: &[&str]| gates.iter().fold(pod(name), |p, gate| p.gate(gate));
    for (gates, expected) in
        [(&[][..], Status::SUCCESS), (&["foo", "bar"], Status::unresolvable("waiting for scheduling gates: [foo bar]"))]
    {
        assert_eq!(SchedulingGates.pre_enqueue(&info(gated("p", gates))), expected);
    }
    let other = pods(gated("p1", &["foo", "bar"]), gated("p1", &["foo"]));
    assert_eq!(hint(&SchedulingGates, gated("p", &["foo", "bar"]), other), Hint::Skip);
    let itself = pods(gated("p", &["foo"]), gated("p", &[]));
    assert_eq!(hint(&SchedulingGates, gated("p", &["foo"]), itself), Hint::Queue);
}

/// `TestLess` (`queuesort/priority_sort_test.go`): priorities and times of two pods, whether the first is to be tried
/// before the second.
#[test]
fn priority_sort() {
    for ((a, since_a), (b, since_b), expected) in
        [((10, 0), (100, 0), false), ((100, 0), (10, 0), true), ((100, 1), (100, 2), true), ((100, 2), (100, 1), false)]
    {
        let (first, second) = (info(pod("a").priority(a)), info(pod("b").priority(b)));
        let (first, second) =
            (QueueItem { pod: &first, timestamp: Mono(since_a) }, QueueItem { pod: &second, timestamp: Mono(since_b) });
        assert_eq!(PrioritySort.less(&first, &second), expected, "{a} {b}");
    }
}

/// `TestDefaultBinder` (`defaultbinder/default_binder_test.go`).
#[test]
fn default_binder() {
    let cache = Cache::default();
    let p = info(pod("foo").namespace("ns"));
    let call = |result: Option<Result<Written, WriteError>>| {
        let outcome = result.map(|result| Outcome { id: IntentId(1), result });
        let mut cx = BindCx {
            now: Now::default(),
            cache: &cache,
            claims: Vec::new(),
            outcome: outcome.as_ref(),
            ops: Vec::new(),
        };
        let step = DefaultBinder.bind(&mut cx, &p, &"foohost.kubernetes.mydomain.com".into());
        (step, cx.ops)
    };
    let meta = &p.pod.meta;
    let node = "foohost.kubernetes.mydomain.com".into();
    let binding = Op::Bind { pod: meta.key.clone(), uid: meta.uid.clone(), node };
    assert_eq!(call(None), (Step::Wait(None), vec![binding]));
    assert_eq!(call(Some(Ok(Written::default()))), (Step::Done(Status::SUCCESS), vec![]));
    let error = WriteError::Unknown("binding error".to_owned());
    let text = error.to_string();
    assert!(text.contains("binding error"), "{text}");
    assert_eq!(call(Some(Err(error))), (Step::Done(Status::error(text)), vec![]));
}

const A: &str = "RestartAllContainersOnContainerExits";
const B: &str = "UserNamespacesHostNetworkSupport";

/// A pod that needs these features.
fn needing(name: &str, features: &[&str]) -> PodBuilder {
    let (restarts, network) = (features.contains(&A), features.contains(&B));
    pod(name).container(container("c")).spec(|s| {
        s.containers[0].restarts_all = restarts;
        (s.host_network, s.host_users) = (network, Some(!network));
    })
}

/// `TestPreFilter` and `TestFilter` (`nodedeclaredfeatures/nodedeclaredfeatures_test.go`): what the pod needs, what the
/// node declares, whether it suffices; absent when PreFilter skips.
#[test]
fn declared_features() {
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    for (i, (needs, declares, expected)) in [
        (&[][..], &[A, B][..], None),
        (&[A], &[A, B], Some(true)),
        (&[A], &[B], Some(false)),
        (&[A, B], &[A, B, "FeatureC"], Some(true)),
        (&[A], &[], Some(false)),
        (&[A, B], &[A], Some(false)),
    ]
    .into_iter()
    .enumerate()
    {
        let p = info(needing("p", needs));
        let n = NodeInfo::new(declares.iter().fold(node("n"), |n, feature| n.feature(feature)).arc());
        let status = match NodeDeclaredFeatures.pre_filter(&p, &view) {
            PreFilter::Skip => None,
            PreFilter::Continue(needs) => Some(NodeDeclaredFeatures.filter(&needs, &p, &n)),
            other => panic!("{other:?}"),
        };
        let expected = expected.map(|fine| if fine { Status::SUCCESS } else { Status::unresolvable(REASON) });
        assert_eq!(status, expected, "case {i}");
    }
}

/// `TestEnqueueExtensionsNodeUpdate` and `TestEnqueueExtensionsPodUpdate` (the same file).
#[test]
fn declared_features_and_hints() {
    let declaring = |features: &[&str]| features.iter().fold(node("n"), |n, feature| n.feature(feature)).arc();
    for (i, (old, new, expected)) in [
        (None, declaring(&["FeatureA"]), Hint::Queue),
        (Some(declaring(&[])), declaring(&["FeatureA"]), Hint::Queue),
        (Some(declaring(&["FeatureA"])), declaring(&["FeatureA"]), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Node { old, new: Some(new) };
        assert_eq!(hint(&NodeDeclaredFeatures, pod("p"), change), expected, "node {i}");
    }
    for (i, (name, old, new, expected)) in [
        ("p", &[][..], &[A][..], Hint::Queue),
        ("p", &[A], &[], Hint::Queue),
        ("p", &[], &[], Hint::Skip),
        ("other", &[A], &[], Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = pods(needing(name, old), needing(name, new));
        assert_eq!(hint(&NodeDeclaredFeatures, pod("p"), change), expected, "pod {i}");
    }
}

/// `TestDefaultNormalizeScore` (`helper/normalize_score_test.go`): whether the largest is the worst, raw scores,
/// scores.
#[test]
fn normalized_scores() {
    for (reverse, raw, expected) in [
        (false, [1, 2, 3, 4], [25, 50, 75, 100]),
        (true, [1, 2, 3, 4], [75, 50, 25, 0]),
        (false, [1000, 10, 20, 30], [100, 1, 2, 3]),
        (true, [1000, 10, 20, 30], [0, 99, 98, 97]),
        (false, [1, 1, 1, 1], [100, 100, 100, 100]),
        (false, [1000, 1, 1, 1], [100, 0, 0, 0]),
        (true, [0, 1, 1, 1], [100, 0, 0, 0]),
        (false, [0, 0, 0, 0], [0, 0, 0, 0]),
        (true, [0, 0, 0, 0], [100, 100, 100, 100]),
    ] {
        let max = raw.iter().copied().max().unwrap();
        assert_eq!(raw.map(|one| default_normalize(one, max, reverse)), expected, "{raw:?} {reverse}");
    }
}

/// `TestGetPodServices` and `TestDefaultSelector` (`helper/spread_test.go`): the selector of pods that belong together.
#[test]
fn pods_that_belong_together() {
    let mut cache = Cache::default();
    for i in 0..3 {
        let service = workload(WorkloadKind::Service, &format!("service-{i}"), &format!("app=test-{i}"));
        cache.workloads_mut().set(Arc::new(service));
    }
    for i in 0..5 {
        let p = info(pod("p").label("app", &format!("test-{i}")).label("label", &format!("label-{i}")));
        let expected = (i < 3).then(|| selector(&format!("app=test-{i}")));
        assert_eq!(cache.workloads().selector_of(&p).map(|s| (*s).clone()), expected, "{i}");
    }

    let mut cache = Cache::default();
    let of = |cache: &Cache, owner: Option<&str>| {
        let p = pod("test-pod").label("pod", "p");
        let p = owner.map_or(p.clone(), |kind| p.owner(kind, "owner", "uid-owner"));
        cache.workloads().selector_of(&info(p)).map(|s| (*s).clone())
    };
    assert_eq!(of(&cache, None), None);
    cache.workloads_mut().set(Arc::new(workload(WorkloadKind::Service, "test-service", "pod=p")));
    assert_eq!(of(&cache, None), Some(selector("pod=p")));
    for (kind, name) in [
        (WorkloadKind::ReplicaSet, "ReplicaSet"),
        (WorkloadKind::ReplicationController, "ReplicationController"),
        (WorkloadKind::StatefulSet, "StatefulSet"),
    ] {
        cache.workloads_mut().set(Arc::new(workload(kind, "owner", &format!("theirs={name}"))));
        assert_eq!(of(&cache, Some(name)), Some(selector(&format!("pod=p,theirs={name}"))), "{name}");
    }
}
