//! `memory-profile-controller`: learns what the containers of each workload use at most and publishes it as
//! `MemoryProfile`.
//!
//! There is no upstream counterpart. It learns from the samples that `node-headroom-controller` takes in the same
//! process (DESIGN.md 6), per container and image: a decaying maximum of working set and swap ([`learn`]), raised when a
//! container is killed for want of memory. Specification: interfaces.md 1, reference memory-and-swap.md 5.2 and reading
//! 5.12 (9), (10).
//!
//! One object per workload, named after it and owned by it: the garbage collector takes it away with its workload. The
//! objects are this controller's memory: they are read first, so that a restart loses nothing. Deleting one makes it
//! learn that workload anew.

pub mod learn;
mod object;
mod oom;
mod publish;

#[cfg(test)]
mod tests;

use std::time::Duration;

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    intent::{IntentId, Outcome},
    memory::{Params, peak::Observation, workload::profile_name},
    object::{Kind, MemoryProfile, ObjectKey, OwnerRef, Pod, ProfileEntry},
    queue::{QueueFigures, WorkQueue},
};

pub(crate) use self::oom::about_pod;
use self::{learn::Learned, oom::Kill, publish::Write};
use crate::{
    creatable::Creatable,
    framework::{Controller, Outbox, World, WorldEvent},
    node_headroom::PodObservation,
};

/// Most workloads that are learned; beyond it new ones are not.
pub const MAX_WORKLOADS: usize = 5000;
/// Pods whose last sample is remembered: all that a large cluster has.
const MAX_PODS: usize = 200_000;
/// What was learned of a workload without an object is forgotten when no pod of it was seen for so long.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How often that is looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// The object of a workload, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    uid: Str,
    resource_version: u64,
    /// Whether it is owned by the workload as it is now.
    ours: bool,
}

/// One workload; its key is that of its profile.
#[derive(Debug)]
struct State {
    owner: OwnerRef,
    learned: Learned,
    object: Option<Object>,
    /// What the object says.
    published: Vec<ProfileEntry>,
    /// When that was written by this process.
    written_at: Option<Mono>,
    /// UID of an object that we have deleted: its row may still be there.
    deleted: Option<Str>,
    /// Only a consistent read tells what the object is.
    must_read: bool,
    writing: bool,
    retry_at: Mono,
    /// When a pod of it was last in a sample.
    seen: Mono,
}

impl State {
    fn new(owner: OwnerRef, now: Mono) -> Self {
        Self {
            owner,
            learned: Learned::default(),
            object: None,
            published: Vec::new(),
            written_at: None,
            deleted: None,
            must_read: false,
            writing: false,
            retry_at: Mono(0),
            seen: now,
        }
    }
}

/// The footprints of a pod's containers in its last sample, in bytes.
type Footprints = Box<[(Str, i64)]>;

/// The controller.
#[derive(Debug)]
pub struct MemoryProfileController {
    params: Params,
    workloads: HashMap<ObjectKey, State>,
    last: HashMap<Str, Footprints>,
    /// Pods to look at for kills.
    pods: WorkQueue<ObjectKey>,
    /// Kills that were seen to happen, for events.
    kills: Vec<Kill>,
    queue: WorkQueue<ObjectKey>,
    writes: HashMap<IntentId, (ObjectKey, Write)>,
    /// Whether objects can be made at all.
    creatable: Creatable,
    next_write: Mono,
    swept: Mono,
    leading: bool,
    full: bool,
}

