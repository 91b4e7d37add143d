//! Nodes.

use std::sync::Arc;

use super::meta::Meta;
use crate::{resource::Resources, str::Str, taint::Taint, time::Timestamp};

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// From the API's word; unknown words are `Unknown`.
    #[must_use]
    pub fn parse(s: &str) -> Self {
        match s {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// A condition of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeCondition {
    /// Type, for example `Ready`.
    pub kind: Str,
    /// Status.
    pub status: Status,
    /// Reason.
    pub reason: Str,
    /// Message.
    pub message: Str,
    /// When the kubelet last said so.
    pub last_heartbeat: Option<Timestamp>,
    /// When the status last changed.
    pub last_transition: Option<Timestamp>,
}

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname`, `ExternalIP` …
    pub kind: Str,
    /// The address.
    pub address: Str,
}

/// An image on a node (`status.images`). Nodes that have the same one share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ContainerImage {
    /// Names, with tags and digests.
    pub names: Box<[Str]>,
    /// Size in bytes.
    pub size: i64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Metadata.
    pub meta: Meta,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Box<[Taint]>,
    /// `status.capacity`.
    pub capacity: Resources,
    /// `status.allocatable`.
    pub allocatable: Resources,
    /// Conditions.
    pub conditions: Box<[NodeCondition]>,
    /// Addresses.
    pub addresses: Box<[NodeAddress]>,
    /// Port of the kubelet's server, 10250 when unset.
    pub kubelet_port: u16,
    /// `status.nodeInfo.swap.capacity` in bytes.
    pub swap_capacity: Option<i64>,
    /// `status.nodeInfo.kubeletVersion`.
    pub kubelet_version: Str,
    /// `status.images`.
    pub images: Box<[Arc<ContainerImage>]>,
    /// `status.declaredFeatures`.
    pub declared_features: Box<[Str]>,
}

impl Node {
    /// Name.
    #[must_use]
    pub const fn name(&self) -> &Str {
        &self.meta.key.name
    }

    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.conditions.iter().find(|c| c.kind == *kind)
    }

    /// The first address of this type.
    #[must_use]
    pub fn address(&self, kind: &str) -> Option<&Str> {
        self.addresses.iter().find(|a| a.kind == *kind).map(|a| &a.address)
    }
}
