//! What stands in a namespace, without what must differ between two runs: random suffixes of names, UIDs, versions, times.

mod events;
mod shares;
mod sizes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Rigour, pods::identity};

/// The kinds that are looked at, by their plural.
pub(super) const KINDS: [&str; 5] = ["pods", "replicationcontrollers", "endpoints", "endpointslices", "events"];

/// What stands there: a sorted list per kind. A kind that is missing is as it was before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(BTreeMap<String, Vec<Value>>);

/// End of the annotations that tell when what they are about was changed.
const TRIGGER_TIME: &str = "last-change-trigger-time";

/// Alphabet of the five characters that end a generated name.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

impl State {
    /// From the objects of a namespace, by kind.
    pub(super) fn of(objects: &BTreeMap<String, Vec<Value>>, namespace: &str) -> Self {
        let pods = objects.get("pods").map(Vec::as_slice).unwrap_or_default();
        let names: BTreeMap<&str, String> =
            pods.iter().filter_map(|pod| Some((pod.pointer("/metadata/name")?.as_str()?, identity(pod)))).collect();
        let mut state = BTreeMap::new();
        for (kind, objects) in objects {
            let mut seen: Vec<Value> = match kind.as_str() {
                "pods" => objects.iter().map(|object| pod(object, namespace)).collect(),
                "replicationcontrollers" => objects.iter().map(controller).collect(),
                "endpoints" => objects.iter().map(|object| endpoints(object, &names, namespace)).collect(),
                "endpointslices" => objects.iter().map(|object| slice(object, &names, namespace)).collect(),
                "nodes" => objects.iter().map(|object| node(object, namespace)).collect(),
                "events" => events::of(objects, namespace),
                _ => continue,
            };
            seen.sort_by_cached_key(Value::to_string);
            state.insert(kind.clone(), seen);
        }
        Self(state)
    }

    /// What is different from before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().filter(|(kind, all)| before.0.get(*kind) != Some(all)).map(clone).collect())
    }

    /// Takes over what is different now.
    pub fn apply(&mut self, change: &Self) {
        self.0.extend(change.0.iter().map(clone));
    }

    /// Whether controllers have changed anything: a story changes pods itself.
    pub(super) fn follows(&self) -> bool {
        self.0.keys().any(|kind| kind != "pods")
    }

    /// Whether anything is said of a kind.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }

    /// Says nothing of a kind any more.
    pub(super) fn forget(&mut self, kind: &str) {
        self.0.remove(kind);
    }

    /// Leaves out what need not be the same.
    pub(super) fn reduce(&mut self, rigour: Rigour) {
        match rigour {
            Rigour::All => {}
            Rigour::Objects => self.forget_the_way(),
            Rigour::Said => {
                let said = self.0.get("events").map(|events| events::about_nodes(events));
                self.forget_the_way();
                self.0.extend(said.map(|said| ("events".to_owned(), said)));
            }
            Rigour::Sizes => {
                self.forget_the_way();
                self.0 = sizes::of(&self.0);
            }
            Rigour::Shares => {
                let events = self.0.remove("events");
                self.forget_the_way();
                self.0 = shares::of(&self.0);
                self.0.extend(events.map(|events| ("events".to_owned(), shares::said(&events))));
            }
        }
    }

    /// Without what depends on the way to it: what controllers said about their work, whether the last change of endpoints
    /// was one that has a time (a process that was killed does not remember those before), and pods without a node whose
    /// deletion was cut off with its connection between its two writes (the collector of such pods does not run).
    fn forget_the_way(&mut self) {
        self.forget("events");
        if let Some(pods) = self.0.get_mut("pods") {
            pods.retain(|pod| pod["terminating"] != true || !pod["node"].is_null());
        }
        for objects in self.0.values_mut() {
            for object in &mut *objects {
                if let Some(annotations) = object.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.retain(|key, _| !key.ends_with(TRIGGER_TIME));
                }
            }
            objects.sort_by_cached_key(Value::to_string);
        }
    }

    /// The first kind that is not as expected, in words.
    #[must_use]
    pub fn difference(&self, expected: &Self) -> Option<String> {
        let kinds = expected.0.keys().chain(self.0.keys());
        let none = Vec::new();
        kinds.into_iter().find_map(|kind| {
            let (ours, stock) = (self.0.get(kind).unwrap_or(&none), expected.0.get(kind).unwrap_or(&none));
            let only = |a: &[Value], b: &[Value]| {
                a.iter().filter(|v| !b.contains(v)).map(Value::to_string).collect::<Vec<_>>().join("\n    ")
            };
            (ours != stock).then(|| {
                format!(
                    "{kind}: {} here, {} with stock\n  only here:\n    {}\n  only with stock:\n    {}",
                    ours.len(),
                    stock.len(),
                    only(ours, stock),
                    only(stock, ours)
                )
            })
        })
    }
}

