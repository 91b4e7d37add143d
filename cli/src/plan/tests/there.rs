//! `-f` with what is in the cluster already.

use serde_json::json;

use super::{
    small::{node, pod, saved},
    *,
};

/// A pod that the other object manages.
fn pod_of(name: &str, kind: &str, owner: &str, cpu: &str) -> Value {
    let mut pod = pod(name, cpu, Some("a"));
    let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    pod["metadata"]["ownerReferences"][0] =
        json!({"apiVersion": group, "kind": kind, "name": owner, "uid": owner, "controller": true});
    if kind == "ReplicaSet" {
        pod["metadata"]["labels"] = json!({"pod-template-hash": "5f6d"});
    }
    pod
}

/// A workload whose pods ask for so much.
fn workload(kind: &str, name: &str, more: &str, cpu: &str) -> String {
    let group = if kind == "Job" { "batch" } else { "apps" };
    format!(
        "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{more} template: {{spec: \
         {{containers: [{{name: c, resources: {{requests: {{cpu: {cpu}, memory: 64Mi}}}}}}]}}}}}}\n---\n"
    )
}

fn fit(objects: &[Value], text: &str) -> Plan {
    let objects = [&[node("a")][..], objects].concat();
    let text = file(text);
    plan_of(&saved(&objects), &["-f", text.path().to_str().unwrap()])
}

/// How many pods there are on the one node, and what they request, thousandths of a core.
fn load(plan: &Plan) -> (usize, i64) {
    (plan.nodes[0].pods, plan.nodes[0].requested_milli_cpu)
}

/// Whether it is said that so many are replaced.
fn gone(plan: &Plan, count: &str) -> bool {
    let are = if count == "1 pod" { "is" } else { "are" };
    let line = format!("{count} of the same workloads, as they are deployed now, {are} gone first");
    plan.assumptions.contains(&line)
}

#[test]
fn what_is_there_is_replaced_and_not_added_to() {
    // Neither would fit beside itself.
    for (owner, kind) in [("ReplicaSet", "Deployment"), ("StatefulSet", "StatefulSet"), ("Job", "Job")] {
        let managed = if owner == "ReplicaSet" { "x-5f6d" } else { "x" };
        let plan = fit(&[pod_of("x-5f6d-a", owner, managed, "1200m")], &workload(kind, "x", "", "1300m"));
        assert!(plan.fits && gone(&plan, "1 pod"), "{kind}: {plan:?}");
        assert_eq!(load(&plan), (1, 1300), "{kind}");
    }
    // One of another kind, or of another name, is.
    for (owner, managed) in [("StatefulSet", "x"), ("Job", "y")] {
        let plan = fit(&[pod_of("x-0", owner, managed, "500m")], &workload("Deployment", "x", "", "600m"));
        assert_eq!((load(&plan), plan.placements[0].name.as_str()), ((2, 1100), "x-deployment-0"), "{owner}");
    }
}

