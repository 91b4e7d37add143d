//! Swap that does not help, or hurts, and what the kubelet does when RAM ends.

use headroom_api::{Behavior, Source};
use headroom_core::{memory::overrides, quantity::human_bytes};

use super::Rule;
use crate::doctor::{
    finding::{Fix, Out, Severity, Subject},
    look::{Look, is_k3s, unit},
    state::{NodeFacts, Program},
    text::{arg, mebibytes},
};

pub(super) static RULES: [Rule; 6] = [
    Rule {
        id: "swap-not-given",
        severity: Severity::Warning,
        title: "pods get nothing of a node's swap",
        why: "NoSwap is the kubelet's default, k3s' included: then only what runs outside of pods is swapped out, the \
              kubelet and the system, while pods are killed for want of memory with the swap empty.",
        reads: &["nodes", "nodeheadrooms"],
        also: &["pods"],
        check: swap_not_given,
    },
    Rule {
        id: "control-plane-swaps",
        severity: Severity::Warning,
        title: "the control plane's node swaps",
        why: "When etcd or the API server wait for their own pages, leases are lost, and the whole cluster stands \
              still with them. The scheduler puts nothing more on such a node while more than 5 % of its swap are in \
              use.",
        reads: &["nodes", "nodeheadrooms"],
        also: &["pods"],
        check: control_plane_swaps,
    },
    Rule {
        id: "eviction-before-swap",
        severity: Severity::Warning,
        title: "pods are evicted before swapping",
        why: "The kubelet's threshold looks at RAM alone. Where it is higher than vm.min_free_kbytes, which should be \
              2 to 3 % of RAM, pods are evicted before the kernel begins to swap.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: eviction_before_swap,
    },
    Rule {
        id: "no-eviction-threshold",
        severity: Severity::Info,
        title: "the kernel kills before an eviction",
        why: "k3s sets no memory.available threshold. On a node whose pods get no swap the kernel then kills whatever \
              it picks, where the kubelet would evict the pod that is furthest above its request.",
        reads: &["nodes", "nodeheadrooms"],
        also: &["pods"],
        check: no_eviction_threshold,
    },
    Rule {
        id: "no-pressure-figures",
        severity: Severity::Info,
        title: "pressure is not measured",
        why: "Without pressure stall information major page faults have to do: it is found later, and less surely, \
              that a node is hot or thrashes.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: no_pressure_figures,
    },
    Rule {
        id: "swap-behavior-unknown",
        severity: Severity::Info,
        title: "do pods get swap? nobody knows",
        why: "What is not known counts as none: pods get no credit for swap there. The kubelet's configuration says \
              it, which needs the right to read nodes/configz; so does a container that has swap.",
        reads: &["nodes", "nodeheadrooms"],
        also: &[],
        check: swap_behavior_unknown,
    },
];

/// A threshold of more than this part of RAM, in percent, leaves no room for swapping.
const THRESHOLD_PERCENT: i128 = 3;

/// Lets pods have swap.
fn give_swap(fix: Fix, node: &NodeFacts) -> Fix {
    let unit = unit(node);
    if !is_k3s(node) {
        return fix
            .say(format!("on {}, in the kubelet's file (kubeadm: /var/lib/kubelet/config.yaml):", arg(node.name())))
            .say("  memorySwap: {swapBehavior: LimitedSwap}")
            .run(format!("sudo systemctl restart {unit}"));
    }
    fix.say(format!("on {}, as root:", arg(node.name())))
        .run("mkdir -p /etc/rancher/k3s/config.yaml.d")
        .run("printf '%s\\n' 'apiVersion: kubelet.config.k8s.io/v1beta1' \\")
        .run("  'kind: KubeletConfiguration' 'failSwapOn: false' \\")
        .run("  'memorySwap: {swapBehavior: LimitedSwap}' \\")
        .run("  > /etc/rancher/k3s/kubelet.yaml")
        .run("echo 'kubelet-arg+: [\"config=/etc/rancher/k3s/kubelet.yaml\"]' \\")
        .run("  > /etc/rancher/k3s/config.yaml.d/kubelet.yaml")
        .run(format!("systemctl restart {unit}"))
}

/// Sets the eviction threshold. Who sets one key has to say the others again.
fn evict_below(fix: Fix, node: &NodeFacts, memory: &str) -> Fix {
    let unit = unit(node);
    if !is_k3s(node) {
        return fix
            .say(format!("on {}, in the kubelet's file (kubeadm: /var/lib/kubelet/config.yaml):", arg(node.name())))
            .say("  evictionHard:")
            .say(format!("    memory.available: {memory}"))
            .say("    nodefs.available: 10%")
            .say("    imagefs.available: 15%")
            .run(format!("sudo systemctl restart {unit}"));
    }
    fix.say(format!("on {}, as root:", arg(node.name())))
        .run("mkdir -p /etc/rancher/k3s/config.yaml.d")
        .run(format!("printf '%s' 'kubelet-arg+: [\"eviction-hard=memory.available<{memory},' \\"))
        .run("  'nodefs.available<5%,imagefs.available<5%\"]' \\")
        .run("  > /etc/rancher/k3s/config.yaml.d/eviction.yaml")
        .run(format!("systemctl restart {unit}"))
}

