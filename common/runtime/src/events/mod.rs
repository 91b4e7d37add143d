//! Events that do not become spam: which record becomes which request.
//!
//! The dispatcher's event lane owns a [`Correlator`] and a bounded queue of records. For each record it asks
//! [`Correlator::next`] for a request, executes it behind everything else, and reports a 404 on a patch with
//! [`Correlator::gone`] (the event expired: the record is created anew). [`Correlator::tick`] gives the patches that end
//! a series. Nothing here blocks or does I/O.
//!
//! Two flavours, as upstream: the scheduler writes `events.k8s.io/v1` with series (`client-go/tools/events`), the
//! controllers core `v1` with counts, aggregation of similar events and a token bucket per object
//! (`client-go/tools/record`).

mod body;
mod core_v1;
mod events_v1;

use hashbrown::HashMap;
use headroom_core::{Mono, Now, Str, intent::EventRecord};

use self::{core_v1::CoreV1, events_v1::EventsV1};

/// Longest note or message that the API server takes, in bytes.
pub const MAX_NOTE: usize = 1024;
/// Counts remembered; beyond this the oldest quarter is forgotten, which costs events too many at worst.
pub const MAX_REMEMBERED: usize = 2048;
/// Series remembered (upstream: all). More, for every pod that waits has one that is read again at each of its attempts; about
/// 400 bytes each.
pub const MAX_SERIES: usize = 16_384;

/// Which API events go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `events.k8s.io/v1` with series.
    EventsV1,
    /// Core `v1` with counts.
    CoreV1,
}

/// Who reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// Default `reportingController` (or `source.component`); a record may name another one.
    pub component: Str,
    /// Host name.
    pub host: Str,
}

/// A request about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWrite {
    /// Namespace of the event: that of its object, or `default` for cluster-scoped ones.
    pub namespace: Str,
    /// Name of the event.
    pub name: String,
    /// `true`: POST of the body to the collection; `false`: PATCH of the named event with it (merge patch for
    /// `events.k8s.io/v1`, strategic for core `v1`; both read the same here).
    pub create: bool,
    /// JSON.
    pub body: Vec<u8>,
    key: Key,
}

/// What makes two records the same event; nothing for one that is said once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Key(Box<[Str]>);

/// Decides what becomes of each record.
#[derive(Debug)]
pub struct Correlator(Inner);

#[derive(Debug)]
enum Inner {
    Events(EventsV1),
    Core(CoreV1),
}

impl Correlator {
    /// For one process.
    #[must_use]
    pub fn new(flavour: Flavour, reporter: Reporter) -> Self {
        Self(match flavour {
            Flavour::EventsV1 => Inner::Events(EventsV1::new(reporter)),
            Flavour::CoreV1 => Inner::Core(CoreV1::new(reporter)),
        })
    }

    /// Which API the requests go to.
    #[must_use]
    pub const fn flavour(&self) -> Flavour {
        match self.0 {
            Inner::Events(_) => Flavour::EventsV1,
            Inner::Core(_) => Flavour::CoreV1,
        }
    }

    /// The request for this record; nothing when it only counts, or when its object has had too many.
    pub fn next(&mut self, record: &EventRecord, now: Now) -> Option<EventWrite> {
        match &mut self.0 {
            Inner::Events(e) => e.next(record, now),
            Inner::Core(c) => c.next(record, now),
        }
    }

    /// The event that `write` patches does not exist any more: the next such record creates it anew.
    pub fn gone(&mut self, write: &EventWrite) {
        match &mut self.0 {
            Inner::Events(e) => e.forget(&write.key),
            Inner::Core(c) => c.forget(&write.key),
        }
    }

    /// Ends what has been quiet for long; call it about once a minute. Returns the last patches of series.
    pub fn tick(&mut self, now: Now) -> Vec<EventWrite> {
        match &mut self.0 {
            Inner::Events(e) => e.tick(now),
            Inner::Core(c) => {
                c.tick(now);
                Vec::new()
            }
        }
    }
}

/// Makes room for one more. A quarter goes at a time, so that a burst of new keys costs a constant each.
fn make_room<V>(map: &mut HashMap<Key, V>, most: usize, at: impl Fn(&V) -> Mono) {
    if map.len() < most {
        return;
    }
    let mut times: Vec<Mono> = map.values().map(&at).collect();
    let (_, limit, _) = times.select_nth_unstable(most / 4);
    let limit = *limit;
    let mut surplus = most / 4;
    // Equal times are told apart by nothing: take as many as are too many.
    map.retain(|_, v| {
        let goes = surplus > 0 && at(v) <= limit;
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use headroom_core::{
        intent::{EventRecord, EventType},
        object::ObjectReference,
    };

    pub(crate) fn record(pod: &str, note: &str) -> EventRecord {
        EventRecord {
            regarding_api_version: "v1",
            regarding: ObjectReference {
                kind: "Pod".into(),
                namespace: "default".into(),
                name: pod.into(),
                uid: format!("uid-{pod}").into(),
            },
            related: None,
            kind: EventType::Warning,
            reason: "FailedScheduling",
            action: "Scheduling",
            note: note.to_owned(),
            reporter: None,
            at: headroom_core::Timestamp(1_795_305_600_123_456),
        }
    }
}
