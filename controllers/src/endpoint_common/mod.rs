//! What the Endpoints, the EndpointSlice and the mirroring controllers share: which pods stand behind a service, by which
//! address and port, which services a changed pod concerns (`staging/src/k8s.io/endpointslice/{utils.go,util}`), the one
//! form of subsets, how slices are compared and written, and how another manager at work is noticed.

mod addresses;
mod ports;
mod rush;
mod services;
pub mod slices;
mod subsets;
mod trigger_time;

#[cfg(test)]
pub(crate) mod store;

pub use self::{
    addresses::{AddressFamily, canonical_ip, first_ip, ips_of},
    ports::{endpoint_ports, find_port},
    rush::Rush,
    services::{concerned_services, in_namespace, is_ip_set, selected_pods},
    subsets::{MOST_EXPANDED, repack, repack_foreign},
    trigger_time::TriggerTimes,
};

pub use crate::rival::{Rival, is_beyond};

use std::time::Duration;

use headroom_core::object::{ObjectReference, Pod, Service, TargetRef};
use serde_json::{Map, Value, json};

/// Label on what belongs to a service without an address of its own.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation with the time of the change that led to the last write.
pub const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Annotation on Endpoints that old components use as a lock: no service has ever stood behind them.
pub const LEADER_LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
/// Retries of a failing key before it waits for the next event.
pub const MAX_RETRIES: u32 = 15;
/// After this a write that the watch has not shown is not waited for any more. Every later write carries a resource
/// version, so an old view leads to a conflict at worst.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the pod has an address to publish (`ShouldPodBeInEndpoints`).
#[must_use]
pub fn is_published(pod: &Pod, include_terminating: bool) -> bool {
    !pod.is_terminal() && !pod.status.ips.is_empty() && (include_terminating || !pod.meta.is_terminating())
}

/// The pod's host name under this service, empty when it has none (`ShouldSetHostname`).
#[must_use]
pub fn hostname<'a>(pod: &'a Pod, service: &Service) -> &'a str {
    if service.meta.key.name == *pod.subdomain() && pod.meta.key.namespace == service.meta.key.namespace {
        pod.hostname()
    } else {
        ""
    }
}

/// The reference to the pod behind an address.
#[must_use]
pub fn target_of(pod: &Pod) -> TargetRef {
    let object = ObjectReference {
        kind: "Pod".into(),
        namespace: pod.meta.key.namespace.clone(),
        name: pod.meta.key.name.clone(),
        uid: pod.meta.uid.clone(),
    };
    object.into()
}

/// `targetRef` as JSON.
#[must_use]
pub fn target_json(target: &TargetRef) -> Value {
    let object = &target.object;
    let fields =
        [("kind", &object.kind), ("namespace", &object.namespace), ("name", &object.name), ("uid", &object.uid)];
    let rest = target.rest.iter().flat_map(|r| [("apiVersion", &r.api_version), ("fieldPath", &r.field_path)]);
    let set = fields.into_iter().chain(rest).filter(|(_, value)| !value.is_empty());
    Value::Object(set.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>())
}

/// Whether the loop writes anything for the service: it has a selector and is not an alias. An empty selector counts as
/// none: storage drops it, and selecting every pod is never meant (reference 2.3).
#[must_use]
pub fn is_managed(service: &Service) -> bool {
    &*service.kind != "ExternalName" && service.selector.as_ref().is_some_and(|s| !s.is_empty())
}
