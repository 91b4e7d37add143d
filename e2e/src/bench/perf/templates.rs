//! scheduler_perf's templates of pods. Names are given later.

use serde_json::{Value, json};

use crate::bench::scenario::PLACED;
use crate::bench::workload::NAMESPACE;

/// The class of pods that upstream gives priority 10.
pub(super) const HIGH: &str = "bench-high";

/// That class.
pub(super) fn priority_class() -> (String, Value) {
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": HIGH}, "value": 10,
    });
    ("/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(), class)
}

/// A pod with these requests, as limits too.
fn sized(cpu: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": "500Mi"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "pause",
                "image": "registry.k8s.io/pause:3.10.2",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": amounts, "requests": amounts},
            }],
        },
    })
}

fn colored(color: &str) -> Value {
    let mut pod = sized("100m");
    pod["metadata"]["labels"] = json!({"color": color});
    pod
}

/// A term on pods of a color, of those on nodes at the start and of the measured ones.
fn term(color: &str, key: &str) -> Value {
    json!({
        "labelSelector": {"matchLabels": {"color": color}},
        "topologyKey": key,
        "namespaces": [NAMESPACE, PLACED],
    })
}

const HOSTNAME: &str = "kubernetes.io/hostname";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// `pod-default.yaml`.
pub(super) fn default() -> Value {
    sized("100m")
}

/// `pod-with-pod-anti-affinity.yaml`.
pub(super) fn anti_affinity() -> Value {
    let mut pod = colored("green");
    pod["spec"]["affinity"] =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("green", HOSTNAME)]}});
    pod
}

/// `pod-with-pod-anti-affinity-label.yaml`: others keep away from it.
pub(super) fn green() -> Value {
    colored("green")
}

/// `pod-with-pod-affinity.yaml`.
pub(super) fn affinity() -> Value {
    let mut pod = colored("blue");
    pod["spec"]["affinity"] =
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("blue", ZONE)]}});
    pod
}

/// `pod-with-preferred-pod-affinity.yaml`.
pub(super) fn preferred_affinity() -> Value {
    let mut pod = colored("red");
    let preferred = json!([{"podAffinityTerm": term("red", HOSTNAME), "weight": 1}]);
    pod["spec"]["affinity"] = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    pod
}

/// `pod-with-preferred-pod-anti-affinity.yaml`.
pub(super) fn preferred_anti_affinity() -> Value {
    let mut pod = colored("yellow");
    let preferred = json!([{"podAffinityTerm": term("yellow", HOSTNAME), "weight": 1}]);
    pod["spec"]["affinity"] =
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    pod
}

/// `pod-with-node-affinity.yaml`.
pub(super) fn node_affinity() -> Value {
    let mut pod = sized("100m");
    let zones = json!([{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}]}]);
    pod["spec"]["affinity"] =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}});
    pod
}

fn spread(otherwise: &str) -> Value {
    let mut pod = colored("blue");
    pod["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": otherwise,
        "labelSelector": {"matchLabels": {"color": "blue"}},
    }]);
    pod
}

/// `pod-with-topology-spreading.yaml`.
pub(super) fn spreading() -> Value {
    spread("DoNotSchedule")
}

/// `pod-with-preferred-topology-spreading.yaml`.
pub(super) fn preferred_spreading() -> Value {
    spread("ScheduleAnyway")
}

/// `pod-with-label.yaml`: of the Service, without requests.
pub(super) fn labelled() -> Value {
    let mut pod = default();
    pod["metadata"]["labels"] = json!({"app": "scheduler-perf"});
    pod["spec"]["containers"][0]["resources"] = json!({});
    pod
}

/// `service.yaml`.
pub(super) fn service() -> (String, Value) {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "scheduler-perf"},
        "spec": {"selector": {"app": "scheduler-perf"}, "ports": [{"protocol": "TCP", "port": 80, "targetPort": 8000}]},
    });
    (format!("/api/v1/namespaces/{NAMESPACE}/services"), service)
}

/// `pod-low-priority.yaml`: four of them fill a node. Deleted at once, as nobody runs it.
pub(super) fn low_priority() -> Value {
    let mut pod = sized("900m");
    pod["spec"]["terminationGracePeriodSeconds"] = 0.into();
    pod
}

/// `pod-high-priority.yaml`: three of those have to go.
pub(super) fn high_priority() -> Value {
    let mut pod = sized("3000m");
    pod["spec"]["priorityClassName"] = HIGH.into();
    pod
}

/// `pod-high-priority-large-cpu.yaml`: fits on no node.
pub(super) fn large() -> Value {
    let mut pod = sized("9");
    pod["spec"]["priorityClassName"] = HIGH.into();
    if let Some(resources) = pod["spec"]["containers"][0]["resources"].as_object_mut() {
        resources.remove("limits");
    }
    pod
}

/// `pod-with-secret-volume.yaml`.
pub(super) fn secret() -> Value {
    let mut pod = default();
    pod["spec"]["volumes"] = json!([{"name": "secret", "secret": {"secretName": "secret"}}]);
    pod
}
