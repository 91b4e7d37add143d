//! Writes of slices, and what became of them: for each object whose slices these are, nothing is decided before the view
//! has shown the last writes (upstream's `EndpointSliceTracker`, reference 3.7).

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    expectations::{Expectations, Sight, What},
    intent::{IntentId, Op, Outcome, PatchKind, WriteError},
    object::{EndpointSlice, Kind, ObjectKey},
};
use serde_json::Value;

use crate::{
    answers::server_message,
    endpoint_common::{PATIENCE, is_beyond},
    framework::{Changed, Outbox, World},
    names::{Names, generate_name},
};

/// What one look wants written.
#[derive(Debug, Default)]
pub struct Writes {
    /// Bodies of new slices, without names.
    pub create: Vec<Value>,
    /// Slices with their merge patches.
    pub update: Vec<(Arc<EndpointSlice>, Value)>,
    /// To be deleted once everything else has succeeded, so that endpoints never vanish in between.
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// Slices written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// `changes{operation="create"}`.
    pub created: u64,
    /// `changes{operation="update"}`.
    pub updated: u64,
    /// `changes{operation="delete"}`.
    pub deleted: u64,
}

/// Whether an object's slices can be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The view has everything.
    Current,
    /// Writes are in flight: the report of the last one brings the object back.
    InFlight,
    /// A write has not been seen yet: when it is, or at this time, look again.
    Behind(Mono),
}

/// The end of a look: all its writes were answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What went wrong, when people should know of it.
    pub error: Option<String>,
    /// Whether something has to be tried again. Errors that are not told count too: conflicts, a busy API server.
    pub retry: bool,
    /// Whether the rights did not suffice.
    pub forbidden: bool,
    /// Whether somebody looked in vain meanwhile.
    pub again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Update,
    Delete,
}

#[derive(Debug)]
struct Pending {
    owner: ObjectKey,
    slice: ObjectKey,
    uid: Str,
    operation: Operation,
}

/// What is remembered of one owner.
#[derive(Debug, Default)]
struct Page {
    expected: Expectations,
    /// Slices whose write is not answered yet.
    in_flight: Vec<ObjectKey>,
    /// Of the present look.
    report: Report,
    deletions: Vec<Arc<EndpointSlice>>,
    /// Names that do not exist, or not yet.
    spare: Vec<Str>,
    /// Not needed any more once everything has been seen.
    released: bool,
}

/// The writes of one controller's slices.
#[derive(Debug)]
pub struct SliceWriter {
    /// For texts: `Service` or `Endpoints`.
    owner_kind: &'static str,
    pages: HashMap<ObjectKey, Page>,
    intents: HashMap<IntentId, Pending>,
    names: Names,
    changes: Changes,
    /// See [`Self::take_suspect`].
    suspect: Option<ObjectKey>,
}

impl SliceWriter {
    /// `seed` decides the names of slices; it must differ from process to process.
    #[must_use]
    pub fn new(owner_kind: &'static str, seed: u64) -> Self {
        Self {
            owner_kind,
            pages: HashMap::new(),
            intents: HashMap::new(),
            names: Names::new(seed),
            changes: Changes::default(),
            suspect: None,
        }
    }

    /// Counters for metrics.
    #[must_use]
    pub const fn changes(&self) -> Changes {
        self.changes
    }

