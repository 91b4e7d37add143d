//! What a pod, or an owner of pods, is waiting for, and on whom.

use headroom_core::Timestamp;
use serde_json::Value;

use super::{
    json::{condition, is_true, kind, list, name, number, text, time},
    model::{Event, Wait},
    pod::{endpoint, has_ended, is_ready, object, serves},
    world::{World, words},
};
use crate::doctor::text::{counted, cut};

/// Reasons of events about probes.
const PROBES: [&str; 2] = ["Unhealthy", "ProbeError"];

/// What keeps a pod from the next step of its chain. Pods that have ended or are about to go wait for nothing here.
pub(super) fn of_pod(world: &World<'_>, pod: &Value, at: Timestamp) -> Vec<Wait> {
    if has_ended(pod) || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Vec::new();
    }
    let one = |next, since: Option<Timestamp>, (why, source): (String, String)| {
        vec![Wait { object: object(pod), next, seconds: since.map(|since| elapsed(since, at)), why: cut(&why), source }]
    };
    let created = time(pod, "/metadata/creationTimestamp");
    if text(pod, "/spec/nodeName").is_empty() {
        return one(Event::Scheduled, created, node(pod));
    }
    let scheduled = condition(pod, "PodScheduled").and_then(|c| time(c, "/lastTransitionTime")).or(created);
    if let Some(why) = start(world, pod) {
        return one(Event::Started, scheduled, why);
    }
    if !is_ready(pod) {
        let since = condition(pod, "Ready").and_then(|c| time(c, "/lastTransitionTime")).or(scheduled);
        return one(Event::Ready, since, ready(world, pod));
    }
    let since = condition(pod, "Ready").and_then(|c| time(c, "/lastTransitionTime"));
    slices(world, pod).into_iter().flat_map(|why| one(Event::InEndpointSlice, since, why)).collect()
}

fn elapsed(since: Timestamp, at: Timestamp) -> f64 {
    at.truncated().since(since.truncated()).as_secs_f64()
}

fn said(why: impl Into<String>, source: impl Into<String>) -> (String, String) {
    (why.into(), source.into())
}

/// Why it has no node.
fn node(pod: &Value) -> (String, String) {
    let told = condition(pod, "PodScheduled");
    let message = told.map(|condition| text(condition, "/message")).unwrap_or_default();
    match told.map(|condition| text(condition, "/reason")) {
        Some("SchedulingGated") => {
            let gates = list(pod, "/spec/schedulingGates").iter().map(name_of).collect::<Vec<_>>().join(", ");
            said(format!("held back by scheduling gates: {gates}"), "condition PodScheduled")
        }
        Some(reason) if message.is_empty() => said(reason, "condition PodScheduled"),
        Some(_) => said(message, "condition PodScheduled"),
        None => {
            let scheduler = match text(pod, "/spec/schedulerName") {
                "" => "default-scheduler",
                name => name,
            };
            said(format!("{scheduler} has said nothing of it: does it run?"), "spec.schedulerName")
        }
    }
}

fn name_of(value: &Value) -> &str {
    text(value, "/name")
}

/// What keeps its containers from starting; `None` when all of them have started.
fn start(world: &World<'_>, pod: &Value) -> Option<(String, String)> {
    let statuses = |field: &str| list(pod, &format!("/status/{field}"));
    let waiting = |status: &&Value| status.pointer("/state/waiting").is_some();
    let init = statuses("initContainerStatuses").iter();
    let running = |status: &&Value| status.pointer("/state/running").is_some();
    let of = |status: &Value| {
        let reason = text(status, "/state/waiting/reason");
        let message = text(status, "/state/waiting/message");
        let killed = text(status, "/lastState/terminated/reason");
        let before = if killed.is_empty() { String::new() } else { format!(" (it ended before: {killed})") };
        let colon = if message.is_empty() { "" } else { ": " };
        format!("container {}: {reason}{colon}{message}{before}", name_of(status))
    };
    // The reasons that the kubelet gives while it is only busy.
    let busy =
        |status: &Value| matches!(text(status, "/state/waiting/reason"), "" | "ContainerCreating" | "PodInitializing");
    let all = || statuses("initContainerStatuses").iter().chain(statuses("containerStatuses")).filter(waiting);
    if let Some(status) = all().find(|status| !busy(status)) {
        return Some(said(of(status), "containerStatuses"));
    }
    let blocked = all().next();
    if blocked.is_none() && !statuses("containerStatuses").is_empty() {
        return None;
    }
    // A sidecar goes on running; what it holds up is not said by its state.
    let current = init.filter(running).find(|status| !is_true(status, "/started"));
    if let Some(init) = current.filter(|_| blocked.is_some()) {
        return Some(said(format!("init container {} runs", name_of(init)), "initContainerStatuses"));
    }
    // What kept it from a node is over, and probes come later.
    let earlier = |reason: &str| reason != "FailedScheduling" && !PROBES.contains(&reason);
    if let Some(event) = world.warning(pod, earlier) {
        return Some(warned(event));
    }
    let node = text(pod, "/spec/nodeName");
    Some(match blocked {
        Some(status) => said(of(status), "containerStatuses"),
        None => said(format!("the kubelet of {node} has not reported it: is the node ready?"), "status"),
    })
}

