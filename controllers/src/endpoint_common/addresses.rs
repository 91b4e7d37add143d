//! Addresses of pods, by family.

use std::net::{Ipv4Addr, Ipv6Addr};

use headroom_core::object::{AddressType, Pod, Service};

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// From a service's `ipFamilies`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }
}

impl From<AddressFamily> for AddressType {
    fn from(family: AddressFamily) -> Self {
        match family {
            AddressFamily::V4 => Self::IPv4,
            AddressFamily::V6 => Self::IPv6,
        }
    }
}

/// Parses an address leniently (leading zeros are allowed, as `ParseIPSloppy` does) and prints it in its usual form.
/// Texts that are no address have none; upstream would publish `<nil>`.
#[must_use]
pub fn canonical_ip(text: &str) -> Option<(AddressFamily, String)> {
    if text.contains(':') {
        let v6: Ipv6Addr = text.parse().ok()?;
        return Some(match v6.to_ipv4_mapped() {
            Some(v4) => (AddressFamily::V4, v4.to_string()),
            None => (AddressFamily::V6, v6.to_string()),
        });
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| (AddressFamily::V4, Ipv4Addr::from(octets).to_string()))
}

/// All addresses of the pod in this family.
#[must_use]
pub fn ips_of(pod: &Pod, family: AddressFamily) -> Vec<String> {
    pod.status.ips.iter().filter_map(|ip| canonical_ip(ip)).filter(|(f, _)| *f == family).map(|(_, ip)| ip).collect()
}

/// The address that `Endpoints` of this service show for the pod: of the service's first family, or of its address's,
/// or of the pod's own (`podToEndpointAddressForService`).
#[must_use]
pub fn first_ip(pod: &Pod, service: &Service) -> Option<String> {
    let own = |ip: &str| canonical_ip(ip).map_or(AddressFamily::V4, |(family, _)| family);
    let family = match service.ip_families.first() {
        Some(word) => AddressFamily::parse(word).unwrap_or(AddressFamily::V4),
        None if !service.cluster_ip.is_empty() && !service.is_headless() => own(&service.cluster_ip),
        None => pod.status.ips.first().map_or(AddressFamily::V4, |ip| own(ip)),
    };
    pod.status.ips.iter().filter_map(|ip| canonical_ip(ip)).find(|(f, _)| *f == family).map(|(_, ip)| ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::pod;

    #[test]
    fn lenient_and_canonical() {
        use AddressFamily::{V4, V6};
        for (text, expected) in [
            ("10.0.0.1", Some((V4, "10.0.0.1"))),
            ("010.000.0.01", Some((V4, "10.0.0.1"))),
            ("10.0.0.0256", None),
            ("10.0.0", None),
            ("10.0.0.1.2", None),
            ("10.0.0.+1", None),
            ("", None),
            ("FD00:0::1", Some((V6, "fd00::1"))),
            ("::ffff:10.0.0.1", Some((V4, "10.0.0.1"))),
            ("fe80::1%eth0", None),
        ] {
            assert_eq!(canonical_ip(text), expected.map(|(f, s)| (f, s.to_owned())), "{text}");
        }
    }

    /// Translated from `TestPodToEndpointAddressForService`.
    #[test]
    fn the_services_family_decides() {
        let dual = |ips: &[&str]| pod("p").with(|p| p.status.ips = ips.iter().map(|s| (*s).into()).collect()).build();
        let (v4, v6) = ("10.1.2.3", "fd00::3");
        for (families, cluster_ip, ips, expected) in [
            (vec!["IPv4"], "10.0.0.1", vec![v4], Some(v4)),
            (vec!["IPv4"], "10.0.0.1", vec![v6, v4], Some(v4)),
            (vec!["IPv6"], "fd00::1", vec![v4, v6], Some(v6)),
            (vec!["IPv6"], "fd00::1", vec![v4], None),
            (vec!["IPv6", "IPv4"], "None", vec![v4, v6], Some(v6)),
            (vec![], "fd00::1", vec![v4, v6], Some(v6)),
            (vec![], "10.0.0.1", vec![v6], None),
            (vec![], "None", vec![v6, v4], Some(v6)),
            (vec![], "", vec![v4, v6], Some(v4)),
        ] {
            let service = Service {
                ip_families: families.iter().map(|f| (*f).into()).collect(),
                cluster_ip: cluster_ip.into(),
                ..Service::default()
            };
            assert_eq!(first_ip(&dual(&ips), &service).as_deref(), expected, "{families:?} {cluster_ip} {ips:?}");
        }
    }
}
