//! Slices: how they are compared, what is to be done with them, as JSON, and the writes (reference part 3).

mod json;
mod measure;
mod writer;

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    Str,
    object::{AddressType, Endpoint, EndpointPort, EndpointSlice, ObjectKey, TargetRef},
};

pub use self::{
    json::Header,
    measure::{SliceMetrics, endpoints_per_sync},
    writer::{Changes, Report, SliceWriter, View, Writes},
};
use crate::framework::{Changed, service_of};

/// Label with the writer. Its values are upstream's, for kube-proxy reads the slices of all writers (reference 3.12).
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Whether this writer manages the slice.
#[must_use]
pub fn is_managed_by(slice: &EndpointSlice, manager: &str) -> bool {
    slice.meta.labels.get(MANAGED_BY).is_some_and(|v| v == manager)
}

/// The services of this writer's slices that a change concerns, each once: two when the label was changed.
pub fn concerned<'a>(
    change: &Changed<'a, EndpointSlice>,
    manager: &str,
) -> impl Iterator<Item = (ObjectKey, &'a Arc<EndpointSlice>)> + use<'a> {
    let of = |slice: Option<&'a Arc<EndpointSlice>>| {
        let slice = slice.filter(|s| is_managed_by(s, manager))?;
        Some((service_of(&slice.meta)?, slice))
    };
    let (new, old) = (of(change.new), of(change.old));
    let old = old.filter(|(key, _)| new.as_ref().is_none_or(|(k, _)| k != key));
    new.into_iter().chain(old)
}

/// Makes an endpoint the same one although something about it has changed: addresses, host name, object behind it
/// (`hashEndpoint`).
pub type Identity = (Vec<Str>, Str, Str, Str);

/// The identity of an endpoint.
#[must_use]
pub fn identity(e: &Endpoint) -> Identity {
    let mut addresses = e.addresses.to_vec();
    addresses.sort();
    let of = |t: &TargetRef| (t.object.namespace.clone(), t.object.name.clone());
    let (namespace, name) = e.target.as_ref().map(of).unwrap_or_default();
    (addresses, e.hostname.clone(), namespace, name)
}

/// Whether two versions of one endpoint differ in what consumers see (`EndpointsEqualBeyondHash`). Hints are looked at
/// elsewhere.
#[must_use]
pub fn same(a: &Endpoint, b: &Endpoint) -> bool {
    let seen = |e: &Endpoint| (e.ready, e.serving, e.terminating);
    seen(a) == seen(b) && a.node_name == b.node_name && a.zone == b.zone && a.target == b.target
}

/// Ports in one order, so that they can be compared.
#[must_use]
pub fn port_key(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut key = ports.to_vec();
    key.sort();
    key
}

/// The endpoints that share their ports.
#[derive(Debug, Default)]
pub struct Group {
    /// In the order in which they are written.
    pub ports: Vec<EndpointPort>,
    /// Each once.
    pub endpoints: BTreeMap<Identity, Endpoint>,
}

/// A slice as it should be.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The slice to change; absent for a new one.
    pub existing: Option<Arc<EndpointSlice>>,
    /// Family.
    pub address_type: AddressType,
    /// Ports.
    pub ports: Vec<EndpointPort>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Draft {
    /// The slice as it is.
    #[must_use]
    pub fn of(slice: &Arc<EndpointSlice>) -> Self {
        Self {
            existing: Some(slice.clone()),
            address_type: slice.address_type,
            ports: slice.ports.clone(),
            endpoints: slice.endpoints.clone(),
        }
    }
}

/// What is to be done with slices. What is not listed stays as it is.
#[derive(Debug, Default)]
pub struct Plan {
    /// New ones.
    pub create: Vec<Draft>,
    /// Those to change; all have `existing`.
    pub update: Vec<Draft>,
    /// Those to delete.
    pub delete: Vec<Arc<EndpointSlice>>,
    /// Endpoints that were not in any slice.
    pub added: usize,
    /// Endpoints that are in none any more.
    pub removed: usize,
}

