//! Slices as JSON (reference 3.5).

use headroom_core::{
    Str,
    object::{Endpoint, EndpointPort, EndpointSlice, Meta},
    selector::Labels,
};
use serde_json::{Map, Value, json};

use super::{Draft, Plan, writer::Writes};
use crate::{endpoint_common::target_json, names::generate_name};

/// What all slices of one object have in their metadata.
#[derive(Debug)]
pub struct Header<'a> {
    /// `Service` or `Endpoints`; both are of `v1`.
    pub owner_kind: &'static str,
    /// Whose slices these are.
    pub owner: &'a Meta,
    /// Whether an update makes it the owner, and the only one.
    pub adopts: bool,
    /// All labels.
    pub labels: Labels,
    /// Annotations to be set, or (without a value) to be taken away.
    pub annotations: Vec<(Str, Option<Str>)>,
    /// Whether annotations that are not listed are taken away.
    pub only_these_annotations: bool,
}

impl Header<'_> {
    /// The bodies of a plan. New slices have no name yet.
    #[must_use]
    pub fn writes(&self, plan: Plan) -> Writes {
        let update = |draft: Draft| {
            let body = draft.existing.as_ref().map(|existing| self.update(&draft, existing))?;
            Some((draft.existing?, body))
        };
        Writes {
            create: plan.create.iter().map(|draft| self.create(draft)).collect(),
            update: plan.update.into_iter().filter_map(update).collect(),
            delete: plan.delete,
        }
    }

    fn create(&self, draft: &Draft) -> Value {
        let mut metadata = json!({
            "generateName": generate_name(&self.owner.key.name),
            "namespace": self.owner.key.namespace,
            "labels": pairs(&self.labels),
            "ownerReferences": self.owners(),
        });
        let annotations: Map<_, _> =
            self.annotations.iter().filter_map(|(k, v)| Some((k.to_string(), json!(v.as_ref()?)))).collect();
        if let (false, Some(metadata)) = (annotations.is_empty(), metadata.as_object_mut()) {
            metadata.insert("annotations".to_owned(), Value::Object(annotations));
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
    fn update(&self, draft: &Draft, existing: &EndpointSlice) -> Value {
        let mut labels = pairs(&self.labels);
        for (key, _) in existing.meta.labels.iter() {
            labels.entry(key.as_str()).or_insert(Value::Null);
        }
        let mut annotations: Map<_, _> = self.annotations.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
        if self.only_these_annotations {
            for (key, _) in existing.meta.annotations.iter() {
                annotations.entry(key.as_str()).or_insert(Value::Null);
            }
        }
        let mut metadata = json!({
            "uid": existing.meta.uid,
            "resourceVersion": existing.meta.resource_version.to_string(),
            "labels": labels,
            "annotations": annotations,
        });
        if let (true, Some(metadata)) = (self.adopts, metadata.as_object_mut()) {
            metadata.insert("ownerReferences".to_owned(), self.owners());
        }
        json!({
            "metadata": metadata,
            "endpoints": draft.endpoints.iter().map(endpoint_json).collect::<Vec<_>>(),
            "ports": draft.ports.iter().map(port_json).collect::<Vec<_>>(),
        })
    }

    fn owners(&self) -> Value {
        json!([{
            "apiVersion": "v1",
            "kind": self.owner_kind,
            "name": self.owner.key.name,
            "uid": self.owner.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }])
    }
}

fn pairs(labels: &Labels) -> Map<String, Value> {
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
    if let Some(target) = &e.target {
        out.insert("targetRef".to_owned(), target_json(target));
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
