//! What all cases share: the configuration, with profiles that cover arguments of plugins, and objects that pods refer
//! to.

use serde_json::{Value, json};

/// Names of the profiles.
pub const PROFILES: [&str; 5] = ["default-scheduler", "most", "ratio", "added", "spread"];

/// The overhead's runtime class.
pub const RUNTIME_CLASS: &str = "sandboxed";

/// Namespaces of pods, with labels.
pub const NAMESPACES: [&str; 3] = ["default", "blue", "red"];

/// The configuration, without the connection.
#[must_use]
pub fn config() -> Value {
    let args = |name: &str, mut args: Value| {
        if let Some(fields) = args.as_object_mut() {
            fields.insert("apiVersion".to_owned(), "kubescheduler.config.k8s.io/v1".into());
            fields.insert("kind".to_owned(), format!("{name}Args").into());
        }
        json!({"name": name, "args": args})
    };
    let resources = json!([{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 3}, {"name": "example.com/gpu", "weight": 5}]);
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [
            {"schedulerName": "default-scheduler"},
            {"schedulerName": "most",
             "plugins": {"score": {"enabled": [{"name": "NodeResourcesFit", "weight": 5}],
                "disabled": [{"name": "NodeResourcesBalancedAllocation"}]}},
             "pluginConfig": [args("NodeResourcesFit", json!({"scoringStrategy": {"type": "MostAllocated", "resources": resources}}))]},
            {"schedulerName": "ratio",
             "plugins": {"multiPoint": {"enabled": [{"name": "TaintToleration", "weight": 7}]}},
             "pluginConfig": [
                args("NodeResourcesFit", json!({"scoringStrategy": {
                    "type": "RequestedToCapacityRatio",
                    "resources": resources,
                    "requestedToCapacityRatio": {"shape": [
                        {"utilization": 0, "score": 1}, {"utilization": 37, "score": 9}, {"utilization": 100, "score": 0}]}}})),
                args("NodeResourcesBalancedAllocation", json!({"resources": [
                    {"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}, {"name": "example.com/gpu", "weight": 1}]}))]},
            {"schedulerName": "added",
             "pluginConfig": [
                args("NodeAffinity", json!({"addedAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["hdd"]}]}]},
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 30, "preference": {"matchExpressions": [
                            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z0"]}]}}]}})),
                args("NodeResourcesFit", json!({"ignoredResources": ["example.com/gpu"], "ignoredResourceGroups": ["vendor.io"]}))]},
            {"schedulerName": "spread",
             "pluginConfig": [
                args("PodTopologySpread", json!({"defaultingType": "List", "defaultConstraints": [
                    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}]})),
                args("InterPodAffinity", json!({"hardPodAffinityWeight": 60, "ignorePreferredTermsOfExistingPods": true}))]},
        ],
    })
}

/// Objects that are there in every case.
#[must_use]
pub fn objects() -> Vec<Value> {
    let namespace = |name: &str, team: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}});
    let service = |namespace: &str, name: &str, app: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}})
    };
    let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}});
    vec![
        namespace("blue", "blue"),
        namespace("red", "red"),
        service("default", "svc-a", "a"),
        service("blue", "svc-b", "b"),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs-b", "namespace": "default"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "b"}}, "template": template("b")}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "sts-c", "namespace": "default"},
            "spec": {"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"app": "c"}}, "template": template("c")}}),
        json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc-a", "namespace": "blue"},
            "spec": {"replicas": 0, "selector": {"app": "a"}, "template": template("a")}}),
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME_CLASS},
            "handler": "h", "overhead": {"podFixed": {"cpu": "130m", "memory": "37Mi"}}}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "polite"},
            "value": 1000, "preemptionPolicy": "Never"}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "low"}, "value": 10}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 5000}),
    ]
}
