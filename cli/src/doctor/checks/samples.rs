//! Whether nodes are measured, and what keeps kubelets from being read.

use std::collections::BTreeMap;

use headroom_api::Condition;

use super::Rule;
use crate::{
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, condition, flag, is_k3s, not_ready, stale_after},
        state::{NodeFacts, Program},
        text::{arg, counted, cut, seconds_since},
    },
    top::table::age,
};

pub(super) static RULES: [Rule; 6] = [
    Rule {
        id: "kubelets-unreadable",
        severity: Severity::Error,
        title: "Fresh is False everywhere",
        why: "Without samples the scheduler places by requests, as stock does, and swap counts for nothing. Where no \
              kubelet can be read it is one of three things: port 10250 of the nodes is closed to the pod network; \
              nodes are behind NAT, so that their InternalIP leads nowhere; or kubelets show certificates that they \
              signed themselves.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: kubelets_unreadable,
    },
    Rule {
        id: "kubelet-unreadable",
        severity: Severity::Warning,
        title: "Fresh is False on a node",
        why: "Nothing is known of this node's memory and swap. It is judged by requests and by what its last sample \
              said, with a margin, and it gets no credit for swap.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: kubelet_unreadable,
    },
    Rule {
        id: "nothing-measured",
        severity: Severity::Warning,
        title: "there is no NodeHeadroom",
        why: "Nobody measures the nodes: headroom-controllers does not run, or its CRDs are not there. The scheduler \
              then decides as stock does, and every check here that is about memory finds nothing.",
        reads: &["nodes", "nodeheadrooms"],
        also: &["pods"],
        check: nothing_measured,
    },
    Rule {
        id: "samples-stale",
        severity: Severity::Warning,
        title: "samples are old, without a reason",
        why: "headroom-controllers writes at least every half minute, and says so when a kubelet cannot be read. Old \
              samples without such a word mean that it does not run, does not lead or may not write.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: samples_stale,
    },
    Rule {
        id: "kubelet-certificate-pending",
        severity: Severity::Warning,
        title: "a kubelet's CSR waits for approval",
        why: "With serverTLSBootstrap kubelets get certificates that can be verified, but no controller approves these \
              requests by itself. Until then the kubelet cannot be read, nor do kubectl logs and exec reach it.",
        reads: &["certificatesigningrequests"],
        also: &[],
        check: certificate_pending,
    },
    Rule {
        id: "kubelet-certificate-unchecked",
        severity: Severity::Info,
        title: "certificates are not checked",
        why: "With --kubelet-insecure-tls whoever can answer for a node can invent its figures. The token that \
              kubelets see opens nothing else.",
        reads: &["pods"],
        also: &[],
        check: certificate_unchecked,
    },
];

/// Seconds for which a request may wait.
const PATIENCE: u64 = 60;

/// Of the nodes that are ready (dead ones are told elsewhere): how many there are with a NodeHeadroom, and those whose
/// kubelets cannot be read.
fn unread<'a>(look: &Look<'a>) -> (usize, Vec<(&'a NodeFacts, &'a Condition)>) {
    let mut known = 0;
    let mut failing = Vec::new();
    for node in look.nodes().filter(|node| not_ready(node).is_none()) {
        let Some(status) = look.published(node) else { continue };
        known += 1;
        if let Some(fresh) = condition(status, "Fresh").filter(|fresh| fresh.status == "False") {
            failing.push((node, fresh));
        }
    }
    (known, failing)
}

fn kubelets_unreadable(look: &Look<'_>, out: &mut Out<'_>) {
    let (known, failing) = unread(look);
    let Some((node, _)) = failing.first().filter(|_| failing.len() == known) else { return };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, fresh) in &failing {
        *reasons.entry(&fresh.reason).or_default() += 1;
    }
    let told: Vec<String> = reasons.iter().map(|(reason, count)| format!("{} {count}", cut(reason))).collect();
    let summary = match failing.as_slice() {
        [(node, fresh)] => format!("the kubelet of {} cannot be read: {}", cut(node.name()), cut(&fresh.message)),
        _ => format!("none of {} can be read ({})", counted(known, "kubelet"), told.join(", ")),
    };
    let fix = reasons.keys().fold(Fix::default(), |fix, reason| remedy(look, reason, node, fix));
    out.push(Subject::cluster(), summary, fix);
}

fn kubelet_unreadable(look: &Look<'_>, out: &mut Out<'_>) {
    let (known, failing) = unread(look);
    if failing.len() == known {
        return;
    }
    for (node, fresh) in failing {
        let told = if fresh.message.is_empty() { &fresh.reason } else { &fresh.message };
        out.push(Subject::node(node.name()), cut(told), remedy(look, &fresh.reason, node, Fix::default()));
    }
}

