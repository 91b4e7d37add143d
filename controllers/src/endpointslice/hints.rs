//! Hints from `trafficDistribution` (reference 3.8, `endpointslice/trafficdist`), and which services have others.

use headroom_core::object::{Endpoint, Service};

/// The annotation that turns topology aware routing on, its older name first: that one wins.
const TOPOLOGY: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];

/// What hints the endpoints of a service get from their own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hints {
    /// None: traffic goes everywhere.
    Off,
    /// The endpoint's own zone.
    Zone,
    /// Its own zone and its own node.
    ZoneAndNode,
}

/// The labels `topology` and `traffic_distribution` of upstream's metrics.
pub(super) fn labels(service: &Service) -> (&'static str, &'static str) {
    if is_topology_aware(service) {
        return ("Auto", "");
    }
    let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    ("Disabled", known.into_iter().find(|d| service.traffic_distribution == *d).unwrap_or_default())
}

/// Whether the annotation asks for hints by the nodes' CPU (`topology.rs`). It beats the field, also where it comes to nothing.
pub(super) fn is_topology_aware(service: &Service) -> bool {
    let annotation = TOPOLOGY.iter().find_map(|key| service.meta.annotations.get(key));
    annotation.is_some_and(|v| matches!(v.as_str(), "Auto" | "auto"))
}

impl Hints {
    /// What the service asks for.
    pub(super) fn of(service: &Service) -> Self {
        if is_topology_aware(service) {
            return Self::Off;
        }
        match service.traffic_distribution.as_str() {
            "PreferClose" | "PreferSameZone" => Self::Zone,
            "PreferSameNode" => Self::ZoneAndNode,
            _ => Self::Off,
        }
    }

    /// Whether the endpoints' hints are other than they should be. Those of endpoints that are not ready do not matter.
    pub(super) fn need_update(self, endpoints: &[Endpoint]) -> bool {
        endpoints.iter().any(|e| {
            let (zones, nodes) = (list(&e.hint_zones), list(&e.hint_nodes));
            if self == Self::Off {
                return !zones.is_empty() || !nodes.is_empty();
            }
            e.ready == Some(true) && (zones != self.zones(e) || nodes != self.nodes(e))
        })
    }

    /// Sets the hints.
    pub(super) fn apply(self, endpoints: &mut [Endpoint]) {
        for e in endpoints {
            if self == Self::Off {
                e.hint_zones = Box::default();
                e.hint_nodes = Box::default();
            } else if e.ready == Some(true) {
                let (zones, nodes) = (self.zones(e), self.nodes(e));
                let (zones, nodes) =
                    (zones.iter().map(|z| (*z).into()).collect(), nodes.iter().map(|n| (*n).into()).collect());
                e.hint_zones = zones;
                e.hint_nodes = nodes;
            }
        }
    }

    fn zones(self, e: &Endpoint) -> Vec<&str> {
        if e.zone.is_empty() { vec![] } else { vec![&e.zone] }
    }

    fn nodes(self, e: &Endpoint) -> Vec<&str> {
        if self != Self::ZoneAndNode || e.node_name.is_empty() { vec![] } else { vec![&e.node_name] }
    }
}

fn list(hints: &[headroom_core::Str]) -> Vec<&str> {
    hints.iter().map(headroom_core::Str::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::Meta;

    fn endpoint(ready: bool, zone: &str, zones: &[&str], nodes: &[&str]) -> Endpoint {
        Endpoint {
            ready: Some(ready),
            zone: zone.into(),
            node_name: "n".into(),
            hint_zones: zones.iter().map(|z| (*z).into()).collect(),
            hint_nodes: nodes.iter().map(|n| (*n).into()).collect(),
            ..Endpoint::default()
        }
    }

    #[test]
    fn the_annotation_beats_the_field() {
        let service = |field: &str, annotations: &[(&str, &str)]| Service {
            meta: Meta { annotations: annotations.iter().copied().collect(), ..Meta::default() },
            traffic_distribution: field.into(),
            ..Service::default()
        };
        for (field, annotations, expected) in [
            ("", vec![], Hints::Off),
            ("Unknown", vec![], Hints::Off),
            ("PreferClose", vec![], Hints::Zone),
            ("PreferSameZone", vec![], Hints::Zone),
            ("PreferSameNode", vec![], Hints::ZoneAndNode),
            ("PreferClose", vec![(TOPOLOGY[1], "Auto")], Hints::Off),
            ("PreferClose", vec![(TOPOLOGY[0], "disabled"), (TOPOLOGY[1], "Auto")], Hints::Zone),
        ] {
            assert_eq!(Hints::of(&service(field, &annotations)), expected, "{field} {annotations:?}");
        }
    }

    /// Translated from `TestReconcileHints`.
    #[test]
    fn right_wrong_and_stale() {
        for (hints, e, wrong) in [
            (Hints::Zone, endpoint(true, "a", &["a"], &[]), false),
            (Hints::Zone, endpoint(true, "a", &[], &[]), true),
            (Hints::Zone, endpoint(true, "a", &["b"], &[]), true),
            (Hints::Zone, endpoint(true, "a", &["a"], &["n"]), true),
            (Hints::Zone, endpoint(true, "", &["a"], &[]), true),
            (Hints::Zone, endpoint(true, "", &[], &[]), false),
            (Hints::Zone, endpoint(false, "a", &["b"], &[]), false),
            (Hints::ZoneAndNode, endpoint(true, "a", &["a"], &[]), true),
            (Hints::ZoneAndNode, endpoint(true, "a", &["a"], &["n"]), false),
            (Hints::Off, endpoint(false, "a", &["a"], &[]), true),
            (Hints::Off, endpoint(true, "a", &[], &[]), false),
        ] {
            let mut all = [e];
            assert_eq!(hints.need_update(&all), wrong, "{hints:?} {all:?}");
            hints.apply(&mut all);
            assert!(!hints.need_update(&all), "{hints:?} {all:?}");
        }
    }
}
