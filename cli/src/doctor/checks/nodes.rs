//! Nodes in their kubelets' own words.

use std::collections::BTreeMap;

use headroom_core::object::{OwnerRef, Pod, Status};

use super::Rule;
use crate::{
    doctor::{
        finding::{Fix, Out, Severity, Subject},
        look::{Look, condition, is_k3s, silent, unit},
        state::NodeFacts,
        text::{arg, counted, cut, lasting, some_of},
    },
    top::table::age,
};

pub(super) static RULES: [Rule; 7] = [
    Rule {
        id: "cni-missing",
        severity: Severity::Error,
        title: "no network plugin on a node",
        why: "Without a network plugin no pod with a network of its own starts on the node. The plugin's \
              configuration, its programs or its DaemonSet are missing: emptied by a clean-up, or never installed \
              because the distribution's setting leaves the plugin out.",
        reads: &["nodes"],
        also: &["pods"],
        check: cni_missing,
    },
    Rule {
        id: "node-not-ready",
        severity: Severity::Error,
        title: "a kubelet says it is not ready",
        why: "Nothing new is placed on the node, and after five minutes its pods are moved elsewhere if there is room.",
        reads: &["nodes"],
        also: &[],
        check: node_not_ready,
    },
    Rule {
        id: "node-silent",
        severity: Severity::Error,
        title: "no word of a kubelet",
        why: "The machine is off or cut off, or its kubelet does not run. Pods of Deployments are made anew elsewhere \
              after five minutes; those of StatefulSets, and volumes that are attached to the machine, wait until it \
              is back or until somebody says that it is gone.",
        reads: &["nodes"],
        also: &[],
        check: node_silent,
    },
    Rule {
        id: "evictions-stopped",
        severity: Severity::Warning,
        title: "no pod is moved off dead nodes",
        why: "When no node of the cluster is ready, or in a zone of at most 50 nodes three or more are not and these \
              are 55 % or more, the node lifecycle loop takes it that the fault is its own, and stops evicting. Nobody \
              else says so.",
        reads: &["nodes"],
        also: &[],
        check: evictions_stopped,
    },
    Rule {
        id: "cgroup-v1",
        severity: Severity::Warning,
        title: "a node uses cgroup v1",
        why: "With cgroup v1 pods get no swap whatever the kubelet's swap behavior is, and pressure is not measured. \
              From Kubernetes 1.35 on a kubelet does not start there unless failCgroupV1 is false.",
        reads: &["nodes", "events"],
        also: &[],
        check: cgroup_v1,
    },
    Rule {
        id: "clock-skew",
        severity: Severity::Warning,
        title: "a node's clock is off",
        why: "Leases, certificates and the ages of samples are compared by clocks. A node whose clock is off looks \
              dead or fresh when it is not, and a certificate may not be valid there yet.",
        reads: &["nodes"],
        also: &["nodeheadrooms", "leases"],
        check: clock_skew,
    },
    Rule {
        id: "max-pods",
        severity: Severity::Warning,
        title: "a node has nearly maxPods pods",
        why: "At its limit a node takes no pod more, however much memory it has left. The limit is 110 unless the \
              kubelet's maxPods says otherwise.",
        reads: &["nodes", "pods"],
        also: &[],
        check: max_pods,
    },
];

/// What the names of DaemonSets of network plugins contain.
const PLUGINS: [&str; 11] = [
    "antrea-agent",
    "aws-node",
    "calico-node",
    "canal",
    "cilium",
    "flannel",
    "kindnet",
    "kube-ovn",
    "kube-router",
    "ovnkube",
    "weave-net",
];
/// What kubelets say when they find none.
const NO_PLUGIN: [&str; 4] =
    ["NetworkPluginNotReady", "cni config uninitialized", "cni plugin not initialized", "network plugin is not ready"];
/// Nodes that disruption does not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
/// Region and zone, the older names first as upstream has it.
const ZONES: [[&str; 2]; 2] = [
    ["failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"],
    ["failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"],
];
/// In larger zones evictions are slow, not stopped.
const SMALL_ZONE: usize = 50;
/// Seconds by which a Lease may be off before a clock is blamed: ahead of and behind the others'.
const AHEAD: u64 = 15;
const BEHIND: u64 = 60;

fn lacks_plugin(message: &str) -> bool {
    NO_PLUGIN.iter().any(|words| message.contains(words))
}

/// The DaemonSet of a network plugin that made the pod.
fn plugin(pod: &Pod) -> Option<&OwnerRef> {
    pod.meta.controller().filter(|o| o.kind == "DaemonSet" && PLUGINS.iter().any(|name| o.name.contains(name)))
}