/// What to do about a reason of the condition Fresh, shown with this node.
fn remedy(look: &Look<'_>, reason: &str, node: &NodeFacts, fix: Fix) -> Fix {
    let name = arg(node.name());
    match reason {
        "Unreachable" => {
            let address = node.row.address("InternalIP").map_or("ADDRESS", |address| arg(address));
            let port = node.row.kubelet_port;
            let fix = fix
                .say("the address that is dialled is INTERNAL-IP; is the port open to pods?")
                .run("kubectl get nodes -o wide")
                .run("kubectl run dial --rm -i --restart=Never --image=busybox:1.37 -- \\")
                .run(format!("  nc -zv -w 3 {address} {port}"))
                .say(format!("closed: open TCP {port} of the nodes to the pod network in their firewalls, such as"))
                .run(format!("sudo ufw allow from 10.42.0.0/16 to any port {port} proto tcp"))
                .say("or let headroom-controllers use its node's network:");
            let by_hand = "hostNetwork, port 10357 and maxSurge 0 (docs/take-over.md, Without Helm):";
            look.change(fix, Program::Controllers, "--set controllers.hostNetwork=true", by_hand).say(
                "a node behind NAT cannot be dialled at its InternalIP: give it one that leads there (--node-ip), or run \
                 metrics-server, which is asked for RAM instead",
            )
        }
        "CertificateUntrusted" => {
            let fix = fix
                .say(
                    "kubelets with certificates of their own making (kubeadm): let the cluster sign them. Put \
                     serverTLSBootstrap: true into /var/lib/kubelet/config.yaml of each node and into",
                )
                .run("kubectl -n kube-system edit configmap kubelet-config")
                .say(format!("on {name} and the others, then approve what they ask for:"))
                .run("sudo systemctl restart kubelet")
                .run("kubectl get csr")
                .run("kubectl certificate approve NAME")
                .say("or do not check them:");
            let by_hand = "--kubelet-insecure-tls in its args:";
            look.change(fix, Program::Controllers, "--set controllers.kubelet.insecureTls=true", by_hand)
        }
        "Forbidden" => {
            let fix = fix.say("the account that reads kubelets lacks a right, which the chart and deploy/ grant:");
            let fix = look.upgrade(fix, Program::Controllers, "");
            let remark =
                "apply ClusterRole and ClusterRoleBinding headroom-kubelet-reader of its file again; what is there:";
            let shown = "kubectl get clusterrole,clusterrolebinding headroom-kubelet-reader -o yaml";
            let (namespace, account) = look.kubelet_reader();
            look.without_helm(fix, Program::Controllers, remark, &[shown])
                .run("kubectl auth can-i get nodes/stats \\")
                .run(format!("  --as system:serviceaccount:{namespace}:{account}"))
        }
        _ => look.read_log(fix.run(format!("kubectl describe nodeheadroom {name}"))),
    }
}

fn nothing_measured(look: &Look<'_>, out: &mut Out<'_>) {
    let nodes = look.state.nodes.len();
    if nodes == 0 || !look.state.samples.is_empty() {
        return;
    }
    let run = if look.running(Program::Controllers).next().is_some() { "runs" } else { "does not run" };
    let summary = format!("{}, no NodeHeadroom; headroom-controllers {run}", counted(nodes, "node"));
    let fix = Fix::default().run("kubectl get crd nodeheadrooms.headroom.dev");
    let fix = look.read_log(look.list_pods(fix, Program::Controllers));
    // Over what is there already, an installation would make a second one, or take a takeover back.
    let fix = if look.is_installed() {
        fix
    } else {
        let way = if look.nodes().any(is_k3s) { "k3s" } else { "plain" };
        fix.say("not installed yet, if nothing of it is there:")
            .run("helm -n kube-system install headroom charts/headroom")
            .say("or, without Helm:")
            .run(format!("kubectl apply -f deploy/{way}/headroom.yaml"))
    };
    out.push(Subject::cluster(), summary, fix);
}

fn samples_stale(look: &Look<'_>, out: &mut Out<'_>) {
    let mut stale = Vec::new();
    let mut known = 0;
    for node in look.nodes() {
        let Some(status) = look.published(node) else { continue };
        known += 1;
        let told = condition(status, "Fresh").is_some_and(|fresh| fresh.status == "False");
        let old = look.sample_age(status).filter(|seconds| !told && *seconds > stale_after(status));
        stale.extend(old.map(|seconds| (node, seconds)));
    }
    let fix = || {
        let fix = look.list_pods(Fix::default(), Program::Controllers);
        // Leases are there wherever the rest is.
        look.read_log(fix.run("kubectl -n kube-system get lease headroom-controllers"))
    };
    if stale.len() == known {
        if let Some(youngest) = stale.iter().map(|(_, seconds)| *seconds).min() {
            let summary = format!("the newest of {} is {} old", counted(known, "sample"), age(youngest));
            out.push(Subject::cluster(), summary, fix());
        }
        return;
    }
    for (node, seconds) in stale {
        out.push(Subject::node(node.name()), format!("its sample is {} old", age(seconds)), fix());
    }
}

fn certificate_pending(look: &Look<'_>, out: &mut Out<'_>) {
    for request in look.state.pending.values() {
        let Some(seconds) = seconds_since(request.created, look.at).filter(|seconds| *seconds >= PATIENCE) else {
            continue;
        };
        let summary = format!("{} has waited for {}", request.user, age(seconds));
        let name = arg(&request.name);
        let fix = Fix::default()
            .say("are the names and addresses in it those of the node?")
            .run(format!("kubectl describe csr {name}"))
            .run(format!("kubectl certificate approve {name}"));
        out.push(Subject::new("CertificateSigningRequest", "", &request.name), summary, fix);
    }
}

fn certificate_unchecked(look: &Look<'_>, out: &mut Out<'_>) {
    for pod in look.running(Program::Controllers) {
        if flag(&pod.args, "kubelet-insecure-tls").last().is_none_or(|value| *value == "false") {
            continue;
        }
        let fix = Fix::default()
            .say("let kubelets have certificates of the cluster (serverTLSBootstrap: true, approve), then:");
        let by_hand = "no --kubelet-insecure-tls in its args:";
        let fix = look.change(fix, Program::Controllers, "--set controllers.kubelet.insecureTls=false", by_hand);
        out.push(Subject::namespaced("Pod", &pod.row.meta.key), "runs with --kubelet-insecure-tls", fix);
    }
}
