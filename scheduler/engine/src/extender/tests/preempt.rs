//! Extenders with a `preemptVerb` (`callExtenders`, `ProcessPreemption`).

use super::*;

const ONE: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- urlPrefix: http://one
  preemptVerb: preempt
  nodeCacheCapable: true
";

/// Room can be made on `n1` and on `n2`; without anybody else's word `n1` is chosen, since `a` is less important.
fn contested(config: &str) -> Simulator {
    let config = Configuration::from_yaml(config).unwrap();
    let mut s = Simulator::with(config, Registry::in_tree(), Mode::Primary);
    for (victim, on, priority) in [("a", "n1", 10), ("b", "n2", 50)] {
        s.node(node(on).capacity("4", "8Gi", 10).build());
        s.pod(pod(victim).on(on).requests("3", "1Gi").priority(priority).build());
    }
    s.pod(pod("p").requests("3", "1Gi").priority(1000).build());
    s
}

fn victims(node: &str, pod: &str) -> NodeVictims {
    let pods = vec![(ObjectKey::new("default", pod), Str::from(format!("uid-{pod}").as_str()))];
    NodeVictims { node: node.into(), pods, violations: 0 }
}

fn named(node: &str, pods: &[&str]) -> NamedVictims {
    NamedVictims { node: node.into(), pods: names(pods), violations: 0 }
}

fn preempt(named: Vec<NamedVictims>) -> Result<ExtenderAnswer, String> {
    Ok(ExtenderAnswer::Preempt(named))
}

/// What the extender is asked, by node.
fn asked(call: &ExtenderCall) -> Vec<NodeVictims> {
    let ExtenderRequest::Preempt { nodes } = &call.request else { panic!("{call:?}") };
    let mut nodes = nodes.clone();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    nodes
}

/// Asks once and answers; the message of the decision that follows.
fn told(s: &mut Simulator, said: Result<ExtenderAnswer, String>) -> String {
    let call = ask(s).unwrap();
    answer(s, &call, said);
    assert!(s.step());
    s.message("uid-p").to_owned()
}

