//! What people are told of a node whose pods are held back: one event, repeated when its numbers have changed, but at
//! most once a minute.

use std::{fmt::Write, time::Duration};

use headroom_core::{
    Mono, Now, Str,
    intent::{EventRecord, EventType},
    memory::MIB,
    object::{ObjectKey, ObjectReference},
};

use super::{COMPONENT, brake::MAX_WAIT};

/// An event is not repeated sooner.
const REPEAT: Duration = Duration::from_secs(60);
/// Pods that are named.
const NAMED: usize = 3;

/// Numbers of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Numbers {
    /// Let go because there was room.
    placed: usize,
    /// Let go although none was found.
    unplaced: usize,
    /// Held.
    waiting: usize,
}

impl Numbers {
    const fn all(&self) -> usize {
        self.placed + self.unplaced + self.waiting
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Tally {
    node: Str,
    uid: Str,
    numbers: Numbers,
    /// What those that wait need, in bytes, and the first of them.
    needs: i64,
    names: Vec<ObjectKey>,
    told: Option<(Numbers, Mono)>,
    finished: bool,
}

impl Tally {
    pub(super) fn new(node: &Str, uid: &Str) -> Self {
        Self {
            node: node.clone(),
            uid: uid.clone(),
            numbers: Numbers::default(),
            needs: 0,
            names: Vec::new(),
            told: None,
            finished: false,
        }
    }

    /// A pod was let go.
    pub(super) const fn let_go(&mut self, fitted: bool) {
        if fitted { self.numbers.placed += 1 } else { self.numbers.unplaced += 1 }
    }

    /// These wait, highest priority first.
    pub(super) fn wait_for(&mut self, bytes: i64, pods: &[ObjectKey]) {
        self.numbers.waiting = pods.len();
        self.needs = bytes;
        self.names = pods.iter().take(NAMED).cloned().collect();
    }

    /// The event that is due, if any.
    pub(super) fn tell(&mut self, now: Now) -> Option<EventRecord> {
        let numbers = self.numbers;
        let Some((told, at)) = self.told else {
            // Nobody had to wait: there is nothing to tell.
            self.finished = numbers.waiting == 0;
            return (numbers.waiting > 0).then(|| self.event(now));
        };
        // All evictions that were left were called off: their pods have been told.
        if told == numbers || (numbers.waiting == 0 && numbers.all() < told.all()) {
            self.finished = numbers.waiting == 0;
            return None;
        }
        if now.mono.since(at) < REPEAT {
            return None;
        }
        self.finished = numbers.waiting == 0;
        Some(self.event(now))
    }

    /// Nothing waits, and all has been told.
    pub(super) const fn finished(&self) -> bool {
        self.finished
    }

    fn event(&mut self, now: Now) -> EventRecord {
        self.told = Some((self.numbers, now.mono));
        EventRecord {
            regarding_api_version: "v1",
            regarding: ObjectReference {
                kind: "Node".into(),
                namespace: Str::default(),
                name: self.node.clone(),
                uid: self.uid.clone(),
            },
            related: None,
            kind: if self.numbers.waiting > 0 { EventType::Warning } else { EventType::Normal },
            reason: "EvictionsHeldBack",
            action: "",
            note: self.note(),
            reporter: Some(COMPONENT.into()),
            at: now.wall,
        }
    }

    /// `4 of 9 pods placed, 5 wait: need 600Mi (default/web-1, default/web-2, default/web-3 and 2 more)`.
    fn note(&self) -> String {
        let Numbers { placed, unplaced, waiting } = self.numbers;
        let mut note = format!("{placed} of {} pods placed", self.numbers.all());
        // Writing to a String cannot fail.
        if waiting > 0 {
            let mebibytes = (self.needs / MIB).saturating_add(i64::from(self.needs % MIB > 0));
            let _ = write!(note, ", {waiting} wait: need {mebibytes}Mi (");
            for (at, key) in self.names.iter().enumerate() {
                let _ = write!(note, "{}{key}", if at == 0 { "" } else { ", " });
            }
            if waiting > self.names.len() {
                let _ = write!(note, " and {} more", waiting - self.names.len());
            }
            note.push(')');
        }
        if unplaced > 0 {
            let _ = write!(note, ", {unplaced} let go unplaced (after {} min, or unmeasured)", MAX_WAIT.as_secs() / 60);
        }
        note
    }
}
