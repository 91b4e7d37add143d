//! `events.md`: the reasons of our Events. A test looks for reasons in the sources that are not here, and for some here
//! that are not in the sources.

use std::fmt::Write as _;

use crate::markdown::{Table, code, text};

/// Events of one reason on one kind of object.
#[derive(Debug, Clone, Copy)]
pub struct Reason {
    /// The reason.
    pub reason: &'static str,
    /// Kind of the object that it is about.
    pub on: &'static str,
    /// Normal, Warning, or both.
    pub kind: &'static str,
    /// Whether stock components have it too.
    pub upstream: bool,
    /// What it says.
    pub says: &'static str,
}

const fn of(reason: &'static str, on: &'static str, kind: &'static str, upstream: bool, says: &'static str) -> Reason {
    Reason { reason, on, kind, upstream, says }
}

/// Those of headroom-scheduler.
pub const SCHEDULER: [Reason; 7] = [
    of("Scheduled", "Pod", "Normal", true, "it was bound to a node"),
    of(
        "FailedScheduling",
        "Pod",
        "Warning",
        true,
        "no node was found, or binding failed; the message counts the nodes by what kept the pod off them",
    ),
    of("Preempted", "Pod", "Normal", true, "it was removed to make room for a pod of higher priority"),
    of("LeaderElection", "Lease", "Normal", true, "this process became leader"),
    of(
        "ForeignBinding",
        "Lease",
        "Warning",
        false,
        "somebody else bound a pod of this scheduler's queue: two schedulers serve one name",
    ),
    of(
        "MemoryDegraded",
        "Lease",
        "Warning",
        false,
        "no node has a usable sample any more: none is refused for its memory",
    ),
    of(
        "MemoryDegradedEnded",
        "Lease",
        "Normal",
        false,
        "there are samples again, or nothing is left that could have some",
    ),
];

/// Those of headroom-controllers.
pub const CONTROLLERS: [Reason; 35] = [
    of("LeaderElection", "Lease", "Normal", true, "this process became leader"),
    of("KubeletNotReadable", "Node", "Warning", false, "its kubelet could not be read several times in a row, and why"),
    of("SwapThrashing", "Node", "Warning", false, "it is busy with swapping"),
    of("SwapThrashingEnded", "Node", "Normal", false, "it is no more"),
    of("MemoryHeadroomLow", "Node", "Warning", false, "there is hardly any memory left to give"),
    of("MemoryHeadroomLowEnded", "Node", "Normal", false, "there is some again"),
    of("SwapNearlyFull", "Node", "Warning", false, "the swap that pods may use is nearly used up"),
    of("SwapNearlyFullEnded", "Node", "Normal", false, "it is no more"),
    of("OOMRisk", "Node", "Warning", false, "at the pace of the last samples memory and swap run out soon"),
    of("OOMRiskEnded", "Node", "Normal", false, "they do not any more"),
    of("ControlPlaneSwap", "Node", "Warning", false, "a node that runs the control plane has swap"),
    of(
        "InvalidMemoryHint",
        "Pod",
        "Warning",
        false,
        "its annotation headroom.dev/memory-hint is no size, and is ignored",
    ),
    of(
        "NoSwapBestEffort",
        "Pod",
        "Normal",
        false,
        "it gets no swap because it has no memory request; once per namespace",
    ),
    of(
        "OOMKilled",
        "Pod",
        "Warning",
        false,
        "a container was killed for want of memory; with what it was last seen, and its limit",
    ),
    of("RegisteredNode", "Node", "Normal", true, "the node is looked after from now on"),
    of("RemovingNode", "Node", "Normal", true, "the node is gone"),
    of(
        "NodeNotReady",
        "Node, Pod",
        "Normal, Warning",
        true,
        "the node is not ready any more; and on its pods, which are marked not ready",
    ),
    of(
        "TaintManagerEviction",
        "Pod",
        "Normal",
        true,
        "it is deleted because of a NoExecute taint, or its deletion was called off",
    ),
    of(
        "EvictionsHeldBack",
        "Node",
        "Warning, Normal",
        false,
        "pods of a dead node that wait until the others can take them, and how many are placed (profiles fast and patient)",
    ),
    of("SuccessfulCreate", "ReplicationController", "Normal", true, "a pod was made"),
    of("FailedCreate", "ReplicationController", "Warning", true, "a pod could not be made, and why"),
    of("SuccessfulDelete", "ReplicationController", "Normal", true, "a pod was deleted"),
    of("FailedDelete", "ReplicationController", "Warning", true, "a pod could not be deleted, and why"),
    of(
        "YieldedToAnotherManager",
        "ReplicationController",
        "Warning",
        false,
        "another manager makes pods for it: this loop has stopped",
    ),
    of("YieldedToAnotherManager", "Endpoints", "Warning", false, "another manager writes it: this loop has stopped"),
    of("YieldedToAnotherManager", "EndpointSlice", "Warning", false, "the same"),
    of(
        "YieldedToAnotherManager",
        "Node",
        "Warning",
        false,
        "another manager changes its taints: node-lifecycle-controller has stopped",
    ),
    of(
        "YieldedToAnotherManager",
        "Pod",
        "Warning",
        false,
        "another manager evicts it because of a taint: taint-eviction-controller has stopped",
    ),
    of("FailedToCreateEndpoint", "Endpoints", "Warning", true, "it could not be made, and why"),
    of("FailedToUpdateEndpoint", "Endpoints", "Warning", true, "it could not be written, and why"),
    of("FailedToUpdateEndpointSlices", "Service", "Warning", true, "its slices could not be written, and why"),
    of("TopologyAwareHintsEnabled", "Service", "Normal", true, "its endpoints are hinted to zones by their nodes' CPU"),
    of("TopologyAwareHintsDisabled", "Service", "Warning", true, "they are not, or not any more, and why"),
    of("TooManyAddressesToMirror", "Endpoints", "Warning", true, "a subset has more addresses than are mirrored"),
    of("InvalidIPAddress", "Endpoints", "Warning", true, "an address is none, and is left out"),
];

