//! Slices as JSON, and their labels (reference 3.5).

use std::sync::Arc;

use headroom_core::{
    Str, Timestamp,
    object::{Endpoint, EndpointPort, EndpointSlice, Service},
    selector::Labels,
};
use serde_json::{Map, Value, json};

use super::placement::Draft;
use crate::{
    endpoint_common::{HEADLESS, LAST_CHANGE, is_ip_set},
    names::generate_name,
};

/// Label with the service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label with the writer.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value: upstream's, for kube-proxy reads the slices of all writers (reference 3.12).
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

fn is_reserved(key: &str) -> bool {
    matches!(key, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

/// Whether this loop writes the slice.
pub(super) fn is_ours(slice: &EndpointSlice) -> bool {
    slice.meta.labels.get(MANAGED_BY).is_some_and(|v| v == MANAGER)
}

/// Whether the slice belongs to this very service, not to an older one of the same name.
pub(super) fn is_owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    slice.meta.owners.iter().any(|o| o.uid == service.meta.uid && &*o.kind == "Service" && &*o.api_version == "v1")
}

/// The labels of a service's slices: its own, except those that mean something on a slice, and the latter.
pub(super) fn labels_for(service: &Service) -> Labels {
    let own = service.meta.labels.iter().filter(|(k, _)| !is_reserved(k));
    let mut labels: Vec<(Str, Str)> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.push((SERVICE_NAME.into(), service.meta.key.name.clone()));
    labels.push((MANAGED_BY.into(), MANAGER.into()));
    if !is_ip_set(service) {
        labels.push((HEADLESS.into(), Str::default()));
    }
    Labels::new(labels)
}

/// Whether labels that are not reserved differ: only these lead to a write.
pub(super) fn labels_changed(slice: &EndpointSlice, service: &Service) -> bool {
    let plain = |(k, _): &(&Str, &Str)| !is_reserved(k);
    !slice.meta.labels.iter().filter(plain).eq(service.meta.labels.iter().filter(plain))
}

/// Whether the slice already is the empty one that a service without endpoints has.
pub(super) fn is_placeholder(slice: &EndpointSlice, service: &Service) -> bool {
    slice.endpoints.is_empty()
        && slice.ports.is_empty()
        && is_owned_by(slice, service)
        && slice.meta.labels == labels_for(service)
}

/// The body of a new slice.
pub(super) fn create(service: &Service, draft: &Draft, name: &str, trigger: Option<Timestamp>) -> Value {
    let mut metadata = json!({
        "name": name,
        "generateName": generate_name(&service.meta.key.name),
        "namespace": service.meta.key.namespace,
        "labels": labels_json(&labels_for(service)),
        "ownerReferences": [{
            "apiVersion": "v1",
            "kind": "Service",
            "name": service.meta.key.name,
            "uid": service.meta.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    if let (Some(t), Some(metadata)) = (trigger, metadata.as_object_mut()) {
        metadata.insert("annotations".to_owned(), json!({ LAST_CHANGE: t.to_string() }));
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": draft.address_type.as_str(),
        "endpoints": draft.endpoints.iter().map(endpoint_json).collect::<Vec<_>>(),
        "ports": draft.ports.iter().map(port_json).collect::<Vec<_>>(),
    })
}

/// The merge patch of a slice that is there, with UID and resource version.
pub(super) fn update(
    service: &Service,
    draft: &Draft,
    existing: &Arc<EndpointSlice>,
    trigger: Option<Timestamp>,
) -> Value {
    let mut labels = labels_json(&labels_for(service));
    for (key, _) in existing.meta.labels.iter() {
        labels.entry(key.as_str()).or_insert(Value::Null);
    }
    json!({
        "metadata": {
            "uid": existing.meta.uid,
            "resourceVersion": existing.meta.resource_version.to_string(),
            "labels": labels,
            "annotations": { LAST_CHANGE: trigger.map(|t| t.to_string()) },
        },
        "endpoints": draft.endpoints.iter().map(endpoint_json).collect::<Vec<_>>(),
        "ports": draft.ports.iter().map(port_json).collect::<Vec<_>>(),
    })
}

fn labels_json(labels: &Labels) -> Map<String, Value> {
    labels.iter().map(|(k, v)| (k.to_string(), json!(v))).collect()
}

fn endpoint_json(e: &Endpoint) -> Value {
    let mut out = Map::new();
    out.insert("addresses".to_owned(), json!(e.addresses));
    let mut conditions = Map::new();
    for (name, value) in [("ready", e.ready), ("serving", e.serving), ("terminating", e.terminating)] {
        if let Some(value) = value {
            conditions.insert(name.to_owned(), Value::Bool(value));
        }
    }
    out.insert("conditions".to_owned(), Value::Object(conditions));
    for (name, value) in [("hostname", &e.hostname), ("nodeName", &e.node_name), ("zone", &e.zone)] {
        if !value.is_empty() {
            out.insert(name.to_owned(), json!(value));
        }
    }
    let mut hints = Map::new();
    for (name, values) in [("forZones", &e.hint_zones), ("forNodes", &e.hint_nodes)] {
        if !values.is_empty() {
            hints.insert(name.to_owned(), values.iter().map(|v| json!({ "name": v })).collect());
        }
    }
    if !hints.is_empty() {
        out.insert("hints".to_owned(), Value::Object(hints));
    }
    if let Some(t) = &e.target {
        let target = json!({ "kind": t.kind, "namespace": t.namespace, "name": t.name, "uid": t.uid });
        out.insert("targetRef".to_owned(), target);
    }
    Value::Object(out)
}

fn port_json(port: &EndpointPort) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(port.name));
    if let Some(number) = port.port {
        out.insert("port".to_owned(), json!(number));
    }
    out.insert("protocol".to_owned(), json!(port.protocol.as_str()));
    if let Some(protocol) = &port.app_protocol {
        out.insert("appProtocol".to_owned(), json!(protocol));
    }
    Value::Object(out)
}
