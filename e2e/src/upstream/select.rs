//! Which of upstream's specs are of interest, and which of them simulated nodes cannot run.

/// Regular expressions (Go's) for `--ginkgo.focus`: what depends on the scheduler and on the loops that we have.
const FOCUS: [&str; 9] = [
    r"\[sig-scheduling\] Scheduler(Predicates|Preemption|Priorities) ",
    r"\[sig-scheduling\] LimitRange ",
    r"\[sig-apps\] ReplicationController ",
    r"\[sig-network\] Endpoints ",
    r"\[sig-network\] EndpointsController ",
    r"\[sig-network\] EndpointSlice ",
    r"\[sig-network\] EndpointSliceMirroring ",
    r"\[sig-node\] NoExecuteTaintManager ",
    r"\[sig-api-machinery\] Garbage collector .*(\brc\b|valid owner)",
];

/// Label filter: features that every 1.36 cluster has by default, and no others.
pub(crate) const LABELS: &str = "Feature: isSubsetOf { SchedulerAsyncPreemption }";

/// Specs that fail with the stock components as well, because no container runs on a simulated node: a part of the
/// text, and what is missing.
const LIMITS: [(&str, &str); 4] = [
    ("ReplicationController should serve a basic image on each replica with a public image", HTTP),
    ("EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices", EXEC),
    ("EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices", EXEC),
    ("EndpointSliceMirroring should mirror a custom Endpoint with multiple subsets and same IP address", EXEC),
];

const HTTP: &str = "asks the pods over HTTP; no container runs on simulated nodes";
const EXEC: &str = "executes curl in a container and needs kube-proxy; no container runs on simulated nodes";

/// The value of `--ginkgo.focus` for everything.
pub(crate) fn focus() -> String {
    FOCUS.join("|")
}

/// Why a spec cannot pass on simulated nodes, whoever schedules and controls.
pub(crate) fn limit(text: &str) -> Option<&'static str> {
    LIMITS.iter().find(|(part, _)| text.contains(part)).map(|(_, reason)| *reason)
}
