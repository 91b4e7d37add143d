use super::*;

#[test]
fn node_under_pressure() {
    let cluster = |status: Value| vec![node("a"), with(sample("a"), json!({"status": status}))];
    let hot = json!({"state": "Hot", "stateSince": "2026-11-22T09:57:00Z"});
    let expected = "Node a: Hot for 3m; RAM 500/1024Mi, swap 0/2048Mi";
    tells_apart("node-under-pressure", cluster(hot.clone()), expected, cluster(json!({"state": "Elevated"})));
    let low = json!({"conditions": [condition("MemoryHeadroomLow", "True", "x", ""), condition("OOMRisk", "Unknown", "x", "")]});
    let expected = ["Node a: MemoryHeadroomLow; RAM 500/1024Mi, swap 0/2048Mi"];
    assert_eq!(found("node-under-pressure", cluster(low)), expected);
    // What was, a quarter of an hour ago.
    let old = with(hot, json!({"observedAt": "2026-11-22T09:45:00Z"}));
    assert_eq!(found("node-under-pressure", cluster(old)), Vec::<String>::new());
}

fn killed(name: &str, finished: &str, resources: Value) -> Value {
    let status = json!({"containerStatuses": [{"name": "c", "restartCount": 3, "state": {"running": {}},
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": finished}}}]});
    let owner = with(owned_by("ReplicaSet", "web-5d"), json!({"metadata": {"labels": {"pod-template-hash": "5d"}}}));
    let pod = with(pod("shop", name), containers(json!([asks("c", resources)])));
    with(with(pod, owner), json!({"status": status}))
}

#[test]
fn oom_killed() {
    let limit = || json!({"limits": {"memory": "128Mi"}});
    let two =
        || vec![killed("web-1", "2026-11-22T09:00:00Z", limit()), killed("web-2", "2026-11-22T09:48:00Z", limit())];
    tells_apart(
        "oom-killed",
        two(),
        "Deployment shop/web: container c was killed 12m ago (limit 128Mi), 2 pods were hit",
        vec![killed("web-1", "2026-11-21T09:59:00Z", limit())],
    );
    let steps = fix("oom-killed", two());
    assert!(steps.contains("kubectl -n shop describe pod web-2\n"), "the last one: {steps}");
    assert!(steps.ends_with("set resources deployment/web \\\n  -c c --limits=memory=256Mi"), "{steps}");
    let unlimited = || vec![killed("web-1", "2026-11-22T09:00:00Z", json!({}))];
    assert_eq!(
        found("oom-killed", unlimited()),
        ["Deployment shop/web: container c was killed 60m ago (it has no limit)"]
    );
    let steps = fix("oom-killed", unlimited());
    assert!(steps.ends_with("\nkubectl headroom top pods -A --node a --sort-by ram"), "{steps}");
}

/// Pods that request and use so many MiB each, on a node of 1 GiB.
fn using(requested: i64, used: i64, working_set: i64) -> Vec<Value> {
    let pod = |name: &str| {
        let request = json!({"requests": {"memory": format!("{requested}Mi")}});
        with(pod("shop", name), containers(json!([asks("c", request)])))
    };
    let uses = |name: &str| json!({"namespace": "shop", "name": name, "uid": name, "workingSetBytes": used * MIB});
    let status = json!({"memory": {"workingSetBytes": working_set * MIB}, "pods": [uses("p1"), uses("p2")]});
    vec![node("a"), pod("p1"), pod("p2"), with(sample("a"), json!({"status": status}))]
}

#[test]
fn requests_far_above_use() {
    let expected = "Node a: 820Mi of 1024Mi are requested, 410Mi are used";
    tells_apart("requests-far-above-use", using(410, 205, 600), expected, using(410, 206, 600));
    assert_eq!(found("requests-far-above-use", using(409, 100, 600)), Vec::<String>::new(), "not four fifths");
}

#[test]
fn requests_far_below_use() {
    let expected = "Node a: 400Mi are requested, 800Mi are used, RAM 1024Mi";
    tells_apart("requests-far-below-use", using(200, 400, 900), expected, using(200, 399, 900));
    assert_eq!(found("requests-far-below-use", using(200, 400, 716)), Vec::<String>::new(), "there is room");
    assert_eq!(found("requests-far-below-use", using(200, 400, 717)).len(), 1);
}
