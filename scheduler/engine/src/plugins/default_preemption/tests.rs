//! Upstream's tables (`default_preemption_test.go`), told by `explain`, which decides as the engine does.

use headroom_core::{
    Str, Timestamp,
    object::{PodCondition, PodDisruptionBudget, PreemptionPolicy, Status as ConditionStatus},
    testing::{PodBuilder, budget, node, pod},
};
use serde_json::json;

mod course;

use super::*;
use crate::{Mode, simulator::Simulator};

const MID: i32 = 100;
const HIGH: i32 = 1000;

/// A node of this many CPUs.
fn with_nodes(cpus: &[(&str, u32)]) -> Simulator {
    let mut s = Simulator::new(Mode::Primary);
    for (name, cpu) in cpus {
        s.node(node(name).capacity(&cpu.to_string(), "32Gi", 110).build());
    }
    s
}

/// A pod on a node that started at this second after the epoch of the test.
fn on(name: &str, node: &str, cpu: u32, priority: i32, started: i64) -> PodBuilder {
    let at = Timestamp::from_secs(1_700_000_000 + started);
    pod(name)
        .on(node)
        .requests(&cpu.to_string(), "1Gi")
        .priority(priority)
        .label("app", name)
        .with(move |p| p.status.start_time = Some(at))
}

fn wanting(cpu: u32) -> PodBuilder {
    pod("preemptor").requests(&cpu.to_string(), "1Gi").priority(HIGH)
}

/// The node on which `p` would preempt, and whom.
fn would(s: &Simulator, p: PodBuilder) -> (Option<String>, Vec<String>) {
    let e = s.engine.explain(&p.build(), s.now);
    assert!(!e.result.scheduled, "it fits: {:?}", e.result);
    let mut victims: Vec<_> = e.result.victims.iter().map(|v| v.name.to_string()).collect();
    victims.sort();
    (e.result.nominated_node.map(|n| n.to_string()), victims)
}

fn message(s: &Simulator, p: PodBuilder) -> String {
    s.engine.explain(&p.build(), s.now).result.message
}

struct Case {
    what: &'static str,
    nodes: &'static [(&'static str, u32)],
    pods: Vec<PodBuilder>,
    budgets: Vec<PodDisruptionBudget>,
    wants: u32,
    node: Option<&'static str>,
    victims: &'static [&'static str],
}

fn check(cases: Vec<Case>) {
    for c in cases {
        let mut s = with_nodes(c.nodes);
        for p in c.pods {
            s.pod(p.build());
        }
        for b in c.budgets {
            s.budget(b);
        }
        let (node, victims) = would(&s, wanting(c.wants));
        assert_eq!(
            (node.as_deref(), &*victims),
            (c.node, &*c.victims.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()),
            "{}",
            c.what
        );
    }
}

#[test]
fn whom_to_remove_from_a_node() {
    let one: &[(&str, u32)] = &[("n", 5)];
    check(vec![
        Case {
            what: "nobody of less priority",
            nodes: one,
            pods: vec![on("a", "n", 3, HIGH, 0)],
            budgets: vec![],
            wants: 4,
            node: None,
            victims: &[],
        },
        Case {
            what: "all of them do not suffice",
            nodes: one,
            pods: vec![on("a", "n", 2, HIGH, 0), on("b", "n", 1, 0, 0)],
            budgets: vec![],
            wants: 5,
            node: None,
            victims: &[],
        },
        Case {
            what: "the more important one is reprieved",
            nodes: one,
            pods: vec![on("low", "n", 2, 0, 0), on("mid", "n", 2, MID, 0)],
            budgets: vec![],
            wants: 3,
            node: Some("n"),
            victims: &["low"],
        },
        Case {
            what: "among equals the older one is reprieved",
            nodes: one,
            pods: vec![on("young", "n", 2, 0, 9), on("old", "n", 2, 0, 1)],
            budgets: vec![],
            wants: 3,
            node: Some("n"),
            victims: &["young"],
        },
        Case {
            what: "one that has not started is the youngest",
            nodes: one,
            pods: vec![on("new", "n", 2, 0, 0).with(|p| p.status.start_time = None), on("old", "n", 2, 0, 1)],
            budgets: vec![],
            wants: 3,
            node: Some("n"),
            victims: &["new"],
        },
        Case {
            what: "small ones stay where the large one goes",
            nodes: one,
            pods: vec![on("big", "n", 3, MID, 0), on("s1", "n", 1, 0, 0), on("s2", "n", 1, 0, 0)],
            budgets: vec![],
            wants: 3,
            node: Some("n"),
            victims: &["big"],
        },
        Case {
            what: "a protected one is reprieved before a more important one",
            nodes: one,
            pods: vec![on("kept", "n", 2, 0, 0), on("mid", "n", 2, MID, 0)],
            budgets: vec![budget("b", "app", "kept", 0)],
            wants: 3,
            node: Some("n"),
            victims: &["mid"],
        },
        Case {
            what: "a budget that allows one protects the second",
            nodes: one,
            pods: vec![
                on("a", "n", 2, 0, 1).label("group", "x"),
                on("b", "n", 2, 0, 2).label("group", "x"),
                on("c", "n", 1, MID, 3),
            ],
            budgets: vec![budget("b", "group", "x", 1)],
            wants: 2,
            node: Some("n"),
            victims: &["a"],
        },
        Case {
            what: "who was granted an eviction is not protected",
            nodes: one,
            pods: vec![on("low", "n", 2, 0, 0), on("mid", "n", 2, MID, 0)],
            budgets: vec![PodDisruptionBudget {
                disrupted_pods: Box::new(["low".into()]),
                ..budget("b", "app", "low", 0)
            }],
            wants: 3,
            node: Some("n"),
            victims: &["low"],
        },
        Case {
            what: "budgets of other namespaces, and with an empty selector, protect nobody",
            nodes: one,
            pods: vec![on("low", "n", 2, 0, 0), on("mid", "n", 2, MID, 0)],
            budgets: vec![
                {
                    let mut b = budget("b", "app", "low", 0);
                    b.meta.key.namespace = "other".into();
                    b
                },
                PodDisruptionBudget { selector: Some(Default::default()), ..budget("empty", "x", "y", 0) },
            ],
            wants: 3,
            node: Some("n"),
            victims: &["low"],
        },
        Case {
            what: "all are protected: it is done all the same",
            nodes: one,
            pods: vec![on("a", "n", 4, 0, 0)],
            budgets: vec![budget("b", "app", "a", 0)],
            wants: 3,
            node: Some("n"),
            victims: &["a"],
        },
    ]);
}

