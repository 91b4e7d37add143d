//! `NodeHeadroom` (`headroom.dev/v1alpha1`): what a node's memory and swap really look like.

use super::{meta::Meta, node::Status};
use crate::{
    memory::{PodUsage, Sample, SwapBehavior},
    str::Str,
    time::Timestamp,
};

/// A condition as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCondition {
    /// Its type.
    pub kind: Str,
    /// Its status.
    pub status: Status,
    /// When the status last changed.
    pub since: Timestamp,
}

/// What a NodeHeadroom says. Numbers that are not known are absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeHeadroom {
    /// Metadata; the name is the node's.
    pub meta: Meta,
    /// The sample; absent when there never was one.
    pub sample: Option<Sample>,
    /// Capacity of RAM in bytes.
    pub capacity: Option<i64>,
    /// Hard eviction threshold in bytes.
    pub eviction_hard: Option<i64>,
    /// Working set of no pod, in bytes.
    pub system_overhead: Option<i64>,
    /// What the kubelet does with swap; absent when not known.
    pub swap_behavior: Option<SwapBehavior>,
    /// Capacity of swap in bytes.
    pub swap_capacity: Option<i64>,
    /// Whether control-plane protection applies.
    pub protected: bool,
    /// Every pod of the sample, sorted by UID: UID, use.
    pub pods: Box<[(Str, PodUsage)]>,
    /// Conditions, for their writer, who goes on with them after a restart.
    pub conditions: Box<[PublishedCondition]>,
}

impl NodeHeadroom {
    /// Where among the pods of the sample the one with this UID is.
    #[must_use]
    pub fn place(&self, uid: &str) -> Option<usize> {
        self.pods.binary_search_by(|(known, _)| known.as_str().cmp(uid)).ok()
    }

    /// What the sample says of the pod with this UID.
    #[must_use]
    pub fn usage(&self, uid: &str) -> Option<&PodUsage> {
        self.pods.get(self.place(uid)?).map(|(_, usage)| usage)
    }
}
