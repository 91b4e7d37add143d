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
fn what_the_kubelet_has_no_room_for_waits() {
    let of = |asked: &[Value]| fit(&[node("a"), node("b")], asked);
    let plan = of(&[bare("p", "1500m", "a"), bare("q", "600m", "a")]);
    assert_eq!(places(&plan), [("p", "a")], "the other node has room, and is not the one that is named");
    assert_eq!(waits(&plan), [("q", "node a has no room for it: Insufficient cpu")]);
    assert!(plan.pending[0].fixes.is_empty());
    let mut large = bare("p", "3", "a");
    large["spec"]["containers"][0]["resources"]["requests"]["memory"] = json!("5Gi");
    let reason = "node a has no room for it: Insufficient cpu, Insufficient memory";
    assert_eq!(waits(&of(&[large])), [("p", reason)]);
    let mut full = node("a");
    full["status"]["allocatable"]["pods"] = json!("1");
    let plan = fit(&[full], &[bare("p", "100m", "a"), bare("q", "100m", "a")]);
    assert_eq!(waits(&plan), [("q", "node a has no room for it: Too many pods")]);
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
