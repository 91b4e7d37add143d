//! From an operation to the bytes of a request. Pure.
//!
//! Bodies are written by hand where there is one per pod: the whole scheduler has 100 µs of CPU for a pod.

use bytes::Bytes;
use headroom_core::{
    intent::{Op, PatchKind, PodStatusPatch, WriteError},
    object::{Kind, ObjectKey},
};
use http::Method;
use serde_json::json;

use crate::{
    events::{EventWrite, Flavour},
    protobuf,
};

/// Objects per page of a list.
const PAGE: usize = 500;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
/// Lists are trimmed to metadata by the server; one that cannot do that sends whole objects, which read the same.
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Fields that the API server does not know are dropped without a word. It would otherwise decode JSON a second time to
/// warn of them, and nobody reads its warnings here; what stock's components write in protobuf it never checks.
const UNCHECKED: &str = "?fieldValidation=Ignore";

/// What is read of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing: the status code says it all.
    Nothing,
    /// UID and resource version.
    Metadata,
    /// The object.
    Object,
    /// Pages of metadata.
    List,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) accept: &'static str,
    pub(super) body: Bytes,
    pub(super) expect: Expect,
}

impl Prepared {
    /// A write whose answer is read for the identity of what was written: in protobuf, which costs the API server a
    /// fraction of JSON.
    fn new(method: Method, mut path: String, content_type: &'static str, body: Vec<u8>) -> Self {
        if method != Method::GET && method != Method::DELETE {
            path.push_str(UNCHECKED);
        }
        Self { method, path, content_type, accept: protobuf::ACCEPT, body: body.into(), expect: Expect::Metadata }
    }

    /// An object that is read whole.
    fn get(path: String) -> Self {
        Self { accept: JSON, expect: Expect::Object, ..Self::new(Method::GET, path, JSON, Vec::new()) }
    }

    fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// A word for metrics' labels.
pub(super) const fn label(op: &Op) -> &'static str {
    match op {
        Op::Bind { .. } => "bind",
        Op::PodStatus { .. } => "pod_status",
        Op::Create { .. } => "create",
        Op::Patch { .. } => "patch",
        Op::Update { .. } => "update",
        Op::Delete { .. } => "delete",
        Op::Get { .. } => "get",
        Op::List { .. } => "list",
        Op::Event(_) => "event",
    }
}

/// The request of an operation in the write lane.
///
/// # Errors
/// [`WriteError::Invalid`] when a name cannot be part of a path.
pub(super) fn prepare(op: &Op) -> Result<Prepared, WriteError> {
    Ok(match op {
        Op::Bind { pod, uid, node } => {
            let path = object_path(Kind::POD, pod, "binding")?;
            Prepared::new(Method::POST, path, JSON, binding(pod, uid, node)).expecting(Expect::Nothing)
        }
        Op::PodStatus { pod, uid, patch } => pod_status(pod, uid, patch)?,
        Op::Create { kind, key, body } => {
            Prepared::new(Method::POST, collection_path(*kind, &key.namespace)?, JSON, body.to_string().into())
        }
        Op::Patch { kind, key, subresource, patch, body } => {
            let content_type = match patch {
                PatchKind::Merge => MERGE,
                PatchKind::Strategic => STRATEGIC,
                PatchKind::Json => JSON_PATCH,
            };
            Prepared::new(Method::PATCH, object_path(*kind, key, subresource)?, content_type, body.to_string().into())
        }
        Op::Update { kind, key, subresource, body } => {
            Prepared::new(Method::PUT, object_path(*kind, key, subresource)?, JSON, body.to_string().into())
        }
        Op::Delete { kind, key, uid, resource_version, grace_seconds } => {
            let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
            if let Some(seconds) = grace_seconds {
                options["gracePeriodSeconds"] = json!(seconds);
            }
            if let Some(uid) = uid {
                options["preconditions"]["uid"] = json!(uid);
            }
            if let Some(version) = resource_version {
                options["preconditions"]["resourceVersion"] = json!(version.to_string());
            }
            Prepared::new(Method::DELETE, object_path(*kind, key, "")?, JSON, options.to_string().into())
        }
        Op::Get { kind, key } => Prepared::get(object_path(*kind, key, "")?),
        Op::List { kind, namespace, labels } => {
            let mut path = format!("{}?limit={PAGE}", collection_path(*kind, namespace)?);
            if !labels.is_empty() {
                path.push_str("&labelSelector=");
                push_encoded(&mut path, labels);
            }
            let mut prepared = Prepared::new(Method::GET, path, JSON, Vec::new()).expecting(Expect::List);
            prepared.accept = METADATA_LIST;
            prepared
        }
        Op::Event(_) => return Err(WriteError::Invalid("events have a lane of their own".to_owned())),
    })
}

