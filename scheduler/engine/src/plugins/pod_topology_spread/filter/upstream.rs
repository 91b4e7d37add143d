//! Upstream's tables of what PreFilter counts (`filtering_test.go`): `TestPreFilterState`, `TestPreFilterStateAddPod`
//! and `TestPreFilterStateRemovePod`. Left out: node inclusion policies and `matchLabelKeys` with their gates off, which
//! are always on here. Upstream's critical paths are the smallest counts; here the smallest of all is kept.

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    object::{NodeInclusion, TopologySpreadConstraint, WorkloadKind},
    testing::{PodBuilder, pod, spread, workload},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    framework::{Plugin, PreFilter},
    plugins::{
        between_pods::{cluster, nodes_of, pods_of, requiring, tagged, view},
        pod_topology_spread::PodTopologySpread,
    },
};

const FOUR: &str = "a:zone=1,node=a b:zone=1,node=b x:zone=2,node=x y:zone=2,node=y";
/// Without `x`.
const THREE: &str = "a:zone=1,node=a b:zone=1,node=b y:zone=2,node=y";
/// Without `y`.
const ABX: &str = "a:zone=1,node=a b:zone=1,node=b x:zone=2,node=x";
/// Three pods in the first zone, four in the second.
const SEVEN: &str = "a:foo a:foo b:foo y:foo y:foo y:foo y:foo";

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

fn hard(key: &str, labels: &str) -> TopologySpreadConstraint {
    spread(1, key, true, labels)
}

fn soft(key: &str, labels: &str) -> TopologySpreadConstraint {
    spread(1, key, false, labels)
}

/// Any node counts, whatever the pod's selectors say.
fn anywhere(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_affinity: NodeInclusion::Ignore, ..c }
}

/// Only nodes count whose taints the pod tolerates.
fn tolerated(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..c }
}

fn without_selector(c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { selector: None, ..c }
}

/// The same version as the pod's, by this label.
fn by_label(key: &str, c: TopologySpreadConstraint) -> TopologySpreadConstraint {
    TopologySpreadConstraint { match_label_keys: Box::new([key.into()]), ..c }
}

/// On zone and on node.
fn both(labels: &str) -> PodBuilder {
    p(labels).spread(hard("zone", "foo")).spread(hard("node", "foo"))
}

/// For each constraint its skew, its key, and the domains that count with their pods.
fn told(state: &FilterState, view: &View<'_>) -> String {
    let tables = state.constraints.iter().zip(&state.tables).map(|(c, table)| {
        let mut all = BTreeMap::new();
        for (slot, node) in view.nodes() {
            let domain = table.domains.of(slot);
            if domain != 0 && table.present[domain as usize] {
                let name = node.node.meta.labels.get(&c.key).unwrap().to_string();
                all.insert(name, table.counts.get(domain));
            }
        }
        let smallest = all.values().copied().min().unwrap_or(NO_MINIMUM);
        assert_eq!((table.minimum(), table.size), (smallest, all.len() as i64), "{all:?}");
        let all: Vec<String> = all.iter().map(|(name, pods)| format!("{name}={pods}")).collect();
        format!("{}/{}[{}]", c.max_skew, c.key, all.join(" "))
    });
    let tables: Vec<String> = tables.collect();
    tables.join(" ")
}

fn listed(constraints: &Value) -> PodTopologySpread {
    let args = json!({"defaultingType": "List", "defaultConstraints": constraints});
    PodTopologySpread::from_args(Some(&args)).unwrap()
}

/// What PreFilter counts, and then what it says after the change of one pod, `by` is 1 or -1.
fn counted(p: PodBuilder, nodes: &str, pods: &str, change: Option<(&str, i64)>) -> String {
    let cache = cluster(&nodes_of(nodes), &pods_of(pods));
    let view = view(&cache);
    let plugin = listed(&json!([]));
    let info = PodInfo::new(p.arc());
    let mut state = match plugin.pre_filter(&info, &view) {
        PreFilter::Skip => return "skip".to_owned(),
        PreFilter::Continue(state) => state,
        other => panic!("{other:?}"),
    };
    if let Some((text, by)) = change {
        for (node, other) in pods_of(text) {
            let (node, other) = (cache.node(node).unwrap(), PodInfo::new(other.arc()));
            if by > 0 {
                plugin.add_pod(&mut state, &info, &other, node, &view);
            } else {
                plugin.remove_pod(&mut state, &info, &other, node, &view);
            }
        }
    }
    told(&state, &view)
}