#[test]
fn rollouts_that_would_hang_are_said() {
    let there = |cpu: &str| {
        let pods = ["a", "b"].map(|name| pod_of(&format!("x-5f6d-{name}"), "ReplicaSet", "x-5f6d", cpu));
        [&pods[..], &[pod("other", "500m", Some("a"))]].concat()
    };
    let rolling = |unavailable: u8| {
        format!("replicas: 2, strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: {unavailable}}}}},")
    };
    let (none, one) = (rolling(0), rolling(1));
    // Of two cores the old ones leave 300 or 500 thousandths.
    for (old, kind, more, cpu, hangs) in [
        ("600m", "Deployment", "replicas: 2,", "400m", true),
        ("600m", "Deployment", "replicas: 2,", "300m", false),
        ("500m", "Deployment", "replicas: 2,", "400m", false),
        ("600m", "Deployment", none.as_str(), "400m", true),
        ("600m", "Deployment", one.as_str(), "400m", false),
        ("600m", "Deployment", "replicas: 2, strategy: {type: Recreate},", "400m", false),
        // One of the old ones is not needed any more.
        ("600m", "Deployment", "replicas: 1,", "900m", false),
        ("600m", "Deployment", "replicas: 1,", "1000m", true),
        ("600m", "StatefulSet", "replicas: 2,", "400m", false),
    ] {
        let plan = fit(&there(old), &workload(kind, "x", more, cpu));
        let line = "a rollout of default/x is over. It would hang, where the template has changed: no new pod finds a place \
                    beside the old ones, and maxUnavailable lets none of these go first";
        assert_eq!(plan.assumptions.iter().any(|said| said == line), hangs, "{old} {kind} {more} {cpu}: {plan:?}");
        assert!(plan.fits || kind == "StatefulSet", "{old} {kind} {more} {cpu}: {plan:?}");
    }
    // One that is not there yet rolls nothing out.
    let plan = fit(&there("600m"), &workload("Deployment", "y", "replicas: 1,", "400m"));
    assert!(!plan.fits && plan.assumptions.iter().all(|line| !line.contains("rollout")), "{plan:?}");
}

#[test]
fn what_has_no_pods_any_more_makes_room() {
    let there = [pod_of("x-5f6d-a", "ReplicaSet", "x-5f6d", "1200m")];
    let none = workload("Deployment", "x", "replicas: 0,", "1200m");
    let plan = fit(&there, &format!("{none}{}", workload("Deployment", "y", "", "1500m")));
    assert!(plan.fits && gone(&plan, "1 pod"), "{plan:?}");
    assert_eq!(load(&plan), (1, 1500));
    let plan = fit(&there, &none);
    assert_eq!((plan.fits, load(&plan), plan.summary.as_str()), (true, (0, 0), "fits: 0 pods on 0 nodes"));
}

#[test]
fn who_says_no_number_keeps_the_one_there_is() {
    let there = ["a", "b", "c"].map(|name| pod_of(&format!("x-5f6d-{name}"), "ReplicaSet", "x-5f6d", "400m"));
    for (more, pods) in [("", 3), ("replicas: null,", 3), ("replicas: 1,", 1)] {
        let plan = fit(&there, &workload("Deployment", "x", more, "500m"));
        assert_eq!((load(&plan), gone(&plan, "3 pods")), ((pods, 500 * pods as i64), true), "{more}");
    }
}

#[test]
fn what_was_scaled_stays_so_where_the_file_says_nothing() {
    let there = |kind: &str, replicas: u64| {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x", "namespace": "default"},
               "spec": {"replicas": replicas}})
    };
    for (objects, kind, more, pods) in [
        (vec![there("Deployment", 0)], "Deployment", "", 0),
        (vec![there("Deployment", 0)], "Deployment", "replicas: 1,", 1),
        (vec![there("StatefulSet", 3)], "StatefulSet", "", 3),
        (vec![there("StatefulSet", 3)], "Deployment", "", 1),
        // What the object says counts before the pods that it has just now.
        (vec![there("StatefulSet", 2), pod_of("x-0", "StatefulSet", "x", "400m")], "StatefulSet", "", 2),
        (vec![], "Deployment", "", 1),
    ] {
        let plan = fit(&objects, &workload(kind, "x", more, "500m"));
        assert_eq!((plan.fits, load(&plan)), (true, (pods, 500 * pods as i64)), "{objects:?} {kind} {more}");
    }
    // How many are asked for on the command line counts.
    let text = file(&workload("Deployment", "x", "", "500m"));
    let objects = saved(&[node("a"), there("Deployment", 0)]);
    let plan = plan_of(&objects, &["-f", text.path().to_str().unwrap(), "--replicas", "2"]);
    assert_eq!(load(&plan), (2, 1000));
}

