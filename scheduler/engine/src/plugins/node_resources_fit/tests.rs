use headroom_core::{
    Now,
    testing::{PodBuilder, container, node, pod},
};

use super::*;
use crate::{cache::Cache, cycle::Nominated};

mod filter;
mod hints;
mod score;

fn plugin(json: &str) -> NodeResourcesFit {
    NodeResourcesFit::from_args(Some(&serde_json::from_str(json).unwrap())).unwrap()
}

fn with_gpu(name: &str, gpus: i64) -> PodInfo {
    let p = pod(name).container(container("c")).spec(|s| {
        s.containers[0].requests.scalars = Box::new([("example.com/gpu".into(), gpus)]);
    });
    PodInfo::new(p.arc())
}

#[test]
fn all_reasons_together() {
    let fit = plugin("{}");
    let mut n = NodeInfo::new(node("n").capacity("2", "2Gi", 1).arc());
    n.add(PodInfo::new(pod("a").requests("1500m", "1Gi").arc()));
    let p = PodInfo::new(pod("p").requests("1", "1536Mi").arc());
    let status = fit.filter(&(), &p, &n);
    assert_eq!(status.reasons(), ["Too many pods", "Insufficient cpu", "Insufficient memory"]);
    assert_eq!(status.code(), Code::Unschedulable);
    let huge = PodInfo::new(pod("p").requests("3", "1").arc());
    assert_eq!(fit.filter(&(), &huge, &n).code(), Code::UnschedulableAndUnresolvable);
}

#[test]
fn a_pod_that_asks_for_nothing_only_needs_a_place() {
    let fit = plugin("{}");
    let mut n = NodeInfo::new(node("n").capacity("1", "1Gi", 2).arc());
    n.add(PodInfo::new(pod("a").requests("2", "2Gi").arc()));
    let p = PodInfo::new(pod("p").arc());
    assert!(fit.filter(&(), &p, &n).is_success());
    n.add(PodInfo::new(pod("b").arc()));
    assert_eq!(fit.filter(&(), &p, &n).reasons(), ["Too many pods"]);
}

#[test]
fn extended_resources_and_ignoring_them() {
    let n = NodeInfo::new(node("n").extended("example.com/gpu", 1).arc());
    assert!(plugin("{}").filter(&(), &with_gpu("p", 1), &n).is_success());
    assert_eq!(plugin("{}").filter(&(), &with_gpu("p", 2), &n).reasons(), ["Insufficient example.com/gpu"]);
    for ignoring in [r#"{"ignoredResources":["example.com/gpu"]}"#, r#"{"ignoredResourceGroups":["example.com"]}"#] {
        assert!(plugin(ignoring).filter(&(), &with_gpu("p", 2), &n).is_success());
    }
}

#[test]
fn strategies() {
    let mut n = NodeInfo::new(node("n").capacity("4", "4Gi", 110).arc());
    n.add(PodInfo::new(pod("a").requests("1", "2Gi").arc()));
    let p = PodInfo::new(pod("p").requests("1", "1Gi").arc());
    let score = |json: &str| {
        let fit = plugin(json);
        let wanted = fit.scorer.requests(&p.spec);
        fit.score(&wanted, &p, &n).unwrap()
    };
    // CPU 2 of 4, memory 3 of 4.
    assert_eq!(score("{}"), (50 + 25) / 2);
    assert_eq!(score(r#"{"scoringStrategy":{"type":"MostAllocated"}}"#), (50 + 75) / 2);
    let weighted =
        r#"{"scoringStrategy":{"type":"MostAllocated","resources":[{"name":"memory","weight":3},{"name":"cpu"}]}}"#;
    assert_eq!(score(weighted), (75 * 3 + 50) / 4);
    let ratio = r#"{"scoringStrategy":{"type":"RequestedToCapacityRatio","requestedToCapacityRatio":{"shape":[
        {"utilization":0,"score":0},{"utilization":100,"score":10}]}}}"#;
    assert_eq!(score(ratio), 63, "62.5 rounds to nearest");
    let down = r#"{"scoringStrategy":{"type":"RequestedToCapacityRatio","requestedToCapacityRatio":{"shape":[
        {"utilization":60,"score":10},{"utilization":70,"score":0}]}}}"#;
    assert_eq!(score(down), 100, "memory's zero does not count");
}

