//! The decision about one Endpoints object, as a pure function of the view (reference 3.11; `reconcile`,
//! `reconcileByPortMapping`, `newEndpointSlice`).

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    Str,
    object::{AddressType, Endpoint, EndpointAddress, EndpointPort, EndpointSlice, Endpoints, Service},
    selector::Labels,
};

use crate::{
    endpoint_common::{
        LAST_CHANGE, LEADER_LOCK, canonical_ip, repack_foreign,
        slices::{Draft, Figures, Group, Header, MANAGED_BY, Plan, identity, port_key, same},
    },
    framework::SERVICE_NAME,
};

/// Value of the label with the writer: upstream's.
pub(super) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Kind of the slices' owner.
pub(super) const OWNER_KIND: &str = "Endpoints";
/// Label with which people opt out.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of `kubectl apply`; it says what the Endpoints were made from, not the slices.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What one look at Endpoints leads to.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) plan: Plan,
    /// Endpoints that stay, with another content.
    pub(super) updated: usize,
    /// Addresses that are none.
    pub(super) invalid: usize,
    /// Addresses that are not mirrored, the invalid ones included.
    pub(super) skipped: usize,
    pub(super) figures: Figures,
}

/// Whether slices are to be made of this object at all (`shouldMirror`).
pub(super) fn should_mirror(endpoints: &Endpoints) -> bool {
    endpoints.meta.labels.get(SKIP_MIRROR).is_none_or(|v| *v != *"true") && !endpoints.meta.annotations.has(LEADER_LOCK)
}

/// Whether people write this service's Endpoints. An empty selector counts as none: storage drops it.
pub(super) fn is_selectorless(service: &Service) -> bool {
    service.selector.as_ref().is_none_or(Labels::is_empty)
}

/// Slices are told apart by family and ports.
type Key = (AddressType, Vec<EndpointPort>);

/// Compares the slices that there are (ours, none of them being deleted) with those that there should be. None when the
/// subsets amount to more than [`crate::endpoint_common::MOST_EXPANDED`].
pub(super) fn reconcile(endpoints: &Endpoints, slices: &[Arc<EndpointSlice>], max: usize) -> Option<Decision> {
    let mut out = Decision::default();
    let groups = groups(endpoints, max, &mut out)?;
    let mut existing: BTreeMap<Key, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        existing.entry((slice.address_type, port_key(&slice.ports))).or_default().push(slice.clone());
    }
    for ((address_type, ports), group) in groups {
        out.figures.endpoints += group.endpoints.len();
        out.figures.desired_slices += group.endpoints.len().div_ceil(max.max(1));
        out.figures.slices += 1;
        let mut here = existing.remove(&(address_type, ports)).unwrap_or_default();
        // One is enough; the choice must not depend on the order in which they are found.
        here.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        let mut here = here.into_iter();
        let first = here.next();
        out.plan.delete.extend(here);
        let changed = match &first {
            Some(slice) => compare(slice, &group, &mut out) || !is_described(slice, endpoints),
            None => {
                out.plan.added += group.endpoints.len();
                true
            }
        };
        if changed {
            let list = if first.is_some() { &mut out.plan.update } else { &mut out.plan.create };
            let endpoints = group.endpoints.into_values().take(max).collect();
            list.push(Draft { existing: first, address_type, ports: group.ports, endpoints });
        }
    }
    // Ports, or families, that nobody has any more.
    for slice in existing.into_values().flatten() {
        out.plan.removed += slice.endpoints.len();
        out.plan.delete.push(slice);
    }
    out.plan.recycle(|_| true);
    if endpoints.meta.is_terminating() {
        // The garbage collector takes slices away at this moment: do not put new ones there.
        out.plan.create.clear();
    }
    Some(out)
}

/// The endpoints of all addresses, ready ones first, at most so many of each subset.
fn groups(endpoints: &Endpoints, max: usize, out: &mut Decision) -> Option<BTreeMap<Key, Group>> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for subset in repack_foreign(&endpoints.subsets)? {
        let ports = port_key(&subset.ports);
        let total = subset.addresses.len() + subset.not_ready_addresses.len();
        let mut mirrored = 0;
        let ready = subset.addresses.iter().map(|a| (a, true));
        for (address, ready) in ready.chain(subset.not_ready_addresses.iter().map(|a| (a, false))) {
            if mirrored >= max {
                break;
            }
            let Some((address_type, endpoint)) = endpoint(address, ready) else {
                out.invalid += 1;
                continue;
            };
            mirrored += 1;
            let group = groups.entry((address_type, ports.clone())).or_default();
            group.ports.clone_from(&ports);
            group.endpoints.insert(identity(&endpoint), endpoint);
        }
        out.skipped += total - mirrored;
    }
    Some(groups)
}

