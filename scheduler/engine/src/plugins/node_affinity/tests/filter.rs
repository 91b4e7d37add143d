//! Upstream's `TestNodeAffinity`.

use serde_json::json;

use super::*;
use crate::plugins::between_pods::labelled;

fn go() -> PreFilter<()> {
    PreFilter::Continue(())
}

fn only(names: &[&str]) -> PreFilter<()> {
    PreFilter::Narrow((), names.iter().map(|n| Str::from(*n)).collect())
}

fn selects(pairs: &[(&str, &str)]) -> PodInfo {
    PodInfo::new(pairs.iter().fold(pod("p"), |p, (key, value)| p.node_selector(key, value)).arc())
}

fn needs(terms: &[NodeSelectorTerm]) -> PodInfo {
    with(pod("p"), Some(terms.to_vec()), vec![])
}

/// Names of nodes that must all be the node's own.
fn all_of(names: &[&str]) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_fields: names.iter().map(|n| req("metadata.name", Operator::In, &[*n])).collect(),
        ..NodeSelectorTerm::default()
    }
}

fn check(
    plugin: &NodeAffinity,
    case: usize,
    (p, name, labels, before, reason): (PodInfo, &str, &str, PreFilter<()>, &'static str),
) {
    assert_eq!(pre_filter(plugin, &p), before, "case {case}");
    let n = NodeInfo::new(labelled(name, labels).arc());
    let expected = if reason.is_empty() { Status::SUCCESS } else { Status::unresolvable(reason) };
    assert_eq!(plugin.filter(&(), &p, &n), expected, "case {case}");
}

/// The pod, the node's name and labels, the answer of PreFilter, the reason of Filter. Upstream's two cases without
/// PreFilter have none here: Filter never runs without it.
#[test]
fn labels() {
    let plugin = NodeAffinity::from_args(None).unwrap();
    let newer = by_label(req("kernel-version", Operator::Gt, &["0204"]));
    let no_terms = with(pod("p"), None, vec![]);
    let both = || with(pod("p").node_selector("foo", "bar"), Some(vec![by("foo")]), vec![]);
    let gpu = "GPU=NVIDIA-GRID-K1";
    for (i, row) in [
        (selects(&[("foo", "bar")]), "n", "", go(), REASON),
        (selects(&[("foo", "bar")]), "n", "foo=bar", go(), ""),
        (selects(&[("foo", "bar")]), "n", "foo=bar,baz=blah", go(), ""),
        (selects(&[("foo", "bar"), ("baz", "blah")]), "n", "foo=bar", go(), REASON),
        (needs(&[by("foo in (bar|value2)")]), "n", "foo=bar", go(), ""),
        (needs(&[newer]), "n", "kernel-version=0206", go(), ""),
        (needs(&[by("mem-type notin (DDR|DDR2)")]), "n", "mem-type=DDR3", go(), ""),
        (needs(&[by("GPU")]), "n", gpu, go(), ""),
        (needs(&[by("foo in (value1|value2)")]), "n", "foo=bar", go(), REASON),
        (needs(&[by("")]), "n", "foo=bar", go(), REASON),
        (selects(&[]), "n", "foo=bar", PreFilter::Skip, ""),
        (no_terms, "n", "foo=bar", PreFilter::Skip, ""),
        (needs(&[by("GPU,GPU notin (AMD|INTER)")]), "n", gpu, go(), ""),
        (needs(&[by("GPU,GPU in (AMD|INTER)")]), "n", gpu, go(), REASON),
        (needs(&[by("foo in (bar|value2)"), by("diffkey in (wrong|value2)")]), "n", "foo=bar", go(), ""),
        (both(), "n", "foo=bar", go(), ""),
        (both(), "n", "foo=barrrrrr", go(), REASON),
        // Upstream: REASON, for a term that it cannot read matches nothing. API servers refuse required terms with
        // values that no label can have, so they are not looked for on every node.
        (needs(&[by("foo notin (invalid value: ___@#$%^)")]), "n", "foo=bar", go(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin, i, row);
    }
}

#[test]
fn names() {
    let plugin = NodeAffinity::from_args(None).unwrap();
    let named_and = |text: &str| NodeSelectorTerm { match_fields: by_name(&["node1"]).match_fields, ..by(text) };
    let conflict = PreFilter::Reject(Status::unresolvable(REASON_CONFLICT));
    for (i, row) in [
        (needs(&[by_name(&["node1"])]), "node1", "", only(&["node1"]), ""),
        (needs(&[by_name(&["node1"])]), "node2", "", only(&["node1"]), REASON),
        // One term without a name opens all nodes.
        (needs(&[all_of(&["node1", "node2"]), by("foo=bar")]), "node2", "foo=bar", go(), ""),
        (needs(&[named_and("foo=bar")]), "node2", "foo=bar", only(&["node1"]), REASON),
        (needs(&[named_and("foo=bar")]), "node1", "foo=bar", only(&["node1"]), ""),
        (needs(&[by_name(&["node1"]), by("foo=not-match-to-bar")]), "node2", "foo=bar", go(), REASON),
        (needs(&[by_name(&["node1"]), by_name(&["node2"])]), "node2", "", only(&["node1", "node2"]), ""),
        (needs(&[all_of(&["node1", "node2"])]), "node2", "foo=bar", conflict, REASON),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin, i, row);
    }
}

#[test]
fn added_affinity() {
    let adding = |term: serde_json::Value| {
        let required = json!({ "nodeSelectorTerms": [term] });
        let args = json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        NodeAffinity::from_args(Some(&args)).unwrap()
    };
    let node2 = || adding(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node2"]}]}));
    let bar = adding(json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["bar"]}]}));
    for (i, (plugin, p, reason)) in [
        (node2(), needs(&[by("zone=foo")]), ""),
        (node2(), needs(&[by("zone=bar")]), REASON),
        (bar, selects(&[]), REASON_ENFORCED),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin, i, (p, "node2", "zone=foo", go(), reason));
    }
}
