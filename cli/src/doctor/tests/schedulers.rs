use super::*;

const OURS: &[&str] = &["--mode=primary", "--leader-elect=true"];

#[test]
fn two_schedulers() {
    let stock = |args: &[&str]| process("kube-scheduler", args);
    let ours = |args: &[&str]| process("headroom-scheduler", args);
    tells_apart(
        "two-schedulers",
        vec![stock(&["--leader-elect=false"]), ours(OURS)],
        "Pod kube-system/kube-scheduler: runs beside kube-system/headroom-scheduler in primary, and it does not elect \
         a leader",
        // The lease keeps them apart.
        vec![stock(&["--leader-elect=true"]), ours(OURS)],
    );
    let loose = vec![stock(&["--v=2"]), ours(&["--mode=primary", "--leader-elect=false"])];
    let told = found("two-schedulers", loose);
    assert!(told[0].ends_with("and kube-system/headroom-scheduler does not elect a leader"), "{told:?}");
    for objects in [
        vec![stock(&["--leader-elect=false"]), ours(&["--mode=shadow"])],
        // A saved cluster has no arguments.
        vec![stock(&["--leader-elect=false"]), ours(&[])],
        vec![with(stock(&["--leader-elect=false"]), json!({"status": {"phase": "Failed"}})), ours(OURS)],
    ] {
        assert_eq!(found("two-schedulers", objects), Vec::<String>::new());
    }
}

#[test]
fn two_schedulers_in_k3s() {
    let server = |args: &str, env: &str| {
        let annotations = json!({"k3s.io/node-args": args, "k3s.io/node-env": env});
        let server = with(with(node("a"), k3s()), json!({"metadata": {"annotations": annotations}}));
        vec![server, process("headroom-scheduler", OURS)]
    };
    tells_apart(
        "two-schedulers",
        server("[\"server\",\"--disable\",\"traefik\"]", "{}"),
        "Node a: its k3s schedules without an election, and so does kube-system/headroom-scheduler in primary",
        server("[\"server\",\"--disable-scheduler\"]", "{}"),
    );
    for (args, env) in [
        ("[\"agent\"]", "{}"),
        ("[\"server\",\"--cluster-init\"]", "{}"),
        ("[\"server\",\"--server\",\"https://10.0.0.1:6443\"]", "{}"),
        ("[\"server\"]", "{\"K3S_DATASTORE_ENDPOINT\":\"********\"}"),
        ("[\"server\",\"--disable-scheduler=true\"]", "{}"),
        ("not json", "{}"),
    ] {
        assert_eq!(found("two-schedulers", server(args, env)), Vec::<String>::new(), "{args}");
    }
    assert_eq!(found("two-schedulers", server("[\"server\",\"--disable-scheduler=false\"]", "{}")).len(), 1);
}

#[test]
fn foreign_binding() {
    let event = |reason: &str| {
        vec![json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": reason,
            "regarding": {"kind": "Lease", "namespace": "kube-system", "name": "kube-scheduler"},
            "note": "somebody binds our pods", "eventTime": "2026-11-22T09:58:00.000000Z"})]
    };
    let expected = "Lease kube-system/kube-scheduler: somebody binds our pods (2m ago)";
    tells_apart("foreign-binding", event("ForeignBinding"), expected, event("MemoryDegraded"));
}

#[test]
fn nobody_schedules() {
    let waits = |name: &str, patch: Value| {
        let pod = with(pod("shop", name), json!({"status": {"phase": "Pending", "conditions": []}}));
        with(with(pod, json!({"spec": {"nodeName": null}})), patch)
    };
    let tried = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}});
    tells_apart(
        "nobody-schedules",
        vec![
            waits("web-1", json!({})),
            waits("web-2", json!({"metadata": {"creationTimestamp": "2026-11-22T09:50:00Z"}})),
        ],
        "Scheduler default-scheduler: 2 pods wait for it, up to 60m: shop/web-1, shop/web-2",
        vec![waits("web-1", tried)],
    );
    for patch in [
        json!({"spec": {"schedulingGates": [{"name": "g"}]}}),
        json!({"metadata": {"creationTimestamp": "2026-11-22T09:59:30Z"}}),
        json!({"metadata": {"deletionTimestamp": "2026-11-22T09:59:30Z"}}),
        json!({"metadata": {"creationTimestamp": null}}),
    ] {
        assert_eq!(found("nobody-schedules", vec![waits("web", patch)]), Vec::<String>::new());
    }
    for (name, step) in [
        ("headroom-scheduler", "take schedulerName out of the template"),
        ("other", "a scheduler of the name other run?"),
    ] {
        let objects = vec![waits("web", json!({"spec": {"schedulerName": name}}))];
        let told = found("nobody-schedules", objects.clone());
        assert_eq!(told, [format!("Scheduler {name}: 1 pod waits for it, up to 60m: shop/web")]);
        assert!(fix("nobody-schedules", objects).contains(step));
    }
}

#[test]
fn headroom_not_ready() {
    let unready = |program: &str, state: Value, restarts: i64| {
        let status = json!({"conditions": [{"type": "Ready", "status": "False"}],
                            "containerStatuses": [{"name": "main", "restartCount": restarts, "state": state}]});
        vec![with(process(program, &[]), json!({"status": status}))]
    };
    let pull = || json!({"waiting": {"reason": "ImagePullBackOff"}});
    tells_apart(
        "headroom-not-ready",
        unready("headroom-scheduler", pull(), 0),
        "Pod kube-system/headroom-scheduler: ImagePullBackOff",
        vec![process("headroom-scheduler", &[])],
    );
    assert!(fix("headroom-not-ready", unready("headroom-scheduler", pull(), 0)).contains("image.registry"));
    let crash = || unready("headroom-controllers", json!({"waiting": {"reason": "CrashLoopBackOff"}}), 7);
    assert_eq!(
        found("headroom-not-ready", crash()),
        ["Pod kube-system/headroom-controllers: CrashLoopBackOff after 7 restarts"]
    );
    assert!(fix("headroom-not-ready", crash()).contains("logs headroom-controllers --previous"));
    let unknown = unready("headroom-controllers", json!({"running": {}}), 0);
    assert_eq!(found("headroom-not-ready", unknown), ["Pod kube-system/headroom-controllers: Running"]);
    assert_eq!(found("headroom-not-ready", unready("web", pull(), 0)), Vec::<String>::new());
}
