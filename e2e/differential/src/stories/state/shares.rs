//! What is left of slices when it is chance which endpoint is hinted to another zone, and of events when it is chance how
//! often something was looked at.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Of all kinds.
pub(super) fn of(state: &BTreeMap<String, Vec<Value>>) -> BTreeMap<String, Vec<Value>> {
    let reduced = |(kind, objects): (&String, &Vec<Value>)| {
        let mut objects = objects.clone();
        if kind == "endpointslices" {
            objects.iter_mut().for_each(count);
            objects.sort_by_cached_key(Value::to_string);
        }
        (kind.clone(), objects)
    };
    state.iter().map(reduced).collect()
}

/// Puts numbers in the place of a slice's endpoints: how many of each zone are hinted to which.
fn count(slice: &mut Value) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
        let alike = json!([endpoint["zone"], endpoint["conditions"]["ready"], endpoint["hints"]]);
        *counts.entry(alike.to_string()).or_default() += 1;
    }
    slice["endpoints"] = counts.into_iter().map(|(alike, count)| json!([alike, count])).collect();
}

/// What events say, without how often.
pub(super) fn said(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event[0].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_whichever_endpoint_of_a_zone_is_hinted_elsewhere() {
        let endpoint = |address: &str, zone: &str, hint: &str| {
            json!({"addresses": [address], "zone": zone, "conditions": {"ready": true},
                "hints": {"forZones": [{"name": hint}]}})
        };
        let state = |endpoints: &[Value]| {
            let slices = vec![json!({"addressType": "IPv4", "endpoints": endpoints})];
            of(&BTreeMap::from([("endpointslices".to_owned(), slices), ("pods".to_owned(), vec![json!("x")])]))
        };
        let one = state(&[endpoint("a", "z1", "z1"), endpoint("b", "z1", "z2")]);
        assert_eq!(one, state(&[endpoint("a", "z1", "z2"), endpoint("b", "z1", "z1")]));
        assert_ne!(one, state(&[endpoint("a", "z1", "z2"), endpoint("b", "z1", "z2")]));
        assert_ne!(one, state(&[endpoint("a", "z1", "z1"), endpoint("b", "z2", "z2")]));
        assert_eq!(one["pods"], [json!("x")]);
        assert_eq!(said(&[json!(["this", 3]), json!(["that", 1])]), [json!("this"), json!("that")]);
    }
}
