//! Pods that plugins want tried at once (upstream's `PodsToActivate` and `Handle.Activate`).
//!
//! Upstream's plugins put pods into the state of the cycle, from which they are taken at the end of a scheduling cycle and
//! of a binding cycle that succeeded, or call their handle at any time. Here a plugin has neither: it is asked whenever
//! plugins were told of something.

use headroom_core::{Now, Str};

use super::{Engine, queue_and_cx};
use crate::queue::WaitingPods;

/// Most pods of one answer that are moved: the others can be named the next time.
pub(super) const MAX_ACTIVATED: usize = 256;

impl Engine {
    /// Plugins of this profile were told of something: those that hold pods are asked again, and each says whom it wants
    /// tried at once. A pod that comes back to the queue because of this must still be in flight, so that a plugin that
    /// names it does not have it tried again and again without a pause.
    pub(super) fn plugins_told(&mut self, profile: usize, now: Now) {
        self.wake_held(now);
        let Some(profile) = self.profiles.all.get_mut(profile) else { return };
        let waiting = WaitingPods::new(&self.queue);
        let mut named: Vec<Str> = Vec::new();
        for plugin in &mut profile.plugins {
            named.extend(plugin.pods_to_activate(&waiting).into_iter().take(MAX_ACTIVATED));
        }
        let (queue, cx) = queue_and_cx!(self, now);
        for uid in named {
            queue.activate(&uid, &cx);
        }
    }
}
