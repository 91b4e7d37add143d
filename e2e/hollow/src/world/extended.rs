//! Extended resources that somebody else wrote into a node's status: as a kubelet does, a hollow one makes them
//! allocatable, and counts them when it admits pods.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::World;
use crate::config::NodeClass;
use crate::pod::Amounts;
use crate::time::Millis;
use crate::wire::NodeWire;

/// Extended resources of the node's object that its class does not have, as they are written there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    capacity: BTreeMap<String, String>,
    allocatable: BTreeMap<String, String>,
}

impl Extended {
    fn of(node: &NodeWire, class: &NodeClass) -> Self {
        let foreign = |list: &Option<BTreeMap<String, String>>| {
            let entries = list.iter().flatten();
            let foreign = entries.filter(|(name, _)| is_extended(name) && !class.resources.contains_key(*name));
            foreign.map(|(name, quantity)| (name.clone(), quantity.clone())).collect()
        };
        Self { capacity: foreign(&node.status.capacity), allocatable: foreign(&node.status.allocatable) }
    }

    /// What has to change in `status.allocatable`: all of the capacity can be allocated, and nothing else.
    pub(super) fn correction(&self) -> Option<Value> {
        let added = self.capacity.iter().filter(|(name, quantity)| self.allocatable.get(*name) != Some(quantity));
        let gone = self.allocatable.keys().filter(|name| !self.capacity.contains_key(*name));
        let mut patch: Map<String, Value> =
            added.map(|(name, quantity)| (name.clone(), quantity.clone().into())).collect();
        patch.extend(gone.map(|name| (name.clone(), Value::Null)));
        (!patch.is_empty()).then_some(Value::Object(patch))
    }

    /// Adds what pods may have of it.
    pub(super) fn add_to(&self, all: &mut Amounts) {
        for (name, quantity) in &self.capacity {
            all.set(name, quantity);
        }
    }
}

/// Whether a resource is neither built in nor reserved for Kubernetes.
pub(super) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

impl World {
    /// A node's object was seen.
    pub(crate) fn observe_node(&mut self, wire: &NodeWire, now: Millis) {
        let Some(&index) = wire.metadata.name.as_deref().and_then(|name| self.names.get(name)) else { return };
        let Some(node) = self.nodes.get_mut(index) else { return };
        let extended = Extended::of(wire, &node.class);
        if extended == node.extended {
            return;
        }
        node.extended = extended;
        if node.extended.correction().is_some() {
            self.report_status(index, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extended(status: &Value) -> Extended {
        let class = NodeClass { resources: [("example.com/own".to_owned(), 2)].into(), ..NodeClass::default() };
        Extended::of(&serde_json::from_value(json!({"status": status})).unwrap(), &class)
    }

    #[test]
    fn only_extended_resources_of_others_count() {
        let status = json!({"capacity": {
            "cpu": "2", "example.com/own": "2", "hugepages-2Mi": "0", "kubernetes.io/x": "1", "example.com/fake": "1k",
        }});
        let mut all = Amounts::default();
        extended(&status).add_to(&mut all);
        assert_eq!(all.0, BTreeMap::from([("example.com/fake".to_owned(), 1000)]));
    }

    #[test]
    fn the_whole_capacity_becomes_allocatable_and_nothing_else() {
        let right = json!({"capacity": {"example.com/a": "5"}, "allocatable": {"example.com/a": "5", "cpu": "1"}});
        assert_eq!(extended(&right).correction(), None);
        let wrong = json!({
            "capacity": {"example.com/a": "5", "example.com/b": "1"},
            "allocatable": {"example.com/b": "2", "example.com/c": "3"},
        });
        let expected = json!({"example.com/a": "5", "example.com/b": "1", "example.com/c": null});
        assert_eq!(extended(&wrong).correction(), Some(expected));
    }
}
