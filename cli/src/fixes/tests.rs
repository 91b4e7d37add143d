use headroom_engine::{Configuration, Registry};
use serde_json::{Value, json};

use super::*;
use crate::snapshot::{Snapshot, now};

fn node(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
           "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "10"},
                      "capacity": {"cpu": cpu, "memory": memory, "pods": "10"}}})
}

fn pod(name: &str, spec: Value, owner: Option<&str>) -> Value {
    let owners: Vec<Value> = owner
        .map(|kind| json!({"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "o", "controller": true}))
        .into_iter()
        .collect();
    json!({"kind": "Pod", "metadata": {"name": name, "ownerReferences": owners}, "spec": spec})
}

fn asks(requests: Value) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": requests}}]})
}

fn on(node: &str, mut spec: Value) -> Value {
    spec["nodeName"] = node.into();
    spec
}

/// A sample of a node of 1 GiB with 2 GiB of swap.
fn sample(name: &str, working_set: i64, behavior: &str) -> Value {
    json!({"kind": "NodeHeadroom", "apiVersion": "headroom.dev/v1alpha1", "metadata": {"name": name},
           "status": {"observedAt": "2026-11-22T10:00:00Z", "source": "Kubelet", "intervalSeconds": 15,
                      "memory": {"capacityBytes": 1_i64 << 30, "workingSetBytes": working_set << 20, "evictionHardBytes": 0},
                      "swap": {"behavior": behavior, "capacityBytes": 2_i64 << 30, "usedBytes": 0}}})
}

fn with_swap(mut node: Value) -> Value {
    node["status"]["nodeInfo"] = json!({"swap": {"capacity": 2_i64 << 30}});
    node
}

/// What is said for the pod `web`, kind and text.
fn fixes(objects: Vec<Value>) -> Vec<(String, String)> {
    let snapshot = Snapshot::from_objects(objects);
    let at = snapshot.time().unwrap_or(headroom_core::Timestamp::from_secs(1_800_000_000));
    let mut engine = snapshot.engine(Configuration::default(), Registry::in_tree(), at).unwrap();
    let (pods, nodes) = snapshot.pods_and_nodes();
    let pod = snapshot.pod("default", "web").unwrap();
    let explained = engine.explain(pod, now(at));
    let found = find(&mut engine, &explained, pod, &pods, &nodes, now(at));
    assert_eq!(engine.explain(pod, now(at)), explained, "the engine is left as it was");
    let whole = snapshot.explain_and_fix(Configuration::default(), Registry::in_tree(), at, "default", "web");
    let whole = whole.unwrap().unwrap();
    assert_eq!(whole.fixes, found.iter().map(|fix| serde_json::to_value(fix).unwrap()).collect::<Vec<_>>());
    assert_eq!(PodExplanation { fixes: Vec::new(), ..whole }, explained, "the rest is the same");
    found.into_iter().map(|fix| (fix.kind.to_owned(), fix.text)).collect()
}

#[test]
fn a_pod_that_fits_needs_nothing() {
    assert_eq!(fixes(vec![node("a", "1", "1Gi"), pod("web", asks(json!({"cpu": "1"})), None)]), []);
}

#[test]
fn requests_are_lowered_no_further_than_needed() {
    let found = fixes(vec![node("a", "1", "1Gi"), pod("web", asks(json!({"memory": "2Gi"})), None)]);
    assert_eq!(found, [("LowerRequest".into(), "lower its memory request from 2048Mi to 1024Mi: it goes to a".into())]);
    let found = fixes(vec![node("a", "1", "1Gi"), pod("web", asks(json!({"cpu": "1500m"})), None)]);
    assert_eq!(found, [("LowerRequest".into(), "lower its CPU request from 1500m to 1000m: it goes to a".into())]);
    // To a tenth: that is no advice.
    assert_eq!(fixes(vec![node("a", "1", "1Gi"), pod("web", asks(json!({"cpu": "10"})), None)]), []);
}

#[test]
fn of_a_guaranteed_pod_the_limit_is_lowered_as_well() {
    let both = json!({"cpu": "100m", "memory": "2Gi"});
    let spec = json!({"containers": [{"name": "c", "resources": {"requests": both, "limits": both}}]});
    let found = fixes(vec![node("a", "1", "1Gi"), pod("web", spec, None)]);
    assert_eq!(found[0].1, "lower its memory request and limit from 2048Mi to 1024Mi: it goes to a");
}

#[test]
fn the_smallest_pod_that_has_another_place_is_moved() {
    let small = || asks(json!({"cpu": "500m"}));
    let objects = |owner: Option<&str>, room: &str| {
        let mut web = asks(json!({"cpu": "1500m"}));
        web["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
        vec![
            node("a", "2", "4Gi"),
            node("b", room, "4Gi"),
            pod("big", on("a", asks(json!({"cpu": "500m", "memory": "1Gi"}))), Some("ReplicaSet")),
            pod("other", on("a", small()), owner),
            pod("web", web, None),
        ]
    };
    let moves = |found: Vec<(String, String)>| {
        found.into_iter().filter(|(kind, _)| kind == "MovePod").map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(moves(fixes(objects(Some("ReplicaSet"), "1"))), ["move pod default/other to b: it goes to a"]);
    // Nobody would start it again; and there is no room for it.
    assert_eq!(moves(fixes(objects(None, "1"))), ["move pod default/big to b: it goes to a"]);
    assert_eq!(moves(fixes(objects(Some("DaemonSet"), "1"))), ["move pod default/big to b: it goes to a"]);
    assert_eq!(moves(fixes(objects(Some("ReplicaSet"), "100m"))), Vec::<String>::new());
}

#[test]
fn what_a_moved_pod_frees_counts_once() {
    // C 1024, floor 82, and the pods hold 100 MiB each: with W 900 it takes both of them to make room for 230.
    let cluster = |working_set: i64| {
        let idle = |name: &str| {
            let mut this = pod(name, on("a", asks(json!({}))), Some("ReplicaSet"));
            this["status"] = json!({"phase": "Running", "startTime": "2026-11-22T09:00:00Z",
                                    "conditions": [{"type": "Ready", "status": "True"}]});
            this
        };
        let usage = |name: &str| {
            json!({"namespace": "default", "name": name, "uid": format!("Pod/default/{name}"),
                   "workingSetBytes": 100_i64 << 20})
        };
        let mut measured = sample("a", working_set, "NoSwap");
        measured["status"]["pods"] = json!([usage("p1"), usage("p2")]);
        let mut web = asks(json!({}));
        web["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
        let mut web = pod("web", web, None);
        web["metadata"]["annotations"] = json!({"headroom.dev/memory-hint": "230Mi"});
        vec![node("a", "2", "1Gi"), node("b", "2", "4Gi"), measured, idle("p1"), idle("p2"), web]
    };
    assert_eq!(fixes(cluster(900)), []);
    assert_eq!(fixes(cluster(800)), [("MovePod".into(), "move pod default/p1 to b: it goes to a".into())]);
}

#[test]
fn the_smallest_node_that_helps_is_added() {
    let found = fixes(vec![
        node("large", "4", "8Gi"),
        node("small", "1", "1Gi"),
        node("middle", "2", "4Gi"),
        pod("filler", on("large", asks(json!({"cpu": "4"}))), None),
        pod("filler-2", on("middle", asks(json!({"cpu": "2"}))), None),
        pod("filler-3", on("small", asks(json!({"cpu": "1"}))), None),
        pod("web", asks(json!({"cpu": "1500m"})), None),
    ]);
    assert_eq!(found, [("AddNode".into(), "add a node like middle (4096Mi): it goes there".into())]);
}

#[test]
fn swap_for_pods_that_declare_nothing_and_for_nodes_that_give_none() {
    // It is taken to need 1.15 * 230 = 264.5 MiB; headroom is 1024 - 700 - 81.9 = 242.1 MiB.
    let profile = json!({"kind": "MemoryProfile", "apiVersion": "headroom.dev/v1alpha1",
        "metadata": {"name": "replicaset-o", "namespace": "default"},
        "status": {"workload": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o"},
            "containers": [{"name": "c", "image": "i", "peakBytes": 230_i64 << 20, "samples": 50,
                "firstObservedAt": "2026-11-22T09:00:00Z", "observedAt": "2026-11-22T10:00:00Z"}]}});
    let cluster = |node: Value, behavior: &str, spec: Value| {
        vec![
            node,
            sample("a", 700, behavior),
            profile.clone(),
            json!({"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": {"name": "o", "namespace": "default", "uid": "o"},
                   "spec": {"selector": {"matchLabels": {"app": "o"}}}}),
            pod("web", spec, Some("ReplicaSet")),
        ]
    };
    let nothing = || json!({"containers": [{"name": "c", "image": "i"}]});
    let swaps = || with_swap(node("a", "1", "1Gi"));
    let cpu_alone = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "10m"}}}]});
    for spec in [nothing(), cpu_alone] {
        let found = fixes(cluster(swaps(), "LimitedSwap", spec));
        assert_eq!(found[0].0, "RequestMemory", "{found:?}");
    }
    // The second node's kubelet does not say how much swap there is: its sample does.
    for node in [swaps(), node("a", "1", "1Gi")] {
        let found = fixes(cluster(node, "NoSwap", asks(json!({"memory": "200Mi"}))));
        assert!(
            found.contains(&("AllowSwap".into(), "set the kubelet of a to LimitedSwap: it goes to a".into())),
            "{found:?}"
        );
        assert!(found.iter().all(|(kind, _)| kind != "RequestMemory"), "it asks already: {found:?}");
    }
}
