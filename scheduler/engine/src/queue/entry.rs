//! A pod in the queue.

use std::time::Duration;

use headroom_core::{Mono, Now};

use crate::framework::{PluginId, PluginSet, PodInfo};

/// Where a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// To be tried next.
    Active,
    /// Waiting for its backoff to end.
    Backoff,
    /// Waiting for an event.
    Unschedulable,
    /// Popped: being decided, or on its way to a node.
    InFlight,
}

/// A pod and its history of attempts (`framework.QueuedPodInfo`).
#[derive(Debug, Clone)]
pub struct QueuedPod {
    /// The newest version of the pod.
    pub info: PodInfo,
    /// Which profile serves it.
    pub profile: usize,
    /// Where it is.
    pub place: Place,
    /// When it was (re)added.
    pub timestamp: Mono,
    /// How often it was popped.
    pub attempts: u32,
    /// When it first entered the active queue.
    pub first_active: Option<Now>,
    /// When it was first shown to this process, until its first binding is asked for ([`super::Queue::take_seen`]).
    pub(super) seen: Option<Mono>,
    /// When it was first found unschedulable, in this life of the process.
    pub unschedulable_since: Option<headroom_core::Timestamp>,
    /// Attempts that ended in a rejection.
    pub unschedulable_count: u32,
    /// Errors in a row.
    pub error_count: u32,
    /// End of its backoff, cut to whole seconds; worked out when asked for.
    pub(super) backoff_expiry: Option<Mono>,
    /// Who rejected it last.
    pub rejectors: PluginSet,
    /// Who rejected it with `Pending`.
    pub pending: PluginSet,
    /// Who keeps it out of the active queue.
    pub gate: Option<PluginId>,
    /// Whether it came back because it had waited for too long.
    pub flushed: bool,
    /// Hash of the condition that was last asked to be written.
    pub(crate) condition: Option<u64>,
    /// The nomination that was last asked to be written, until it is overtaken by another one.
    pub(crate) nomination: Option<Option<headroom_core::Str>>,
    /// When it was brought back because it had waited for too long, and gated at once.
    pub(super) flushed_at: Mono,
    /// Order of arrival, where nothing else decides.
    pub(super) sequence: u64,
}

/// Length of the windows to which backoff is cut, and of the flush interval.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

pub(super) fn window(at: Mono) -> Mono {
    let micros = WINDOW.as_micros() as u64;
    Mono(at.0 - at.0 % micros)
}

/// Backoff limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) initial: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    /// `min(initial * 2^(count-1), max)`.
    pub(super) fn duration(self, count: u32) -> Duration {
        let factor = 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor.max(1)).min(self.max)
    }
}

impl QueuedPod {
    /// The end of its backoff; `None` when it has none.
    pub(super) fn expiry(&self) -> Option<Mono> {
        self.backoff_expiry
    }

    /// Works the end of its backoff out, unless that was done since it was popped.
    pub(super) fn set_expiry(&mut self, backoff: Backoff) {
        let count = if self.error_count > 0 { self.error_count } else { self.unschedulable_count };
        if count > 0 && self.backoff_expiry.is_none() {
            self.backoff_expiry = Some(window(self.timestamp + backoff.duration(count)));
        }
    }

    /// Whether it has to wait at `now`: the window in which its backoff ends still counts.
    pub(super) fn is_backing_off(&self, now: Mono) -> bool {
        self.expiry().is_some_and(|end| end >= window(now))
    }

    /// Whether a plugin keeps it out of the active queue.
    #[must_use]
    pub const fn is_gated(&self) -> bool {
        self.gate.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum() {
        let b = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10) };
        let got: Vec<_> =
            [1, 2, 3, 4, 5, 6, 31, 32, 33, 200, u32::MAX].iter().map(|c| b.duration(*c).as_secs()).collect();
        assert_eq!(got, [1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10]);
    }
}
