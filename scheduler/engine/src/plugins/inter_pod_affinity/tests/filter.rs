//! Upstream's `TestRequiredAffinityMultipleNodes`, and of `TestRequiredAffinitySingleNode` what [`super::one_node`]
//! does not have. Left out: values that no label can have, which upstream's PreFilter refuses. API servers refuse them
//! first.

use super::*;
use crate::plugins::between_pods::nodes_of;

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

/// Keeps away from pods with this label, by domains of this key.
fn far(p: PodBuilder, terms: &[(&str, &str)]) -> PodBuilder {
    terms.iter().fold(p, |p, (labels, key)| p.anti_affine(term(labels, key)))
}

fn near(p: PodBuilder, terms: &[(&str, &str)]) -> PodBuilder {
    terms.iter().fold(p, |p, (labels, key)| p.affine(term(labels, key)))
}

/// A sign for each node: open, `a` for affinity that is not met, `n` for anti-affinity that is not, `e` for that of
/// pods on nodes; or `skip`.
fn signs(p: PodBuilder, nodes: &str, pods: &[(&str, PodBuilder)]) -> String {
    let cache = cluster(&nodes_of(nodes), pods);
    let Some(all) = filtered(&plugin(), &PodInfo::new(p.arc()), &view(&cache)) else { return "skip".to_owned() };
    let sign = |status: &Status| {
        let known = [
            (Status::SUCCESS, '+'),
            (Status::unresolvable(REASON_AFFINITY), 'a'),
            (Status::unschedulable(REASON_ANTI_AFFINITY), 'n'),
            (Status::unschedulable(REASON_EXISTING), 'e'),
        ];
        known.into_iter().find_map(|(one, sign)| (one == *status).then_some(sign)).unwrap()
    };
    all.iter().map(sign).collect()
}

type Row<'a> = (PodBuilder, &'a str, Vec<(&'a str, PodBuilder)>, &'a str);

fn check(rows: Vec<Row<'_>>) {
    for (i, (p, nodes, pods, expected)) in rows.into_iter().enumerate() {
        assert_eq!(signs(p, nodes, &pods), expected, "case {i}");
    }
}

const CHINA: &str = "1:region=China 2:region=China,az=az1 3:region=India";
/// One region, two zones.
const ZONES: &str = "a:region=r1,zone=z1 b:region=r1,zone=z2";

/// The pod, the nodes, the pods on them, the sign of each node.
#[test]
fn multiple_nodes() {
    let group = || near(p("foo=bar,service=securityscan"), &[("foo=bar", "zone"), ("service=securityscan", "zone")]);
    let two = &[("foo", "region"), ("bar", "zone")];
    let invalid = &[("foo", "invalid-node-label"), ("bar", "zone")];
    check(vec![
        (near(p(""), &[("foo=bar", "region")]), CHINA, vec![("1", p("foo=bar"))], "++a"),
        // The first pod of a group is not kept from any node that has the label.
        (group(), "a:zone=az1,hostname=h1 b:zone=az2,hostname=h2", vec![("a", p("foo=bar"))], "++"),
        (group(), "a:zoneLabel=az1,hostname=h1 b:zoneLabel=az2,hostname=h2", vec![("a", p("foo=bar"))], "aa"),
        (far(p(""), &[("foo=abc", "region")]), "a:region=r1 b:region=r1", vec![("a", p("foo=abc"))], "nn"),
        (
            far(p(""), &[("foo=abc", "region"), ("service=securityscan", "zone")]),
            ZONES,
            vec![("a", p("foo=abc,service=securityscan"))],
            "nn",
        ),
        (far(p(""), &[("foo=abc", "region")]), CHINA, vec![("1", p("foo=abc"))], "nn+"),
        (
            far(p("foo=123").namespace("ns1"), &[("foo=bar", "region")]),
            CHINA,
            vec![("1", p("foo=bar").namespace("ns1")), ("3", far(p("").namespace("ns2"), &[("foo=123", "region")]))],
            "nn+",
        ),
        // A label that no node has.
        (p("foo"), ZONES, vec![("a", far(p(""), &[("foo", "invalid-node-label")]))], "skip"),
        (far(p(""), &[("foo", "invalid-node-label")]), ZONES, vec![("a", p("foo"))], "++"),
        (
            p("foo,bar"),
            ZONES,
            vec![("a", far(p(""), &[("foo", "zone")])), ("a", far(p(""), &[("bar", "region")]))],
            "ee",
        ),
        (far(p(""), &[("foo", "zone"), ("bar", "region")]), ZONES, vec![("a", p("foo")), ("b", p("bar"))], "nn"),
        (p("foo,bar"), ZONES, vec![("a", far(p(""), invalid))], "e+"),
        (far(p(""), invalid), ZONES, vec![("a", p("foo,bar"))], "n+"),
        (p("foo,bar"), ZONES, vec![("a", far(p(""), two))], "ee"),
        (far(p(""), two), ZONES, vec![("a", p("foo,bar"))], "nn"),
        (
            p("foo,bar"),
            "a:region=r1,zone=z1 b:region=r1,zone=z2 c:region=r1,zone=z3",
            vec![
                ("a", far(p(""), &[("foo", "zone"), ("labelA", "zone")])),
                ("b", far(p(""), &[("bar", "zone"), ("labelB", "zone")])),
            ],
            "ee+",
        ),
        // All terms must mean one and the same pod.
        (near(p(""), two), "a:region=r1,zone=z1 b:region=r1,zone=z1", vec![("a", p("foo,bar"))], "++"),
        (near(p(""), two), ZONES, vec![("a", p("foo")), ("b", p("bar"))], "aa"),
    ]);
}

/// What one pod keeps away from and what the other does, from both sides.
#[test]
fn anti_affinity_is_symmetric() {
    let both: &[(&str, &str)] = &[("abc", "zone"), ("def", "zone")];
    let scan: &[(&str, &str)] = &[("service", "zone"), ("security", "zone")];
    let (service, security) = ("service=securityscan", "security=S1");
    let node = "1:region=r1,zone=z11";
    check(vec![
        (far(p(service), scan), node, vec![("1", far(p(security), &scan[1..]))], "n"),
        (far(p(security), &scan[1..]), node, vec![("1", far(p(service), scan))], "e"),
        (far(p("abc,xyz"), both), node, vec![("1", far(p("def,xyz"), both))], "n"),
        (far(p("def,xyz"), both), node, vec![("1", far(p("abc,xyz"), both))], "n"),
    ]);
}
