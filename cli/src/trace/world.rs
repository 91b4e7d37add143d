//! The objects of one namespace, and who belongs to whom.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::{kind, name, namespace, selects, text, uid};

/// The label of a slice with the name of its Service.
const SERVICE_NAME: &str = "/metadata/labels/kubernetes.io~1service-name";

/// What is known of a namespace.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) namespace: &'a str,
    kinds: BTreeMap<&'a str, Vec<&'a Value>>,
    /// Events by what they are about: its UID, else kind and name.
    events: BTreeMap<String, Vec<&'a Value>>,
}

impl<'a> World<'a> {
    pub(super) fn new(objects: &'a [Value], within: &'a str) -> Self {
        let mut kinds: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        let mut events: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for object in objects.iter().filter(|object| namespace(object) == within) {
            if kind(object) == "Event" {
                events.entry(about(object)).or_default().push(object);
            } else {
                kinds.entry(kind(object)).or_default().push(object);
            }
        }
        for all in kinds.values_mut() {
            all.sort_by_key(|object| name(object));
        }
        Self { namespace: within, kinds, events }
    }

    /// All objects of a kind, by name.
    pub(super) fn of(&self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'_, 'a> {
        self.kinds.get(kind).into_iter().flatten().copied()
    }

    pub(super) fn find(&self, kind: &str, wanted: &str) -> Option<&'a Value> {
        self.of(kind).find(|object| name(object) == wanted)
    }

    /// The events about an object with this reason; any of them if there is none given.
    pub(super) fn events(
        &self,
        object: &Value,
        reason: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Value> + use<'_, 'a> {
        let by_uid = self.events.get(uid(object)).into_iter();
        let by_name = self.events.get(&format!("{}/{}", kind(object), name(object))).into_iter();
        let all = by_uid.chain(by_name).flatten().copied();
        all.filter(move |event| reason.is_none_or(|reason| text(event, "/reason") == reason))
    }

    /// The Services that select a pod.
    pub(super) fn services(&self, pod: &Value) -> Vec<&'a Value> {
        self.of("Service").filter(|service| selects(service.pointer("/spec/selector"), pod)).collect()
    }

    /// The slices of a Service.
    pub(super) fn slices(&self, service: &'a str) -> impl Iterator<Item = &'a Value> + use<'_, 'a> {
        self.of("EndpointSlice").filter(move |slice| service_of(slice) == service)
    }
}

/// The Service that a slice belongs to.
pub(super) fn service_of(slice: &Value) -> &str {
    text(slice, SERVICE_NAME)
}

/// What an event is about, in the form of `v1` or of `events.k8s.io/v1`.
fn about(event: &Value) -> String {
    let field = |name: &str| match text(event, &format!("/involvedObject/{name}")) {
        "" => text(event, &format!("/regarding/{name}")),
        found => found,
    };
    match field("uid") {
        "" => format!("{}/{}", field("kind"), field("name")),
        uid => uid.to_owned(),
    }
}

/// The words of an event.
pub(super) fn words(event: &Value) -> &str {
    match text(event, "/message") {
        "" => text(event, "/note"),
        message => message,
    }
}
