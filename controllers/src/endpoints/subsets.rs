//! Subsets: from pods, in one canonical form, cut to what an object may hold (reference 2.3, 2.5, 2.6).

use std::collections::BTreeMap;

use headroom_core::{
    Str,
    object::{EndpointAddress, EndpointPort, EndpointSubset, Pod, Service},
};

use crate::endpoint_common::{endpoint_ports, first_ip, hostname, is_published, target_of};

/// Most addresses of one object, ready and not ready together, over all subsets.
pub(super) const CAPACITY: usize = 1000;

/// An address is one by its IP and the UID of what stands behind it.
type Identity = (Str, Str);
/// Per address: as first met, and whether it is ready.
type Addresses<'a> = BTreeMap<Identity, (&'a EndpointAddress, bool)>;

/// The subsets that the pods amount to, not yet cut.
pub(super) fn desired<'a>(service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Vec<EndpointSubset> {
    let mut raw = Vec::new();
    for pod in pods.filter(|p| is_published(p, service.publish_not_ready_addresses)) {
        let Some(ip) = first_ip(pod, service) else { continue };
        let ports = if service.ports.is_empty() {
            if !service.is_headless() {
                continue;
            }
            Vec::new()
        } else {
            let ports = endpoint_ports(pod, service);
            if ports.is_empty() {
                continue;
            }
            ports
        };
        let address = EndpointAddress {
            ip: ip.into(),
            hostname: hostname(pod, service).into(),
            node_name: pod.node_name.clone().unwrap_or_default(),
            target: Some(target_of(pod)),
        };
        let mut subset = EndpointSubset { ports, ..EndpointSubset::default() };
        if service.publish_not_ready_addresses || pod.is_ready() {
            subset.addresses.push(address);
        } else {
            subset.not_ready_addresses.push(address);
        }
        raw.push(subset);
    }
    repack(&raw)
}

/// The one form of what some subsets say: every address is in one list for each port, not ready wins over ready, and
/// ports with the same addresses share a subset (`RepackSubsets`).
///
/// Subsets and ports are sorted by content. Upstream sorts them by a hash of Go's dump of the structs, which nobody else
/// can compute; therefore existing objects are compared in this form, never as they stand, and a takeover rewrites
/// nothing.
pub(super) fn repack(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    // No port is a port of its own here: headless services without ports.
    let mut by_port: BTreeMap<Option<&EndpointPort>, Addresses<'_>> = BTreeMap::new();
    for subset in subsets {
        let ports: Vec<_> = if subset.ports.is_empty() { vec![None] } else { subset.ports.iter().map(Some).collect() };
        for port in ports {
            let all = subset.addresses.iter().map(|a| (a, true));
            for (address, ready) in all.chain(subset.not_ready_addresses.iter().map(|a| (a, false))) {
                let uid = address.target.as_ref().map(|t| t.uid.clone()).unwrap_or_default();
                let entry =
                    by_port.entry(port).or_default().entry((address.ip.clone(), uid)).or_insert((address, ready));
                entry.1 &= ready;
            }
        }
    }
    let mut by_addresses: BTreeMap<Vec<(&EndpointAddress, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, addresses) in by_port {
        let ports = by_addresses.entry(addresses.into_values().collect()).or_default();
        ports.extend(port.cloned());
    }
    let mut out: Vec<_> = by_addresses
        .into_iter()
        .map(|(addresses, ports)| {
            let of = |ready: bool| addresses.iter().filter(|(_, r)| *r == ready).map(|(a, _)| (*a).clone()).collect();
            EndpointSubset { addresses: of(true), not_ready_addresses: of(false), ports }
        })
        .collect();
    out.sort_by(|a, b| {
        (&a.ports, &a.addresses, &a.not_ready_addresses).cmp(&(&b.ports, &b.addresses, &b.not_ready_addresses))
    });
    out
}