type Row<'a> = (PodBuilder, &'a str, &'a str, &'a str);

fn check(rows: Vec<Row<'_>>) {
    for (i, (p, nodes, pods, expected)) in rows.into_iter().enumerate() {
        assert_eq!(counted(p, nodes, pods, None), expected, "case {i}");
    }
}

/// `TestPreFilterState`: the pod, the nodes, the pods on them, what is counted.
#[test]
fn domains_and_their_pods() {
    let zone = || p("foo").spread(hard("zone", "foo"));
    let five = "a:foo a:foo b:foo y:foo y:foo";
    let six = format!("{FOUR} o:zone=3,node=o p:zone=3,node=p");
    let simple = || p("foo,bar").spread(hard("zone", "foo")).spread(hard("node", "bar"));
    check(vec![
        (p("foo").spread(spread(5, "zone", true, "foo=bar")), FOUR, "", "5/zone[1=0 2=0]"),
        (zone(), FOUR, five, "1/zone[1=3 2=2]"),
        (p("foo").spread(without_selector(hard("zone", ""))), FOUR, five, "1/zone[1=0 2=0]"),
        (zone(), six.as_str(), five, "1/zone[1=3 2=2 3=0]"),
        (zone(), FOUR, "a:foo a:ns1/foo b:foo y:ns2/foo y:foo", "1/zone[1=2 2=1]"),
        (both("foo"), FOUR, SEVEN, "1/zone[1=3 2=4] 1/node[a=2 b=1 x=0 y=4]"),
        (
            p("foo")
                .spread(soft("zone", "foo"))
                .spread(hard("zone", "foo"))
                .spread(soft("node", "foo"))
                .spread(hard("node", "foo")),
            THREE,
            SEVEN,
            "1/zone[1=3 2=4] 1/node[a=2 b=1 y=4]",
        ),
        (simple(), THREE, "a:foo b:bar", "1/zone[1=1 2=0] 1/node[a=0 b=1 y=0]"),
        (
            simple(),
            THREE,
            "a:foo a:foo,bar b:foo y:foo y:foo,bar y:foo y:foo,bar",
            "1/zone[1=3 2=4] 1/node[a=1 b=0 y=2]",
        ),
        (requiring(both("foo"), "node notin (x)"), FOUR, SEVEN, "1/zone[1=3 2=4] 1/node[a=2 b=1 y=4]"),
        // Two on one key.
        (
            p("foo,bar").spread(hard("zone", "foo")).spread(hard("zone", "bar")),
            FOUR,
            "a:foo,bar b:foo x:bar y:foo,bar y:bar",
            "1/zone[1=2 2=1] 1/zone[1=1 2=3]",
        ),
        (p("foo"), "a:zone=1,node=a", "", "skip"),
    ]);
}

