//! What whoever runs the cluster has to know of the scheduler as a whole: events on its Lease, since there is no object that
//! is the scheduler.
//!
//! - No node's memory is known any more, and it is again (memory-and-swap.md 5.8, S7): once each.
//! - Somebody else binds pods of its queue (DESIGN 12).

use std::time::Duration;

use headroom_core::{
    Mono, Now,
    intent::{EventRecord, EventType},
    memory::Cluster,
};
use headroom_runtime::lease::{LeaderConfig, leader_event};

/// How long no node has to have a usable sample before that is told. A NodeHeadroom is made without its status, so that
/// the first of a cluster has no sample for a moment.
const HOLD: Duration = Duration::from_secs(20);

const LOST: &str = "no node has a usable memory sample: nothing is refused for memory, and free memory is estimated from \
                    requests. Does headroom-controllers run, and is its clock right?";
const BACK: &str = "nodes have usable memory samples again";
const GONE: &str =
    "there are no NodeHeadrooms any more: memory is not considered, pods go where stock would place them";
const FOREIGN: &str = "somebody else binds pods of this scheduler's queue: does another scheduler serve the same name?";

/// What is known of the memory of all nodes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Memory {
    /// There is no NodeHeadroom, or nobody asks for them: memory is not considered.
    #[default]
    NotConsidered,
    /// There are NodeHeadrooms, and no node has a usable sample.
    Degraded,
    /// Some node has a usable sample.
    Known,
}

impl From<Cluster> for Memory {
    fn from(cluster: Cluster) -> Self {
        if cluster.inert {
            Self::NotConsidered
        } else if cluster.degraded {
            Self::Degraded
        } else {
            Self::Known
        }
    }
}

/// What alarms look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Of the nodes' memory.
    pub(crate) memory: Memory,
    /// Pods that somebody else bound so far.
    pub(crate) foreign_bindings: u64,
}

/// What was seen and told so far.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Since when memory is degraded without a break.
    degraded_since: Option<Mono>,
    /// That was told, and not yet that it is over.
    told: bool,
    foreign_bindings: u64,
}

impl Alarms {
    /// The events about what is different now; to be asked every second or so. Foreign bindings are logged one by one
    /// where they are seen.
    pub(crate) fn look(&mut self, vitals: Vitals, leader: &LeaderConfig, now: Now) -> Vec<EventRecord> {
        let mut events = Vec::new();
        let mut tell = |kind, reason, note: &str| {
            let note = note.to_owned();
            events.push(EventRecord { kind, reason, action: "Scheduling", note, ..leader_event(leader, now.wall) });
        };
        if vitals.memory == Memory::Degraded {
            let since = *self.degraded_since.get_or_insert(now.mono);
            if !self.told && now.mono.since(since) >= HOLD {
                self.told = true;
                tracing::warn!("{LOST}");
                tell(EventType::Warning, "MemoryDegraded", LOST);
            }
        } else {
            self.degraded_since = None;
            if std::mem::take(&mut self.told) {
                let note = if vitals.memory == Memory::Known { BACK } else { GONE };
                tracing::info!("{note}");
                tell(EventType::Normal, "MemoryDegradedEnded", note);
            }
        }
        if vitals.foreign_bindings > self.foreign_bindings {
            tell(EventType::Warning, "ForeignBinding", FOREIGN);
        }
        self.foreign_bindings = vitals.foreign_bindings;
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told at each of these looks, as (reason, note).
    fn told(looks: &[(u32, Memory, u64)]) -> Vec<Vec<(&'static str, String)>> {
        let leader = LeaderConfig {
            enabled: true,
            namespace: "kube-system".to_owned(),
            name: "kube-scheduler".to_owned(),
            identity: "a_b".to_owned(),
            durations: headroom_runtime::lease::Durations::default(),
        };
        let mut alarms = Alarms::default();
        let look = |&(second, memory, foreign_bindings): &(u32, Memory, u64)| {
            let events = alarms.look(Vitals { memory, foreign_bindings }, &leader, Now::at_secs(second));
            assert!(events.iter().all(|event| event.regarding.name == "kube-scheduler"));
            events.into_iter().map(|event| (event.reason, event.note)).collect::<Vec<_>>()
        };
        looks.iter().map(look).collect()
    }

    fn lost() -> Vec<(&'static str, String)> {
        vec![("MemoryDegraded", LOST.to_owned())]
    }

    fn ended(note: &str) -> Vec<(&'static str, String)> {
        vec![("MemoryDegradedEnded", note.to_owned())]
    }

    #[test]
    fn each_change_is_told_once() {
        use Memory::{Degraded, Known};
        let both = vec![("MemoryDegradedEnded", BACK.to_owned()), ("ForeignBinding", FOREIGN.to_owned())];
        let looks = [
            (0, Known, 0),
            (1, Degraded, 0),
            (20, Degraded, 0),
            (21, Degraded, 0),
            (22, Degraded, 0),
            (90, Degraded, 0),
            (91, Known, 2),
            (92, Known, 2),
        ];
        let nothing = Vec::new;
        let expected = [nothing(), nothing(), nothing(), lost(), nothing(), nothing(), both, nothing()];
        assert_eq!(told(&looks), expected);
    }

    #[test]
    fn it_takes_a_while_without_a_break() {
        use Memory::{Degraded, Known, NotConsidered};
        // The first NodeHeadroom has no status yet; then samples come and go.
        let looks = [(0, NotConsidered, 0), (1, Degraded, 0), (2, Known, 0), (15, Degraded, 0), (30, Known, 0)];
        assert!(told(&looks).iter().all(Vec::is_empty));
        let looks = [(0, Degraded, 0), (19, Known, 0), (20, Degraded, 0), (39, Degraded, 0), (40, Degraded, 0)];
        let told = told(&looks);
        assert!(told[..4].iter().all(Vec::is_empty), "{told:?}");
        assert_eq!(told[4], lost());
    }

    #[test]
    fn it_ends_with_what_is_true() {
        use Memory::{Degraded, Known, NotConsidered};
        let looks = [(0, Degraded, 0), (20, Degraded, 0), (21, NotConsidered, 0), (22, Known, 0)];
        assert_eq!(told(&looks), [Vec::new(), lost(), ended(GONE), Vec::new()]);
        let looks = [(0, Degraded, 0), (20, Degraded, 0), (21, Known, 0), (22, NotConsidered, 0)];
        assert_eq!(told(&looks), [Vec::new(), lost(), ended(BACK), Vec::new()]);
    }

    #[test]
    fn the_engine_says_how_it_is() {
        let of = |inert, degraded| Memory::from(Cluster { inert, degraded, soft: false });
        let seen = [of(true, false), of(false, true), of(false, false)];
        assert_eq!(seen, [Memory::NotConsidered, Memory::Degraded, Memory::Known]);
    }
}
