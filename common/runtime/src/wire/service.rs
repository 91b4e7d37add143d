//! Services.

use headroom_core::object::{Kind, Meta, Protocol, Service, ServicePort, TargetPort};
use serde::Deserialize;

use super::{
    Body,
    de::{Flag, Int, IntOrText, List, Obj, Pairs, Text},
    interners::Interners,
    meta::WireMeta,
    optional, port,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    selector: Pairs,
    ports: List<Obj<WirePort>>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Text,
    #[serde(rename = "type")]
    kind: Text,
    publish_not_ready_addresses: Flag,
    ip_families: List<Text>,
    traffic_distribution: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePort {
    name: Text,
    protocol: Text,
    port: Int,
    target_port: IntOrText,
    app_protocol: Text,
}

impl Body for ServiceBody {
    type Row = Service;
    const KIND: Kind = Kind::SERVICE;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Service, String> {
        let spec = self.spec.0;
        // Go's `omitempty` makes an empty selector and none the same thing on the wire.
        let selector = Some(interners.labels(spec.selector, |_| true)).filter(|s| !s.is_empty());
        Ok(Service {
            meta,
            selector,
            ports: spec
                .ports
                .0
                .into_iter()
                .map(|Obj(p)| {
                    let number = port(p.port.0);
                    ServicePort {
                        name: interners.str(&p.name),
                        protocol: Protocol::parse(&p.protocol),
                        port: number,
                        target: match p.target_port {
                            // The API server sets an absent target to the port itself.
                            IntOrText::Absent | IntOrText::Int(0) => TargetPort::Number(number),
                            IntOrText::Int(n) => TargetPort::Number(port(Some(n))),
                            IntOrText::Text(name) => TargetPort::Name(interners.str(&name)),
                        },
                        app_protocol: optional(&p.app_protocol, interners),
                    }
                })
                .collect(),
            cluster_ip: spec.cluster_ip.0,
            kind: interners.str(&spec.kind),
            publish_not_ready_addresses: spec.publish_not_ready_addresses.set(),
            ip_families: spec.ip_families.0.iter().map(|f| interners.str(f)).collect(),
            traffic_distribution: interners.str(&spec.traffic_distribution),
        })
    }
}
