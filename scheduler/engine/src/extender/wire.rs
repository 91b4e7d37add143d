//! The JSON that goes over the wire: Go's field names, capitalised (`staging/src/k8s.io/kube-scheduler/extender/v1`).

use headroom_core::Str;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ExtenderAnswer, ExtenderCall, ExtenderRequest, MAX_ANSWER, NamedVictims, NodeVictims};

/// The body of a call. `pod` is the whole pod as the API server has it. When the extender does not keep a cache of its
/// own (`nodeCacheCapable: false`), `objects` are the whole nodes, or, for preemption, the whole victims, in any order.
#[must_use]
pub fn request_body(call: &ExtenderCall, pod: Value, objects: Option<Vec<Value>>) -> Value {
    match &call.request {
        ExtenderRequest::Preempt { nodes } => match objects {
            Some(pods) => {
                json!({"Pod": pod, "NodeNameToVictims": victims(nodes, &pods), "NodeNameToMetaVictims": null})
            }
            None => json!({"Pod": pod, "NodeNameToVictims": null, "NodeNameToMetaVictims": uids(nodes)}),
        },
        ExtenderRequest::Filter { nodes: names } | ExtenderRequest::Prioritize { nodes: names } => match objects {
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

fn uids(nodes: &[NodeVictims]) -> Map<String, Value> {
    let pods = |n: &NodeVictims| n.pods.iter().map(|(_, uid)| json!({"UID": uid.as_str()})).collect::<Vec<_>>();
    nodes.iter().map(|n| (n.node.to_string(), json!({"Pods": pods(n), "NumPDBViolations": n.violations}))).collect()
}

/// Victims that are gone are left out.
fn victims(nodes: &[NodeVictims], pods: &[Value]) -> Map<String, Value> {
    let uid = |pod: &Value| pod.pointer("/metadata/uid").and_then(Value::as_str).map(ToOwned::to_owned);
    let by_uid: hashbrown::HashMap<String, &Value> = pods.iter().filter_map(|pod| Some((uid(pod)?, pod))).collect();
    let pods = |n: &NodeVictims| n.pods.iter().filter_map(|(_, uid)| by_uid.get(uid.as_str()).copied()).collect();
    let of = |n: &NodeVictims| {
        let pods: Vec<&Value> = pods(n);
        (n.node.to_string(), json!({"Pods": pods, "NumPDBViolations": n.violations}))
    };
    nodes.iter().map(of).collect()
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
struct Preempt {
    nodenametometavictims: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Victims {
    pods: Option<Vec<Value>>,
    numpdbviolations: Option<i64>,
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
        ExtenderRequest::Preempt { .. } => {
            let nodes = fields::<Preempt>(value)?.nodenametometavictims.unwrap_or_default();
            ExtenderAnswer::Preempt(nodes.into_iter().map(named).collect::<Result<_, String>>()?)
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
        ExtenderAnswer::Preempt(nodes) => nodes.iter().map(|n| n.pods.len().max(1)).sum(),
        ExtenderAnswer::Bound => 0,
    };
    if size > MAX_ANSWER { Err(format!("the answer names more than {MAX_ANSWER} nodes or pods")) } else { Ok(answer) }
}

fn named((node, value): (String, Value)) -> Result<NamedVictims, String> {
    let victims: Victims = fields(value)?;
    let uid = |pod: Value| match lower(pod).remove("uid") {
        Some(Value::String(uid)) => Ok(Str::from(uid.as_str())),
        _ => Err(format!("a victim on node {node:?} has no UID")),
    };
    let pods = victims.pods.unwrap_or_default().into_iter().map(uid).collect::<Result<_, String>>()?;
    let violations = usize::try_from(victims.numpdbviolations.unwrap_or(0)).unwrap_or(0);
    Ok(NamedVictims { node: node.as_str().into(), pods, violations })
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
