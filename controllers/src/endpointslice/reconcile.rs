//! The decision about one service, as a pure function of the view (reference 3.6, `Reconciler.Reconcile`).

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::object::{AddressType, EndpointPort, EndpointSlice, Service};

use super::{
    desired::{address_types, groups},
    hints::Hints,
    object::{is_owned_by, is_placeholder, labels_changed},
    placement::place,
};
use crate::{
    endpoint_common::slices::{Draft, Figures, Plan, port_key},
    framework::World,
};

/// What a service needs.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) plan: Plan,
    /// Pods that had to be left out, which calls for another look.
    pub(super) errors: Vec<String>,
    pub(super) figures: Figures,
}

/// Compares the slices that a service has (ours, none of them being deleted) with those that it should have.
pub(super) fn reconcile(service: &Service, slices: &[Arc<EndpointSlice>], world: &World, max: usize) -> Decision {
    let max = max.max(1);
    let mut out = Decision::default();
    let types = address_types(service);
    let mut by_type: BTreeMap<AddressType, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        if types.contains(&slice.address_type) {
            by_type.entry(slice.address_type).or_default().push(slice.clone());
        } else {
            out.plan.delete.push(slice.clone());
        }
    }
    for address_type in types {
        let mut existing = by_type.remove(&address_type).unwrap_or_default();
        existing.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        reconcile_type(service, &existing, world, address_type, max, &mut out);
    }
    out.figures.desired_slices = out.figures.desired_slices.max(1);
    out
}

fn reconcile_type(
    service: &Service,
    existing: &[Arc<EndpointSlice>],
    world: &World,
    address_type: AddressType,
    max: usize,
    out: &mut Decision,
) {
    let mut plan = Plan::default();
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        if is_owned_by(slice, service) {
            by_ports.entry(port_key(&slice.ports)).or_default().push(slice.clone());
        } else {
            plan.delete.push(slice.clone());
        }
    }
    let (groups, errors) = groups(service, world, address_type);
    out.errors.extend(errors);
    for (key, group) in groups {
        let here = by_ports.remove(&key).unwrap_or_default();
        out.figures.endpoints += group.endpoints.len();
        out.figures.desired_slices += group.endpoints.len().div_ceil(max);
        let placed = place(&here, group, address_type, max, |slice| labels_changed(slice, service));
        plan.absorb(placed);
    }
    // Ports that nobody has any more.
    for slice in by_ports.into_values().flatten() {
        plan.removed += slice.endpoints.len();
        plan.delete.push(slice);
    }
    // There is always a slice.
    if plan.create.is_empty() && plan.delete.len() == existing.len() {
        match &*plan.delete {
            [only] if is_placeholder(only, service) => plan.delete.clear(),
            _ => {
                plan.create.push(Draft { existing: None, address_type, ports: Vec::new(), endpoints: Vec::new() });
            }
        }
    }
    hint(service, existing, &mut plan);
    out.figures.slices += existing.len() + plan.create.len() - plan.delete.len();
    plan.recycle(|slice| is_owned_by(slice, service));
    out.plan.absorb(plan);
}

/// Sets the hints of what is written, and writes what has wrong ones.
fn hint(service: &Service, existing: &[Arc<EndpointSlice>], plan: &mut Plan) {
    let hints = Hints::of(service);
    let names = |key: &headroom_core::object::ObjectKey| {
        plan.update.iter().filter_map(|d| d.existing.as_ref()).any(|s| s.meta.key == *key)
            || plan.delete.iter().any(|s| s.meta.key == *key)
    };
    let wrong: Vec<_> =
        existing.iter().filter(|s| !names(&s.meta.key) && hints.need_update(&s.endpoints)).cloned().collect();
    plan.update.extend(wrong.into_iter().map(|slice| Draft {
        address_type: slice.address_type,
        ports: slice.ports.clone(),
        endpoints: slice.endpoints.clone(),
        existing: Some(slice),
    }));
    for draft in plan.create.iter_mut().chain(&mut plan.update) {
        hints.apply(&mut draft.endpoints);
    }
}
