//! The scheduling queue (`pkg/scheduler/backend/queue`; reference 2): active, backoff and unschedulable pods.
//!
//! A pod that was popped stays in here as in flight until it is seen bound or gone, with its newest version: that is
//! what it comes back with. (Upstream looks it up in its informer.)

mod entry;
mod heap;
mod in_flight;
mod moves;
mod spans;
#[cfg(test)]
mod tests;
mod waiting;

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use hashbrown::HashMap;
use headroom_core::{Mono, Now, Str};

use self::{
    entry::{Backoff, WINDOW, window},
    heap::Heap,
    in_flight::InFlight,
};
pub use self::{
    entry::{Place, QueuedPod},
    in_flight::MAX_IN_FLIGHT_EVENTS,
    spans::{PointProbe, Spans},
    waiting::WaitingPods,
};
use crate::{
    cache::Cache,
    cycle::Nominated,
    framework::{
        Actions, Change, ClusterEvent, EventResource, HintProbe, Interest, PluginId, PodInfo, Point, Profiles,
        QueueItem, View, events::pod_update_actions,
    },
};

/// How often pods are looked for that stayed unschedulable for too long.
const LEFTOVER_INTERVAL: Duration = Duration::from_secs(30);
/// How long a pod may stay unschedulable without any event (`--pod-max-in-unschedulable-pods-duration`).
pub const DEFAULT_MAX_UNSCHEDULABLE: Duration = Duration::from_secs(300);

/// What the queue needs of the rest of the engine.
#[derive(Debug, Clone, Copy)]
pub struct QueueCx<'a> {
    /// The profiles, for PreEnqueue, QueueSort and hints.
    pub profiles: &'a Profiles,
    /// What hints look at.
    pub cache: &'a Cache,
    /// The same: which pods are nominated where.
    pub nominated: &'a Nominated,
    /// The time.
    pub now: Now,
}

/// Why a pod entered a part of the queue (label `event` of `queue_incoming_pods_total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A cluster event.
    Event(ClusterEvent),
    /// Something of the queue's own.
    Named(&'static str),
}

impl Cause {
    /// The label.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Event(event) => event.label(),
            Self::Named(name) => (*name).to_owned(),
        }
    }
}

/// Which pods an event may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among<'a> {
    /// All.
    All,
    /// All but the one with this UID.
    AllBut(&'a str),
    /// Those of at most this priority.
    UpTo(i32),
}

impl Among<'_> {
    fn has(self, pod: &PodInfo) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(uid) => pod.uid() != uid,
            Self::UpTo(priority) => pod.priority() <= priority,
        }
    }
}

/// How many pods wait where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PendingPods {
    /// To be tried.
    pub active: usize,
    /// Backing off.
    pub backoff: usize,
    /// Waiting for an event.
    pub unschedulable: usize,
    /// Kept out by a PreEnqueue plugin.
    pub gated: usize,
    /// Popped and not yet bound.
    pub in_flight: usize,
}

/// Pods by slot.
type Entries = Vec<Option<Box<QueuedPod>>>;

/// An empty queue gives its slots back once it had so many.
const MANY_SLOTS: usize = 1024;

/// The queue.
#[derive(Debug)]
pub struct Queue {
    /// Boxed, so that a burst leaves a pointer of each pod behind, and not the whole of it; and so that growing copies no
    /// more than that.
    entries: Entries,
    free: Vec<u32>,
    by_uid: HashMap<Str, u32>,
    active: Heap,
    /// Rejected pods, by end of backoff.
    backoff: Heap,
    /// Pods that met an error, by end of backoff; never popped early.
    errors: Heap,
    unschedulable: BTreeSet<u32>,
    gated: usize,
    in_flight: InFlight,
    limits: Backoff,
    max_unschedulable: Duration,
    next_leftover_flush: Mono,
    /// By profile: plugins and what they want to hear.
    interests: Vec<Vec<(PluginId, Vec<Interest>)>>,
    sequence: u64,
    incoming: HashMap<(Place, Cause), u64>,
    /// Hints are asked while the queue is only read.
    hint_probe: RefCell<Option<Box<dyn HintProbe>>>,
}