#[test]
fn the_extender_says_where_room_is_made() {
    let mut s = contested(ONE);
    let call = ask(&mut s).unwrap();
    assert_eq!(asked(&call), [victims("n1", "a"), victims("n2", "b")]);
    assert!(s.deletions.is_empty() && !s.engine.has_work(), "nobody goes before it has answered");
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b"])]));
    assert!(ask(&mut s).is_none());
    assert_eq!(s.deletions, names(&["uid-b"]));
    assert_eq!(s.pods["uid-p"].status.nominated_node_name.as_deref(), Some("n2"));
    assert_eq!(s.engine.stats().preemption_attempts, 1, "a cycle that is run again is the same attempt");
    let first = s.decisions.iter().find(|d| d.uid == "uid-p").unwrap();
    assert_eq!(first.attempts, 1);
    s.finish_deletions();
    s.advance(2);
    assert!(ask(&mut s).is_none());
    assert_eq!(s.node_of("uid-p"), Some("n2"));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn a_pod_that_it_names_may_be_another_than_those_found() {
    let mut s = contested(ONE);
    s.pod(pod("c").on("n2").requests("100m", "1Mi").priority(5).build());
    let call = ask(&mut s).unwrap();
    assert_eq!(asked(&call)[1], victims("n2", "b"), "c may stay");
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b", "uid-c"])]));
    s.run();
    assert_eq!(s.deletions, names(&["uid-b", "uid-c"]));
}

#[test]
fn an_error_ends_the_attempt_unless_the_extender_is_ignorable() {
    let mut s = contested(ONE);
    let message = told(&mut s, Err("connection refused".into()));
    assert!(message.ends_with("2 Insufficient cpu. preemption: connection refused"), "{message}");
    s.deliver();
    assert!(s.deletions.is_empty());
    assert_eq!(s.pods["uid-p"].status.nominated_node_name, None);

    let mut s = contested(&format!("{ONE}  ignorable: true\n"));
    told(&mut s, Err("connection refused".into()));
    s.deliver();
    assert_eq!(s.deletions, names(&["uid-a"]));

    // Silence is an error.
    let mut s = contested(ONE);
    ask(&mut s).unwrap();
    s.advance(11);
    s.run();
    assert!(s.message("uid-p").ends_with("preemption: the extender did not answer in time"), "{:?}", s.decisions);
}

#[test]
fn strangers_in_its_answer_are_errors() {
    for (said, wanted) in [
        (named("n9", &["uid-a"]), "nodeinfo not found for node name \"n9\""),
        (
            named("n1", &["uid-b"]),
            "extender: http://one claims to preempt pod (UID: &{uid-b}) on node: n1, but the pod is not found on that node",
        ),
        (named("n1", &[]), "expected at least one victim pod on node \"n1\""),
    ] {
        let mut s = contested(ONE);
        let message = told(&mut s, preempt(vec![said, named("n2", &["uid-b"])]));
        assert!(message.ends_with(&format!(" preemption: {wanted}")), "{message}");
        s.deliver();
        assert!(s.deletions.is_empty());
    }
    // An ignorable one may leave a node without victims: it is left out.
    let mut s = contested(&format!("{ONE}  ignorable: true\n"));
    told(&mut s, preempt(vec![named("n1", &[]), named("n2", &["uid-b"])]));
    s.deliver();
    assert_eq!(s.deletions, names(&["uid-b"]));
}

#[test]
fn it_may_refuse_every_node() {
    let mut s = contested(ONE);
    let message = told(&mut s, preempt(Vec::new()));
    assert!(message.ends_with("preemption: no candidate node for preemption"), "{message}");
    s.deliver();
    assert!(s.deletions.is_empty());
}

#[test]
fn each_is_asked_about_what_the_ones_before_have_left() {
    let more = "- {urlPrefix: http://other, preemptVerb: preempt, managedResources: [{name: example.com/gpu}]}
- {urlPrefix: http://deaf, preemptVerb: preempt, ignorable: true}
- {urlPrefix: http://last, preemptVerb: preempt}
";
    let mut s = contested(&format!("{ONE}{more}"));
    let call = ask(&mut s).unwrap();
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b"])]));
    let call = ask(&mut s).unwrap();
    assert_eq!(call.extender, 2, "the second one does not manage what the pod asks for");
    assert_eq!(asked(&call), [victims("n2", "b")]);
    answer(&mut s, &call, Err("deaf".into()));
    let call = ask(&mut s).unwrap();
    assert_eq!((call.extender, asked(&call)), (3, vec![victims("n2", "b")]));
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b"])]));
    s.run();
    assert_eq!(s.deletions, names(&["uid-b"]));

    // Once nothing is left nobody else is asked.
    let mut s = contested(&format!("{ONE}{more}"));
    told(&mut s, preempt(Vec::new()));
    assert!(ask(&mut s).is_none());
}

#[test]
fn what_changes_while_it_is_asked_counts() {
    let mut s = contested(ONE);
    let call = ask(&mut s).unwrap();
    s.node(node("n3").capacity("4", "8Gi", 10).build());
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b"])]));
    s.run();
    assert_eq!((s.node_of("uid-p"), s.deletions.len()), (Some("n3"), 0), "there is room now");

    let mut s = contested(ONE);
    let call = ask(&mut s).unwrap();
    s.delete_pod("uid-p");
    answer(&mut s, &call, preempt(vec![named("n2", &["uid-b"])]));
    s.run();
    assert!(s.deletions.is_empty());
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn one_that_filters_too_is_asked_for_both_in_one_attempt() {
    let mut s = contested(&ONE.replace("preemptVerb", "filterVerb: filter\n  preemptVerb"));
    s.node(node("n3").capacity("4", "8Gi", 10).build());
    let call = ask(&mut s).unwrap();
    assert_eq!(call.request, ExtenderRequest::Filter { nodes: names(&["n3"]) });
    answer(&mut s, &call, Ok(filtered(&[], &[("n3", "not here")], &[])));
    let call = ask(&mut s).unwrap();
    assert_eq!(asked(&call), [victims("n1", "a"), victims("n2", "b")]);
    answer(&mut s, &call, preempt(vec![named("n1", &["uid-a"])]));
    s.run();
    assert_eq!(s.deletions, names(&["uid-a"]));
}

#[test]
fn the_wire_is_upstreams_for_preemption_too() {
    let call = |nodes| ExtenderCall {
        id: IntentId(1),
        extender: 0,
        pod: ObjectKey::new("default", "p"),
        uid: "uid-p".into(),
        request: ExtenderRequest::Preempt { nodes },
    };
    let mut two = victims("n1", "a");
    two.pods.push((ObjectKey::new("default", "gone"), "uid-gone".into()));
    two.violations = 1;
    let cached = request_body(&call(vec![two.clone()]), json!({"kind": "Pod"}), None);
    assert_eq!(
        cached,
        json!({"Pod": {"kind": "Pod"}, "NodeNameToVictims": null, "NodeNameToMetaVictims":
            {"n1": {"Pods": [{"UID": "uid-a"}, {"UID": "uid-gone"}], "NumPDBViolations": 1}}})
    );
    // Whole pods: one that is gone is left out, and so is one that has taken its name since.
    let a = json!({"metadata": {"name": "a", "uid": "uid-a"}, "spec": {"nodeName": "n1"}});
    let stranger = json!({"metadata": {"name": "gone", "uid": "uid-new"}});
    let whole = request_body(&call(vec![two]), json!({}), Some(vec![stranger, a.clone()]));
    assert_eq!(
        whole,
        json!({"Pod": {}, "NodeNameToMetaVictims": null, "NodeNameToVictims":
            {"n1": {"Pods": [a], "NumPDBViolations": 1}}})
    );

    let request = ExtenderRequest::Preempt { nodes: Vec::new() };
    let read = |body: &str| decode(&request, false, body.as_bytes());
    let said = r#"{"NodeNameToMetaVictims": {"n1": {"Pods": [{"UID": "u1"}, {"uid": "u2"}], "NumPDBViolations": 2}}}"#;
    let n1 = NamedVictims { violations: 2, ..named("n1", &["u1", "u2"]) };
    assert_eq!(read(said), preempt(vec![n1]));
    assert_eq!(read(r#"{"nodeNameToMetaVictims": null}"#), preempt(Vec::new()));
    let nulls = r#"{"nodenametometavictims": {"n1": null, "n2": {"Pods": null, "NumPDBViolations": null}}}"#;
    assert_eq!(read(nulls), preempt(vec![named("n1", &[]), named("n2", &[])]));
    assert_eq!(read("{}"), preempt(Vec::new()));
    assert!(read(r#"{"NodeNameToMetaVictims": {"n1": {"Pods": [{}]}}}"#).unwrap_err().contains("no UID"));
    for hostile in ["", "7", "[]", r#"{"NodeNameToMetaVictims": 7}"#, r#"{"NodeNameToMetaVictims": {"n": [7]}}"#] {
        let _ = read(hostile);
    }
}
