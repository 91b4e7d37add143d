//! Upstream's `TestPodTopologySpreadScore` (`scoring_test.go`), without `matchLabelKeys` and node inclusion policies
//! with their gates off; the case of a Service is [`super::system_defaults`].

use super::*;
use crate::plugins::between_pods::{nodes_of, pods_of, requiring};

/// `host` is short for the key of the host name.
const HOSTS: &str = "a:host=a b:host=b c:host=c d:host=d";
const ZONES: &str = "a:zone=1,host=a b:zone=1,host=b x:zone=2,host=x y:zone=2,host=y";

fn soft(skew: i32, key: &str, labels: &str) -> TopologySpreadConstraint {
    spread(skew, key, false, labels)
}

fn anywhere(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_affinity: NodeInclusion::Ignore, ..c }
}

fn same(key: &str, c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { match_label_keys: Box::new([key.into()]), ..c }
}

/// The pod, the nodes that are feasible, those that are not, the pods on all of them, the scores of the former.
type Row<'a> = (PodBuilder, &'a str, &'a str, &'a str, Vec<i64>);

fn check(rows: Vec<Row<'_>>) {
    for (i, (p, feasible, others, pods, expected)) in rows.into_iter().enumerate() {
        let nodes = format!("{feasible} {others}").replace("host=", &format!("{HOSTNAME}="));
        let cache = cluster(&nodes_of(&nodes), &pods_of(pods));
        let names = feasible.split_whitespace().map(|part| part.split_once(':').unwrap().0.trim_end_matches('!'));
        let names: Vec<&str> = names.collect();
        assert_eq!(scores_of(&plugin(), p, &cache, &names), Some(expected), "case {i}");
    }
}

#[test]
fn one_constraint_on_hosts() {
    let own = |skew| p("foo").spread(soft(skew, HOSTNAME, "foo"));
    let nothing = TopologySpreadConstraint { selector: None, ..soft(1, HOSTNAME, "foo") };
    let six = "a:foo a:foo b:foo d:foo d:foo d:foo";
    let ten = "a:foo a:foo a:foo a:foo b:foo b:foo x:foo y:foo y:foo y:foo";
    check(vec![
        (own(1), "a:host=a b:host=b", "", "", vec![100, 100]),
        (own(1), "a:host=a", "b:host=b", "a:foo a:foo b:foo", vec![100]),
        (own(1), "a:host=a b:host=b", "", "a:foo b:foo", vec![100, 100]),
        (own(1), HOSTS, "", six, vec![20, 60, 100, 0]),
        (p("foo").spread(nothing), HOSTS, "", six, vec![100, 100, 100, 100]),
        (own(2), HOSTS, "", six, vec![33, 66, 100, 16]),
        (own(3), HOSTS, "", "a:foo a:foo a:foo a:foo b:foo b:foo b:foo c:foo c:foo d:foo", vec![44, 66, 77, 100]),
        (own(1), "a:host=a b:host=b x:host=x", "y:host=y", ten, vec![33, 83, 100]),
        // A node without the label gets nothing, and its pods do not count.
        (own(1), "a:host=a b:n=b x:host=x", "y:host=y", ten, vec![16, 0, 100]),
        (own(1), "a:host=a b:host=b", "", "a:ns1/foo a:foo b:foo b:foo", vec![100, 33]),
        (own(1), "a:host=a b:host=b", "", "a:-foo b:foo", vec![100, 0]),
    ]);
}

#[test]
fn zones_and_several_constraints() {
    let zone = || soft(1, "zone", "foo");
    let both = || p("foo").spread(zone()).spread(soft(1, HOSTNAME, "foo"));
    let mixed = || p("foo,bar").spread(zone()).spread(soft(1, HOSTNAME, "bar"));
    let (abx, y) = ("a:zone=1,host=a b:zone=1,host=b x:zone=2,host=x", "y:zone=2,host=y");
    let ten = "a:foo a:foo a:foo a:foo b:foo b:foo x:foo y:foo y:foo y:foo";
    let four = "a:foo b:foo,bar y:foo y:bar";
    check(vec![
        (p("foo").spread(zone()), abx, y, ten, vec![75, 75, 100]),
        (
            both(),
            "a:zone=1,host=a x:zone=2,host=x",
            "b:zone=1,host=b y:zone=2,host=y",
            "a:foo a:foo b:foo x:foo x:foo y:foo y:foo y:foo y:foo",
            vec![100, 63],
        ),
        (
            p("foo,bar").spread(zone()).spread(soft(1, "zone", "bar")),
            "a:zone=1 x:zone=2",
            "b:zone=1 y:zone=2",
            "a:foo,bar a:foo b:foo,bar y:foo y:foo,bar y:foo",
            vec![85, 100],
        ),
        (mixed(), ZONES, "", four, vec![60, 20, 100, 60]),
        (mixed(), ZONES, "", "b:bar x:foo y:foo,bar", vec![100, 60, 40, 0]),
        (mixed(), abx, y, four, vec![50, 25, 100]),
        // `minDomains` has no say.
        (
            p("foo").spread(TopologySpreadConstraint { min_domains: 10, ..soft(2, "node", "foo") }),
            "a:node=a b:node=b c:node=c",
            "",
            "a:foo a:foo b:foo b:foo c:foo",
            vec![75, 75, 100],
        ),
    ]);
}

#[test]
fn nodes_and_pods_that_count() {
    let node = || soft(1, "node", "foo");
    let selecting = || p("foo").node_selector("foo", "");
    let affine = || requiring(p("foo"), "foo=");
    let some = "a:node=a,foo b:node=b,foo c:node=c";
    let tainted = "a:node=a b:node=b c!:node=c";
    let pods = "a:foo a:foo b:foo c:foo";
    let honoring = TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..node() };
    let zones = "a:zone=1,host=a b:zone=1,host=b c:zone=2,host=c d:zone=2,host=d";
    check(vec![
        (selecting().spread(node()), some, "", pods, vec![0, 33, 100]),
        (selecting().spread(anywhere(node())), some, "", pods, vec![66, 100, 100]),
        (affine().spread(node()), some, "", pods, vec![0, 33, 100]),
        (affine().spread(anywhere(node())), some, "", pods, vec![66, 100, 100]),
        (p("foo").spread(honoring), tainted, "", pods, vec![0, 33, 100]),
        (p("foo").spread(node()), tainted, "", pods, vec![66, 100, 100]),
        // `matchLabelKeys`, alone and with a selector.
        (
            p("foo,bar").spread(same("foo", soft(1, "zone", ""))).spread(same("bar", soft(1, HOSTNAME, ""))),
            zones,
            "",
            "a:foo b:foo,bar c:foo c:bar",
            vec![60, 20, 60, 100],
        ),
        (
            p("foo,bar,baz").spread(soft(1, "zone", "foo")).spread(same("baz", soft(1, HOSTNAME, "bar"))),
            zones,
            "",
            "a:foo b:foo,bar,baz c:foo c:bar c:bar,baz",
            vec![60, 20, 60, 100],
        ),
    ]);
}