    /// Forgets everything: this process begins to lead.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.intents.clear();
        self.suspect = None;
    }

    /// Whether the owner's slices can be decided on now.
    pub fn view(&mut self, owner: &ObjectKey, world: &World, now: Now) -> View {
        let Some(page) = self.pages.get_mut(owner) else { return View::Current };
        page.report.again = true;
        if !page.in_flight.is_empty() {
            return View::InFlight;
        }
        page.expected.settle(|slice| sight(world.slices().get(slice)));
        if let Some(oldest) = page.expected.iter().map(|(_, e)| e.since).min() {
            if oldest + PATIENCE > now.mono {
                return View::Behind(oldest + PATIENCE);
            }
            page.expected.clear();
        }
        page.report.again = false;
        View::Current
    }

    /// The owner has no slices any more: what is remembered of it goes when its last writes have been seen.
    pub fn release(&mut self, owner: &ObjectKey) {
        if let Some(page) = self.pages.get_mut(owner) {
            page.released = true;
            self.let_go(owner);
        }
    }

    fn let_go(&mut self, owner: &ObjectKey) {
        let done = |p: &Page| p.released && p.in_flight.is_empty() && p.expected.is_empty() && p.deletions.is_empty();
        if self.pages.get(owner).is_some_and(done) {
            self.pages.remove(owner);
        }
    }

    /// Sends what a look wants written. `error` is what the look itself found wrong. There is a report at once when
    /// nothing was sent; otherwise [`Self::outcome`] has it.
    pub fn write(
        &mut self,
        owner: &ObjectKey,
        writes: Writes,
        error: Option<String>,
        world: &World,
        out: &mut Outbox<'_>,
    ) -> Option<Report> {
        let page = self.pages.entry(owner.clone()).or_default();
        page.released = false;
        page.report = Report { error, ..Report::default() };
        page.deletions = writes.delete;
        let prefix = generate_name(&owner.name);
        for mut body in writes.create {
            let name = self.free_name(owner, &prefix, world);
            if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("name".to_owned(), name.as_str().into());
            }
            let slice = ObjectKey { namespace: owner.namespace.clone(), name };
            let op = Op::Create { kind: Kind::ENDPOINT_SLICE, key: slice.clone(), body: Arc::new(body) };
            self.send(owner, slice, Str::default(), Operation::Create, op, out);
        }
        for (existing, body) in writes.update {
            let slice = existing.meta.key.clone();
            let op = Op::Patch {
                kind: Kind::ENDPOINT_SLICE,
                key: slice.clone(),
                subresource: "",
                patch: PatchKind::Merge,
                body: Arc::new(body),
            };
            self.send(owner, slice, existing.meta.uid.clone(), Operation::Update, op, out);
        }
        self.go_on(owner, out)
    }

    /// A name that a lost creation may have used comes before a new one: then no slice is made twice.
    fn free_name(&mut self, owner: &ObjectKey, prefix: &str, world: &World) -> Str {
        let page = self.pages.entry(owner.clone()).or_default();
        loop {
            let name = page.spare.pop().unwrap_or_else(|| self.names.next(prefix).into());
            let key = ObjectKey { namespace: owner.namespace.clone(), name };
            if !world.slices().contains_key(&key) {
                return key.name;
            }
        }
    }

    fn send(
        &mut self,
        owner: &ObjectKey,
        slice: ObjectKey,
        uid: Str,
        operation: Operation,
        op: Op,
        out: &mut Outbox<'_>,
    ) {
        if let Some(page) = self.pages.get_mut(owner) {
            page.in_flight.push(slice.clone());
        }
        self.intents.insert(out.push(op), Pending { owner: owner.clone(), slice, uid, operation });
    }

    /// After creations and updates come the deletions, and after these the end of the look.
    fn go_on(&mut self, owner: &ObjectKey, out: &mut Outbox<'_>) -> Option<Report> {
        let page = self.pages.get_mut(owner).filter(|p| p.in_flight.is_empty())?;
        let deletions = std::mem::take(&mut page.deletions);
        // Something that could not be decided does not keep slices alive; a failed write does.
        if !deletions.is_empty() && !page.report.retry {
            for slice in deletions {
                let op = Op::Delete {
                    kind: Kind::ENDPOINT_SLICE,
                    key: slice.meta.key.clone(),
                    uid: Some(slice.meta.uid.clone()),
                    resource_version: Some(slice.meta.resource_version),
                    grace_seconds: None,
                };
                self.send(owner, slice.meta.key.clone(), slice.meta.uid.clone(), Operation::Delete, op, out);
            }
            return None;
        }
        let report = std::mem::take(&mut page.report);
        self.let_go(owner);
        Some(report)
    }

    /// What became of a write; whose it was, and the report when it was the last one of a look.
    pub fn outcome(
        &mut self,
        outcome: &Outcome,
        world: &World,
        now: Now,
        out: &mut Outbox<'_>,
    ) -> Option<(ObjectKey, Report)> {
        let Pending { owner, slice, uid, operation } = self.intents.remove(&outcome.id)?;
        let kind = self.owner_kind;
        let page = self.pages.get_mut(&owner)?;
        if let Some(at) = page.in_flight.iter().position(|s| *s == slice) {
            page.in_flight.swap_remove(at);
        }
        let current = world.slices().get(&slice);
        let overtaken = match &outcome.result {
            Ok(_) if operation == Operation::Delete => false,
            // Seen before the answer was.
            Ok(written) => current.is_some_and(|s| s.meta.resource_version > written.resource_version),
            // Of a name that is taken our own lost answer is the likelier reason.
            Err(error) => matches!(error, WriteError::Conflict(_)),
        };
        if overtaken {
            self.suspect = Some(slice.clone());
        }
        match &outcome.result {
            Ok(written) => {
                let (uid, what, counter) = match operation {
                    Operation::Create => {
                        let uid = written.uid.clone().unwrap_or_default();
                        (uid, What::Version(written.resource_version), &mut self.changes.created)
                    }
                    Operation::Update => (uid, What::Version(written.resource_version), &mut self.changes.updated),
                    Operation::Delete => (uid, What::Gone, &mut self.changes.deleted),
                };
                *counter += 1;
                if operation != Operation::Delete || current.is_some() {
                    page.expected.expect(slice.clone(), uid, what, current.is_some(), now.mono);
                    page.expected.sight(&slice, sight(current));
                }
            }
            Err(WriteError::NotFound(_)) if operation == Operation::Delete => {}
            // The namespace goes away with everything in it.
            Err(WriteError::NamespaceTerminating(_)) if operation == Operation::Create => {}
            // An earlier request got through after all: wait until it is seen. (Or the name is taken by another; then
            // the next look takes another name.)
            Err(WriteError::AlreadyExists(_)) => {
                page.expected.expect(slice, Str::default(), What::Exists, false, now.mono);
                page.report.retry = true;
            }
            Err(error) => {
                if operation == Operation::Create {
                    page.spare.push(slice.name.clone());
                }
                page.report.retry = true;
                page.report.forbidden |= matches!(error, WriteError::Forbidden(_));
                let silent = error.is_retryable() || matches!(error, WriteError::Conflict(_) | WriteError::NotLeader);
                if !silent && page.report.error.is_none() {
                    let text = server_message(error);
                    page.report.error = Some(match operation {
                        Operation::Create => format!("failed to create EndpointSlice for {kind} {owner}: {text}"),
                        Operation::Update => {
                            format!("failed to update {} EndpointSlice for {kind} {owner}: {text}", slice.name)
                        }
                        Operation::Delete => {
                            format!("failed to delete {} EndpointSlice for {kind} {owner}: {text}", slice.name)
                        }
                    });
                }
            }
        }
        let report = self.go_on(&owner, out)?;
        Some((owner, report))
    }

    /// A slice that somebody else seems to have written while a write of ours was under way.
    pub fn take_suspect(&mut self) -> Option<ObjectKey> {
        self.suspect.take()
    }

    /// Whether somebody else has made this slice of the owner what it is now. While a write of ours is under way its
    /// answer will tell ([`Self::take_suspect`]). To be asked before [`Self::sight`].
    #[must_use]
    pub fn is_foreign(&self, owner: &ObjectKey, slice: &EndpointSlice, change: &Changed<'_, EndpointSlice>) -> bool {
        // Of a slice that changed its owner, the state in which it was this one's is no news.
        let Some(new) = change.new.filter(|new| std::ptr::eq(Arc::as_ptr(new), slice)) else { return false };
        let differs = |old: &EndpointSlice| old.endpoints != new.endpoints || old.ports != new.ports;
        let key = &new.meta.key;
        let page = self.pages.get(owner);
        page.is_none_or(|page| !page.in_flight.contains(key))
            && is_beyond(page.and_then(|page| page.expected.get(key)), new.meta.resource_version)
            && change.old.is_none_or(|old| old.meta.uid != new.meta.uid || differs(old))
    }

    /// A slice of the owner has changed. Returns whether that was a write of ours, and whether it was the last thing
    /// that somebody waits for.
    pub fn sight(
        &mut self,
        owner: &ObjectKey,
        slice: &EndpointSlice,
        change: &Changed<'_, EndpointSlice>,
    ) -> (bool, bool) {
        let Some(page) = self.pages.get_mut(owner) else { return (false, false) };
        let seen = match change.new {
            Some(new) => sight(Some(new)),
            None => Sight::Removed { uid: &slice.meta.uid },
        };
        let met = page.expected.sight(&slice.meta.key, seen);
        let idle = page.expected.is_empty() && page.in_flight.is_empty();
        let resume = met && idle && std::mem::take(&mut page.report.again);
        self.let_go(owner);
        (met, resume)
    }
}

fn sight(slice: Option<&Arc<EndpointSlice>>) -> Sight<'_> {
    slice.map_or(Sight::Absent, |s| Sight::Present {
        uid: &s.meta.uid,
        resource_version: s.meta.resource_version,
        terminating: s.meta.is_terminating(),
    })
}
