//! Selectors, affinities, spread constraints and tolerations.

use serde_json::{Map, Value, json};

use super::{Rng, node};

/// Values of the label `app`.
pub(super) const APPS: [&str; 3] = ["a", "b", "c"];
const TOPOLOGIES: [&str; 3] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"];

pub(super) fn tolerations(rng: &mut Rng) -> Vec<Value> {
    let mut all = Vec::new();
    for (key, value, effect) in rng.some(&node::TAINTS, 25) {
        all.push(match rng.below(4) {
            0 => json!({"key": key, "operator": "Exists"}),
            1 => json!({"key": key, "operator": "Exists", "effect": effect}),
            2 => json!({"key": key, "operator": "Equal", "value": value}),
            _ => json!({"key": key, "operator": "Equal", "value": value, "effect": effect}),
        });
    }
    if rng.percent(6) {
        all.push(json!({"operator": "Exists"}));
    }
    if rng.percent(10) {
        all.push(json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}));
    }
    all
}

fn node_expression(rng: &mut Rng) -> Value {
    match rng.below(7) {
        0 => json!({"key": "disk", "operator": "In", "values": ["ssd"]}),
        1 => json!({"key": "disk", "operator": "NotIn", "values": ["ssd", "nvme"]}),
        2 => json!({"key": rng.pick(&["disk", "cores"]), "operator": "Exists"}),
        3 => json!({"key": rng.pick(&["disk", "cores", "topology.kubernetes.io/zone"]), "operator": "DoesNotExist"}),
        4 => json!({"key": "cores", "operator": rng.pick(&["Gt", "Lt"]), "values": [rng.pick(&["1", "2", "9"])]}),
        _ => {
            json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": [rng.pick(&["z0", "z1"]), "z2"]})
        }
    }
}

fn node_term(rng: &mut Rng, nodes: usize, fields: usize) -> Value {
    let mut term = Map::new();
    if rng.percent(fields) {
        let name = node::name(rng.below(nodes + 1));
        let operator = if rng.percent(80) { "In" } else { "NotIn" };
        term.insert(
            "matchFields".to_owned(),
            json!([{"key": "metadata.name", "operator": operator, "values": [name]}]),
        );
    }
    if term.is_empty() || rng.percent(40) {
        let expressions: Vec<Value> = (0..rng.pick(&[1, 1, 2])).map(|_| node_expression(rng)).collect();
        term.insert("matchExpressions".to_owned(), expressions.into());
    }
    term.into()
}

pub(super) fn node_affinity(rng: &mut Rng, nodes: usize) -> Value {
    let mut affinity = Map::new();
    if rng.percent(50) {
        let fields = if rng.percent(25) { 100 } else { 0 };
        let terms: Vec<Value> = (0..rng.pick(&[1, 1, 2])).map(|_| node_term(rng, nodes, fields)).collect();
        affinity
            .insert("requiredDuringSchedulingIgnoredDuringExecution".to_owned(), json!({"nodeSelectorTerms": terms}));
    }
    if affinity.is_empty() || rng.percent(40) {
        let terms: Vec<Value> = (0..rng.between(1, 3))
            .map(|_| json!({"weight": rng.pick(&[1, 10, 33, 100]), "preference": node_term(rng, nodes, 10)}))
            .collect();
        affinity.insert("preferredDuringSchedulingIgnoredDuringExecution".to_owned(), terms.into());
    }
    affinity.into()
}

/// Never an empty one: stock counts no pods with it, which is a defect (kubernetes#141340).
fn selector(rng: &mut Rng) -> Value {
    match rng.below(5) {
        0 => {
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [rng.pick(&APPS), rng.pick(&APPS)]}]})
        }
        1 => json!({"matchExpressions": [{"key": "tier", "operator": rng.pick(&["Exists", "DoesNotExist"])}]}),
        _ => json!({"matchLabels": {"app": rng.pick(&APPS)}}),
    }
}

fn pod_term(rng: &mut Rng) -> Value {
    let mut term = json!({"topologyKey": rng.pick(&TOPOLOGIES), "labelSelector": selector(rng)});
    match rng.below(10) {
        0 => term["namespaces"] = json!([rng.pick(&["default", "blue"]), "red"]),
        1 => term["namespaceSelector"] = json!({}),
        2 => term["namespaceSelector"] = json!({"matchLabels": {"team": rng.pick(&["blue", "red"])}}),
        3 => {
            term["labelSelector"] = json!({"matchLabels": {"app": rng.pick(&APPS)}});
            term["matchLabelKeys"] = json!(["tier"]);
        }
        _ => {}
    }
    term
}

/// Terms of one kind (affinity or anti-affinity).
pub(super) fn pod_affinity(rng: &mut Rng, required: usize) -> Value {
    let mut affinity = Map::new();
    if rng.percent(required) {
        let terms: Vec<Value> = (0..rng.pick(&[1, 1, 1, 2])).map(|_| pod_term(rng)).collect();
        affinity.insert("requiredDuringSchedulingIgnoredDuringExecution".to_owned(), terms.into());
    }
    if affinity.is_empty() || rng.percent(30) {
        let terms: Vec<Value> = (0..rng.pick(&[1, 1, 2]))
            .map(|_| json!({"weight": rng.pick(&[1, 20, 77, 100]), "podAffinityTerm": pod_term(rng)}))
            .collect();
        affinity.insert("preferredDuringSchedulingIgnoredDuringExecution".to_owned(), terms.into());
    }
    affinity.into()
}

pub(super) fn spread(rng: &mut Rng) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..rng.pick(&[1, 1, 1, 2]) {
        let key = rng.pick(&TOPOLOGIES);
        let hard = rng.percent(55);
        let when = if hard { "DoNotSchedule" } else { "ScheduleAnyway" };
        // The API server takes a pair of key and action once.
        if all.iter().any(|c| c["topologyKey"] == key && c["whenUnsatisfiable"] == when) {
            continue;
        }
        let mut constraint = json!({"maxSkew": rng.pick(&[1, 1, 2, 3]), "topologyKey": key, "whenUnsatisfiable": when,
            "labelSelector": selector(rng)});
        if hard && rng.percent(20) {
            constraint["minDomains"] = json!(rng.between(1, 4));
        }
        if rng.percent(20) {
            constraint["nodeAffinityPolicy"] = json!(rng.pick(&["Honor", "Ignore"]));
        }
        if rng.percent(25) {
            constraint["nodeTaintsPolicy"] = json!(rng.pick(&["Honor", "Ignore"]));
        }
        if rng.percent(10) {
            constraint["labelSelector"] = json!({"matchLabels": {"app": rng.pick(&APPS)}});
            constraint["matchLabelKeys"] = json!(["tier"]);
        }
        all.push(constraint);
    }
    all
}
