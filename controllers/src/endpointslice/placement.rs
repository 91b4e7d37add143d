//! Which slice holds which endpoint, with the fewest writes (reference 3.6, `reconcileByPortMapping`).

use std::sync::Arc;

use headroom_core::object::{AddressType, EndpointSlice};

use crate::endpoint_common::slices::{Draft, Group, Plan, identity, same};

/// Places the endpoints of one group of ports.
pub(super) fn place(
    existing: &[Arc<EndpointSlice>],
    mut group: Group,
    address_type: AddressType,
    max: usize,
    labels_changed: impl Fn(&EndpointSlice) -> bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut unchanged: Vec<&Arc<EndpointSlice>> = Vec::new();
    // What is where it should be stays there.
    for slice in existing {
        let mut changed = labels_changed(slice);
        let mut kept = Vec::with_capacity(slice.endpoints.len());
        for endpoint in &slice.endpoints {
            if let Some(wanted) = group.endpoints.remove(&identity(endpoint)) {
                changed |= !same(&wanted, endpoint);
                kept.push(wanted);
            }
        }
        let gone = slice.endpoints.len() - kept.len();
        plan.removed += gone;
        if gone > 0 && kept.is_empty() {
            plan.delete.push(slice.clone());
        } else if gone > 0 || changed {
            plan.update.push(Draft {
                existing: Some(slice.clone()),
                address_type,
                ports: slice.ports.clone(),
                endpoints: kept,
            });
        } else {
            unchanged.push(slice);
        }
    }
    plan.added = group.endpoints.len();
    let mut rest = group.endpoints.into_values();
    // Slices that are written anyway take what they can, the fullest first.
    plan.update.sort_by_key(|d| std::cmp::Reverse(d.endpoints.len()));
    for draft in &mut plan.update {
        let room = max.saturating_sub(draft.endpoints.len());
        draft.endpoints.extend(rest.by_ref().take(room));
    }
    while rest.len() > 0 {
        let fits = (rest.len() < max).then(|| best_fit(&unchanged, rest.len(), max)).flatten();
        match fits {
            Some(at) => {
                let slice = unchanged.remove(at);
                let mut endpoints = slice.endpoints.clone();
                endpoints.extend(rest.by_ref());
                let existing = Some(slice.clone());
                plan.update.push(Draft { existing, address_type, ports: slice.ports.clone(), endpoints });
            }
            None => plan.create.push(Draft {
                existing: None,
                address_type,
                ports: group.ports.clone(),
                endpoints: rest.by_ref().take(max).collect(),
            }),
        }
    }
    plan
}

/// The slice that would be closest to full with so many more, if all fit.
fn best_fit(slices: &[&Arc<EndpointSlice>], more: usize, max: usize) -> Option<usize> {
    slices
        .iter()
        .enumerate()
        .filter_map(|(at, slice)| Some((max.checked_sub(more + slice.endpoints.len())?, at)))
        .min()
        .map(|(_, at)| at)
}
