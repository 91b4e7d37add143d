//! `replicationcontroller-controller`: keeps as many pods as each `ReplicationController` asks for (reference part 1).
//!
//! Objects, events, conditions, the order of deletion, adoption and release, slow start and bursts are upstream's
//! (`pkg/controller/replicaset` behind `pkg/controller/replication`). Different on purpose:
//!
//! - It never overshoots, not even with a watch that lags by minutes (DESIGN.md 4.3): what it has written and not seen
//!   is counted ([`plan::manage`]), names are chosen here and used again after a lost answer, and a consistent list
//!   precedes the first creation after the start, and the next one after an unknown outcome (DESIGN.md 12) or after a pod
//!   that nobody had told to go is gone: a list older than what was seen already leaves out what is newer.
//! - Deletions carry the pod's UID, status writes are merge patches with the resource version, never PUTs.
//! - Pods that kubelets reject at once (`OutOfmemory` …) are replaced ever more slowly instead of in a hot loop.
//! - A request that was refused is not repeated before its backoff has passed, whatever events arrive, unless one of the
//!   pods has gone that were there, which may have made room; a new generation of the spec ends the backoff as well.
//! - When another manager makes pods for one of its replication controllers, the loop yields for good and says so once
//!   ([`Rival`]).

mod body;
mod book;
pub(crate) mod measure;
mod outcomes;
mod plan;
mod rank;
mod rival;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    expectations::{Sight, What},
    intent::{EventRecord, EventType, IntentId, Op, Outcome, PatchKind},
    object::{
        Kind, ObjectKey, ObjectReference, OwnerRef, Phase, Pod, ReplicationController, ReplicationControllerStatus,
    },
    queue::{QueueFigures, WorkQueue},
};

use self::{
    book::{Book, Failure, Inventory, is_rejected},
    plan::{Pods, Step, Victim},
    rival::Rival,
};
use crate::{
    framework::{Changed, Controller, Histogram, Measurements, Outbox, World, WorldEvent},
    names::{Names, generate_name},
};

/// Source of the events (`component`).
const COMPONENT: &str = "replication-controller";
/// Event: a pod was made.
const SUCCESSFUL_CREATE: &str = "SuccessfulCreate";
/// Event and condition reason: a pod could not be made.
const FAILED_CREATE: &str = "FailedCreate";
/// Event: a pod was deleted.
const SUCCESSFUL_DELETE: &str = "SuccessfulDelete";
/// Event and condition reason: a pod could not be deleted.
const FAILED_DELETE: &str = "FailedDelete";
/// How long a namespace that is going away is left alone (upstream: until the expectation expires).
const NAMESPACE_PAUSE: Duration = Duration::from_mins(5);

/// What an intent was for.
#[derive(Debug, Clone)]
enum Action {
    TakeStock,
    CheckOwner,
    Adopt(Arc<Pod>),
    Release(Arc<Pod>),
    Create { name: Str },
    Delete(Victim),
    Status(Box<ReplicationControllerStatus>),
}

/// The loop.
#[derive(Debug)]
pub struct Replication {
    queue: WorkQueue<ObjectKey>,
    books: HashMap<ObjectKey, Book>,
    intents: HashMap<IntentId, (ObjectKey, Str, Action)>,
    names: Names,
    leading: bool,
    rival: Rival,
    /// See [`measure::DELETION_AGE_RATIO`].
    age_ratios: Histogram,
}

