//! Whether what leads to pods leads to those that there are: the end of a crowd's step, whatever time it takes. Sizes alone
//! do not tell, for a step in which as many pods come as go may leave them as they were.

use std::collections::BTreeMap;

use serde_json::Value;

/// Most addresses of Endpoints; those that were cut say so.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The objects of a namespace, by kind and name.
pub(super) type Objects = BTreeMap<String, BTreeMap<String, Value>>;

/// A pod that a Service leads to: its name, whether it is ready, and the numbers of the ports.
type Backend<'a> = (&'a str, bool, Vec<u64>);

/// Whether Endpoints and slices of each Service with a selector have exactly the pods that it selects, each once, with their
/// readiness and their ports. Of Endpoints that are too many it is enough that there are as many of them as may be.
pub(super) fn is_settled(objects: &Objects) -> bool {
    all(objects, "services").filter(|service| service["spec"]["selector"].is_object()).all(|service| {
        let name = &service["metadata"]["name"];
        let wanted = sorted(all(objects, "pods").filter_map(|pod| selected(service, pod)));
        let slices = all(objects, "endpointslices").filter(|slice| slice["metadata"]["labels"][SERVICE_NAME] == *name);
        let endpoints = all(objects, "endpoints").find(|endpoints| endpoints["metadata"]["name"] == *name);
        sorted(slices.flat_map(of_slice)) == wanted && endpoints.is_some_and(|endpoints| lead_to(endpoints, &wanted))
    })
}

fn all<'a>(objects: &'a Objects, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    objects.get(kind).into_iter().flat_map(BTreeMap::values)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn sorted<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort();
    all
}

/// The pod behind the Service, if it selects the pod and that has an address.
fn selected<'a>(service: &Value, pod: &'a Value) -> Option<Backend<'a>> {
    let mut selector = service["spec"]["selector"].as_object().into_iter().flatten();
    let labels = &pod["metadata"]["labels"];
    if !selector.all(|(key, value)| labels[key] == *value) || pod["status"]["podIP"].is_null() {
        return None;
    }
    let ready = list(&pod["status"]["conditions"]).any(|c| c["type"] == "Ready" && c["status"] == "True");
    let number = |target: &Value| {
        let named =
            || list(&pod["spec"]["containers"]).flat_map(|c| list(&c["ports"])).find(|port| port["name"] == *target);
        target.as_u64().or_else(|| named()?["containerPort"].as_u64())
    };
    let ports = sorted(list(&service["spec"]["ports"]).filter_map(|port| number(&port["targetPort"])));
    Some((pod["metadata"]["name"].as_str()?, ready, ports))
}

/// The numbers of the ports of a slice or a subset.
fn ports(object: &Value) -> Vec<u64> {
    sorted(list(&object["ports"]).filter_map(|port| port["port"].as_u64()))
}

/// The name of the pod behind an endpoint or an address.
fn target(endpoint: &Value) -> &str {
    endpoint["targetRef"]["name"].as_str().unwrap_or_default()
}

fn of_slice(slice: &Value) -> impl Iterator<Item = Backend<'_>> {
    let ports = ports(slice);
    list(&slice["endpoints"]).map(move |e| (target(e), e["conditions"]["ready"] == true, ports.clone()))
}

fn of_subset(subset: &Value) -> impl Iterator<Item = Backend<'_>> {
    let ports = ports(subset);
    let ready = list(&subset["addresses"]).map(|address| (target(address), true));
    let all = ready.chain(list(&subset["notReadyAddresses"]).map(|address| (target(address), false)));
    all.map(move |(name, ready)| (name, ready, ports.clone()))
}