fn clone((kind, all): (&String, &Vec<Value>)) -> (String, Vec<Value>) {
    (kind.clone(), all.clone())
}

fn pod(pod: &Value, namespace: &str) -> Value {
    let meta = &pod["metadata"];
    let condition =
        |kind: &str| pod["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    let ready = condition("Ready");
    let mut out = json!({
        "id": identity(pod),
        "labels": meta["labels"],
        "annotations": meta["annotations"],
        "owners": owners(meta),
        "terminating": meta.get("deletionTimestamp").is_some(),
        "phase": pod["status"]["phase"],
        "ready": ready.map(|c| c["status"].clone()),
        "node": pod["spec"]["nodeName"],
        "containers": pod["spec"]["containers"].as_array().into_iter().flatten()
            .map(|c| json!([c["name"], c["image"]])).collect::<Vec<_>>(),
    });
    // The node, and its zone, which admission writes into the labels.
    localize(&mut out, namespace);
    // Most pods are never disrupted.
    if let Some(disrupted) = condition("DisruptionTarget").filter(|c| c["status"] == "True") {
        out["disrupted"] = disrupted["reason"].clone();
    }
    out
}

fn node(node: &Value, namespace: &str) -> Value {
    let list = |pointer: &str, fields: [&str; 3]| {
        let all = node.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let mut all: Vec<Value> =
            all.map(|one| fields.iter().map(|field| one[*field].clone()).collect::<Value>()).collect();
        all.sort_by_key(Value::to_string);
        all
    };
    let mut out = json!({
        "name": node["metadata"]["name"],
        "labels": node["metadata"]["labels"],
        "unschedulable": node["spec"]["unschedulable"],
        "taints": list("/spec/taints", ["key", "value", "effect"]),
        "conditions": list("/status/conditions", ["type", "status", "reason"]),
    });
    localize(&mut out, namespace);
    out
}

/// Without the namespace at the end of what a story has for itself: nodes and their zone.
fn localize(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_suffix(namespace).and_then(|name| name.strip_suffix('.')) {
                *text = name.to_owned();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|value| localize(value, namespace)),
        Value::Object(fields) => fields.values_mut().for_each(|value| localize(value, namespace)),
        _ => {}
    }
}

fn owners(meta: &Value) -> Vec<Value> {
    let all = meta["ownerReferences"].as_array().into_iter().flatten().cloned();
    all.map(|mut owner| {
        drop_keys(&mut owner, &["uid"]);
        owner
    })
    .collect()
}

fn controller(rc: &Value) -> Value {
    let mut status = rc["status"].clone();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        drop_keys(condition, &["lastTransitionTime"]);
        // It names a pod.
        if let Some(message) = condition.get_mut("message") {
            *message = generic(message.as_str().unwrap_or_default()).into();
        }
    }
    json!({"name": rc["metadata"]["name"], "labels": rc["metadata"]["labels"], "replicas": rc["spec"]["replicas"],
        "generation": rc["metadata"]["generation"], "status": status})
}

/// Labels, annotations without their times, owners.
fn meta(object: &Value) -> Map<String, Value> {
    let meta = &object["metadata"];
    let annotations: Map<String, Value> = meta["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let timed = key.ends_with(TRIGGER_TIME);
            (key.clone(), if timed { Value::from("a time") } else { value.clone() })
        })
        .collect();
    let mut out = Map::new();
    out.insert("labels".to_owned(), meta["labels"].clone());
    out.insert("annotations".to_owned(), annotations.into());
    out.insert("owners".to_owned(), owners(meta).into());
    out
}

fn endpoints(object: &Value, pods: &BTreeMap<&str, String>, namespace: &str) -> Value {
    let mut out = meta(object);
    out.insert("name".to_owned(), object["metadata"]["name"].clone());
    let mut subsets = object["subsets"].clone();
    rename(&mut subsets, pods);
    localize(&mut subsets, namespace);
    // Stock orders ports by their hash, ours by name: it says nothing.
    for subset in subsets.as_array_mut().into_iter().flatten() {
        if let Some(ports) = subset.get_mut("ports").and_then(Value::as_array_mut) {
            ports.sort_by_key(Value::to_string);
        }
    }
    out.insert("subsets".to_owned(), subsets);
    out.into()
}

