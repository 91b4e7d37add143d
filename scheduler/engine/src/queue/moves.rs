//! Moving pods between the parts of the queue: on events, on time, after an attempt (reference 2.3 to 2.5).

use headroom_core::Mono;

use super::{
    Among, Cause, LEFTOVER_INTERVAL, Place, Queue, QueueCx, QueuedPod, active_less, backoff_less, in_flight::Missed,
    window,
};
use crate::framework::{
    Actions, Change, ClusterEvent, Code, EventResource, Hint, Interest, PluginId, PluginSet, Profile,
    events::{BACKOFF_COMPLETE, FORCE_ACTIVATE, SCHEDULE_ATTEMPT_FAILURE, UNSCHEDULABLE_TIMEOUT},
};

/// Cause of being tried when a pod is popped while it backs off (`framework.PopFromBackoffQ`).
pub(super) const POP_FROM_BACKOFF: &str = "PopFromBackoffQ";

/// What an event does for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strategy {
    /// Nothing.
    Skip,
    /// Another attempt when its backoff is over.
    AfterBackoff,
    /// Another attempt now.
    Immediately,
}

/// What the plugins of a profile want to hear. Whoever wants to hear of new nodes also hears of nodes whose taints
/// change: the node may have been hidden by another plugin when it came (kubernetes#109437).
pub(super) fn interests(profile: &Profile) -> Vec<(PluginId, Vec<Interest>)> {
    let mut all = Vec::new();
    for (plugin, id) in profile.plugins.iter().zip(&profile.ids) {
        let mut wanted = plugin.events();
        let hears = |wanted: &[Interest], action| {
            wanted.iter().any(|i| i.matches(&ClusterEvent::new(EventResource::Node, action)))
        };
        if hears(&wanted, Actions::ADD) && !hears(&wanted, Actions::UPDATE_NODE_TAINT) {
            wanted.push(Interest::always(EventResource::Node, Actions::UPDATE_NODE_TAINT));
        }
        all.push((*id, wanted));
    }
    all
}

impl Queue {
    pub(super) fn count(&mut self, place: Place, cause: Cause) {
        *self.incoming.entry((place, cause)).or_default() += 1;
    }

