//! Stories about Endpoints that users write, for Services without a selector.

use serde_json::{Value, json};

use super::{Rng, Step, ports};

const NAMES: [&str; 2] = ["ext1", "ext2"];
const ADDRESSES: [&str; 6] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.7", "fd00::1", "fd00::2"];

/// What happens to one or two Services and the Endpoints of their names.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    let (mut services, mut endpoints) = ([false; NAMES.len()], [false; NAMES.len()]);
    let length = rng.between(5, 10);
    let mut steps = Vec::new();
    while steps.len() < length {
        let at = rng.below(NAMES.len());
        let name = NAMES[at].to_owned();
        let patch = |kind: &str, patch: Value| Step::Patch(kind.to_owned(), name.clone(), patch);
        match (rng.below(10), services[at], endpoints[at]) {
            (0..=3, false, _) => {
                services[at] = true;
                steps.push(Step::Create(service(rng, &name)));
            }
            (0..=3, true, false) => {
                endpoints[at] = true;
                steps.push(Step::Create(object(rng, &name)));
            }
            (0..=3, true, true) => steps.push(patch("Endpoints", json!({"subsets": subsets(rng)}))),
            (4, _, true) => {
                let team = rng.pick(&["red", "green"]);
                steps.push(patch("Endpoints", json!({"metadata": {"labels": {"team": team}}})));
            }
            (5, _, true) => {
                steps.push(patch(
                    "Endpoints",
                    json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": rng.pick(&["false", "true"])}}}),
                ));
            }
            (6, _, true) => {
                endpoints[at] = false;
                steps.push(Step::Delete("Endpoints".to_owned(), name));
            }
            (7, true, _) => {
                services[at] = false;
                steps.push(Step::Delete("Service".to_owned(), name));
            }
            (8, _, true) => {
                let value = if rng.percent(50) { json!("x") } else { Value::Null };
                steps.push(patch("Endpoints", json!({"metadata": {"annotations": {"example.com/note": value}}})));
            }
            (9, _, false) => {
                endpoints[at] = true;
                steps.push(Step::Create(object(rng, &name)));
            }
            _ => {}
        }
    }
    steps
}

fn service(rng: &mut Rng, name: &str) -> Value {
    let mut spec = json!({"ports": ports(rng)});
    if rng.percent(30) {
        spec["clusterIP"] = "None".into();
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn object(rng: &mut Rng, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if rng.percent(40) {
        metadata["labels"] = json!({"team": "blue"});
    }
    if rng.percent(30) {
        metadata["annotations"] =
            json!({"example.com/note": "x", "endpoints.kubernetes.io/over-capacity": "truncated"});
    }
    json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets(rng)})
}

fn subsets(rng: &mut Rng) -> Value {
    let subset = |rng: &mut Rng| {
        let mut subset = json!({});
        for (field, chance) in [("addresses", 60), ("notReadyAddresses", 25)] {
            let all: Vec<Value> = rng.some(&ADDRESSES, chance).into_iter().map(|ip| address(rng, ip)).collect();
            if !all.is_empty() {
                subset[field] = all.into();
            }
        }
        if rng.percent(85) {
            let mut port = json!({"name": "web", "port": rng.pick(&[80, 8080])});
            if rng.percent(20) {
                port["appProtocol"] = "http".into();
            }
            subset["ports"] = json!([port]);
            if rng.percent(30) {
                subset["ports"] = json!([port, {"name": "dns", "port": 53, "protocol": "UDP"}]);
            }
        }
        subset
    };
    // A subset without addresses is refused.
    let all: Vec<Value> = (0..rng.pick(&[1, 1, 2])).map(|_| subset(rng)).collect();
    let some = |subset: &Value| subset.get("addresses").or(subset.get("notReadyAddresses")).is_some();
    all.into_iter().filter(some).collect::<Vec<_>>().into()
}

fn address(rng: &mut Rng, ip: &str) -> Value {
    let mut address = json!({"ip": ip});
    if rng.percent(20) {
        address["hostname"] = "host".into();
    }
    if rng.percent(20) {
        address["nodeName"] = "n1".into();
    }
    address
}
