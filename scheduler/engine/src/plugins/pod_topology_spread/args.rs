//! `PodTopologySpreadArgs`: `defaultConstraints` in the API's own form.

use headroom_core::object::{NodeInclusion, TopologySpreadConstraint};
use serde::Deserialize;
use serde_json::Value;

use super::constraints::HOSTNAME;
use crate::{config::decode_args, framework::ArgsError, plugins::label_syntax::is_label_key};

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    default_constraints: Option<Vec<WireConstraint>>,
    defaulting_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireConstraint {
    #[serde(default)]
    max_skew: i32,
    #[serde(default)]
    topology_key: String,
    #[serde(default)]
    when_unsatisfiable: String,
    label_selector: Option<Value>,
    min_domains: Option<i32>,
    node_affinity_policy: Option<Inclusion>,
    node_taints_policy: Option<Inclusion>,
    #[serde(default)]
    match_label_keys: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Inclusion {
    Honor,
    Ignore,
}

impl From<Inclusion> for NodeInclusion {
    fn from(i: Inclusion) -> Self {
        match i {
            Inclusion::Honor => Self::Honor,
            Inclusion::Ignore => Self::Ignore,
        }
    }
}

/// The arguments with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Args {
    /// Constraints of pods that have none of their own; their selectors are deduced.
    pub(super) defaults: Box<[TopologySpreadConstraint]>,
    /// They are the built-in ones.
    pub(super) system: bool,
}

/// Hostname with a skew of 3 and zone with one of 5, both soft.
fn system() -> Box<[TopologySpreadConstraint]> {
    let soft = |key: &str, max_skew| TopologySpreadConstraint {
        max_skew,
        topology_key: key.into(),
        hard: false,
        selector: None,
        min_domains: 1,
        node_affinity: NodeInclusion::Honor,
        node_taints: NodeInclusion::Ignore,
        match_label_keys: Box::default(),
    };
    Box::new([soft(HOSTNAME, 3), soft("topology.kubernetes.io/zone", 5)])
}

fn constraint(path: &str, c: &WireConstraint) -> Result<TopologySpreadConstraint, ArgsError> {
    let bad = |field: &str, message: String| Err(ArgsError::at(format!("{path}.{field}"), message));
    if c.max_skew <= 0 {
        return bad("maxSkew", format!("{} is not allowed: must be at least 1", c.max_skew));
    }
    if !is_label_key(&c.topology_key) {
        return bad("topologyKey", format!("{:?} is not allowed: must be the key of a label", c.topology_key));
    }
    let hard = match c.when_unsatisfiable.as_str() {
        "DoNotSchedule" => true,
        "ScheduleAnyway" => false,
        other => {
            let message = format!("{other:?} is not allowed: must be DoNotSchedule or ScheduleAnyway");
            return bad("whenUnsatisfiable", message);
        }
    };
    if c.label_selector.as_ref().is_some_and(|s| !s.is_null()) {
        return bad("labelSelector", "must not be set: it is deduced for each pod".to_owned());
    }
    Ok(TopologySpreadConstraint {
        max_skew: c.max_skew,
        topology_key: c.topology_key.as_str().into(),
        hard,
        selector: None,
        min_domains: c.min_domains.unwrap_or(1),
        node_affinity: c.node_affinity_policy.map_or(NodeInclusion::Honor, Into::into),
        node_taints: c.node_taints_policy.map_or(NodeInclusion::Ignore, Into::into),
        match_label_keys: c.match_label_keys.iter().flatten().map(|k| k.as_str().into()).collect(),
    })
}

pub(super) fn decode(args: Option<&Value>) -> Result<Args, ArgsError> {
    let wire: Wire = decode_args(args, "PodTopologySpreadArgs")?;
    let given = wire.default_constraints.unwrap_or_default();
    match wire.defaulting_type.as_deref() {
        None | Some("" | "System") => {
            if !given.is_empty() {
                let message = "\"System\" is not allowed when defaultConstraints are given: must be \"List\"";
                return Err(ArgsError::at("defaultingType", message));
            }
            return Ok(Args { defaults: system(), system: true });
        }
        Some("List") => {}
        Some(other) => {
            return Err(ArgsError::at("defaultingType", format!("{other:?} is not allowed: must be System or List")));
        }
    }
    let mut defaults: Vec<TopologySpreadConstraint> = Vec::new();
    for (i, c) in given.iter().enumerate() {
        let path = format!("defaultConstraints[{i}]");
        let one = constraint(&path, c)?;
        if defaults.iter().any(|d| d.topology_key == one.topology_key && d.hard == one.hard) {
            let message = format!("{{{}, {}}} is there twice", c.topology_key, c.when_unsatisfiable);
            return Err(ArgsError::at(path, message));
        }
        defaults.push(one);
    }
    Ok(Args { defaults: defaults.into(), system: false })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_errors() {
        let system = decode(None).unwrap();
        assert_eq!((system.system, system.defaults.len(), system.defaults[1].max_skew), (true, 2, 5));
        assert_eq!(decode(Some(&json!({"defaultingType": "List"}))).unwrap().defaults.len(), 0);
        let one = |c: Value| decode(Some(&json!({"defaultingType": "List", "defaultConstraints": [c]})));
        let good = one(json!({"maxSkew": 2, "topologyKey": "a.b/c", "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor", "minDomains": 3}));
        let good = good.unwrap().defaults[0].clone();
        assert_eq!((good.hard, good.node_taints, good.min_domains), (true, NodeInclusion::Honor, 3));
        let valid = json!({"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "ScheduleAnyway"});
        for (field, value) in [
            ("maxSkew", json!(0)),
            ("topologyKey", json!("")),
            ("topologyKey", json!("a b")),
            ("topologyKey", json!("A.b/c")),
            ("topologyKey", json!("-a")),
            ("whenUnsatisfiable", json!("")),
            ("whenUnsatisfiable", json!("Maybe")),
            ("labelSelector", json!({})),
        ] {
            let mut c = valid.clone();
            c[field] = value.clone();
            let error = one(c).unwrap_err();
            assert_eq!(error.path, format!("defaultConstraints[0].{field}"), "{value}");
        }
        let mut c = valid.clone();
        c["nodeTaintsPolicy"] = "Perhaps".into();
        assert!(one(c).is_err());
        let twice = json!({"defaultingType": "List", "defaultConstraints": [valid, valid]});
        assert_eq!(decode(Some(&twice)).unwrap_err().path, "defaultConstraints[1]");
        let both = json!({"defaultConstraints": [valid]});
        assert_eq!(decode(Some(&both)).unwrap_err().path, "defaultingType");
        assert_eq!(decode(Some(&json!({"defaultingType": "All"}))).unwrap_err().path, "defaultingType");
        assert!(decode(Some(&json!({"defaultConstraint": []}))).is_err());
    }
}
