//! Labels and owners of slices (reference 3.5).

use headroom_core::{
    Str, Timestamp,
    object::{EndpointSlice, Service},
    selector::Labels,
};

use crate::{
    endpoint_common::{
        HEADLESS, LAST_CHANGE, is_ip_set,
        slices::{Header, MANAGED_BY},
    },
    framework::SERVICE_NAME,
};

/// Kind of the slices' owner.
pub(super) const OWNER_KIND: &str = "Service";
/// Value of the label with the writer.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

fn is_reserved(key: &str) -> bool {
    matches!(key, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

/// Whether the slice belongs to this very service, not to an older one of the same name.
pub(super) fn is_owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    slice.meta.owners.iter().any(|o| o.uid == service.meta.uid && &*o.kind == OWNER_KIND && &*o.api_version == "v1")
}

/// The labels of a service's slices: its own, except those that mean something on a slice, and the latter.
pub(super) fn labels_for(service: &Service) -> Labels {
    let own = service.meta.labels.iter().filter(|(k, _)| !is_reserved(k));
    let mut labels: Vec<(Str, Str)> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.push((SERVICE_NAME.into(), service.meta.key.name.clone()));
    labels.push((MANAGED_BY.into(), MANAGER.into()));
    if !is_ip_set(service) {
        labels.push((HEADLESS.into(), Str::default()));
    }
    Labels::new(labels)
}

/// Whether labels that are not reserved differ: only these lead to a write.
pub(super) fn labels_changed(slice: &EndpointSlice, service: &Service) -> bool {
    let plain = |(k, _): &(&Str, &Str)| !is_reserved(k);
    !slice.meta.labels.iter().filter(plain).eq(service.meta.labels.iter().filter(plain))
}

/// Whether the slice already is the empty one that a service without endpoints has.
pub(super) fn is_placeholder(slice: &EndpointSlice, service: &Service) -> bool {
    slice.endpoints.is_empty()
        && slice.ports.is_empty()
        && is_owned_by(slice, service)
        && slice.meta.labels == labels_for(service)
}

/// What all slices of a service have in common. Annotations of others are left alone.
pub(super) fn header(service: &Service, trigger: Option<Timestamp>) -> Header<'_> {
    Header {
        owner_kind: OWNER_KIND,
        owner: &service.meta,
        adopts: false,
        labels: labels_for(service),
        annotations: vec![(LAST_CHANGE.into(), trigger.map(|t| t.to_string().into()))],
        only_these_annotations: false,
    }
}
