//! Endpoints and EndpointSlices.

use std::sync::Arc;

use super::{meta::Meta, pod_spec::Protocol};
use crate::str::Str;

/// A reference to an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectReference {
    /// Kind.
    pub kind: Str,
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// UID.
    pub uid: Str,
}

/// `targetRef`: the object behind an address, in practice a pod. Its `resourceVersion` is not kept: nobody compares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// Which object.
    pub object: ObjectReference,
    /// What controllers leave empty and people may set, apart so that it costs nothing where it is not there.
    pub rest: Option<Arc<TargetRest>>,
}

/// Rare fields of a [`TargetRef`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRest {
    /// `apiVersion`.
    pub api_version: Str,
    /// `fieldPath`.
    pub field_path: Str,
}

impl From<ObjectReference> for TargetRef {
    fn from(object: ObjectReference) -> Self {
        Self { object, rest: None }
    }
}

/// An address in `Endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddress {
    /// IP.
    pub ip: Str,
    /// Host name, empty when unset.
    pub hostname: Str,
    /// Node, empty when unset.
    pub node_name: Str,
    /// Object behind it.
    pub target: Option<TargetRef>,
}

/// A port in `Endpoints` or in a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPort {
    /// Name, empty when unset.
    pub name: Str,
    /// Number; absent in a slice means all ports.
    pub port: Option<u16>,
    /// Protocol.
    pub protocol: Protocol,
    /// `appProtocol`.
    pub app_protocol: Option<Str>,
}

/// A subset of `Endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointSubset {
    /// Ready addresses.
    pub addresses: Vec<EndpointAddress>,
    /// Addresses that are not ready.
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// Ports of all of them.
    pub ports: Vec<EndpointPort>,
}

/// `v1.Endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// Metadata (with all annotations).
    pub meta: Meta,
    /// Subsets.
    pub subsets: Vec<EndpointSubset>,
}

/// `addressType` of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AddressType {
    /// IPv4.
    #[default]
    IPv4,
    /// IPv6.
    IPv6,
    /// Names.
    Fqdn,
}

impl AddressType {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
            Self::Fqdn => "FQDN",
        }
    }
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Endpoint {
    /// Addresses; ours have one.
    pub addresses: Box<[Str]>,
    /// `conditions.ready`.
    pub ready: Option<bool>,
    /// `conditions.serving`.
    pub serving: Option<bool>,
    /// `conditions.terminating`.
    pub terminating: Option<bool>,
    /// Host name, empty when unset.
    pub hostname: Str,
    /// Node, empty when unset.
    pub node_name: Str,
    /// Zone, empty when unset.
    pub zone: Str,
    /// Zones of `hints.forZones`.
    pub hint_zones: Box<[Str]>,
    /// Nodes of `hints.forNodes`.
    pub hint_nodes: Box<[Str]>,
    /// Object behind it.
    pub target: Option<TargetRef>,
}

/// `discovery.k8s.io/v1` `EndpointSlice`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSlice {
    /// Metadata (with all annotations).
    pub meta: Meta,
    /// Address family.
    pub address_type: AddressType,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports.
    pub ports: Vec<EndpointPort>,
}
