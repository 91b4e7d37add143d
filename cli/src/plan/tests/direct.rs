//! `-f` with pods that name their node.

use serde_json::json;

use super::{
    small::{node, pod, saved},
    *,
};

/// A bare pod that asks for so much.
fn bare(name: &str, cpu: &str, on: &str) -> Value {
    let mut pod = pod(name, cpu, None);
    pod["metadata"]["ownerReferences"] = json!([]);
    pod["spec"]["nodeName"] = on.into();
    pod
}

fn fit(nodes: &[Value], asked: &[Value]) -> Plan {
    let asked = file(&saved(asked));
    plan_of(&saved(nodes), &["-f", asked.path().to_str().unwrap()])
}

/// Who is where.
fn places(plan: &Plan) -> Vec<(&str, &str)> {
    plan.placements.iter().map(|placed| (placed.name.as_str(), placed.to.as_str())).collect()
}

/// Who waits, and why.
fn waits(plan: &Plan) -> Vec<(&str, &str)> {
    plan.pending.iter().map(|pod| (pod.name.as_str(), pod.reason.as_str())).collect()
}

#[test]
fn it_is_put_there_whatever_the_scheduler_would_say() {
    let mut tainted = node("b");
    tainted["spec"] = json!({"taints": [{"key": "for", "value": "others", "effect": "NoSchedule"}]});
    let plan = fit(&[node("a"), tainted], &[bare("p", "1500m", "b"), bare("q", "400m", "b")]);
    assert_eq!((places(&plan), plan.fits), (vec![("p", "b"), ("q", "b")], true), "{:?}", plan.pending);
    let load: Vec<(usize, i64)> = plan.nodes.iter().map(|node| (node.pods, node.requested_milli_cpu)).collect();
    assert_eq!(load, [(0, 0), (2, 1900)]);
}

#[test]
fn a_node_that_is_not_there_is_said() {
    let plan = fit(&[node("a")], &[bare("p", "100m", "nope")]);
    assert_eq!((waits(&plan), plan.fits), (vec![("p", "there is no node nope")], false));
    assert_eq!(plan.nodes[0].pods, 0);
    // None is named by an empty name.
    assert_eq!(places(&fit(&[node("a")], &[bare("p", "100m", "")])), [("p", "a")]);
}

#[test]
fn what_the_kubelet_refuses_waits() {
    let of = |asked: &[Value]| fit(&[node("a"), node("b")], asked);
    let plan = of(&[bare("p", "1500m", "a"), bare("q", "600m", "a")]);
    assert_eq!(places(&plan), [("p", "a")], "the other node has room, and is not the one that is named");
    assert_eq!(waits(&plan), [("q", "the kubelet of node a refuses it: Insufficient cpu")]);
    assert!(plan.pending[0].fixes.is_empty());
    let mut large = bare("p", "3", "a");
    large["spec"]["containers"][0]["resources"]["requests"]["memory"] = json!("5Gi");
    let reason = "the kubelet of node a refuses it: Insufficient cpu, Insufficient memory";
    assert_eq!(waits(&of(&[large])), [("p", reason)]);
    let mut full = node("a");
    full["status"]["allocatable"]["pods"] = json!("1");
    let plan = fit(&[full], &[bare("p", "100m", "a"), bare("q", "100m", "a")]);
    assert_eq!(waits(&plan), [("q", "the kubelet of node a refuses it: Too many pods")]);
}

#[test]
fn the_kubelet_looks_at_more_than_the_room() {
    let mut there = node("a");
    there["metadata"]["labels"]["disk"] = json!("ssd");
    there["spec"] = json!({"taints": [{"key": "out", "effect": "NoExecute"}]});
    let mut port = pod("listens", "100m", Some("a"));
    port["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    let asks = |spec: Value| {
        let mut pod = bare("p", "100m", "a");
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        pod
    };
    let affinity = |name: &str| {
        let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        let required = json!({"nodeSelectorTerms": [term]});
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    };
    let container = |more: Value| {
        let mut container = json!({"name": "c", "image": "i"});
        container["ports"] = more["ports"].clone();
        container["resources"] = json!({"requests": more["requests"]});
        json!([container])
    };
    for (spec, reason) in [
        (json!({}), None),
        (json!({"tolerations": []}), Some("node(s) had untolerated taint(s)")),
        (json!({"nodeSelector": {"disk": "ssd"}, "affinity": affinity("a")}), None),
        (json!({"nodeSelector": {"disk": "hdd"}}), Some("node(s) didn't match Pod's node affinity/selector")),
        (json!({"affinity": affinity("b")}), Some("node(s) didn't match Pod's node affinity/selector")),
        (json!({"containers": container(json!({"ports": [{"containerPort": 80}]}))}), None),
        (
            json!({"hostNetwork": true, "containers": container(json!({"ports": [{"containerPort": 80}]}))}),
            Some("node(s) didn't have free ports for the requested pod ports"),
        ),
        (
            json!({"containers": container(json!({"requests": {"ephemeral-storage": "21Gi"}}))}),
            Some("Insufficient ephemeral-storage"),
        ),
        // A kubelet gives out what it has, and does not ask for the rest.
        (json!({"containers": container(json!({"requests": {"example.com/gpu": "1"}}))}), None),
    ] {
        let plan = fit(&[there.clone(), node("b"), port.clone()], &[asks(spec.clone())]);
        let said = reason.map(|reason| format!("the kubelet of node a refuses it: {reason}"));
        let waits = plan.pending.first().map(|pod| pod.reason.clone());
        assert_eq!((waits, plan.fits), (said, reason.is_none()), "{spec}");
    }
}

