//! Host ports in use on a node (`framework.HostPortInfo`; reference 3.6).

use headroom_core::Str;

use crate::framework::HostPort;

/// Ports in use, with how many pods hold each: two pods can hold the same one when they were bound behind the
/// scheduler's back, and then it is free only when both are gone (upstream frees it with the first).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsedPorts(Vec<(HostPort, u32)>);

fn any_address(ip: &Str) -> bool {
    ip.is_empty() || ip == "0.0.0.0"
}

/// Whether both cannot be open on one node: same protocol and port, and one of them on all addresses or both on the
/// same.
#[must_use]
pub fn ports_conflict(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && a.protocol == b.protocol && (any_address(&a.ip) || any_address(&b.ip) || a.ip == b.ip)
}

impl UsedPorts {
    /// A pod with these ports came.
    pub fn add(&mut self, ports: &[HostPort]) {
        for port in ports {
            match self.0.iter_mut().find(|(p, _)| p == port) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => self.0.push((port.clone(), 1)),
            }
        }
    }

    /// It went.
    pub fn remove(&mut self, ports: &[HostPort]) {
        for port in ports {
            if let Some(at) = self.0.iter().position(|(p, _)| p == port) {
                self.0[at].1 -= 1;
                if self.0[at].1 == 0 {
                    self.0.swap_remove(at);
                }
            }
        }
    }

    /// Whether any of `wanted` is taken.
    #[must_use]
    pub fn conflicts(&self, wanted: &[HostPort]) -> bool {
        wanted.iter().any(|w| self.0.iter().any(|(used, _)| ports_conflict(used, w)))
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
        self.len() == other.len() && self.0.iter().all(|one| other.0.contains(one))
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::object::Protocol;

    use super::*;

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