/// `TestPreFilterState`, node inclusion policies.
#[test]
fn nodes_that_count() {
    let selecting = |p: PodBuilder| p.node_selector("foo", "");
    let node = || hard("node", "bar");
    let (nodes, pods) = ("a:node=a,foo b:node=b,foo c:node=c,bar", "a:bar b:bar b:bar c:");
    let tainted = "a:node=a b:node=b c!:node=c,bar";
    let tolerant = p("foo").tolerates("node.kubernetes.io/unschedulable", None, None);
    let (zone, host) = (|| hard("zone", "foo"), || hard("node", "foo"));
    let three = "b:foo b:foo x:foo";
    check(vec![
        (selecting(p("foo")).spread(node()), nodes, pods, "1/node[a=1 b=2]"),
        (selecting(p("foo")).spread(anywhere(node())), nodes, pods, "1/node[a=1 b=2 c=0]"),
        (requiring(p("foo"), "foo=").spread(node()), nodes, pods, "1/node[a=1 b=2]"),
        (requiring(p("foo"), "foo=").spread(anywhere(node())), nodes, pods, "1/node[a=1 b=2 c=0]"),
        (p("foo").spread(node()), tainted, pods, "1/node[a=1 b=2 c=0]"),
        (p("foo").spread(tolerated(node())), tainted, pods, "1/node[a=1 b=2]"),
        (tolerant.spread(tolerated(node())), tainted, pods, "1/node[a=1 b=2 c=0]"),
        // Two constraints with policies of their own.
        (
            selecting(p("foo")).spread(zone()).spread(anywhere(host())),
            "a:zone=1,node=a,foo b:zone=1,node=b x:zone=2,node=x,foo",
            three,
            "1/zone[1=0 2=1] 1/node[a=0 b=2 x=1]",
        ),
        (
            p("foo").spread(tolerated(zone())).spread(host()),
            "a:zone=1,node=a,foo b!:zone=1,node=b x:zone=2,node=x,foo",
            three,
            "1/zone[1=0 2=1] 1/node[a=0 b=2 x=1]",
        ),
        (
            selecting(p("foo")).spread(zone()).spread(host()),
            "a:zone=1,node=a b!:zone=1,node=b,foo x:zone=2,node=x,foo y:zone=2,node=y",
            "a:foo a:foo x:foo y:foo",
            "1/zone[1=0 2=1] 1/node[b=0 x=1]",
        ),
        (
            selecting(p("foo")).spread(anywhere(zone())).spread(tolerated(host())),
            "a:zone=1,node=a b!:zone=1,node=b,foo x:zone=2,node=x,foo y:zone=2,node=y,foo",
            "a:foo a:foo x:foo x:foo y:foo",
            "1/zone[1=2 2=3] 1/node[x=2 y=1]",
        ),
    ]);
}

/// `TestPreFilterState`, `matchLabelKeys`.
#[test]
fn pods_of_the_same_version() {
    let five = "a:foo=a a:foo=a b:foo=a y:foo=a y:foo=a";
    check(vec![
        (
            p("foo,bar=a").spread(by_label("bar", hard("zone", "foo"))),
            FOUR,
            "a:foo a:foo,bar=a b:foo y:foo,bar=a y:bar",
            "1/zone[1=1 2=1]",
        ),
        (p("foo=a").spread(by_label("foo", hard("zone", ""))), FOUR, five, "1/zone[1=3 2=2]"),
        (p("foo").spread(by_label("bar", without_selector(hard("zone", "")))), FOUR, five, "1/zone[1=0 2=0]"),
        // The pod has no such label.
        (p("foo").spread(by_label("bar", hard("zone", "foo"))), FOUR, five, "1/zone[1=3 2=2]"),
    ]);
}

/// `TestPreFilterState`, constraints of the configuration: these, the Service's selector, the pod, what is counted.
#[test]
fn defaults_and_a_service() {
    let one =
        |skew: i32, key: &str, when: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when});
    let (hard_ones, soft_ones) = ("DoNotSchedule", "ScheduleAnyway");
    for (i, (defaults, service, p, expected)) in [
        (
            json!([one(3, "node", hard_ones), one(2, "node", soft_ones), one(5, "rack", hard_ones)]),
            "foo=bar",
            p("foo=bar,baz=kar"),
            "3/node[] 5/rack[]",
        ),
        (json!([one(3, "node", hard_ones)]), "baz=kep", p("foo=bar"), "skip"),
        (
            json!([one(2, "node", hard_ones)]),
            "foo=bar",
            p("foo=bar,baz=tar").spread(hard("zone", "baz=tar")).spread(spread(2, "planet", false, "fot=rok")),
            "1/zone[]",
        ),
        (json!([one(2, "node", soft_ones)]), "foo=bar", p("foo=bar"), "skip"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut cache = cluster(&[], &[]);
        cache.workloads_mut().set(Arc::new(workload(WorkloadKind::Service, "s", service)));
        let view = view(&cache);
        let got = match listed(&defaults).pre_filter(&PodInfo::new(p.arc()), &view) {
            PreFilter::Skip => "skip".to_owned(),
            PreFilter::Continue(state) => told(&state, &view),
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected, "case {i}");
    }
}

/// The pod, the nodes, the pods on them, the one that comes or goes, what is counted then.
type Change<'a> = (PodBuilder, &'a str, &'a str, &'a str, &'a str);

