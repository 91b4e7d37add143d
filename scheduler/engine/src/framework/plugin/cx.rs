//! What plugins work with.

use headroom_core::{
    Mono, Now, Str,
    intent::{Op, Outcome},
};

use crate::{
    cache::{Cache, NodeInfo, Slot},
    cycle::Nominated,
    framework::PodInfo,
};

/// What a plugin may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Nodes, their pods, namespaces.
    pub cache: &'a Cache,
    /// The time of this cycle.
    pub now: Now,
    /// Since when the pod has been found unschedulable, if it has been.
    pub unschedulable_since: Option<headroom_core::Timestamp>,
    /// A node as it would be: takes the place of the one in the cache.
    pub(crate) overlay: Option<(Slot, &'a NodeInfo)>,
    /// Which pods are nominated where; only hints have it.
    pub(crate) nominated: Option<&'a Nominated>,
}

impl<'a> View<'a> {
    /// The cluster at this time.
    #[must_use]
    pub const fn new(cache: &'a Cache, now: Now) -> Self {
        Self { cache, now, unschedulable_since: None, overlay: None, nominated: None }
    }

    /// The node in a slot.
    #[must_use]
    pub fn row(&self, slot: Slot) -> Option<&'a NodeInfo> {
        match self.overlay {
            Some((at, row)) if at == slot => Some(row),
            _ => self.cache.row(slot),
        }
    }

    /// All nodes with their slots, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = (Slot, &'a NodeInfo)> + use<'a> {
        let this = *self;
        this.cache.nodes().filter_map(move |(slot, _)| Some((slot, this.row(slot)?)))
    }
}

/// What Reserve and Unreserve work with.
#[derive(Debug)]
pub struct ReserveCx<'a> {
    /// The time.
    pub now: Now,
    pub(crate) cache: &'a mut Cache,
}

impl ReserveCx<'_> {
    /// The cluster, the pod counted on its node.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(self.cache, self.now)
    }
}

/// What PreBind and Bind plugins work with.
#[derive(Debug)]
pub struct BindCx<'a> {
    /// The time.
    pub now: Now,
    pub(crate) cache: &'a Cache,
    /// UIDs of claims at whose changes the plugin wants to be called again.
    pub(crate) claims: Vec<Str>,
    /// The outcome that this call is about; absent in the first call and when a deadline has passed.
    pub outcome: Option<&'a Outcome>,
    pub(crate) ops: Vec<Op>,
}

impl BindCx<'_> {
    /// The cluster.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(self.cache, self.now)
    }

    /// Asks to be called again when the claim with this UID, or the volume that is bound to it, changes. It holds until
    /// the next call.
    pub fn wake_on_claim(&mut self, uid: &Str) {
        self.claims.push(uid.clone());
    }

    /// Asks for an operation; its outcome comes back in a later call.
    pub fn emit(&mut self, op: Op) {
        self.ops.push(op);
    }
}

/// What QueueSort compares.
#[derive(Debug, Clone, Copy)]
pub struct QueueItem<'a> {
    /// The pod.
    pub pod: &'a PodInfo,
    /// When it was (re)added to the queue.
    pub timestamp: Mono,
}