/// The request of a status patch: a strategic merge, with the UID as a precondition.
pub(super) fn pod_status(pod: &ObjectKey, uid: &str, patch: &PodStatusPatch) -> Result<Prepared, WriteError> {
    let path = object_path(Kind::POD, pod, "status")?;
    let conditions: Vec<_> = patch
        .conditions
        .iter()
        .map(|c| {
            let mut condition =
                json!({"type": c.kind, "status": c.status.as_str(), "reason": c.reason, "message": c.message});
            if let Some(at) = c.last_transition {
                // `metav1.Time` has whole seconds.
                condition["lastTransitionTime"] = json!(at.truncated().to_string());
            }
            if c.observed_generation != 0 {
                condition["observedGeneration"] = json!(c.observed_generation);
            }
            condition
        })
        .collect();
    let mut status = json!({});
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    if let Some(node) = &patch.nominated_node_name {
        // null deletes the field.
        status["nominatedNodeName"] = json!(node);
    }
    let body = json!({"metadata": {"uid": uid}, "status": status});
    Ok(Prepared::new(Method::PATCH, path, STRATEGIC, body.to_string().into()))
}

/// The request of an event.
pub(super) fn event(write: &EventWrite, flavour: Flavour) -> Result<Prepared, WriteError> {
    let (kind, patch) = match flavour {
        Flavour::EventsV1 => (Kind::EVENT, MERGE),
        Flavour::CoreV1 => (Kind::CORE_EVENT, STRATEGIC),
    };
    let prepared = if write.create {
        Prepared::new(Method::POST, collection_path(kind, &write.namespace)?, JSON, write.body.clone())
    } else {
        let key = ObjectKey { namespace: write.namespace.clone(), name: write.name.as_str().into() };
        Prepared::new(Method::PATCH, object_path(kind, &key, "")?, patch, write.body.clone())
    };
    Ok(prepared.expecting(Expect::Nothing))
}

/// The next page of a list.
pub(super) fn next_page(first: &str, token: &str) -> String {
    let mut path = format!("{first}&continue=");
    push_encoded(&mut path, token);
    path
}

