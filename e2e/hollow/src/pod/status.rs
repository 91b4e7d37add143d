//! The status patch of a pod: a strategic merge patch with exactly what the kubelet owns.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::digest::{Digest, Kind};
use super::machine::{CONDITIONS, Container, Ended, Machine, Phase, State};
use crate::time::rfc3339;

/// The patch for `pods/NAME/status`. The UID in it makes the API server refuse it for a recreated pod of that name.
pub(crate) fn patch(digest: &Digest, machine: &Machine, pod_ip: Option<&str>, host_ip: &str) -> Value {
    let mut status = Map::new();
    status.insert("phase".into(), machine.phase.as_str().into());
    status.insert("startTime".into(), rfc3339(machine.start_time).into());
    if let Some(generation) = digest.generation {
        status.insert("observedGeneration".into(), generation.into());
    }
    if let Some((reason, message)) = &machine.failure {
        status.insert("reason".into(), reason.as_str().into());
        status.insert("message".into(), message.as_str().into());
    }
    let rejected = machine.failure.is_some() && !machine.evicted;
    if !rejected {
        status.insert("hostIP".into(), host_ip.into());
        status.insert("hostIPs".into(), json!([{"ip": host_ip}]));
        if let Some(ip) = pod_ip {
            status.insert("podIP".into(), ip.into());
            status.insert("podIPs".into(), json!([{"ip": ip}]));
        }
        status.insert("conditions".into(), conditions(digest, machine));
        let statuses = |init: bool| -> Vec<Value> {
            let all = machine.containers.iter().zip(&digest.containers);
            all.filter(|(c, _)| (c.kind != Kind::App) == init)
                .map(|(c, spec)| container(digest, c, &spec.name, &spec.image))
                .collect()
        };
        let inits = statuses(true);
        if !inits.is_empty() {
            status.insert("initContainerStatuses".into(), inits.into());
        }
        status.insert("containerStatuses".into(), statuses(false).into());
    }
    json!({"metadata": {"uid": digest.uid}, "status": status})
}

fn conditions(digest: &Digest, machine: &Machine) -> Value {
    let unready = || {
        let names = machine.containers.iter().zip(&digest.containers).filter(|(c, _)| c.kind != Kind::Init && !c.ready);
        let names: Vec<&str> = names.map(|(_, spec)| spec.name.as_str()).collect();
        format!("containers with unready status: [{}]", names.join(" "))
    };
    let mut all: Vec<Value> = CONDITIONS
        .iter()
        .zip(&machine.conditions)
        .map(|(&name, condition)| {
            let mut value = json!({
                "type": name,
                "status": if condition.status { "True" } else { "False" },
                "lastTransitionTime": rfc3339(condition.since),
                "lastProbeTime": null,
            });
            let why = match (name, machine.phase) {
                ("PodReadyToStartContainers", _) => None,
                (_, Phase::Succeeded) => Some(("PodCompleted", None)),
                ("Initialized", _) if !condition.status => Some(("ContainersNotInitialized", None)),
                ("ContainersReady" | "Ready", Phase::Failed) => Some(("PodFailed", None)),
                ("ContainersReady" | "Ready", _) if !condition.status => Some(("ContainersNotReady", Some(unready()))),
                _ => None,
            };
            // A strategic merge keeps what is not named, so an old reason has to be cleared.
            value["reason"] = why.as_ref().map_or(Value::Null, |(reason, _)| (*reason).into());
            value["message"] = why.and_then(|(_, message)| message).map_or(Value::Null, Value::from);
            value
        })
        .collect();
    // A pod that is here has been scheduled, also when nobody but its creator did it. The time that the API server may
    // have set at the binding stays: a strategic merge keeps what is not named.
    all.push(json!({"type": "PodScheduled", "status": "True"}));
    if machine.evicted {
        let message = machine.failure.as_ref().map_or("", |(_, message)| message);
        all.push(json!({
            "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message,
            "lastTransitionTime": rfc3339(machine.conditions[3].since), "lastProbeTime": null,
        }));
    }
    all.into()
}

fn container(digest: &Digest, c: &Container, name: &str, image: &str) -> Value {
    let id = container_id(&digest.uid, name, c.restarts);
    let ended = |e: &Ended| {
        json!({"terminated": {
            "exitCode": e.code, "reason": e.reason, "startedAt": rfc3339(e.since), "finishedAt": rfc3339(e.at),
            "containerID": id,
        }})
    };
    let state = match &c.state {
        State::Waiting(reason) => json!({"waiting": {"reason": reason}}),
        State::Running(since) => json!({"running": {"startedAt": rfc3339(*since)}}),
        State::Terminated(e) => ended(e),
    };
    let created = !matches!(c.state, State::Waiting(_)) || c.last.is_some();
    json!({
        "name": name,
        "image": image,
        "imageID": if created { image } else { "" },
        "containerID": if created { id.as_str() } else { "" },
        "ready": c.ready,
        "started": matches!(c.state, State::Running(_)),
        "restartCount": c.restarts,
        "state": state,
        "lastState": c.last.as_ref().map_or_else(|| json!({}), ended),
    })
}

fn container_id(uid: &str, name: &str, restarts: i32) -> String {
    let mut hasher = DefaultHasher::new();
    (uid, name, restarts).hash(&mut hasher);
    let hash = hasher.finish();
    format!("containerd://{hash:016x}{:016x}{:016x}{:016x}", !hash, hash.rotate_left(17), hash.rotate_left(31))
}
