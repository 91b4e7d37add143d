//! Ours, some of it after upstream's tables, which are in the files beside this one.

use std::sync::Arc;

use headroom_core::{
    object::{NodeInclusion, TopologySpreadConstraint, WorkloadKind},
    taint::Effect,
    testing::{NodeBuilder, PodBuilder, pod, spread, workload},
};
use serde_json::json;

use super::{constraints::HOSTNAME, *};
use crate::{
    cache::Cache,
    plugins::between_pods::{cluster, filtered, labelled, reasons, scored, statuses, tagged, view},
};

mod filter;
mod hints;
mod score;

const OK: &str = "ok";
const MISSING: &str = REASON_MISSING_LABEL;

fn plugin() -> PodTopologySpread {
    PodTopologySpread::from_args(None).unwrap()
}

fn p(text: &str) -> PodBuilder {
    tagged(pod("p"), text)
}

/// `counts[i]` pods labelled `foo` on the i-th node.
fn placed<'a>(nodes: &[&'a str], counts: &[usize]) -> Vec<(&'a str, PodBuilder)> {
    nodes.iter().zip(counts).flat_map(|(n, count)| (0..*count).map(|_| (*n, p("foo")))).collect()
}

const NAMES: [&str; 4] = ["node-a", "node-b", "node-x", "node-y"];

/// Nodes a and b in zone1, x and y in zone2.
fn zones() -> Vec<NodeBuilder> {
    let zone = |i: usize| if i < 2 { "zone1" } else { "zone2" };
    NAMES.iter().enumerate().map(|(i, n)| labelled(n, &format!("zone={},node={n}", zone(i)))).collect()
}

fn verdicts(p: PodBuilder, nodes: &[NodeBuilder], pods: &[(&str, PodBuilder)]) -> Vec<String> {
    let cache = cluster(nodes, pods);
    let info = PodInfo::new(p.arc());
    filtered(&plugin(), &info, &view(&cache)).map_or_else(|| vec!["skip".to_owned()], |all| reasons(&all))
}

fn hard(skew: i32, key: &str) -> TopologySpreadConstraint {
    spread(skew, key, true, "foo")
}

