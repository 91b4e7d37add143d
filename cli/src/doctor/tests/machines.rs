use super::*;

fn dead(name: &str) -> Value {
    with(node(name), ready("Unknown", "Kubelet stopped posting node status."))
}

#[test]
fn statefulset_waits_for_dead_node() {
    let cluster = |node: Value, ends: &str, kind: &str| {
        let terminating = json!({"metadata": {"deletionTimestamp": ends, "deletionGracePeriodSeconds": 30}});
        vec![node, with(with(pod("shop", "db-0"), owned_by(kind, "db")), terminating)]
    };
    let has = || cluster(dead("a"), "2026-11-22T09:55:00Z", "StatefulSet");
    tells_apart(
        "statefulset-waits-for-dead-node",
        has(),
        "Pod shop/db-0: was to be gone 5m ago; node a has not been ready for 12m, and StatefulSet db waits",
        cluster(node("a"), "2026-11-22T09:55:00Z", "StatefulSet"),
    );
    // Within its time, or of an owner that has made another one already.
    for (ends, kind) in [("2026-11-22T09:59:30Z", "StatefulSet"), ("2026-11-22T09:55:00Z", "ReplicaSet")] {
        assert_eq!(found("statefulset-waits-for-dead-node", cluster(dead("a"), ends, kind)), Vec::<String>::new());
    }
    let steps = fix("statefulset-waits-for-dead-node", has());
    assert!(steps.contains("kubectl taint node a \\\n  node.kubernetes.io/out-of-service=nodeshutdown:NoExecute\n"));
    assert!(steps.ends_with("\nkubectl delete node a"), "{steps}");
}

fn claim(volume: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
           "spec": {"volumeName": volume}})
}

fn volume(affinity: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"},
           "spec": {"accessModes": ["ReadWriteOnce"], "claimRef": {"namespace": "shop", "name": "data"},
                    "nodeAffinity": affinity}})
}

fn local(node: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}})
}

/// A pod that uses the claim and does not run.
fn waiting(node: Value) -> Value {
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    with(
        pod("shop", "db-0"),
        json!({"spec": {"nodeName": node, "volumes": volumes},
               "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]}}),
    )
}

#[test]
fn volume_on_missing_node() {
    let cluster = |on: &str, pod: Value| vec![node("a"), node("b"), claim("pv-1"), volume(local(on)), pod];
    let has = || cluster("gone", waiting(json!(null)));
    tells_apart(
        "volume-on-missing-node",
        has(),
        "PersistentVolumeClaim shop/data: its volume pv-1 is on gone, which is not in the cluster; pod shop/db-0 waits \
         for it",
        cluster("b", waiting(json!(null))),
    );
    // Nobody waits for it.
    assert_eq!(found("volume-on-missing-node", cluster("gone", pod("shop", "web"))), Vec::<String>::new());
    let steps = fix("volume-on-missing-node", has());
    assert!(steps.contains("kubectl -n shop delete pvc data --wait=false\nkubectl -n shop delete pod db-0"), "{steps}");
}

#[test]
fn volume_held_by_dead_node() {
    let attached = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "csi-1"},
        "spec": {"attacher": "csi.example.com", "nodeName": "a", "source": {"persistentVolumeName": "pv-1"}},
        "status": {"attached": true}});
    let cluster =
        |first: Value, pod: Value| vec![first, node("b"), claim("pv-1"), volume(json!(null)), attached.clone(), pod];
    let expected = "PersistentVolumeClaim shop/data: its volume pv-1 is attached to node a, which is dead; pod \
                    shop/db-0 waits for it";
    let has = || cluster(dead("a"), waiting(json!("b")));
    tells_apart("volume-held-by-dead-node", has(), expected, cluster(node("a"), waiting(json!("b"))));
    // The pod is where the volume is.
    assert_eq!(found("volume-held-by-dead-node", cluster(dead("a"), waiting(json!("a")))), Vec::<String>::new());
    assert!(fix("volume-held-by-dead-node", has()).contains("kubectl taint node a \\\n"));
    // The Node is gone as well.
    let steps = fix("volume-held-by-dead-node", cluster(node("c"), waiting(json!("b"))));
    assert!(steps.ends_with("\nkubectl delete volumeattachment csi-1"), "{steps}");
}

#[test]
fn pod_on_missing_node() {
    let on = |name: &str| with(pod("shop", "web"), json!({"spec": {"nodeName": name}}));
    tells_apart(
        "pod-on-missing-node",
        vec![node("a"), on("gone")],
        "Pod shop/web: is bound to node gone, which does not exist",
        vec![node("a"), on("a")],
    );
    let young = with(on("gone"), json!({"metadata": {"creationTimestamp": "2026-11-22T09:59:30Z"}}));
    let done = with(on("gone"), json!({"metadata": {"name": "done"}, "status": {"phase": "Failed"}}));
    assert_eq!(found("pod-on-missing-node", vec![node("a"), young, done]), Vec::<String>::new());
    assert_eq!(found("pod-on-missing-node", vec![on("gone")]), Vec::<String>::new(), "no nodes were saved");
}
