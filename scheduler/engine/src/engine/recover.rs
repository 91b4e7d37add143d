//! After a panic: the rest goes on (DESIGN.md 13).

use headroom_core::{Now, Str, intent::Intent, object::ObjectKey};

use super::{Engine, failure::Fault, inputs::MAX_QUARANTINED, queue_and_cx};
use crate::framework::PodInfo;

impl Engine {
    /// To be called by the shell after it caught a panic of [`Engine::schedule_one`] or [`Engine::handle`].
    ///
    /// Everything that is derived is made anew from nodes, pods and bindings. The pod that was being decided, if any, is
    /// told so with a `SchedulerError` condition and left alone until it is deleted or this process starts anew. Its
    /// name is answered.
    pub fn rebuild_after_panic(&mut self, now: Now, out: &mut Vec<Intent>) -> Option<ObjectKey> {
        self.counters.panics += 1;
        let culprit = self.current.take();
        self.cache = self.cache.recomputed();
        self.classes = Default::default();
        self.abandon_preemptions();
        // Assumed pods without a binding were left by the cycle that panicked.
        let lost: Vec<(PodInfo, Str)> = self
            .cache
            .pods()
            .filter(|p| p.assumed && !self.bindings.contains_key(p.info.uid()))
            .map(|p| (p.info.clone(), self.cache.any_row(p.slot).map(|row| row.name.clone()).unwrap_or_default()))
            .collect();
        for (info, node) in lost {
            // What it had reserved is kept by its profile's plugins alone; for the others it means nothing.
            for profile in 0..self.profiles.all.len() {
                self.unreserve(&info, profile, &node, now);
            }
            self.cache.forget(info.uid());
        }
        let entries = self.queue.drain();
        let bound: Vec<bool> = entries.iter().map(|e| self.is_binding(e.info.uid())).collect();
        let (queue, cx) = queue_and_cx!(self, now);
        for (entry, binding) in entries.into_iter().zip(bound) {
            queue.restore(entry, binding, &cx);
        }
        let uid = culprit?;
        let key = self.queue.get(&uid)?.info.pod.meta.key.clone();
        let message = "the scheduler failed on this pod because of an error of its own and leaves it alone: \
                       see the scheduler's log, and report it";
        let (queue, cx) = queue_and_cx!(self, now);
        queue.take_in_flight(&uid, &cx);
        self.fail(&uid, Fault::error(message.to_owned()), now, out);
        let (queue, cx) = queue_and_cx!(self, now);
        queue.remove(&uid, &cx);
        if self.quarantined.len() >= MAX_QUARANTINED {
            self.quarantined.clear();
        }
        self.quarantined.insert(uid);
        Some(key)
    }
}
