//! Small clusters from seeds: the same seed gives the same cluster.
//!
//! Sizes and names are drawn from short lists, so that pods and nodes meet: equal scores, equal labels, full nodes and
//! taken ports have to be common, not rare.

mod affinity;
mod node;
mod pod;
mod preemption;
mod rng;
mod storage;

use serde_json::Value;

pub use rng::Rng;

/// Most nodes of a cluster.
pub const MAX_NODES: usize = 8;

/// A cluster, before anything was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The seed.
    pub seed: u64,
    /// Volumes, claims, classes, CSI drivers of nodes, budgets.
    pub others: Vec<Value>,
    /// Nodes.
    pub nodes: Vec<Value>,
    /// Pods on nodes.
    pub pods: Vec<Value>,
    /// Pods that are to be placed, one after the other.
    pub pending: Vec<Value>,
}

/// Seeds from here on make clusters with volumes and claims.
pub const VOLUMES: u64 = 1_000_000;
/// Seeds from here on make clusters in which pods preempt others.
pub const PREEMPTION: u64 = 2_000_000;

/// The cluster of a seed.
#[must_use]
pub fn cluster(seed: u64) -> Cluster {
    let mut made = plain(seed);
    // Drawn apart, so that what a seed made before stays as it was.
    let rng = &mut Rng::new(!seed);
    if seed >= PREEMPTION {
        made.others = preemption::budgets(rng, seed);
        made.pods.iter_mut().enumerate().for_each(|(i, pod)| preemption::victim(rng, pod, i));
        preemption::one_pod_per_host_port(&mut made.pods);
        made.pending.iter_mut().for_each(|pod| preemption::preemptor(rng, pod));
    } else if seed >= VOLUMES {
        let storage = storage::storage(rng, seed, made.nodes.len());
        made.others = storage.objects;
        for pod in made.pods.iter_mut().chain(&mut made.pending) {
            // Claims are all in one namespace.
            pod["metadata"]["namespace"] = "default".into();
        }
        for pod in &mut made.pods {
            if rng.percent(60) {
                storage::attach(rng, pod, &storage.bound);
            }
        }
        // The last one alone: while its claim is not bound, its volume is spoken for, and no object says so.
        if let Some(last) = made.pending.last_mut() {
            storage::attach(rng, last, &storage.all);
        }
    }
    made
}

/// A cluster without volumes, in which nobody preempts.
fn plain(seed: u64) -> Cluster {
    let rng = &mut Rng::new(seed);
    let count = rng.pick(&[1, 2, 2, 2, 3, 3, 3, 4, 4, 5, MAX_NODES]);
    let nodes: Vec<Value> = (0..count).map(|i| node::node(rng, i)).collect();
    let flavour = pod::Flavour::of(rng);
    let crowd: &[usize] = if seed >= PREEMPTION { &[2, 3, 4, 5, 6, 8] } else { &[0, 0, 1, 1, 2, 2, 3, 5] };
    let existing = rng.pick(crowd);
    let pods = (0..existing).map(|i| pod::existing(rng, seed, i, count, &flavour)).collect();
    let pending = (0..rng.pick(&[1, 1, 1, 1, 2, 3])).map(|i| pod::pending(rng, seed, i, count, &flavour)).collect();
    Cluster { seed, others: Vec::new(), nodes, pods, pending }
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
        let seeds = (0..400).chain(VOLUMES..VOLUMES + 50).chain(PREEMPTION..PREEMPTION + 50);
        let all: String = seeds.map(|seed| format!("{:?}", cluster(seed))).collect();
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
            "PersistentVolumeClaim",
            "ReadWriteOncePod",
            "allowedTopologies",
            "CSINode",
            "PodDisruptionBudget",
            "startTime",
        ] {
            assert!(all.contains(feature), "{feature}");
        }
    }
}