/// The endpoint of an address; none when it is not an IP (`addressToEndpoint`). `serving` and `terminating` stay unset:
/// Endpoints do not know.
fn endpoint(address: &EndpointAddress, ready: bool) -> Option<(AddressType, Endpoint)> {
    let (family, ip) = canonical_ip(&address.ip)?;
    let endpoint = Endpoint {
        addresses: Box::new([ip.into()]),
        ready: Some(ready),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target: address.target.clone(),
        ..Endpoint::default()
    };
    Some((family.into(), endpoint))
}

/// Counts what is different in a slice; returns whether anything is (`totalChanges`).
fn compare(slice: &EndpointSlice, group: &Group, out: &mut Decision) -> bool {
    let (mut kept, mut updated) = (0, 0);
    for endpoint in &slice.endpoints {
        if let Some(wanted) = group.endpoints.get(&identity(endpoint)) {
            kept += 1;
            updated += usize::from(!same(wanted, endpoint));
        }
    }
    let removed = slice.endpoints.len() - kept;
    out.updated += updated;
    out.plan.removed += removed;
    out.plan.added += group.endpoints.len().saturating_sub(kept);
    // One that is listed twice has to go as well.
    updated > 0 || removed > 0 || kept != group.endpoints.len()
}

fn is_reserved(key: &str) -> bool {
    matches!(key, SERVICE_NAME | MANAGED_BY)
}

/// The annotations that slices take over.
fn annotations(endpoints: &Endpoints) -> impl Iterator<Item = (&Str, &Str)> {
    endpoints.meta.annotations.iter().filter(|(k, _)| !matches!(k.as_str(), LAST_CHANGE | LAST_APPLIED))
}

/// Whether the slice has the labels, the annotations and the owner that it should have. An owner of another name does
/// not matter, as upstream (`needRebuildExistingSlices`).
fn is_described(slice: &EndpointSlice, endpoints: &Endpoints) -> bool {
    let plain = |(k, _): &(&Str, &Str)| !is_reserved(k);
    let older = slice
        .meta
        .owners
        .iter()
        .any(|o| *o.kind == *OWNER_KIND && o.name == endpoints.meta.key.name && o.uid != endpoints.meta.uid);
    !older
        && slice.meta.labels.iter().filter(plain).eq(endpoints.meta.labels.iter().filter(plain))
        && slice.meta.annotations.iter().eq(annotations(endpoints))
}

/// What all slices of the object have in common.
pub(super) fn header(endpoints: &Endpoints) -> Header<'_> {
    let own = endpoints.meta.labels.iter().filter(|(k, _)| !is_reserved(k));
    let mut labels: Vec<(Str, Str)> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.push((SERVICE_NAME.into(), endpoints.meta.key.name.clone()));
    labels.push((MANAGED_BY.into(), MANAGER.into()));
    Header {
        owner_kind: OWNER_KIND,
        owner: &endpoints.meta,
        adopts: true,
        labels: Labels::new(labels),
        annotations: annotations(endpoints).map(|(k, v)| (k.clone(), Some(v.clone()))).collect(),
        only_these_annotations: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::{Meta, ObjectReference};

    /// Translated from `TestShouldMirror`.
    #[test]
    fn who_is_mirrored() {
        for (labels, annotations, expected) in [
            (vec![], vec![], true),
            (vec![(SKIP_MIRROR, "true")], vec![], false),
            (vec![(SKIP_MIRROR, "invalid")], vec![], true),
            (vec![(SKIP_MIRROR, "True")], vec![], true),
            (vec![], vec![(LEADER_LOCK, "")], false),
        ] {
            let meta = Meta {
                labels: labels.into_iter().collect(),
                annotations: annotations.into_iter().collect(),
                ..Meta::default()
            };
            assert_eq!(should_mirror(&Endpoints { meta, subsets: vec![] }), expected);
        }
    }

    /// Translated from `TestAddressToEndpoint`.
    #[test]
    fn an_address_becomes_an_endpoint() {
        let pod = ObjectReference { kind: "Pod".into(), namespace: "d".into(), name: "p".into(), uid: "u".into() };
        let address = |ip: &str| EndpointAddress {
            ip: ip.into(),
            hostname: "foo".into(),
            node_name: "node-abc".into(),
            target: Some(pod.clone().into()),
        };
        for (ip, expected) in [
            ("10.1.2.3", Some((AddressType::IPv4, "10.1.2.3"))),
            ("010.001.002.003", Some((AddressType::IPv4, "10.1.2.3"))),
            ("1234::5678:0000:0000:9abc:def1", Some((AddressType::IPv6, "1234::5678:0:0:9abc:def1"))),
            ("invalid", None),
        ] {
            let expected = expected.map(|(t, ip)| {
                let endpoint = Endpoint {
                    addresses: Box::new([ip.into()]),
                    ready: Some(true),
                    hostname: "foo".into(),
                    node_name: "node-abc".into(),
                    target: Some(pod.clone().into()),
                    ..Endpoint::default()
                };
                (t, endpoint)
            });
            assert_eq!(endpoint(&address(ip), true), expected, "{ip}");
        }
    }
}
