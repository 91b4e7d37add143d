//! From rows to what the memory model reads.

use headroom_core::{
    Timestamp,
    memory::{
        Candidate, ContainerKind, ContainerMemory, NodeMemory, Params, PodMemory, PodUsage, Qos, SwapBehavior,
        TrackedPod,
        node::{default_eviction, phase, protected, swap_capacity},
        overrides,
        swap::{self, SwapNode},
    },
    object::{self, Container, Node, Pod, Status, VolumeKind},
    quantity,
};

use crate::framework::World;

/// UID of a static pod in the kubelet's summary (5.12 (15)).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Pod annotation: expected memory.
pub(super) const HINT: &str = "headroom.dev/memory-hint";
/// Pod annotation: `never` wants no swap.
const SWAP: &str = "headroom.dev/swap";
/// Pod annotation: may go to protected nodes.
const ALLOW_PROTECTED: &str = "headroom.dev/allow-protected-nodes";
/// Labels of nodes that protection is for (5.9).
const PROTECTED_ROLES: [&str; 3] =
    ["node-role.kubernetes.io/etcd", "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// The UID under which a kubelet's summary lists this pod.
pub(crate) fn sample_uid(pod: &Pod) -> &str {
    if pod.is_mirror() {
        pod.meta.annotations.get(CONFIG_HASH).map_or(&pod.meta.uid, |hash| hash)
    } else {
        &pod.meta.uid
    }
}

/// A container's name beside what the model reads of it.
pub(crate) fn containers(pod: &Pod) -> (Vec<&str>, Vec<ContainerMemory>) {
    let of = |kind: ContainerKind, c: &Container| ContainerMemory {
        kind,
        request: c.requests.memory,
        limit: c.limits.memory,
    };
    let spec = &pod.spec;
    let init = spec
        .init_containers
        .iter()
        .map(|c| (&*c.name, of(if c.restartable { ContainerKind::Sidecar } else { ContainerKind::Init }, c)));
    init.chain(spec.containers.iter().map(|c| (&*c.name, of(ContainerKind::App, c)))).unzip()
}

/// Bytes that a hint says.
fn size(text: &str) -> Option<i64> {
    quantity::value(text).ok().filter(|bytes| *bytes >= 0)
}

/// A hint that says nothing.
pub(super) fn unreadable_hint(pod: &Pod) -> Option<&str> {
    pod.meta.annotations.get(HINT).map(|text| &**text).filter(|text| size(text).is_none())
}

/// What the model reads of a pod, around its containers.
pub(crate) fn pod_memory<'a>(pod: &Pod, containers: &'a [ContainerMemory]) -> PodMemory<'a> {
    let spec = &pod.spec;
    let annotation = |key: &str| pod.meta.annotations.get(key).map(|v| &**v);
    let volumes = spec.volumes.iter().filter_map(|v| match v.kind {
        VolumeKind::MemoryEmptyDir(limit) => limit,
        _ => None,
    });
    PodMemory {
        containers,
        qos: match pod.qos() {
            object::Qos::Guaranteed => Qos::Guaranteed,
            object::Qos::Burstable => Qos::Burstable,
            object::Qos::BestEffort => Qos::BestEffort,
        },
        priority: spec.priority,
        static_pod: pod.is_mirror(),
        daemon_set: pod.meta.controller().is_some_and(|o| o.kind == "DaemonSet"),
        overhead: spec.overhead.memory.unwrap_or(0),
        memory_volumes: volumes.fold(0_i64, |sum, bytes| sum.saturating_add(bytes.max(0))),
        hint: annotation(HINT).and_then(size),
        swap_never: annotation(SWAP) == Some("never"),
        allow_protected: annotation(ALLOW_PROTECTED) == Some("true"),
        pod_request: spec.pod_requests.as_ref().and_then(|r| r.memory),
        pod_limit: spec.pod_limits.as_ref().and_then(|l| l.memory),
    }
}

/// The behaviour that an annotation or label demands.
pub(crate) fn behavior_override(node: &Node) -> Option<&str> {
    overrides::said(&node.meta, overrides::SWAP_BEHAVIOR)
}

