use headroom_core::testing::{container, node, pod};
use serde_json::json;

use super::*;
use crate::{Configuration, DecisionResult, Input, Mode, Registry, simulator::Simulator};

mod preempt;

const CONFIG: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- urlPrefix: http://one
  filterVerb: filter
  prioritizeVerb: prioritize
  weight: 5
  nodeCacheCapable: true
";

fn cluster(config: &str) -> Simulator {
    let config = Configuration::from_yaml(config).unwrap();
    let mut s = Simulator::with(config, Registry::in_tree(), Mode::Primary);
    for name in ["n1", "n2", "n3"] {
        s.node(node(name).capacity("4", "8Gi", 10).build());
    }
    s
}

fn names(list: &[&str]) -> Vec<Str> {
    list.iter().map(|n| Str::from(*n)).collect()
}

fn filtered(left: &[&str], failed: &[(&str, &str)], unresolvable: &[(&str, &str)]) -> ExtenderAnswer {
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(n, why)| (Str::from(*n), (*why).to_owned())).collect();
    ExtenderAnswer::Filter { nodes: Some(names(left)), failed: pairs(failed), unresolvable: pairs(unresolvable) }
}

/// Runs until the engine asks, or has nothing to do.
fn ask(s: &mut Simulator) -> Option<ExtenderCall> {
    s.run();
    let mut calls = s.engine.take_calls();
    assert!(calls.len() <= 1, "{calls:?}");
    calls.pop()
}

fn answer(s: &mut Simulator, call: &ExtenderCall, answer: Result<ExtenderAnswer, String>) {
    s.input(Input::Extended { id: call.id, answer });
}

#[test]
fn filters_and_scores_decide_with_the_plugins() {
    let mut s = cluster(CONFIG);
    s.pod(pod("p").requests("100m", "64Mi").build());
    s.pod(pod("q").requests("100m", "64Mi").build());
    let call = ask(&mut s).unwrap();
    assert_eq!(call.request, ExtenderRequest::Filter { nodes: names(&["n1", "n2", "n3"]) });
    assert!(!s.engine.has_work(), "the queue is held: q waits its turn");
    answer(&mut s, &call, Ok(filtered(&["n1", "n3"], &[("n2", "not today")], &[])));
    let call = ask(&mut s).unwrap();
    assert_eq!(call.request, ExtenderRequest::Prioritize { nodes: names(&["n1", "n3"]) });
    answer(&mut s, &call, Ok(ExtenderAnswer::Prioritize(vec![("n1".into(), 0), ("n3".into(), 10)])));
    let next = ask(&mut s).unwrap();
    assert_eq!(s.binds, [("uid-p".into(), "n3".into())]);
    assert_eq!(&*next.pod.name, "q", "then the next pod is asked about");
}

#[test]
fn a_refusal_everywhere_is_told_as_upstream_tells_it() {
    let mut s = cluster(CONFIG);
    s.pod(pod("p").requests("100m", "64Mi").build());
    // The condition that the first attempt writes is an event, too, and so brings the pod back once.
    for _ in 0..2 {
        let call = ask(&mut s).unwrap();
        answer(&mut s, &call, Ok(filtered(&[], &[("n1", "full"), ("n2", "full")], &[("n2", "broken")])));
    }
    assert!(ask(&mut s).is_none());
    let Some(DecisionResult::Unschedulable { message, plugins }) = s.decisions.last().map(|d| &d.result) else {
        panic!("{:?}", s.decisions)
    };
    // n3 is left out in silence, n2's second list counts.
    assert!(message.starts_with("0/3 nodes are available: 1 broken, 1 full."), "{message}");
    assert_eq!(plugins, &[NAME]);
    // Nobody knows what it waits for: any event brings it back.
    s.node(node("n4").capacity("4", "8Gi", 10).build());
    s.advance(3);
    let call = ask(&mut s).unwrap();
    assert!(matches!(&call.request, ExtenderRequest::Filter { nodes } if nodes.len() == 4));
}

#[test]
fn errors_fail_the_pod_unless_the_extender_is_ignorable() {
    let mut s = cluster(CONFIG);
    s.pod(pod("p").requests("100m", "64Mi").build());
    let call = ask(&mut s).unwrap();
    answer(&mut s, &call, Err("connection refused".into()));
    assert!(ask(&mut s).is_none());
    assert!(
        matches!(&s.decisions.last().unwrap().result, DecisionResult::Error { message } if message == "connection refused")
    );

    let ignorable = CONFIG.replace("weight: 5", "weight: 5\n  ignorable: true");
    let mut s = cluster(&ignorable);
    s.pod(pod("p").requests("100m", "64Mi").build());
    for _ in 0..2 {
        let call = ask(&mut s).unwrap();
        answer(&mut s, &call, Err("connection refused".into()));
    }
    assert!(ask(&mut s).is_none());
    assert_eq!(s.binds.len(), 1);
}