/// Reasons of conditions: which condition, where it stands, the reason and what it says.
pub const CONDITIONS: [(&str, &str, &str, &str); 18] = [
    ("Fresh", "NodeHeadroom", "Sampled", "True: the kubelet answers"),
    ("Fresh", "NodeHeadroom", "MetricsAPI", "True: it does not, but metrics.k8s.io has its RAM"),
    ("Fresh", "NodeHeadroom", "NoSample", "False: the kubelet answers, but without new figures of the node"),
    (
        "Fresh",
        "NodeHeadroom",
        "Unreachable",
        "False: no address, no connection, no answer in time, or an error of the kubelet",
    ),
    ("Fresh", "NodeHeadroom", "CertificateUntrusted", "False: its certificate is signed by no CA that is trusted"),
    ("Fresh", "NodeHeadroom", "TokenUnavailable", "False: the API server gives no token to read kubelets with"),
    ("Fresh", "NodeHeadroom", "Forbidden", "False: a right is missing; the message names it"),
    ("Fresh", "NodeHeadroom", "Malformed", "False: the answer is no summary, or too large"),
    ("ClockSkew", "NodeHeadroom", "InSync", "False: the node's clock agrees with this process'"),
    ("ClockSkew", "NodeHeadroom", "ClockSkew", "True: it does not"),
    (
        "SwapThrashing, MemoryHeadroomLow, SwapNearlyFull, OOMRisk",
        "NodeHeadroom",
        "AsExpected",
        "False: nothing is wrong; True has the condition's own name as reason",
    ),
    (
        "SwapThrashing, MemoryHeadroomLow, SwapNearlyFull, OOMRisk",
        "NodeHeadroom",
        "NoSample",
        "Unknown: nothing was measured, or not for long",
    ),
    ("PodScheduled", "Pod", "Unschedulable", "False: no node was found; upstream's"),
    ("PodScheduled", "Pod", "SchedulerError", "False: the attempt failed; upstream's"),
    ("DisruptionTarget", "Pod", "PreemptionByScheduler", "True: it makes room for another pod; upstream's"),
    ("DisruptionTarget", "Pod", "DeletionByTaintManager", "True: a NoExecute taint evicts it; upstream's"),
    ("DisruptionTarget", "Pod", "DeletionByPodGC", "True: its node is gone; upstream's"),
    (
        "ReplicaFailure",
        "ReplicationController",
        "FailedCreate",
        "True: pods cannot be made, or deleted (FailedDelete); upstream's",
    ),
];

pub(crate) fn page() -> String {
    let mut out = "# Events and conditions\n\n\
         `kubectl get events -A --field-selector reason=OOMKilled` and the like find them; alerts can go by them. Those \
         about processes are on the Lease that the process holds, those about nodes on the Node.\n"
        .to_owned();
    for (title, reasons) in [("headroom-scheduler", &SCHEDULER[..]), ("headroom-controllers", &CONTROLLERS[..])] {
        let mut table = Table::new(&["reason", "on", "type", "upstream's", "says"]);
        for reason in reasons {
            let upstream = if reason.upstream { "yes" } else { "" };
            table.row(&[
                code(reason.reason),
                text(reason.on),
                text(reason.kind),
                upstream.to_owned(),
                text(reason.says),
            ]);
        }
        let _ = write!(out, "\n## {title}\n\n{}", table.finish());
    }
    let mut table = Table::new(&["condition", "on", "reason", "says"]);
    for (condition, on, reason, says) in CONDITIONS {
        table.row(&[text(condition), text(on), code(reason), text(says)]);
    }
    let _ = write!(out, "\n## Conditions\n\n{}", table.finish());
    out
}

/// All reasons of the page.
#[must_use]
pub fn all() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = SCHEDULER.iter().chain(&CONTROLLERS).map(|known| known.reason).collect();
    all.extend(CONDITIONS.iter().map(|(_, _, known, _)| *known));
    all.sort_unstable();
    all.dedup();
    all
}
