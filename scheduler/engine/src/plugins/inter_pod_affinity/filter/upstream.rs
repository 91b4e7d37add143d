//! Upstream's tables of what PreFilter counts (`filtering_test.go`): `TestPreFilterStateAddRemovePod` and
//! `TestGetTPMapMatchingIncomingAffinityAntiAffinity`.

use headroom_core::{
    object::PodAffinityTerm,
    testing::{PodBuilder, pod, term},
};

use super::*;
use crate::{
    framework::Plugin,
    plugins::{
        between_pods::{cluster, nodes_of, statuses, tagged, view},
        inter_pod_affinity::InterPodAffinity,
    },
};

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

fn plugin() -> InterPodAffinity {
    InterPodAffinity::from_args(None).unwrap()
}

/// The counts in each node's domains, the largest first; those that are 0 and nodes without any are left out.
fn told(tables: &Tables, view: &View<'_>) -> String {
    let nodes = view.nodes().filter_map(|(slot, node)| {
        let mut counts: Vec<i64> = tables.counts(slot).flatten().filter(|count| *count != 0).collect();
        counts.sort_unstable();
        let counts: Vec<String> = counts.iter().rev().map(ToString::to_string).collect();
        (!counts.is_empty()).then(|| format!("{}:{}", node.name, counts.join(",")))
    });
    let nodes: Vec<String> = nodes.collect();
    nodes.join(" ")
}

fn all_told(state: &FilterState, view: &View<'_>) -> [String; 3] {
    [&state.affinity, &state.anti, &state.existing].map(|tables| told(tables, view))
}

fn counted(p: &PodInfo, view: &View<'_>) -> FilterState {
    match pre_filter(p, view) {
        PreFilter::Continue(state) => state,
        other => panic!("{other:?}"),
    }
}

/// Two terms: some value under a label, and not some value under another.
fn complex() -> [PodAffinityTerm; 2] {
    [term("foo in (bar|buzz)", "region"), term("service notin (bar|security|test)", "zone")]
}

/// The pod that waits, the one on `c`, the one that comes and its node, affinity and anti-affinity counted then. The
/// cluster with that pod from the start says the same, and so does the first one when the pod has gone again.
#[test]
fn a_pod_comes_and_goes() {
    let far = |p: PodBuilder| p.anti_affine(term("foo=bar", "region"));
    let farther = |p: PodBuilder| complex().into_iter().fold(p, PodBuilder::anti_affine);
    let near = |p: PodBuilder| complex().into_iter().fold(p, PodBuilder::affine);
    let nodes = nodes_of("a:region=r1,zone=z11 b:region=r1,zone=z12 c:region=r2,zone=z21");
    for (i, (waiting, on_c, coming, to, affinity, anti)) in [
        (far(p("foo=bar")), far(p("")), far(p("foo=bar")), "b", "", "a:2 b:2"),
        (farther(p("foo=bar")), far(p("")), farther(p("foo=bar")), "a", "", "a:2,2 b:2 c:1"),
        (near(p("foo=bar")), near(far(p(""))), farther(p("foo=bar")), "a", "a:2,2 b:2", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let info = PodInfo::new(waiting.arc());
        let here = [("a", p("foo=bar")), ("c", on_c)];
        let cache = cluster(&nodes, &here);
        let before = view(&cache);
        let mut state = counted(&info, &before);
        let (counts, verdicts) = (all_told(&state, &before), statuses(&plugin(), &state, &info, &before));
        let (node, one) = (cache.node(to).unwrap(), PodInfo::new(coming.clone().arc()));

        plugin().add_pod(&mut state, &info, &one, node, &before);
        let [near, far, existing] = all_told(&state, &before);
        assert_eq!((near.as_str(), far.as_str()), (affinity, anti), "case {i}");
        let [first, second] = here;
        let with_it = cluster(&nodes, &[first, second, (to, coming)]);
        let after = view(&with_it);
        let whole = counted(&info, &after);
        assert_eq!([near, far, existing], all_told(&whole, &after), "case {i}");
        assert_eq!(statuses(&plugin(), &state, &info, &before), statuses(&plugin(), &whole, &info, &after), "case {i}");

        plugin().remove_pod(&mut state, &info, &one, node, &before);
        assert_eq!(all_told(&state, &before), counts, "case {i}");
        assert_eq!(statuses(&plugin(), &state, &info, &before), verdicts, "case {i}");
    }
}

/// Labels of the pod on the node, labels in the terms of affinity and of anti-affinity, what is counted for each.
#[test]
fn pods_that_the_terms_mean() {
    let nodes = nodes_of("a:hostname=a");
    let of = |labels: &str, add: fn(PodBuilder, PodAffinityTerm) -> PodBuilder, p: PodBuilder| {
        labels.split_whitespace().fold(p, |p, label| add(p, term(label, "hostname")))
    };
    for (i, (there, affine, anti_affine, expected)) in [
        (None, "", "", None),
        (Some("aaa"), "", "", None),
        (Some("bbb"), "aaa", "aaa", Some(("", ""))),
        (Some("aaa"), "aaa", "aaa", Some(("a:1", "a:1"))),
        // It counts once for each term of affinity.
        (Some("aaa,bbb"), "aaa bbb", "aaa", Some(("a:2", "a:1"))),
        // All terms of affinity must mean it, but any of anti-affinity.
        (Some("aaa"), "aaa bbb", "aaa bbb", Some(("", "a:1"))),
        (Some("aaa,bbb"), "aaa ccc", "aaa ccc", Some(("", "a:1"))),
        (Some("bbb"), "aaa bbb", "aaa bbb", Some(("", "a:1"))),
    ]
    .into_iter()
    .enumerate()
    {
        let pods: Vec<_> = there.map(|labels| ("a", p(labels))).into_iter().collect();
        let cache = cluster(&nodes, &pods);
        let view = view(&cache);
        let near = of(affine, PodBuilder::affine, p(""));
        let info = PodInfo::new(of(anti_affine, PodBuilder::anti_affine, near).arc());
        let got = match pre_filter(&info, &view) {
            PreFilter::Skip => None,
            PreFilter::Continue(state) => Some((told(&state.affinity, &view), told(&state.anti, &view))),
            other => panic!("{other:?}"),
        };
        assert_eq!(got.as_ref().map(|(near, far)| (near.as_str(), far.as_str())), expected, "case {i}");
    }
}