fn check_changes(by: i64, rows: Vec<Change<'_>>) {
    for (i, (p, nodes, pods, one, expected)) in rows.into_iter().enumerate() {
        assert_eq!(counted(p, nodes, pods, Some((one, by))), expected, "case {i}");
    }
}

/// `foo=bar` is on the node that the pod's affinity leaves out.
const OUTSIDE: &str = "a:zone=1,node=a,foo=bar b:zone=2,node=b,foo";
const TAINTED: &str = "a!:zone=1,node=a b:zone=2,node=b";

/// `TestPreFilterStateAddPod`.
#[test]
fn pods_that_come() {
    let node = || p("foo").spread(hard("node", "foo"));
    let zone = || p("foo").spread(hard("zone", "foo"));
    let mixed = || p("foo,bar").spread(hard("zone", "foo")).spread(hard("node", "bar"));
    let (ab, ax) = ("a:zone=1,node=a b:zone=1,node=b", "a:zone=1,node=a x:zone=2,node=x");
    let tolerant = zone().tolerates("node.kubernetes.io/unschedulable", None, None);
    check_changes(
        1,
        vec![
            (node(), ab, "", "a:foo", "1/node[a=1 b=0]"),
            (node(), ab, "b:foo", "a:foo", "1/node[a=1 b=1]"),
            (node(), ab, "b:foo", "a:ns1/foo", "1/node[a=0 b=1]"),
            (node(), ab, "b:foo", "b:foo", "1/node[a=0 b=2]"),
            (both("foo"), ax, "", "a:foo", "1/zone[1=1 2=0] 1/node[a=1 x=0]"),
            (both("foo"), ax, "x:foo", "a:foo", "1/zone[1=1 2=1] 1/node[a=1 x=1]"),
            (both("foo"), ABX, "b:foo b:foo x:foo", "a:foo", "1/zone[1=3 2=1] 1/node[a=1 b=2 x=1]"),
            (mixed(), ABX, "b:foo,bar x:foo,bar x:bar", "a:foo", "1/zone[1=2 2=1] 1/node[a=0 b=1 x=2]"),
            (mixed(), ABX, "b:bar x:foo,bar x:bar", "a:foo,bar", "1/zone[1=1 2=1] 1/node[a=1 b=1 x=2]"),
            (requiring(zone(), "foo notin (bar)"), OUTSIDE, "a:foo b:foo", "a:foo", "1/zone[2=1]"),
            (zone(), OUTSIDE, "a:foo b:foo", "b:foo", "1/zone[1=1 2=2]"),
            (zone(), OUTSIDE, "a:foo b:foo", "b:zone=2", "1/zone[1=1 2=1]"),
            (zone(), TAINTED, "a:foo b:foo", "b:foo", "1/zone[1=1 2=2]"),
            (tolerant, TAINTED, "a:foo b:foo", "b:foo", "1/zone[1=1 2=2]"),
        ],
    );
}

/// `TestPreFilterStateRemovePod`.
#[test]
fn pods_that_go() {
    let zone = || p("foo").spread(hard("zone", "foo"));
    let four = "a:foo b:foo x:foo y:foo";
    check_changes(
        -1,
        vec![
            (zone(), ABX, "a:foo b:foo x:foo", "a:foo", "1/zone[1=1 2=1]"),
            (zone(), FOUR, four, "a:foo", "1/zone[1=1 2=2]"),
            (zone(), FOUR, "a:bar a:foo b:foo x:foo y:foo", "a:bar", "1/zone[1=2 2=2]"),
            // One that was not there.
            (zone(), FOUR, four, "a:bar", "1/zone[1=2 2=2]"),
            (both("foo"), ABX, "a:foo a:foo b:foo x:foo x:foo", "x:foo", "1/zone[1=3 2=1] 1/node[a=2 b=1 x=1]"),
            (requiring(zone(), "foo notin (bar)"), OUTSIDE, "a:foo b:foo", "a:foo", "1/zone[2=1]"),
            (zone(), OUTSIDE, "a:foo b:foo", "b:foo", "1/zone[1=1 2=0]"),
        ],
    );
}
