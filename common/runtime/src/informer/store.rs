//! What has been delivered: enough to tell a change from a repetition.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use headroom_core::object::ObjectKey;

use super::{Change, health::KindHealth};
use crate::wire::{ConvertError, RawObject, Row, SharedInterners, WireObject};

/// Malformed objects that are remembered so that each is warned of once; beyond that, warnings repeat.
const MOST_REMEMBERED_FAULTS: usize = 1024;

/// The rows, by key. They are shared with the consumer, so an entry costs a pointer and a number.
pub(super) struct Store<W: WireObject> {
    rows: HashTable<Entry<W::Row>>,
    hasher: DefaultHashBuilder,
    list: u32,
    faults: HashMap<ObjectKey, u32>,
    interners: SharedInterners,
}

struct Entry<R> {
    row: Arc<R>,
    /// The list in which it was last seen.
    list: u32,
}

impl<W: WireObject> Store<W> {
    pub(super) fn new(interners: SharedInterners) -> Self {
        Self {
            rows: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            list: 0,
            faults: HashMap::new(),
            interners,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A list begins: what is not seen before its end is gone.
    pub(super) fn begin_list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// The list ends: deletions of what was not in it.
    pub(super) fn end_list(&mut self) -> Vec<Change<W::Row>> {
        let list = self.list;
        self.faults.retain(|_, seen| *seen == list);
        self.rows
            .extract_if(|entry| entry.list != list)
            .map(|entry| Change::Deleted { key: entry.row.key().clone(), uid: entry.row.uid().clone() })
            .collect()
    }

    /// The object is there: a deletion of its predecessor, if that had another UID, and the object, if it is new.
    pub(super) fn apply(&mut self, object: &RawObject, health: &KindHealth) -> [Option<Change<W::Row>>; 2] {
        let list = self.list;
        let converted = {
            // A panic while it was locked would leave the interner usable, only fuller.
            let mut interners = self.interners.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            object.row::<W>(&mut interners)
        };
        let row = match converted {
            Ok(row) => Arc::new(row),
            Err(error) => {
                health.skipped();
                self.fault(&error);
                return [None, None];
            }
        };
        let key = row.key().clone();
        let hash = self.hasher.hash_one(&key);
        if !self.faults.is_empty() {
            self.faults.remove(&key);
        }
        let applied = Some(Change::Applied(row.clone()));
        let hasher = &self.hasher;
        match self.rows.find_mut(hash, |e| *e.row.key() == key) {
            None => {
                self.rows.insert_unique(hash, Entry { row, list }, |e| hasher.hash_one(e.row.key()));
                [None, applied]
            }
            Some(entry) => {
                entry.list = list;
                let before = &entry.row;
                if before.uid() != row.uid() {
                    let gone = Change::Deleted { key, uid: before.uid().clone() };
                    entry.row = row;
                    return [Some(gone), applied];
                }
                // A list from an older cache must not turn back what is known already.
                if row.resource_version() != 0 && row.resource_version() <= before.resource_version() {
                    return [None, None];
                }
                entry.row = row;
                [None, applied]
            }
        }
    }

    /// A malformed object: warned of once. What was known of it stays, since a malformed update is no deletion.
    fn fault(&mut self, error: &ConvertError) {
        let ConvertError { key, .. } = error;
        let list = self.list;
        if let Some(entry) = self.rows.find_mut(self.hasher.hash_one(key), |e| e.row.key() == key) {
            entry.list = list;
        }
        let known = self.faults.contains_key(key);
        if known || self.faults.len() < MOST_REMEMBERED_FAULTS {
            self.faults.insert(key.clone(), list);
        }
        if !known {
            tracing::warn!(kind = W::KIND.kind, "skipped a malformed object: {error}");
        }
    }

    /// The object is gone.
    pub(super) fn delete(&mut self, object: &RawObject) -> Option<Change<W::Row>> {
        let (key, _) = object.identity();
        let hash = self.hasher.hash_one(&key);
        self.faults.remove(&key);
        let entry = self.rows.find_entry(hash, |e| *e.row.key() == key).ok()?.remove().0;
        Some(Change::Deleted { key, uid: entry.row.uid().clone() })
    }
}
