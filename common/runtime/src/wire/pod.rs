//! Pods.

use headroom_core::{
    Str,
    object::{
        ContainerResize, ContainerStatus, DnsName, Incidents, Kind, Meta, Phase, Pod, PodCondition, PodResize, PodSpec,
        PodStatus, Status,
    },
    resource::ResourceList,
};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, List, Moment, Obj, Opt, Quantities, Text},
    interners::Interners,
    meta::WireMeta,
    narrow, optional,
    pod_spec::WirePodSpec,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WirePodSpec>,
    status: Obj<WirePodStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePodStatus {
    phase: Text,
    reason: Text,
    #[serde(rename = "podIP")]
    pod_ip: Text,
    #[serde(rename = "podIPs")]
    pod_ips: List<Obj<WirePodIp>>,
    conditions: List<Obj<WireCondition>>,
    nominated_node_name: Text,
    start_time: Moment,
    container_statuses: List<Obj<WireContainerStatus>>,
    init_container_statuses: List<Obj<WireContainerStatus>>,
    resources: Opt<WireStatusResources>,
    allocated_resources: Quantities,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireStatusResources {
    requests: Quantities,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WirePodIp {
    ip: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
    reason: Text,
    message: Text,
    last_transition_time: Moment,
    observed_generation: Int,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireContainerStatus {
    name: Text,
    restart_count: Int,
    state: Obj<WireState>,
    last_state: Obj<WireState>,
    resources: Opt<WireStatusResources>,
    allocated_resources: Quantities,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireState {
    running: Opt<WireRunning>,
    terminated: Opt<WireTerminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireRunning {
    started_at: Moment,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireTerminated {
    reason: Text,
    finished_at: Moment,
}

impl Body for PodBody {
    type Row = Pod;
    const KIND: Kind = Kind::POD;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Pod, String> {
        let spec = self.spec.0;
        let node_name = optional(&spec.node_name, interners);
        let dns = if interners.scheduling() {
            None
        } else {
            // Host names differ from pod to pod in a StatefulSet, subdomains do not.
            DnsName { hostname: spec.hostname.0.clone(), subdomain: interners.str(&spec.subdomain) }.boxed()
        };
        let spec = spec.into_spec(interners);
        let sidecars: Vec<Str> =
            spec.init_containers.iter().filter(|c| c.restartable).map(|c| c.name.clone()).collect();
        let mut status = self.status.0;
        let resize = status.take_resize(&spec, interners);
        let status = PodStatus { resize, ..status.into_status(&sidecars, interners) };
        Ok(Pod { meta, spec: interners.pod_spec(spec), node_name, dns, status })
    }
}

impl WirePodStatus {
    fn into_status(self, sidecars: &[Str], interners: &mut Interners) -> PodStatus {
        // A scheduler reads neither addresses nor what became of containers.
        let reads_rest = !interners.scheduling();
        let mut ips: Vec<Str> = Vec::new();
        if reads_rest {
            ips.extend(self.pod_ips.0.into_iter().map(|ip| ip.0.ip.0).filter(|ip| !ip.is_empty()));
            if ips.is_empty() && !self.pod_ip.is_empty() {
                ips.push(self.pod_ip.0);
            }
        }
        let started = self.start_time.0.is_some();
        let conditions = self
            .conditions
            .0
            .into_iter()
            .filter(|Obj(c)| is_read(c, started))
            .map(|Obj(c)| PodCondition {
                status: Status::parse(&c.status),
                reason: interners.str(&c.reason),
                // The scheduler compares its own conditions with what it would write; nobody reads other messages.
                message: if c.kind == *"PodScheduled" || c.kind == *"DisruptionTarget" {
                    interners.str(&c.message)
                } else {
                    Str::default()
                },
                kind: interners.str(&c.kind),
                last_transition: c.last_transition_time.0,
                observed_generation: c.observed_generation.0.unwrap_or(0),
            })
            .collect();
        let phase = Phase::parse(&self.phase);
        let incidents = if reads_rest {
            let init = self.init_container_statuses.0.into_iter().filter_map(|Obj(s)| {
                let sidecar = sidecars.iter().any(|name| *name == *s.name.as_str());
                if sidecar { Some(s) } else { s.killed() }
            });
            let containers = self.container_statuses.0.into_iter().map(|Obj(s)| s).chain(init);
            // Most run and always have: nobody asks for more than that.
            let told = |s: &ContainerStatus| {
                let started = phase == Phase::Failed && s.started_at.is_some();
                started || s.restart_count > 0 || s.oom_killed_at.is_some()
            };
            let containers = containers.map(|s| s.into_row(interners)).filter(told).collect();
            Incidents { reason: interners.str(&self.reason), containers }.boxed()
        } else {
            None
        };
        PodStatus {
            phase,
            ips: ips.into(),
            conditions,
            nominated_node_name: optional(&self.nominated_node_name, interners),
            start_time: self.start_time.0,
            incidents,
            resize: None,
        }
    }

    /// Requests that the status has and that are not those of the spec.
    fn take_resize(&mut self, spec: &PodSpec, interners: &mut Interners) -> Option<Box<PodResize>> {
        let sidecars = spec.init_containers.iter().filter(|c| c.restartable);
        let running: Vec<_> = spec.containers.iter().chain(sidecars).collect();
        let statuses = self.container_statuses.0.iter_mut().chain(self.init_container_statuses.0.iter_mut());
        let containers: Box<[ContainerResize]> = statuses
            .filter_map(|Obj(s)| {
                let actuated = s.resources.0.take()?.requests.0.unwrap_or_default();
                let allocated = s.allocated_resources.0.take().unwrap_or_default();
                let spec = &running.iter().find(|c| c.name == *s.name.as_str())?.requests;
                let same = says_the_same(spec, &actuated, &allocated);
                (!same).then(|| ContainerResize { name: interners.str(&s.name), actuated, allocated })
            })
            .collect();
        let pod = self.resources.0.take().and_then(|r| {
            let (actuated, allocated) =
                (r.requests.0.unwrap_or_default(), self.allocated_resources.0.take().unwrap_or_default());
            let level = spec.pod_requests.as_ref()?;
            (!says_the_same(level, &actuated, &allocated)).then_some((actuated, allocated))
        });
        (!containers.is_empty() || pod.is_some()).then(|| Box::new(PodResize { containers, pod }))
    }
}

/// Whether anybody reads this condition. Sandboxes, init containers and containers have some of their own, which nobody
/// does; that a pod was scheduled says since when it counts on its node, until the kubelet has taken it.
fn is_read(condition: &WireCondition, started: bool) -> bool {
    match condition.kind.as_str() {
        "Ready" | "DisruptionTarget" | "PodResizePending" => true,
        "PodScheduled" => !started || Status::parse(&condition.status) != Status::True,
        _ => false,
    }
}

/// Whether taking the status into account changes nothing, be the resize feasible or not.
fn says_the_same(spec: &ResourceList, actuated: &ResourceList, allocated: &ResourceList) -> bool {
    actuated.larger(allocated) == *spec
}

impl WireContainerStatus {
    /// Of a plain init container its OOM kill alone, if it had one: nobody asks how often it ran.
    fn killed(self) -> Option<Self> {
        let killed = |state: &WireState| state.terminated.0.as_ref().is_some_and(|t| t.reason == *"OOMKilled");
        let last_state = [self.state.0, self.last_state.0].into_iter().find(killed)?;
        Some(Self { name: self.name, last_state: Obj(last_state), ..Self::default() })
    }

    fn into_row(self, interners: &mut Interners) -> ContainerStatus {
        let killed = |state: &WireState| {
            state.terminated.0.as_ref().filter(|t| t.reason == *"OOMKilled").and_then(|t| t.finished_at.0)
        };
        ContainerStatus {
            name: interners.str(&self.name),
            restart_count: narrow(self.restart_count.0),
            oom_killed_at: killed(&self.state).or_else(|| killed(&self.last_state)),
            started_at: self.state.0.running.0.and_then(|r| r.started_at.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{PodWire, WireObject};

    fn statuses(init: &Value) -> Vec<ContainerStatus> {
        let names: Vec<Value> = init.as_array().unwrap().iter().map(|s| json!({"name": s["name"]})).collect();
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {"initContainers": names, "containers": [{"name": "main"}]},
            "status": {"initContainerStatuses": init, "containerStatuses": [{"name": "main", "restartCount": 3}]},
        });
        let pod: Pod = serde_json::from_value::<PodWire>(pod).unwrap().convert(&mut Interners::default()).unwrap();
        pod.status.containers().to_vec()
    }

    /// Type and status of the conditions kept.
    fn conditions(start_time: &Value, scheduled: &str) -> Vec<String> {
        let all = [
            ("PodReadyToStartContainers", "True"),
            ("Initialized", "True"),
            ("Ready", "False"),
            ("ContainersReady", "False"),
            ("PodScheduled", scheduled),
            ("DisruptionTarget", "True"),
            ("PodResizePending", "True"),
            ("example.com/gate", "True"),
        ];
        let all: Vec<Value> = all.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        let pod = json!({"metadata": {"name": "p"}, "status": {"startTime": start_time, "conditions": all}});
        let pod: Pod = serde_json::from_value::<PodWire>(pod).unwrap().convert(&mut Interners::default()).unwrap();
        pod.status.conditions.iter().map(|c| format!("{} {:?}", c.kind, c.status)).collect()
    }

    #[test]
    fn of_conditions_only_those_are_kept_that_are_read() {
        let others = ["Ready False", "DisruptionTarget True", "PodResizePending True"];
        let with = |scheduled: &'static str| [others[0], scheduled, others[1], others[2]];
        let started = json!("2026-11-22T10:00:04Z");
        assert_eq!(conditions(&started, "True"), others);
        assert_eq!(conditions(&Value::Null, "True"), with("PodScheduled True"), "it counts from then on");
        for start_time in [&started, &Value::Null] {
            assert_eq!(conditions(start_time, "False"), with("PodScheduled False"));
        }
    }

    #[test]
    fn of_init_containers_only_those_are_kept_that_were_killed() {
        let ended = |reason: &str| json!({"terminated": {"reason": reason, "finishedAt": "2026-11-22T10:00:00Z"}});
        let kept = statuses(&json!([
            {"name": "fine", "restartCount": 1, "state": ended("Completed")},
            {"name": "failed", "restartCount": 2, "state": {"waiting": {}}, "lastState": ended("Error")},
            {"name": "again", "restartCount": 4, "state": ended("Completed"),
             "lastState": ended("OOMKilled")},
            {"name": "now", "state": ended("OOMKilled")},
        ]));
        assert_eq!(kept.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["main", "again", "now"]);
        assert_eq!((kept[0].restart_count, kept[0].oom_killed_at), (3, None));
        for status in &kept[1..] {
            // Nothing that a loop could take for a running container's.
            assert_eq!((status.restart_count, status.started_at), (0, None));
            assert_eq!(status.oom_killed_at.unwrap().to_string(), "2026-11-22T10:00:00Z");
        }
    }

    #[test]
    fn of_containers_only_those_are_kept_of_which_something_is_read() {
        let running = json!({"running": {"startedAt": "2026-11-22T10:00:04Z"}});
        let kept = |phase: &str| {
            let pod = json!({"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": [
                {"name": "always", "ready": true, "restartCount": 0, "state": running},
                {"name": "again", "restartCount": 1, "state": running},
                {"name": "never", "state": {"waiting": {"reason": "ContainerCreating"}}},
                {"name": "killed", "state": running,
                 "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": "2026-11-22T10:00:00Z"}}},
            ]}});
            let pod: Pod = serde_json::from_value::<PodWire>(pod).unwrap().convert(&mut Interners::default()).unwrap();
            pod.status.containers().iter().map(|s| s.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(kept("Running"), ["again", "killed"]);
        assert_eq!(kept("Failed"), ["always", "again", "killed"], "whether it ever started");
    }

    #[test]
    fn for_scheduling_neither_addresses_nor_containers_are_kept() {
        let text = json!({"metadata": {"name": "p"}, "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "again", "restartCount": 1}],
        }});
        let kept = |mut interners: Interners| {
            let pod: Pod = serde_json::from_value::<PodWire>(text.clone()).unwrap().convert(&mut interners).unwrap();
            (pod.status.ips.len(), pod.status.containers().len(), pod.is_ready(), pod.status.phase)
        };
        assert_eq!(kept(Interners::default()), (1, 1, true, Phase::Running));
        assert_eq!(kept(Interners::for_scheduling()), (0, 0, true, Phase::Running));
    }
}
