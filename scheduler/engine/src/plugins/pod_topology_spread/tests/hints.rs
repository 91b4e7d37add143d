//! Upstream's `Test_isSchedulableAfterNodeChange` and `Test_isSchedulableAfterPodChange` (`plugin_test.go`), without
//! node inclusion policies with their gate off.

use headroom_core::object::Node;

use super::*;

fn zone() -> PodBuilder {
    p("foo").spread(hard(1, "zone"))
}

fn zone_and_node() -> PodBuilder {
    zone().spread(hard(1, "node"))
}

fn hint(p: PodBuilder, change: Change) -> Hint {
    let cache = cluster(&[], &[]);
    plugin().hint(&change, &PodInfo::new(p.arc()), &view(&cache))
}

/// The pod that waits, the node's labels before and after.
#[test]
fn after_nodes() {
    let node = |text: &str| labelled("a", text).arc();
    for (i, (p, old, new, expected)) in [
        (zone(), Some("zone=1"), Some("zone=2"), Hint::Queue),
        (zone(), Some("foo=1"), Some("foo=2"), Hint::Skip),
        (zone_and_node(), Some("zone=1,node=1,foo=bar"), Some("zone=1,node=1"), Hint::Skip),
        (zone(), None, Some("foo=bar"), Hint::Skip),
        (zone(), None, Some("zone=1"), Hint::Queue),
        (zone(), Some("foo=bar"), None, Hint::Skip),
        (zone(), Some("zone=1"), None, Hint::Queue),
        (zone_and_node(), None, Some("zone=1"), Hint::Skip),
        (zone_and_node(), None, Some("zone=1,node=1"), Hint::Queue),
        (zone_and_node(), Some("zone=1"), Some("zone=1"), Hint::Skip),
        (zone_and_node(), Some("zone=1,node=1"), Some("zone=1,node=2"), Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Node { old: old.map(node), new: new.map(node) };
        assert_eq!(hint(p, change), expected, "case {i}");
    }
    // Taints matter of nodes that have all labels.
    for (labels, expected) in [("zone=1,node=1", Hint::Queue), ("node=1", Hint::Skip)] {
        let tainted = |key: &str| -> Arc<Node> { labelled("a", labels).taint(key, "bbb", Effect::NoSchedule).arc() };
        let change = Change::Node { old: Some(tainted("aaa")), new: Some(tainted("ccc")) };
        assert_eq!(hint(zone_and_node(), change), expected, "{labels}");
    }
}

/// Another pod that is on a node.
fn placed(labels: &str) -> Option<PodInfo> {
    Some(PodInfo::new(p(labels).uid("other").on("n").arc()))
}

/// One that waits.
fn waiting(labels: &str) -> Option<PodInfo> {
    Some(PodInfo::new(p(labels).uid("other").arc()))
}

/// One that is nominated to a node.
fn nominated(labels: &str) -> Option<PodInfo> {
    let to_n = p(labels).uid("other").with(|p| p.status.nominated_node_name = Some("n".into()));
    Some(PodInfo::new(to_n.arc()))
}

/// The pod that waits, the other one before and after.
#[test]
fn after_pods() {
    let two = || zone().spread(spread(1, "node", true, "bar"));
    let elsewhere = || Some(PodInfo::new(p_in("elsewhere").uid("other").on("n").arc()));
    for (i, (p, old, new, expected)) in [
        (zone(), None, placed("foo"), Hint::Queue),
        (zone(), None, waiting("foo"), Hint::Skip),
        (zone(), waiting("bar"), waiting("foo"), Hint::Skip),
        (zone(), waiting("foo"), None, Hint::Skip),
        (zone(), None, elsewhere(), Hint::Skip),
        (zone(), None, placed("bar"), Hint::Skip),
        (zone(), placed("foo"), None, Hint::Queue),
        (zone(), nominated("bar"), None, Hint::Skip),
        (zone(), nominated("foo"), None, Hint::Queue),
        (zone(), placed("bar"), None, Hint::Skip),
        (zone(), placed("foo,bar=1"), placed("foo,bar=2"), Hint::Skip),
        (zone(), placed(""), placed("foo"), Hint::Queue),
        (zone(), placed("foo"), placed(""), Hint::Queue),
        (zone(), placed("foo=1"), placed("foo=2"), Hint::Skip),
        (two(), placed("foo"), placed("foo,bar=2"), Hint::Queue),
        (two(), placed("foo"), placed("foo,baz"), Hint::Skip),
        (two(), placed("foo,bar"), placed("foo,bar=2"), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hint(p, Change::Pod { old, new }), expected, "case {i}");
    }
}

/// The same pod before and after.
#[test]
fn after_the_pod_itself() {
    let with = |taints| {
        let first = TopologySpreadConstraint { node_taints: taints, ..hard(1, "zone") };
        p("foo").spread(first).spread(spread(1, "node", true, "bar"))
    };
    let itself = |p: PodBuilder| Some(PodInfo::new(p.arc()));
    let tolerant = || p("foo").tolerates("node.kubernetes.io/unschedulable", None, None);
    for (i, (waiting, old, new, expected)) in [
        (with(NodeInclusion::Honor), p("foo"), tolerant(), Hint::Queue),
        (with(NodeInclusion::Ignore), p("foo"), tolerant(), Hint::Skip),
        (with(NodeInclusion::Ignore), p(""), p("foo"), Hint::Queue),
        (with(NodeInclusion::Ignore), p(""), p("unrelated"), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Pod { old: itself(old), new: itself(new) };
        assert_eq!(hint(waiting, change), expected, "case {i}");
    }
}
