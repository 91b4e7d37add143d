//! Upstream's `TestPreferredAffinity` and `TestPreferredAffinityWithHardPodAffinitySymmetricWeight`
//! (`scoring_test.go`). Left out: values that no label can have, which upstream's PreScore refuses. API servers refuse
//! them first.

use super::*;
use crate::plugins::between_pods::nodes_of;

fn p(labels: &str) -> PodBuilder {
    tagged(pod("p"), labels)
}

fn s1() -> PodBuilder {
    p("security=S1")
}

fn s2() -> PodBuilder {
    p("security=S2")
}

fn with_s1(p: PodBuilder) -> PodBuilder {
    p.prefers(5, term("security=S1", "region"))
}

fn with_s2(p: PodBuilder) -> PodBuilder {
    p.prefers(6, term("security=S2", "region"))
}

fn away_from_s1(p: PodBuilder) -> PodBuilder {
    p.avoids(5, term("security=S1", "az"))
}

fn away_from_s2(p: PodBuilder) -> PodBuilder {
    p.avoids(5, term("security=S2", "az"))
}

fn mixed(p: PodBuilder) -> PodBuilder {
    away_from_s2(p.prefers(8, term("security=S1", "region")))
}

/// Pods of the first team, and of one namespace of the second.
fn of_teams() -> PodAffinityTerm {
    PodAffinityTerm {
        namespaces: Box::new(["subteam2.team2".into()]),
        ..by_team(term("security=S1", "region"), "team=team1")
    }
}

fn in_namespace(namespace: &str) -> PodBuilder {
    s1().namespace(namespace)
}

