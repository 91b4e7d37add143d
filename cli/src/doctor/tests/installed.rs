//! Each fix that changes Headroom says it for the way in which it was installed, and for both ways where that is not seen.

use super::*;

/// A check, and objects in which it finds one thing whose fix changes Headroom.
fn cases() -> Vec<(&'static str, Vec<Value>)> {
    let unread = |reason: &str| {
        let status = json!({"conditions": [condition("Fresh", "False", reason, "x")]});
        vec![node("a"), with(sample("a"), json!({"status": status}))]
    };
    let unknown = json!({"status": {"swap": {"behavior": "Unknown"}}});
    let stock = |list: &str| process("kube-controller-manager", &[list]);
    let ours = || process("headroom-controllers", &["--controllers=node-headroom-controller,podgc"]);
    let event = |reason: &str| json!({"kind": "Event", "metadata": {"name": "e"}, "reason": reason, "involvedObject": {"kind": "Pod", "name": "p"}});
    vec![
        ("kubelets-unreadable", unread("Unreachable")),
        ("kubelets-unreadable", unread("CertificateUntrusted")),
        ("kubelets-unreadable", unread("Forbidden")),
        ("kubelet-certificate-unchecked", vec![process("headroom-controllers", &["--kubelet-insecure-tls"])]),
        ("swap-behavior-unknown", vec![node("a"), with(sample("a"), unknown)]),
        ("two-managers-of-one-loop", vec![stock("--controllers=podgc"), ours()]),
        (
            "two-schedulers",
            vec![
                process("kube-scheduler", &["--leader-elect=false"]),
                process("headroom-scheduler", &["--mode=primary"]),
            ],
        ),
        ("foreign-binding", vec![event("ForeignBinding")]),
    ]
}

/// The fix of the first finding, beside these Deployments.
fn fix_with(id: &str, objects: &[Value], deployments: Vec<Value>) -> String {
    let found = findings(id, [objects.to_vec(), deployments].concat());
    assert!(!found.is_empty(), "{id}");
    found[0].fix.0.join("\n")
}

#[test]
fn the_way_that_is_known_is_the_only_one_that_is_said() {
    for (id, objects) in cases() {
        let helm = fix_with(
            id,
            &objects,
            vec![by_helm("scheduler", "memory", "mine"), by_helm("controllers", "memory", "mine")],
        );
        assert!(helm.contains("helm -n memory upgrade mine charts/headroom"), "{id}: {helm}");
        assert!(!helm.contains("deploy/:") && !helm.contains(" edit deployment "), "{id}: {helm}");
        let manifests = fix_with(id, &objects, vec![by_hand("scheduler"), by_hand("controllers")]);
        assert!(!manifests.contains("helm ") && !manifests.contains("deploy/:"), "{id}: {manifests}");
        let unknown = fix_with(id, &objects, Vec::new());
        assert!(unknown.contains("helm -n kube-system upgrade headroom charts/headroom"), "{id}: {unknown}");
        assert!(unknown.contains("\n# or, installed from deploy/: "), "{id}: {unknown}");
    }
}

#[test]
fn what_is_to_be_done_without_helm() {
    let expected = [
        "# hostNetwork, port 10357 and maxSurge 0 (docs/take-over.md, Without Helm):\nkubectl -n kube-system edit \
         deployment headroom-controllers",
        "# --kubelet-insecure-tls in its args:\nkubectl -n kube-system edit deployment headroom-controllers",
        "kubectl get clusterrole,clusterrolebinding headroom-kubelet-reader -o yaml",
        "# no --kubelet-insecure-tls in its args:\nkubectl -n kube-system edit deployment headroom-controllers",
        "kubectl edit clusterrole headroom-kubelet-reader",
        "# no pod-garbage-collector-controller in --controllers of its args:\nkubectl -n kube-system edit deployment \
         headroom-controllers",
        "# --mode=shadow in its args:\nkubectl -n kube-system edit deployment headroom-scheduler",
        "# --mode=shadow in its args:\nkubectl -n kube-system edit deployment headroom-scheduler",
    ];
    let cases = cases();
    assert_eq!(cases.len(), expected.len());
    for ((id, objects), expected) in cases.iter().zip(expected) {
        let told = fix_with(id, objects, vec![by_hand("scheduler"), by_hand("controllers")]);
        assert!(told.contains(expected), "{id}: {told}");
    }
}