#[test]
fn strangers_in_an_answer_and_silence_are_errors() {
    let mut s = cluster(CONFIG);
    s.pod(pod("p").requests("100m", "64Mi").build());
    let call = ask(&mut s).unwrap();
    answer(&mut s, &call, Ok(filtered(&["n9"], &[], &[])));
    assert!(ask(&mut s).is_none());
    let Some(DecisionResult::Error { message }) = s.decisions.last().map(|d| &d.result) else { panic!() };
    assert!(message.contains("\"n9\" which is not found in the input node list"), "{message}");

    s.advance(2);
    let lost = ask(&mut s).unwrap();
    s.advance(11);
    s.run();
    let Some(DecisionResult::Error { message }) = s.decisions.last().map(|d| &d.result) else { panic!() };
    assert_eq!(message, "the extender did not answer in time");
    // An answer that comes after that is for nobody.
    answer(&mut s, &lost, Ok(filtered(&["n1"], &[], &[])));
}

#[test]
fn a_pod_that_goes_while_it_is_asked_about_is_forgotten() {
    let mut s = cluster(CONFIG);
    s.pod(pod("p").requests("100m", "64Mi").build());
    let call = ask(&mut s).unwrap();
    s.delete_pod("uid-p");
    s.pod(pod("q").requests("100m", "64Mi").build());
    answer(&mut s, &call, Ok(filtered(&["n1"], &[], &[])));
    s.run();
    let call = ask(&mut s).unwrap();
    assert_eq!(&*call.pod.name, "q");
}

const BINDER: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- urlPrefix: http://one
  bindVerb: bind
  managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]
";

#[test]
fn what_an_extender_has_ignored_is_the_same_when_written_and_read_again() {
    let registry = Registry::in_tree();
    let written = Configuration::from_yaml(BINDER).unwrap().to_value(&registry);
    assert_eq!(Configuration::from_value(written.clone()).unwrap().to_value(&registry), written);
}

#[test]
fn an_extender_binds_what_it_manages_and_nothing_else() {
    let gpu = |name: &str| {
        pod(name).container(container("c")).spec(|s| {
            s.containers[0].requests.scalars = Box::new([("example.com/gpu".into(), 1)]);
        })
    };
    let mut s = cluster(BINDER);
    s.pod(pod("plain").build());
    assert!(ask(&mut s).is_none());
    assert_eq!(s.binds.len(), 1);
    s.pod(gpu("p").build());
    let call = ask(&mut s).unwrap();
    let ExtenderRequest::Bind { node } = &call.request else { panic!("{call:?}") };
    assert_eq!(s.binds.len(), 1, "nobody else binds it");
    assert!(!node.is_empty());
    answer(&mut s, &call, Ok(ExtenderAnswer::Bound));
    s.run();
    assert!(s.events.iter().any(|e| e.reason == "Scheduled" && e.note.contains("default/p to")), "{:?}", s.events);

    // One that fails is asked for, and tried again.
    s.pod(gpu("q").build());
    let call = ask(&mut s).unwrap();
    answer(&mut s, &call, Err("boom".into()));
    s.run();
    s.advance(3);
    assert!(ask(&mut s).is_some_and(|call| &*call.pod.name == "q"));
}

#[test]
fn the_wire_is_upstreams() {
    let call = |request| ExtenderCall {
        id: IntentId(1),
        extender: 0,
        pod: ObjectKey::new("ns", "p"),
        uid: "u".into(),
        request,
    };
    let filter = ExtenderRequest::Filter { nodes: names(&["a", "b"]) };
    let body = request_body(&call(filter.clone()), json!({"kind": "Pod"}), None);
    assert_eq!(body, json!({"Pod": {"kind": "Pod"}, "Nodes": null, "NodeNames": ["a", "b"]}));
    let body = request_body(&call(filter.clone()), json!({}), Some(vec![json!({"metadata": {"name": "a"}})]));
    assert_eq!(body["Nodes"]["items"][0]["metadata"]["name"], "a");
    let bind = ExtenderRequest::Bind { node: "a".into() };
    assert_eq!(
        request_body(&call(bind.clone()), json!({}), None),
        json!({"PodName": "p", "PodNamespace": "ns", "PodUID": "u", "Node": "a"})
    );

    let read = |request: &ExtenderRequest, cached, body: &str| decode(request, cached, body.as_bytes());
    let answer = r#"{"NodeNames": ["a"], "FailedNodes": {"b": "no"}, "FailedAndUnresolvableNodes": null, "Error": ""}"#;
    assert_eq!(read(&filter, true, answer), Ok(filtered(&["a"], &[("b", "no")], &[])));
    let answer = r#"{"nodes": {"items": [{"metadata": {"name": "b"}}]}}"#;
    assert_eq!(read(&filter, false, answer), Ok(filtered(&["b"], &[], &[])));
    assert_eq!(read(&filter, true, r#"{"Error": "broken"}"#), Err("broken".into()));
    let scores = ExtenderRequest::Prioritize { nodes: names(&["a"]) };
    assert_eq!(
        read(&scores, true, r#"[{"Host": "a", "Score": 7}]"#),
        Ok(ExtenderAnswer::Prioritize(vec![("a".into(), 7)]))
    );
    assert_eq!(read(&bind, true, "{}"), Ok(ExtenderAnswer::Bound));
    for hostile in ["", "[", "7", "{\"NodeNames\": 7}", "[{\"Score\": \"x\"}]", "{\"Nodes\": {\"items\": [{}]}}"] {
        for request in [&filter, &scores, &bind] {
            let _ = read(request, false, hostile);
            let _ = read(request, true, hostile);
        }
    }
}