#[test]
fn who_waits_for_a_place_that_there_is_has_it_first() {
    let waits = pod("late", "1500m", None);
    let plan = fit(&[waits.clone(), pod("huge", "8", None)], &workload("Deployment", "x", "", "600m"));
    assert_eq!((plan.fits, load(&plan), plan.pending.len()), (false, (1, 1500), 1));
    assert_eq!((plan.pending[0].name.as_str(), plan.placements.len()), ("x-0", 0));
    assert!(plan.assumptions.iter().any(|line| line == "1 pod that waits now gets its place first"), "{plan:?}");
    // One that is in the file is not among them.
    let plan = fit(&[waits], &workload("StatefulSet", "late", "", "600m"));
    assert_eq!((plan.fits, load(&plan), gone(&plan, "1 pod")), (true, (1, 600), true));
}

#[test]
fn jobs_that_do_not_run_leave_room() {
    let runs = [pod_of("x-a", "Job", "x", "1200m")];
    // What is suspended gives its pods up.
    let paused = workload("Job", "x", "suspend: true,", "1200m");
    let plan = fit(&runs, &format!("{paused}{}", workload("Deployment", "y", "", "1500m")));
    assert_eq!((plan.fits, load(&plan), gone(&plan, "1 pod")), (true, (1, 1500), true));
    // What has ended is not run again.
    let ended = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "z", "namespace": "default"},
                       "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
    let plan = fit(&[ended], &workload("Job", "z", "", "1200m"));
    assert_eq!((plan.fits, load(&plan), plan.summary.as_str()), (true, (0, 0), "fits: 0 pods on 0 nodes"));
}

#[test]
fn of_jobs_what_is_left_is_planned() {
    let job = |status: Value| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default"},
               "spec": {"parallelism": 3, "completions": 5}, "status": status})
    };
    let text = workload("Job", "x", "parallelism: 3, completions: 5,", "400m");
    for (status, pods) in [
        (json!({"active": 3}), 3),
        (json!({"active": 3, "succeeded": 1}), 3),
        (json!({"active": 2, "succeeded": 3}), 2),
        (json!({"succeeded": 5}), 0),
    ] {
        let plan = fit(&[pod_of("x-a", "Job", "x", "300m"), job(status.clone())], &text);
        assert_eq!((plan.fits, load(&plan), gone(&plan, "1 pod")), (true, (pods, 400 * pods as i64), true), "{status}");
    }
}

#[test]
fn pods_of_a_file_come_by_their_priority() {
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"},
                       "value": 1000});
    let later = workload("Deployment", "later", "", "1500m");
    let later = later.replace("{spec: {containers", "{spec: {priorityClassName: high, containers");
    let both = format!("{}{later}", workload("Deployment", "first", "", "600m"));
    for (there, placed, waits) in [(vec![class], "later-0", "first-0"), (vec![], "first-0", "later-0")] {
        let plan = fit(&there, &both);
        assert_eq!((plan.placements.len(), plan.placements[0].name.as_str()), (1, placed), "{plan:?}");
        assert_eq!(plan.pending[0].name, waits);
    }
}

#[test]
fn daemons_go_to_nodes_that_are_cordoned_as_well() {
    let cordoned = |taint: &str| {
        let mut node = node("b");
        node["spec"] = json!({"unschedulable": true, "taints": [{"key": taint, "effect": "NoSchedule"}]});
        node
    };
    let daemons = workload("DaemonSet", "agent", "", "100m");
    for (taint, more, pods) in [
        ("node.kubernetes.io/unschedulable", "", 2),
        ("node.kubernetes.io/network-unavailable", "", 1),
        ("node.kubernetes.io/network-unavailable", "hostNetwork: true, ", 2),
        ("node.kubernetes.io/network-unavailable", "tolerations: [{operator: Exists}], ", 2),
    ] {
        let text = daemons.replace("containers:", &format!("{more}containers:"));
        let plan = fit(&[cordoned(taint)], &text);
        assert_eq!((plan.fits, plan.placements.len()), (true, pods), "{taint} {more}: {:?}", plan.pending);
    }
}
