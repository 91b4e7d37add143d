//! Subsets: from pods, cut to what an object may hold (reference 2.3, 2.6).

use headroom_core::object::{EndpointAddress, EndpointSubset, Pod, Service};

use crate::endpoint_common::{endpoint_ports, first_ip, hostname, is_published, repack, target_of};

/// Most addresses of one object, ready and not ready together, over all subsets.
pub(super) const CAPACITY: usize = 1000;

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

    /// Translated from `TestTruncateEndpoints`.
    #[test]
    fn cuts_as_upstream() {
        let make = |ready: &[usize], not_ready: &[usize]| -> Vec<EndpointSubset> {
            let address =
                EndpointAddress { ip: "1.2.3.4".into(), hostname: "".into(), node_name: "".into(), target: None };
            let list = |n: usize| vec![address.clone(); n];
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
