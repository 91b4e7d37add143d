use headroom_core::{
    Now,
    testing::{container, node, pod},
};

use super::*;
use crate::cache::Cache;

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

/// A pod with these requests, CPU in cores; nothing given means no container at all.
fn asking(name: &str, containers: &[(&str, &str)]) -> PodInfo {
    let all = containers.iter().map(|(cpu, memory)| container("c").requests(cpu, memory).build()).collect();
    let mut p = pod(name).build();
    std::sync::Arc::make_mut(&mut p.spec).containers = all;
    PodInfo::new(p.into())
}

/// Upstream's `TestLeastAllocatedScoringStrategy` and `TestMostAllocatedScoringStrategy`: capacity of the node, requests
/// of the pod's containers and of pods on the node, scores by each. Amounts of memory are bytes.
#[test]
fn upstreams_tables_of_strategies() {
    const EQUAL: &str = r#"[{"name":"cpu"},{"name":"memory"}]"#;
    const TWICE: &str = r#"[{"name":"memory","weight":2},{"name":"cpu","weight":1}]"#;
    const TWO: &[(&str, &str)] = &[("1000", "2000"), ("2000", "3000")];
    const OTHERS: [&[(&str, &str)]; 3] =
        [&[("3000", "0"), ("3000", "0")], &[("3000", "0"), ("3000", "5000")], &[("3000", "5000")]];
    let one = &OTHERS[0][..1];
    type Row<'a> =
        (&'a str, (&'a str, &'a str), &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], Option<i64>, Option<i64>);
    let rows: [Row<'_>; 18] = [
        (EQUAL, ("4000", "10000"), &[], &[], Some(100), Some(0)),
        (EQUAL, ("4000", "10000"), TWO, &[], Some(37), Some(62)),
        (EQUAL, ("6000", "10000"), TWO, &[], Some(50), Some(50)),
        (EQUAL, ("10000", "20000"), &[], OTHERS[0], Some(70), Some(30)),
        (EQUAL, ("10000", "20000"), &[], OTHERS[1], Some(57), Some(42)),
        (EQUAL, ("10000", "20000"), TWO, one, Some(57), Some(42)),
        (EQUAL, ("10000", "20000"), TWO, OTHERS[2], Some(45), Some(55)),
        (EQUAL, ("10000", "50000"), TWO, OTHERS[2], Some(60), None),
        (EQUAL, ("4000", "10000"), one, one, Some(50), None),
        (EQUAL, ("4000", "10000"), one, OTHERS[2], Some(25), None),
        (EQUAL, ("0", "0"), &[], one, Some(0), None),
        (EQUAL, ("0", "0"), &[], OTHERS[2], Some(0), None),
        (TWICE, ("4000", "10000"), TWO, &[], Some(41), Some(58)),
        (TWICE, ("6000", "10000"), TWO, &[], Some(50), Some(50)),
        (EQUAL, ("5000", "10000"), &[("2000", "4000"), ("3000", "5000")], &[], None, Some(95)),
        (EQUAL, ("10000", "9000"), &[("2000", "4000"), ("3000", "5000")], &[], None, Some(75)),
        // Containers that ask for nothing count something.
        (EQUAL, ("250m", "1000Mi"), &[("", "")], &[("", ""), ("", "")], None, Some(80)),
        (EQUAL, ("250m", "1000Mi"), &[("", "")], &[], None, Some(30)),
    ];
    for (resources, (cpu, memory), wanted, there, least, most) in rows {
        let mut n = NodeInfo::new(node("n").capacity(cpu, memory, 110).arc());
        for (i, one) in there.iter().enumerate() {
            n.add(asking(&format!("on-{i}"), &[*one]));
        }
        let p = asking("p", wanted);
        for (strategy, expected) in [("LeastAllocated", least), ("MostAllocated", most)] {
            let json = format!(r#"{{"scoringStrategy":{{"type":"{strategy}","resources":{resources}}}}}"#);
            let fit = plugin(&json);
            let score = fit.score(&fit.scorer.requests(&p.spec), &p, &n).unwrap();
            assert!(expected.is_none_or(|e| e == score), "{strategy} {cpu} {memory} {wanted:?} {there:?}: {score}");
        }
    }
}