fn active_less(entries: &Entries, profiles: &Profiles, a: u32, b: u32) -> bool {
    let entry = |slot: u32| entries.get(slot as usize).and_then(Option::as_deref);
    let (Some(a), Some(b)) = (entry(a), entry(b)) else { return a < b };
    let item = |p: &QueuedPod| (p.timestamp, p.sequence);
    // All profiles have the same QueueSort plugin (`Profiles` are validated), so the first one's will do.
    let plugin = profiles.all.first().and_then(|p| p.at(Point::QueueSort).first().map(|i| &p.plugins[*i]));
    if let Some(plugin) = plugin {
        let (qa, qb) =
            (QueueItem { pod: &a.info, timestamp: a.timestamp }, QueueItem { pod: &b.info, timestamp: b.timestamp });
        if plugin.less(&qa, &qb) {
            return true;
        }
        if plugin.less(&qb, &qa) {
            return false;
        }
    }
    item(a) < item(b)
}

fn backoff_less(entries: &Entries, profiles: &Profiles, a: u32, b: u32) -> bool {
    let expiry = |slot: u32| entries.get(slot as usize).and_then(Option::as_deref).and_then(QueuedPod::expiry);
    match expiry(a).cmp(&expiry(b)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => active_less(entries, profiles, a, b),
    }
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(profiles: &Profiles, initial_backoff: Duration, max_backoff: Duration) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_uid: HashMap::new(),
            active: Heap::default(),
            backoff: Heap::default(),
            errors: Heap::default(),
            unschedulable: BTreeSet::new(),
            gated: 0,
            in_flight: InFlight::default(),
            limits: Backoff { initial: initial_backoff, max: max_backoff },
            max_unschedulable: DEFAULT_MAX_UNSCHEDULABLE,
            next_leftover_flush: Mono(0),
            interests: profiles.all.iter().map(moves::interests).collect(),
            sequence: 0,
            incoming: HashMap::new(),
            hint_probe: RefCell::default(),
        }
    }

    /// Sets how long a pod may stay unschedulable without any event.
    pub const fn set_max_unschedulable(&mut self, duration: Duration) {
        self.max_unschedulable = duration;
    }

    /// Has the queueing hints measured.
    pub fn set_hint_probe(&mut self, probe: Box<dyn HintProbe>) {
        *self.hint_probe.get_mut() = Some(probe);
    }

    /// The pod with this UID.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&QueuedPod> {
        self.by_uid.get(uid).and_then(|slot| self.entries[*slot as usize].as_deref())
    }

    pub(crate) fn get_mut(&mut self, uid: &str) -> Option<&mut QueuedPod> {
        self.by_uid.get(uid).and_then(|slot| self.entries[*slot as usize].as_deref_mut())
    }

    /// The pod was shown to this process at `at`; what counts is the first time, before the first attempt.
    pub fn set_seen(&mut self, uid: &str, at: Mono) {
        if let Some(entry) = self.get_mut(uid)
            && entry.attempts == 0
        {
            entry.seen.get_or_insert(at);
        }
    }

    /// When the pod was first shown. Answered once, so that a second attempt, which follows from something else, is not
    /// counted from there; what is not asked for goes with the pod.
    pub fn take_seen(&mut self, uid: &str) -> Option<Mono> {
        self.get_mut(uid)?.seen.take()
    }

    /// All pods, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &QueuedPod> {
        self.entries.iter().filter_map(Option::as_deref)
    }

    /// A pod came that waits for a node.
    pub fn add(&mut self, info: PodInfo, profile: usize, cx: &QueueCx<'_>) {
        if self.by_uid.contains_key(info.uid()) {
            self.update(info, cx);
            return;
        }
        self.sequence += 1;
        let uid = info.uid().clone();
        let entry = Box::new(QueuedPod {
            info,
            profile,
            place: Place::InFlight,
            timestamp: cx.now.mono,
            attempts: 0,
            first_active: None,
            seen: None,
            unschedulable_since: None,
            unschedulable_count: 0,
            error_count: 0,
            backoff_expiry: None,
            rejectors: Default::default(),
            pending: Default::default(),
            gate: None,
            flushed: false,
            condition: None,
            nomination: None,
            flushed_at: Mono(0),
            sequence: self.sequence,
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as u32
            }
        };
        self.by_uid.insert(uid, slot);
        let cause = Cause::Event(ClusterEvent::new(EventResource::UnscheduledPod, Actions::ADD));
        self.enter_active(slot, cause, cx);
    }

    /// A pod that waits for a node changed.
    pub fn update(&mut self, info: PodInfo, cx: &QueueCx<'_>) {
        let Some(slot) = self.by_uid.get(info.uid()).copied() else { return };
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return };
        let old = std::mem::replace(&mut entry.info, info.clone());
        if old.pod.status.nominated_node_name != info.pod.status.nominated_node_name {
            entry.nomination = None;
        }
        let actions = pod_update_actions(&old, &info);
        let change = Change::Pod { old: Some(old), new: Some(info) };
        let event = |action| ClusterEvent::new(EventResource::UnscheduledPod, action);
        match entry.place {
            Place::InFlight => {
                for action in actions {
                    self.in_flight.record(event(action), &change);
                }
            }
            Place::Active => {
                let (active, entries) = (&mut self.active, &self.entries);
                active.push(slot, &|a, b| active_less(entries, cx.profiles, a, b));
            }
            Place::Backoff => {}
            Place::Unschedulable => {
                for action in actions {
                    let strategy = self.worth_requeuing(slot, &event(action), &change, cx);
                    if strategy != moves::Strategy::Skip {
                        self.leave_unschedulable(slot);
                        self.requeue_by(slot, strategy, Cause::Event(event(action)), cx);
                        break;
                    }
                }
            }
        }
    }

    /// A pod is bound, gone or of no more interest. Answers it when it was here.
    pub fn remove(&mut self, uid: &str, cx: &QueueCx<'_>) -> Option<QueuedPod> {
        let slot = *self.by_uid.get(uid)?;
        let place = self.entries[slot as usize].as_deref()?.place;
        match place {
            Place::Active => {
                let (heap, entries) = (&mut self.active, &self.entries);
                heap.remove(slot, &|a, b| active_less(entries, cx.profiles, a, b));
            }
            Place::Backoff => {
                let entries = &self.entries;
                let less = |a: u32, b: u32| backoff_less(entries, cx.profiles, a, b);
                if !self.backoff.remove(slot, &less) {
                    self.errors.remove(slot, &less);
                }
            }
            Place::Unschedulable => self.leave_unschedulable(slot),
            Place::InFlight => self.in_flight.done(uid),
        }
        self.by_uid.remove(uid);
        self.free.push(slot);
        let gone = self.entries[slot as usize].take();
        if self.by_uid.is_empty() && self.entries.len() >= MANY_SLOTS {
            self.start_anew();
        }
        gone.map(|entry| *entry)
    }

    /// Forgets the slots, all of which are free.
    fn start_anew(&mut self) {
        (self.entries, self.free, self.by_uid) = (Vec::new(), Vec::new(), HashMap::new());
        (self.active, self.backoff, self.errors) = (Heap::default(), Heap::default(), Heap::default());
    }

    /// The next pod to try: from the active queue, else, as upstream since 1.33, the first of those that were rejected
    /// and back off. It is in flight from then on.
    pub fn pop(&mut self, cx: &QueueCx<'_>) -> Option<&QueuedPod> {
        let entries = &self.entries;
        let active = self.active.pop(&|a, b| active_less(entries, cx.profiles, a, b));
        let slot = match active {
            Some(slot) => slot,
            None => {
                let slot = self.backoff.pop(&|a, b| backoff_less(entries, cx.profiles, a, b))?;
                self.count(Place::Active, Cause::Named(moves::POP_FROM_BACKOFF));
                slot
            }
        };
        let entry = self.entries[slot as usize].as_deref_mut()?;
        entry.place = Place::InFlight;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.backoff_expiry = None;
        if entry.first_active.is_none() {
            entry.first_active = Some(cx.now);
        }
        let uid = entry.info.uid().clone();
        self.in_flight.popped(&uid);
        self.entries[slot as usize].as_deref()
    }

    /// Whether [`Queue::pop`] would answer a pod.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.active.len() + self.backoff.len() > 0
    }

    /// Events need no longer be kept for this pod: it can only fail with an error from now on.
    pub fn done(&mut self, uid: &str) {
        self.in_flight.done(uid);
    }

    /// Takes a waiting pod out as if it had been popped, without counting an attempt.
    pub(crate) fn take_in_flight(&mut self, uid: &Str, cx: &QueueCx<'_>) {
        if let Some(mut entry) = self.remove(uid, cx) {
            entry.gate = None;
            self.restore(entry, true, cx);
        }
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<QueuedPod> {
        let all = std::mem::take(&mut self.entries).into_iter().flatten().map(|entry| *entry).collect();
        self.start_anew();
        self.unschedulable.clear();
        self.gated = 0;
        self.in_flight = InFlight::default();
        all
    }

    /// Puts a pod in that was taken out, with its history: in flight, or to be tried.
    pub(crate) fn restore(&mut self, mut entry: QueuedPod, in_flight: bool, cx: &QueueCx<'_>) {
        entry.place = Place::InFlight;
        entry.gate = None;
        let uid = entry.info.uid().clone();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        self.entries[slot as usize] = Some(Box::new(entry));
        self.by_uid.insert(uid, slot);
        if !in_flight {
            self.enter_active(slot, Cause::Named(crate::framework::events::FORCE_ACTIVATE), cx);
        }
    }

    /// When something happens by itself next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let due = |heap: &Heap| {
            let entry = heap.peek().and_then(|slot| self.entries[slot as usize].as_deref())?;
            Some(entry.expiry().map_or(Mono(0), |end| end + WINDOW))
        };
        let leftovers = (!self.unschedulable.is_empty()).then_some(self.next_leftover_flush);
        [due(&self.backoff), due(&self.errors), leftovers].into_iter().flatten().min()
    }

    /// How many pods wait where.
    #[must_use]
    pub fn pending(&self) -> PendingPods {
        let waiting = self.active.len() + self.backoff.len() + self.errors.len() + self.unschedulable.len();
        PendingPods {
            active: self.active.len(),
            backoff: self.backoff.len() + self.errors.len(),
            unschedulable: self.unschedulable.len() - self.gated,
            gated: self.gated,
            in_flight: self.by_uid.len() - waiting,
        }
    }

    /// Events kept for pods in flight by kind, and these pods themselves as `PodPopped` (`inflight_events`).
    pub fn in_flight_counts(&self) -> impl Iterator<Item = (String, usize)> {
        let pods = ("PodPopped".to_owned(), self.in_flight.pods());
        self.in_flight.counts().map(|(event, count)| (event.label(), count)).chain([pods])
    }

    /// Events kept for pods in flight.
    #[must_use]
    pub fn in_flight_events(&self) -> usize {
        self.in_flight.events()
    }

    /// How often pods entered a part of the queue, and why.
    pub fn incoming(&self) -> impl Iterator<Item = (Place, Cause, u64)> {
        self.incoming.iter().map(|((place, cause), n)| (*place, *cause, *n))
    }

    /// Finds contradictions between the parts; for tests.
    #[must_use]
    pub fn inconsistency(&self) -> Option<String> {
        let mut places: HashMap<u32, Vec<&str>> = HashMap::new();
        for (name, slots) in [
            ("active", self.active.iter().collect::<Vec<_>>()),
            ("backoff", self.backoff.iter().collect()),
            ("errors", self.errors.iter().collect()),
            ("unschedulable", self.unschedulable.iter().copied().collect()),
        ] {
            for slot in slots {
                places.entry(slot).or_default().push(name);
            }
        }
        for (uid, slot) in &self.by_uid {
            let Some(entry) = self.entries[*slot as usize].as_deref() else { return Some(format!("{uid}: no entry")) };
            let found = places.remove(slot).unwrap_or_default();
            let right = match entry.place {
                Place::Active => found == ["active"],
                Place::Backoff => found == ["backoff"] || found == ["errors"],
                Place::Unschedulable => found == ["unschedulable"],
                Place::InFlight => found.is_empty(),
            };
            if !right {
                return Some(format!("{uid} is {:?} and found in {found:?}", entry.place));
            }
        }
        let gated = self.entries.iter().flatten().filter(|e| e.is_gated() && e.place == Place::Unschedulable).count();
        if gated != self.gated {
            return Some(format!("{gated} gated, {} counted", self.gated));
        }
        (!places.is_empty()).then(|| format!("slots without pods: {places:?}"))
    }

    fn view<'a>(&self, cx: &QueueCx<'a>) -> View<'a> {
        View { nominated: Some(cx.nominated), ..View::new(cx.cache, cx.now) }
    }
}
