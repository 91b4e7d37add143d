//! A fake API server for tests of the endpoint controllers: objects as JSON, with versions and preconditions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "for tests")]

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    Str, Timestamp,
    intent::{Found, Op, PatchKind, WriteError, Written},
    object::{
        AddressType, Endpoint, EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints, Kind, Meta,
        ObjectKey, ObjectReference, OwnerRef, Protocol, TargetRef, TargetRest,
    },
    selector::Labels,
};
use serde_json::{Value, json};

/// What the server has.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) objects: BTreeMap<ObjectKey, Value>,
    pub(crate) rv: u64,
    pub(crate) writes: Vec<String>,
}

impl Store {
    /// Does what the operation asks for.
    pub(crate) fn perform(&mut self, op: &Op) -> Result<Written, WriteError> {
        let done =
            |rv: u64, uid: &Value| Written { uid: uid.as_str().map(Str::from), resource_version: rv, found: vec![] };
        match op {
            Op::Create { kind, key, body } => {
                self.writes.push(format!("create {}", key.name));
                if self.objects.contains_key(key) {
                    return Err(WriteError::AlreadyExists(key.to_string()));
                }
                let mut object = (**body).clone();
                assert_eq!(object["metadata"]["name"], json!(key.name));
                self.rv += 1;
                object["metadata"]["uid"] = json!(format!("uid{}", self.rv));
                object["metadata"]["resourceVersion"] = json!(self.rv.to_string());
                // Endpoints have no generation.
                if *kind == Kind::ENDPOINT_SLICE {
                    object["metadata"]["generation"] = json!(1);
                }
                let written = done(self.rv, &object["metadata"]["uid"]);
                self.objects.insert(key.clone(), object);
                Ok(written)
            }
            Op::Patch { key, patch: PatchKind::Merge, body, .. } => {
                self.writes.push(format!("patch {}", key.name));
                let Some(object) = self.objects.get_mut(key) else {
                    return Err(WriteError::NotFound(key.to_string()));
                };
                for field in ["uid", "resourceVersion"] {
                    if body["metadata"][field] != object["metadata"][field] {
                        return Err(WriteError::Conflict(key.to_string()));
                    }
                }
                let before = object.clone();
                merge(object, body);
                if *object == before {
                    let version = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                    return Ok(done(version, &object["metadata"]["uid"]));
                }
                self.rv += 1;
                object["metadata"]["resourceVersion"] = json!(self.rv.to_string());
                let content = |v: &Value| {
                    let mut v = v.clone();
                    v["metadata"] = Value::Null;
                    v
                };
                if let Some(generation) = before["metadata"]["generation"].as_i64()
                    && content(object) != content(&before)
                {
                    object["metadata"]["generation"] = json!(generation + 1);
                }
                Ok(done(self.rv, &object["metadata"]["uid"]))
            }
            Op::Delete { key, uid, resource_version, .. } => {
                self.writes.push(format!("delete {}", key.name));
                let Some(object) = self.objects.get(key) else {
                    return Err(WriteError::NotFound(key.to_string()));
                };
                if uid.as_ref().is_some_and(|u| object["metadata"]["uid"] != json!(u)) {
                    return Err(WriteError::Conflict(key.to_string()));
                }
                if resource_version.is_some_and(|v| object["metadata"]["resourceVersion"] != json!(v.to_string())) {
                    return Err(WriteError::Conflict(key.to_string()));
                }
                self.rv += 1;
                self.objects.remove(key);
                Ok(done(self.rv, &Value::Null))
            }
            Op::Get { key, .. } => {
                let Some(object) = self.objects.get(key) else {
                    return Err(WriteError::NotFound(key.to_string()));
                };
                let Meta { uid, resource_version, .. } = meta(object);
                let body = Arc::new(object.clone());
                let found = Found { key: key.clone(), uid: uid.clone(), resource_version, body };
                Ok(Written { uid: Some(uid), resource_version, found: vec![found] })
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Somebody else's write. The server notes who it was and when; nobody else is noted here.
    pub(crate) fn overwrite(&mut self, key: &ObjectKey, manager: &str, at: Timestamp, change: impl FnOnce(&mut Value)) {
        let object = self.objects.get_mut(key).unwrap();
        change(object);
        self.rv += 1;
        object["metadata"]["resourceVersion"] = json!(self.rv.to_string());
        if let Some(generation) = object["metadata"]["generation"].as_i64() {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        sign(object, manager, at);
    }
}

/// Notes in the object that this manager has just written it.
pub(crate) fn sign(object: &mut Value, manager: &str, at: Timestamp) {
    let fields = json!({"f:metadata": {}, "f:endpoints": {}, "f:subsets": {}});
    object["metadata"]["managedFields"] =
        json!([{"manager": manager, "operation": "Update", "time": at.truncated().to_string(), "fieldsV1": fields}]);
}

/// RFC 7386.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

fn text(value: &Value) -> Str {
    value.as_str().unwrap_or_default().into()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn meta(object: &Value) -> Meta {
    let m = &object["metadata"];
    let map = |v: &Value| -> Labels {
        Labels::new(v.as_object().into_iter().flatten().map(|(k, v)| (k.into(), text(v))).collect())
    };
    let owner = |o: &Value| OwnerRef {
        api_version: text(&o["apiVersion"]),
        kind: text(&o["kind"]),
        name: text(&o["name"]),
        uid: text(&o["uid"]),
        controller: o["controller"] == json!(true),
        block_owner_deletion: o["blockOwnerDeletion"] == json!(true),
    };
    Meta {
        key: ObjectKey { namespace: text(&m["namespace"]), name: text(&m["name"]) },
        uid: text(&m["uid"]),
        resource_version: text(&m["resourceVersion"]).parse().unwrap(),
        generation: m["generation"].as_i64().unwrap_or(0),
        labels: map(&m["labels"]),
        annotations: map(&m["annotations"]),
        owners: list(&m["ownerReferences"]).iter().map(owner).collect(),
        ..Meta::default()
    }
}

fn target(value: &Value) -> Option<TargetRef> {
    let rest = TargetRest { api_version: text(&value["apiVersion"]), field_path: text(&value["fieldPath"]) };
    value.is_object().then(|| TargetRef {
        object: ObjectReference {
            kind: text(&value["kind"]),
            namespace: text(&value["namespace"]),
            name: text(&value["name"]),
            uid: text(&value["uid"]),
        },
        rest: (!rest.api_version.is_empty() || !rest.field_path.is_empty()).then(|| Arc::new(rest)),
    })
}

fn port(value: &Value) -> EndpointPort {
    EndpointPort {
        name: text(&value["name"]),
        port: value["port"].as_u64().map(|p| u16::try_from(p).unwrap()),
        protocol: Protocol::parse(&text(&value["protocol"])),
        app_protocol: value["appProtocol"].as_str().map(Str::from),
    }
}

/// The row of an `Endpoints` object.
pub(crate) fn endpoints_row(object: &Value) -> Arc<Endpoints> {
    let address = |a: &Value| EndpointAddress {
        ip: text(&a["ip"]),
        hostname: text(&a["hostname"]),
        node_name: text(&a["nodeName"]),
        target: target(&a["targetRef"]),
    };
    let subset = |s: &Value| EndpointSubset {
        addresses: list(&s["addresses"]).iter().map(address).collect(),
        not_ready_addresses: list(&s["notReadyAddresses"]).iter().map(address).collect(),
        ports: list(&s["ports"]).iter().map(port).collect(),
    };
    Arc::new(Endpoints { meta: meta(object), subsets: list(&object["subsets"]).iter().map(subset).collect() })
}

/// The row of a slice.
pub(crate) fn slice_row(object: &Value) -> Arc<EndpointSlice> {
    let strings = |v: &Value| list(v).iter().map(text).collect::<Vec<_>>().into_boxed_slice();
    let names = |v: &Value| list(v).iter().map(|z| text(&z["name"])).collect::<Vec<_>>().into_boxed_slice();
    let endpoint = |e: &Value| Endpoint {
        addresses: strings(&e["addresses"]),
        ready: e["conditions"]["ready"].as_bool(),
        serving: e["conditions"]["serving"].as_bool(),
        terminating: e["conditions"]["terminating"].as_bool(),
        hostname: text(&e["hostname"]),
        node_name: text(&e["nodeName"]),
        zone: text(&e["zone"]),
        hint_zones: names(&e["hints"]["forZones"]),
        hint_nodes: names(&e["hints"]["forNodes"]),
        target: target(&e["targetRef"]),
    };
    let address_type = match object["addressType"].as_str() {
        Some("IPv6") => AddressType::IPv6,
        Some("FQDN") => AddressType::Fqdn,
        _ => AddressType::IPv4,
    };
    Arc::new(EndpointSlice {
        meta: meta(object),
        address_type,
        endpoints: list(&object["endpoints"]).iter().map(endpoint).collect(),
        ports: list(&object["ports"]).iter().map(port).collect(),
    })
}