    /// Runs PreEnqueue; a pod that is held by it goes to the unschedulable ones.
    fn passes_pre_enqueue(&mut self, slot: u32, cause: Cause, cx: &QueueCx<'_>) -> bool {
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return false };
        let Some(profile) = cx.profiles.all.get(entry.profile) else { return false };
        let was_gated_by = entry.gate.take();
        // Upstream notes Success whatever the plugins said.
        let ask = || profile.pre_enqueue(&entry.info, was_gated_by);
        let answer = cx.profiles.spans.measure("PreEnqueue", &profile.name, ask, |_| Code::Success);
        let Some(rejection) = answer else { return true };
        entry.gate = Some(rejection.plugin);
        entry.rejectors.insert(rejection.plugin);
        // Else it would be taken for flushed whenever it is let go later.
        entry.flushed = false;
        let stays = entry.place == Place::Unschedulable;
        entry.place = Place::Unschedulable;
        self.unschedulable.insert(slot);
        self.gated += 1;
        // Whoever was there before is no newcomer (`unschedulablePods.addOrUpdate`).
        if !stays {
            self.count(Place::Unschedulable, cause);
        }
        false
    }

    /// Takes a pod out of the unschedulable ones.
    pub(super) fn leave_unschedulable(&mut self, slot: u32) {
        if self.unschedulable.remove(&slot) && self.entries[slot as usize].as_deref().is_some_and(QueuedPod::is_gated) {
            self.gated -= 1;
        }
    }

    pub(super) fn enter_active(&mut self, slot: u32, cause: Cause, cx: &QueueCx<'_>) -> bool {
        self.passes_pre_enqueue(slot, cause, cx) && self.make_active(slot, cause, cx)
    }

    /// Without asking PreEnqueue: the pod comes from the backoff queue, into which it went through it.
    fn make_active(&mut self, slot: u32, cause: Cause, cx: &QueueCx<'_>) -> bool {
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return false };
        entry.place = Place::Active;
        entry.first_active.get_or_insert(cx.now);
        let (heap, entries) = (&mut self.active, &self.entries);
        heap.push(slot, &|a, b| active_less(entries, cx.profiles, a, b));
        self.count(Place::Active, cause);
        true
    }

    fn enter_backoff(&mut self, slot: u32, cause: Cause, cx: &QueueCx<'_>) -> bool {
        if !self.passes_pre_enqueue(slot, cause, cx) {
            return false;
        }
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return false };
        entry.place = Place::Backoff;
        let error = entry.rejectors.is_empty() && entry.pending.is_empty();
        let entries = &self.entries;
        let heap = if error { &mut self.errors } else { &mut self.backoff };
        heap.push(slot, &|a, b| backoff_less(entries, cx.profiles, a, b));
        self.count(Place::Backoff, cause);
        true
    }

    /// Puts a pod, which is in no part at the moment, where the strategy says.
    pub(super) fn requeue_by(&mut self, slot: u32, strategy: Strategy, cause: Cause, cx: &QueueCx<'_>) {
        let limits = self.limits;
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return };
        entry.set_expiry(limits);
        let waits = entry.is_backing_off(cx.now.mono);
        match strategy {
            Strategy::Skip => {
                entry.place = Place::Unschedulable;
                let gated = entry.is_gated();
                self.unschedulable.insert(slot);
                self.gated += usize::from(gated);
                self.count(Place::Unschedulable, cause);
            }
            Strategy::AfterBackoff if waits => {
                self.enter_backoff(slot, cause, cx);
            }
            Strategy::AfterBackoff | Strategy::Immediately => {
                self.enter_active(slot, cause, cx);
            }
        }
    }

    /// Whether an event is worth another attempt for a pod (`isPodWorthRequeuing`).
    pub(super) fn worth_requeuing(
        &self,
        slot: u32,
        event: &ClusterEvent,
        change: &Change,
        cx: &QueueCx<'_>,
    ) -> Strategy {
        let Some(entry) = self.entries[slot as usize].as_deref() else { return Strategy::Skip };
        let rejectors = entry.rejectors.union(entry.pending);
        if rejectors.is_empty() {
            return Strategy::AfterBackoff;
        }
        if *event == ClusterEvent::WILDCARD {
            // One that names a pod is for that pod alone.
            return match change {
                Change::Pod { new: Some(pod), .. } if pod.uid() != entry.info.uid() => Strategy::Skip,
                _ => Strategy::AfterBackoff,
            };
        }
        let (Some(interests), Some(profile)) = (self.interests.get(entry.profile), cx.profiles.all.get(entry.profile))
        else {
            return Strategy::AfterBackoff;
        };
        let view = self.view(cx);
        let mut strategy = Strategy::Skip;
        for (at, (id, wanted)) in interests.iter().enumerate() {
            if !rejectors.has(*id) {
                continue;
            }
            let plugin = &profile.plugins[at];
            let ask = |interest: &Interest| {
                let mut probe = self.hint_probe.borrow_mut();
                if let Some(probe) = &mut *probe {
                    probe.enter();
                }
                let hint = if interest.hinted { plugin.hint(change, &entry.info, &view) } else { Hint::Queue };
                if let Some(probe) = &mut *probe {
                    probe.exit(plugin.name(), *event, hint);
                }
                hint
            };
            let queues = wanted.iter().filter(|i| i.matches(event)).any(|i| ask(i) == Hint::Queue);
            if !queues {
                continue;
            }
            if entry.pending.has(*id) {
                return Strategy::Immediately;
            }
            if entry.pending.is_empty() {
                return Strategy::AfterBackoff;
            }
            strategy = Strategy::AfterBackoff;
        }
        strategy
    }

    /// Something happened: moves every pod of those given for which it could matter (`MoveAllToActiveOrBackoffQueue`).
    pub fn on_event(&mut self, event: ClusterEvent, change: &Change, among: Among<'_>, cx: &QueueCx<'_>) {
        // Nobody is there to hear of it: so it is with most confirmations in a burst.
        if self.unschedulable.is_empty() && self.in_flight.pods() == 0 {
            return;
        }
        let wildcard = event == ClusterEvent::WILDCARD;
        // Per profile, who hears of it.
        let hearing: Vec<PluginSet> = self
            .interests
            .iter()
            .map(|plugins| {
                let mut set = PluginSet::default();
                for (id, wanted) in plugins {
                    if wanted.iter().any(|i| i.matches(&event)) {
                        set.insert(*id);
                    }
                }
                set
            })
            .collect();
        if !wildcard && hearing.iter().all(|set| set.is_empty()) {
            return;
        }
        let candidates: Vec<u32> = self
            .unschedulable
            .iter()
            .copied()
            .filter(|slot| {
                let Some(entry) = self.entries[*slot as usize].as_deref() else { return false };
                let hears = hearing.get(entry.profile).copied().unwrap_or_default();
                let rejectors = entry.rejectors.union(entry.pending);
                if !among.has(&entry.info) {
                    return false;
                }
                wildcard
                    || (entry.gate.is_none_or(|gate| hears.has(gate))
                        && (rejectors.is_empty() || !rejectors.intersection(hears).is_empty()))
            })
            .collect();
        for slot in candidates {
            let strategy = self.worth_requeuing(slot, &event, change, cx);
            if strategy != Strategy::Skip {
                self.leave_unschedulable(slot);
                self.requeue_by(slot, strategy, Cause::Event(event), cx);
            }
        }
        self.in_flight.record(event, change);
    }

    /// A popped pod comes back: rejected by `rejectors` and `pending`, or with none of both after an error
    /// (`AddUnschedulableIfNotPresent`). Events that came meanwhile are replayed.
    pub fn requeue(&mut self, uid: &str, rejectors: PluginSet, pending: PluginSet, cx: &QueueCx<'_>) {
        let Some(slot) = self.by_uid.get(uid).copied() else { return };
        let missed = self.in_flight.missed(uid);
        let Some(entry) = self.entries[slot as usize].as_deref_mut() else { return };
        if entry.place != Place::InFlight {
            return;
        }
        entry.rejectors = rejectors;
        entry.pending = pending;
        (entry.flushed, entry.flushed_at) = (false, Mono(0));
        if rejectors.is_empty() && pending.is_empty() {
            entry.error_count = entry.error_count.saturating_add(1);
        } else {
            entry.unschedulable_count = entry.unschedulable_count.saturating_add(1);
            entry.error_count = 0;
            entry.unschedulable_since.get_or_insert(cx.now.wall);
        }
        entry.timestamp = cx.now.mono;
        entry.backoff_expiry = None;
        let strategy = if rejectors.is_empty() && pending.is_empty() {
            Strategy::AfterBackoff
        } else {
            match missed {
                Missed::Lost => Strategy::AfterBackoff,
                Missed::All(events) => events
                    .iter()
                    .map(|(event, change)| self.worth_requeuing(slot, event, change, cx))
                    .max()
                    .unwrap_or(Strategy::Skip),
            }
        };
        self.in_flight.done(uid);
        self.requeue_by(slot, strategy, Cause::Named(SCHEDULE_ATTEMPT_FAILURE), cx);
    }

    /// Puts a popped pod back as if it had not been popped, for another attempt at once.
    pub fn put_back(&mut self, uid: &str, cx: &QueueCx<'_>) {
        let Some(slot) = self.by_uid.get(uid).copied() else { return };
        self.in_flight.done(uid);
        if self.entries[slot as usize].as_deref().is_some_and(|e| e.place == Place::InFlight) {
            self.enter_active(slot, Cause::Named(FORCE_ACTIVATE), cx);
        }
    }

    /// Moves a waiting pod to the active queue at once, whatever it waits for (`Activate`): backoff and events do not
    /// count, PreEnqueue does. One that is being decided gets another attempt when it comes back, after its backoff.
    /// Whoever is not here is passed over. True when it was moved.
    pub fn activate(&mut self, uid: &str, cx: &QueueCx<'_>) -> bool {
        let Some(slot) = self.by_uid.get(uid).copied() else { return false };
        let Some(place) = self.entries[slot as usize].as_deref().map(|e| e.place) else { return false };
        match place {
            Place::Active => return false,
            // One on its way to its node can only fail with an error any more, and is tried again then in any case.
            Place::InFlight => {
                if self.in_flight.has(uid) {
                    let info = self.entries[slot as usize].as_deref().map(|e| e.info.clone());
                    self.in_flight.record(ClusterEvent::WILDCARD, &Change::Pod { old: None, new: info });
                }
                return false;
            }
            Place::Unschedulable => self.leave_unschedulable(slot),
            Place::Backoff => {
                let entries = &self.entries;
                let less = |a: u32, b: u32| backoff_less(entries, cx.profiles, a, b);
                if !self.backoff.remove(slot, &less) {
                    self.errors.remove(slot, &less);
                }
                return self.make_active(slot, Cause::Named(FORCE_ACTIVATE), cx);
            }
        }
        self.enter_active(slot, Cause::Named(FORCE_ACTIVATE), cx)
    }

    /// Time passed: ends backoffs, and gives pods another attempt that waited for too long.
    pub fn flush(&mut self, cx: &QueueCx<'_>) {
        let now = cx.now.mono;
        for errors in [false, true] {
            loop {
                let entries = &self.entries;
                let heap = if errors { &mut self.errors } else { &mut self.backoff };
                let Some(slot) = heap.peek() else { break };
                let due = entries[slot as usize].as_deref().is_none_or(|e| !e.is_backing_off(now));
                if !due {
                    break;
                }
                heap.pop(&|a, b| backoff_less(entries, cx.profiles, a, b));
                self.make_active(slot, Cause::Named(BACKOFF_COMPLETE), cx);
            }
        }
        if now < self.next_leftover_flush {
            return;
        }
        self.next_leftover_flush = window(now) + LEFTOVER_INTERVAL;
        let old: Vec<u32> = self
            .unschedulable
            .iter()
            .copied()
            .filter(|slot| {
                self.entries[*slot as usize]
                    .as_deref()
                    .is_some_and(|e| now.since(e.timestamp.max(e.flushed_at)) > self.max_unschedulable)
            })
            .collect();
        for slot in old {
            self.leave_unschedulable(slot);
            if let Some(entry) = self.entries[slot as usize].as_deref_mut() {
                (entry.flushed, entry.flushed_at) = (true, now);
            }
            self.requeue_by(slot, Strategy::AfterBackoff, Cause::Named(UNSCHEDULABLE_TIMEOUT), cx);
        }
    }
}
