//! The endpoints that a service should have (reference 3.3, 3.4).

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::{
    Str,
    object::{AddressType, Endpoint, EndpointPort, Service},
};

use crate::{
    endpoint_common::{
        AddressFamily, canonical_ip, endpoint_ports, hostname, ips_of, is_published, selected_pods, target_of,
    },
    framework::World,
};

/// Label with a node's zone.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// Makes an endpoint the same one although something about it has changed: addresses, host name, pod.
pub(super) type Identity = (Vec<Str>, Str, Str, Str);

pub(super) fn identity(e: &Endpoint) -> Identity {
    let mut addresses = e.addresses.to_vec();
    addresses.sort();
    let (namespace, name) = e.target.as_ref().map(|t| (t.namespace.clone(), t.name.clone())).unwrap_or_default();
    (addresses, e.hostname.clone(), namespace, name)
}

/// Whether two versions of one endpoint differ in what consumers see (`EndpointsEqualBeyondHash`). Hints are looked at
/// elsewhere.
pub(super) fn same(a: &Endpoint, b: &Endpoint) -> bool {
    let seen = |e: &Endpoint| (e.ready, e.serving, e.terminating);
    seen(a) == seen(b)
        && a.node_name == b.node_name
        && a.zone == b.zone
        && a.target.as_ref().map(|t| &t.uid) == b.target.as_ref().map(|t| &t.uid)
}

/// The endpoints of all pods that resolve to the same ports.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the service's order.
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: BTreeMap<Identity, Endpoint>,
}

/// Ports in one order, so that they can be compared.
pub(super) fn port_key(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut key = ports.to_vec();
    key.sort();
    key
}

/// The address types of a service's slices (`getAddressTypesForService`).
pub(super) fn address_types(service: &Service) -> BTreeSet<AddressType> {
    let of = |family| match family {
        AddressFamily::V4 => AddressType::IPv4,
        AddressFamily::V6 => AddressType::IPv6,
    };
    let types: BTreeSet<_> = service.ip_families.iter().filter_map(|w| AddressFamily::parse(w)).map(of).collect();
    if !types.is_empty() {
        return types;
    }
    if service.cluster_ip.is_empty() || service.is_headless() {
        return BTreeSet::from([AddressType::IPv4, AddressType::IPv6]);
    }
    let family = canonical_ip(&service.cluster_ip).map_or(AddressFamily::V4, |(family, _)| family);
    BTreeSet::from([of(family)])
}

/// All groups of one address type, by [`port_key`]; and what is wrong with pods that had to be left out.
pub(super) fn groups(
    service: &Service,
    world: &World,
    address_type: AddressType,
) -> (BTreeMap<Vec<EndpointPort>, Group>, Vec<String>) {
    let family = if address_type == AddressType::IPv6 { AddressFamily::V6 } else { AddressFamily::V4 };
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    let mut errors = Vec::new();
    for pod in selected_pods(world, service).filter(|p| is_published(p, true)) {
        let ports = endpoint_ports(pod, service);
        let group = groups.entry(port_key(&ports)).or_default();
        group.ports = ports;
        let node_name = pod.node_name.clone().unwrap_or_default();
        let node = world.nodes.get(&node_name);
        if node.is_none() && !service.publish_not_ready_addresses {
            // Said at the end, so that the service is looked at again; the others are written.
            errors.push(format!(
                "skipping Pod {} for Service {}: Node {node_name} Not Found",
                pod.meta.key.name, service.meta.key
            ));
            continue;
        }
        let addresses: Box<[Str]> = ips_of(pod, family).into_iter().map(Str::from).collect();
        if addresses.is_empty() {
            continue;
        }
        let (serving, terminating) = (pod.is_ready(), pod.meta.is_terminating());
        let endpoint = Endpoint {
            addresses,
            ready: Some(service.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
            hostname: hostname(pod, service).into(),
            node_name,
            zone: node.and_then(|n| n.meta.labels.get(ZONE)).cloned().unwrap_or_default(),
            hint_zones: Box::default(),
            hint_nodes: Box::default(),
            target: Some(target_of(pod)),
        };
        group.endpoints.insert(identity(&endpoint), endpoint);
    }
    (groups, errors)
}
