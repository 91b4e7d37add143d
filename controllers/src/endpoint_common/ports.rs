//! Where a service's port leads in a pod (reference 2.4).

use headroom_core::object::{EndpointPort, Pod, Service, ServicePort, TargetPort};

/// The number behind a service's port in this pod (`FindPort`): a number is taken as it is, a name is looked for, with
/// the protocol, among the containers' ports and then among the sidecars'.
#[must_use]
pub fn find_port(pod: &Pod, port: &ServicePort) -> Option<u16> {
    let name = match &port.target {
        TargetPort::Number(number) => return Some(*number),
        TargetPort::Name(name) => name,
    };
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restartable);
    pod.spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter())
        .find(|p| p.name == *name && p.protocol == port.protocol)
        .map(|p| p.container_port)
}

/// All ports of the service that this pod has; those that it has not are left out.
#[must_use]
pub fn endpoint_ports(pod: &Pod, service: &Service) -> Vec<EndpointPort> {
    let resolve = |port: &ServicePort| {
        Some(EndpointPort {
            name: port.name.clone(),
            port: Some(find_port(pod, port)?),
            protocol: port.protocol,
            app_protocol: port.app_protocol.clone(),
        })
    };
    service.ports.iter().filter_map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{
        object::Protocol,
        testing::{container, pod},
    };

    /// Translated from `TestFindPort`.
    #[test]
    fn by_number_by_name_and_protocol() {
        let port =
            |target| ServicePort { name: "p".into(), protocol: Protocol::Tcp, port: 80, target, app_protocol: None };
        let named = |n: &str| port(TargetPort::Name(n.into()));
        let p = pod("a")
            .container(container("c").port("web", 8080, 0))
            .container(container("d").port("web", 9090, 0).port("udp", 53, 0))
            .spec(|s| {
                s.containers[1].ports[1].protocol = Protocol::Udp;
                s.init_containers = Box::new([
                    container("i").port("init", 1, 0).build(),
                    container("s").port("side", 7070, 0).restartable().build(),
                ]);
            })
            .build();
        for (port, expected) in [
            (port(TargetPort::Number(81)), Some(81)),
            (named("web"), Some(8080)),
            (named("side"), Some(7070)),
            (named("init"), None),
            (named("udp"), None),
            (named("none"), None),
        ] {
            assert_eq!(find_port(&p, &port), expected, "{port:?}");
        }
    }
}