impl Replication {
    /// `seed` decides the names of pods; it must differ from process to process.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            queue: WorkQueue::default(),
            books: HashMap::new(),
            intents: HashMap::new(),
            names: Names::new(seed),
            leading: false,
            rival: Rival::default(),
            age_ratios: measure::age_ratios(),
        }
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// The replication controller that a pod's owner reference means, if it exists.
    fn resolve<'w>(owner: &OwnerRef, namespace: &Str, world: &'w World) -> Option<&'w Arc<ReplicationController>> {
        if &*owner.kind != "ReplicationController" {
            return None;
        }
        let key = ObjectKey { namespace: namespace.clone(), name: owner.name.clone() };
        world.rcs.get(&key).filter(|rc| rc.meta.uid == owner.uid)
    }

    fn pod_changed(&mut self, change: &Changed<'_, Pod>, world: &World, now: Now) {
        let Some(latest) = change.latest() else { return };
        let namespace = &latest.meta.key.namespace;
        let owner_of = |pod: &Arc<Pod>| pod.meta.controller().cloned();
        let (old_owner, new_owner) = (change.old.and_then(owner_of), change.new.and_then(owner_of));
        let leaves = change.old.is_some_and(|old| change.new.is_none_or(|new| old.is_active() && !new.is_active()));
        if leaves
            && let Some(rc) = old_owner.as_ref().and_then(|o| Self::resolve(o, namespace, world))
            && self.books.get_mut(&rc.meta.key).is_some_and(Book::made_room)
        {
            self.queue.add(rc.meta.key.clone());
        }
        if old_owner != new_owner
            && let Some(rc) = old_owner.as_ref().and_then(|o| Self::resolve(o, namespace, world))
        {
            self.queue.add(rc.meta.key.clone());
        }
        let Some(owner) = new_owner else {
            let Some(new) = change.new else { return };
            let relevant = change.old.is_none_or(|old| old.meta.labels != new.meta.labels) || old_owner.is_some();
            if relevant && !new.meta.is_terminating() {
                for rc in of_namespace(world, namespace) {
                    if !rc.selector.is_empty() && rc.selector.selects(&new.meta.labels) {
                        self.queue.add(rc.meta.key.clone());
                    }
                }
            }
            return;
        };
        let Some(rc) = Self::resolve(&owner, namespace, world) else { return };
        let key = rc.meta.key.clone();
        match self.books.get(&key).map(|book| book.next_look).filter(|at| *at > now.mono) {
            Some(at) => self.queue.add_at(key, at),
            None => self.queue.add(key),
        }
        if let Some(new) = change.new {
            self.note(rc, change.old, new, now);
            let became_ready = new.is_ready() && change.old.is_some_and(|old| !old.is_ready());
            if became_ready && let Ok(seconds @ 1..) = u64::try_from(rc.min_ready_seconds) {
                self.queue.add_at(rc.meta.key.clone(), now.mono + Duration::from_secs(seconds));
            }
        }
    }

    /// Notes in the book what a pod's state says beyond the number of pods.
    fn note(&mut self, rc: &ReplicationController, old: Option<&Arc<Pod>>, new: &Pod, now: Now) {
        let Some(book) = self.books.get_mut(&rc.meta.key).filter(|b| b.uid == rc.meta.uid) else { return };
        if is_rejected(new) && old.is_none_or(|old| !old.is_terminal()) {
            book.rejected(now.mono);
        } else if new.status.phase == Phase::Running && old.is_none_or(|old| old.status.phase != Phase::Running) {
            // Only one that has begun to run: what else happens to those that run says nothing of the next one.
            book.accepted();
        }
        let first = old.is_none_or(|old| old.meta.uid != new.meta.uid);
        if self.leading && first && rc.selector.selects(&new.meta.labels) && book.first_sight(new) {
            self.rival.suspect(rc, new);
        }
    }

    /// Adopts nothing yet: asks whether the replication controller still lives.
    fn claim(&mut self, rc: &ReplicationController, pods: &Pods, out: &mut Outbox<'_>) -> bool {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return false };
        for pod in &pods.strays {
            let op = Op::Patch {
                kind: Kind::POD,
                key: pod.meta.key.clone(),
                subresource: "",
                patch: PatchKind::Strategic,
                body: Arc::new(body::release(rc, pod)),
            };
            book.in_flight += 1;
            self.intents.insert(out.push(op), (rc.meta.key.clone(), rc.meta.uid.clone(), Action::Release(pod.clone())));
        }
        if !pods.orphans.is_empty() {
            book.in_flight += 1;
            let id = out.push(Op::Get { kind: Kind::REPLICATION_CONTROLLER, key: rc.meta.key.clone() });
            self.intents.insert(id, (rc.meta.key.clone(), rc.meta.uid.clone(), Action::CheckOwner));
        }
        book.in_flight > 0
    }

    fn take_stock(&mut self, rc: &ReplicationController, out: &mut Outbox<'_>) {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return };
        let labels: Vec<_> = rc.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let op = Op::List { kind: Kind::POD, namespace: rc.meta.key.namespace.clone(), labels: labels.join(",") };
        book.inventory = Inventory::Asked;
        book.in_flight += 1;
        self.intents.insert(out.push(op), (rc.meta.key.clone(), rc.meta.uid.clone(), Action::TakeStock));
    }

    fn create(&mut self, rc: &ReplicationController, count: usize, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return };
        let base = match body::pod_from_template(rc) {
            Ok(base) => base,
            Err(e) => {
                let message = e.to_string();
                out.event(event(rc, EventType::Warning, FAILED_CREATE, format!("Error creating: {message}"), now));
                book.failure = Some(Failure { reason: FAILED_CREATE, message, at: now.wall });
                book.retry_at = Some(now.mono + self.queue.add_rate_limited(rc.meta.key.clone(), now.mono));
                return;
            }
        };
        let prefix = generate_name(&rc.meta.key.name);
        book.batch_failed = false;
        for _ in 0..count {
            let mut key = ObjectKey { namespace: rc.meta.key.namespace.clone(), name: Str::default() };
            loop {
                key.name = book.spare.pop().unwrap_or_else(|| self.names.next(&prefix).into());
                if world.pods.get(&key).is_none()
                    && book.expected.get(&key).is_none()
                    && !book.creating.contains(&key.name)
                {
                    break;
                }
            }
            book.creating.insert(key.name.clone());
            book.in_flight += 1;
            let name = key.name.clone();
            let id = out.push(Op::Create { kind: Kind::POD, key, body: Arc::new(body::named(&base, &name)) });
            self.intents.insert(id, (rc.meta.key.clone(), rc.meta.uid.clone(), Action::Create { name }));
        }
    }

    fn delete(
        &mut self,
        rc: &ReplicationController,
        victims: Vec<Victim>,
        world: &World,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return };
        book.batch_failed = false;
        for victim in victims {
            let in_view = world.pods.get(&victim.key).is_some_and(|p| p.meta.uid == victim.uid);
            book.deletes_in_doubt.remove(&victim.key);
            book.expected.expect(victim.key.clone(), victim.uid.clone(), What::Gone, in_view, now.mono);
            book.in_flight += 1;
            let id = out.push(Op::Delete {
                kind: Kind::POD,
                key: victim.key.clone(),
                uid: Some(victim.uid.clone()),
                resource_version: None,
                grace_seconds: None,
            });
            self.intents.insert(id, (rc.meta.key.clone(), rc.meta.uid.clone(), Action::Delete(victim)));
        }
    }

    fn write_status(&mut self, rc: &ReplicationController, pods: &Pods, now: Now, out: &mut Outbox<'_>) {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return };
        if book.status_in_flight {
            return;
        }
        // What the view says, unless we have written since.
        let written = book.status.as_ref().filter(|(version, _)| *version > rc.meta.resource_version);
        let (version, current) = written.map_or((rc.meta.resource_version, &rc.status), |(v, s)| (*v, s));
        let status = plan::status(rc, current, pods, book.failure.as_ref(), now.wall);
        if status == *current {
            return;
        }
        book.status_in_flight = true;
        let id = out.push(Op::Patch {
            kind: Kind::REPLICATION_CONTROLLER,
            key: rc.meta.key.clone(),
            subresource: "status",
            patch: PatchKind::Merge,
            body: Arc::new(body::status(rc, version, &status)),
        });
        self.intents.insert(id, (rc.meta.key.clone(), rc.meta.uid.clone(), Action::Status(Box::new(status))));
    }

    /// One look at one replication controller.
    fn sync(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(rc) = world.rcs.get(key) else {
            self.books.remove(key);
            self.queue.forget(key);
            return;
        };
        if self.books.get(key).is_none_or(|b| b.uid != rc.meta.uid) {
            self.books.insert(key.clone(), Book::new(rc.meta.uid.clone(), &world.pods));
        }
        let Some(book) = self.books.get_mut(key) else { return };
        // A batch is under way. Its end brings the key back; until then nothing would be decided, and a status of its middle
        // would be one more write. Upstream's sync does not return before either.
        if book.in_flight > 0 {
            return;
        }
        book.settle(&world.pods);
        if book.generation != rc.meta.generation {
            book.new_generation(rc.meta.generation);
        }
        let pods = plan::classify(rc, &world.pods, book);
        book.next_look = now.mono + plan::pause(pods.claimed.len());
        // A creation that is refused does not keep pods from being adopted or released.
        let waits = book.claims_failed && book.retry_at.is_some_and(|at| at > now.mono);
        if !rc.meta.is_terminating() && (waits || !self.claim(rc, &pods, out)) {
            let Some(book) = self.books.get_mut(key) else { return };
            match plan::manage(rc, &pods, book, now) {
                Step::Nothing => {
                    book.failure = None;
                    book.batch = 1;
                }
                Step::Wait(at) => self.queue.add_at(key.clone(), at),
                Step::TakeStock => self.take_stock(rc, out),
                Step::Create(count) => self.create(rc, count, world, now, out),
                Step::Delete(victims) => {
                    if victims.len() < pods.claimed.len() {
                        rank::age_ratios(&pods.claimed, &victims, now.wall).for_each(|r| self.age_ratios.observe(r));
                    }
                    self.delete(rc, victims, world, now, out);
                }
            }
        }
        self.write_status(rc, &pods, now, out);
        if let Some(at) = plan::next_available(rc, &pods, now) {
            self.queue.add_at(key.clone(), at);
        }
    }
}

