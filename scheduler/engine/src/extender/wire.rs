//! The JSON that goes over the wire: Go's field names, capitalised (`staging/src/k8s.io/kube-scheduler/extender/v1`).

use headroom_core::Str;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ExtenderAnswer, ExtenderCall, ExtenderRequest, MAX_ANSWER};

/// The body of a call. `pod` is the whole pod as the API server has it; `nodes` the whole nodes, when the extender does
/// not keep a cache of its own (`nodeCacheCapable: false`).
#[must_use]
pub fn request_body(call: &ExtenderCall, pod: Value, nodes: Option<Vec<Value>>) -> Value {
    match &call.request {
        ExtenderRequest::Filter { nodes: names } | ExtenderRequest::Prioritize { nodes: names } => match nodes {
            Some(items) => json!({"Pod": pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": null}),
            None => json!({"Pod": pod, "Nodes": null, "NodeNames": names.iter().map(Str::as_str).collect::<Vec<_>>()}),
        },
        ExtenderRequest::Bind { node } => json!({
            "PodName": call.pod.name.as_str(),
            "PodNamespace": call.pod.namespace.as_str(),
            "PodUID": call.uid.as_str(),
            "Node": node.as_str(),
        }),
    }
}

/// Go's decoder takes field names in any case.
fn lower(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect(),
        _ => Map::new(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    nodes: Option<Value>,
    nodenames: Option<Vec<String>>,
    failednodes: Option<Map<String, Value>>,
    failedandunresolvablenodes: Option<Map<String, Value>>,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bind {
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Priority {
    host: String,
    score: i64,
}

fn fields<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_json::from_value(Value::Object(lower(value))).map_err(|e| format!("the answer is malformed: {e}"))
}

fn failures(map: Option<Map<String, Value>>) -> Vec<(Str, String)> {
    let reason = |value: Value| value.as_str().unwrap_or_default().to_owned();
    map.into_iter().flatten().map(|(node, why)| (Str::from(node.as_str()), reason(why))).collect()
}

fn refused(error: Option<String>) -> Result<(), String> {
    match error {
        Some(error) if !error.is_empty() => Err(error),
        _ => Ok(()),
    }
}

/// Reads an answer with status 200. `cached` as in the extender's `nodeCacheCapable`.
///
/// # Errors
/// What the extender says is wrong, or what is wrong with the answer.
pub fn decode(request: &ExtenderRequest, cached: bool, body: &[u8]) -> Result<ExtenderAnswer, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("the answer is not JSON: {e}"))?;
    let answer = match request {
        ExtenderRequest::Filter { .. } => {
            let answer: Filter = fields(value)?;
            refused(answer.error)?;
            let names = match (cached, answer.nodenames, answer.nodes) {
                (true, Some(names), _) => Some(names.iter().map(|n| Str::from(n.as_str())).collect()),
                (_, _, Some(list)) if !list.is_null() => Some(node_names(list)?),
                _ => None,
            };
            ExtenderAnswer::Filter {
                nodes: names,
                failed: failures(answer.failednodes),
                unresolvable: failures(answer.failedandunresolvablenodes),
            }
        }
        ExtenderRequest::Prioritize { .. } => {
            let list = match value {
                Value::Array(list) => list,
                Value::Null => Vec::new(),
                _ => return Err("the answer is no list of hosts and scores".to_owned()),
            };
            let scores = list.into_iter().map(|item| {
                let one: Priority = fields(item)?;
                Ok((Str::from(one.host.as_str()), one.score))
            });
            ExtenderAnswer::Prioritize(scores.collect::<Result<_, String>>()?)
        }
        ExtenderRequest::Bind { .. } => {
            refused(fields::<Bind>(value)?.error)?;
            ExtenderAnswer::Bound
        }
    };
    let size = match &answer {
        ExtenderAnswer::Filter { nodes, failed, unresolvable } => {
            nodes.as_ref().map_or(0, Vec::len).max(failed.len()).max(unresolvable.len())
        }
        ExtenderAnswer::Prioritize(scores) => scores.len(),
        ExtenderAnswer::Bound => 0,
    };
    if size > MAX_ANSWER { Err(format!("the answer names more than {MAX_ANSWER} nodes")) } else { Ok(answer) }
}

/// The names in a NodeList.
fn node_names(list: Value) -> Result<Vec<Str>, String> {
    let items = match lower(list).remove("items") {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    items
        .iter()
        .map(|node| node.pointer("/metadata/name").and_then(Value::as_str).map(Str::from))
        .collect::<Option<_>>()
        .ok_or_else(|| "a node in the answer has no name".to_owned())
}
