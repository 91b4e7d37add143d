//! How many there are of each kind: what is left of a state when it is chance who stands where.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Begin of the labels with which admission tells a pod where its node is.
const PLACE: &str = "topology.kubernetes.io/";

/// Of all kinds.
pub(super) fn of(state: &BTreeMap<String, Vec<Value>>) -> BTreeMap<String, Vec<Value>> {
    let reduced = |(kind, objects): (&String, &Vec<Value>)| {
        let mut sizes = match kind.as_str() {
            "pods" => pods(objects),
            "endpoints" => objects.iter().map(endpoints).collect(),
            "endpointslices" => slices(objects),
            _ => objects.clone(),
        };
        sizes.sort_by_cached_key(Value::to_string);
        (kind.clone(), sizes)
    };
    state.iter().map(reduced).collect()
}

fn length(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// Pods that look alike are counted. On which nodes those are that were chosen by their slice is chance.
fn pods(all: &[Value]) -> Vec<Value> {
    let alike = |pod: &Value| {
        let labels = pod["labels"].as_object().into_iter().flatten().filter(|(key, _)| !key.starts_with(PLACE));
        let labels: Map<String, Value> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        json!([labels, pod["phase"], pod["ready"], pod["terminating"]]).to_string()
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in all {
        *counts.entry(alike(pod)).or_default() += 1;
    }
    counts.into_iter().map(|(looks, count)| json!([looks, count])).collect()
}

fn endpoints(object: &Value) -> Value {
    let mut out = object.clone();
    let Some(subsets) = out["subsets"].as_array_mut() else { return out };
    for subset in &mut *subsets {
        for list in ["addresses", "notReadyAddresses"] {
            subset[list] = length(&subset[list]).into();
        }
    }
    // Stock orders them by a hash of what is in them, UIDs of pods included.
    subsets.sort_by_cached_key(Value::to_string);
    out
}

/// The size of each slice; and for each Service and family, how many endpoints are ready in all of them.
fn slices(all: &[Value]) -> Vec<Value> {
    let mut ready: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = Vec::with_capacity(all.len());
    for slice in all {
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        let service = json!([slice["labels"]["kubernetes.io/service-name"], slice["addressType"]]).to_string();
        *ready.entry(service).or_default() += endpoints.filter(|e| e["conditions"]["ready"] == true).count();
        let mut slice = slice.clone();
        slice["endpoints"] = length(&slice["endpoints"]).into();
        out.push(slice);
    }
    out.extend(ready.into_iter().map(|(service, count)| json!([service, count])));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_whoever_stands_in_which_slice() {
        let endpoint = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}});
        let labels = json!({"kubernetes.io/service-name": "svc"});
        let slice = |all: Vec<Value>| json!({"addressType": "IPv4", "labels": labels, "endpoints": all});
        let state = |slices: Vec<Value>, zone: &str, reversed: bool| {
            let labels = json!({"app": "a", "topology.kubernetes.io/zone": zone});
            let pods = slices.iter().map(|_| json!({"id": slices.len(), "labels": labels})).collect();
            let mut subsets = [json!({"addresses": slices, "ports": [{"port": 80}]}), json!({"ports": [{"port": 81}]})];
            if reversed {
                subsets.reverse();
            }
            of(&BTreeMap::from([
                ("pods".to_owned(), pods),
                ("endpoints".to_owned(), vec![json!({"name": "svc", "subsets": subsets})]),
                ("endpointslices".to_owned(), slices),
            ]))
        };
        let (a, b, c) = (endpoint("a", true), endpoint("b", false), endpoint("c", true));
        let one = state(vec![slice(vec![a.clone(), b.clone()]), slice(vec![c.clone()])], "z1", false);
        let other = state(vec![slice(vec![b.clone()]), slice(vec![c.clone(), a.clone()])], "z2", true);
        assert_eq!(one, other);
        let state = |slices: Vec<Value>| state(slices, "z1", false);
        assert_ne!(one, state(vec![slice(vec![a.clone(), b, c.clone()])]), "another size");
        assert_ne!(one, state(vec![slice(vec![a.clone(), a]), slice(vec![c])]), "another one is ready");
        let subsets = &one["endpoints"][0]["subsets"];
        let size = |at: usize| (subsets[at]["addresses"].as_u64(), subsets[at]["notReadyAddresses"].as_u64());
        assert_eq!((size(0), size(1)), ((Some(0), Some(0)), (Some(2), Some(0))));
        assert!(one["endpointslices"].contains(&json!(["[\"svc\",\"IPv4\"]", 2])));
    }
}