#[test]
fn arguments_are_validated() {
    for (json, expected) in [
        (
            r#"{"ignoredResourceGroups":["a/b"]}"#,
            "ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ),
        (
            r#"{"scoringStrategy":{"resources":[{"name":"cpu","weight":101}]}}"#,
            "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
        ),
        (
            r#"{"scoringStrategy":{"type":"RequestedToCapacityRatio"}}"#,
            "scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",
        ),
        (
            r#"{"scoringStrategy":{"type":"Best"}}"#,
            "scoringStrategy.type: unknown variant `Best`, expected one of `LeastAllocated`, `MostAllocated`, `RequestedToCapacityRatio`",
        ),
    ] {
        let value = serde_json::from_str(json).unwrap();
        assert_eq!(NodeResourcesFit::from_args(Some(&value)).unwrap_err().to_string(), expected);
    }
}

#[test]
fn hints() {
    let fit = plugin("{}");
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let p = PodInfo::new(pod("p").requests("2", "1Gi").arc());
    let hint = |change: Change| fit.hint(&change, &p, &view);
    let (small, big, bigger) = (
        node("n").capacity("1", "4Gi", 110).arc(),
        node("n").capacity("2", "4Gi", 110).arc(),
        node("n").capacity("2", "8Gi", 110).arc(),
    );
    let change = |old: Option<&std::sync::Arc<Node>>, new: &std::sync::Arc<Node>| Change::Node {
        old: old.cloned(),
        new: Some(new.clone()),
    };
    assert_eq!(hint(change(None, &small)), Hint::Skip);
    assert_eq!(hint(change(None, &big)), Hint::Queue);
    assert_eq!(hint(change(Some(&small), &big)), Hint::Queue);
    assert_eq!(hint(change(Some(&big), &bigger)), Hint::Queue, "memory grew, and the pod wants memory");
    assert_eq!(hint(change(Some(&bigger), &big)), Hint::Skip);
    let gone = PodInfo::new(pod("g").on("n").arc());
    assert_eq!(hint(Change::Pod { old: Some(gone), new: None }), Hint::Queue);
}

#[test]
fn a_place_that_is_still_too_small_and_could_have_been_preempted_wakes_nobody() {
    let fit = plugin("{}");
    let cached = |p: PodBuilder| PodInfo::new(p.on("n").arc());
    let one = |name: &str, priority| cached(pod(name).requests("1", "0").priority(priority));
    let mut cache = Cache::default();
    cache.set_node(node("n").capacity("3", "4Gi", 110).arc());
    cache.set_pod(one("left", 0), &"n".into());
    let p = PodInfo::new(pod("p").requests("3", "0").priority(5).arc());
    let ask = |cache: &Cache, nominated: &Nominated, gone: PodInfo| {
        let view = View { nominated: Some(nominated), ..View::new(cache, Now::default()) };
        fit.hint(&Change::Pod { old: Some(gone), new: None }, &p, &view)
    };
    let mut nominated = Nominated::default();
    assert_eq!(ask(&cache, &nominated, one("gone", 0)), Hint::Skip);
    assert_eq!(ask(&cache, &nominated, one("gone", 5)), Hint::Queue, "it was in the way of preemption");
    assert_eq!(ask(&cache, &nominated, PodInfo::new(pod("x").on("other").arc())), Hint::Queue, "an unknown node");
    nominated.set(&p, Some(&"n".into()));
    assert_eq!(ask(&cache, &nominated, one("gone", 0)), Hint::Queue, "its place may have been taken");
    cache.remove_pod("uid-left");
    assert_eq!(ask(&cache, &Nominated::default(), one("gone", 0)), Hint::Queue, "there is room");
    let mut kept = Nominated::default();
    kept.set(&PodInfo::new(pod("first").requests("1", "0").priority(5).arc()), Some(&"n".into()));
    assert_eq!(ask(&cache, &kept, one("gone", 0)), Hint::Skip, "the room is kept for another pod");
    kept.set(&PodInfo::new(pod("first").requests("1", "0").priority(4).arc()), Some(&"n".into()));
    assert_eq!(ask(&cache, &kept, one("gone", 0)), Hint::Queue, "for one that does not come before");
}