#[test]
fn daemons_that_name_a_node_are_there_alone() {
    let daemon = |on: &str, cpu: &str| {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
            "spec": {"template": {"spec": {"nodeName": on,
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]}}}})
    };
    let of = |daemon: Value| fit(&[node("a"), node("b")], &[daemon]);
    let plan = of(daemon("b", "100m"));
    assert_eq!((places(&plan), plan.fits), (vec![("agent-on-b", "b")], true));
    let plan = of(daemon("b", "3"));
    let said = "the kubelet of node b refuses it: Insufficient cpu";
    assert_eq!((waits(&plan), plan.fits), (vec![("agent-on-b", said)], false));
    // On one that is not there it has no pods at all.
    let plan = of(daemon("nope", "100m"));
    assert_eq!((places(&plan), waits(&plan), plan.fits), (vec![], vec![], true));
    assert_eq!(places(&of(daemon("", "100m"))), [("agent-on-a", "a"), ("agent-on-b", "b")]);
}

#[test]
fn it_is_there_before_the_queue_is_worked_through() {
    let mut first = bare("first", "1500m", "");
    first["spec"]["priority"] = json!(1000);
    let plan = fit(&[node("a"), node("b")], &[first, bare("named", "1500m", "a")]);
    assert_eq!(places(&plan), [("named", "a"), ("first", "b")], "{:?}", plan.pending);
    let plan = fit(&[node("a")], &[bare("late", "1500m", ""), bare("named", "1500m", "a")]);
    assert_eq!((places(&plan), plan.pending.len()), (vec![("named", "a")], 1));
    assert_eq!(plan.pending[0].name, "late");
}

#[test]
fn workloads_name_nodes_in_their_templates() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "template": {"spec": {"nodeName": "b",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "900m", "memory": "64Mi"}}}]}}}});
    let plan = fit(&[node("a"), node("b")], &[deployment]);
    assert_eq!(places(&plan), [("web-0", "b"), ("web-1", "b")]);
}

/// A Deployment of one pod that names this node, or none.
fn deployment(on: &str, cpu: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "template": {"spec": {"nodeName": on,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]}}}})
}

#[test]
fn what_names_its_node_is_lost_with_it() {
    for (on, lost) in [("b", &[("b", "web-0")][..]), ("a", &[("a", "web-0")]), ("", &[])] {
        let asked = file(&saved(&[deployment(on, "400m")]));
        let nodes = saved(&[node("a"), node("b")]);
        let plan = plan_of(&nodes, &["-f", asked.path().to_str().unwrap(), "--fail-on", "loss"]);
        assert!(plan.fits && plan.losses.len() == 2, "{on}: {plan:?}");
        let of =
            plan.losses.iter().flat_map(|loss| loss.pending.iter().map(move |pod| (loss.node.as_str(), &*pod.name)));
        assert_eq!(of.collect::<Vec<_>>(), lost, "{on}");
    }
}

#[test]
fn rollouts_go_to_the_node_that_their_template_names() {
    let old = |cpu: &str| {
        let mut old = pod("web-5f6d-a", cpu, Some("b"));
        old["metadata"]["labels"] = json!({"pod-template-hash": "5f6d"});
        old["metadata"]["ownerReferences"][0] = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": "web-5f6d", "uid": "web-5f6d", "controller": true});
        old
    };
    let mut tainted = node("b");
    tainted["spec"] = json!({"taints": [{"key": "for", "value": "others", "effect": "NoSchedule"}]});
    for (b, on, cpu, hangs) in [
        // The other node has room, and is not the one that is named.
        (node("b"), "b", "1500m", true),
        (node("b"), "", "1500m", false),
        (node("b"), "a", "1500m", false),
        (node("b"), "b", "400m", false),
        // The scheduler would not put it there, and is not asked.
        (tainted, "b", "400m", false),
    ] {
        let plan = fit(&[node("a"), b, old(cpu)], &[deployment(on, cpu)]);
        let said =
            plan.assumptions.iter().any(|line| line.starts_with("a rollout of default/web is over. It would hang"));
        assert_eq!((plan.fits, said), (true, hangs), "{on:?} {cpu}: {plan:?}");
    }
}

#[test]
fn for_critical_pods_a_kubelet_may_evict_others() {
    for (priority, selector, said) in [
        (1_999_999_999, json!({}), "refuses it: Insufficient cpu"),
        (2_000_000_000, json!({}), "refuses it, unless it evicts others: Insufficient cpu"),
        // Room is not all that it lacks.
        (
            2_000_000_000,
            json!({"disk": "hdd"}),
            "refuses it: Insufficient cpu, node(s) didn't match Pod's node affinity/selector",
        ),
    ] {
        let mut pod = bare("p", "3", "a");
        pod["spec"]["priority"] = json!(priority);
        pod["spec"]["nodeSelector"] = selector;
        let said = format!("the kubelet of node a {said}");
        assert_eq!(waits(&fit(&[node("a")], &[pod])), [("p", said.as_str())]);
    }
}
