use super::*;

#[test]
fn pdb_blocks_every_move() {
    let cluster = |desired: i64, allowed: i64| {
        vec![
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minAvailable": desired, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"expectedPods": 2, "desiredHealthy": desired, "currentHealthy": 2, "disruptionsAllowed": allowed}}),
        ]
    };
    let expected = "PodDisruptionBudget shop/web: 2 of 2 pods must stay";
    // With one that may go it is a matter of time.
    tells_apart("pdb-blocks-every-move", cluster(2, 0), expected, cluster(1, 0));
    let steps = fix("pdb-blocks-every-move", cluster(2, 0));
    assert!(
        steps
            .ends_with("patch pdb web --type merge -p \\\n  '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":1}}'")
    );
}

#[test]
fn annotation_ignored() {
    let annotated = |object: Value, name: &str, value: &str| {
        let mut annotations = json!({});
        annotations[name] = value.into();
        with(object, json!({"metadata": {"annotations": annotations}}))
    };
    let media = "headroom.dev/swap-media";
    tells_apart(
        "annotation-ignored",
        vec![annotated(node("a"), media, "nvme")],
        "Node a: headroom.dev/swap-media: \"nvme\" is none of: ssd, hdd or zram",
        vec![annotated(node("a"), media, "zram")],
    );
    for (name, good, bad) in
        [("headroom.dev/swap-behavior", "NoSwap", "noswap"), ("headroom.dev/protected", "false", "no")]
    {
        assert_eq!(found("annotation-ignored", vec![annotated(node("a"), name, good)]), Vec::<String>::new());
        assert_eq!(found("annotation-ignored", vec![annotated(node("a"), name, bad)]).len(), 1, "{name}");
    }
    for (name, good, bad) in [
        ("headroom.dev/memory-hint", "300Mi", "300MB"),
        ("headroom.dev/memory-hint", "0", "-1"),
        ("headroom.dev/swap", "never", "no"),
        ("headroom.dev/allow-protected-nodes", "true", "yes"),
    ] {
        let pods = |value: &str| {
            ["web-0", "web-1"]
                .map(|pod_name| with(annotated(pod("shop", pod_name), name, value), owned_by("StatefulSet", "web")))
        };
        assert_eq!(found("annotation-ignored", pods(good).to_vec()), Vec::<String>::new());
        let told = found("annotation-ignored", pods(bad).to_vec());
        assert_eq!(told.len(), 1, "once per workload: {told:?}");
        assert!(told[0].starts_with(&format!("StatefulSet shop/web: {name}: \"{bad}\" is none of: ")), "{told:?}");
    }
    let namespace = |value: &str| {
        vec![json!({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"headroom.dev/enforcement": value}}})]
    };
    let expected = "Namespace shop: headroom.dev/enforcement: \"off\" is none of: filter or score";
    tells_apart("annotation-ignored", namespace("off"), expected, namespace("Score"));
}

fn bare(namespace: &str, name: &str) -> Value {
    with(pod(namespace, name), containers(json!([asks("c", json!({}))])))
}

#[test]
fn besteffort_never_swaps() {
    let cluster = |pod: Value, behavior: &str| {
        vec![node("a"), with(sample("a"), json!({"status": {"swap": {"behavior": behavior}}})), pod]
    };
    let has = || cluster(bare("shop", "web"), "LimitedSwap");
    let expected = "Namespace shop: 1 pod without memory request: web";
    tells_apart("besteffort-never-swaps", has(), expected, cluster(pod("shop", "web"), "LimitedSwap"));
    let daemon = with(bare("shop", "log"), owned_by("DaemonSet", "log"));
    for objects in [
        cluster(bare("shop", "web"), "NoSwap"),
        cluster(bare("kube-system", "dns"), "LimitedSwap"),
        cluster(daemon, "LimitedSwap"),
    ] {
        assert_eq!(found("besteffort-never-swaps", objects), Vec::<String>::new());
    }
    assert!(fix("besteffort-never-swaps", has()).ends_with("\nkubectl apply -n shop -f -"));
}

#[test]
fn request_equals_limit() {
    let cluster = |resources: Value| {
        let owner = owned_by("StatefulSet", "db");
        let pod = with(with(pod("shop", "db-0"), owner), containers(json!([asks("c", resources)])));
        vec![node("a"), sample("a"), pod]
    };
    let amounts = |request: &str, limit: &str| json!({"requests": {"memory": request}, "limits": {"memory": limit}});
    tells_apart(
        "request-equals-limit",
        cluster(amounts("128Mi", "128Mi")),
        "StatefulSet shop/db: container c: request and limit are both 128Mi",
        cluster(amounts("127Mi", "128Mi")),
    );
    let both = json!({"cpu": "1", "memory": "128Mi"});
    let guaranteed = cluster(json!({"requests": both, "limits": both}));
    let mut meant = cluster(amounts("128Mi", "128Mi"));
    meant[2]["metadata"]["annotations"] = json!({"headroom.dev/swap": "never"});
    for objects in [guaranteed, meant] {
        assert_eq!(found("request-equals-limit", objects), Vec::<String>::new());
    }
    let steps = fix("request-equals-limit", cluster(amounts("128Mi", "128Mi")));
    assert!(steps.ends_with("set resources statefulset/db \\\n  -c c --requests=memory=64Mi"), "{steps}");
}
