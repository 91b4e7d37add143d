//! Nodes that stay whatever would be cheaper, and why.

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::{Str, object::ObjectKey};

use super::Search;
use crate::cluster::{Bond, Cluster, bond};

/// Machines that no set does without, where they are more than may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMany {
    /// How many.
    pub machines: usize,
    /// Which: nodes with why they stay, servers of the control plane.
    pub which: Vec<String>,
}

/// The nodes that stay.
pub(super) struct Kept {
    /// Each with why it does.
    pub(super) nodes: BTreeMap<Str, String>,
    /// Pods that cannot leave their nodes.
    pub(super) immovable: Vec<(ObjectKey, String)>,
}

impl Kept {
    /// Those that somebody wants to stay, and those with pods that cannot leave.
    pub(super) fn of(cluster: &Cluster, keep: &BTreeSet<Str>) -> Self {
        let mut nodes: BTreeMap<Str, String> =
            keep.iter().map(|name| (name.clone(), "it is to stay".to_owned())).collect();
        let mut immovable = Vec::new();
        for pod in cluster.pods.iter().filter(|pod| bond(pod) == Bond::Free) {
            if let (Some(why), Some(node)) = (cluster.immovable(pod), &pod.node_name) {
                let key = &pod.meta.key;
                nodes.entry(node.clone()).or_insert_with(|| format!("{}/{}: {why}", key.namespace, key.name));
                immovable.push((key.clone(), why));
            }
        }
        Self { nodes, immovable }
    }
}

impl Search<'_> {
    /// What every set has, if that alone is more than may be.
    pub(super) fn too_many(&self, kept: &Kept) -> Option<TooMany> {
        let machines = self.kept.len() + self.server_count;
        if machines <= self.question.max_nodes {
            return None;
        }
        let mut which: Vec<String> = kept.nodes.iter().map(|(node, why)| format!("{node} ({why})")).collect();
        match self.server_count {
            0 => {}
            1 => which.push("1 server of the control plane".to_owned()),
            servers => which.push(format!("{servers} servers of the control plane")),
        }
        Some(TooMany { machines, which })
    }
}