/// An event as a reason to wait.
fn warned(event: &Value) -> (String, String) {
    let reason = text(event, "/reason");
    said(format!("{reason}: {}", words(event)), format!("event {reason}"))
}

/// Why it is not ready although it runs.
fn ready(world: &World<'_>, pod: &Value) -> (String, String) {
    if let Some(event) = world.warning(pod, |reason| PROBES.contains(&reason)) {
        return warned(event);
    }
    let open = list(pod, "/spec/readinessGates").iter().map(|gate| text(gate, "/conditionType"));
    let open: Vec<&str> =
        open.filter(|gate| condition(pod, gate).is_none_or(|c| text(c, "/status") != "True")).collect();
    if !open.is_empty() {
        return said(format!("readiness gates: {}", open.join(", ")), "spec.readinessGates");
    }
    match condition(pod, "Ready").map(|condition| text(condition, "/message")) {
        Some(message) if !message.is_empty() => said(message, "condition Ready"),
        _ => said("its containers run, and no probe has succeeded yet", "condition Ready"),
    }
}

/// The Services that select a ready pod and have no slice with it.
fn slices(world: &World<'_>, pod: &Value) -> Vec<(String, String)> {
    let mut why = Vec::new();
    for service in world.services(pod) {
        let of_service = world.slices(name(service));
        if of_service.is_empty() {
            let line = format!("service {} has no EndpointSlice: does endpointslice-controller run?", name(service));
            why.push(said(line, "EndpointSlices"));
        } else if !of_service.iter().any(|slice| endpoint(slice, pod).is_some_and(serves)) {
            let line = format!("no EndpointSlice of service {} has it as ready", name(service));
            why.push(said(line, "EndpointSlices"));
        }
    }
    why
}

/// What keeps an owner from having as many pods as it should.
pub(super) fn of_owner(world: &World<'_>, owner: &Value, active: usize, at: Timestamp) -> Option<Wait> {
    let wanted = wanted(owner)?;
    let missing = wanted.saturating_sub(i64::try_from(active).unwrap_or(i64::MAX));
    if missing <= 0 {
        return None;
    }
    let seen = number(owner, "/status/observedGeneration");
    let behind = number(owner, "/metadata/generation").is_some_and(|here| seen.is_none_or(|seen| seen < here));
    let failed = condition(owner, "ReplicaFailure").filter(|failure| text(failure, "/status") == "True");
    let (why, source) = match failed {
        Some(failure) => said(text(failure, "/message"), "condition ReplicaFailure"),
        None => match world.warning(owner, |_| true) {
            Some(event) => warned(event),
            None if behind => {
                let controller = controller(kind(owner));
                said(format!("{controller} has not seen its newest version: does it run?"), "observedGeneration")
            }
            None => said("its controller has not created them yet", "status"),
        },
    };
    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
    let why = cut(&format!("{} missing: {why}", counted(missing, "pod")));
    let seconds = time(owner, "/metadata/creationTimestamp").filter(|_| active == 0).map(|since| elapsed(since, at));
    Some(Wait { object: object(owner), next: Event::Created, seconds, why, source })
}

/// The loop that looks after a kind.
fn controller(kind: &str) -> String {
    format!("{}-controller", kind.to_ascii_lowercase())
}

/// How many pods an owner should have.
pub(super) fn wanted(owner: &Value) -> Option<i64> {
    match kind(owner) {
        "DaemonSet" => number(owner, "/status/desiredNumberScheduled"),
        "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
            Some(number(owner, "/spec/replicas").unwrap_or(1))
        }
        _ => None,
    }
}
