//! Writing the objects: creation, replacement of foreign ones, the pace, and what to do when a write fails.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Mono, Now, Str,
    intent::{Op, Outcome, WriteError, Written},
    object::{Kind, MemoryProfile, ObjectKey, ProfileEntry},
};
use serde_json::Value;

use super::{
    MemoryProfileController, Object, State,
    learn::{Learned, News},
    object,
};
use crate::{
    creatable::{REFUSED_RETRY, concerns_all},
    framework::{Outbox, World},
};

/// Between two writes of any profiles: five in a second at most.
const PACE: Duration = Duration::from_millis(200);
/// Between two writes of one profile.
const GAP: Duration = Duration::from_secs(60);
/// The same when deciders are far off.
const SHORT_GAP: Duration = Duration::from_secs(10);

/// A write in flight.
#[derive(Debug)]
pub(super) enum Write {
    /// The object without its status.
    Create,
    /// A foreign object, by UID.
    Delete(Str),
    /// The status; what is published when it succeeds.
    Status(Vec<ProfileEntry>),
    /// A consistent read, after a conflict.
    Get,
}

impl MemoryProfileController {
    /// Writes what is due for this workload; one write at a time.
    pub(super) fn publish(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(state) = self.workloads.get_mut(key) else {
            self.queue.forget(key);
            return;
        };
        if state.writing {
            return;
        }
        if state.retry_at > now.mono {
            self.queue.add_at(key.clone(), state.retry_at);
            return;
        }
        state.take_row(world.profiles.get(key).map(|row| &**row));
        let kind = Kind::MEMORY_PROFILE;
        let (write, op) = if state.must_read {
            (Write::Get, Op::Get { kind, key: key.clone() })
        } else {
            let Some(object) = &state.object else {
                if state.learned.is_empty() {
                    return;
                }
                if let Err(until) = self.creatable.admit(now.mono) {
                    self.queue.add_at(key.clone(), until);
                    return;
                }
                let body = Arc::new(object::new_object(key, &state.owner));
                return self.write(key, Write::Create, Op::Create { kind, key: key.clone(), body }, now.mono, out);
            };
            if object.ours {
                let news = state.learned.news(&state.published, now.wall, &self.params);
                let gap = match news {
                    News::None => return,
                    News::Some => GAP,
                    News::Much => SHORT_GAP,
                };
                if let Some(at) = state.written_at.map(|at| at + gap).filter(|at| *at > now.mono) {
                    self.queue.add_at(key.clone(), at);
                    return;
                }
                let entries = state.learned.to_entries();
                let body = object::full_body(key, &object.uid, object.resource_version, &state.owner, &entries);
                let op = Op::Update { kind, key: key.clone(), subresource: "status", body: Arc::new(body) };
                (Write::Status(entries), op)
            } else {
                let uid = object.uid.clone();
                let precondition = Some(uid.clone());
                let op = Op::Delete {
                    kind,
                    key: key.clone(),
                    uid: precondition,
                    resource_version: None,
                    grace_seconds: None,
                };
                (Write::Delete(uid), op)
            }
        };
        self.write(key, write, op, now.mono, out);
    }

    fn write(&mut self, key: &ObjectKey, write: Write, op: Op, now: Mono, out: &mut Outbox<'_>) {
        if let Some(state) = self.workloads.get_mut(key) {
            state.writing = true;
        }
        self.next_write = now + PACE;
        self.writes.insert(out.push(op), (key.clone(), write));
    }

