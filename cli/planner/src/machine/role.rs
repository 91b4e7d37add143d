//! What new nodes of a role are like: what those that are there have in common, and the most that was measured of them.

use std::sync::Arc;

use headroom_core::{Str, object::Node, selector::Labels, taint::Taint};

use super::{ARCH, INSTANCE_TYPE, OLD_ARCH, OLD_INSTANCE_TYPE, ladder, overhead};
use crate::cluster::{CONTROL_PLANE_ROLES, Cluster, HOSTNAME, is_control_plane};

/// What new nodes of a role have in common with those that are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// Whether it runs the control plane.
    pub control_plane: bool,
    /// Labels that all nodes of the role have, their names, types and architectures apart.
    pub labels: Labels,
    /// Whether all of them have the old label of their architecture as well.
    pub old_arch: bool,
    /// Taints that all of them have.
    pub taints: Vec<Taint>,
    /// The most that was measured of the system, bytes.
    pub overhead: Option<i64>,
    /// Hard eviction thresholds that are known of kubelets, each with the RAM of its node, bytes.
    pub evictions: Vec<(i64, i64)>,
    /// The least part of its RAM that a kubelet gives to pods, per thousand.
    pub allocatable_per_mille: i64,
    /// Most pods, when the kubelets agree.
    pub pods: Option<i64>,
    /// Version of the kubelets: it decides the eviction threshold.
    pub kubelet_version: Str,
}

impl Role {
    /// The role as the nodes of the cluster have it. A cluster without workers lends what is common to all its nodes.
    #[must_use]
    pub fn of(cluster: &Cluster, control_plane: bool) -> Self {
        let all = || cluster.nodes.values();
        let mut nodes: Vec<&Arc<Node>> = all().filter(|node| is_control_plane(node) == control_plane).collect();
        let lent = nodes.is_empty();
        if lent {
            nodes = all().collect();
        }
        let mut this = Self { control_plane, allocatable_per_mille: 1000, ..Self::default() };
        let Some(first) = nodes.first() else { return this };
        let own = |key: &str| {
            key == HOSTNAME
                || key == INSTANCE_TYPE
                || key == OLD_INSTANCE_TYPE
                || key == ARCH
                || key == OLD_ARCH
                || (lent || !control_plane) && CONTROL_PLANE_ROLES.contains(&key)
        };
        let common = |key: &Str, value: &Str| nodes.iter().all(|node| node.meta.labels.get(key) == Some(value));
        let labels = first.meta.labels.iter().filter(|(key, value)| !own(key) && common(key, value));
        this.labels = Labels::new(labels.map(|(key, value)| (key.clone(), value.clone())).collect());
        this.old_arch = nodes.iter().all(|node| node.meta.labels.has(OLD_ARCH));
        if control_plane && !CONTROL_PLANE_ROLES.iter().any(|role| this.labels.has(role)) {
            this.labels = this.labels.with(CONTROL_PLANE_ROLES[0], "true");
        }
        if !lent {
            let taints = first.taints.iter().filter(|taint| lasting(taint));
            let everywhere = |taint: &&Taint| nodes.iter().all(|n| n.taints.iter().any(|t| t.matches(taint)));
            this.taints = taints.filter(everywhere).cloned().collect();
            let measured = |node: &&&Arc<Node>| {
                let sample = cluster.samples.get(node.name()).map(|sample| &**sample);
                Some(overhead(node, sample)).filter(|(_, measured)| *measured).map(|(bytes, _)| bytes)
            };
            this.overhead = nodes.iter().filter_map(|node| measured(&node)).max();
        }
        let threshold = |node: &&Arc<Node>| {
            let bytes = cluster.samples.get(node.name())?.eviction_hard?;
            Some((bytes, node.capacity.memory))
        };
        this.evictions = nodes.iter().filter_map(threshold).collect();
        let part = |node: &&Arc<Node>| {
            let (all, given) = (node.capacity.memory, node.allocatable.memory);
            if all <= 0 { 1000 } else { (i128::from(given) * 1000 / i128::from(all)).clamp(0, 1000) as i64 }
        };
        this.allocatable_per_mille = nodes.iter().map(part).min().unwrap_or(1000);
        let pods = first.allocatable.pods;
        this.pods = Some(pods).filter(|pods| *pods > 0 && nodes.iter().all(|node| node.allocatable.pods == *pods));
        this.kubelet_version = first.kubelet_version.clone();
        this
    }

    /// What the system would take on a machine of this much RAM.
    #[must_use]
    pub fn overhead_on(&self, memory: i64) -> i64 {
        self.overhead.unwrap_or_else(|| ladder(memory, self.control_plane))
    }

    /// The hard eviction threshold on a machine of this much RAM, as far as kubelets tell theirs: the one that all have;
    /// where they differ it is taken for a percentage, and the highest counts.
    #[must_use]
    pub fn eviction_on(&self, memory: i64) -> Option<i64> {
        let (first, _) = *self.evictions.first()?;
        if self.evictions.iter().all(|(bytes, _)| *bytes == first) {
            return Some(first);
        }
        let part = |(bytes, ram): &(i64, i64)| i128::from(*bytes) * i128::from(memory) / i128::from((*ram).max(1));
        let most = self.evictions.iter().map(part).max()?;
        Some(i64::try_from(most).unwrap_or(i64::MAX))
    }
}

/// Whether a taint says what a node is for, and not how it is.
pub(super) fn lasting(taint: &Taint) -> bool {
    let passing = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "headroom.dev/"];
    !passing.iter().any(|prefix| taint.key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        memory::MIB,
        object::{Meta, NodeHeadroom, ObjectKey},
        testing::node,
    };
    use headroom_engine::Input;

    use super::*;
    use crate::world::Scheduler;

    /// What a machine of 2000 MiB would have where workers of 1000 and of 4000 MiB tell these, MiB.
    fn threshold(of: [Option<i64>; 2]) -> Option<i64> {
        let mut inputs = Vec::new();
        for ((name, memory), mib) in [("a", "1000Mi"), ("b", "4000Mi")].into_iter().zip(of) {
            inputs.push(Input::NodeApplied(node(name).capacity("1", memory, 30).arc()));
            inputs.push(Input::SampleApplied(Arc::new(NodeHeadroom {
                meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
                eviction_hard: mib.map(|mib| mib * MIB),
                ..NodeHeadroom::default()
            })));
        }
        let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
        Role::of(&cluster, false).eviction_on(2000 * MIB).map(|bytes| bytes / MIB)
    }

    #[test]
    fn the_eviction_threshold_is_that_of_its_kubelets() {
        assert_eq!(threshold([None, None]), None, "the version decides");
        assert_eq!((threshold([Some(0), Some(0)]), threshold([Some(300), Some(300)])), (Some(0), Some(300)));
        assert_eq!((threshold([Some(50), Some(200)]), threshold([Some(100), None])), (Some(100), Some(100)));
    }
}