impl Plan {
    /// Takes over what another plan says.
    pub fn absorb(&mut self, other: Self) {
        self.create.extend(other.create);
        self.update.extend(other.update);
        self.delete.extend(other.delete);
        self.added += other.added;
        self.removed += other.removed;
    }

    /// Turns pairs of a deletion and a creation of the same family into updates (`recycleSlices`).
    pub fn recycle(&mut self, reusable: impl Fn(&EndpointSlice) -> bool) {
        for slice in std::mem::take(&mut self.delete) {
            let fits = |draft: &Draft| draft.address_type == slice.address_type && reusable(&slice);
            match self.create.iter().position(fits) {
                Some(at) => {
                    let mut draft = self.create.remove(at);
                    draft.existing = Some(slice);
                    self.update.push(draft);
                }
                None => self.delete.push(slice),
            }
        }
    }
}

/// For the gauges of reference 5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Endpoints.
    pub endpoints: usize,
    /// Slices.
    pub slices: usize,
    /// The fewest slices that would do.
    pub desired_slices: usize,
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, f| Self {
            endpoints: sum.endpoints + f.endpoints,
            slices: sum.slices + f.slices,
            desired_slices: sum.desired_slices + f.desired_slices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::Meta;

    fn slice(name: &str, address_type: AddressType) -> Arc<EndpointSlice> {
        let meta = Meta { key: ObjectKey::new("default", name), ..Meta::default() };
        Arc::new(EndpointSlice { meta, address_type, ..EndpointSlice::default() })
    }

    /// Translated from `TestRecycleSlices`.
    #[test]
    fn deletions_and_creations_of_one_family_become_updates() {
        use AddressType::{IPv4, IPv6};
        type Case<'a> = (&'a str, &'a [AddressType], &'a [(&'a str, AddressType)], usize, &'a [&'a str], &'a [&'a str]);
        let cases: [Case<'_>; 7] = [
            ("nothing", &[], &[], 0, &[], &[]),
            ("one each", &[IPv4], &[("bar", IPv4)], 0, &["bar"], &[]),
            ("two to create", &[IPv4, IPv4], &[("bar", IPv4)], 1, &["bar"], &[]),
            ("two to delete", &[IPv4], &[("bar1", IPv4), ("bar2", IPv4)], 0, &["bar1"], &["bar2"]),
            ("each family", &[IPv4, IPv6], &[("v4", IPv4), ("v6", IPv6)], 0, &["v4", "v6"], &[]),
            ("families crossed", &[IPv6, IPv4], &[("v4", IPv4), ("v6", IPv6)], 0, &["v4", "v6"], &[]),
            ("wrong family", &[IPv4], &[("v6", IPv6)], 1, &[], &["v6"]),
        ];
        for (what, create, delete, created, updated, deleted) in cases {
            let draft =
                |t: &AddressType| Draft { existing: None, address_type: *t, ports: Vec::new(), endpoints: Vec::new() };
            let mut plan = Plan {
                create: create.iter().map(draft).collect(),
                delete: delete.iter().map(|(name, t)| slice(name, *t)).collect(),
                ..Plan::default()
            };
            plan.recycle(|_| true);
            assert_eq!(plan.create.len(), created, "{what}");
            let names = |s: &Arc<EndpointSlice>| s.meta.key.name.to_string();
            let existing: Vec<_> = plan.update.iter().filter_map(|d| d.existing.as_ref()).map(names).collect();
            assert_eq!(existing, updated, "{what}");
            assert!(plan.update.iter().all(|d| d.existing.as_ref().unwrap().address_type == d.address_type), "{what}");
            assert_eq!(plan.delete.iter().map(names).collect::<Vec<_>>(), deleted, "{what}");
            plan.recycle(|_| false);
            assert_eq!(plan.create.len(), created, "{what}: nothing is reusable");
        }
    }
}
