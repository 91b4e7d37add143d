//! Ours, much of it after upstream's tables, which are in the files beside this one.

use std::sync::Arc;

use headroom_core::{
    object::PodAffinityTerm,
    testing::{NodeBuilder, PodBuilder, pod, selector, term},
};
use serde_json::json;

use super::*;
use crate::{
    cache::Cache,
    plugins::between_pods::{cluster, filtered, labelled, namespace, reasons, scored, tagged, view},
};

mod filter;
mod hints;
mod score;

const OK: &str = "ok";

fn plugin() -> InterPodAffinity {
    InterPodAffinity::from_args(None).unwrap()
}

fn add_namespaces(cache: &mut Cache) {
    for (name, team) in [
        ("subteam1.team1", "team=team1"),
        ("subteam2.team1", "team=team1"),
        ("subteam1.team2", "team=team2"),
        ("subteam2.team2", "team=team2"),
    ] {
        cache.set_namespace(Arc::new(namespace(name, team)));
    }
}

fn verdicts(p: PodBuilder, nodes: &[NodeBuilder], pods: &[(&str, PodBuilder)]) -> Vec<String> {
    let mut cache = cluster(nodes, pods);
    add_namespaces(&mut cache);
    let info = PodInfo::new(p.arc());
    filtered(&plugin(), &info, &view(&cache)).map_or_else(|| vec!["skip".to_owned()], |all| reasons(&all))
}

fn by_team(t: PodAffinityTerm, team: &str) -> PodAffinityTerm {
    PodAffinityTerm { namespace_selector: Some(selector(team)), ..t }
}

#[test]
fn one_node() {
    let p = |text: &str| tagged(pod("p"), text);
    let scan = || p("service=securityscan");
    let s1 = || p("security=S1");
    let near = || term("service in (securityscan|value2)", "region");
    let far = |key| term("service in (antivirusscan|value2)", key);
    let hates = |key| term("service in (securityscan|value2)", key);
    let exists = |key, topology| term(key, topology);
    let other_namespace = |t| PodAffinityTerm { namespaces: Box::new(["elsewhere".into()]), ..t };
    for (n, (p, placed, expected)) in [
        (p(""), vec![], "skip"),
        (s1().affine(near()), vec![scan()], OK),
        (s1().affine(term("service notin (securityscan3|value3)", "region")), vec![scan()], OK),
        (s1().affine(other_namespace(near())), vec![scan()], REASON_AFFINITY),
        (scan().affine(term("service in (antivirusscan|value2)", "")), vec![scan()], REASON_AFFINITY),
        (
            s1().affine(term("service,!wrong", "region")).affine(term("service=securityscan", "region")),
            vec![scan()],
            OK,
        ),
        (
            s1().affine(term("service,!wrong", "region")).affine(term("service=securityscan2", "region")),
            vec![scan()],
            REASON_AFFINITY,
        ),
        (s1().affine(near()).anti_affine(far("node")), vec![scan()], OK),
        (s1().affine(near()).anti_affine(far("node")), vec![scan().anti_affine(far("node"))], OK),
        (s1().affine(near()).anti_affine(hates("zone")), vec![scan()], REASON_ANTI_AFFINITY),
        (scan().affine(near()).anti_affine(far("node")), vec![scan().anti_affine(hates("zone"))], REASON_EXISTING),
        (scan().affine(term("service notin (securityscan|value2)", "region")), vec![scan()], REASON_AFFINITY),
        (scan(), vec![scan().anti_affine(hates("zone"))], REASON_EXISTING),
        (scan(), vec![scan().anti_affine(term("service notin (securityscan|value2)", "zone"))], "skip"),
        (
            scan().anti_affine(exists("service", "region")).anti_affine(exists("security", "region")),
            vec![s1().anti_affine(exists("security", "zone"))],
            REASON_ANTI_AFFINITY,
        ),
        (
            scan().anti_affine(exists("service", "zone")).anti_affine(exists("security", "zone")),
            vec![s1().anti_affine(exists("security", "zone"))],
            REASON_ANTI_AFFINITY,
        ),
        (
            s1().anti_affine(exists("security", "zone")),
            vec![scan().anti_affine(exists("service", "zone")).anti_affine(exists("security", "zone"))],
            REASON_EXISTING,
        ),
        (
            p("abc,xyz").anti_affine(exists("abc", "zone")).anti_affine(exists("def", "zone")),
            vec![p("def,xyz").anti_affine(exists("abc", "zone")).anti_affine(exists("def", "zone"))],
            REASON_ANTI_AFFINITY,
        ),
        (s1().affine(by_team(near(), "team=team1")), vec![scan().namespace("subteam1.team1")], OK),
        (s1().affine(by_team(near(), "team=team1")), vec![scan().namespace("subteam1.team2")], REASON_AFFINITY),
        (
            s1().namespace("subteam1.team1").anti_affine(by_team(hates("zone"), "team=team1")),
            vec![scan().namespace("subteam2.team1")],
            REASON_ANTI_AFFINITY,
        ),
        (
            s1().namespace("subteam1.team1").anti_affine(by_team(hates("zone"), "")),
            vec![scan().namespace("subteam2.team1")],
            REASON_ANTI_AFFINITY,
        ),
        (
            s1().namespace("subteam1.team1").anti_affine(by_team(hates("zone"), "team=team1")),
            vec![scan().namespace("subteam1.team2")],
            OK,
        ),
        // The same from the other side.
        (
            scan().namespace("subteam2.team1"),
            vec![s1().namespace("subteam1.team1").anti_affine(by_team(hates("zone"), "team=team1"))],
            REASON_EXISTING,
        ),
        (scan().namespace("unknown"), vec![s1().anti_affine(by_team(hates("zone"), "team!=team1"))], REASON_EXISTING),
    ]
    .into_iter()
    .enumerate()
    {
        let placed: Vec<_> = placed.into_iter().map(|p| ("node1", p)).collect();
        assert_eq!(verdicts(p, &[labelled("node1", "region=r1,zone=z11")], &placed), [expected], "case {n}");
    }
}