#[test]
fn which_node() {
    let two: &[(&str, u32)] = &[("n1", 4), ("n2", 4)];
    let three: &[(&str, u32)] = &[("n1", 4), ("n2", 4), ("n3", 4)];
    let case = |what, nodes, pods, budgets, node, victims| Case { what, nodes, pods, budgets, wants: 4, node, victims };
    check(vec![
        case(
            "fewest violated budgets, whatever the priority",
            two,
            vec![on("a", "n1", 4, 0, 0), on("b", "n2", 4, MID, 0)],
            vec![budget("b", "app", "a", 0)],
            Some("n2"),
            &["b"],
        ),
        case(
            "lowest highest priority",
            two,
            vec![on("a", "n1", 2, MID, 0), on("b", "n2", 2, 50, 0), on("c", "n2", 2, 50, 0)],
            vec![],
            Some("n2"),
            &["b", "c"],
        ),
        case(
            "smallest sum of priorities",
            two,
            vec![on("a", "n1", 2, MID, 0), on("b", "n1", 2, 50, 0), on("c", "n2", 2, MID, 0), on("d", "n2", 2, 10, 0)],
            vec![],
            Some("n2"),
            &["c", "d"],
        ),
        case(
            "few of a negative priority are better than many",
            two,
            vec![on("a", "n1", 2, -5, 0), on("b", "n1", 2, -5, 0), on("c", "n2", 4, -5, 0)],
            vec![],
            Some("n2"),
            &["c"],
        ),
        case(
            "the latest start of the most important victims",
            three,
            vec![
                on("a", "n1", 2, MID, 5),
                on("b", "n1", 2, MID, 40),
                on("c", "n2", 2, MID, 20),
                on("d", "n2", 2, MID, 30),
                on("e", "n3", 2, MID, 10),
                on("f", "n3", 2, MID, 50),
            ],
            vec![],
            Some("n2"),
            &["c", "d"],
        ),
        case(
            "starts of less important victims do not count",
            two,
            vec![on("a", "n1", 2, MID, 20), on("b", "n1", 2, 0, 1), on("c", "n2", 2, MID, 10), on("d", "n2", 2, 0, 50)],
            vec![],
            Some("n1"),
            &["a", "b"],
        ),
    ]);
}

