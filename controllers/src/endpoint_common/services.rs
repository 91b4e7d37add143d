//! Which services a pod concerns (reference 2.2).

use std::sync::Arc;

use headroom_core::{
    Str,
    object::{ObjectKey, Pod, Service},
    selector::Labels,
};

use crate::framework::{Changed, World};

/// All services of a namespace.
pub fn in_namespace<'w>(world: &'w World, namespace: &Str) -> impl Iterator<Item = &'w Arc<Service>> {
    let from = ObjectKey { namespace: namespace.clone(), name: Str::default() };
    let namespace = namespace.clone();
    world.services.range(from..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, service)| service)
}

/// The pods that a service selects, by name.
pub fn selected_pods<'w>(world: &'w World, service: &'w Service) -> impl Iterator<Item = &'w Arc<Pod>> {
    let selector = service.selector.as_ref().filter(|s| !s.is_empty());
    world
        .pods
        .in_namespace(&service.meta.key.namespace)
        .filter(move |pod| selector.is_some_and(|s| s.selects(&pod.meta.labels)))
}

/// Whether the service has an address of its own (`IsServiceIPSet`).
#[must_use]
pub fn is_ip_set(service: &Service) -> bool {
    !service.cluster_ip.is_empty() && !service.is_headless()
}

/// The services whose endpoints the change of a pod may change (`GetPodUpdateProjectionKey`,
/// `GetServicesToUpdate`).
///
/// Beyond upstream, a pod that ends without having been ready is noticed at once; upstream leaves it among the addresses
/// that are not ready until something else happens.
#[must_use]
pub fn concerned_services(change: &Changed<'_, Pod>, world: &World) -> Vec<ObjectKey> {
    let Some(latest) = change.latest() else { return Vec::new() };
    let (mut before, mut after): (Option<&Labels>, Option<&Labels>) = (None, None);
    let mut only_difference = false;
    match (change.old, change.new) {
        (Some(old), Some(new)) if old.meta.uid == new.meta.uid => {
            let relabeled = old.meta.labels != new.meta.labels;
            let changed = pod_changed(old, new);
            if !relabeled && !changed {
                return Vec::new();
            }
            after = Some(&new.meta.labels);
            before = relabeled.then_some(&old.meta.labels);
            only_difference = relabeled && !changed;
        }
        (old, new) => {
            before = old.map(|p| &p.meta.labels).or(before);
            after = new.map(|p| &p.meta.labels).or(after);
        }
    }
    in_namespace(world, &latest.meta.key.namespace)
        .filter(|service| {
            let Some(selector) = service.selector.as_ref().filter(|s| !s.is_empty()) else { return false };
            let was = before.is_some_and(|l| selector.selects(l));
            let is = after.is_some_and(|l| selector.selects(l));
            if only_difference { was != is } else { was || is }
        })
        .map(|service| service.meta.key.clone())
        .collect()
}

/// Whether anything changed that endpoints show.
fn pod_changed(old: &Pod, new: &Pod) -> bool {
    old.meta.deleted() != new.meta.deleted()
        || old.is_ready() != new.is_ready()
        || old.status.ips != new.status.ips
        || old.is_terminal() != new.is_terminal()
        || old.dns != new.dns
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{
        object::{Meta, Phase, Status},
        testing::{PodBuilder, pod},
    };

    fn world() -> World {
        let mut world = World::default();
        type Selector = Option<&'static [(&'static str, &'static str)]>;
        let services: [(&str, &str, Selector); 5] = [
            ("default", "a", Some(&[("app", "a")])),
            ("default", "ab", Some(&[("app", "a"), ("tier", "b")])),
            ("default", "none", None),
            ("default", "empty", Some(&[])),
            ("other", "a", Some(&[("app", "a")])),
        ];
        for (namespace, name, selector) in services {
            let service = Service {
                meta: Meta { key: ObjectKey::new(namespace, name), ..Meta::default() },
                selector: selector.map(|s| s.iter().copied().collect()),
                ..Service::default()
            };
            world.apply_service(Arc::new(service), |_, _| {});
        }
        world
    }

    /// Translated from `TestGetServicesToUpdate` and `Test_podChanged`.
    #[test]
    fn only_what_matters() {
        let base = || pod("p").label("app", "a").ready(5, "10.0.0.1");
        type Case = (&'static str, Option<PodBuilder>, Option<PodBuilder>, &'static [&'static str]);
        let cases: Vec<Case> = vec![
            ("new", None, Some(base()), &["a"]),
            ("gone", Some(base()), None, &["a"]),
            ("nothing", Some(base()), Some(base().rv(9).annotation("x", "y")), &[]),
            ("label in", Some(base()), Some(base().label("tier", "b")), &["ab"]),
            ("label out", Some(base().label("tier", "b")), Some(base()), &["ab"]),
            ("label and ip", Some(base().label("tier", "b")), Some(base().ready(5, "10.0.0.2")), &["a", "ab"]),
            ("ready", Some(base().condition("Ready", Status::False, 6)), Some(base()), &["a"]),
            ("deleted", Some(base()), Some(base().deleted(9)), &["a"]),
            ("failed", Some(pod("p").label("app", "a")), Some(pod("p").label("app", "a").phase(Phase::Failed)), &["a"]),
            ("made anew", Some(base().uid("1")), Some(base().uid("2")), &["a"]),
            ("host", Some(base()), Some(base().dns("h", "")), &["a"]),
        ];
        let world = world();
        for (what, old, new, expected) in cases {
            let (old, new) = (old.map(PodBuilder::arc), new.map(PodBuilder::arc));
            let keys = concerned_services(&Changed { old: old.as_ref(), new: new.as_ref() }, &world);
            let names: Vec<_> = keys.iter().map(|k| k.name.to_string()).collect();
            assert_eq!(names, expected, "{what}");
        }
    }
}
