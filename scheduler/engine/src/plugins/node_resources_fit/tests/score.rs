//! Upstream's tables of scores (`least_allocated_test.go`, `most_allocated_test.go`,
//! `requested_to_capacity_ratio_test.go`, `resource_allocation_test.go` and `TestFitScore`), without the cases about
//! devices of resource claims.

use headroom_core::{
    requests::{DEFAULT_MEMORY, DEFAULT_MILLI_CPU},
    testing::PodBuilder,
};
use serde_json::{Value, json};

use super::*;

/// A pod with these requests, CPU in cores; nothing given means no container at all.
fn asking(name: &str, containers: &[(&str, &str)]) -> PodInfo {
    let all = containers.iter().map(|(cpu, memory)| container("c").requests(cpu, memory).build()).collect();
    let mut p = pod(name).build();
    std::sync::Arc::make_mut(&mut p.spec).containers = all;
    PodInfo::new(p.into())
}

/// `TestLeastAllocatedScoringStrategy` and `TestMostAllocatedScoringStrategy`: capacity of the node, requests
/// of the pod's containers and of pods on the node, scores by each. Amounts of memory are bytes.
#[test]
fn least_and_most_allocated() {
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

/// A pod without any container.
fn bare(p: PodBuilder) -> PodInfo {
    let mut p = p.build();
    std::sync::Arc::make_mut(&mut p.spec).containers = Box::default();
    PodInfo::new(p.into())
}

fn score_on(args: &Value, p: &PodInfo, capacity: &str, there: &[PodInfo]) -> i64 {
    let fit = NodeResourcesFit::from_args(Some(args)).unwrap();
    let mut n = NodeInfo::new(node("n").has(capacity).arc());
    for one in there {
        n.add(one.clone());
    }
    fit.score(&fit.scorer.requests(&p.spec), p, &n).unwrap()
}

fn strategy(kind: &str, resources: &Value) -> Value {
    json!({"scoringStrategy": {"type": kind, "resources": resources}})
}

/// Capacity, requests of the containers, scores by each strategy: the cases of both tables with an extended resource.
#[test]
fn extended_resources_count_when_the_pod_asks_for_them() {
    let last = json!([{"name": "cpu"}, {"name": "memory"}, {"name": "abc.com/xyz"}]);
    let first = json!([{"name": "abc.com/xyz", "weight": 2}, {"name": "cpu"}, {"name": "memory"}]);
    let two: &[&str] = &["cpu=1000,memory=2000", "cpu=2000,memory=3000"];
    let with: &[&str] = &["cpu=3000,memory=5000,abc.com/xyz=2"];
    let without: &[&str] = &["cpu=3000,memory=4000"];
    for (i, (resources, capacity, asks, least, most)) in [
        (&last, "cpu=6000,memory=10000", two, 50, 50),
        (&last, "cpu=6000,memory=10000,abc.com/xyz=4", two, 50, 50),
        (&last, "cpu=6000,memory=10000,abc.com/xyz=4", with, 50, 50),
        (&last, "cpu=6000,memory=10000,abc.com/xyz=10", with, 60, 40),
        (&first, "cpu=6000,memory=10000", without, 55, 45),
        (&first, "cpu=6000,memory=10000,abc.com/xyz=4", without, 55, 45),
    ]
    .into_iter()
    .enumerate()
    {
        let p = PodInfo::new(pod("p").asks(asks).arc());
        assert_eq!(score_on(&strategy("LeastAllocated", resources), &p, capacity, &[]), least, "case {i}");
        assert_eq!(score_on(&strategy("MostAllocated", resources), &p, capacity, &[]), most, "case {i}");
    }
}

/// What both tables refuse. Upstream's also refuse a weight of 0 and score nothing without resources, but no
/// configuration file gets there: its defaults are 1, and CPU with memory.
#[test]
fn weights_of_resources() {
    for (resources, expected) in [
        (json!([{"name": "memory", "weight": -1}, {"name": "cpu", "weight": 1}]), Err(0)),
        (json!([{"name": "memory", "weight": 1}, {"name": "cpu", "weight": 101}]), Err(1)),
        (json!([{"name": "memory", "weight": 101}]), Err(0)),
        (json!([{"name": "memory", "weight": 1}, {"name": "cpu", "weight": 0}]), Ok(62)),
        (json!([]), Ok(62)),
    ] {
        let args = strategy("MostAllocated", &resources);
        match expected {
            Err(at) => {
                let error = NodeResourcesFit::from_args(Some(&args)).unwrap_err();
                assert_eq!(error.path, format!("scoringStrategy.resources[{at}].weight"));
            }
            Ok(score) => {
                let p = PodInfo::new(pod("p").asks(&["cpu=3000,memory=5000"]).arc());
                assert_eq!(score_on(&args, &p, "cpu=4000,memory=10000", &[]), score);
            }
        }
    }
}

fn ratio(resources: &Value, shape: &[(i64, i64)]) -> Value {
    let shape: Vec<Value> = shape.iter().map(|(u, s)| json!({"utilization": u, "score": s})).collect();
    json!({"scoringStrategy": {
        "type": "RequestedToCapacityRatio",
        "resources": resources,
        "requestedToCapacityRatio": {"shape": shape},
    }})
}

/// `TestRequestedToCapacityRatioScoringStrategy` and `TestFitScore`: arguments, capacity, requests of the pod's
/// containers, pods on the node, score.
#[test]
fn of_whole_pods() {
    let equal = json!([{"name": "cpu"}, {"name": "memory"}]);
    let (least, most) = (strategy("LeastAllocated", &equal), strategy("MostAllocated", &equal));
    let (down, up) = (ratio(&equal, &[(0, 10), (100, 0)]), ratio(&equal, &[(0, 0), (100, 10)]));
    let (small, large) = ("cpu=4000,memory=10000", "cpu=6000,memory=10000");
    let p = |asks: &[&str]| if asks.is_empty() { bare(pod("p")) } else { PodInfo::new(pod("p").asks(asks).arc()) };
    let two: &[&str] = &["cpu=1000,memory=2000", "cpu=2000,memory=3000"];
    let (some, more, most_of_it) = ("cpu=1000,memory=2000", "cpu=2000,memory=4000", "cpu=3000,memory=5000");
    let sidecar = || pod("s").asks(&[some]).init(container("s").asks(some).restartable());
    for (i, (args, capacity, asks, there, expected)) in [
        (&down, small, p(&[]), vec![p(&[]), p(&[])], 100),
        (&down, small, p(&[]), vec![], 100),
        (&down, small, p(two), vec![p(&[]), p(&[])], 38),
        (&down, large, p(two), vec![], 50),
        (&down, small, p(&[]), vec![p(&[most_of_it])], 38),
        (&down, large, p(&[]), vec![p(&[most_of_it])], 50),
        (&down, small, p(&[most_of_it]), vec![p(&[more])], 10),
        (&down, large, p(&[most_of_it]), vec![p(&[some])], 32),
        (&up, small, p(&[most_of_it]), vec![p(&[more])], 95),
        (&up, large, p(&[most_of_it]), vec![p(&[some])], 68),
        (&most, small, p(&[some]), vec![p(&[more])], 67),
        (&most, large, p(&[some]), vec![p(&[some])], 36),
        (&least, small, p(&[some]), vec![p(&[more])], 32),
        (&least, large, p(&[some]), vec![p(&[some])], 63),
        (&most, small, p(&[some]), vec![PodInfo::new(sidecar().arc())], 67),
        (&most, small, p(&[some]), vec![p(&[some])], 45),
        (&least, small, p(&[some]), vec![PodInfo::new(sidecar().arc())], 32),
        (&least, small, p(&[some]), vec![p(&[some])], 55),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(score_on(args, &asks, capacity, &there), expected, "case {i}");
    }
}

/// `TestBrokenLinearFunction`: shape, then utilization and score. Scores are scaled by 10 before they are interpolated.
#[test]
fn shapes_are_interpolated() {
    type Row<'a> = (&'a [(i64, i64)], &'a [(i64, i64)]);
    let rows: [Row<'_>; 3] = [
        (
            &[(10, 1), (90, 9)],
            &[(0, 1), (9, 1), (10, 1), (15, 1), (19, 1), (20, 2), (89, 8), (90, 9), (99, 9), (100, 9), (110, 9)],
        ),
        (&[(0, 2), (40, 10), (100, 0)], &[(0, 2), (20, 6), (30, 8), (40, 10), (70, 5), (100, 0), (110, 0)]),
        (&[(0, 2), (40, 2), (100, 2)], &[(0, 2), (20, 2), (30, 2), (40, 2), (70, 2), (100, 2), (110, 2)]),
    ];
    for (shape, points) in rows {
        let args = ratio(&json!([{"name": "cpu"}]), shape);
        for (utilization, expected) in points {
            let p = PodInfo::new(pod("p").asks(&[&format!("cpu={utilization}m")]).arc());
            assert_eq!(score_on(&args, &p, "cpu=100m", &[]) / 10, *expected, "{shape:?} at {utilization}");
        }
    }
}

/// `TestResourceBinPackingSingleExtended` and `TestResourceBinPackingMultipleExtended`: requests of the pod, of those on
/// the second node, scores of both nodes.
#[test]
fn bin_packing() {
    let shape = [(0, 0), (100, 1)];
    let foo = ratio(&json!([{"name": "intel.com/foo", "weight": 1}]), &shape);
    let both = ratio(&json!([{"name": "intel.com/foo", "weight": 3}, {"name": "intel.com/bar", "weight": 5}]), &shape);
    let (f2, f4) = ("intel.com/foo=2", "intel.com/foo=4");
    let (f2b2, f4b2) = ("intel.com/foo=2,intel.com/bar=2", "intel.com/foo=4,intel.com/bar=2");
    for (i, (args, asks, there, expected)) in [
        (&foo, "", "", (0, 0)),
        (&foo, f2, "", (2, 5)),
        (&foo, f2, f2, (2, 10)),
        (&foo, f4, "", (5, 10)),
        (&both, "", "", (0, 0)),
        (&both, f2b2, "", (4, 3)),
        (&both, f2b2, f4b2, (4, 7)),
        (&both, f4b2, "", (5, 5)),
    ]
    .into_iter()
    .enumerate()
    {
        let of = |text: &str| PodInfo::new(pod("p").asks(&[text]).arc());
        let first = "cpu=4,memory=10000Mi,intel.com/foo=8,intel.com/bar=4";
        let second = "cpu=4,memory=10000Mi,intel.com/foo=4,intel.com/bar=8";
        let got = (score_on(args, &of(asks), first, &[]), score_on(args, &of(asks), second, &[of(there)]));
        assert_eq!(got, expected, "case {i}");
    }
}

/// `TestResourceAllocationScorerCalculateRequests`: containers without requests count something.
#[test]
fn requests_that_are_scored() {
    const MI: i64 = 1 << 20;
    let fit = plugin("{}");
    let p = |asks: &[&str]| PodInfo::new(pod("p").asks(asks).arc());
    let init = |p: PodBuilder, asks: &[&str]| asks.iter().fold(p, |p, text| p.init(container("i").asks(text)));
    let one = "cpu=1,memory=1Mi";
    for (i, (p, cpu, memory)) in [
        (bare(pod("p").overhead("1", "1Mi")), 1000, MI),
        (p(&[""]), DEFAULT_MILLI_CPU, DEFAULT_MEMORY),
        (p(&["", ""]), 2 * DEFAULT_MILLI_CPU, 2 * DEFAULT_MEMORY),
        (p(&[one, ""]), 1000 + DEFAULT_MILLI_CPU, MI + DEFAULT_MEMORY),
        (
            PodInfo::new(pod("p").asks(&[one, ""]).overhead("1", "1Mi").arc()),
            2000 + DEFAULT_MILLI_CPU,
            2 * MI + DEFAULT_MEMORY,
        ),
        (
            PodInfo::new(init(pod("p").asks(&[one, ""]).overhead("1", "1Mi"), &["cpu=3"]).arc()),
            4000,
            2 * MI + DEFAULT_MEMORY,
        ),
        (
            PodInfo::new(init(pod("p").asks(&["cpu=3m,memory=3"]), &["", "cpu=1m,memory=1"]).arc()),
            DEFAULT_MILLI_CPU,
            DEFAULT_MEMORY,
        ),
        (
            PodInfo::new(init(pod("p").asks(&["cpu=3m,memory=3", ""]), &["", "cpu=1m,memory=1"]).arc()),
            3 + DEFAULT_MILLI_CPU,
            3 + DEFAULT_MEMORY,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(fit.scorer.requests(&p.spec), [cpu, memory], "case {i}");
    }
}
