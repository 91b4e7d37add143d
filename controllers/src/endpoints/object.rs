//! The object that a service should have, and whether the one it has is that one (reference 2.6).

use headroom_core::{
    Str, Timestamp,
    object::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service},
    selector::Labels,
};
use serde_json::{Map, Value, json};

use super::subsets::truncate;
use crate::endpoint_common::{HEADLESS, LAST_CHANGE, is_ip_set, repack, repack_foreign, target_json};

/// Label with the writer.
pub(super) const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Its value.
pub(super) const MANAGER: &str = "endpoint-controller";
/// Annotation on objects whose lists were cut.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// Nothing.
    Nothing,
    /// A new object.
    Create(Value),
    /// A merge patch, with UID and resource version.
    Patch(Value),
}

/// Compares and decides. The comparison is of what the subsets mean, after cutting: unlike upstream, a service with more
/// than 1000 addresses is not written again at every look.
pub(super) fn decide(
    service: &Service,
    current: Option<&Endpoints>,
    mut subsets: Vec<EndpointSubset>,
    trigger: Option<Timestamp>,
) -> Decision {
    let cut = truncate(&mut subsets);
    let mut annotations = Map::new();
    annotations.insert(LAST_CHANGE.to_owned(), trigger.map_or(Value::Null, |t| json!(t.to_string())));
    annotations.insert(OVER_CAPACITY.to_owned(), if cut { json!("truncated") } else { Value::Null });
    let labels = labels_for(service);
    let body: Vec<_> = subsets.iter().map(subset_json).collect();
    let Some(current) = current else {
        annotations.retain(|_, v| !v.is_null());
        return Decision::Create(json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": service.meta.key.name,
                "namespace": service.meta.key.namespace,
                "labels": labels,
                "annotations": annotations,
            },
            "subsets": body,
        }));
    };
    let over_capacity = current.meta.annotations.get(OVER_CAPACITY).map(Str::as_str);
    if over_capacity == cut.then_some("truncated")
        && labels_correct(&current.meta.labels, &service.meta.labels)
        // As it stands first: repacking is the costlier half.
        && (current.subsets == subsets || repack_foreign(&current.subsets).is_some_and(|c| c == repack(&subsets)))
    {
        return Decision::Nothing;
    }
    let mut labels = labels;
    for (key, _) in current.meta.labels.iter() {
        labels.entry(key.as_str()).or_insert(Value::Null);
    }
    Decision::Patch(json!({
        "metadata": {
            "uid": current.meta.uid,
            "resourceVersion": current.meta.resource_version.to_string(),
            "labels": labels,
            "annotations": annotations,
        },
        "subsets": if body.is_empty() { Value::Null } else { Value::Array(body) },
    }))
}

fn labels_for(service: &Service) -> Map<String, Value> {
    let mut labels: Map<_, _> = service.meta.labels.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
    if is_ip_set(service) {
        labels.remove(HEADLESS);
    } else {
        labels.insert(HEADLESS.to_owned(), json!(""));
    }
    labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
    labels
}

/// Whether an endpoints controller wrote them, ours or upstream's.
pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    endpoints.meta.labels.get(MANAGED_BY).is_some_and(|v| v == MANAGER)
}

/// Whether the labels are the service's and the writer's. The label of headless services is set at every write and leads
/// to none, as upstream.
fn labels_correct(ours: &Labels, services: &Labels) -> bool {
    let own = |key: &str| key == HEADLESS || key == MANAGED_BY;
    ours.get(MANAGED_BY).is_some_and(|v| v == MANAGER)
        && ours.iter().filter(|(k, _)| !own(k)).eq(services.iter().filter(|(k, _)| !own(k)))
}

fn subset_json(subset: &EndpointSubset) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, list: Vec<Value>| {
        if !list.is_empty() {
            out.insert(name.to_owned(), Value::Array(list));
        }
    };
    put("addresses", subset.addresses.iter().map(address_json).collect());
    put("notReadyAddresses", subset.not_ready_addresses.iter().map(address_json).collect());
    put("ports", subset.ports.iter().map(port_json).collect());
    Value::Object(out)
}

fn address_json(address: &EndpointAddress) -> Value {
    let mut out = Map::new();
    out.insert("ip".to_owned(), json!(address.ip));
    if !address.hostname.is_empty() {
        out.insert("hostname".to_owned(), json!(address.hostname));
    }
    if !address.node_name.is_empty() {
        out.insert("nodeName".to_owned(), json!(address.node_name));
    }
    if let Some(target) = &address.target {
        out.insert("targetRef".to_owned(), target_json(target));
    }
    Value::Object(out)
}

fn port_json(port: &EndpointPort) -> Value {
    let mut out = Map::new();
    if !port.name.is_empty() {
        out.insert("name".to_owned(), json!(port.name));
    }
    out.insert("port".to_owned(), json!(port.port.unwrap_or_default()));
    out.insert("protocol".to_owned(), json!(port.protocol.as_str()));
    if let Some(protocol) = &port.app_protocol {
        out.insert("appProtocol".to_owned(), json!(protocol));
    }
    Value::Object(out)
}
