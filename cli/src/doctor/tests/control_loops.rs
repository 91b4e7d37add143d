use super::*;

fn stock(list: &str) -> Value {
    // As kubeadm writes it: the whole line is the command.
    let command = json!(["kube-controller-manager", "--leader-elect=true", format!("--controllers={list}")]);
    let container =
        json!({"name": "main", "image": "registry.k8s.io/kube-controller-manager:v1.36.4", "command": command});
    with(pod("kube-system", "kube-controller-manager-a"), containers(json!([container])))
}

fn ours(list: &str) -> Value {
    process("headroom-controllers", &["--controllers", list])
}

/// All seven names, taken out.
const WITHOUT: &str = "*,-replicationcontroller,-endpoint,-endpointslice,-endpointslicemirroring,-nodelifecycle,\
                       -taint-eviction-controller,-podgc";

#[test]
fn two_managers_of_one_loop() {
    let ours_has = || ours("node-headroom-controller,endpoints-controller");
    tells_apart(
        "two-managers-of-one-loop",
        vec![stock("*,bootstrapsigner,tokencleaner"), ours_has()],
        "Loop endpoints-controller: runs in pod kube-system/kube-controller-manager-a and in pod \
         kube-system/headroom-controllers",
        vec![stock("*,-endpoints-controller"), ours_has()],
    );
    for objects in [
        vec![stock("*"), ours("node-headroom-controller,memory-profile-controller")],
        vec![stock(WITHOUT), ours("*")],
        // Arguments are not known.
        vec![stock("*"), process("headroom-controllers", &[])],
        vec![process("kube-controller-manager", &[]), ours("*")],
    ] {
        assert_eq!(found("two-managers-of-one-loop", objects), Vec::<String>::new());
    }
    assert_eq!(found("two-managers-of-one-loop", vec![stock("*"), ours("*")]).len(), 7);
}

/// The upgrade of Helm's takes nothing else from ours.
#[test]
fn the_other_loops_stay() {
    let first = "helm -n kube-system upgrade headroom charts/headroom \\\n  --reset-then-reuse-values ";
    for (theirs, own, expected) in [
        (
            "podgc",
            "node-headroom-controller,memory-profile-controller,podgc",
            "--set \\\n  'controllers.loops={node-headroom-controller,memory-profile-controller}'\n",
        ),
        (
            "podgc",
            "node-headroom-controller,endpoint,podgc",
            "--set controllers.mode=primary \\\n  --set \\\n  \
             'controllers.loops={node-headroom-controller,endpoints-controller}'\n",
        ),
        // Both of what is doubled, so that what one finding says does not undo what the other one said.
        (
            "podgc,endpoint",
            "node-headroom-controller,endpointslice,endpoint,podgc",
            "--set controllers.mode=primary \\\n  --set \\\n  \
             'controllers.loops={node-headroom-controller,endpointslice-controller}'\n",
        ),
        // No list is empty.
        ("podgc", "podgc", "--set \\\n  'controllers.loops={node-headroom-controller,memory-profile-controller}'\n"),
        (
            "nodelifecycle",
            "node-headroom-controller,nodelifecycle,taint-eviction-controller",
            "--set controllers.nodeLifecycleProfile=stock \\\n  --set controllers.mode=primary \\\n  --set \\\n  \
             'controllers.loops={node-headroom-controller,taint-eviction-controller}'\n",
        ),
    ] {
        for finding in findings("two-managers-of-one-loop", vec![stock(theirs), ours(own)]) {
            let told = finding.fix.0.join("\n");
            assert!(told.contains(&format!("{first}{expected}")), "{theirs} {own}: {told}");
        }
    }
}

#[test]
fn two_managers_in_k3s() {
    let cluster = |args: &[&str]| {
        let text = serde_json::to_string(args).unwrap();
        let server = with(node("a"), json!({"metadata": {"annotations": {"k3s.io/node-args": text}}}));
        vec![with(server, k3s()), ours("pod-garbage-collector-controller")]
    };
    let arg = "--kube-controller-manager-arg";
    tells_apart(
        "two-managers-of-one-loop",
        cluster(&["server"]),
        "Loop pod-garbage-collector-controller: runs in k3s on a and in pod kube-system/headroom-controllers",
        cluster(&["server", arg, "controllers+=-pod-garbage-collector-controller"]),
    );
    for (value, count) in [
        ("controllers=*,-podgc", 0),
        ("controllers-=-podgc", 0),
        ("--controllers=*,-podgc", 0),
        ("controllers=podgc", 1),
        ("node-monitor-period=2s", 1),
    ] {
        let told = found("two-managers-of-one-loop", cluster(&["server", &format!("{arg}={value}")]));
        assert_eq!(told.len(), count, "{value}: {told:?}");
    }
    assert!(found("two-managers-of-one-loop", cluster(&["agent"])).is_empty());
    assert!(found("two-managers-of-one-loop", cluster(&["server", "--disable-controller-manager"])).is_empty());
}

#[test]
fn loop_without_manager() {
    tells_apart(
        "loop-without-manager",
        vec![stock("*,-endpoints-controller"), ours("node-headroom-controller")],
        "Loop endpoints-controller: pod kube-system/kube-controller-manager-a leaves it out, and headroom-controllers \
         does not name it",
        vec![stock("*,-endpoints-controller"), ours("endpoints-controller")],
    );
    assert_eq!(found("loop-without-manager", vec![stock(WITHOUT)]).len(), 7);
    // A takeover asks for nothing that depends on the way of installation.
    for deployments in [
        Vec::new(),
        vec![by_hand("scheduler"), by_hand("controllers")],
        vec![by_helm("scheduler", "memory", "mine"), by_helm("controllers", "memory", "mine")],
    ] {
        let objects = [vec![stock("*,-endpoint"), ours("node-headroom-controller")], deployments].concat();
        let told = fix("loop-without-manager", objects);
        assert!(told.contains("\nkubectl headroom takeover --loops endpoints-controller\n"), "{told}");
        assert!(!told.contains("helm "), "{told}");
    }
    for objects in [
        vec![stock(WITHOUT), ours("*")],
        // Arguments are not known.
        vec![stock(WITHOUT), process("headroom-controllers", &[])],
        vec![ours("node-headroom-controller")],
    ] {
        assert_eq!(found("loop-without-manager", objects), Vec::<String>::new());
    }
}

#[test]
fn loop_yielded() {
    let event = |reason: &str| {
        vec![
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "shop"}, "reason": reason,
            "involvedObject": {"kind": "ReplicationController", "namespace": "shop", "name": "web"},
            "message": "kube-controller-manager makes pods for it", "lastTimestamp": "2026-11-22T09:50:00Z"}),
        ]
    };
    let expected = "ReplicationController shop/web: kube-controller-manager makes pods for it";
    tells_apart("loop-yielded", event("YieldedToAnotherManager"), expected, event("SuccessfulCreate"));
}
