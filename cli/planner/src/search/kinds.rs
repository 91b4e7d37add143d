//! The machine types that are worth looking at.

use std::sync::Arc;

use headroom_core::object::Pod;
use headroom_engine::framework::PodInfo;

use super::{Kind, Search};
use crate::{
    PlanError,
    bound::{Amounts, PARTS},
    catalogue::Price,
    cluster::is_control_plane,
    machine::{Machine, Role, offer_of},
};

impl<'a> Search<'a> {
    /// The types that can play a role, without those that another one beats at its price. Where a pod asks for more
    /// than the parts of a need, none is left out: what it asks for may be what the dearer one has.
    pub(super) fn kinds(&self, role: &Role) -> Result<Vec<Kind<'a>>, PlanError> {
        let mut kinds: Vec<Kind<'a>> = Vec::new();
        let any_will_do = !self.load.pods.iter().any(is_particular);
        for offer in &self.question.catalogue.offers {
            let machine = Machine::new(offer, "new", role, self.swap, self.load.cluster.now);
            // A node of this type that is there already may have more for pods than a new one is sure to have.
            let mut rooms = vec![self.load.room(&machine)?];
            let mut there = 0;
            for node in self.load.cluster.nodes.values().filter(|node| !self.full.contains(node.name())) {
                let of = offer_of(node, &self.question.catalogue.offers);
                if is_control_plane(node) == role.control_plane && of.is_some_and(|(of, _)| of.name == offer.name) {
                    there += usize::from(!self.kept.iter().any(|kept| kept.name() == node.name()));
                    rooms.push(self.load.room(&Machine::kept(self.load.cluster, node, Some(offer), self.swap))?);
                }
            }
            let largest = |a: Amounts, b: Amounts| std::array::from_fn(|part| a[part].max(b[part]));
            let Some(room) = rooms.into_iter().flatten().reduce(largest) else { continue };
            // Offers come by price: one that is beaten is beaten by one before it. What a machine gives by the model
            // says nothing of its swap alone, so only types that agree on that are compared. What is there already is
            // beaten by a lower price alone: for the same one nobody has to order another machine. So is what costs
            // nothing: a larger one is no bargain.
            let beats = |k: &Kind<'_>| {
                any_will_do
                    && k.offer.swap == offer.swap
                    && (k.offer.price < offer.price || (there == 0 && offer.price > Price(0)))
                    && (0..PARTS).all(|part| k.room[part] >= room[part])
            };
            if !kinds.iter().any(beats) {
                kinds.push(Kind { offer, room, there });
            }
        }
        Ok(kinds)
    }
}

/// Whether a pod asks for what no part of its need tells: labels of its node, extended resources, huge pages.
fn is_particular(pod: &Arc<Pod>) -> bool {
    let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node.as_ref());
    !pod.spec.node_selector.is_empty()
        || affinity.is_some_and(|node| node.required.is_some())
        || PodInfo::new(pod.clone()).spec.requests.scalars.iter().any(|(_, amount)| *amount > 0)
}