#[test]
fn tables_with_both_ways_fit_80_columns() {
    for (id, objects) in cases() {
        for deployments in
            [Vec::new(), vec![by_hand("controllers")], vec![by_helm("controllers", "kube-system", "headroom")]]
        {
            let text = table::table(&diagnosis(&[id], [objects.clone(), deployments].concat()));
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}

/// The Deployment with these arguments.
fn with_args(deployment: Value, args: &[&str]) -> Value {
    let mut container = deployment["spec"]["template"]["spec"]["containers"][0].clone();
    container["args"] = json!(args);
    with(deployment, json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
}

#[test]
fn a_cluster_keeps_its_only_scheduler() {
    let named = json!({"spec": {"nodeName": null, "schedulerName": "headroom-scheduler"},
                       "status": {"phase": "Pending", "conditions": []}});
    let waits = with(pod("shop", "web"), named);
    let runs = |mode: &str| vec![process("headroom-scheduler", &[mode])];
    let helm = |mode: &str| vec![with_args(by_helm("scheduler", "memory", "mine"), &[mode])];
    let plain = |mode: &str| vec![with_args(by_hand("scheduler"), &[mode])];
    let (shadow, secondary, primary) = ("--mode=shadow", "--mode=secondary", "--mode=primary");
    let template = "# this name is served in secondary alone:\n# take schedulerName out of the template; pods that are there \
                    keep it";
    let upgrade = "upgrade mine charts/headroom \\\n  --reset-then-reuse-values --set mode=secondary";
    let by_hand_only =
        "no rights for that; take schedulerName out of the template, or render the chart with mode=secondary";
    for (what, objects, expected, upgrades) in [
        ("nothing is seen", Vec::new(), template, false),
        ("a saved cluster", vec![process("headroom-scheduler", &[])], template, false),
        ("a process in primary", runs(primary), template, false),
        ("primary is what it does unless something is said", runs("--v=2"), template, false),
        ("Helm's in primary", helm(primary), template, false),
        ("without Helm in primary", plain(primary), template, false),
        ("a takeover that is on its way", [helm(shadow), runs(primary)].concat(), template, false),
        ("Helm's in shadow", helm(shadow), upgrade, true),
        ("both in shadow", [helm(shadow), runs(shadow)].concat(), upgrade, true),
        ("without Helm in shadow", plain(shadow), by_hand_only, false),
        ("a process in shadow", runs(shadow), by_hand_only, true),
        ("in secondary", helm(secondary), "it runs in secondary, which serves this name", false),
    ] {
        let told = fix_with("nobody-schedules", std::slice::from_ref(&waits), objects);
        assert!(told.contains(expected), "{what}: {told}");
        assert_eq!(told.contains("helm "), upgrades, "{what}: {told}");
        assert!(!told.contains("mode=secondary") || expected != template, "{what}: {told}");
    }
}

#[test]
fn which_deployment_shows_it() {
    let (id, objects) = ("foreign-binding", cases()[7].1.clone());
    let told = |deployments: Vec<Value>| fix_with(id, &objects, deployments);
    let both = |told: &str| told.contains("helm ") && told.contains("installed from deploy/");
    // That of the other program came the same way.
    assert!(!told(vec![by_hand("controllers")]).contains("helm "));
    // One in kube-system before others; of several elsewhere none, since anybody can make them.
    let elsewhere = |namespace: &str| by_helm("scheduler", namespace, "x");
    assert!(!told(vec![elsewhere("a"), by_hand("scheduler"), elsewhere("z")]).contains("helm "));
    assert!(both(&told(vec![elsewhere("a"), elsewhere("z")])));
    // Rendered by Helm, and applied by kubectl: no release.
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    assert!(!told(vec![with(by_hand("scheduler"), label)]).contains("helm "));
    // What no release or namespace can be called is not pasted.
    let odd = by_helm("scheduler", "kube-system", "a;reboot");
    assert!(told(vec![odd]).contains("upgrade NAME charts/headroom"));
}

#[test]
fn k3s_and_static_pods() {
    let event = cases()[7].1.clone();
    let server = with(node("a"), k3s());
    let on_k3s = |deployment: Value| {
        fix_with("foreign-binding", &[event.clone(), vec![server.clone()]].concat(), vec![deployment])
    };
    let file = "# and in its file in /var/lib/rancher/k3s/server/manifests, if it is there still";
    assert!(on_k3s(by_hand("scheduler")).ends_with(file));
    assert!(!on_k3s(by_helm("scheduler", "kube-system", "headroom")).contains("manifests"));
    // The scheduler of deploy/kubeadm is nothing that could be edited in the cluster.
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    let objects = [event, vec![with(process("headroom-scheduler", &["--mode=primary"]), mirror)]].concat();
    let told = fix_with("foreign-binding", &objects, vec![by_hand("controllers")]);
    let expected = "# or end Headroom's static pod: put the stock kube-scheduler.yaml back in its place";
    assert!(told.ends_with(expected) && !told.contains("edit deployment"), "{told}");
}

#[test]
fn commands_name_what_is_there() {
    let unread = |reason: &str| {
        let status = json!({"conditions": [condition("Fresh", "False", reason, "x")]});
        vec![node("a"), with(sample("a"), json!({"status": status}))]
    };
    let old = with(sample("a"), json!({"status": {"observedAt": "2026-11-22T09:30:00Z"}}));
    let event = json!({"kind": "Event", "metadata": {"name": "e"}, "reason": "YieldedToAnotherManager",
                       "involvedObject": {"kind": "Pod", "name": "p"}});
    let named = json!({"spec": {"nodeName": null, "schedulerName": "headroom-scheduler"},
                       "status": {"phase": "Pending", "conditions": []}});
    let called = |component: &str| {
        let own =
            with_args(by_helm(component, "memory", "mine"), &["--kubelet-token-service-account=memory/mine-reader"]);
        with(own, json!({"metadata": {"name": format!("mine-headroom-{component}")}}))
    };
    let (pods, log) = ("get pods -l app.kubernetes.io/part-of=headroom", "--tail 50");
    let there = || vec![called("scheduler"), called("controllers")];
    let beside = || vec![called("scheduler")];
    for (id, objects, deployments, expected) in [
        (
            "nothing-measured",
            vec![node("a")],
            there(),
            vec![
                format!("kubectl -n memory {pods}"),
                format!("kubectl -n memory logs deployment/mine-headroom-controllers {log}"),
            ],
        ),
        (
            "samples-stale",
            vec![node("a"), old],
            there(),
            vec![
                format!("kubectl -n memory {pods}"),
                format!("kubectl -n memory logs deployment/mine-headroom-controllers {log}"),
            ],
        ),
        (
            "kubelets-unreadable",
            unread("NoSample"),
            there(),
            vec![format!("kubectl -n memory logs deployment/mine-headroom-controllers {log}")],
        ),
        (
            "kubelets-unreadable",
            unread("Forbidden"),
            there(),
            vec!["  --as system:serviceaccount:memory:mine-reader".to_owned()],
        ),
        (
            "loop-yielded",
            vec![event.clone()],
            there(),
            vec!["kubectl -n memory rollout restart deployment mine-headroom-controllers".to_owned()],
        ),
        ("nobody-schedules", vec![with(pod("shop", "web"), named)], there(), vec![format!("kubectl -n memory {pods}")]),
        // The other one shows where it is, and nothing what it is called.
        (
            "loop-yielded",
            vec![event.clone()],
            beside(),
            vec!["kubectl -n memory rollout restart deployment headroom-controllers".to_owned()],
        ),
        (
            "kubelets-unreadable",
            unread("Forbidden"),
            beside(),
            vec!["  --as system:serviceaccount:memory:headroom-kubelet-reader".to_owned()],
        ),
        (
            "loop-yielded",
            vec![event],
            Vec::new(),
            vec!["kubectl -n kube-system rollout restart deployment headroom-controllers".to_owned()],
        ),
    ] {
        let told = fix_with(id, &objects, deployments);
        for line in expected {
            assert!(told.lines().any(|told| told == line), "{id}: {line}: {told}");
        }
    }
}

/// In another mode the chart refuses loops of stock unless the controllers have a mode of their own.
#[test]
fn a_scheduler_that_looks_on_leaves_the_loops() {
    let scheduler = with_args(by_helm("scheduler", "memory", "mine"), &["--mode=primary"]);
    for (list, expected) in [
        ("--controllers=node-headroom-controller", "--set mode=shadow"),
        (
            "--controllers=endpoint",
            "--set mode=shadow \\\n  --set controllers.mode=primary \\\n  --set \
             'controllers.loops={endpoints-controller}'",
        ),
    ] {
        let controllers = with_args(by_helm("controllers", "memory", "mine"), &[list]);
        let told = fix_with("foreign-binding", &cases()[7].1, vec![scheduler.clone(), controllers]);
        assert!(told.ends_with(expected), "{told}");
    }
}

#[test]
fn update_waits_for_port() {
    let ours = |surge: i64, unavailable: i64| {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let template = json!({"spec": {"hostNetwork": true, "nodeName": "a"}});
        let spec = json!({"strategy": {"rollingUpdate": rolling}, "template": template});
        vec![with(by_helm("controllers", "memory", "mine"), json!({"spec": spec}))]
    };
    tells_apart(
        "update-waits-for-port",
        ours(1, 0),
        "Deployment memory/headroom-controllers: uses its node's network, and its strategy makes the new pod first",
        ours(0, 1),
    );
    assert_eq!(found("update-waits-for-port", vec![by_hand("scheduler")]), Vec::<String>::new(), "on the pod network");
    let expected = "kubectl -n memory patch deployment headroom-controllers -p \\\n  'spec: {strategy: {rollingUpdate: \
                    {maxSurge: 0, maxUnavailable: 1}}}'";
    assert_eq!(fix("update-waits-for-port", ours(1, 0)), expected);
    let text = table::table(&diagnosis(&["update-waits-for-port"], ours(1, 0)));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    // Pinned to no node it needs one that is free; two that live apart need a third.
    let free = json!({"spec": {"template": {"spec": {"nodeName": null}}}});
    let term = json!([{"topologyKey": "kubernetes.io/hostname"}]);
    let anti = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
    let apart = json!({"spec": {"replicas": 2, "template": {"spec": {"hostNetwork": false, "affinity": anti}}}});
    let first = "and its strategy makes the new pod first";
    let network = format!("uses its node's network, {first}");
    let may = format!("{network}: an update may never end, unless another node has room");
    let full = format!("has a pod on every node, no two on one, {first}");
    for (nodes, change, expected) in
        [(1, &free, Some(network)), (2, &free, Some(may)), (2, &apart, Some(full)), (3, &apart, None)]
    {
        let changed = with(with(ours(1, 0).remove(0), free.clone()), change.clone());
        let nodes = (0..nodes).map(|i| node(&format!("n{i}")));
        let expected = expected.map(|summary| format!("Deployment memory/headroom-controllers: {summary}"));
        let told = found("update-waits-for-port", nodes.chain([changed]).collect());
        assert_eq!(told, Vec::from_iter(expected));
    }
    // The Deployments of others are nobody's business here.
    let image = json!([{"name": "c", "image": "example.com/web:1"}]);
    let other = with(ours(1, 0).remove(0), json!({"spec": {"template": {"spec": {"containers": image}}}}));
    assert_eq!(found("update-waits-for-port", vec![other]), Vec::<String>::new());
}

#[test]
fn images_and_first_installations() {
    let pull = json!({"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
        {"name": "main", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
    let pod = with(process("headroom-scheduler", &[]), json!({"status": pull}));
    let told = fix_with("headroom-not-ready", std::slice::from_ref(&pod), vec![by_hand("scheduler")]);
    assert!(told.ends_with("import them on every node (docs/images.md)"), "{told}");
    assert!(
        fix_with("headroom-not-ready", std::slice::from_ref(&pod), vec![by_helm("scheduler", "a", "b")])
            .contains("image.registry")
    );
    let install = "helm -n kube-system install headroom charts/headroom\n# or, without Helm:\nkubectl apply -f deploy/";
    let told = fix_with("nothing-measured", &[node("a")], Vec::new());
    assert!(told.ends_with(&format!("{install}plain/headroom.yaml")), "{told}");
    let told = fix_with("nothing-measured", &[with(node("a"), k3s())], Vec::new());
    assert!(told.ends_with(&format!("{install}k3s/headroom.yaml")), "{told}");
    for there in [
        by_hand("controllers"),
        // Deployments that may not be read, a static pod, a scheduler alone.
        process("headroom-scheduler", &["--mode=primary"]),
        with(process("headroom-controllers", &[]), json!({"status": {"phase": "Pending"}})),
        by_helm("scheduler", "memory", "mine"),
    ] {
        let told = fix_with("nothing-measured", &[node("a")], vec![there]);
        assert!(!told.contains("install") && !told.contains("apply -f"), "{told}");
    }
}

#[test]
fn an_upgrade_keeps_what_a_takeover_gave() {
    let (id, objects) = cases().swap_remove(3);
    let scheduler = |mode: &str| with_args(by_helm("scheduler", "memory", "mine"), &[mode]);
    let controllers = |list: &str| with_args(by_helm("controllers", "memory", "mine"), &[list]);
    let (mode, primary) = (" \\\n  --set mode=primary", " \\\n  --set controllers.mode=primary");
    let loops = " \\\n  --set 'controllers.loops={endpoints-controller}'";
    let other = with(
        controllers("--controllers=endpoint"),
        json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "other"}}}),
    );
    for (deployments, expected) in [
        (vec![scheduler("--mode=shadow"), controllers("--controllers=node-headroom-controller")], String::new()),
        (vec![scheduler("--mode=primary"), controllers("--controllers=node-headroom-controller")], mode.to_owned()),
        (vec![scheduler("--mode=shadow"), controllers("--controllers=endpoint")], format!("{primary}{loops}")),
        (vec![scheduler("--mode=primary"), controllers("--controllers=endpoint")], format!("{mode}{primary}{loops}")),
        // That of another release is not this one's business.
        (vec![scheduler("--mode=primary"), other], format!("{primary}{loops}")),
    ] {
        let told = fix_with(id, &objects, deployments);
        let values = "--reset-then-reuse-values --set controllers.kubelet.insecureTls=false";
        assert!(told.ends_with(&format!("{values}{expected}")), "{told}");
    }
    // Where Deployments are not seen, the processes say it; static pods are no part of a release.
    let runs = process("headroom-scheduler", &["--mode=primary"]);
    let told = |runs: Value| fix_with(id, &objects, vec![runs]);
    assert!(told(runs.clone()).contains(mode), "{}", told(runs.clone()));
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    assert!(!told(with(runs, mirror)).contains(mode));
    // What is asked for stands.
    let told = fix_with("foreign-binding", &cases()[7].1, vec![scheduler("--mode=primary")]);
    assert!(told.ends_with("--set mode=shadow"), "{told}");
}
