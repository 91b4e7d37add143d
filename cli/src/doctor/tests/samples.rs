use super::*;

const CLOSED: &str = "the kubelet at 10.0.0.5:10250 cannot be reached: connection refused";

fn unread(name: &str, reason: &str, message: &str) -> Value {
    with(sample(name), json!({"status": {"conditions": [condition("Fresh", "False", reason, message)]}}))
}

#[test]
fn kubelets_unreadable() {
    let nodes = || vec![node("a"), node("b"), with(node("dead"), ready("Unknown", ""))];
    let both = [unread("a", "Unreachable", CLOSED), unread("b", "Unreachable", CLOSED)];
    let has = || [nodes(), both.to_vec(), vec![unread("dead", "Unreachable", CLOSED)]].concat();
    let has_not = [nodes(), vec![unread("a", "Unreachable", CLOSED), sample("b")]].concat();
    tells_apart("kubelets-unreadable", has(), "Cluster: none of 2 kubelets can be read (Unreachable 2)", has_not);
    // All is told once.
    assert_eq!(found("kubelet-unreadable", has()), Vec::<String>::new());
    let steps = fix("kubelets-unreadable", has());
    for cause in ["  nc -zv -w 3 10.0.0.5 10250\n", "behind NAT", "controllers.hostNetwork=true"] {
        assert!(steps.contains(cause), "{cause}: {steps}");
    }
    // Certificates that kubelets signed themselves.
    let untrusted = || vec![node("a"), unread("a", "CertificateUntrusted", "not trusted")];
    assert_eq!(found("kubelets-unreadable", untrusted()), ["Cluster: the kubelet of a cannot be read: not trusted"]);
    let steps = fix("kubelets-unreadable", untrusted());
    assert!(steps.contains("serverTLSBootstrap: true") && steps.contains("insecureTls=true"), "{steps}");
    // Several reasons, one remedy after another.
    let mixed = vec![node("a"), node("b"), unread("a", "Forbidden", "x"), unread("b", "NoSample", "y")];
    let steps = fix("kubelets-unreadable", mixed);
    assert!(steps.contains("can-i get nodes/stats") && steps.contains("describe nodeheadroom a"), "{steps}");
}

#[test]
fn kubelet_unreadable() {
    let cluster = |a: Value| vec![node("a"), node("b"), a, sample("b")];
    let has = cluster(unread("a", "Unreachable", CLOSED));
    tells_apart("kubelet-unreadable", has, &format!("Node a: {CLOSED}"), cluster(sample("a")));
    let dead = vec![with(node("a"), ready("Unknown", "")), node("b"), unread("a", "Unreachable", CLOSED), sample("b")];
    assert_eq!(found("kubelet-unreadable", dead), Vec::<String>::new(), "told as a node that is silent");
}

#[test]
fn nothing_measured() {
    let expected = "Cluster: 2 nodes, no NodeHeadroom; headroom-controllers does not run";
    tells_apart("nothing-measured", vec![node("a"), node("b")], expected, vec![node("a"), node("b"), sample("a")]);
    let runs = vec![node("a"), process("headroom-controllers", &[])];
    assert_eq!(found("nothing-measured", runs), ["Cluster: 1 node, no NodeHeadroom; headroom-controllers runs"]);
}

#[test]
fn samples_stale() {
    let old = |name: &str, observed: &str| with(sample(name), json!({"status": {"observedAt": observed}}));
    let cluster = |observed: &str| vec![node("a"), node("b"), old("a", observed), sample("b")];
    let expected = "Node a: its sample is 3m1s old";
    tells_apart("samples-stale", cluster("2026-11-22T09:56:59Z"), expected, cluster("2026-11-22T09:57:00Z"));
    let all = vec![node("a"), old("a", "2026-11-22T09:30:00Z")];
    assert_eq!(found("samples-stale", all), ["Cluster: the newest of 1 sample is 30m old"]);
    // It is said why.
    let unread = with(unread("a", "Unreachable", CLOSED), json!({"status": {"observedAt": "2026-11-22T09:30:00Z"}}));
    assert_eq!(found("samples-stale", vec![node("a"), unread]), Vec::<String>::new());
}

#[test]
fn kubelet_certificate_pending() {
    let request = |signer: &str, created: &str, status: Value| {
        vec![json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": "csr-x7", "creationTimestamp": created},
            "spec": {"signerName": signer, "username": "system:node:a"}, "status": status})]
    };
    let serving = "kubernetes.io/kubelet-serving";
    tells_apart(
        "kubelet-certificate-pending",
        request(serving, "2026-11-22T09:50:00Z", json!({})),
        "CertificateSigningRequest csr-x7: system:node:a has waited for 10m",
        request(serving, "2026-11-22T09:50:00Z", json!({"conditions": [{"type": "Approved"}]})),
    );
    for (signer, created) in [(serving, "2026-11-22T09:59:30Z"), ("example.com/other", "2026-11-22T09:50:00Z")] {
        let objects = request(signer, created, json!({}));
        assert_eq!(found("kubelet-certificate-pending", objects), Vec::<String>::new());
    }
}

#[test]
fn kubelet_certificate_unchecked() {
    tells_apart(
        "kubelet-certificate-unchecked",
        vec![process("headroom-controllers", &["--controllers=*", "--kubelet-insecure-tls"])],
        "Pod kube-system/headroom-controllers: runs with --kubelet-insecure-tls",
        vec![process("headroom-controllers", &["--controllers=*", "--kubelet-insecure-tls=false"])],
    );
}
