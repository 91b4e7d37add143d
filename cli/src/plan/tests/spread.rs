//! `-f` and default topology spreading, which asks who owns a pod and which Services select it.

use serde_json::json;

use super::{
    small::{node, pod, saved},
    *,
};

/// Two small pods of a workload of this kind, whose labels say `app: web`.
fn two(kind: &str, selector: &Value) -> Value {
    let version = match kind {
        "ReplicationController" => "v1",
        "Job" => "batch/v1",
        _ => "apps/v1",
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"},
        "spec": {"replicas": 2, "parallelism": 2, "selector": selector, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}}}})
}

fn service(namespace: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace},
           "spec": {"selector": {"app": app}}})
}

/// Where they go, when one of two nodes has less to do: both to that one, unless something spreads them.
fn places(there: &[Value], asked: &[Value]) -> Vec<String> {
    let cluster = [&[node("a"), node("b"), pod("busy", "500m", Some("b"))][..], there].concat();
    let asked = file(&saved(asked));
    let plan = plan_of(&saved(&cluster), &["-f", asked.path().to_str().unwrap()]);
    assert!(plan.fits && plan.placements.len() == 2, "{plan:?}");
    plan.placements.into_iter().map(|placed| placed.to).collect()
}

#[test]
fn pods_of_a_file_are_spread_as_those_of_the_cluster_are() {
    let (set, labels, none) = (json!({"matchLabels": {"app": "web"}}), json!({"app": "web"}), Value::Null);
    for (kind, selector, spread) in [
        ("Deployment", &set, true),
        ("ReplicaSet", &set, true),
        ("StatefulSet", &set, true),
        ("ReplicationController", &labels, true),
        ("ReplicationController", &none, true),
        ("Deployment", &none, false),
        ("Job", &none, false),
    ] {
        let expected = if spread { ["a", "b"] } else { ["a", "a"] };
        assert_eq!(places(&[], &[two(kind, selector)]), expected, "{kind} {selector}");
    }
}

#[test]
fn services_spread_what_they_select() {
    let job = two("Job", &Value::Null);
    for (there, asked, expected) in [
        (vec![], vec![service("default", "web")], ["a", "b"]),
        (vec![service("default", "web")], vec![], ["a", "b"]),
        (vec![], vec![service("default", "other")], ["a", "a"]),
        (vec![], vec![service("shop", "web")], ["a", "a"]),
        // The one of the file replaces that of the cluster.
        (vec![service("default", "web")], vec![service("default", "other")], ["a", "a"]),
    ] {
        let asked = [&asked[..], std::slice::from_ref(&job)].concat();
        assert_eq!(places(&there, &asked), expected, "{there:?} {asked:?}");
    }
}

#[test]
fn pods_that_are_replaced_count_no_more() {
    // The old ones are on the node that has less to do; they are gone first, and the new ones are of another ReplicaSet.
    let old = |name: &str| {
        let mut old = pod(name, "100m", Some("a"));
        old["metadata"]["labels"] = json!({"app": "web", "pod-template-hash": "5f6d"});
        old["metadata"]["ownerReferences"][0] = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": "web-5f6d", "uid": "web-5f6d", "controller": true});
        old
    };
    let set = json!({"matchLabels": {"app": "web"}});
    assert_eq!(places(&[old("web-5f6d-a"), old("web-5f6d-b")], &[two("Deployment", &set)]), ["a", "b"]);
}
