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

/// A pod on the node that has less to do, with the labels of a ReplicaSet of before.
fn labelled(name: &str, cpu: &str) -> Value {
    let mut old = pod(name, cpu, Some("a"));
    old["metadata"]["labels"] = json!({"app": "web", "pod-template-hash": "5f6d"});
    old
}

#[test]
fn pods_that_are_replaced_count_no_more() {
    // Together they fill their node: as long as they are there, no other pod is.
    let old = |name: &str, owner: &str| {
        let mut old = labelled(name, "1");
        old["metadata"]["ownerReferences"][0] = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": owner, "uid": owner, "controller": true});
        old
    };
    let set = json!({"matchLabels": {"app": "web"}});
    for (owner, expected) in [("web-5f6d", ["a", "b"]), ("other-5f6d", ["b", "b"])] {
        let there = ["x", "y"].map(|name| old(&format!("{owner}-{name}"), owner));
        assert_eq!(places(&there, &[two("Deployment", &set)]), expected, "{owner}");
    }
}

#[test]
fn pods_of_another_template_are_not_spread_from() {
    // Of other owners, and so they stay; all have the labels that the selector of the file names.
    let there = ["x", "y", "z"].map(|name| labelled(name, "50m"));
    let set = json!({"matchLabels": {"app": "web"}});
    for (kind, expected) in [
        // Its ReplicaSet selects by the hash of its template as well.
        ("Deployment", ["a", "b"]),
        ("ReplicaSet", ["b", "b"]),
    ] {
        assert_eq!(places(&there, &[two(kind, &set)]), expected, "{kind}");
    }
}