/// Whether Endpoints have these, or as many of them as there may be.
fn lead_to(endpoints: &Value, wanted: &[Backend<'_>]) -> bool {
    let found = sorted(list(&endpoints["subsets"]).flat_map(of_subset));
    if endpoints["metadata"]["annotations"][OVER_CAPACITY].is_null() {
        found == wanted
    } else {
        let full = wanted.len() > CAPACITY && found.len() == CAPACITY;
        full && found.iter().all(|backend| wanted.binary_search(backend).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, app: &str, ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        json!({"metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 9090}]}]},
            "status": {"podIP": "10.1.0.1", "conditions": [{"type": "Ready", "status": status}]}})
    }

    fn address(name: &str) -> Value {
        json!({"targetRef": {"kind": "Pod", "name": name}})
    }

    fn endpoint(name: &str, ready: bool) -> Value {
        json!({"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": ready}})
    }

    fn objects(target: &Value, pods: &[Value], subsets: &Value, over: Option<&str>, slices: &[&[Value]]) -> Objects {
        let service = json!({"metadata": {"name": "svc"}, "spec": {"selector": {"app": "a"},
            "ports": [{"name": "web", "port": 80, "targetPort": target}]}});
        let annotations = over.map(|value| json!({OVER_CAPACITY: value}));
        let endpoints = json!({"metadata": {"name": "svc", "annotations": annotations}, "subsets": subsets});
        let named = |all: Vec<Value>| -> BTreeMap<String, Value> {
            all.into_iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect()
        };
        let meta = json!({"labels": {SERVICE_NAME: "svc"}});
        let slice = |endpoints: &&[Value]| json!({"metadata": meta, "ports": [{"port": 9090}], "endpoints": endpoints});
        BTreeMap::from([
            ("services".to_owned(), named(vec![service])),
            ("pods".to_owned(), named(pods.to_vec())),
            ("endpoints".to_owned(), named(vec![endpoints])),
            ("endpointslices".to_owned(), named(slices.iter().map(slice).collect())),
        ])
    }

    #[test]
    fn every_pod_has_to_be_there_once_as_it_is() {
        let pods = [pod("x", "a", true), pod("y", "a", false), pod("z", "b", true)];
        let subsets =
            json!([{"addresses": [address("x")], "notReadyAddresses": [address("y")], "ports": [{"port": 9090}]}]);
        let (x, y, http) = (endpoint("x", true), endpoint("y", false), json!("http"));
        let settled = |target: &Value, subsets: &Value, slices: &[&[Value]]| {
            is_settled(&objects(target, &pods, subsets, None, slices))
        };
        assert!(settled(&http, &subsets, &[&[x.clone(), y.clone()]]));
        assert!(settled(&json!(9090), &subsets, &[std::slice::from_ref(&y), std::slice::from_ref(&x)]));
        assert!(!settled(&json!(8080), &subsets, &[&[x.clone(), y.clone()]]), "other ports");
        assert!(!settled(&http, &subsets, &[std::slice::from_ref(&x)]), "one is missing in slices");
        assert!(!settled(&http, &json!([]), &[&[x.clone(), y.clone()]]), "they are missing in Endpoints");
        assert!(!settled(&http, &subsets, &[&[x.clone(), endpoint("y", true)]]), "ready is said of one that is not");
        assert!(
            !settled(&http, &subsets, &[&[x.clone(), y.clone()], std::slice::from_ref(&x)]),
            "one stands there twice"
        );
        assert!(!settled(&http, &subsets, &[&[x, y, endpoint("z", true)]]), "one is not selected");
        assert!(is_settled(&Objects::new()));
    }

    #[test]
    fn what_is_cut_has_to_be_full() {
        let names: Vec<String> = (0..1010).map(|i| format!("p{i:04}")).collect();
        let pods: Vec<Value> = names.iter().map(|name| pod(name, "a", true)).collect();
        let slice: Vec<Value> = names.iter().map(|name| endpoint(name, true)).collect();
        let settled = |pods: &[Value], shown: usize, over: Option<&str>| {
            let addresses: Vec<Value> = names[..shown].iter().map(|name| address(name)).collect();
            let subsets = json!([{"addresses": addresses, "ports": [{"port": 9090}]}]);
            is_settled(&objects(&json!("http"), pods, &subsets, over, &[&slice[..pods.len()]]))
        };
        assert!(settled(&pods, 1000, Some("truncated")));
        assert!(!settled(&pods, 999, Some("truncated")));
        assert!(!settled(&pods, 1000, None));
        assert!(!settled(&pods[..1000], 1000, Some("truncated")), "nothing is cut any more");
        assert!(settled(&pods[..1000], 1000, None));
    }
}
