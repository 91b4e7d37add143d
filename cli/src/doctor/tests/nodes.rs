use super::*;

const NO_PLUGIN: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                         message:Network plugin returns error: cni plugin not initialized";

fn flannel() -> Value {
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
    with(with(pod("kube-flannel", "kube-flannel-ds-x7"), owned_by("DaemonSet", "kube-flannel-ds")), status)
}

#[test]
fn cni_missing() {
    let has = || vec![with(node("a"), ready("False", NO_PLUGIN)), node("b")];
    let expected = format!(
        "Node a: NotReady for 12m, its kubelet says \"{NO_PLUGIN}\"; no pod of a known network plugin is on it"
    );
    tells_apart("cni-missing", has(), &expected, vec![with(node("a"), ready("False", "PLEG is not healthy"))]);
    assert_eq!(found("cni-missing", vec![with(node("a"), ready("True", NO_PLUGIN))]), Vec::<String>::new());
    // The three places.
    let places = fix("cni-missing", has());
    for place in ["/etc/cni/net.d", "/opt/cni/bin", "get pods -A -o wide --field-selector spec.nodeName=a"] {
        assert!(places.contains(place), "{places}");
    }
    // The plugin's own pod, where there is one.
    let seen = found("cni-missing", [has(), vec![flannel()]].concat());
    assert!(seen[0].ends_with("; pod kube-flannel/kube-flannel-ds-x7 is not ready (CrashLoopBackOff)"), "{seen:?}");
    let places = fix("cni-missing", [has(), vec![flannel()]].concat());
    assert!(places.ends_with("\nkubectl -n kube-flannel rollout restart daemonset kube-flannel-ds"), "{places}");
    // k3s has its own places, and writes them itself.
    let places = fix("cni-missing", vec![with(with(node("a"), ready("False", NO_PLUGIN)), k3s())]);
    assert!(places.contains("/var/lib/rancher/k3s/data/cni") && places.contains("--flannel-backend"), "{places}");
    assert!(places.ends_with("\nsudo systemctl restart k3s-agent"), "{places}");
}

#[test]
fn node_not_ready() {
    tells_apart(
        "node-not-ready",
        vec![with(node("a"), ready("False", "PLEG is not healthy"))],
        "Node a: NotReady for 12m, its kubelet says \"PLEG is not healthy\"",
        vec![with(node("a"), ready("False", NO_PLUGIN)), with(node("b"), ready("Unknown", "")), node("c")],
    );
}

#[test]
fn node_silent() {
    let has = || vec![with(node("a"), ready("Unknown", "Kubelet stopped posting node status.")), pod("shop", "web")];
    let has_not = vec![with(node("a"), ready("False", "x")), node("b"), pod("shop", "web")];
    tells_apart("node-silent", has(), "Node a: no word of its kubelet for 12m; 1 pod on it", has_not);
    let steps = fix("node-silent", has());
    assert!(steps.contains("ping -c 3 10.0.0.5\n") && steps.contains("failSwapOn: false"), "{steps}");
}

#[test]
fn evictions_stopped() {
    let cluster = |well: usize, down: usize| -> Vec<Value> {
        let well = (0..well).map(|i| node(&format!("well-{i}")));
        well.chain((0..down).map(|i| with(node(&format!("down-{i}")), ready("Unknown", "")))).collect()
    };
    tells_apart(
        "evictions-stopped",
        cluster(2, 3),
        "Cluster: 3 of 5 nodes are not ready (down-0, down-1, down-2): no pod is moved",
        // Two are evicted from, and so are three of six.
        cluster(1, 2),
    );
    assert_eq!(found("evictions-stopped", cluster(3, 3)), Vec::<String>::new());
    assert_eq!(found("evictions-stopped", cluster(0, 1)), ["Cluster: no node is ready (down-0): no pod is moved"]);
    let zoned = |objects: Vec<Value>, zone: &str| -> Vec<Value> {
        let label = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
        objects.into_iter().map(|object| with(object, label.clone())).collect()
    };
    let two = [zoned(cluster(1, 3), "east"), zoned(vec![node("other")], "west")].concat();
    assert_eq!(
        found("evictions-stopped", two),
        ["Zone east: 3 of 4 nodes are not ready (down-0, down-1, down-2): no pod is moved"]
    );
    // A zone without a ready node among others is evicted from.
    let full = [zoned(cluster(0, 3), "east"), zoned(vec![node("other")], "west")].concat();
    assert_eq!(found("evictions-stopped", full), Vec::<String>::new());
}

#[test]
fn cgroup_v1() {
    let event = |reason: &str, about: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": reason,
               "involvedObject": {"kind": "Node", "name": about}, "lastTimestamp": "2026-11-22T09:50:00Z"})
    };
    tells_apart(
        "cgroup-v1",
        vec![node("a"), event("CgroupV1", "a"), event("CgroupV1", "a")],
        "Node a: its kubelet started on cgroup v1",
        vec![node("a"), event("Starting", "a"), event("CgroupV1", "gone")],
    );
}

#[test]
fn clock_skew() {
    let skewed = |status: &str| {
        let told = condition("ClockSkew", status, "ClockSkew", "the node's clock is 9 s ahead of the controller's");
        vec![node("a"), with(sample("a"), json!({"status": {"conditions": [told]}}))]
    };
    let expected = "Node a: the node's clock is 9 s ahead of the controller's";
    tells_apart("clock-skew", skewed("True"), expected, skewed("False"));
}

#[test]
fn clock_skew_by_lease() {
    let lease = |name: &str, renewed: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
               "metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"renewTime": renewed}})
    };
    let cluster = |renewed: &str| {
        vec![
            node("a"),
            node("b"),
            with(node("dead"), ready("Unknown", "")),
            lease("a", renewed),
            lease("b", "2026-11-22T09:59:55.000000Z"),
            lease("dead", "2026-11-22T08:00:00.000000Z"),
        ]
    };
    let ahead = "Node a: its Lease was renewed 60s ahead of the others'";
    tells_apart("clock-skew", cluster("2026-11-22T10:00:55Z"), ahead, cluster("2026-11-22T10:00:10Z"));
    let behind = "Node a: it is Ready, and its Lease was renewed 115s behind the others'";
    tells_apart("clock-skew", cluster("2026-11-22T09:58:00Z"), behind, cluster("2026-11-22T09:59:00Z"));
}

#[test]
fn max_pods() {
    let cluster = |pods: usize| {
        let limit = json!({"status": {"allocatable": {"pods": "20"}}});
        let mut objects = vec![with(node("a"), limit)];
        objects.extend((0..pods).map(|i| pod("shop", &format!("web-{i}"))));
        objects.push(with(pod("shop", "done"), json!({"status": {"phase": "Succeeded"}})));
        objects
    };
    tells_apart("max-pods", cluster(18), "Node a: 18 pods, and it takes 20", cluster(17));
}