#[test]
fn one_constraint() {
    let no = REASON;
    let foo = || p("foo");
    let on = |key: &str, skew| foo().spread(hard(skew, key));
    let domains = |n| TopologySpreadConstraint { min_domains: n, ..hard(1, "zone") };
    let by_version =
        || TopologySpreadConstraint { match_label_keys: Box::new(["v".into(), "x".into()]), ..hard(1, "zone") };
    let counts = |c: [usize; 4]| placed(&NAMES, &c);
    for (i, (p, pods, expected)) in [
        (foo(), vec![], vec!["skip"]),
        (on("zone", 1), vec![], vec![OK; 4]),
        (on("zone", 1), counts([1, 0, 0, 0]), vec![no, no, OK, OK]),
        (p("").spread(hard(1, "zone")), counts([1, 1, 0, 0]), vec![no, no, OK, OK]),
        (p("").spread(hard(1, "zone")), counts([1, 0, 0, 0]), vec![OK; 4]),
        (on("zone", 1), counts([2, 1, 0, 3]), vec![OK; 4]),
        (on("zone", 2), counts([1, 1, 0, 0]), vec![no, no, OK, OK]),
        (on("node", 1), counts([2, 1, 0, 3]), vec![no, no, OK, no]),
        (on("node", 2), counts([2, 1, 0, 3]), vec![no, OK, OK, no]),
        (on("nowhere", 1), counts([1, 0, 0, 0]), vec![MISSING; 4]),
        (p("bar").spread(hard(1, "node")), counts([2, 1, 0, 3]), vec![no, OK, OK, no]),
        // Too few domains: the minimum is 0.
        (foo().spread(domains(2)), counts([1, 0, 1, 0]), vec![OK; 4]),
        (foo().spread(domains(3)), counts([1, 0, 1, 0]), vec![no; 4]),
        // Another namespace does not count.
        (on("zone", 1), vec![("node-a", p_in("other"))], vec![OK; 4]),
        (on("zone", 1), vec![("node-a", foo().deleted(5))], vec![OK; 4]),
        (
            p("foo,v=1").spread(by_version()),
            vec![("node-a", tagged(pod("q"), "foo,v=1")), ("node-x", tagged(pod("q"), "foo,v=2"))],
            vec![no, no, OK, OK],
        ),
        // No selector: nothing counts. An empty one: as in 1.36, nothing but the pod itself.
        (
            foo().spread(TopologySpreadConstraint { selector: None, ..hard(1, "zone") }),
            counts([3, 0, 0, 0]),
            vec![OK; 4],
        ),
        (foo().spread(spread(1, "zone", true, "")), counts([3, 0, 0, 0]), vec![OK; 4]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(verdicts(p, &zones(), &pods), expected, "case {i}");
    }
}

fn p_in(namespace: &str) -> PodBuilder {
    p("foo").namespace(namespace)
}

#[test]
fn several_constraints() {
    let no = REASON;
    let both = |zone: i32, node: i32| p("foo").spread(hard(zone, "zone")).spread(hard(node, "node"));
    for (i, (p, counts, expected)) in [
        (both(1, 1), [2, 1, 0, 3], vec![no, no, OK, no]),
        (both(1, 1), [2, 1, 1, 3], vec![no, OK, no, no]),
        (both(1, 2), [1, 1, 0, 0], vec![no, no, OK, OK]),
        (both(2, 2), [2, 1, 0, 3], vec![no, OK, OK, no]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(verdicts(p, &zones(), &placed(&NAMES, &counts)), expected, "case {i}");
    }
    // A node without one of the labels is neither counted nor open.
    let mut nodes = zones();
    nodes[1] = labelled("node-b", "node=node-b");
    assert_eq!(verdicts(both(1, 1), &nodes, &placed(&NAMES, &[1, 3, 0, 1])), [no, MISSING, OK, no]);
    // Two constraints on one key.
    let bar = spread(1, "zone", true, "bar");
    let pods = [
        ("node-a", p("foo,bar")),
        ("node-b", p("foo")),
        ("node-x", p("bar")),
        ("node-y", p("foo,bar")),
        ("node-y", p("bar")),
    ];
    assert_eq!(verdicts(p("foo,bar").spread(hard(1, "zone")).spread(bar), &zones(), &pods), [no; 4]);
}

#[test]
fn nodes_that_do_not_count() {
    let no = REASON;
    let only = |p: PodBuilder| p.node_selector("disk", "ssd");
    let mut nodes = zones();
    for n in &mut nodes[..2] {
        *n = n.clone().label("disk", "ssd");
    }
    let pods = placed(&NAMES, &[1, 1, 0, 0]);
    // Only zone1 counts: nothing is ever too skewed there; where the pod may not go the count is 0.
    assert_eq!(verdicts(only(p("foo")).spread(hard(1, "zone")), &nodes, &pods), [OK; 4]);
    let ignoring = |c| TopologySpreadConstraint { node_affinity: NodeInclusion::Ignore, ..c };
    assert_eq!(verdicts(only(p("foo")).spread(ignoring(hard(1, "zone"))), &nodes, &pods), [no, no, OK, OK]);
    let mut nodes = zones();
    for n in &mut nodes[2..] {
        *n = n.clone().taint("k", "v", Effect::NoSchedule);
    }
    let honoring = |c| TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..c };
    assert_eq!(verdicts(p("foo").spread(hard(1, "zone")), &nodes, &pods), [no, no, OK, OK]);
    assert_eq!(verdicts(p("foo").spread(honoring(hard(1, "zone"))), &nodes, &pods), [OK; 4]);
    let tolerant = p("foo").tolerates("k", None, None).spread(honoring(hard(1, "zone")));
    assert_eq!(verdicts(tolerant, &nodes, &pods), [no, no, OK, OK]);
}

#[test]
fn pods_come_and_go() {
    let cache = cluster(&zones(), &placed(&NAMES, &[2, 1, 0, 1]));
    let view = view(&cache);
    let info = PodInfo::new(p("foo").spread(hard(1, "zone")).arc());
    let PreFilter::Continue(state) = plugin().pre_filter(&info, &view) else { panic!() };
    let verdict = |state: &FilterState| reasons(&statuses(&plugin(), state, &info, &view));
    assert_eq!(verdict(&state), [REASON, REASON, OK, OK]);
    let mut copy = state.clone();
    let node = |name: &str| view.cache.node(name).unwrap();
    let other = PodInfo::new(p("foo").uid("o").arc());
    plugin().add_pod(&mut copy, &info, &other, node("node-x"), &view);
    assert_eq!(verdict(&copy), [REASON, REASON, OK, OK], "3 and 2");
    plugin().add_pod(&mut copy, &info, &other, node("node-y"), &view);
    assert_eq!(verdict(&copy), [OK; 4], "3 and 3");
    plugin().add_pod(&mut copy, &info, &other, node("node-y"), &view);
    assert_eq!(verdict(&copy), [OK, OK, REASON, REASON], "3 and 4: the minimum is the other domain's");
    let mut copy = state.clone();
    for _ in 0..3 {
        plugin().remove_pod(&mut copy, &info, &other, node("node-a"), &view);
    }
    assert_eq!(verdict(&copy), [OK, OK, REASON, REASON], "0 and 1");
    let mut copy = state.clone();
    for stranger in [p("bar"), p_in("other")] {
        plugin().add_pod(&mut copy, &info, &PodInfo::new(stranger.arc()), node("node-x"), &view);
    }
    assert_eq!(verdict(&copy), verdict(&state));
}

fn scores_of(plugin: &PodTopologySpread, p: PodBuilder, cache: &Cache, feasible: &[&str]) -> Option<Vec<i64>> {
    let view = view(cache);
    let nodes: Vec<_> = feasible.iter().map(|n| cache.node(n).unwrap()).collect();
    scored(plugin, &PodInfo::new(p.arc()), &nodes, &view)
}

#[test]
fn scores_by_hostname() {
    let nodes = ["a", "b", "c", "d"];
    let host = |n: &&str| labelled(n, &format!("{HOSTNAME}={n}"));
    let soft = |skew| spread(skew, HOSTNAME, false, "foo");
    let own = |skew| p("foo").spread(soft(skew));
    for (p, counts, feasible, expected) in [
        (own(1), &[0, 0][..], &nodes[..2], &[100, 100][..]),
        (own(1), &[2, 1], &nodes[..1], &[100]),
        (own(1), &[1, 1], &nodes[..2], &[100, 100]),
        (own(1), &[2, 1, 0, 3], &nodes, &[20, 60, 100, 0]),
        (own(2), &[2, 1, 0, 3], &nodes, &[33, 66, 100, 16]),
        (own(3), &[4, 3, 2, 1], &nodes, &[44, 66, 77, 100]),
        (own(1), &[4, 2, 1, 3], &nodes[..3], &[33, 83, 100]),
        (
            p("foo").spread(TopologySpreadConstraint { selector: None, ..soft(1) }),
            &[2, 1, 0, 3],
            &nodes,
            &[100, 100, 100, 100],
        ),
    ] {
        let all: Vec<_> = nodes[..counts.len()].iter().map(host).collect();
        let cache = cluster(&all, &placed(&nodes, counts));
        assert_eq!(scores_of(&plugin(), p, &cache, feasible).as_deref(), Some(expected), "{counts:?}");
    }
    // A node without the label gets nothing.
    let mut all: Vec<_> = nodes.iter().map(host).collect();
    all[1] = labelled("b", "n=b");
    let cache = cluster(&all, &placed(&nodes, &[4, 2, 1, 3]));
    assert_eq!(scores_of(&plugin(), own(1), &cache, &["a", "b", "c"]), Some(vec![16, 0, 100]));
}

#[test]
fn scores_by_zone_and_hostname() {
    let node = |n: &str, zone: &str| labelled(n, &format!("zone={zone},{HOSTNAME}={n}"));
    let nodes: Vec<_> = NAMES.iter().enumerate().map(|(i, n)| node(n, if i < 2 { "zone1" } else { "zone2" })).collect();
    let zone = || spread(1, "zone", false, "foo");
    let host = || spread(1, HOSTNAME, false, "foo");
    for (p, counts, feasible, expected) in [
        (p("foo").spread(zone()), [4, 2, 1, 3], &NAMES[..3], &[75, 75, 100][..]),
        (p("foo").spread(zone()).spread(host()), [2, 1, 2, 4], &["node-a", "node-x"], &[100, 63]),
        (p("foo").spread(zone()).spread(host()), [0, 0, 0, 0], &NAMES, &[100, 100, 100, 100]),
    ] {
        let cache = cluster(&nodes, &placed(&NAMES, &counts));
        assert_eq!(scores_of(&plugin(), p, &cache, feasible).as_deref(), Some(expected), "{counts:?}");
    }
}

#[test]
fn system_defaults() {
    let nodes = ["a", "b", "c", "d"];
    let all: Vec<_> = nodes.iter().map(|n| labelled(n, &format!("{HOSTNAME}={n}"))).collect();
    let mut cache = cluster(&all, &placed(&nodes, &[4, 3, 2, 1]));
    assert_eq!(scores_of(&plugin(), p("foo"), &cache, &nodes), None, "nothing says who belongs together");
    cache.workloads_mut().set(Arc::new(workload(WorkloadKind::Service, "s", "foo=")));
    // Nodes without a zone: as with one constraint on the host name with a skew of 3.
    assert_eq!(scores_of(&plugin(), p("foo"), &cache, &nodes), Some(vec![44, 66, 77, 100]));
    assert_eq!(scores_of(&plugin(), p("bar"), &cache, &nodes), None);
    let own = p("foo").spread(hard(1, HOSTNAME));
    assert_eq!(scores_of(&plugin(), own, &cache, &nodes), None, "the pod's own replace the defaults");
    // With a list of one's own, nodes need every label, and hard ones filter.
    let args = json!({"defaultingType": "List", "defaultConstraints": [
        {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"},
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]});
    let listed = PodTopologySpread::from_args(Some(&args)).unwrap();
    assert_eq!(scores_of(&listed, p("foo"), &cache, &nodes), Some(vec![0, 0, 0, 0]));
    let info = PodInfo::new(p("foo").arc());
    let all = filtered(&listed, &info, &view(&cache)).unwrap();
    assert_eq!(reasons(&all), [REASON, REASON, REASON, OK]);
    let info = PodInfo::new(p("bar").owner("ReplicaSet", "rs", "u").arc());
    assert!(filtered(&listed, &info, &view(&cache)).is_none());
    cache.workloads_mut().set(Arc::new(workload(WorkloadKind::ReplicaSet, "rs", "bar=")));
    let all = filtered(&listed, &info, &view(&cache)).unwrap();
    assert_eq!(reasons(&all), [OK; 4]);
}

#[test]
fn hints_after_pods() {
    let cache = cluster(&[], &[]);
    let placed = |text: &str| Some(PodInfo::new(p(text).uid("other").on("n").arc()));
    let own = || p("foo,baz").spread(hard(1, "node"));
    let elsewhere = Some(PodInfo::new(p_in("x").uid("other").on("n").arc()));
    let waiting = Some(PodInfo::new(p("foo").uid("other").arc()));
    for (i, (old, new, expected)) in [
        (None, placed("foo"), Hint::Queue),
        (None, placed("bar"), Hint::Skip),
        (None, elsewhere, Hint::Skip),
        (None, waiting, Hint::Skip),
        (placed("foo"), placed("bar"), Hint::Queue),
        (placed("bar"), placed("foo"), Hint::Queue),
        (placed("foo"), placed("foo,x"), Hint::Skip),
        (placed("foo"), placed("foo"), Hint::Skip),
        (placed("foo"), None, Hint::Queue),
        (placed("bar"), None, Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Pod { old, new };
        assert_eq!(plugin().hint(&change, &PodInfo::new(own().arc()), &view(&cache)), expected, "case {i}");
    }
    // The pod itself: its labels, and its tolerations when taints count.
    let itself = |p: PodBuilder| PodInfo::new(p.arc());
    let honor = TopologySpreadConstraint { node_taints: NodeInclusion::Honor, ..hard(1, "node") };
    for (old, new, expected) in [
        (own(), p("bar").spread(hard(1, "node")), Hint::Queue),
        (own(), own(), Hint::Skip),
        (own(), own().tolerates("k", None, None), Hint::Skip),
        (p("foo").spread(honor.clone()), p("foo").spread(honor).tolerates("k", None, None), Hint::Queue),
    ] {
        let new = itself(new);
        let change = Change::Pod { old: Some(itself(old)), new: Some(new.clone()) };
        assert_eq!(plugin().hint(&change, &new, &view(&cache)), expected);
    }
}

#[test]
fn hints_after_nodes() {
    let cache = cluster(&[], &[]);
    let both = p("foo").spread(hard(1, "zone")).spread(hard(1, "node"));
    let n = |text: &str| Some(labelled("n", text).arc());
    let tainted = Some(labelled("n", "zone=a,node=n").taint("k", "v", Effect::NoSchedule).arc());
    for (i, (old, new, expected)) in [
        (None, n("zone=a,node=n"), Hint::Queue),
        (None, n("zone=a"), Hint::Skip),
        (n("zone=a,node=n"), None, Hint::Queue),
        (n("zone=a"), None, Hint::Skip),
        (n("zone=a"), n("zone=a,node=n"), Hint::Queue),
        (n("zone=a,node=n"), n("zone=b"), Hint::Queue),
        (n("zone=a,node=n"), n("zone=b,node=n"), Hint::Queue),
        (n("zone=a,node=n"), n("zone=a,node=n,x=y"), Hint::Skip),
        (n("zone=a"), n("zone=b"), Hint::Skip),
        (n("zone=a,node=n"), tainted, Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Node { old, new };
        assert_eq!(plugin().hint(&change, &PodInfo::new(both.clone().arc()), &view(&cache)), expected, "case {i}");
    }
}

#[test]
fn absurd_constraints_do_not_overflow() {
    let nodes = zones();
    let pods = placed(&NAMES, &[1, 0, 0, 0]);
    for skew in [i32::MIN, 0, i32::MAX] {
        let c = |hard| TopologySpreadConstraint { min_domains: i32::MAX, ..spread(skew, "zone", hard, "foo") };
        verdicts(p("foo").spread(c(true)), &nodes, &pods);
        let cache = cluster(&nodes, &pods);
        let info = PodInfo::new(p("foo").spread(c(false)).arc());
        let PreScore::Continue(state) = plugin().pre_score(&info, &[cache.node("node-a").unwrap()], &view(&cache))
        else {
            panic!()
        };
        let raw = plugin().score(&state, &info, cache.node("node-a").unwrap()).unwrap();
        let mut bounds = None;
        plugin().bound(&mut bounds, &raw);
        plugin().normalize(&raw, &bounds);
    }
}