/// A `v1` Binding.
fn binding(pod: &ObjectKey, uid: &str, node: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(192 + pod.name.len() + pod.namespace.len() + node.len());
    body.extend_from_slice(br#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"#);
    push_json(&mut body, &pod.name);
    body.extend_from_slice(br#","namespace":"#);
    push_json(&mut body, &pod.namespace);
    body.extend_from_slice(br#","uid":"#);
    push_json(&mut body, uid);
    body.extend_from_slice(br#"},"target":{"apiVersion":"v1","kind":"Node","name":"#);
    push_json(&mut body, node);
    body.extend_from_slice(b"}}");
    body
}

/// A JSON string.
fn push_json(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}

fn collection_path(kind: Kind, namespace: &str) -> Result<String, WriteError> {
    let mut path = String::with_capacity(128);
    if kind.group.is_empty() {
        path.push_str("/api/");
    } else {
        path.push_str("/apis/");
        path.push_str(kind.group);
        path.push('/');
    }
    path.push_str(kind.version);
    if kind.namespaced && !namespace.is_empty() {
        path.push_str("/namespaces/");
        push_name(&mut path, namespace)?;
    }
    path.push('/');
    path.push_str(kind.plural);
    Ok(path)
}

fn object_path(kind: Kind, key: &ObjectKey, subresource: &str) -> Result<String, WriteError> {
    if kind.namespaced && key.namespace.is_empty() {
        return Err(WriteError::Invalid(format!("{} {:?} has no namespace", kind.kind, key.name)));
    }
    let mut path = collection_path(kind, &key.namespace)?;
    path.push('/');
    push_name(&mut path, &key.name)?;
    if !subresource.is_empty() {
        path.push('/');
        path.push_str(subresource);
    }
    Ok(path)
}

/// Names of Kubernetes need no escaping; one that would is not one.
fn push_name(path: &mut String, name: &str) -> Result<(), WriteError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    if name.is_empty() || name == "." || name == ".." || !name.bytes().all(fits) {
        return Err(WriteError::Invalid(format!("{name:?} is not a valid name")));
    }
    path.push_str(name);
    Ok(())
}

/// Percent-encoding for a query.
fn push_encoded(out: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(HEX[usize::from(b >> 4)]);
            out.push(HEX[usize::from(b & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Timestamp,
        object::{PodCondition, Status},
    };
    use serde_json::Value;

    use super::*;

    fn body(prepared: &Prepared) -> Value {
        serde_json::from_slice(&prepared.body).unwrap()
    }

    fn key() -> ObjectKey {
        ObjectKey::new("shop", "web-1")
    }

    #[test]
    fn a_binding_names_pod_uid_and_node() {
        let p = prepare(&Op::Bind { pod: key(), uid: "u\"1".into(), node: "n1".into() }).unwrap();
        assert_eq!(
            (p.method.as_str(), p.path.as_str()),
            ("POST", "/api/v1/namespaces/shop/pods/web-1/binding?fieldValidation=Ignore")
        );
        assert_eq!(
            body(&p),
            json!({"apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": "web-1", "namespace": "shop", "uid": "u\"1"},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}})
        );
    }

    #[test]
    fn a_status_patch_has_the_uid_and_only_what_is_set() {
        let patch = PodStatusPatch {
            conditions: vec![PodCondition {
                kind: "PodScheduled".into(),
                status: Status::False,
                reason: "Unschedulable".into(),
                message: "0/1 nodes are available".into(),
                last_transition: Some(Timestamp(1_795_305_600_123_456)),
                observed_generation: 2,
            }],
            nominated_node_name: None,
        };
        let p = pod_status(&key(), "u1", &patch).unwrap();
        assert_eq!(p.content_type, STRATEGIC);
        assert_eq!(
            body(&p),
            json!({"metadata": {"uid": "u1"}, "status": {"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available", "observedGeneration": 2,
                "lastTransitionTime": "2026-11-22T00:00:00Z"}]}})
        );
        let clear = PodStatusPatch { conditions: vec![], nominated_node_name: Some(None) };
        assert_eq!(body(&pod_status(&key(), "u1", &clear).unwrap())["status"], json!({"nominatedNodeName": null}));
    }

    #[test]
    fn a_deletion_has_its_preconditions() {
        let op = Op::Delete {
            kind: Kind::POD,
            key: key(),
            uid: Some("u1".into()),
            resource_version: Some(7),
            grace_seconds: Some(0),
        };
        let p = prepare(&op).unwrap();
        assert_eq!(
            body(&p),
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                "preconditions": {"uid": "u1", "resourceVersion": "7"}})
        );
    }

    #[test]
    fn paths() {
        let slice = Op::Get { kind: Kind::ENDPOINT_SLICE, key: key() };
        assert_eq!(prepare(&slice).unwrap().path, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
        let node = Op::Get { kind: Kind::NODE, key: ObjectKey::new("", "n1") };
        assert_eq!(prepare(&node).unwrap().path, "/api/v1/nodes/n1");
        let list = Op::List { kind: Kind::POD, namespace: "".into(), labels: "a=b,c in (d)".into() };
        assert_eq!(prepare(&list).unwrap().path, "/api/v1/pods?limit=500&labelSelector=a%3Db%2Cc%20in%20%28d%29");
        assert_eq!(next_page("/x?limit=500", "a+b="), "/x?limit=500&continue=a%2Bb%3D");
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        for name in ["", "..", "a/b", "a?b", "a b", "ä", "%2e"] {
            let op = Op::Get { kind: Kind::POD, key: ObjectKey::new("shop", name) };
            assert!(matches!(prepare(&op), Err(WriteError::Invalid(_))), "{name:?}");
        }
        let op = Op::Get { kind: Kind::POD, key: ObjectKey::new("", "p") };
        assert!(matches!(prepare(&op), Err(WriteError::Invalid(_))));
    }
}
