//! Upstream's `TestSingleConstraint` and `TestMultipleConstraints` (`filtering_test.go`). Other plugins have no say
//! here: nodes whose labels or taints keep the pod away may be open.

use super::*;
use crate::plugins::between_pods::{nodes_of, pods_of, requiring};

const FOUR: &str = "a:zone=1,node=a b:zone=1,node=b x:zone=2,node=x y:zone=2,node=y";
const THREE: &str = "a:node=a b:node=b c:node=c";
/// 3 pods in each zone.
const SIX: &str = "a:foo a:foo b:foo y:foo y:foo y:foo";

/// A sign for each node: open, too many pods there, a label lacks.
fn signs(p: PodBuilder, nodes: &str, pods: &str) -> String {
    let cache = cluster(&nodes_of(nodes), &pods_of(pods));
    let all = filtered(&plugin(), &PodInfo::new(p.arc()), &view(&cache)).unwrap();
    let sign = |status: &Status| {
        if status.is_success() {
            '+'
        } else if *status == Status::unschedulable(REASON) {
            '-'
        } else {
            assert_eq!(*status, Status::unresolvable(REASON_MISSING_LABEL));
            '?'
        }
    };
    all.iter().map(sign).collect()
}

fn foo(key: &str) -> TopologySpreadConstraint {
    spread(1, key, true, "foo")
}

fn bar(key: &str) -> TopologySpreadConstraint {
    spread(1, key, true, "bar")
}

fn anywhere(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_affinity: NodeInclusion::Ignore, ..c }
}

fn tolerated(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..c }
}

/// A skew of 2 among at least so many domains.
fn among(domains: i32, key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint { min_domains: domains, ..spread(2, key, true, "foo") }
}

fn selecting() -> PodBuilder {
    p("foo").node_selector("foo", "")
}

type Row<'a> = (PodBuilder, &'a str, &'a str, &'a str);

fn check(rows: Vec<Row<'_>>) {
    for (i, (p, nodes, pods, expected)) in rows.into_iter().enumerate() {
        assert_eq!(signs(p, nodes, pods), expected, "case {i}");
    }
}

/// The pod, the nodes, the pods on them, the sign of each node.
#[test]
fn single_constraint() {
    let zone = || p("foo").spread(foo("zone"));
    let node = || p("foo").spread(foo("node"));
    let by_two = || spread(2, "node", true, "foo");
    let nothing = TopologySpreadConstraint { selector: None, ..foo("zone") };
    let without_zone = "a:zone=1,node=a b:zon=1,node=b x:zone=2,node=x y:zone=2,node=y";
    let five = "a:foo a:foo b:foo b:foo c:foo";
    let (some, one_each) = ("a:node=a,foo b:node=b,foo x:node=x,foo y:node=y", "a:foo b:foo y:foo");
    let tainted = "a:node=a,foo b:node=b,foo x:node=x,foo y!:node=y";
    check(vec![
        (zone(), FOUR, "", "++++"),
        (p("foo").spread(bar("zone")), FOUR, "", "++++"),
        (zone(), FOUR, "a:ns1/foo a:ns2/foo x:foo y:foo", "++--"),
        (p("foo").spread(nothing), FOUR, "x:foo y:foo", "++++"),
        (zone(), FOUR, SIX, "++++"),
        (zone(), without_zone, "a:foo b:foo x:foo y:foo", "+?--"),
        (p("foo").spread(foo("rack")), "a:zone=1,node=a x:zone=2,node=x", "", "??"),
        (node(), FOUR, SIX, "--+-"),
        (p("foo").spread(by_two()), FOUR, SIX, "-++-"),
        // It does not count itself.
        (p("bar").spread(foo("node")), FOUR, SIX, "-++-"),
        // Only nodes that the pod's affinity leaves in are counted.
        (requiring(node(), "node in (a|y)"), FOUR, SIX, "+++-"),
        (node(), "a:node=a b:node=b", "a:-foo b:foo", "+-"),
        (requiring(zone(), "node notin (b)"), FOUR, "b:foo b:foo y:foo", "++--"),
        // Fewer domains than there must be: the smallest number is 0.
        (p("foo").spread(among(4, "node")), THREE, five, "--+"),
        (p("foo").spread(among(2, "node")), THREE, five, "+++"),
        (p("foo").spread(among(3, "zone")), FOUR, "a:foo b:foo y:foo", "--++"),
        (p("foo").spread(among(1, "zone")), FOUR, "a:foo b:foo y:foo", "++++"),
        // Node inclusion policies.
        (selecting().spread(foo("node")), some, one_each, "--++"),
        (selecting().spread(anywhere(foo("node"))), some, one_each, "--+-"),
        (requiring(p("foo"), "foo=").spread(foo("node")), some, one_each, "--++"),
        (requiring(p("foo"), "foo=").spread(anywhere(foo("node"))), some, one_each, "--+-"),
        (p("foo").spread(tolerated(foo("node"))), tainted, one_each, "--++"),
        (node(), tainted, one_each, "--+-"),
    ]);
}

#[test]
fn multiple_constraints() {
    let both = |p: PodBuilder| p.spread(foo("zone")).spread(foo("node"));
    let mixed = |p: PodBuilder| p.spread(foo("zone")).spread(bar("node"));
    let zones = || p("foo,bar").spread(bar("zone")).spread(foo("zone"));
    let without_node = "a:zone=1,node=a b:zone=1,node=b x:zone=2 y:zone=2,node=y";
    let some = "a:zone=1,node=a,foo b:zone=1,node=b,foo x:zone=2,node=x,foo y:zone=2,node=y";
    let tainted = "a:zone=1,node=a,foo b:zone=1,node=b,foo x:zone=2,node=x,foo y!:zone=2,node=y";
    let picky = "a:zone=1,node=a,foo b:zone=1,node=b x:zone=2,node=x,foo y!:zone=2,node=y,foo";
    let three = "a:foo b:foo y:foo";
    check(vec![
        (both(p("foo")), FOUR, SIX, "--+-"),
        (both(p("foo")), FOUR, "a:foo a:foo b:foo y:foo y:foo y:foo y:foo", "----"),
        (mixed(p("foo,bar")), FOUR, "a:foo y:bar", "--+-"),
        (mixed(p("foo,bar")), FOUR, "a:foo x:bar y:bar", "----"),
        (mixed(p("foo,bar")), FOUR, "a:foo a:foo,bar y:foo y:foo,bar y:foo", "-+--"),
        (mixed(p("bar")), FOUR, "a:foo x:bar y:bar", "++--"),
        (both(p("foo")), without_node, "a:foo y:foo", "-+?-"),
        // Each constraint counts nodes by policies of its own.
        (selecting().spread(foo("zone")).spread(anywhere(foo("node"))), some, three, "--+-"),
        (p("foo").spread(tolerated(foo("zone"))).spread(foo("node")), tainted, three, "--+-"),
        (both(selecting()), picky, three, "-++-"),
        (selecting().spread(tolerated(foo("zone"))).spread(anywhere(foo("node"))), picky, three, "--+-"),
        // Two on one key.
        (zones(), FOUR, "a:foo,bar a:foo b:foo,bar y:foo y:foo,bar y:foo", "--++"),
        (zones(), FOUR, "a:foo,bar a:foo b:foo,bar y:foo y:foo,bar y:foo y:foo", "----"),
    ]);
}
