//! Upstream's tables of hints (`fit_test.go`), without DeviceClasses.

use std::sync::Arc;

use headroom_core::testing::PodBuilder;

use super::*;

const A: &str = "example.com/aaa";

fn info(p: PodBuilder) -> PodInfo {
    PodInfo::new(p.arc())
}

fn has(text: &str) -> Arc<Node> {
    node("n").has(text).arc()
}

/// `Test_isSchedulableAfterPodChange`: the pod that waits, the one that changed, before and after.
#[test]
fn after_pods() {
    let fit = plugin("{}");
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let of = |name: &str, asks: &str| pod(name).asks(&[asks]);
    let level = |name: &str, asks: &str| pod(name).asks_together(asks);
    let nominated = of("b", "cpu=2").with(|p| p.status.nominated_node_name = Some("n".into()));
    for (i, (p, old, new, expected)) in [
        (of("a", "cpu=1"), of("b", "cpu=1").on("n"), None, Hint::Queue),
        // Upstream: Skip. The engine tells of the end of such pods only that held a place.
        (pod("a"), pod("b"), None, Hint::Queue),
        (of("a", "cpu=1"), nominated, None, Hint::Queue),
        (of("a", "cpu=1"), of("b", "cpu=2"), Some(of("b", "cpu=1")), Hint::Skip),
        (of("a", "cpu=1"), of("b", "memory=2").on("n"), Some(of("b", "memory=1").on("n")), Hint::Skip),
        (level("a", "cpu=1"), level("b", "memory=2").on("n"), Some(level("b", "memory=1").on("n")), Hint::Skip),
        (of("a", "cpu=1"), of("b", "cpu=2").on("n"), Some(of("b", "cpu=1").on("n")), Hint::Queue),
        (level("a", "cpu=1"), level("b", "cpu=2").on("n"), Some(level("b", "cpu=1").on("n")), Hint::Queue),
        (of("a", "cpu=1"), of("a", "cpu=2"), Some(of("a", "cpu=1")), Hint::Queue),
        (level("a", "cpu=1"), level("a", "cpu=2"), Some(level("a", "cpu=1")), Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Pod { old: Some(info(old)), new: new.map(info) };
        assert_eq!(fit.hint(&change, &info(p), &view), expected, "case {i}");
    }
}

/// `Test_isSchedulableAfterNodeChange`.
#[test]
fn after_nodes() {
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let both = "memory=2,example.com/aaa=1";
    for (i, (asks, old, new, expected)) in [
        ("memory=2", None, "memory=1", Hint::Skip),
        ("example.com/aaa=1", None, "example.com/bbb=1", Hint::Skip),
        (both, None, "memory=4,example.com/aaa=2", Hint::Queue),
        (both, Some("memory=2,example.com/aaa=2"), "memory=2,example.com/aaa=1,example.com/bbb=2", Hint::Skip),
        (both, Some("memory=2,example.com/aaa=1"), "memory=2,example.com/aaa=2", Hint::Queue),
        (both, Some("memory=4,example.com/aaa=2"), "memory=1,example.com/aaa=2", Hint::Skip),
        (both, Some("memory=1,example.com/aaa=2"), "memory=4,example.com/aaa=2", Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Node { old: old.map(has), new: Some(has(new)) };
        assert_eq!(plugin("{}").hint(&change, &info(pod("p").asks(&[asks])), &view), expected, "case {i}");
    }
    // Ours: upstream looks at ignored resources here and leaves a pod waiting that the node would take.
    let change = Change::Node { old: None, new: Some(has("memory=2")) };
    let ignoring = plugin(&format!(r#"{{"ignoredResources":["{A}"]}}"#));
    assert_eq!(ignoring.hint(&change, &info(pod("p").asks(&[both])), &view), Hint::Queue);
}

/// `TestIsFit`.
#[test]
fn an_empty_node_is_large_enough() {
    for (p, node, expected) in [
        (pod("p").asks(&["cpu=2"]), "cpu=1", false),
        (pod("p").asks(&["cpu=1"]), "cpu=2", true),
        (pod("p").asks_together("cpu=2"), "cpu=1", false),
        (pod("p").asks_together("cpu=2"), "cpu=2", true),
        (pod("p").asks_together("hugepages-2Mi=2Mi"), "hugepages-2Mi=2Mi", true),
        (pod("p").asks_together("hugepages-2Mi=4Mi"), "hugepages-2Mi=2Mi", false),
    ] {
        assert_eq!(plugin("{}").fits_empty(&info(p), &has(node)), expected, "{node}");
    }
}

/// `TestHaveAnyRequestedResourcesIncreased`: requests, allocatable before and after.
#[test]
fn what_the_pod_asks_for_grew() {
    let all = "cpu=2m,memory=2,ephemeral-storage=2,example.com/aaa=2";
    let some = "cpu=2m,memory=2";
    for (i, (asks, old, new, expected)) in [
        (
            "",
            "pods=1,cpu=1,memory=1,ephemeral-storage=1,example.com/aaa=1",
            "pods=1,cpu=2,memory=2,ephemeral-storage=2,example.com/aaa=2",
            false,
        ),
        (
            "",
            "pods=1,cpu=1,memory=1,ephemeral-storage=1,example.com/aaa=1",
            "pods=2,cpu=1,memory=1,ephemeral-storage=1,example.com/aaa=1",
            true,
        ),
        (all, "cpu=1,memory=2,ephemeral-storage=3", "cpu=1,memory=2,ephemeral-storage=1", false),
        (
            all,
            "cpu=1,memory=2,ephemeral-storage=3,example.com/aaa=4",
            "cpu=1,memory=2,ephemeral-storage=1,example.com/aaa=1",
            false,
        ),
        (
            all,
            "cpu=1,memory=2,ephemeral-storage=3,example.com/aaa=4",
            "cpu=3,memory=4,ephemeral-storage=3,example.com/aaa=4",
            true,
        ),
        (
            some,
            "cpu=1,memory=2,ephemeral-storage=3,example.com/aaa=4",
            "cpu=1,memory=2,ephemeral-storage=1,example.com/aaa=1",
            false,
        ),
        (
            some,
            "cpu=1,memory=2,ephemeral-storage=3,example.com/aaa=4",
            "cpu=1,memory=2,ephemeral-storage=5,example.com/aaa=6",
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let p = info(pod("p").asks(&[asks]));
        assert_eq!(wanted_grew(&p, &has(old), &has(new)), expected, "case {i}");
    }
}
