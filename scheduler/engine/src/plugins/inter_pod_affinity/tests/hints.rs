//! Upstream's `Test_isSchedulableAfterPodChange` and `Test_isSchedulableAfterNodeChange` (`plugin_test.go`).

use super::*;

const SCAN: &str = "service in (securityscan|value2)";

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

fn near() -> PodBuilder {
    p("").affine(term(SCAN, "zone"))
}

fn far(labels: &str) -> PodBuilder {
    p(labels).anti_affine(term(SCAN, "zone"))
}

fn hint(p: PodBuilder, change: Change) -> Hint {
    let cache = cluster(&[], &[]);
    plugin().hint(&change, &PodInfo::new(p.arc()), &view(&cache))
}

/// Another pod.
fn other(p: PodBuilder) -> Option<PodInfo> {
    Some(PodInfo::new(p.uid("other").arc()))
}

fn placed(labels: &str) -> Option<PodInfo> {
    other(p(labels).on("n"))
}

fn waiting(labels: &str) -> Option<PodInfo> {
    other(p(labels))
}

fn nominated(labels: &str) -> Option<PodInfo> {
    other(p(labels).with(|p| p.status.nominated_node_name = Some("n".into())))
}

/// The pod that waits, the other one before and after.
#[test]
fn after_pods() {
    let two = || p("").affine(term("aaa", "hostname")).affine(term("bbb", "hostname"));
    let (scan, same) = ("service=securityscan", "service=value2");
    let itself = |labels: &str| Some(PodInfo::new(p(labels).arc()));
    for (i, (p, old, new, expected)) in [
        (near(), None, placed(scan), Hint::Queue),
        (near(), None, waiting(scan), Hint::Skip),
        (near(), None, placed("aaa=a"), Hint::Skip),
        (near(), placed("aaa=a"), placed(scan), Hint::Queue),
        (near(), placed(same), placed(scan), Hint::Skip),
        (near(), waiting("aaa=a"), waiting(scan), Hint::Skip),
        (near(), placed(scan), placed("aaa=a"), Hint::Skip),
        (two(), placed("aaa=a"), placed(scan), Hint::Skip),
        (two(), placed("aaa=a"), placed("aaa,bbb"), Hint::Queue),
        (p("foo=baz"), itself("foo=bar"), itself("foo=baz"), Hint::Queue),
        (far(""), placed(scan), placed("service=aaaa"), Hint::Queue),
        (far(""), placed("service=bbb"), placed(scan), Hint::Skip),
        (far(""), placed("aaa=a"), None, Hint::Skip),
        (far(""), placed(scan), None, Hint::Queue),
        (p(scan), other(far("").on("n")), None, Hint::Queue),
        (p("service=foo"), other(far("").on("n")), None, Hint::Skip),
        (far("service=foo"), other(far("service=foo").on("n")), None, Hint::Skip),
        (far(""), nominated("aaa=a"), None, Hint::Skip),
        (far(""), nominated(scan), None, Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hint(p, Change::Pod { old, new }), expected, "case {i}");
    }
}

/// The pod that waits, the node's labels before and after.
#[test]
fn after_nodes() {
    let by_region = p("").affine(term(SCAN, "region"));
    for (i, (p, old, new, expected)) in [
        (near(), None, "zone=1", Hint::Queue),
        (by_region, None, "zone=1", Hint::Skip),
        (near(), Some("aaa=a"), "aaa=b", Hint::Skip),
        (near(), Some("zone=1"), "zone=1,unrelated=u", Hint::Skip),
        (near(), Some("zone=1"), "zone=2", Hint::Queue),
        (near(), Some("aaa=a"), "zone=1", Hint::Queue),
        // Away from pods: in a new domain there may be none of them, and without the label there are none.
        (far(""), None, "zone=1", Hint::Queue),
        (far(""), None, "", Hint::Queue),
        (far(""), Some("zone=1"), "zone=1,unrelated=u", Hint::Skip),
        (far(""), Some("zone=1"), "zone=2", Hint::Queue),
        (far(""), Some("aaa=a"), "zone=1", Hint::Skip),
        (far(""), Some("zone=1"), "aaa=a", Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let node = |labels: &str| labelled("a", labels).arc();
        let change = Change::Node { old: old.map(node), new: Some(node(new)) };
        assert_eq!(hint(p, change), expected, "case {i}");
    }
}