#[test]
fn several_nodes() {
    let p = |text: &str| tagged(pod("p"), text);
    let n = labelled;
    let regions = || vec![n("a", "region=China"), n("b", "region=China,az=az1"), n("c", "region=India")];
    let zones = || vec![n("a", "region=r1,zone=z1,hostname=a"), n("b", "region=r1,zone=z2,hostname=b")];
    let bare = || vec![n("a", "zone=az1"), n("b", "")];
    let (aff, anti, old) = (REASON_AFFINITY, REASON_ANTI_AFFINITY, REASON_EXISTING);
    for (i, (p, nodes, placed, expected)) in [
        (p("").affine(term("foo=bar", "region")), regions(), vec![("a", p("foo=bar"))], vec![OK, OK, aff]),
        // The first pod of a collection, and only on nodes with the label.
        (
            p("foo=bar,service=x").affine(term("foo=bar", "zone")).affine(term("service=x", "zone")),
            vec![n("a", "zone=az1,hostname=h1"), n("b", "zone=az2,hostname=h2"), n("c", "hostname=h3")],
            vec![],
            vec![OK, OK, aff],
        ),
        // It is not the first one.
        (
            p("foo=bar,service=x").affine(term("foo=bar", "zone")),
            vec![n("a", "zone=az1"), n("b", "zone=az2")],
            vec![("a", p("foo=bar"))],
            vec![OK, aff],
        ),
        (
            p("foo=abc").anti_affine(term("foo in (abc|bar)", "region")),
            vec![n("a", "region=China"), n("b", "region=China")],
            vec![("a", p("foo=abc"))],
            vec![anti, anti],
        ),
        (
            p("foo=abc,service=s").anti_affine(term("foo=abc", "region")).anti_affine(term("service=s", "zone")),
            zones(),
            vec![("a", p("foo=abc")), ("b", p("service=s"))],
            vec![anti, anti],
        ),
        (
            p("foo=123").anti_affine(term("foo=bar", "region")),
            regions(),
            vec![("a", p("foo=bar")), ("c", p("foo=bar").namespace("other"))],
            vec![anti, anti, OK],
        ),
        // An existing pod's term with a label that no node has.
        (
            p("foo"),
            zones(),
            vec![("a", p("").anti_affine(term("foo", "invalid")).anti_affine(term("bar", "zone")))],
            vec!["skip"],
        ),
        (p("foo").anti_affine(term("foo", "invalid")), zones(), vec![("a", p("foo"))], vec![OK, OK]),
        (
            p("foo,bar"),
            zones(),
            vec![("a", p("").anti_affine(term("foo", "zone"))), ("b", p("").anti_affine(term("bar", "zone")))],
            vec![old, old],
        ),
        (
            p("").anti_affine(term("foo", "zone")).anti_affine(term("bar", "zone")),
            zones(),
            vec![("a", p("foo,bar"))],
            vec![anti, OK],
        ),
        (
            p("foo,bar"),
            zones(),
            vec![("a", p("").anti_affine(term("foo", "invalid")).anti_affine(term("bar", "zone")))],
            vec![old, OK],
        ),
        (
            p("foo,bar"),
            vec![n("a", "region=r1,zone=z1"), n("b", "region=r1,zone=z2"), n("c", "region=r2,zone=z3")],
            vec![
                ("a", p("").anti_affine(term("foo", "region")).anti_affine(term("bar", "zone"))),
                ("b", p("").anti_affine(term("bar", "zone")).anti_affine(term("x", "region"))),
            ],
            vec![old, old, OK],
        ),
        // All terms on the same pod.
        (
            p("").affine(term("foo", "region")).affine(term("bar", "zone")),
            zones(),
            vec![("a", p("foo,bar"))],
            vec![OK, aff],
        ),
        (
            p("").affine(term("foo", "region")).affine(term("bar", "zone")),
            zones(),
            vec![("a", p("foo")), ("b", p("bar"))],
            vec![aff, aff],
        ),
        // Nodes without the label are open to those who keep away.
        (p("x").anti_affine(term("x", "zone")), bare(), vec![("a", p("x")), ("b", p("x"))], vec![anti, OK]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(verdicts(p, &nodes, &placed), expected, "case {i}");
    }
}

#[test]
fn invalid_selectors_are_told() {
    let bad = PodAffinityTerm { selector: Some(selector("a in ()")), ..term("", "z") };
    let mut empty = bad.clone();
    empty.selector.as_mut().unwrap().requirements[0].values = Box::default();
    let p = pod("p").affine(empty.clone()).avoids(1, empty);
    let expected = "parsing pod: [requiredAffinityTerms: a label selector is not valid, \
                    preferredAntiAffinityTerms: a label selector is not valid]";
    assert_eq!(verdicts(p, &[labelled("n", "")], &[]), [expected]);
}

fn scores(
    args: serde_json::Value,
    p: PodBuilder,
    nodes: &[NodeBuilder],
    pods: &[(&str, PodBuilder)],
) -> Option<Vec<i64>> {
    let mut cache = cluster(nodes, pods);
    add_namespaces(&mut cache);
    let view = view(&cache);
    let all: Vec<_> = view.nodes().map(|(_, n)| n).collect();
    scored(&InterPodAffinity::from_args(Some(&args)).unwrap(), &PodInfo::new(p.arc()), &all, &view)
}

#[test]
fn preferences() {
    let p = |text: &str| tagged(pod("p"), text);
    let (s1, s2) = (|| p("security=S1"), || p("security=S2"));
    let n = |china: &str, india: &str, az: &str| vec![labelled("1", china), labelled("2", india), labelled("3", az)];
    let three = || n("region=China", "region=India", "az=az1");
    let with_s1 = |p: PodBuilder| p.prefers(5, term("security=S1", "region"));
    let with_s2 = |p: PodBuilder| p.prefers(6, term("security=S2", "region"));
    let away_s1 = |p: PodBuilder| p.avoids(5, term("security=S1", "az"));
    let away_s2 = |p: PodBuilder| p.avoids(5, term("security=S2", "az"));
    let hard =
        |p: PodBuilder| p.affine(term("security in (S1|value2)", "region")).affine(term("security,!wrong", "region"));
    let two = || vec![labelled("1", "az=az1"), labelled("2", "az=az2")];
    let none = json!({});
    for (i, (args, p, nodes, placed, expected)) in [
        (none.clone(), s1(), three(), vec![], None),
        (none.clone(), with_s1(s1()), three(), vec![("1", s1()), ("2", s2()), ("3", s1())], Some(vec![100, 0, 0])),
        (
            none.clone(),
            with_s1(p("")),
            n("region=China", "region=China,az=az1", "region=India"),
            vec![("1", s1())],
            Some(vec![100, 100, 0]),
        ),
        (
            none.clone(),
            p("").prefers(8, term("security!=S1,security=S2", "region")).prefers(2, term("security,!wrong", "region")),
            three(),
            vec![("1", s1()), ("2", s2()), ("3", s1())],
            Some(vec![20, 100, 0]),
        ),
        // Existing pods' preferences and required affinity count for the pod.
        (none.clone(), s2(), three(), vec![("1", with_s1(s1())), ("2", with_s2(s2()))], Some(vec![0, 100, 0])),
        (none.clone(), s1(), three(), vec![("1", hard(s1())), ("2", hard(s2()))], Some(vec![100, 100, 0])),
        (json!({"hardPodAffinityWeight": 0}), s1(), three(), vec![("1", hard(s1()))], None),
        (none.clone(), away_s1(s1()), two(), vec![("1", s1()), ("2", s2())], Some(vec![0, 100])),
        (none.clone(), s2(), two(), vec![("1", away_s2(s1())), ("2", away_s1(s2()))], Some(vec![0, 100])),
        (
            json!({"ignorePreferredTermsOfExistingPods": true}),
            s2(),
            three(),
            vec![("1", with_s1(s1())), ("2", with_s2(s2()))],
            None,
        ),
        // With preferences of its own the existing pods' count all the same.
        (
            json!({"ignorePreferredTermsOfExistingPods": true}),
            with_s1(s2()),
            three(),
            vec![("1", s1()), ("2", with_s2(s2()))],
            Some(vec![83, 100, 0]),
        ),
        (
            none,
            p("").prefers(
                5,
                PodAffinityTerm {
                    namespaces: Box::new(["subteam2.team2".into()]),
                    ..by_team(term("security=S1", "region"), "team=team1")
                },
            ),
            n("region=China", "region=India", "region=Peru"),
            vec![
                ("1", s1().namespace("subteam1.team1")),
                ("2", s1().namespace("subteam1.team2")),
                ("3", s1().namespace("subteam2.team2")),
            ],
            Some(vec![100, 0, 100]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(scores(args, p, &nodes, &placed), expected, "case {i}");
    }
}

/// More terms than are counted one by one, none of which means anybody or names a label of a node.
fn with_idle_terms(p: PodBuilder, add: fn(PodBuilder, PodAffinityTerm) -> PodBuilder) -> PodBuilder {
    (0..200).fold(p, |p, i| add(p, term(&format!("app=idle{i}"), &format!("key{}", i % 100))))
}

#[test]
fn many_terms_are_counted_as_few_are() {
    let nodes = [labelled("n1", "zone=a,node=n1"), labelled("n2", "zone=a,node=n2"), labelled("n3", "zone=b,node=n3")];
    let placed = |text| tagged(pod("x"), text);
    let pods = [
        ("n1", placed("app=db")),
        ("n1", placed("app=web")),
        ("n2", placed("app=db")),
        ("n3", placed("app=web")),
        ("n3", placed("app=web")),
    ];
    for text in ["app=db", "app=web", "app in (db|web)", "app notin (db)", "app=nobody"] {
        for key in ["zone", "node"] {
            let hates = || pod("p").anti_affine(term(text, key));
            let few = verdicts(hates(), &nodes, &pods);
            let many = verdicts(with_idle_terms(hates(), PodBuilder::anti_affine), &nodes, &pods);
            assert_eq!(few, many, "{text} per {key}");
            let likes = || pod("p").prefers(7, term(text, key)).avoids(3, term("app=db", "node"));
            let many = with_idle_terms(likes(), |p, t| p.prefers(1, t));
            assert_eq!(scores(json!({}), likes(), &nodes, &pods), scores(json!({}), many, &nodes, &pods), "{text}");
        }
    }
    // The node under a dry run takes the place of the one in the cache.
    let cache = cluster(&nodes, &pods);
    let mut emptied = cache.node("n1").unwrap().clone();
    emptied.pods.clear();
    let view = View { overlay: Some((emptied.slot, &emptied)), ..view(&cache) };
    let info =
        PodInfo::new(with_idle_terms(pod("p").anti_affine(term("app=web", "zone")), PodBuilder::anti_affine).arc());
    assert_eq!(reasons(&filtered(&plugin(), &info, &view).unwrap()), [OK, OK, REASON_ANTI_AFFINITY]);
}

#[test]
fn hints_after_pods() {
    let cache = cluster(&[], &[]);
    let p = |text: &str| tagged(pod("p"), text);
    let on = |p: PodBuilder| Some(PodInfo::new(p.uid("other").on("n").arc()));
    let near = || p("").affine(term("service=scan", "zone"));
    let far = || p("another=x").anti_affine(term("service=scan", "zone"));
    for (i, (p, old, new, expected)) in [
        (near(), None, on(p("service=scan")), Hint::Queue),
        (near(), None, on(p("service=x")), Hint::Skip),
        (near(), on(p("service=x")), on(p("service=scan")), Hint::Queue),
        (near(), on(p("service=scan")), on(p("service=x")), Hint::Skip),
        (near(), on(p("service=scan")), None, Hint::Skip),
        (far(), on(p("service=scan")), on(p("service=x")), Hint::Queue),
        (far(), None, on(p("service=scan")), Hint::Skip),
        (far(), on(p("service=scan")), None, Hint::Queue),
        (far(), on(p("service=x")), None, Hint::Skip),
        (p("a=b"), on(p("").anti_affine(term("a=b", "zone"))), None, Hint::Queue),
        (p("a=c"), on(p("").anti_affine(term("a=b", "zone"))), None, Hint::Skip),
        (near(), None, Some(PodInfo::new(p("service=scan").uid("other").arc())), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Pod { old, new };
        assert_eq!(plugin().hint(&change, &PodInfo::new(p.arc()), &view(&cache)), expected, "case {i}");
    }
    let itself = PodInfo::new(p("a=b").arc());
    let change = Change::Pod { old: Some(itself.clone()), new: Some(itself.clone()) };
    assert_eq!(plugin().hint(&change, &itself, &view(&cache)), Hint::Queue);
}

#[test]
fn hints_after_nodes() {
    let cache = cluster(&[], &[]);
    let p = || pod("p");
    let n = |text: &str| labelled("n", text).arc();
    let (near, far) = (|| p().affine(term("x", "zone")), || p().anti_affine(term("x", "zone")));
    for (i, (p, old, new, expected)) in [
        (near(), None, n("zone=a"), Hint::Queue),
        (near(), None, n("other=a"), Hint::Skip),
        (near(), Some(n("")), n("zone=a"), Hint::Queue),
        (near(), Some(n("zone=a")), n("zone=b"), Hint::Queue),
        (near(), Some(n("zone=a")), n("zone=a,x=y"), Hint::Skip),
        (near(), Some(n("zone=a")), n(""), Hint::Skip),
        (far(), None, n("other=a"), Hint::Queue),
        (far(), Some(n("zone=a")), n(""), Hint::Queue),
        (far(), Some(n("zone=a")), n("zone=b"), Hint::Queue),
        (far(), Some(n("")), n("zone=a"), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let change = Change::Node { old, new: Some(new) };
        assert_eq!(plugin().hint(&change, &PodInfo::new(p.arc()), &view(&cache)), expected, "case {i}");
    }
}

#[test]
fn arguments() {
    for weight in [-1, 101] {
        let error = InterPodAffinity::from_args(Some(&json!({"hardPodAffinityWeight": weight}))).unwrap_err();
        assert_eq!(error.path, "hardPodAffinityWeight");
    }
    assert!(InterPodAffinity::from_args(Some(&json!({"hardPodAffinityweight": 1}))).is_err());
    assert!(InterPodAffinity::from_args(Some(&json!({"kind": "InterPodAffinityArgs"}))).is_ok());
}
