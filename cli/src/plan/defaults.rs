//! What the API server sets in a pod that is created, as far as it decides where the pod fits: objects of a file have not
//! been there yet. Sources: `SetDefaults_Pod` and `SetHostNetworkPorts` (pkg/apis/core/v1), the admission plugin Priority.

use serde_json::{Map, Value, json};

use super::known::Classes;

/// Sets what is unset in a pod.
pub(super) fn set(pod: &mut Value, classes: &Classes) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if spec.get("priority").is_none_or(Value::is_null) {
        let class = spec.get("priorityClassName").and_then(Value::as_str);
        if let Some(priority) = classes.priority(class) {
            spec.insert("priority".to_owned(), json!(priority));
        }
    }
    let on_host = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    let mut requested = Map::new();
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(resources) = container.get_mut("resources") {
                requests_of_limits(resources, &Map::new());
                let requests = resources.get("requests").and_then(Value::as_object);
                requested.extend(requests.cloned().unwrap_or_default());
            }
            if on_host {
                ports_of_the_host(container);
            }
        }
    }
    if let Some(resources) = spec.get_mut("resources") {
        // What the containers request is the pod's request, before the pod's limits are.
        requests_of_limits(resources, &requested);
    }
}

/// A limit without a request is the request, unless something else requests that.
fn requests_of_limits(resources: &mut Value, requested: &Map<String, Value>) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(resources) = resources.as_object_mut() else { return };
    for (name, limit) in limits.into_iter().filter(|(name, limit)| !limit.is_null() && !requested.contains_key(name)) {
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        if requests.is_null() {
            *requests = json!({});
        }
        if let Some(requests) = requests.as_object_mut() {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// Ports of a container in the network of its host are ports of the host.
fn ports_of_the_host(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let unset = port.get("hostPort").and_then(Value::as_u64).unwrap_or(0) == 0;
        let number = port.get("containerPort").cloned();
        if let (true, Some(number), Some(port)) = (unset, number, port.as_object_mut()) {
            port.insert("hostPort".to_owned(), number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(spec: Value) -> Value {
        let mut pod = json!({"kind": "Pod", "spec": spec});
        set(&mut pod, &Classes::default());
        pod["spec"].take()
    }

    #[test]
    fn limits_become_requests_where_there_are_none() {
        let spec = defaulted(json!({
            "initContainers": [{"resources": {"limits": {"memory": "1Gi"}}}],
            "containers": [
                {"resources": {"limits": {"memory": "64Mi", "cpu": "1"}, "requests": {"cpu": "100m"}}},
                {"resources": {"limits": {"memory": "32Mi"}, "requests": null}},
                {"resources": {"requests": {"cpu": "10m"}}},
                {"name": "without"},
            ],
        }));
        assert_eq!(spec["initContainers"][0]["resources"]["requests"], json!({"memory": "1Gi"}));
        assert_eq!(spec["containers"][0]["resources"]["requests"], json!({"cpu": "100m", "memory": "64Mi"}));
        assert_eq!(spec["containers"][1]["resources"]["requests"], json!({"memory": "32Mi"}));
        assert_eq!(spec["containers"][2]["resources"], json!({"requests": {"cpu": "10m"}}));
        assert_eq!(spec["containers"][3], json!({"name": "without"}));
    }

    #[test]
    fn limits_of_the_pod_count_where_no_container_requests_that() {
        let spec = defaulted(json!({
            "resources": {"limits": {"memory": "1Gi", "cpu": "1"}},
            "containers": [{"resources": {"requests": {"cpu": "100m"}}}],
        }));
        assert_eq!(spec["resources"]["requests"], json!({"memory": "1Gi"}));
    }

    #[test]
    fn ports_and_priorities() {
        let spec = json!({"hostNetwork": true, "priorityClassName": "system-node-critical",
            "containers": [{"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}]});
        let spec = defaulted(spec);
        assert_eq!(spec["priority"], json!(2_000_001_000));
        assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], json!(80));
        assert_eq!(spec["containers"][0]["ports"][1]["hostPort"], json!(81));
        let spec = defaulted(json!({"priorityClassName": "mine", "containers": [{"ports": [{"containerPort": 80}]}]}));
        assert_eq!((&spec["priority"], &spec["containers"][0]["ports"][0]["hostPort"]), (&Value::Null, &Value::Null));
        let mut nothing = json!({"kind": "Pod"});
        set(&mut nothing, &Classes::default());
        assert_eq!(nothing, json!({"kind": "Pod"}));
    }
}
