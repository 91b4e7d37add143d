//! What is remembered for topology aware hints between two looks (`endpointslice/topologycache`): the zones' shares, and
//! what each service has got.

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::{
    intent::EventType,
    object::{AddressType, EndpointSlice, Node, ObjectKey},
};

use super::{
    assign::assign,
    shares::{Counts, Shares, is_overloaded, is_ready, shares, zone_of},
};
use crate::{
    endpoint_common::slices::Plan,
    framework::{Changed, World},
};

/// An event on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) kind: EventType,
    pub(super) reason: &'static str,
    pub(super) text: String,
}

impl Note {
    fn enabled(address_type: AddressType) -> Self {
        let text = told("Topology Aware Hints has been enabled", address_type);
        Self { kind: EventType::Normal, reason: "TopologyAwareHintsEnabled", text }
    }

    fn disabled(why: &str, address_type: AddressType) -> Self {
        Self { kind: EventType::Warning, reason: "TopologyAwareHintsDisabled", text: told(why, address_type) }
    }
}

fn told(what: &str, address_type: AddressType) -> String {
    format!("{what}, addressType: {}", address_type.as_str())
}

/// What is remembered of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// By family, the endpoints that are hinted to each zone.
    hinted: BTreeMap<AddressType, Counts>,
    /// Whether the last word was that there are hints. Upstream has one for all families.
    enabled: bool,
}

impl Page {
    /// Hints of one family, as the annotation asks for them.
    pub(super) fn assign(
        &mut self,
        shares: Option<&Shares>,
        address_type: AddressType,
        unchanged: &[Arc<EndpointSlice>],
        plan: &mut Plan,
    ) -> Result<Option<Note>, Note> {
        match assign(shares, unchanged, plan) {
            Ok(counts) => {
                self.hinted.insert(address_type, counts);
                let news = !std::mem::replace(&mut self.enabled, true);
                Ok(news.then(|| Note::enabled(address_type)))
            }
            Err(refusal) => {
                self.remove(address_type);
                Err(Note::disabled(&refusal.to_string(), address_type))
            }
        }
    }

    /// The annotation does not ask for hints of this family, or not any more.
    pub(super) fn disable(&mut self, address_type: AddressType) -> Option<Note> {
        let news = self.enabled;
        self.remove(address_type);
        news.then(|| Note::disabled("Topology Aware Hints has been disabled", address_type))
    }

    /// The family has no hints.
    pub(super) fn remove(&mut self, address_type: AddressType) {
        self.hinted.remove(&address_type);
        self.enabled = false;
    }
}

/// The shares, and the pages of all services that have hints.
#[derive(Debug)]
pub(super) struct Topology {
    /// As nodes were when one of them last came, went, became ready or not, or moved; before any was seen there are none.
    shares: Option<Shares>,
    /// Whether that has happened since.
    stale: bool,
    pages: BTreeMap<ObjectKey, Page>,
}

impl Default for Topology {
    fn default() -> Self {
        Self { shares: Some(Shares::new()), stale: false, pages: BTreeMap::new() }
    }
}

impl Topology {
    /// A node has changed. Another CPU, or another role, is not noticed until one comes, goes, becomes ready or not, or
    /// moves, as upstream.
    pub(super) fn observe(&mut self, change: &Changed<'_, Node>) {
        let seen = |node: Option<&Arc<Node>>| node.map(|node| (is_ready(node), zone_of(node).cloned()));
        self.stale |= seen(change.old) != seen(change.new);
    }

    /// Whether services have hints, which depend on nodes.
    pub(super) fn is_in_use(&self) -> bool {
        !self.pages.is_empty()
    }

    /// Takes in how nodes have changed. Returns the services that have to be looked at for that reason: a zone has too few
    /// endpoints now, or the shares are not known any more.
    pub(super) fn refresh(&mut self, world: &World) -> Vec<ObjectKey> {
        if !std::mem::take(&mut self.stale) {
            return Vec::new();
        }
        self.shares = shares(world.nodes.values().map(Arc::as_ref));
        let shares = self.shares.as_ref();
        let overloaded = |page: &Page| page.hinted.values().any(|counts| is_overloaded(counts, shares));
        self.pages.iter().filter(|(_, page)| overloaded(page)).map(|(key, _)| key.clone()).collect()
    }

    /// The zones' shares, as of the last [`Self::refresh`].
    pub(super) const fn shares(&self) -> Option<&Shares> {
        self.shares.as_ref()
    }

    /// What is remembered of the service.
    pub(super) fn page(&self, service: &ObjectKey) -> Page {
        self.pages.get(service).cloned().unwrap_or_default()
    }

    /// Remembers this of the service.
    pub(super) fn keep(&mut self, service: &ObjectKey, page: Page) {
        if page == Page::default() {
            self.pages.remove(service);
        } else {
            self.pages.insert(service.clone(), page);
        }
    }

    /// The service is gone, or has no slices of ours any more.
    pub(super) fn forget(&mut self, service: &ObjectKey) {
        self.pages.remove(service);
    }

    /// This process leads from now on.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
    }
}
