//! Host ports in use on a node (`framework.HostPortInfo`; reference 3.6).

use std::collections::BTreeMap;

use headroom_core::{Str, object::Protocol};

use crate::framework::HostPort;

/// Ports in use, with how many pods hold each: two pods can hold the same one when they were bound behind the
/// scheduler's back, and then it is free only when both are gone (upstream frees it with the first).
///
/// Ordered, since one pod may name thousands of ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsedPorts(BTreeMap<(u16, Protocol, Str), u32>);

/// How a port on all addresses may be written.
const ANY: [&str; 2] = ["", "0.0.0.0"];

fn any_address(ip: &Str) -> bool {
    ANY.contains(&ip.as_str())
}

fn key(port: &HostPort) -> (u16, Protocol, Str) {
    (port.port, port.protocol, port.ip.clone())
}

impl UsedPorts {
    /// A pod with these ports came.
    pub fn add(&mut self, ports: &[HostPort]) {
        for port in ports {
            let count = self.0.entry(key(port)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// It went.
    pub fn remove(&mut self, ports: &[HostPort]) {
        for port in ports {
            let key = key(port);
            if let Some(count) = self.0.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&key);
                }
            }
        }
    }

    /// Whether any of `wanted` is taken.
    #[must_use]
    pub fn conflicts(&self, wanted: &[HostPort]) -> bool {
        !self.0.is_empty() && wanted.iter().any(|w| self.conflicts_with(w))
    }

    fn conflicts_with(&self, wanted: &HostPort) -> bool {
        let HostPort { ip, protocol, port } = wanted;
        if any_address(ip) {
            // The empty address is the least.
            let next = self.0.range((*port, *protocol, Str::default())..).next();
            return next.is_some_and(|((p, q, _), _)| (p, q) == (port, protocol));
        }
        self.0.contains_key(&key(wanted))
            || ANY.iter().any(|any| self.0.contains_key(&(*port, *protocol, (*any).into())))
    }

    /// How many distinct ports are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equal whatever the order in which pods came and went.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether both cannot be open on one node: same protocol and port, and one of them on all addresses or both on the
    /// same.
    fn ports_conflict(a: &HostPort, b: &HostPort) -> bool {
        a.port == b.port && a.protocol == b.protocol && (any_address(&a.ip) || any_address(&b.ip) || a.ip == b.ip)
    }

    fn port(ip: &str, port: u16) -> HostPort {
        HostPort { ip: ip.into(), protocol: Protocol::Tcp, port }
    }

    #[test]
    fn conflicts_by_address() {
        for (a, b, expected) in [
            (port("", 80), port("127.0.0.1", 80), true),
            (port("0.0.0.0", 80), port("", 80), true),
            (port("127.0.0.1", 80), port("127.0.0.2", 80), false),
            (port("127.0.0.1", 80), port("127.0.0.1", 80), true),
            (port("", 80), port("", 81), false),
            (port("", 80), HostPort { protocol: Protocol::Udp, ..port("", 80) }, false),
        ] {
            assert_eq!(ports_conflict(&a, &b), expected, "{a:?} {b:?}");
            for (used, wanted) in [(&a, &b), (&b, &a)] {
                let mut all = UsedPorts::default();
                all.add(&[port("9.9.9.9", 79), used.clone(), port("", 443)]);
                assert_eq!(all.conflicts(std::slice::from_ref(wanted)), expected, "{used:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn counted() {
        let mut used = UsedPorts::default();
        used.add(&[port("", 80)]);
        used.add(&[port("", 80)]);
        used.remove(&[port("", 80)]);
        assert!(used.conflicts(&[port("1.2.3.4", 80)]));
        used.remove(&[port("", 80)]);
        assert!(used.is_empty());
        used.remove(&[port("", 80)]);
    }
}