fn swap_not_given(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.published(node) else { continue };
        let swap = look.swap(node);
        // Who says it by hand means it.
        let meant = overrides::swap_behavior(&node.row.meta).is_some();
        if status.swap.behavior != Behavior::NoSwap || swap <= 0 || meant || look.is_protected(node) {
            continue;
        }
        let fix = give_swap(Fix::default(), node)
            .say("or it is meant like that:")
            .run(format!("kubectl annotate node {} headroom.dev/swap-behavior=NoSwap", arg(node.name())));
        out.push(
            Subject::node(node.name()),
            format!("{} of swap, none of it for pods (NoSwap)", human_bytes(swap)),
            fix,
        );
    }
}

fn control_plane_swaps(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        let used = status.swap.used_bytes.unwrap_or(0);
        if used <= 0 || !look.is_protected(node) {
            continue;
        }
        let summary = format!("{} of its {} of swap are in use", human_bytes(used), human_bytes(look.swap(node)));
        let unit = unit(node);
        let fix = Fix::default()
            .say(format!("on {}, when there is RAM enough: no swap on this machine", arg(node.name())))
            .run("free -m")
            .run("sudo swapoff -a && sudo sed -i '/\\sswap\\s/s/^/#/' /etc/fstab")
            .say("or not for what must not wait:")
            .run(format!("sudo systemctl set-property {unit}.service MemorySwapMax=0"))
            .say("or it does not matter here:")
            .run(format!("kubectl annotate node {} headroom.dev/protected=false", arg(node.name())));
        out.push(Subject::node(node.name()), summary, fix);
    }
}

fn eviction_before_swap(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.published(node) else { continue };
        let threshold = status.memory.eviction_hard_bytes.unwrap_or(0);
        let ram = node.row.capacity.memory;
        let high = i128::from(threshold) * 100 > i128::from(ram) * THRESHOLD_PERCENT;
        if ram <= 0 || !high || !look.gives_swap(node) {
            continue;
        }
        let summary = format!(
            "pods are evicted below {} of {}, with {} of swap",
            human_bytes(threshold),
            human_bytes(ram),
            human_bytes(look.swap(node)),
        );
        let fix = Fix::default()
            .say("what the kernel keeps free, in KiB; 2 to 3 % of RAM are good:")
            .run("sysctl vm.min_free_kbytes");
        out.push(Subject::node(node.name()), summary, evict_below(fix, node, &mebibytes(ram / 50)));
    }
}

fn no_eviction_threshold(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.published(node) else { continue };
        if status.memory.eviction_hard_bytes != Some(0) || look.gives_swap(node) {
            continue;
        }
        let fix = evict_below(Fix::default(), node, "5%");
        out.push(Subject::node(node.name()), "no memory.available threshold, and no swap for pods", fix);
    }
}

fn no_pressure_figures(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        if status.source != Source::Kubelet || status.memory.pressure.is_some() {
            continue;
        }
        let fix = Fix::default()
            .say(format!("on {}: is there such a file? (cgroup v2, a kernel with CONFIG_PSI)", arg(node.name())))
            .run("cat /proc/pressure/memory")
            .say("no: boot with psi=1 on the kernel's command line. Yes: it takes a kubelet of 1.34 or newer");
        out.push(Subject::node(node.name()), "its samples say nothing of pressure", fix);
    }
}

fn swap_behavior_unknown(look: &Look<'_>, out: &mut Out<'_>) {
    for node in look.nodes() {
        let Some(status) = look.sample(node) else { continue };
        let swap = look.swap(node);
        let said = overrides::swap_behavior(&node.row.meta).is_some();
        if status.swap.behavior != Behavior::Unknown || status.source != Source::Kubelet || swap <= 0 || said {
            continue;
        }
        let fix = Fix::default().say("let the kubelet's configuration be read:");
        let fix = look.upgrade(fix, Program::Controllers, "--set controllers.kubelet.readConfig=true");
        let remark = "get of nodes/configz in its ClusterRole, which deploy/ grants:";
        let fix = look
            .without_helm(fix, Program::Controllers, remark, &["kubectl edit clusterrole headroom-kubelet-reader"])
            .say("or say what it is (LimitedSwap or NoSwap):")
            .run(format!("kubectl annotate node {} headroom.dev/swap-behavior=LimitedSwap", arg(node.name())));
        out.push(Subject::node(node.name()), format!("{} of swap, behavior Unknown", human_bytes(swap)), fix);
    }
}
