//! The mark that a pod gets before it is deleted, and another manager that makes the same mark ([`crate::rival::Rival`]).

use headroom_core::{
    Now,
    object::{Pod, Status},
};

use super::{REASON, Step, TaintEvictionController};
use crate::framework::Changed;

/// What shows whose the mark of a pod is: its reason says which loop made it. Of the condition as a whole a kubelet may own a
/// part, one of k3s under the name of the stock manager.
pub(super) const MARK: &str = "/f:status/f:conditions/k:{\"type\":\"DisruptionTarget\"}/f:reason";

impl TaintEvictionController {
    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// A pod has got the mark that only a loop like this one makes: who was it?
    pub(super) fn note_mark(&mut self, change: &Changed<'_, Pod>, now: Now) {
        let (Some(old), Some(new)) = (change.old, change.new) else { return };
        if !self.leading || old.meta.uid != new.meta.uid || is_marked(old) || !is_marked(new) {
            return;
        }
        let key = &new.meta.key;
        let eviction = self.evictions.get_mut(key).filter(|eviction| eviction.uid == new.meta.uid);
        let foreign = eviction.is_none_or(|eviction| {
            let in_flight = matches!(eviction.step, Step::Marking(Some(_)));
            eviction.mark.seen(old.meta.resource_version, new.meta.resource_version, in_flight)
        });
        if foreign {
            self.rival.suspect(key, now);
        }
    }
}

/// Whether the condition stands already.
pub(super) fn is_marked(pod: &Pod) -> bool {
    pod.condition("DisruptionTarget").is_some_and(|c| c.status == Status::True && c.reason == *REASON)
}
