use super::*;

fn swapping(name: &str, swap: Value) -> Value {
    with(sample(name), json!({"status": {"swap": swap}}))
}

fn control_plane() -> Value {
    with(node("a"), json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}))
}

#[test]
fn swap_not_given() {
    let none = || swapping("a", json!({"behavior": "NoSwap"}));
    let expected = "Node a: 2048Mi of swap, none of it for pods (NoSwap)";
    tells_apart("swap-not-given", vec![node("a"), none()], expected, vec![node("a"), sample("a")]);
    let without = swapping("a", json!({"behavior": "NoSwap", "capacityBytes": 0}));
    let meant = with(node("a"), json!({"metadata": {"annotations": {"headroom.dev/swap-behavior": "NoSwap"}}}));
    for objects in [vec![node("a"), without], vec![meant, none()], vec![control_plane(), none()]] {
        assert_eq!(found("swap-not-given", objects), Vec::<String>::new());
    }
    let steps = fix("swap-not-given", vec![node("a"), none()]);
    assert!(steps.contains("#   memorySwap: {swapBehavior: LimitedSwap}\nsudo systemctl restart kubelet"), "{steps}");
    let steps = fix("swap-not-given", vec![with(node("a"), k3s()), none()]);
    let file = "  'kind: KubeletConfiguration' 'failSwapOn: false' \\\n  'memorySwap: {swapBehavior: LimitedSwap}' \\\n  \
                > /etc/rancher/k3s/kubelet.yaml\n";
    assert!(steps.contains(file) && steps.contains("\nsystemctl restart k3s-agent\n"), "{steps}");
}

#[test]
fn control_plane_swaps() {
    let used = |bytes: i64| swapping("a", json!({"usedBytes": bytes}));
    tells_apart(
        "control-plane-swaps",
        vec![control_plane(), used(300 * MIB)],
        "Node a: 300Mi of its 2048Mi of swap are in use",
        vec![control_plane(), used(0)],
    );
    let worker = vec![node("a"), used(300 * MIB)];
    let unprotected = with(control_plane(), json!({"metadata": {"annotations": {"headroom.dev/protected": "false"}}}));
    for objects in [worker, vec![unprotected, used(300 * MIB)]] {
        assert_eq!(found("control-plane-swaps", objects), Vec::<String>::new());
    }
    // A static pod of etcd makes it one, too.
    let etcd = with(
        pod("kube-system", "etcd-a"),
        json!({"metadata": {"labels": {"component": "etcd"}, "annotations": {"kubernetes.io/config.mirror": "x"}}}),
    );
    assert_eq!(found("control-plane-swaps", vec![node("a"), etcd, used(300 * MIB)]).len(), 1);
}

#[test]
fn eviction_before_swap() {
    let threshold = |mib: i64| with(sample("a"), json!({"status": {"memory": {"evictionHardBytes": mib * MIB}}}));
    tells_apart(
        "eviction-before-swap",
        vec![node("a"), threshold(31)],
        "Node a: pods are evicted below 31Mi of 1024Mi, with 2048Mi of swap",
        vec![node("a"), threshold(30)],
    );
    let no_swap = with(threshold(100), json!({"status": {"swap": {"behavior": "NoSwap"}}}));
    assert_eq!(found("eviction-before-swap", vec![node("a"), no_swap]), Vec::<String>::new());
    let steps = fix("eviction-before-swap", vec![node("a"), threshold(100)]);
    assert!(steps.contains("#     memory.available: 20Mi\n#     nodefs.available: 10%\n"), "{steps}");
    let steps = fix("eviction-before-swap", vec![with(node("a"), k3s()), threshold(100)]);
    assert!(steps.contains("[\"eviction-hard=memory.available<20Mi,' \\\n  'nodefs.available<5%,"), "{steps}");
}

#[test]
fn no_eviction_threshold() {
    let cluster = |bytes: i64, behavior: &str| {
        let status = json!({"memory": {"evictionHardBytes": bytes}, "swap": {"behavior": behavior}});
        vec![node("a"), with(sample("a"), json!({"status": status}))]
    };
    let expected = "Node a: no memory.available threshold, and no swap for pods";
    tells_apart("no-eviction-threshold", cluster(0, "NoSwap"), expected, cluster(MIB, "NoSwap"));
    assert_eq!(found("no-eviction-threshold", cluster(0, "LimitedSwap")), Vec::<String>::new());
}

#[test]
fn no_pressure_figures() {
    let silent = |source: &str| {
        let status = json!({"source": source, "memory": {"pressure": null}});
        vec![node("a"), with(sample("a"), json!({"status": status}))]
    };
    let expected = "Node a: its samples say nothing of pressure";
    tells_apart("no-pressure-figures", silent("Kubelet"), expected, silent("MetricsAPI"));
    assert_eq!(found("no-pressure-figures", vec![node("a"), sample("a")]), Vec::<String>::new());
}

#[test]
fn swap_behavior_unknown() {
    let unknown = || swapping("a", json!({"behavior": "Unknown"}));
    let said = with(node("a"), json!({"metadata": {"labels": {"headroom.dev/swap-behavior": "LimitedSwap"}}}));
    let expected = "Node a: 2048Mi of swap, behavior Unknown";
    tells_apart("swap-behavior-unknown", vec![node("a"), unknown()], expected, vec![said, unknown()]);
}