fn cni_missing(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(ready) = node.row.condition("Ready").filter(|c| c.status == Status::False) else { continue };
        if !lacks_plugin(&ready.message) {
            continue;
        }
        let found = look.pods_on(node.name()).find_map(|pod| Some((pod, plugin(&pod.row)?)));
        let seen = match found {
            Some((pod, _)) if pod.row.is_ready() => {
                format!("pod {} of a network plugin is ready on it", pod.full_name())
            }
            Some((pod, _)) if pod.waits.is_empty() => format!("pod {} is not ready", pod.full_name()),
            Some((pod, _)) => format!("pod {} is not ready ({})", pod.full_name(), pod.waits),
            None => "no pod of a known network plugin is on it".to_owned(),
        };
        let since = lasting(ready.last_transition, look.at);
        let summary = format!("NotReady{since}, its kubelet says \"{}\"; {seen}", cut(&ready.message));
        let name = arg(node.name());
        let mut fix =
            Fix::default().say(format!("1 and 2: on {name} itself, is there a configuration, are there programs?"));
        fix = if is_k3s(node) {
            fix.run("sudo ls -l /var/lib/rancher/k3s/agent/etc/cni/net.d")
                .run("sudo ls -l /var/lib/rancher/k3s/data/cni")
                .say("with a plugin of your own: /etc/cni/net.d and /opt/cni/bin")
        } else {
            fix.run("sudo ls -l /etc/cni/net.d /opt/cni/bin")
        };
        fix = fix
            .say("3: does a pod of the plugin's DaemonSet run there?")
            .run(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"));
        if let Some((pod, daemon)) = found {
            let (namespace, pod) = (arg(&pod.row.meta.key.namespace), arg(&pod.row.meta.key.name));
            fix = fix
                .run(format!("kubectl -n {namespace} logs {pod} --all-containers --tail 20"))
                .say("write no configuration by hand, the plugin does that when it starts:")
                .run(format!("kubectl -n {namespace} rollout restart daemonset {}", arg(&daemon.name)));
        } else if is_k3s(node) {
            fix = fix
                .say(
                    "write no configuration by hand: k3s does that when it starts, unless its servers were told \
                     --flannel-backend=none, and a plugin of your own has to be installed",
                )
                .run(format!("sudo systemctl restart {}", unit(node)));
        } else {
            fix = fix.say(
                "write no configuration by hand: install the plugin (kubeadm: apply its manifest; rancher: \
                 network.plugin in cluster.yml)",
            );
        }
        out.push(Subject::node(node.name()), summary, fix);
    }
}

fn node_not_ready(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(ready) = node.row.condition("Ready").filter(|c| c.status == Status::False) else { continue };
        if lacks_plugin(&ready.message) {
            continue;
        }
        let words = if ready.message.is_empty() { &ready.reason } else { &ready.message };
        let since = lasting(ready.last_transition, look.at);
        let fix = Fix::default()
            .run(format!("kubectl describe node {}", arg(node.name())))
            .say("on the machine:")
            .run(format!("sudo journalctl -u {} -n 50 --no-pager", unit(node)));
        out.push(Subject::node(node.name()), format!("NotReady{since}, its kubelet says \"{}\"", cut(words)), fix);
    }
}

fn node_silent(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(ready) = silent(node) else { continue };
        let pods = look.pods_on(node.name()).filter(|pod| !pod.row.is_terminal()).count();
        let mut summary = format!("no word of its kubelet{}", lasting(ready.last_transition, look.at));
        if pods > 0 {
            summary = format!("{summary}; {} on it", counted(pods, "pod"));
        }
        let name = arg(node.name());
        let address = node.row.address("InternalIP").map_or(name, |address| arg(address));
        let unit = unit(node);
        let fix = Fix::default()
            .say("does the machine answer?")
            .run(format!("ping -c 3 {address}"))
            .say("on it: does the kubelet run? (\"running with swap on is not supported\": failSwapOn: false)")
            .run(format!("sudo systemctl status {unit} --no-pager"))
            .run(format!("sudo journalctl -u {unit} -n 50 --no-pager"))
            .say("only when the machine is gone for good:")
            .run(format!("kubectl delete node {name}"));
        out.push(Subject::node(node.name()), summary, fix);
    }
}

/// Region and zone of a node, empty when it has neither.
fn zone(node: &NodeFacts) -> String {
    let labels = &node.row.meta.labels;
    let parts = ZONES.iter().filter_map(|keys| keys.iter().find_map(|key| labels.get(key)));
    parts.map(|part| cut(part)).collect::<Vec<_>>().join("/")
}

