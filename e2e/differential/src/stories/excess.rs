//! Pods too many: whether a ReplicationController was ever given more pods than it may have asked for, from what a watch
//! told about it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

/// A pod that was made although there were enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// The controller: namespace and name.
    pub controller: String,
    /// How many live pods it had with this one.
    pub pods: usize,
    /// How many it may have been asking for.
    pub asked: u64,
    /// The pod, and when it was made.
    pub pod: String,
}

#[derive(Debug)]
enum Sight {
    Controller { uid: String, key: String, replicas: u64, generation: u64, observed: u64 },
    Pod { uid: String, name: String, owner: String, live: bool },
}

/// What was seen, with the version at which it came to be.
#[derive(Debug, Default)]
pub(super) struct Ledger(Vec<(u64, Sight)>);

/// A controller as far as it was followed.
#[derive(Debug, Default)]
struct Controller {
    key: String,
    /// What it asked for, by generation, from the one that its manager has observed on.
    asked: BTreeMap<u64, u64>,
    live: HashSet<String>,
}

impl Ledger {
    /// Notes an object that was made, changed (`there`) or deleted.
    pub(super) fn note(&mut self, kind: &str, object: &Value, there: bool) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let version = version(object);
        let uid = text("/metadata/uid").to_owned();
        match kind {
            "replicationcontrollers" if there => {
                let key = format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"));
                let (replicas, generation) = (number("/spec/replicas"), number("/metadata/generation"));
                let observed = number("/status/observedGeneration");
                self.0.push((version, Sight::Controller { uid, key, replicas, generation, observed }));
            }
            "pods" => {
                let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
                let owner = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
                let owner = owner.and_then(|owner| owner["uid"].as_str()).unwrap_or_default().to_owned();
                let ended = matches!(text("/status/phase"), "Succeeded" | "Failed");
                let live = there && !ended && object.pointer("/metadata/deletionTimestamp").is_none();
                let name = format!("{}, made at {}", text("/metadata/name"), text("/metadata/creationTimestamp"));
                self.0.push((version, Sight::Pod { uid, name, owner, live }));
            }
            _ => {}
        }
    }

    /// How many pods were seen that somebody made for a controller.
    pub(super) fn made(&self) -> usize {
        let owned = |(_, sight): &(u64, Sight)| match sight {
            Sight::Pod { uid, owner, .. } if !owner.is_empty() => Some(uid.clone()),
            _ => None,
        };
        self.0.iter().filter_map(owned).collect::<HashSet<_>>().len()
    }

    /// All that was too many, in order.
    pub(super) fn excess(&self) -> Vec<Excess> {
        let mut sights: Vec<&(u64, Sight)> = self.0.iter().collect();
        // Two watches, one order: all versions are of one store.
        sights.sort_by_key(|(version, _)| *version);
        let mut controllers: HashMap<&str, Controller> = HashMap::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut found = Vec::new();
        for (_, sight) in sights {
            match sight {
                Sight::Controller { uid, key, replicas, generation, observed } => {
                    let controller = controllers.entry(uid).or_default();
                    controller.key.clone_from(key);
                    controller.asked.insert(*generation, *replicas);
                    controller.asked.retain(|generation, _| generation >= observed);
                }
                Sight::Pod { uid, name, owner, live } => {
                    let first = seen.insert(uid);
                    for (_, controller) in controllers.iter_mut().filter(|(of, _)| **of != owner.as_str()) {
                        controller.live.remove(uid);
                    }
                    let Some(controller) = controllers.get_mut(owner.as_str()) else { continue };
                    if !live {
                        controller.live.remove(uid);
                    } else if controller.live.insert(uid.clone()) && first {
                        let asked = controller.asked.values().max().copied().unwrap_or(0);
                        let pods = controller.live.len();
                        if pods as u64 > asked {
                            let controller = controller.key.clone();
                            found.push(Excess { controller, pods, asked, pod: name.clone() });
                        }
                    }
                }
            }
        }
        found
    }
}

/// The version of an object.
pub(super) fn version(object: &Value) -> u64 {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rc(version: u64, replicas: u64, generation: u64, observed: u64) -> Value {
        json!({"metadata": {"name": "web", "namespace": "a", "uid": "rc", "generation": generation,
            "resourceVersion": version.to_string()}, "spec": {"replicas": replicas},
            "status": {"observedGeneration": observed}})
    }

    fn pod(version: u64, uid: &str, owner: &str) -> Value {
        json!({"metadata": {"name": uid, "uid": uid, "resourceVersion": version.to_string(),
            "ownerReferences": if owner.is_empty() { json!([]) } else { json!([{"uid": owner, "controller": true}]) }}})
    }

    fn excess(sights: &[(&str, Value)]) -> Vec<(usize, u64)> {
        let mut ledger = Ledger::default();
        sights.iter().for_each(|(kind, object)| ledger.note(kind, object, true));
        ledger.excess().into_iter().map(|excess| (excess.pods, excess.asked)).collect()
    }

    const RCS: &str = "replicationcontrollers";

    #[test]
    fn a_pod_too_many_is_found_whatever_the_order_in_which_it_is_heard_of() {
        let sights =
            [("pods", pod(4, "y", "rc")), ("pods", pod(3, "x", "rc")), (RCS, rc(1, 1, 1, 0)), (RCS, rc(5, 2, 2, 1))];
        assert_eq!(excess(&sights), [(2, 1)]);
    }

    #[test]
    fn what_the_manager_may_not_have_seen_yet_counts() {
        // Scaled down from 2 to 1, and the status says that only the first was seen.
        let before = [(RCS, rc(1, 2, 1, 1)), (RCS, rc(2, 1, 2, 1)), ("pods", pod(3, "x", "rc"))];
        let second = ("pods", pod(5, "y", "rc"));
        assert_eq!(excess(&[&before[..], std::slice::from_ref(&second)].concat()), []);
        let seen = (RCS, rc(4, 1, 2, 2));
        assert_eq!(excess(&[&before[..], &[seen, second]].concat()), [(2, 1)]);
    }

    #[test]
    fn adopted_pods_are_nobodys_fault_and_ended_or_released_ones_do_not_count() {
        let controller = (RCS, rc(1, 1, 1, 1));
        let orphan = [("pods", pod(2, "x", "")), ("pods", pod(3, "y", "rc")), ("pods", pod(4, "x", "rc"))];
        assert_eq!(excess(&[std::slice::from_ref(&controller), &orphan[..]].concat()), []);
        let released = [("pods", pod(2, "x", "rc")), ("pods", pod(3, "x", "")), ("pods", pod(4, "y", "rc"))];
        assert_eq!(excess(&[std::slice::from_ref(&controller), &released[..]].concat()), []);
        let mut ended = pod(3, "x", "rc");
        ended["status"]["phase"] = "Failed".into();
        let ended = [("pods", pod(2, "x", "rc")), ("pods", ended), ("pods", pod(4, "y", "rc"))];
        assert_eq!(excess(&[std::slice::from_ref(&controller), &ended[..]].concat()), []);
    }
}
