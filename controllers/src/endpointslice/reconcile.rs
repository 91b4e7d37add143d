//! The decision about one service, as a pure function of the view (reference 3.6, `Reconciler.Reconcile`).

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::object::{AddressType, EndpointPort, EndpointSlice, ObjectKey, Service};

use super::{
    desired::{address_types, groups},
    hints::{Hints, is_topology_aware},
    object::{is_owned_by, is_placeholder, labels_changed},
    placement::place,
    shares::Shares,
    topology::{Note, Page},
};
use crate::{
    endpoint_common::slices::{Draft, Figures, Plan, port_key},
    framework::World,
};

/// What a decision rests on, beside the service and its slices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) world: &'a World,
    /// The zones' shares of the nodes' CPU.
    pub(super) shares: Option<&'a Shares>,
    /// Endpoints of a slice at most.
    pub(super) max: usize,
}

/// What a service needs.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) plan: Plan,
    /// Pods that had to be left out, which calls for another look.
    pub(super) errors: Vec<String>,
    pub(super) figures: Figures,
    /// What is to be remembered of its hints.
    pub(super) page: Page,
    /// What is to be told of its hints.
    pub(super) notes: Vec<Note>,
}

/// Compares the slices that a service has (ours, none of them being deleted) with those that it should have. `page` is what
/// the last look left.
pub(super) fn reconcile(service: &Service, slices: &[Arc<EndpointSlice>], basis: Basis<'_>, page: Page) -> Decision {
    let mut out = Decision { page, ..Decision::default() };
    let types = address_types(service);
    let mut by_type: BTreeMap<AddressType, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        if types.contains(&slice.address_type) {
            by_type.entry(slice.address_type).or_default().push(slice.clone());
        } else {
            out.page.remove(slice.address_type);
            out.plan.delete.push(slice.clone());
        }
    }
    for address_type in types {
        let mut existing = by_type.remove(&address_type).unwrap_or_default();
        existing.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        reconcile_type(service, &existing, basis, address_type, &mut out);
    }
    out.figures.desired_slices = out.figures.desired_slices.max(1);
    out
}

fn reconcile_type(
    service: &Service,
    existing: &[Arc<EndpointSlice>],
    basis: Basis<'_>,
    address_type: AddressType,
    out: &mut Decision,
) {
    let max = basis.max.max(1);
    let mut plan = Plan::default();
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        if is_owned_by(slice, service) {
            by_ports.entry(port_key(&slice.ports)).or_default().push(slice.clone());
        } else {
            plan.delete.push(slice.clone());
        }
    }
    let (groups, errors) = groups(service, basis.world, address_type);
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
    hint(service, existing, basis.shares, address_type, &mut plan, out);
    out.figures.slices += existing.len() + plan.create.len() - plan.delete.len();
    plan.recycle(|slice| is_owned_by(slice, service));
    out.plan.absorb(plan);
}

/// Sets the hints of what is written, and writes what has wrong ones.
fn hint(
    service: &Service,
    existing: &[Arc<EndpointSlice>],
    shares: Option<&Shares>,
    address_type: AddressType,
    plan: &mut Plan,
    out: &mut Decision,
) {
    let names = |key: &ObjectKey| {
        plan.update.iter().filter_map(|d| d.existing.as_ref()).any(|s| s.meta.key == *key)
            || plan.delete.iter().any(|s| s.meta.key == *key)
    };
    let unchanged: Vec<_> = existing.iter().filter(|s| !names(&s.meta.key)).cloned().collect();
    if is_topology_aware(service) {
        match out.page.assign(shares, address_type, &unchanged, plan) {
            Ok(news) => return out.notes.extend(news),
            Err(refused) => out.notes.push(refused),
        }
    } else {
        out.notes.extend(out.page.disable(address_type));
    }
    let hints = Hints::of(service);
    plan.update.extend(unchanged.iter().filter(|s| hints.need_update(&s.endpoints)).map(Draft::of));
    for draft in plan.create.iter_mut().chain(&mut plan.update) {
        hints.apply(&mut draft.endpoints);
    }
}
