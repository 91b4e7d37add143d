use headroom_core::{
    Now,
    object::Affinity,
    selector::{NodeSelectorTerm, Requirement},
    testing::{PodBuilder, node, pod, selector},
};

use super::*;
use crate::cache::Cache;

mod filter;
mod hints;
mod score;

fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator, values: values.iter().map(|v| Str::from(*v)).collect() }
}

fn by_label(r: Requirement) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Box::new([r]), match_fields: Box::new([]) }
}

/// A term on labels, written as a selector is.
fn by(text: &str) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: selector(text).requirements, match_fields: Box::new([]) }
}

fn by_name(names: &[&str]) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: Box::new([]),
        match_fields: Box::new([req("metadata.name", Operator::In, names)]),
    }
}

fn with(p: PodBuilder, required: Option<Vec<NodeSelectorTerm>>, preferred: Vec<(i32, NodeSelectorTerm)>) -> PodInfo {
    PodInfo::new(
        p.spec(|s| {
            s.affinity = Some(Box::new(Affinity {
                node: Some(object::NodeAffinity {
                    required: required.map(|terms| NodeSelector { terms: terms.into() }),
                    preferred: preferred
                        .into_iter()
                        .map(|(weight, preference)| PreferredSchedulingTerm { weight, preference })
                        .collect(),
                }),
                ..Affinity::default()
            }));
        })
        .arc(),
    )
}

fn pre_filter(plugin: &NodeAffinity, p: &PodInfo) -> PreFilter<()> {
    let cache = Cache::default();
    plugin.pre_filter(p, &View::new(&cache, Now::default()))
}

#[test]
fn selector_and_terms() {
    let plugin = NodeAffinity::from_args(None).unwrap();
    let n = NodeInfo::new(node("n").label("zone", "a").arc());
    let zone = |v: &str| by_label(req("zone", Operator::In, &[v]));
    for (p, ok) in [
        (PodInfo::new(pod("p").node_selector("zone", "a").arc()), true),
        (PodInfo::new(pod("p").node_selector("zone", "b").arc()), false),
        (with(pod("p"), Some(vec![zone("b"), zone("a")]), vec![]), true),
        (with(pod("p").node_selector("zone", "b"), Some(vec![zone("a")]), vec![]), false),
        (with(pod("p"), Some(vec![]), vec![]), false),
        (with(pod("p"), Some(vec![NodeSelectorTerm::default()]), vec![]), false),
    ] {
        let status = plugin.filter(&(), &p, &n);
        assert_eq!(status.is_success(), ok, "{:?}", p.pod.spec.affinity);
        assert!(ok || status == Status::unresolvable(REASON));
    }
}

#[test]
fn narrows_to_named_nodes() {
    let plugin = NodeAffinity::from_args(None).unwrap();
    assert_eq!(pre_filter(&plugin, &PodInfo::new(pod("p").arc())), PreFilter::Skip);
    let named = with(pod("p"), Some(vec![by_name(&["a"]), by_name(&["b", "a"])]), vec![]);
    let PreFilter::Narrow((), names) = pre_filter(&plugin, &named) else { panic!() };
    assert_eq!(names, ["a", "b", "a"].map(Str::from));
    let mixed = with(pod("p"), Some(vec![by_name(&["a"]), by_label(req("x", Operator::Exists, &[]))]), vec![]);
    assert_eq!(pre_filter(&plugin, &mixed), PreFilter::Continue(()));
    let mut conflict = by_name(&["a"]);
    conflict.match_fields =
        Box::new([req("metadata.name", Operator::In, &["a"]), req("metadata.name", Operator::In, &["b"])]);
    let p = with(pod("p"), Some(vec![conflict]), vec![]);
    assert_eq!(pre_filter(&plugin, &p), PreFilter::Reject(Status::unresolvable(REASON_CONFLICT)));
}

#[test]
fn scores_preferences_and_added_ones() {
    let args = r#"{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"NodeAffinityArgs","addedAffinity":{
        "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"pool","operator":"Exists"}]}]},
        "preferredDuringSchedulingIgnoredDuringExecution":[{"weight":5,"preference":{"matchExpressions":[{"key":"fast","operator":"Exists"}]}}]}}"#;
    let plugin = NodeAffinity::from_args(Some(&serde_json::from_str(args).unwrap())).unwrap();
    let p =
        with(pod("p"), None, vec![(10, by_label(req("zone", Operator::In, &["a"]))), (3, NodeSelectorTerm::default())]);
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let PreScore::Continue(terms) = plugin.pre_score(&p, &[], &view) else { panic!() };
    let n = NodeInfo::new(node("n").label("zone", "a").label("fast", "").label("pool", "x").arc());
    assert_eq!(plugin.score(&terms, &p, &n), Ok(15));
    assert!(plugin.filter(&(), &p, &n).is_success());
    let outside = NodeInfo::new(node("m").arc());
    assert_eq!(plugin.filter(&(), &p, &outside), Status::unresolvable(REASON_ENFORCED));
    assert_eq!([0, 5, 15].map(|raw| plugin.normalize(&raw, &15)), [0, 33, 100]);
}

#[test]
fn bad_arguments_are_named() {
    for (args, expected) in [
        (
            r#"{"addedAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"NotIn","values":["b","c d"]}]}]}}}"#,
            "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[1]: must be the value of a label",
        ),
        (
            r#"{"addedAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Is"}]}]}}}"#,
            "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: \"Is\" is not allowed: must be In, NotIn, Exists, DoesNotExist, Gt or Lt",
        ),
        (
            r#"{"addedAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,"preference":{}}]}}"#,
            "addedAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: 0 is not allowed: must be between 1 and 100",
        ),
        (r#"{"added":{}}"#, "unknown field `added`, expected `addedAffinity`"),
    ] {
        let error = NodeAffinity::from_args(Some(&serde_json::from_str(args).unwrap())).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}
