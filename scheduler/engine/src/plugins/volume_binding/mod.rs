//! `VolumeBinding`: the pod's claims must be bound to volumes that the node reaches, or be bindable there (upstream
//! `plugins/volumebinding`; reference 3.13).
//!
//! Reserve works the volumes of the chosen node out again instead of keeping them for every node: nothing has changed
//! between Filter and Reserve.

mod args;
mod bind;
mod binder;
mod hints;
mod score;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use headroom_core::Str;
use serde_json::Value;

pub use self::binder::{REASON_BIND, REASON_NODE, REASON_PV, REASON_SPACE};
use self::{
    args::Args,
    bind::Reserved,
    binder::{PodClaims, all_bound, pod_claims},
};
use super::claims::{claim_not_found, claims, foreign};
use crate::{
    cache::{NodeInfo, Storage},
    framework::{
        Actions, ArgsError, BindCx, Change, Code, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points,
        PreFilter, PreFlight, PreScore, Reads, Reason, ReserveCx, Status, Step, View,
    },
};

/// The reason when claims are not bound that nobody waits for.
pub const REASON_IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";

/// Its name.
pub const NAME: &str = "VolumeBinding";

/// The plugin.
#[derive(Debug)]
pub struct VolumeBinding {
    timeout: Duration,
    /// (utilization, score); empty = no scoring.
    shape: Vec<(i64, i64)>,
    /// What is reserved and not yet bound, by UID of the pod.
    reserved: HashMap<Str, Reserved>,
}

/// What Filter and Score need to know.
#[derive(Debug, Clone, Default)]
pub struct State(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    claims: PodClaims,
    storage: Arc<Storage>,
}

impl State {
    fn of(pod: &PodInfo, view: &View<'_>) -> Result<Self, String> {
        let storage = view.cache.storage().clone();
        Ok(Self(Some(Arc::new(Known { claims: pod_claims(&storage, pod)?, storage }))))
    }
}

/// Why the pod can be nowhere, as its claims are (`podHasPVCs`).
fn refused(pod: &PodInfo, storage: &Storage) -> Option<String> {
    claims(pod).find_map(|needed| {
        let name = &*needed.name;
        let Some(claim) = storage.claim(&pod.pod.meta.key.namespace, &needed.name) else {
            return Some(if needed.ephemeral {
                format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
            } else {
                claim_not_found(name)
            });
        };
        if claim.lost {
            let volume = &*claim.volume_name;
            return Some(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
        }
        if claim.meta.is_terminating() {
            return Some(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        if needed.ephemeral { foreign(pod, claim) } else { None }
    })
}

impl VolumeBinding {
    /// From `VolumeBindingArgs`.
    ///
    /// # Errors
    /// Unknown fields, a negative timeout, a malformed shape.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let Args { timeout, shape } = args::decode(args)?;
        Ok(Self { timeout, shape, reserved: HashMap::new() })
    }
}

impl Plugin for VolumeBinding {
    type Filter = State;
    type Score = State;
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        use Point::{Filter, PreBind, PreFilter, PreScore, Reserve, Score};
        if self.shape.is_empty() {
            Points::of(&[PreFilter, Filter, Reserve, PreBind])
        } else {
            Points::of(&[PreFilter, Filter, PreScore, Score, Reserve, PreBind])
        }
    }

    fn events(&self) -> Vec<Interest> {
        let changes = Actions::ADD.or(Actions::UPDATE);
        vec![
            Interest::hinted(EventResource::StorageClass, changes),
            Interest::hinted(EventResource::PersistentVolumeClaim, changes),
            Interest::always(EventResource::PersistentVolume, changes),
            Interest::always(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_LABEL)),
            Interest::hinted(EventResource::CsiNode, changes),
            Interest::hinted(EventResource::CsiDriver, Actions::UPDATE),
            Interest::hinted(EventResource::CsiStorageCapacity, changes),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        hints::hint(change, pod)
    }

    fn reads(&self, pod: &PodInfo) -> Reads {
        if pod.pod.spec.has_claims() { Reads::Cluster } else { Reads::Node }
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<State> {
        if !pod.pod.spec.has_claims() {
            return PreFilter::Skip;
        }
        if let Some(message) = refused(pod, view.cache.storage()) {
            return PreFilter::Reject(Status::unresolvable(message));
        }
        match State::of(pod, view) {
            Err(message) => PreFilter::Reject(Status::error(message)),
            Ok(State(Some(known))) if known.claims.immediate > 0 => {
                PreFilter::Reject(Status::unresolvable(REASON_IMMEDIATE))
            }
            Ok(state) => PreFilter::Continue(state),
        }
    }

    fn filter(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> Status {
        let Some(known) = &state.0 else { return Status::SUCCESS };
        match known.claims.on(&known.storage, &node.node) {
            Err(message) => Status::error(message),
            Ok(Ok(_)) => Status::SUCCESS,
            Ok(Err(reasons)) => Status::with_reasons(
                Code::UnschedulableAndUnresolvable,
                reasons.into_iter().map(Reason::Borrowed).collect(),
            ),
        }
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], view: &View<'_>) -> PreScore<State> {
        if self.shape.is_empty() || !pod.pod.spec.has_claims() {
            return PreScore::Skip;
        }
        match State::of(pod, view) {
            Ok(state) => PreScore::Continue(state),
            Err(message) => PreScore::Fail(Status::error(message)),
        }
    }

    fn score(&self, state: &State, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        let Some(known) = &state.0 else { return Ok(0) };
        match known.claims.on(&known.storage, &node.node) {
            Ok(Ok(volumes)) => Ok(score::score(&self.shape, &volumes)),
            Ok(Err(_)) => Ok(0),
            Err(message) => Err(Status::error(message)),
        }
    }

    fn normalize(&self, raw: &i64, (): &()) -> i64 {
        *raw
    }

    fn reserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, node: &Str) -> Status {
        let storage = cx.cache.storage();
        if !pod.pod.spec.has_claims() || all_bound(storage, pod) {
            return Status::SUCCESS;
        }
        let Some(row) = cx.cache.node(node).map(|row| row.node.clone()) else {
            return Status::error(format!("node {:?} not found", &**node));
        };
        let volumes = match pod_claims(storage, pod).and_then(|claims| claims.on(storage, &row)) {
            Ok(Ok(volumes)) => volumes,
            Ok(Err(reasons)) => return Status::error(reasons.join(", ")),
            Err(message) => return Status::error(message),
        };
        match bind::assume(cx.cache.storage_mut(), &volumes, node) {
            Ok(reserved) => {
                self.reserved.insert(pod.uid().clone(), reserved);
                Status::SUCCESS
            }
            Err(message) => Status::error(message),
        }
    }

    fn unreserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, _: &Str) {
        if let Some(reserved) = self.reserved.remove(pod.uid()) {
            reserved.revert(cx.cache.storage_mut());
        }
    }

    fn pre_bind_pre_flight(&mut self, pod: &PodInfo, _: &Str) -> PreFlight {
        if self.reserved.contains_key(pod.uid()) { PreFlight::Work } else { PreFlight::Skip }
    }

    fn pre_bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, _: &Str) -> Step {
        let Some(reserved) = self.reserved.get_mut(pod.uid()) else { return Step::Done(Status::SUCCESS) };
        let step = reserved.step(cx, self.timeout);
        if step == Step::Done(Status::SUCCESS) {
            // All is written, and seen: nothing is assumed any more.
            self.reserved.remove(pod.uid());
        }
        step
    }
}

#[cfg(test)]
mod tests;
