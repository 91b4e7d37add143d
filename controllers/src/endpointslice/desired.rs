//! The endpoints that a service should have (reference 3.3, 3.4).

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::{
    Str,
    object::{AddressType, Endpoint, EndpointPort, Service},
};

use crate::{
    endpoint_common::{
        AddressFamily, canonical_ip, endpoint_ports, hostname, ips_of, is_published, selected_pods,
        slices::{Group, identity, port_key},
        target_of,
    },
    framework::World,
};

/// Label with a node's zone.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// The address types of a service's slices (`getAddressTypesForService`).
pub(super) fn address_types(service: &Service) -> BTreeSet<AddressType> {
    let types: BTreeSet<_> =
        service.ip_families.iter().filter_map(|w| AddressFamily::parse(w)).map(AddressType::from).collect();
    if !types.is_empty() {
        return types;
    }
    if service.cluster_ip.is_empty() || service.is_headless() {
        return BTreeSet::from([AddressType::IPv4, AddressType::IPv6]);
    }
    let family = canonical_ip(&service.cluster_ip).map_or(AddressFamily::V4, |(family, _)| family);
    BTreeSet::from([family.into()])
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