/// Whether control-plane protection applies to the node: annotation or label, role labels, or a mirror pod of etcd or
/// the API server (5.9).
pub(crate) fn is_protected(node: &Node, world: &World) -> bool {
    let said = overrides::protected(&node.meta);
    let label = PROTECTED_ROLES.iter().any(|role| node.meta.labels.has(role));
    let mirror = || {
        world.pods.on_node(node.name()).any(|pod| {
            pod.is_mirror()
                && pod.meta.labels.get("component").is_some_and(|c| matches!(&**c, "etcd" | "kube-apiserver"))
        })
    };
    protected(said, label, said.is_none() && !label && mirror())
}

/// What the model reads of a node. `swap` and `behavior` are what was measured, `eviction` what `/configz` said.
pub(crate) fn node_memory(
    node: &Node,
    swap: Option<i64>,
    behavior: SwapBehavior,
    eviction: Option<i64>,
    overhead: Option<i64>,
    protected: bool,
) -> NodeMemory {
    NodeMemory {
        capacity: node.capacity.memory,
        allocatable: node.allocatable.memory,
        swap: swap_capacity(node.swap_capacity, swap),
        behavior,
        eviction: eviction.unwrap_or_else(|| default_eviction(&node.kubelet_version)),
        media: overrides::swap_media(&node.meta).unwrap_or_default(),
        protected,
        control_plane: PROTECTED_ROLES[1..].iter().any(|role| node.meta.labels.has(role)),
        overhead,
    }
}

/// The pod as the rules see it, by what was learned of its workload.
pub(crate) fn candidate(pod: &Pod, world: &World, now: Timestamp, params: &Params) -> Candidate {
    let (_, specs) = containers(pod);
    let profile = world.profile(pod);
    let history = |index: usize| {
        let container = pod.spec.init_containers.iter().chain(pod.spec.containers.iter()).nth(index)?;
        profile?.history(&container.name, &container.image).copied()
    };
    Candidate::new(&pod_memory(pod, &specs), history, params.default_demand_bytes, now, params)
}

/// A pod of a node whose sample, taken at `sampled`, says `usage` of it.
pub(crate) fn tracked(
    pod: &Pod,
    candidate: &Candidate,
    usage: Option<PodUsage>,
    node: &SwapNode,
    sampled: Timestamp,
    params: &Params,
) -> TrackedPod {
    let ready = pod.condition("Ready").is_some_and(|c| c.status == Status::True);
    TrackedPod {
        reserved: candidate.demand.reserved,
        demand: candidate.demand.total,
        swap_limit: swap::pod_limit(candidate.eligible.iter().copied(), node),
        usage,
        phase: phase(pod.status.start_time, ready, sampled, params),
        terminating: pod.meta.is_terminating(),
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        memory::SwapMedia,
        testing::{node, pod},
    };

    use super::*;

    #[test]
    fn what_is_said_of_a_node_by_annotation_or_label() {
        let world = World::default();
        let memory = |node: &Node| node_memory(node, None, SwapBehavior::Unknown, None, None, false);
        let labelled = node("n1")
            .label("headroom.dev/protected", "true")
            .label("headroom.dev/swap-behavior", "NoSwap")
            .label("headroom.dev/swap-media", "zram");
        let both = labelled
            .clone()
            .annotation("headroom.dev/protected", "false")
            .annotation("headroom.dev/swap-behavior", "LimitedSwap")
            .annotation("headroom.dev/swap-media", "hdd");
        for (n, protected, behavior, media) in [
            (labelled.build(), true, Some("NoSwap"), SwapMedia::Zram),
            (both.build(), false, Some("LimitedSwap"), SwapMedia::Hdd),
            (node("n1").build(), false, None, SwapMedia::default()),
        ] {
            assert_eq!(
                (is_protected(&n, &world), behavior_override(&n), memory(&n).media),
                (protected, behavior, media)
            );
        }
    }

    #[test]
    fn what_is_said_wins_over_roles_and_mirror_pods() {
        let mut world = World::default();
        let etcd = pod("etcd-n1").on("n1").label("component", "etcd").annotation("kubernetes.io/config.mirror", "x");
        world.apply_pod(etcd.arc(), |_, _| {});
        let server = || node("n1").label("node-role.kubernetes.io/control-plane", "");
        assert!(is_protected(&node("n1").build(), &world) && is_protected(&server().build(), &World::default()));
        assert!(!is_protected(&server().label("headroom.dev/protected", "false").build(), &world));
    }
}
