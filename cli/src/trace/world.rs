//! The objects of one namespace, and who belongs to whom.

use std::{collections::BTreeMap, iter::Copied, slice::Iter};

use headroom_core::Timestamp;
use serde_json::Value;

use super::json::{kind, name, namespace, selects, text, time, uid};

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
    pub(super) fn of(&self, kind: &str) -> Copied<Iter<'_, &'a Value>> {
        self.kinds.get(kind).map_or(&[][..], Vec::as_slice).iter().copied()
    }

    pub(super) fn find(&self, kind: &str, wanted: &str) -> Option<&'a Value> {
        // Asked for every endpoint of every pod: those of a kind stand in the order of their names.
        let all = self.kinds.get(kind)?;
        let found = all.get(all.partition_point(|object| name(object) < wanted))?;
        (name(found) == wanted).then_some(*found)
    }

    /// The events about an object.
    pub(super) fn events(&self, object: &Value) -> Vec<&'a Value> {
        let by_uid = self.events.get(uid(object)).into_iter().flatten();
        let by_name = self.events.get(&format!("{}/{}", kind(object), name(object))).into_iter().flatten();
        by_uid.chain(by_name).copied().collect()
    }

    /// The newest event about an object with this reason.
    pub(super) fn newest(&self, object: &Value, reason: &str) -> Option<&'a Value> {
        self.events(object).into_iter().filter(|event| text(event, "/reason") == reason).max_by_key(|event| last(event))
    }

    /// The newest warning about an object, of those whose reason will do.
    pub(super) fn warning(&self, object: &Value, reason: impl Fn(&str) -> bool) -> Option<&'a Value> {
        let warnings = self.events(object).into_iter().filter(|event| text(event, "/type") == "Warning");
        warnings.filter(|event| reason(text(event, "/reason"))).max_by_key(|event| last(event))
    }

    /// The Services that select a pod.
    pub(super) fn services(&self, pod: &Value) -> Vec<&'a Value> {
        self.of("Service").filter(|service| selects(service.pointer("/spec/selector"), pod)).collect()
    }

    /// The slices of a Service.
    pub(super) fn slices(&self, service: &str) -> Vec<&'a Value> {
        self.of("EndpointSlice").filter(|slice| service_of(slice) == service).collect()
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

/// When an event was last seen. The newer API keeps it elsewhere.
fn last(event: &Value) -> Option<Timestamp> {
    let at = |field: &str| time(event, field);
    at("/series/lastObservedTime").max(at("/lastTimestamp")).max(at("/deprecatedLastTimestamp")).max(at("/eventTime"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_found_in_any_order() {
        let object = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name}});
        let objects = [object("Pod", "c"), object("Pod", "a"), object("Service", "b"), object("Pod", "b")];
        let world = World::new(&objects, "default");
        for name in ["a", "b", "c"] {
            assert_eq!(world.find("Pod", name), Some(&object("Pod", name)));
        }
        for (kind, name) in [("Pod", ""), ("Pod", "aa"), ("Pod", "d"), ("Service", "a"), ("Job", "a")] {
            assert_eq!(world.find(kind, name), None, "{kind} {name}");
        }
    }
}