fn slice(object: &Value, pods: &BTreeMap<&str, String>, namespace: &str) -> Value {
    let mut out = meta(object);
    let name = &object["metadata"]["generateName"];
    let name = if name.is_null() { &object["metadata"]["name"] } else { name };
    out.insert("name".to_owned(), name.clone());
    out.insert("addressType".to_owned(), object["addressType"].clone());
    for field in ["endpoints", "ports"] {
        // Their order says nothing.
        let mut all = object[field].clone();
        rename(&mut all, pods);
        localize(&mut all, namespace);
        if let Some(all) = all.as_array_mut() {
            all.sort_by_key(Value::to_string);
        }
        out.insert(field.to_owned(), all);
    }
    out.into()
}

/// Puts identities in the place of pods' names, and leaves UIDs and namespaces out.
fn rename(value: &mut Value, pods: &BTreeMap<&str, String>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|value| rename(value, pods)),
        Value::Object(fields) => {
            if fields.get("kind").is_some_and(|kind| kind == "Pod") {
                let id = fields.get("name").and_then(Value::as_str).and_then(|name| pods.get(name)).cloned();
                fields.insert("name".to_owned(), id.map_or(Value::from("a pod that is gone"), Value::from));
                fields.remove("uid");
                fields.remove("namespace");
            }
            fields.values_mut().for_each(|value| rename(value, pods));
        }
        _ => {}
    }
}

/// Without the random ends of names.
fn generic(text: &str) -> String {
    let word = |word: &str| match word.rsplit_once('-') {
        Some((stem, end)) if end.len() == 5 && end.chars().all(|c| ALPHABET.contains(c)) => format!("{stem}-?"),
        Some((stem, end))
            if end.len() == 6 && end.ends_with('"') && end.chars().take(5).all(|c| ALPHABET.contains(c)) =>
        {
            format!("{stem}-?\"")
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Without the namespace's name where it stands as a word: a random end of a name may hold its letters.
fn nowhere(text: &str, namespace: &str) -> String {
    let within_a_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(namespace).filter(|_| !namespace.is_empty()) {
        let (before, after) = (&rest[..at], &rest[at + namespace.len()..]);
        let part = within_a_word(before.chars().next_back().or(out.chars().next_back()))
            || within_a_word(after.chars().next());
        out.push_str(before);
        out.push_str(if part { namespace } else { "NAMESPACE" });
        rest = after;
    }
    out + rest
}

fn drop_keys(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_random_end() {
        assert_eq!(generic("Created pod: web-x2f9q"), "Created pod: web-?");
        assert_eq!(generic("Created pod: web-hello"), "Created pod: web-hello");
        assert_eq!(generic("pods \"web-x2f9q\" is forbidden"), "pods \"web-?\" is forbidden");
    }

    #[test]
    fn namespaces_lose_their_name_and_nothing_else_does() {
        let of_s7 = |text| nowhere(text, "s7");
        assert_eq!(
            of_s7("in s7/web: namespaces \"s7\" not found"),
            "in NAMESPACE/web: namespaces \"NAMESPACE\" not found"
        );
        assert_eq!(of_s7("rc-a-lwns7 s7x s7s7 x-s7"), "rc-a-lwns7 s7x s7s7 x-s7");
        assert_eq!(of_s7("s7"), "NAMESPACE");
        assert_eq!(generic("Created pod: rc-a-lwns7"), "Created pod: rc-a-?");
    }

    #[test]
    fn two_runs_of_the_same_look_the_same() {
        let run = |suffix: &str, uid: &str, namespace: &str| {
            let pod = json!({"metadata": {"name": format!("web-{suffix}"), "generateName": "web-", "uid": uid},
                "status": {"podIP": "10.1.0.1", "phase": "Running"}});
            let slice = json!({"metadata": {"name": format!("s-{suffix}"), "generateName": "s-"},
                "endpoints": [{"addresses": ["10.1.0.1"], "targetRef": {"kind": "Pod", "name": format!("web-{suffix}"), "uid": uid}}]});
            let event = json!({"message": format!("Created pod: web-{suffix} in {namespace}"), "count": 2,
                "source": {"component": "replication-controller"}});
            State::of(
                &BTreeMap::from([
                    ("pods".to_owned(), vec![pod]),
                    ("endpointslices".to_owned(), vec![slice]),
                    ("events".to_owned(), vec![event]),
                ]),
                namespace,
            )
        };
        let (one, other) = (run("bcdfg", "1", "s1"), run("xzwvt", "2", "s2"));
        assert_eq!(one, other);
        assert_eq!(one.difference(&other), None);
        let mut third = State::default();
        assert!(
            one.follows() && !third.follows() && !State(BTreeMap::from([("pods".to_owned(), Vec::new())])).follows()
        );
        third.apply(&one.since(&State::default()));
        assert_eq!((third.since(&one), third.clone()), (State::default(), one));
        third.0.insert("pods".to_owned(), Vec::new());
        assert!(third.difference(&other).unwrap().starts_with("pods: 0 here, 1 with stock"));
    }
}