type Row<'a> = (PodBuilder, &'a str, Vec<(&'a str, PodBuilder)>, Option<Vec<i64>>);

fn check(args: &serde_json::Value, rows: Vec<Row<'_>>) {
    for (i, (p, nodes, pods, expected)) in rows.into_iter().enumerate() {
        assert_eq!(scores(args.clone(), p, &nodes_of(nodes), &pods), expected, "case {i}");
    }
}

const THREE: &str = "1:region=China 2:region=India 3:az=az1";
const TWO: &str = "1:region=China 2:region=India";
const FIVE: &str = "1:region=China 2:region=India 3:region=China 4:region=China 5:region=India";

/// The pod, the nodes, the pods on them, the scores; absent when PreScore skips.
#[test]
fn own_preferences() {
    let operators = p("security=S1")
        .prefers(8, term("security!=S1,security=S2", "region"))
        .prefers(2, term("security,!wrongkey", "region"));
    check(
        &json!({}),
        vec![
            (s1(), THREE, vec![], None),
            (with_s1(s1()), THREE, vec![("1", s1()), ("2", s2()), ("3", s1())], Some(vec![100, 0, 0])),
            (
                with_s1(p("")),
                "1:region=China 2:region=China,az=az1 3:region=India",
                vec![("1", s1())],
                Some(vec![100, 100, 0]),
            ),
            (
                with_s2(s1()),
                FIVE,
                vec![("1", s2()), ("1", s2()), ("2", s2()), ("3", s2()), ("4", s2()), ("5", s2())],
                Some(vec![100, 0, 100, 100, 0]),
            ),
            (operators, THREE, vec![("1", s1()), ("2", s2()), ("3", s1())], Some(vec![20, 100, 0])),
            (away_from_s1(s1()), "1:az=az1 2:region=China", vec![("1", s1()), ("2", s2())], Some(vec![0, 100])),
            (away_from_s1(s1()), "1:az=az1 2:region=China", vec![("1", s1()), ("2", s1())], Some(vec![0, 100])),
            (
                away_from_s1(s1()),
                "1:az=az1 2:region=India",
                vec![("1", s1()), ("1", s1()), ("2", s2())],
                Some(vec![0, 100]),
            ),
            (mixed(s1()), "1:region=China 2:az=az1", vec![("1", s1()), ("2", s1())], Some(vec![100, 0])),
            (
                mixed(s1()),
                "1:region=China,az=az1 2:region=India 3:region=China 4:region=China 5:region=India",
                vec![("1", s1()), ("1", s1()), ("2", s1()), ("3", s1()), ("3", s1()), ("4", s1()), ("5", s1())],
                Some(vec![100, 0, 100, 100, 0]),
            ),
            (s2(), "", vec![], None),
        ],
    );
}

/// The same with preferences of the pods on nodes.
#[test]
fn preferences_of_others() {
    let hard = |p: PodBuilder| {
        p.affine(term("security in (S1|value2)", "region")).affine(term("security,!wrongkey", "region"))
    };
    let asked = || vec![("1", mixed(s1())), ("2", with_s2(s2()))];
    check(
        &json!({}),
        vec![
            (s2(), THREE, vec![("1", with_s1(s1())), ("2", with_s2(s2()))], Some(vec![0, 100, 0])),
            (
                in_namespace("subteam1.team1"),
                THREE,
                vec![("1", s1().prefers(5, of_teams())), ("2", with_s2(s2()))],
                Some(vec![100, 0, 0]),
            ),
            (
                in_namespace("subteam1.team1"),
                THREE,
                vec![("1", s1().avoids(5, of_teams())), ("2", with_s2(s2()))],
                Some(vec![0, 100, 100]),
            ),
            (s1(), THREE, vec![("1", hard(s1())), ("2", hard(s2()))], Some(vec![100, 100, 0])),
            (s2(), "1:az=az1 2:az=az2", vec![("1", away_from_s2(s1())), ("2", away_from_s1(s2()))], Some(vec![0, 100])),
            // 8 and -5 of its own, 8 and -5 of the others.
            (
                mixed(s1()),
                "1:region=China 2:az=az1 3:region=India 4:az=az2",
                vec![("1", s1()), ("2", s2()), ("3", mixed(p(""))), ("4", away_from_s1(p("")))],
                Some(vec![100, 0, 100, 0]),
            ),
            // Some nodes of a domain have pods with terms, others have none.
            (s1(), "1:region=China 2:region=China", vec![("1", s1()), ("2", mixed(p("")))], Some(vec![0, 0])),
            (s2(), TWO, asked(), Some(vec![0, 100])),
        ],
    );
    check(&json!({"ignorePreferredTermsOfExistingPods": true}), vec![(s2(), TWO, asked(), None)]);
}

#[test]
fn namespaces_of_terms() {
    let pods = |third: &str| {
        let team1 = || in_namespace("subteam1.team1");
        vec![("1", team1()), ("1", team1()), ("1", in_namespace(third)), ("2", in_namespace("subteam2.team1"))]
    };
    let asking = || in_namespace("subteam1.team1");
    let (near, far) = (|| asking().prefers(5, of_teams()), || asking().avoids(5, of_teams()));
    check(
        &json!({}),
        vec![
            (near(), TWO, pods("subteam1.team2"), Some(vec![100, 0])),
            (near(), TWO, pods("subteam2.team2"), Some(vec![100, 0])),
            (far(), TWO, pods("subteam1.team2"), Some(vec![0, 100])),
            (far(), TWO, pods("subteam2.team2"), Some(vec![0, 100])),
        ],
    );
}

/// Required affinity of the pods on nodes: the weight, the namespace of the pod, the scores.
#[test]
fn hard_affinity() {
    let required = || PodAffinityTerm {
        namespaces: Box::new(["default".into(), "subteam2.team2".into()]),
        ..by_team(term("service=S1", "region"), "team=team1")
    };
    let all = || Some(vec![100, 100, 0]);
    for (weight, namespace, expected) in [
        (1, "default", all()),
        (0, "default", None),
        (1, "subteam1.team2", None),
        (1, "subteam1.team1", all()),
        (1, "subteam2.team2", all()),
    ] {
        let pods = vec![("1", p("").affine(required())), ("2", p("").affine(required()))];
        let asking = p("service=S1").namespace(namespace);
        check(&json!({"hardPodAffinityWeight": weight}), vec![(asking, THREE, pods, expected)]);
    }
}