/// Cuts the lists to [`CAPACITY`]: those that are not ready first, in proportion to the subsets' sizes, rounded up, as
/// long as there is room (`truncateEndpoints`). Returns whether anything was cut.
pub(super) fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let ready: usize = subsets.iter().map(|s| s.addresses.len()).sum();
    let not_ready: usize = subsets.iter().map(|s| s.not_ready_addresses.len()).sum();
    if ready + not_ready <= CAPACITY {
        return false;
    }
    let cut_ready = ready > CAPACITY;
    let (slots, total) = if cut_ready { (CAPACITY, ready) } else { (CAPACITY - ready, not_ready) };
    let mut left = slots;
    for subset in subsets {
        if cut_ready {
            subset.not_ready_addresses.clear();
        }
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = (list.len() * slots).div_ceil(total.max(1)).min(left);
        list.truncate(share);
        left -= list.len();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::{ObjectReference, Protocol};

    fn address(ip: &str, uid: &str) -> EndpointAddress {
        let target = (!uid.is_empty()).then(|| ObjectReference {
            kind: "Pod".into(),
            namespace: "default".into(),
            name: uid.into(),
            uid: uid.into(),
        });
        EndpointAddress { ip: ip.into(), hostname: Str::default(), node_name: Str::default(), target }
    }

    fn port(number: u16) -> EndpointPort {
        EndpointPort { name: Str::default(), port: Some(number), protocol: Protocol::Tcp, app_protocol: None }
    }

    fn subset(ready: &[(&str, &str)], not_ready: &[(&str, &str)], ports: &[u16]) -> EndpointSubset {
        let all = |list: &[(&str, &str)]| list.iter().map(|(ip, uid)| address(ip, uid)).collect();
        EndpointSubset {
            addresses: all(ready),
            not_ready_addresses: all(not_ready),
            ports: ports.iter().map(|p| port(*p)).collect(),
        }
    }

    /// Translated from `TestPackSubsets`.
    #[test]
    fn packs_as_upstream() {
        let (a, b) = (("1.2.3.4", ""), ("5.6.7.8", ""));
        for (name, given, expected) in [
            ("empty", vec![], vec![]),
            ("no addresses", vec![subset(&[], &[], &[111])], vec![]),
            ("no ports", vec![subset(&[a], &[], &[])], vec![subset(&[a], &[], &[])]),
            ("one of each", vec![subset(&[a], &[], &[111])], vec![subset(&[a], &[], &[111])]),
            (
                "duplicates, not ready wins",
                vec![subset(&[a], &[], &[111]), subset(&[], &[a], &[111]), subset(&[a], &[], &[111])],
                vec![subset(&[], &[a], &[111])],
            ),
            (
                "one address, two ports",
                vec![subset(&[a], &[], &[222]), subset(&[a], &[], &[111])],
                vec![subset(&[a], &[], &[111, 222])],
            ),
            (
                "two addresses, one port",
                vec![subset(&[b], &[], &[111]), subset(&[a], &[], &[111])],
                vec![subset(&[a, b], &[], &[111])],
            ),
            (
                "crossed",
                vec![subset(&[a], &[], &[111, 222]), subset(&[b], &[], &[111])],
                vec![subset(&[a, b], &[], &[111]), subset(&[a], &[], &[222])],
            ),
            (
                "readiness separates",
                vec![subset(&[a], &[], &[111]), subset(&[], &[a], &[222])],
                vec![subset(&[a], &[], &[111]), subset(&[], &[a], &[222])],
            ),
            (
                "the UID separates, without one first",
                vec![subset(&[("1.2.3.4", "u2"), ("1.2.3.4", "u1"), a], &[], &[111])],
                vec![subset(&[a, ("1.2.3.4", "u1"), ("1.2.3.4", "u2")], &[], &[111])],
            ),
            (
                "strings, not numbers",
                vec![subset(&[("9.0.0.1", ""), ("10.0.0.1", "")], &[], &[111])],
                vec![subset(&[("10.0.0.1", ""), ("9.0.0.1", "")], &[], &[111])],
            ),
        ] {
            assert_eq!(repack(&given), expected, "{name}");
            assert_eq!(repack(&expected), expected, "{name}: a second time changes nothing");
        }
    }

    /// Translated from `TestTruncateEndpoints`.
    #[test]
    fn cuts_as_upstream() {
        let make = |ready: &[usize], not_ready: &[usize]| -> Vec<EndpointSubset> {
            let list = |n: usize| vec![address("1.2.3.4", ""); n];
            ready
                .iter()
                .zip(not_ready)
                .map(|(r, n)| EndpointSubset { addresses: list(*r), not_ready_addresses: list(*n), ports: vec![] })
                .collect()
        };
        for (ready, not_ready, cut, left_ready, left_not_ready) in [
            (
                [50, 100, 100, 100, 100],
                [50, 100, 100, 100, 100],
                false,
                [50, 100, 100, 100, 100],
                [50, 100, 100, 100, 100],
            ),
            ([90, 110, 50, 10, 20], [101, 200, 200, 201, 298], true, [90, 110, 50, 10, 20], [73, 144, 144, 145, 214]),
            ([205, 400, 402, 400, 693], [100, 200, 200, 200, 300], true, [98, 191, 192, 191, 328], [0; 5]),
        ] {
            let mut subsets = make(&ready, &not_ready);
            assert_eq!(truncate(&mut subsets), cut);
            assert_eq!(subsets, make(&left_ready, &left_not_ready));
        }
    }
}