fn evictions_stopped(look: &Look<'_>, out: &mut Out<'_>) {
    // Ready nodes, and the names of those that are not.
    let mut zones: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for node in look.nodes() {
        let Some(ready) = node.row.condition("Ready") else { continue };
        if node.row.meta.labels.has(EXCLUDED) {
            continue;
        }
        let zone = zones.entry(zone(node)).or_default();
        if ready.status == Status::True {
            zone.0 += 1;
        } else {
            zone.1.push(node.name().to_owned());
        }
    }
    let fix = |names: &[String]| {
        let gone: Vec<&str> =
            names.iter().filter(|name| look.node(name).and_then(silent).is_some()).map(|n| arg(n)).collect();
        let fix = Fix::default().say("bring nodes back; delete those whose machines are gone, they count as not ready");
        if gone.is_empty() { fix } else { fix.run(format!("kubectl delete node {}", gone.join(" "))) }
    };
    let all: Vec<String> = zones.values().flat_map(|(_, down)| down.iter().cloned()).collect();
    if zones.values().all(|(ready, _)| *ready == 0) {
        if !all.is_empty() {
            let summary = format!("no node is ready ({}): no pod is moved", some_of(&all));
            out.push(Subject::cluster(), summary, fix(&all));
        }
        return;
    }
    for (zone, (ready, down)) in &zones {
        let total = ready + down.len();
        // 55 %, without rounding.
        if *ready > 0 && down.len() > 2 && total <= SMALL_ZONE && down.len() * 100 >= total * 55 {
            let subject = if zone.is_empty() { Subject::cluster() } else { Subject::new("Zone", "", zone) };
            let summary = format!("{} of {total} nodes are not ready ({}): no pod is moved", down.len(), some_of(down));
            out.push(subject, summary, fix(down));
        }
    }
}

fn cgroup_v1(look: &Look<'_>, out: &mut Out<'_>) {
    for told in look.state.told.iter().filter(|told| told.reason == "CgroupV1" && told.kind == "Node") {
        let Some(node) = look.node(&told.key.name) else { continue };
        let fix = Fix::default()
            .say(format!("on {}: cgroup2fs is v2, tmpfs is v1", arg(node.name())))
            .run("stat -fc %T /sys/fs/cgroup")
            .say("v1: boot with systemd.unified_cgroup_hierarchy=1, or use a newer release of the system");
        out.push(Subject::node(node.name()), "its kubelet started on cgroup v1", fix);
    }
}

fn clock_skew(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let said = look.published(node).and_then(|status| condition(status, "ClockSkew"));
        let summary = match said.filter(|condition| condition.status == "True") {
            Some(condition) => cut(&condition.message),
            None => match by_lease(look, node) {
                Some(summary) => summary,
                None => continue,
            },
        };
        let fix = Fix::default()
            .say(format!("on {}:", arg(node.name())))
            .run("timedatectl status")
            .run("sudo timedatectl set-ntp true");
        out.push(Subject::node(node.name()), summary, fix);
    }
}

/// A kubelet writes its own time into its Lease. Only leases of Ready nodes are compared: others stand still.
fn by_lease(look: &Look<'_>, node: &NodeFacts) -> Option<String> {
    let is_ready = |node: &NodeFacts| node.row.condition("Ready").is_some_and(|c| c.status == Status::True);
    let lease = |node: &NodeFacts| look.state.leases.get(node.name()).copied();
    let own = lease(node).filter(|_| is_ready(node))?;
    let others = look.nodes().filter(|other| other.name() != node.name() && is_ready(other));
    let newest = others.filter_map(lease).max()?;
    let (ahead, behind) = (own.since(newest).as_secs(), newest.since(own).as_secs());
    if ahead > AHEAD && own.since(look.at).as_secs() > AHEAD {
        return Some(format!("its Lease was renewed {} ahead of the others'", age(ahead)));
    }
    (behind > BEHIND && look.at.since(own).as_secs() > BEHIND)
        .then(|| format!("it is Ready, and its Lease was renewed {} behind the others'", age(behind)))
}

fn max_pods(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Ok(limit) = usize::try_from(node.row.allocatable.pods) else { continue };
        let pods = look.pods_on(node.name()).filter(|pod| !pod.row.is_terminal()).count();
        if limit == 0 || pods.saturating_mul(10) < limit.saturating_mul(9) {
            continue;
        }
        let fix = Fix::default()
            .say(format!("on {}, as root; keep it within the node's range of pod addresses", arg(node.name())));
        let fix = if is_k3s(node) {
            fix.run("mkdir -p /etc/rancher/k3s/config.yaml.d")
                .run("echo 'kubelet-arg+: [\"max-pods=250\"]' \\")
                .run("  > /etc/rancher/k3s/config.yaml.d/max-pods.yaml")
                .run(format!("systemctl restart {}", unit(node)))
        } else {
            fix.say("maxPods: 250 in the kubelet's configuration (kubeadm: /var/lib/kubelet/config.yaml), then")
                .run(format!("systemctl restart {}", unit(node)))
        };
        out.push(Subject::node(node.name()), format!("{pods} pods, and it takes {limit}"), fix);
    }
}