    /// What became of a write.
    pub(super) fn written(&mut self, outcome: &Outcome, _: &World, now: Now) {
        let Some((key, write)) = self.writes.remove(&outcome.id) else { return };
        if matches!(write, Write::Create) && self.creatable.tried(&outcome.result, now.mono) {
            for key in self.workloads.keys() {
                self.queue.add(key.clone());
            }
        }
        let Some(state) = self.workloads.get_mut(&key) else { return };
        state.writing = false;
        self.queue.add(key.clone());
        match (&outcome.result, write) {
            (Ok(written), Write::Create) => {
                let known = written.uid.clone().filter(|_| written.resource_version > 0);
                state.must_read = known.is_none();
                state.object = known.map(|uid| Object { uid, resource_version: written.resource_version, ours: true });
                state.published.clear();
                self.queue.forget(&key);
            }
            (Ok(_) | Err(WriteError::NotFound(_)), Write::Delete(uid)) => {
                state.object = None;
                state.deleted = Some(uid);
                state.published.clear();
            }
            (Ok(written), Write::Status(entries)) => {
                if let Some(object) = &mut state.object {
                    object.resource_version = object.resource_version.max(written.resource_version);
                }
                state.published = entries;
                state.written_at = Some(now.mono);
                self.queue.forget(&key);
            }
            (Ok(written), Write::Get) => {
                state.object = found(written, &state.owner.uid);
                state.must_read = false;
            }
            (Err(error), write) => self.refused(&key, &write, error, now.mono),
        }
    }

    /// A write was not done.
    fn refused(&mut self, key: &ObjectKey, write: &Write, error: &WriteError, now: Mono) {
        let Some(state) = self.workloads.get_mut(key) else { return };
        match (write, error) {
            // The row lags, or somebody else wrote: a consistent read tells.
            (Write::Status(_) | Write::Delete(_), WriteError::Conflict(_))
            | (Write::Create, WriteError::AlreadyExists(_)) => {
                state.must_read = true;
                state.retry_at = now + self.queue.add_rate_limited(key.clone(), now);
            }
            // Deleted by the garbage collector, or by somebody who wants it to be learned anew.
            (Write::Status(_), WriteError::NotFound(_)) => {
                self.workloads.remove(key);
            }
            (Write::Get, WriteError::NotFound(_)) => {
                state.object = None;
                state.must_read = false;
                state.retry_at = now + self.queue.add_rate_limited(key.clone(), now);
            }
            // One tries for all: see [`crate::creatable`].
            (Write::Create, error) if concerns_all(error) => {}
            (_, WriteError::NotLeader) => {}
            (_, error) if error.is_retryable() => {
                state.retry_at = now + self.queue.add_rate_limited(key.clone(), now);
            }
            (_, error) => {
                if self.queue.failures(key) == 0 {
                    tracing::warn!(profile = %key, "MemoryProfile cannot be written: {error}");
                }
                self.queue.add_rate_limited(key.clone(), now);
                state.retry_at = now + REFUSED_RETRY;
            }
        }
    }
}

impl State {
    /// The newer of what the row says and what our own writes said. A row that is newer than them was written by
    /// somebody else, and is believed.
    fn take_row(&mut self, row: Option<&MemoryProfile>) {
        let Some(row) = row.filter(|row| self.deleted.as_ref() != Some(&row.meta.uid)) else { return };
        if self.object.as_ref().is_some_and(|o| o.resource_version >= row.meta.resource_version) {
            return;
        }
        let owned = row.meta.owners.iter().any(|o| o.uid == self.owner.uid);
        // Not the object that is known: it was deleted, and made by somebody else.
        let known = self.object.as_ref().is_none_or(|object| object.ours);
        let ours = owned && known;
        self.object = Some(Object { uid: row.meta.uid.clone(), resource_version: row.meta.resource_version, ours });
        if ours && *row.containers != *self.published {
            self.learned = Learned::of(&row.containers);
            self.published = row.containers.to_vec();
        }
    }
}

/// The object as a consistent read found it.
fn found(written: &Written, owner: &str) -> Option<Object> {
    let found = written.found.first()?;
    let owners = found.body.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let ours = owners.is_some_and(|owners| owners.iter().any(|o| o["uid"] == *owner));
    Some(Object { uid: found.uid.clone(), resource_version: found.resource_version, ours })
}
