//! Nodes.

use headroom_core::{
    object::{ContainerImage, Kind, Meta, Node, NodeAddress, NodeCondition, Status},
    resource::Resources,
    taint::{Effect, Taint},
};
use serde::Deserialize;

use super::{
    Body,
    de::{Flag, Int, List, Moment, Obj, Quantities, Text},
    interners::Interners,
    meta::WireMeta,
    port,
};

/// Port of the kubelet when the Node does not say.
const KUBELET_PORT: u16 = 10250;

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireNodeSpec>,
    status: Obj<WireNodeStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireNodeSpec {
    unschedulable: Flag,
    taints: List<Obj<WireTaint>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireTaint {
    key: Text,
    value: Text,
    effect: Text,
    time_added: Moment,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireNodeStatus {
    capacity: Quantities,
    allocatable: Quantities,
    conditions: List<Obj<WireCondition>>,
    addresses: List<Obj<WireAddress>>,
    daemon_endpoints: Obj<WireDaemonEndpoints>,
    node_info: Obj<WireNodeInfo>,
    images: List<Obj<WireImage>>,
    declared_features: List<Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireImage {
    names: List<Text>,
    size_bytes: Int,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
    reason: Text,
    message: Text,
    last_heartbeat_time: Moment,
    last_transition_time: Moment,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireAddress {
    #[serde(rename = "type")]
    kind: Text,
    address: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireDaemonEndpoints {
    kubelet_endpoint: Obj<WireDaemonEndpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireDaemonEndpoint {
    // Capital letter: as upstream has it.
    #[serde(rename = "Port")]
    port: Int,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireNodeInfo {
    kubelet_version: Text,
    swap: Obj<WireSwap>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireSwap {
    capacity: Int,
}

impl Body for NodeBody {
    type Row = Node;
    const KIND: Kind = Kind::NODE;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Node, String> {
        let status = self.status.0;
        let mut taints = Vec::new();
        for Obj(t) in self.spec.0.taints.0 {
            // Ignoring a taint would place pods where they must not be; ignoring the node is the safe side.
            let effect = Effect::parse(&t.effect).ok_or_else(|| {
                format!("taint {:?} has the effect {:?}, which this version does not know", &**t.key, &**t.effect)
            })?;
            taints.push(Taint {
                key: interners.str(&t.key),
                value: interners.str(&t.value),
                effect,
                time_added: t.time_added.0,
            });
        }
        let amounts = |list: Quantities| list.0.as_ref().map(Resources::from).unwrap_or_default();
        Ok(Node {
            meta,
            unschedulable: self.spec.0.unschedulable.set(),
            taints: taints.into(),
            capacity: amounts(status.capacity),
            allocatable: amounts(status.allocatable),
            conditions: status
                .conditions
                .0
                .into_iter()
                .map(|Obj(c)| NodeCondition {
                    kind: interners.str(&c.kind),
                    status: Status::parse(&c.status),
                    reason: interners.str(&c.reason),
                    message: interners.str(&c.message),
                    last_heartbeat: c.last_heartbeat_time.0,
                    last_transition: c.last_transition_time.0,
                })
                .collect(),
            addresses: status
                .addresses
                .0
                .into_iter()
                .map(|Obj(a)| NodeAddress { kind: interners.str(&a.kind), address: interners.str(&a.address) })
                .collect(),
            kubelet_port: match port(status.daemon_endpoints.0.kubelet_endpoint.0.port.0) {
                0 => KUBELET_PORT,
                port => port,
            },
            swap_capacity: status.node_info.swap.capacity.0,
            kubelet_version: interners.str(&status.node_info.kubelet_version),
            images: status
                .images
                .0
                .into_iter()
                .map(|Obj(i)| {
                    let names = i.names.0.iter().map(|n| interners.str(n)).collect();
                    interners.image(ContainerImage { names, size: i.size_bytes.0.unwrap_or(0) })
                })
                .collect(),
            declared_features: status.declared_features.0.iter().map(|f| interners.str(f)).collect(),
        })
    }
}
