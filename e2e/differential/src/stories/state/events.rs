//! What was said: events by their text, without what differs between two runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{generic, nowhere};

/// Who says what becomes of nodes, and of the pods on them.
const ABOUT_NODES: [&str; 2] = ["node-controller", "taint-eviction-controller"];

/// Events by what they say, with how often they said it.
pub(super) fn of(objects: &[Value], namespace: &str) -> Vec<Value> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    // The API server tells of its own work too, under no component.
    for event in objects.iter().filter(|event| !event["source"]["component"].is_null()) {
        let regarding = &event["involvedObject"];
        let text = |value: &Value| nowhere(&generic(value.as_str().unwrap_or_default()), namespace);
        let said = json!({
            "type": event["type"], "reason": event["reason"], "message": text(&event["message"]),
            "source": event["source"]["component"], "kind": regarding["kind"], "name": text(&regarding["name"]),
        });
        *counts.entry(said.to_string()).or_default() += event["count"].as_u64().unwrap_or(1);
    }
    counts.into_iter().map(|(said, count)| json!([said, count])).collect()
}

/// Of events, what the loops about nodes said. How often they said it is a matter of time.
pub(super) fn about_nodes(events: &[Value]) -> Vec<Value> {
    let source = |said: &str| Some(serde_json::from_str::<Value>(said).ok()?["source"].as_str()?.to_owned());
    let is_about_nodes = |said: &str| source(said).is_some_and(|source| ABOUT_NODES.contains(&source.as_str()));
    let said = events.iter().filter_map(|event| event[0].as_str());
    said.filter(|said| is_about_nodes(said)).map(Value::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stories::{Rigour, State};

    #[test]
    fn of_nodes_it_counts_what_was_said_and_not_how_often() {
        let said = |source: &str, times: u64, namespace: &str| {
            let node = json!({"kind": "Node", "name": format!("a.{namespace}")});
            json!({"message": format!("Node a.{namespace} is gone"), "count": times, "involvedObject": node,
                "source": {"component": source}})
        };
        let run = |times: u64, namespace: &str| {
            let events = vec![said("node-controller", times, namespace), said("replication-controller", 1, namespace)];
            let mut state = State::of(&BTreeMap::from([("events".to_owned(), events)]), namespace);
            state.reduce(Rigour::Said);
            state
        };
        let mut state = run(1, "s1");
        assert_eq!(state, run(3, "s2"));
        let all = &state.0["events"];
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].as_str().unwrap().contains("Node a.NAMESPACE is gone"), "{all:?}");
        assert!(state.has("events"));
        state.reduce(Rigour::Objects);
        assert!(!state.has("events"));
    }
}