impl MemoryProfileController {
    /// With these parameters of the model.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            params,
            workloads: HashMap::new(),
            last: HashMap::new(),
            pods: WorkQueue::default(),
            kills: Vec::new(),
            queue: WorkQueue::default(),
            writes: HashMap::new(),
            creatable: Creatable::new(Kind::MEMORY_PROFILE),
            next_write: Mono(0),
            swept: Mono(0),
            leading: false,
            full: false,
        }
    }

    /// A new sample of a node: the footprints of its pods' containers.
    pub fn sampled(&mut self, pods: &[PodObservation], world: &World, now: Now) {
        if !self.leading {
            return;
        }
        for seen in pods {
            let Some(pod) = world.pods.get(&seen.key).filter(|pod| pod.meta.uid == seen.uid) else { continue };
            self.remember(seen);
            let Some(key) = self.workload(pod, world, now) else { continue };
            let Some(state) = self.workloads.get_mut(&key) else { continue };
            state.seen = now.mono;
            for container in &seen.containers {
                let mut specs = pod.spec.init_containers.iter().chain(pod.spec.containers.iter());
                let Some(spec) = specs.find(|c| c.name == container.name) else { continue };
                let sample = Observation { footprint: container.footprint, at: seen.at, started: container.started };
                state.learned.observe(&spec.name, &spec.image, &sample, &self.params);
            }
            self.queue.add(key);
        }
        self.sweep(now.mono);
    }

    /// Keeps the footprints of a pod, but not those of containers that have just started: what was killed was larger.
    fn remember(&mut self, seen: &PodObservation) {
        if self.last.len() >= MAX_PODS && !self.last.contains_key(&seen.uid) {
            return;
        }
        let before = self.last.remove(&seen.uid).unwrap_or_default();
        let known = |name: &Str| before.iter().find(|(n, _)| n == name).map(|(_, footprint)| *footprint);
        let footprints = seen.containers.iter().map(|c| {
            let kept = known(&c.name).filter(|_| c.is_young(seen.at));
            (c.name.clone(), kept.unwrap_or(c.footprint))
        });
        self.last.insert(seen.uid.clone(), footprints.collect());
    }

    /// The key of a pod's workload, which is known from now on. `None` when it has none, its owner is not known, or
    /// there are too many.
    fn workload(&mut self, pod: &Pod, world: &World, now: Now) -> Option<ObjectKey> {
        let workload = world.workload(pod)?;
        // Without its UID nothing can be owned by it.
        let owner = workload.reference.filter(|owner| !owner.uid.is_empty())?;
        let key = ObjectKey { namespace: pod.meta.key.namespace.clone(), name: workload.profile_name().into() };
        let full = self.workloads.len() >= MAX_WORKLOADS;
        match self.workloads.get_mut(&key) {
            Some(state) if state.owner.uid == owner.uid => {}
            Some(state) => {
                // Made anew under the same name: nothing is inherited, and its object is not ours.
                let before = std::mem::replace(state, State::new(owner.clone(), now.mono));
                state.object = before.object.map(|object| Object { ours: false, ..object });
                state.deleted = before.deleted;
                state.writing = before.writing;
                state.retry_at = before.retry_at;
            }
            None if full => {
                if !std::mem::replace(&mut self.full, true) {
                    tracing::warn!(limit = MAX_WORKLOADS, "too many workloads: new ones are not learned");
                }
                return None;
            }
            None => {
                self.workloads.insert(key.clone(), State::new(owner.clone(), now.mono));
            }
        }
        Some(key)
    }

    /// Takes over what a profile says that was there before this process.
    fn load(&mut self, row: &MemoryProfile, now: Mono) {
        let key = &row.meta.key;
        let reference = row.meta.owners.iter().find(|o| {
            o.kind == row.workload_kind && o.name == row.workload_name && o.api_version == row.workload_api_version
        });
        let Some(owner) = reference else { return };
        if key.name != profile_name(&row.workload_kind, &row.workload_name).as_str() {
            return;
        }
        if self.workloads.len() >= MAX_WORKLOADS || self.workloads.contains_key(key) {
            return;
        }
        let mut state = State::new(owner.clone(), now);
        state.learned = Learned::of(&row.containers);
        state.published = row.containers.to_vec();
        self.workloads.insert(key.clone(), state);
    }

    /// Forgets workloads that have neither an object nor pods.
    fn sweep(&mut self, now: Mono) {
        if now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        self.workloads
            .retain(|_, state| state.object.is_some() || state.writing || now.since(state.seen) < FORGET_AFTER);
        self.full = false;
    }
}

impl Controller for MemoryProfileController {
    fn name(&self) -> &'static str {
        "memory-profile-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, _: &World, now: Now) {
        match event {
            WorldEvent::Pod(change) => self.pod_changed(change.old, change.new, now),
            WorldEvent::Profile(change) => {
                let Some(row) = change.latest() else { return };
                let key = &row.meta.key;
                if change.new.is_none() {
                    // Somebody wants it to be learned anew, or its workload is gone.
                    let ours = |state: &State| state.object.as_ref().is_some_and(|o| o.ours && o.uid == row.meta.uid);
                    if self.workloads.get(key).is_some_and(ours) {
                        self.workloads.remove(key);
                    }
                }
                self.queue.add(key.clone());
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        self.swept = now.mono;
        for row in world.profiles.values() {
            self.load(row, now.mono);
            self.queue.add(row.meta.key.clone());
        }
        for pod in world.pods.iter().filter(|pod| oom::newest(pod).is_some()) {
            self.pods.add(pod.meta.key.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading {
            return false;
        }
        self.tell_kills(world, now, out);
        if let Some(key) = self.pods.pop(now.mono) {
            self.look_for_kills(&key, world, now);
            self.pods.done(&key);
            return true;
        }
        if now.mono < self.next_write {
            return false;
        }
        let Some(key) = self.queue.pop(now.mono) else { return false };
        self.publish(&key, world, now, out);
        self.queue.done(&key);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.written(outcome, world, now);
    }

    fn next_deadline(&self) -> Option<Mono> {
        if !self.leading {
            return None;
        }
        let queued = if self.queue.is_empty() { self.queue.next_deadline() } else { Some(Mono(0)) };
        queued.map(|at| at.max(self.next_write))
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("memory_profile", &mut self.queue);
        each("memory_profile_pods", &mut self.pods);
    }
}

/// The kinds that it has to know completely.
pub const NEEDS: &[Kind] = &[Kind::POD, Kind::REPLICA_SET, Kind::JOB, Kind::MEMORY_PROFILE];