impl Controller for Replication {
    fn name(&self) -> &'static str {
        "replicationcontroller-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now) {
        match event {
            WorldEvent::Rc(change) => {
                if let Some(rc) = change.latest() {
                    self.queue.add(rc.meta.key.clone());
                }
            }
            WorldEvent::Pod(change) => {
                // A removal is told once; afterwards nothing shows that the pod was ever there.
                if let (Some(old), None) = (change.old, change.new)
                    && let Some(rc) =
                        old.meta.controller().and_then(|o| Self::resolve(o, &old.meta.key.namespace, world))
                    && let Some(book) = self.books.get_mut(&rc.meta.key)
                {
                    // Nobody had told it to go, as far as was seen: by force, or by a view that has fallen back.
                    book.vanished |= old.is_active() && !book.is_deleted(old);
                    book.expected.sight(&old.meta.key, Sight::Removed { uid: &old.meta.uid });
                }
                self.pod_changed(change, world, now);
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, _now: Now, _out: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started();
        self.books.clear();
        self.intents.clear();
        for key in world.rcs.keys() {
            self.queue.add(key.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || self.yielded().is_some() || self.rival.ask(out) {
            return false;
        }
        let Some(key) = self.queue.pop(now.mono) else { return false };
        self.sync(&key, world, now, out);
        self.queue.done(&key);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        let rc = |key: &ObjectKey| world.rcs.get(key).map(|rc| ReplicationController::clone(rc));
        if let Some(told) = self.rival.outcome(outcome, rc, now) {
            if let Some(event) = told {
                out.event(event);
            }
            return;
        }
        let Some((key, uid, action)) = self.intents.remove(&outcome.id) else { return };
        self.settle(&key, &uid, action, &outcome.result, world, now, out);
    }

    fn next_deadline(&self) -> Option<Mono> {
        if !self.leading || self.yielded().is_some() || self.rival.waits() {
            return None;
        }
        if self.rival.has_suspect() { Some(Mono::default()) } else { self.queue.next_deadline() }
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("replicationmanager", &mut self.queue);
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.measure_deletions(into);
    }
}

fn of_namespace<'w>(world: &'w World, namespace: &Str) -> impl Iterator<Item = &'w Arc<ReplicationController>> {
    let from = ObjectKey { namespace: namespace.clone(), name: Str::default() };
    let namespace = namespace.clone();
    world.rcs.range(from..).take_while(move |(k, _)| k.namespace == namespace).map(|(_, rc)| rc)
}

/// A core/v1 event on a replication controller.
fn event(rc: &ReplicationController, kind: EventType, reason: &'static str, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "ReplicationController".into(),
            namespace: rc.meta.key.namespace.clone(),
            name: rc.meta.key.name.clone(),
            uid: rc.meta.uid.clone(),
        },
        related: None,
        kind,
        reason,
        action: "",
        note,
        reporter: Some(COMPONENT.into()),
        at: now.wall,
    }
}
