//! PostFilter: what may be done for a pod that fits nowhere, which is preemption (reference 1.1, 3.20).

use headroom_core::Str;

use super::{
    plugin::{Point, View},
    pod_info::PodInfo,
    profile::{CycleState, Profile},
    status::{Code, Status},
};
use crate::{
    cache::{NodeInfo, Slot},
    cycle::Nominated,
};

/// The answer of PostFilter.
#[derive(Debug, Clone, Default)]
pub struct PostFilter {
    /// Success with a node, or why nothing could be done.
    pub status: Status,
    /// The node that the pod is nominated to. `Some(None)` clears the nomination, `None` leaves it.
    pub nominated: Option<Option<Str>>,
    /// Pods to be removed so that the pod fits.
    pub preemption: Option<Preemption>,
}

impl PostFilter {
    /// Nothing could be done, and the nomination stays as it is.
    #[must_use]
    pub fn failed(status: Status) -> Self {
        Self { status, nominated: None, preemption: None }
    }
}

/// Pods that are to go from a node. The engine does what is needed: see `engine::preempt`.
#[derive(Debug, Clone)]
pub struct Preemption {
    /// The plugin that asks.
    pub plugin: &'static str,
    /// The node on which room is made.
    pub node: Str,
    /// The victims, most important first; those that are being deleted already included.
    pub victims: Vec<PodInfo>,
}

/// Why a node is not feasible.
#[derive(Debug, Clone, Copy)]
pub struct NodeRejection<'a> {
    /// Its slot.
    pub slot: Slot,
    /// The node.
    pub node: &'a NodeInfo,
    /// [`Code::Unschedulable`], [`Code::UnschedulableAndUnresolvable`] or [`Code::Pending`].
    pub code: Code,
}

/// What PostFilter plugins work with: the cluster, what became of each node, and dry runs of the profile's filters.
#[derive(Debug)]
pub struct PostFilterCx<'a> {
    /// The cluster.
    pub view: &'a View<'a>,
    pub(crate) rejected: &'a [(Slot, Code)],
    pub(crate) profile: &'a Profile,
    /// State of the cycle after PreFilter; plugins whose PreFilter did not run, or was skipped, have none.
    pub(crate) state: &'a CycleState,
    pub(crate) nominated: &'a Nominated,
    /// Whether PreFilter ended the cycle before all plugins had run it.
    pub(crate) stopped_at: Option<usize>,
    /// Number that differs from pod to pod, for an offset.
    pub(crate) hash: u64,
}

impl<'a> PostFilterCx<'a> {
    /// The nodes that are not feasible, in the order of their slots.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRejection<'a>> + use<'a> {
        let view = *self.view;
        let rejected = self.rejected;
        rejected
            .iter()
            .filter_map(move |(slot, code)| Some(NodeRejection { slot: *slot, node: view.row(*slot)?, code: *code }))
    }

    /// Whether PreFilter of this plugin has run: it does not when a plugin before it has rejected the pod for good.
    #[must_use]
    pub fn has_pre_filtered(&self, plugin: &str) -> bool {
        let Some(last) = self.stopped_at else { return true };
        let order = self.profile.at(Point::PreFilter);
        let place = |i: usize| order.iter().position(|at| *at == i);
        match self.profile.plugins.iter().position(|p| p.name() == plugin).and_then(place) {
            Some(mine) => place(last).is_none_or(|last| mine < last),
            None => false,
        }
    }

    /// A number that is the same for the same pod and seed, and otherwise arbitrary.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// A node on which pods can be taken away and put back, to see whether `pod` would fit.
    #[must_use]
    pub fn dry_run(&self, pod: &'a PodInfo, slot: Slot) -> Option<DryRun<'a>> {
        let row = self.view.row(slot)?.clone();
        Some(DryRun {
            pod,
            slot,
            row,
            state: self.state.clone(),
            view: *self.view,
            profile: self.profile,
            nominated: self.nominated,
        })
    }
}

/// See [`PostFilterCx::dry_run`].
#[derive(Debug)]
pub struct DryRun<'a> {
    pod: &'a PodInfo,
    slot: Slot,
    row: NodeInfo,
    state: CycleState,
    view: View<'a>,
    profile: &'a Profile,
    nominated: &'a Nominated,
}

impl DryRun<'_> {
    /// The node as it is at the moment.
    #[must_use]
    pub const fn node(&self) -> &NodeInfo {
        &self.row
    }

    fn tell(&mut self, other: &PodInfo, add: bool) {
        let view = View { overlay: Some((self.slot, &self.row)), ..self.view };
        self.profile.extend(&mut self.state, self.pod, other, &self.row, &view, add);
    }

    /// Takes a pod away.
    pub fn remove(&mut self, victim: &PodInfo) {
        if self.row.remove(victim.uid()).is_some() {
            self.tell(victim, false);
        }
    }

    /// Puts it back.
    pub fn put_back(&mut self, victim: &PodInfo) {
        self.row.add(victim.clone());
        self.tell(victim, true);
    }

    /// Whether the pod would fit, nominated pods taken into account.
    ///
    /// # Errors
    /// The rejection, or the text of a plugin's failure.
    pub fn fits(&self) -> Result<(), DryRunError> {
        let view = View { overlay: Some((self.slot, &self.row)), ..self.view };
        match self.profile.filter_with_nominated(&self.state, self.pod, &self.row, self.nominated, &view) {
            Ok(None) => Ok(()),
            Ok(Some(rejection)) => Err(DryRunError::Rejected(rejection.status)),
            Err(message) => Err(DryRunError::Failed(message)),
        }
    }
}

/// Why a pod would not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRunError {
    /// A plugin rejects it.
    Rejected(Status),
    /// A plugin failed.
    Failed(String),
}