#[test]
fn messages_when_it_does_not_help() {
    let mut s = with_nodes(&[("n1", 4), ("n2", 2), ("n3", 4)]);
    s.node(node("n4").capacity("4", "32Gi", 110).unschedulable().build());
    s.pod(on("a", "n1", 4, HIGH, 0).build());
    s.pod(on("b", "n3", 1, 0, 0).build());
    s.pod(on("c", "n3", 2, HIGH, 0).build());
    let start = "0/4 nodes are available: 1 node(s) were unschedulable, 3 Insufficient cpu. no new claims to deallocate, \
                 preemption: ";
    assert_eq!(
        message(&s, wanting(4)),
        format!(
            "{start}0/4 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, \
             2 Preemption is not helpful for scheduling."
        )
    );
    let polite = wanting(3).spec(|x| x.preemption_policy = PreemptionPolicy::Never);
    assert_eq!(message(&s, polite), format!("{start}not eligible due to preemptionPolicy=Never."));
    // PreFilter that rejects for good before DynamicResources' turn: stock's words.
    let nowhere = wanting(1).spec(|x| {
        use headroom_core::{
            object::{Affinity, NodeAffinity},
            selector::{NodeSelector, NodeSelectorTerm, Operator, Requirement},
        };
        let named = |name: &str| Requirement {
            key: "metadata.name".into(),
            operator: Operator::In,
            values: Box::new([name.into()]),
        };
        let term =
            NodeSelectorTerm { match_expressions: Box::new([]), match_fields: Box::new([named("n1"), named("n2")]) };
        let required = Some(NodeSelector { terms: Box::new([term]) });
        let node = Some(NodeAffinity { required, preferred: Box::new([]) });
        x.affinity = Some(Box::new(Affinity { node, ..Affinity::default() }));
    });
    assert_eq!(message(&s, nowhere), "0/4 nodes are available: pod affinity terms conflict. not found");
    let without = wanting(1).spec(|x| x.unsupported = "claims".into());
    assert_eq!(
        message(&s, without),
        "0/4 nodes are available: pod needs what this scheduler does not support: claims."
    );
}

#[test]
fn terminating_victims_on_the_nominated_node_are_waited_for() {
    let leaving = |p: PodBuilder, reason: &str| {
        let condition = PodCondition {
            kind: "DisruptionTarget".into(),
            status: ConditionStatus::True,
            reason: reason.into(),
            message: Str::default(),
            last_transition: None,
            observed_generation: 0,
        };
        p.deleted(1_800_000_030).with(move |p| p.status.conditions = Box::new([condition]))
    };
    let nominated = || wanting(4).with(|p| p.status.nominated_node_name = Some("n1".into()));
    for (reason, waits) in [("PreemptionByScheduler", true), ("EvictionByEvictionAPI", false)] {
        let mut s = with_nodes(&[("n1", 4), ("n2", 4)]);
        s.pod(leaving(on("a", "n1", 4, 0, 0), reason).build());
        s.pod(on("b", "n2", 4, MID, 0).build());
        let text = message(&s, nominated());
        let told = text.ends_with("preemption: not eligible due to a terminating pod on the nominated node.");
        assert_eq!(told, waits, "{text}");
        if waits {
            // The nominated node cannot be helped any more: another one is looked for.
            s.node(node("n1").capacity("4", "32Gi", 110).unschedulable().build());
            assert_eq!(would(&s, nominated()), (Some("n2".to_owned()), vec!["b".to_owned()]));
        }
    }
}

#[test]
fn pods_nominated_to_the_node_count() {
    let mut s = with_nodes(&[("n", 4)]);
    s.pod(on("a", "n", 2, 0, 0).build());
    s.pod(on("b", "n", 2, MID, 0).build());
    // The place of `a` is promised to somebody of the same priority, so `b` has to go as well.
    s.pod(
        pod("vip")
            .gate("g")
            .requests("2", "1Gi")
            .priority(HIGH)
            .with(|p| {
                p.status.nominated_node_name = Some("n".into());
            })
            .build(),
    );
    assert_eq!(would(&s, wanting(2)), (Some("n".to_owned()), vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn the_search_ends_with_enough_candidates() {
    let args = |json| Args::decode(Some(&json)).unwrap();
    assert_eq!(args(json!({})).candidates(5000), 500);
    assert_eq!(args(json!({})).candidates(300), 100);
    assert_eq!(args(json!({})).candidates(7), 7);
    assert_eq!(args(json!({"minCandidateNodesPercentage": 1, "minCandidateNodesAbsolute": 0})).candidates(50), 0);
    assert_eq!(args(json!({"minCandidateNodesAbsolute": 1, "minCandidateNodesPercentage": 100})).candidates(9), 9);
    for (json, expected) in [
        (
            json!({"minCandidateNodesPercentage": 101}),
            "minCandidateNodesPercentage: 101 is not allowed: not in valid range [0, 100]",
        ),
        (
            json!({"minCandidateNodesPercentage": -1}),
            "minCandidateNodesPercentage: -1 is not allowed: not in valid range [0, 100]",
        ),
        (
            json!({"minCandidateNodesAbsolute": -1}),
            "minCandidateNodesAbsolute: -1 is not allowed: not in valid range [0, inf)",
        ),
        (
            json!({"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0}),
            "minCandidateNodesPercentage: cannot be zero at the same time as minCandidateNodesAbsolute",
        ),
        (
            json!({"minCandidates": 0}),
            "minCandidates: unknown field `minCandidates`, expected `minCandidateNodesPercentage` or `minCandidateNodesAbsolute`",
        ),
    ] {
        assert_eq!(DefaultPreemption::from_args(Some(&json)).unwrap_err().to_string(), expected);
    }
}
