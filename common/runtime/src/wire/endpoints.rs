//! Endpoints.

use std::sync::Arc;

use headroom_core::object::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Kind, Meta, ObjectReference, Protocol, TargetRef,
    TargetRest,
};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, List, Obj, Opt, Text},
    interners::Interners,
    meta::WireMeta,
    optional,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EndpointsBody {
    metadata: Obj<WireMeta>,
    subsets: List<Obj<WireSubset>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSubset {
    addresses: List<Obj<WireAddress>>,
    not_ready_addresses: List<Obj<WireAddress>>,
    ports: List<Obj<WirePort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireAddress {
    ip: Text,
    hostname: Text,
    node_name: Text,
    target_ref: Opt<WireReference>,
}

/// `ObjectReference`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireReference {
    api_version: Text,
    field_path: Text,
    kind: Text,
    namespace: Text,
    name: Text,
    uid: Text,
}

/// A port of Endpoints or of a slice.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WirePort {
    name: Text,
    port: Int,
    protocol: Text,
    app_protocol: Text,
}

impl WireReference {
    pub(super) fn into_row(self, interners: &mut Interners) -> TargetRef {
        let rest = (!self.api_version.is_empty() || !self.field_path.is_empty()).then(|| {
            Arc::new(TargetRest {
                api_version: interners.str(&self.api_version),
                field_path: interners.str(&self.field_path),
            })
        });
        let object = ObjectReference {
            kind: interners.str(&self.kind),
            namespace: interners.str(&self.namespace),
            // In Endpoints and slices alike, so worth sharing.
            name: interners.str(&self.name),
            uid: interners.str(&self.uid),
        };
        TargetRef { object, rest }
    }
}

impl WirePort {
    pub(super) fn into_row(self, interners: &mut Interners) -> EndpointPort {
        EndpointPort {
            name: interners.str(&self.name),
            port: self.port.0.and_then(|n| u16::try_from(n).ok()),
            protocol: Protocol::parse(&self.protocol),
            app_protocol: optional(&self.app_protocol, interners),
        }
    }
}

fn addresses(list: List<Obj<WireAddress>>, interners: &mut Interners) -> Vec<EndpointAddress> {
    list.0
        .into_iter()
        .map(|Obj(a)| EndpointAddress {
            ip: interners.str(&a.ip),
            hostname: interners.str(&a.hostname),
            node_name: interners.str(&a.node_name),
            target: a.target_ref.0.map(|r| r.into_row(interners)),
        })
        .collect()
}

impl Body for EndpointsBody {
    type Row = Endpoints;
    const KIND: Kind = Kind::ENDPOINTS;
    const ALL_ANNOTATIONS: bool = true;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Endpoints, String> {
        let subsets = self
            .subsets
            .0
            .into_iter()
            .map(|Obj(s)| EndpointSubset {
                addresses: addresses(s.addresses, interners),
                not_ready_addresses: addresses(s.not_ready_addresses, interners),
                ports: s.ports.0.into_iter().map(|Obj(p)| p.into_row(interners)).collect(),
            })
            .collect();
        Ok(Endpoints { meta, subsets })
    }
}
