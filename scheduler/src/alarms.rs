//! What whoever runs the cluster has to know of the scheduler as a whole: events on its Lease, since there is no object that
//! is the scheduler.
//!
//! - No node's memory is known any more, and it is again (memory-and-swap.md 5.8, S7): once each.
//! - Somebody else binds pods of its queue (DESIGN 12).

use headroom_core::{
    Timestamp,
    intent::{EventRecord, EventType},
};
use headroom_runtime::lease::{LeaderConfig, leader_event};

const LOST: &str = "no node has a usable memory sample: nothing is refused for memory, and free memory is estimated from \
                    requests. Does headroom-controllers run, and is its clock right?";
const BACK: &str = "nodes have usable memory samples again";
const FOREIGN: &str = "somebody else binds pods of this scheduler's queue: does another scheduler serve the same name?";

/// What alarms look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// There are NodeHeadrooms, and no node has a usable sample.
    pub(crate) degraded: bool,
    /// Pods that somebody else bound so far.
    pub(crate) foreign_bindings: u64,
}

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Vitals);

impl Alarms {
    /// The events about what is different now. Foreign bindings are logged one by one where they are seen.
    pub(crate) fn look(&mut self, now: Vitals, leader: &LeaderConfig, at: Timestamp) -> Vec<EventRecord> {
        let before = std::mem::replace(&mut self.0, now);
        let mut events = Vec::new();
        let mut tell = |kind, reason, note: &str| {
            let note = note.to_owned();
            events.push(EventRecord { kind, reason, action: "Scheduling", note, ..leader_event(leader, true, at) });
        };
        match (before.degraded, now.degraded) {
            (false, true) => {
                tracing::warn!("{LOST}");
                tell(EventType::Warning, "MemoryDegraded", LOST);
            }
            (true, false) => {
                tracing::info!("{BACK}");
                tell(EventType::Normal, "MemoryDegradedEnded", BACK);
            }
            _ => {}
        }
        if now.foreign_bindings > before.foreign_bindings {
            tell(EventType::Warning, "ForeignBinding", FOREIGN);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let leader = LeaderConfig {
            enabled: true,
            namespace: "kube-system".to_owned(),
            name: "kube-scheduler".to_owned(),
            identity: "a_b".to_owned(),
            durations: headroom_runtime::lease::Durations::default(),
        };
        let mut alarms = Alarms::default();
        let mut look = |degraded, foreign_bindings| {
            let events = alarms.look(Vitals { degraded, foreign_bindings }, &leader, Timestamp(0));
            assert!(events.iter().all(|event| event.regarding.name == "kube-scheduler"));
            events.into_iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        assert!(look(false, 0).is_empty());
        assert_eq!(look(true, 0), ["MemoryDegraded"]);
        assert!(look(true, 0).is_empty());
        assert_eq!(look(false, 2), ["MemoryDegradedEnded", "ForeignBinding"]);
        assert!(look(false, 2).is_empty());
    }
}
