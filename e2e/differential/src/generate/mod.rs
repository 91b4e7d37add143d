//! Small clusters from seeds: the same seed gives the same cluster.
//!
//! Sizes and names are drawn from short lists, so that pods and nodes meet: equal scores, equal labels, full nodes and
//! taken ports have to be common, not rare.

mod affinity;
mod node;
mod pod;
mod rng;

use serde_json::Value;

pub use rng::Rng;

/// Most nodes of a cluster.
pub const MAX_NODES: usize = 8;

/// A cluster, before anything was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: Vec<Value>,
    /// Pods on nodes.
    pub pods: Vec<Value>,
    /// Pods that are to be placed, one after the other.
    pub pending: Vec<Value>,
}

/// The cluster of a seed.
#[must_use]
pub fn cluster(seed: u64) -> Cluster {
    let rng = &mut Rng::new(seed);
    let count = rng.pick(&[1, 2, 2, 2, 3, 3, 3, 4, 4, 5, MAX_NODES]);
    let nodes: Vec<Value> = (0..count).map(|i| node::node(rng, i)).collect();
    let flavour = pod::Flavour::of(rng);
    let existing = rng.pick(&[0, 0, 1, 1, 2, 2, 3, 5]);
    let pods = (0..existing).map(|i| pod::existing(rng, seed, i, count, &flavour)).collect();
    let pending = (0..rng.pick(&[1, 1, 1, 1, 2, 3])).map(|i| pod::pending(rng, seed, i, count, &flavour)).collect();
    Cluster { seed, nodes, pods, pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_cluster() {
        assert_eq!(cluster(7), cluster(7));
        assert_ne!(cluster(7).nodes, cluster(8).nodes);
    }

    #[test]
    fn every_feature_turns_up() {
        let all: String = (0..400).map(|seed| format!("{:?}", cluster(seed))).collect();
        for feature in [
            "tolerations",
            "taints",
            "unschedulable",
            "nodeSelector",
            "matchFields",
            "preferredDuringScheduling",
            "hostPort",
            "hostIP",
            "podAffinity",
            "podAntiAffinity",
            "namespaceSelector",
            "topologySpreadConstraints",
            "minDomains",
            "nodeTaintsPolicy",
            "initContainers",
            "restartPolicy",
            "runtimeClassName",
            "images",
            "hugepages-2Mi",
            "example.com/gpu",
            "vendor.io/fpga",
            "ephemeral-storage",
            "priorityClassName",
            "ownerReferences",
            "schedulerName",
            "matchLabelKeys",
            "\"Gt\"",
            "\"DoesNotExist\"",
        ] {
            assert!(all.contains(feature), "{feature}");
        }
    }
}
