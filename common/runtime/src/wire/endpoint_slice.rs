//! EndpointSlices.

use headroom_core::object::{AddressType, Endpoint, EndpointSlice, Kind, Meta};
use serde::Deserialize;

use super::{
    Body,
    de::{Flag, List, Obj, Opt, Text},
    endpoints::{WirePort, WireReference},
    interners::Interners,
    meta::WireMeta,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSliceBody {
    metadata: Obj<WireMeta>,
    address_type: Text,
    endpoints: List<Obj<WireEndpoint>>,
    ports: List<Obj<WirePort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireEndpoint {
    addresses: List<Text>,
    conditions: Obj<WireConditions>,
    hostname: Text,
    node_name: Text,
    zone: Text,
    hints: Obj<WireHints>,
    target_ref: Opt<WireReference>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireConditions {
    ready: Flag,
    serving: Flag,
    terminating: Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireHints {
    for_zones: List<Obj<WireHint>>,
    for_nodes: List<Obj<WireHint>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireHint {
    name: Text,
}

impl Body for EndpointSliceBody {
    type Row = EndpointSlice;
    const KIND: Kind = Kind::ENDPOINT_SLICE;
    const ALL_ANNOTATIONS: bool = true;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<EndpointSlice, String> {
        let address_type = match self.address_type.as_str() {
            "IPv4" => AddressType::IPv4,
            "IPv6" => AddressType::IPv6,
            "FQDN" => AddressType::Fqdn,
            other => return Err(format!("address type {other:?} is not known")),
        };
        Ok(EndpointSlice {
            meta,
            address_type,
            endpoints: self
                .endpoints
                .0
                .into_iter()
                .map(|Obj(e)| Endpoint {
                    addresses: e.addresses.0.iter().map(|a| interners.str(a)).collect(),
                    ready: e.conditions.ready.0,
                    serving: e.conditions.serving.0,
                    terminating: e.conditions.terminating.0,
                    hostname: interners.str(&e.hostname),
                    node_name: interners.str(&e.node_name),
                    zone: interners.str(&e.zone),
                    hint_zones: e.hints.for_zones.0.iter().map(|h| interners.str(&h.name)).collect(),
                    hint_nodes: e.hints.for_nodes.0.iter().map(|h| interners.str(&h.name)).collect(),
                    target: e.target_ref.0.map(|r| r.into_row(interners)),
                })
                .collect(),
            ports: self.ports.0.into_iter().map(|Obj(p)| p.into_row(interners)).collect(),
        })
    }
}
