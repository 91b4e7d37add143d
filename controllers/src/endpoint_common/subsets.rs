//! The canonical form of subsets (reference 2.5).

use std::collections::BTreeMap;

use hashbrown::{HashMap, hash_map::Entry};
use headroom_core::{
    Str,
    object::{EndpointAddress, EndpointPort, EndpointSubset},
};

/// Addresses times groups of ports that a written object may amount to. Anybody who may write Endpoints decides how many
/// ports share how many addresses; without a limit, an object of one megabyte means hundreds of millions.
pub const MOST_EXPANDED: usize = 100_000;

/// An address is one by its IP and the UID of what stands behind it.
type Identity = (Str, Str);
/// Per address: as first met, and whether it is ready.
type Addresses<'a> = BTreeMap<&'a Identity, (&'a EndpointAddress, bool)>;

/// The one form of what some subsets say: every address is in one list for each port, not ready wins over ready, and
/// ports with the same addresses share a subset (`RepackSubsets` of `pkg/api/v1/endpoints`).
///
/// Subsets and ports are sorted by content. Upstream sorts them by a hash of Go's dump of the structs, which nobody else
/// can compute; therefore existing objects are compared in this form, never as they stand, and a takeover rewrites
/// nothing.
#[must_use]
pub fn repack(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    expand(subsets, usize::MAX).unwrap_or_default()
}

/// The same for what others wrote; none when it amounts to more than [`MOST_EXPANDED`].
#[must_use]
pub fn repack_foreign(subsets: &[EndpointSubset]) -> Option<Vec<EndpointSubset>> {
    expand(subsets, MOST_EXPANDED)
}

fn expand(subsets: &[EndpointSubset], most: usize) -> Option<Vec<EndpointSubset>> {
    // Ports of the same subsets have the same addresses: these are put together once for all of them.
    let mut subsets_of_port: BTreeMap<Option<&EndpointPort>, Vec<usize>> = BTreeMap::new();
    for (at, subset) in subsets.iter().enumerate() {
        // No port is a port of its own here: headless services without ports.
        let none = subset.ports.is_empty().then_some(None);
        for port in subset.ports.iter().map(Some).chain(none) {
            let all = subsets_of_port.entry(port).or_default();
            if all.last() != Some(&at) {
                all.push(at);
            }
        }
    }
    let mut ports_of_subsets: BTreeMap<Vec<usize>, Vec<&EndpointPort>> = BTreeMap::new();
    for (port, all) in subsets_of_port {
        ports_of_subsets.entry(all).or_default().extend(port);
    }
    let size = |at: &usize| subsets[*at].addresses.len() + subsets[*at].not_ready_addresses.len();
    let expanded = ports_of_subsets.keys().flatten().map(size).fold(0, usize::saturating_add);
    if expanded > most {
        return None;
    }
    let identities: Vec<Vec<Identity>> =
        subsets.iter().map(|subset| all_of(subset).map(|(address, _)| identity(address)).collect()).collect();
    // As upstream, what else an address says is taken from where it stands first.
    let mut first: HashMap<&Identity, &EndpointAddress> = HashMap::new();
    for (subset, identities) in subsets.iter().zip(&identities) {
        for ((address, _), identity) in all_of(subset).zip(identities) {
            if let Entry::Vacant(entry) = first.entry(identity) {
                entry.insert(address);
            }
        }
    }
    let mut by_addresses: BTreeMap<Vec<(&EndpointAddress, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (all, ports) in ports_of_subsets {
        let mut addresses = Addresses::new();
        for at in all {
            for ((address, ready), identity) in all_of(&subsets[at]).zip(&identities[at]) {
                let address = first.get(identity).copied().unwrap_or(address);
                addresses.entry(identity).or_insert((address, ready)).1 &= ready;
            }
        }
        by_addresses.entry(addresses.into_values().collect()).or_default().extend(ports.into_iter().cloned());
    }
    let mut out: Vec<_> = by_addresses
        .into_iter()
        .map(|(addresses, mut ports)| {
            ports.sort();
            let of = |ready: bool| addresses.iter().filter(|(_, r)| *r == ready).map(|(a, _)| (*a).clone()).collect();
            EndpointSubset { addresses: of(true), not_ready_addresses: of(false), ports }
        })
        .collect();
    // A port without an address anywhere leads nowhere.
    out.retain(|s| !s.addresses.is_empty() || !s.not_ready_addresses.is_empty());
    out.sort_by(|a, b| {
        (&a.ports, &a.addresses, &a.not_ready_addresses).cmp(&(&b.ports, &b.addresses, &b.not_ready_addresses))
    });
    Some(out)
}

/// All addresses of a subset, and whether they are ready.
fn all_of(subset: &EndpointSubset) -> impl Iterator<Item = (&EndpointAddress, bool)> {
    let ready = subset.addresses.iter().map(|a| (a, true));
    ready.chain(subset.not_ready_addresses.iter().map(|a| (a, false)))
}

fn identity(address: &EndpointAddress) -> Identity {
    (address.ip.clone(), address.target.as_ref().map(|t| t.object.uid.clone()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::{ObjectReference, Protocol};
    use proptest::prelude::*;

    fn address(ip: &str, uid: &str) -> EndpointAddress {
        let target = (!uid.is_empty()).then(|| {
            let name = uid.into();
            ObjectReference { kind: "Pod".into(), namespace: "default".into(), name, uid: uid.into() }.into()
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

    #[test]
    fn a_product_without_end_is_refused_and_many_ports_of_few_subsets_are_not() {
        let ips: Vec<String> = (0..1000).map(|i| format!("10.0.{}.{}", i / 250, i % 250)).collect();
        let all: Vec<_> = ips.iter().map(|ip| (ip.as_str(), "")).collect();
        let ports: Vec<u16> = (1..=20_000).collect();
        let wide = subset(&all, &[], &ports);
        assert_eq!(repack_foreign(std::slice::from_ref(&wide)).map(|s| (s.len(), s[0].ports.len())), Some((1, 20_000)));
        // Every port has a subset of its own as well: each leads to other addresses.
        let mut hostile: Vec<_> = ports.iter().map(|p| subset(&[("10.9.9.9", &p.to_string())], &[], &[*p])).collect();
        hostile.push(wide);
        assert_eq!(repack_foreign(&hostile), None);
    }

    /// What upstream does, port by port.
    fn plain(subsets: &[EndpointSubset]) -> BTreeMap<Option<EndpointPort>, BTreeMap<Identity, bool>> {
        let mut out: BTreeMap<Option<EndpointPort>, BTreeMap<Identity, bool>> = BTreeMap::new();
        for s in subsets {
            let none = s.ports.is_empty().then_some(None);
            for port in s.ports.iter().cloned().map(Some).chain(none) {
                for (address, ready) in all_of(s) {
                    *out.entry(port.clone()).or_default().entry(identity(address)).or_insert(true) &= ready;
                }
            }
        }
        out
    }

    proptest! {
        /// Each port leads to the same addresses as before, in exactly one subset, and no two subsets could be one.
        #[test]
        fn says_the_same_in_one_form(
            raw in proptest::collection::vec((
                proptest::collection::vec((0u8..6, 0u8..2), 0..5),
                proptest::collection::vec((0u8..6, 0u8..2), 0..5),
                proptest::collection::vec(1u16..5, 1..4),
            ), 0..6),
        ) {
            let text = |list: &[(u8, u8)]| -> Vec<(String, String)> {
                list.iter().map(|(i, u)| (format!("10.0.0.{i}"), if *u == 0 { String::new() } else { u.to_string() })).collect()
            };
            let subsets: Vec<_> = raw.iter().map(|(ready, not_ready, ports)| {
                let (ready, not_ready) = (text(ready), text(not_ready));
                let refs = |l: &[(String, String)]| -> Vec<EndpointAddress> { l.iter().map(|(i, u)| address(i, u)).collect() };
                EndpointSubset {
                    addresses: refs(&ready), not_ready_addresses: refs(&not_ready),
                    ports: ports.iter().map(|p| port(*p)).collect(),
                }
            }).collect();
            let packed = repack(&subsets);
            prop_assert_eq!(plain(&packed), plain(&subsets));
            prop_assert_eq!(&repack(&packed), &packed);
            let mut ports: Vec<_> = packed.iter().flat_map(|s| s.ports.clone()).collect();
            let all = ports.len();
            ports.sort();
            ports.dedup();
            prop_assert_eq!(ports.len(), all);
        }
    }
}
