//! Upstream's `TestNodeAffinityPriority`.

use serde_json::{Value, json};

use super::*;
use crate::{framework::Code, plugins::between_pods::labelled};

/// Normalised scores of nodes with these labels; absent when PreScore skips.
fn scores(args: &Value, p: &PodInfo, nodes: &[&str]) -> Option<Vec<i64>> {
    let plugin = NodeAffinity::from_args(Some(args)).unwrap();
    let cache = Cache::default();
    let terms = match plugin.pre_score(p, &[], &View::new(&cache, Now::default())) {
        PreScore::Skip => return None,
        PreScore::Continue(terms) => terms,
        PreScore::Fail(status) => panic!("{status}"),
    };
    let raw = nodes.iter().map(|l| plugin.score(&terms, p, &NodeInfo::new(labelled("n", l).arc())).unwrap());
    let raw: Vec<i64> = raw.collect();
    let mut max = 0;
    for r in &raw {
        plugin.bound(&mut max, r);
    }
    Some(raw.iter().map(|r| plugin.normalize(r, &max)).collect())
}

fn prefers(terms: &[(i32, &str)]) -> PodInfo {
    with(pod("p"), None, terms.iter().map(|(weight, text)| (*weight, by(text))).collect())
}

/// `addedAffinity` with one preferred term, on one value of a label.
fn adding(weight: i32, key: &str, value: &str) -> Value {
    let preference = json!({"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]});
    let preferred = json!([{"weight": weight, "preference": preference}]);
    json!({"addedAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
}

#[test]
fn weights() {
    const L1: &str = "foo=bar";
    const L2: &str = "key=value";
    const L3: &str = "az=az1";
    const L4: &str = "abc=az11,def=az22";
    const L5: &str = "foo=bar,key=value,az=az1";
    let one: &[(i32, &str)] = &[(2, L1)];
    let three: &[(i32, &str)] = &[(2, L1), (4, L2), (5, L5)];
    let none = json!({});
    for (i, (args, p, nodes, expected)) in [
        (none.clone(), prefers(&[]), vec![L1, L2, L3], None),
        (none.clone(), prefers(one), vec![L4, L2, L3], Some(vec![0, 0, 0])),
        (none.clone(), prefers(one), vec![L1, L2, L3], Some(vec![100, 0, 0])),
        (none, prefers(three), vec![L1, L5, L2], Some(vec![18, 100, 36])),
        (adding(2, "foo", "bar"), prefers(&[]), vec![L1, L2], Some(vec![100, 0])),
        (adding(3, "key", "value"), prefers(one), vec![L1, L2, L5], Some(vec![40, 60, 100])),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(scores(&args, &p, &nodes), expected, "case {i}");
    }
}

/// The first is upstream's; the API server lets those through that begin with "passes".
#[test]
fn terms_that_cannot_be_read() {
    let plugin = NodeAffinity::from_args(None).unwrap();
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let fine = || req("zone", Operator::In, &["a", ""]);
    let long = "a".repeat(64);
    for (what, r, field) in [
        ("key", req("invalid key", Operator::In, &["bar"]), "key"),
        ("unknown operator", req("foo", Operator::Unknown, &["bar"]), "operator"),
        ("no value", req("foo", Operator::NotIn, &[]), "values"),
        ("a value too many", req("foo", Operator::Exists, &["bar"]), "values"),
        ("passes: no integer", req("foo", Operator::Gt, &["four"]), "values"),
        ("passes: an integer but no label", req("foo", Operator::Lt, &["-4"]), "values[0]"),
        ("passes: spaces", req("foo", Operator::In, &["bar", "b a r"]), "values[1]"),
        ("passes: too long", req("foo", Operator::NotIn, &[&long]), "values[0]"),
    ] {
        let broken = NodeSelectorTerm { match_expressions: Box::new([fine(), r]), ..NodeSelectorTerm::default() };
        let p = with(pod("p"), None, vec![(1, by("x")), (2, broken.clone())]);
        let PreScore::Fail(status) = plugin.pre_score(&p, &[], &view) else { panic!("{what}") };
        assert_eq!(status.code(), Code::Error);
        let start = format!("[1].matchExpressions[1].{field}: ");
        assert!(status.message().starts_with(&start), "{what}: {status}");
        // A term without weight is not read.
        let p = with(pod("p"), None, vec![(1, by("x")), (0, broken)]);
        assert_eq!(
            plugin.pre_score(&p, &[], &view),
            PreScore::Continue(vec![PreferredSchedulingTerm { weight: 1, preference: by("x") }])
        );
    }
}
