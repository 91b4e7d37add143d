//! `endpoints-controller`: writes the `Endpoints` of every service with a selector (reference part 2).
//!
//! Content, labels, annotations, events, the cut at 1000 addresses and the clean-up at the start are upstream's
//! (`pkg/controller/endpoint`). Different on purpose:
//!
//! - An object is written only when its meaning changes: subsets are compared in a canonical form after cutting, so a
//!   takeover from or by the stock controller rewrites nothing, and services over capacity are not written at every look.
//! - Changes are merge patches with UID and resource version, deletions carry the UID.
//! - A key whose last write the view has not shown waits for it ([`headroom_core::expectations`]) instead of failing with
//!   an error; conflicts are retried without an event.
//! - A pod that ends without having been ready leaves at once.
//! - Before the Endpoints of a Service that the view does not have are deleted, the API server is asked for the Service:
//!   a view that begins in the past would delete what a person wrote for a Service without a selector.
//! - A large service whose pods change many at a time rests a moment between two writes ([`Rush`]).
//! - When another manager writes Endpoints of Services, the loop yields for good and says so once ([`Rival`]).

mod object;
mod subsets;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Now, Str,
    expectations::{Expectations, Sight, What},
    intent::{EventRecord, EventType, IntentId, Op, Outcome, PatchKind, WriteError},
    object::{Endpoints, Kind, ObjectKey, ObjectReference},
    queue::{QueueFigures, WorkQueue},
};

use self::object::Decision;
use crate::{
    answers::server_message,
    endpoint_common::{
        LEADER_LOCK, MAX_RETRIES, PATIENCE, Rival, Rush, TriggerTimes, concerned_services, is_beyond, is_managed,
        selected_pods,
    },
    framework::{Changed, Controller, Measurements, Metric, Outbox, World, WorldEvent},
    selection,
};

/// Source of the events (`component`).
const COMPONENT: &str = "endpoint-controller";

static YIELDED: Metric = Metric::gauge(
    "headroom_endpoints_yielded",
    &[],
    "1 when another manager was found at work on the Endpoints of Services, and this one has stopped.",
);

/// All of them, for the reference.
pub(crate) static FAMILIES: [&Metric; 1] = [&YIELDED];

/// What an intent was for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Create,
    Update,
    /// Whether the Service is gone indeed, before the Endpoints of this UID and version go.
    Ask(Str, u64),
    Delete,
}

/// The loop.
#[derive(Debug)]
pub struct EndpointsController {
    queue: WorkQueue<ObjectKey>,
    /// `--endpoint-updates-batch-period`.
    batch_period: Duration,
    times: TriggerTimes,
    rush: Rush,
    expected: Expectations,
    intents: HashMap<IntentId, (ObjectKey, Action)>,
    in_flight: HashSet<ObjectKey>,
    /// Looked at in vain, while a write was in flight or not in view.
    skipped: HashSet<ObjectKey>,
    rival: Rival,
    leading: bool,
}

impl EndpointsController {
    /// `batch_period` is how long changes of pods are gathered before they are written; upstream's default is zero.
    #[must_use]
    pub fn new(batch_period: Duration) -> Self {
        Self {
            queue: WorkQueue::default(),
            batch_period,
            times: TriggerTimes::default(),
            rush: Rush::default(),
            expected: Expectations::default(),
            intents: HashMap::new(),
            in_flight: HashSet::new(),
            skipped: HashSet::new(),
            rival: Rival::new(selection::ENDPOINTS, COMPONENT, Kind::ENDPOINTS),
            leading: false,
        }
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// Whether somebody else has made a service's Endpoints what they are. While a write of ours is under way its answer
    /// will tell.
    fn is_foreign(&self, change: &Changed<'_, Endpoints>, world: &World) -> bool {
        let Some(new) = change.new else { return false };
        let key = &new.meta.key;
        !self.in_flight.contains(key)
            && is_beyond(self.expected.get(key), new.meta.resource_version)
            && change.old.is_none_or(|old| old.meta.uid != new.meta.uid || old.subsets != new.subsets)
            && world.services.get(key).is_some_and(|service| is_managed(service))
    }

    fn send(&mut self, key: &ObjectKey, action: Action, op: Op, out: &mut Outbox<'_>) {
        self.intents.insert(out.push(op), (key.clone(), action));
        self.in_flight.insert(key.clone());
    }

    /// One look at one service.
    fn sync(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        if self.in_flight.contains(key) {
            // The outcome brings it back.
            self.skipped.insert(key.clone());
            return;
        }
        let current = world.endpoints.get(key);
        if let Some(open) = self.expected.get(key) {
            let overdue = open.since + PATIENCE;
            if !self.expected.sight(key, sight(current)) {
                if overdue > now.mono {
                    self.skipped.insert(key.clone());
                    self.queue.add_at(key.clone(), overdue);
                    return;
                }
                self.expected.forget(key);
            }
        }
        self.skipped.remove(key);
        if let Some(until) = self.rush.rests(key, now.mono) {
            self.queue.add_at(key.clone(), until);
            return;
        }
        let Some(service) = world.services.get(key) else {
            self.times.forget(key);
            self.rush.forget(key);
            match current {
                // People write the Endpoints of a Service without a selector themselves. A view of Services that is older than
                // that of Endpoints, as after a restart, does not know such a Service yet, and nobody would write them again.
                // Upstream deletes without asking.
                Some(endpoints) => {
                    let op = Op::Get { kind: Kind::SERVICE, key: key.clone() };
                    let ask = Action::Ask(endpoints.meta.uid.clone(), endpoints.meta.resource_version);
                    self.send(key, ask, op, out);
                }
                None => self.queue.forget(key),
            }
            return;
        };
        if !is_managed(service) {
            self.rush.forget(key);
            self.queue.forget(key);
            return;
        }
        let trigger = self.times.compute(service, selected_pods(world, service).map(Arc::as_ref));
        let subsets = subsets::desired(service, selected_pods(world, service).map(Arc::as_ref));
        let addresses = subsets.iter().map(|s| s.addresses.len() + s.not_ready_addresses.len()).sum();
        let decision = object::decide(service, current.map(Arc::as_ref), subsets, trigger);
        self.rush.looked(key, addresses, !matches!(decision, Decision::Nothing), now.mono);
        match decision {
            Decision::Nothing => self.queue.forget(key),
            Decision::Create(body) => {
                let op = Op::Create { kind: Kind::ENDPOINTS, key: key.clone(), body: Arc::new(body) };
                self.send(key, Action::Create, op, out);
            }
            Decision::Patch(body) => {
                let op = Op::Patch {
                    kind: Kind::ENDPOINTS,
                    key: key.clone(),
                    subresource: "",
                    patch: PatchKind::Merge,
                    body: Arc::new(body),
                };
                self.send(key, Action::Update, op, out);
            }
        }
    }

    /// The API server has said whether the Service of these Endpoints exists.
    fn asked(
        &mut self,
        key: &ObjectKey,
        of: (Str, u64),
        outcome: &Outcome,
        world: &World,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        match &outcome.result {
            // Made in the meantime.
            _ if world.services.contains_key(key) => self.queue.add(key.clone()),
            // The view lags. When it knows the Service it brings the key back; should it never come to know it, this does.
            Ok(_) => {
                self.queue.forget(key);
                self.queue.add_at(key.clone(), now.mono + PATIENCE);
            }
            // Not what somebody has written since, for a Service to come: after the conflict it is asked again.
            Err(WriteError::NotFound(_)) => {
                let op = Op::Delete {
                    kind: Kind::ENDPOINTS,
                    key: key.clone(),
                    uid: Some(of.0),
                    resource_version: Some(of.1),
                    grace_seconds: None,
                };
                self.send(key, Action::Delete, op, out);
            }
            Err(error) => {
                if matches!(error, WriteError::Forbidden(_)) && self.queue.failures(key) == 0 {
                    tracing::warn!(
                        endpoints = %key,
                        "Endpoints whose Service is gone stay: whether it is cannot be read: {error}"
                    );
                }
                self.retry(key, now);
            }
        }
    }

    /// The write was not done, or nobody knows: again later, a limited number of times.
    fn retry(&mut self, key: &ObjectKey, now: Now) {
        if self.queue.failures(key) < MAX_RETRIES {
            self.queue.add_rate_limited(key.clone(), now.mono);
        } else {
            self.queue.forget(key);
        }
    }
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now) {
        if self.yielded().is_some() {
            return;
        }
        match event {
            WorldEvent::Service(change) => {
                if let Some(service) = change.latest() {
                    self.queue.add(service.meta.key.clone());
                }
            }
            WorldEvent::Pod(change) => {
                for key in concerned_services(change, world) {
                    self.rush.changed(&key, now.mono);
                    if self.batch_period.is_zero() {
                        self.queue.add(key);
                    } else {
                        self.queue.add_at(key, now.mono + self.batch_period);
                    }
                }
            }
            WorldEvent::Endpoints(change) => {
                let Some(endpoints) = change.latest() else { return };
                let key = &endpoints.meta.key;
                if self.is_foreign(change, world) {
                    self.rival.suspect(key, now);
                }
                let sight = match change.new {
                    Some(new) => sight(Some(new)),
                    None => Sight::Removed { uid: &endpoints.meta.uid },
                };
                let settled = self.expected.sight(key, sight);
                let waited = settled && !self.in_flight.contains(key) && self.skipped.remove(key);
                // They have come into view after their Service has gone from it, which so far had nothing to delete. Those that
                // a person wrote wait for a Service to come.
                let late = self.leading && change.old.is_none() && object::is_ours(endpoints);
                let late = late && !world.services.contains_key(key);
                if waited || late || change.new.is_none() {
                    self.queue.add(key.clone());
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _out: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started(now);
        self.intents.clear();
        self.in_flight.clear();
        self.skipped.clear();
        self.rush.clear();
        self.expected.clear();
        for key in world.services.keys() {
            self.queue.add(key.clone());
        }
        // Objects whose service went while nobody looked.
        for (key, endpoints) in &world.endpoints {
            if !endpoints.meta.annotations.has(LEADER_LOCK) {
                self.queue.add(key.clone());
            }
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || self.yielded().is_some() {
            return false;
        }
        self.rival.ask(out);
        let Some(key) = self.queue.pop(now.mono) else { return false };
        self.sync(&key, world, now, out);
        self.queue.done(&key);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        if self.rival.outcome(outcome, now, out) {
            return;
        }
        let Some((key, action)) = self.intents.remove(&outcome.id) else { return };
        self.in_flight.remove(&key);
        if self.skipped.remove(&key) {
            self.queue.add(key.clone());
        }
        if let Action::Ask(uid, version) = action {
            if self.yielded().is_none() {
                self.asked(&key, (uid, version), outcome, world, now, out);
            }
            return;
        }
        let current = world.endpoints.get(&key);
        let overtaken = match &outcome.result {
            // Seen before the answer was.
            Ok(written) => current.is_some_and(|e| e.meta.resource_version > written.resource_version),
            Err(WriteError::Conflict(_) | WriteError::AlreadyExists(_)) => true,
            Err(_) => false,
        };
        if overtaken && action != Action::Delete && world.services.get(&key).is_some_and(|s| is_managed(s)) {
            self.rival.suspect(&key, now);
        }
        match &outcome.result {
            Ok(written) => {
                self.queue.forget(&key);
                let (uid, what) = match action {
                    Action::Delete => (current.map(|e| e.meta.uid.clone()).unwrap_or_default(), What::Gone),
                    _ => (written.uid.clone().unwrap_or_default(), What::Version(written.resource_version)),
                };
                // An unchanged version was a write without effect: nothing will be seen of it.
                if action == Action::Delete && current.is_none() {
                    self.expected.forget(&key);
                } else {
                    self.expected.expect(key.clone(), uid, what, current.is_some(), now.mono);
                    self.expected.sight(&key, sight(current));
                }
            }
            Err(WriteError::NotFound(_)) if action == Action::Delete => self.queue.forget(&key),
            // The namespace goes away with everything in it.
            Err(WriteError::NamespaceTerminating(_)) if action == Action::Create => self.queue.forget(&key),
            Err(error) => {
                let silent = error.is_retryable()
                    || matches!(error, WriteError::Conflict(_) | WriteError::AlreadyExists(_) | WriteError::NotLeader);
                if !silent && action != Action::Delete {
                    let text = server_message(error);
                    let (reason, note) = if action == Action::Create {
                        ("FailedToCreateEndpoint", format!("Failed to create endpoint for service {key}: {text}"))
                    } else {
                        ("FailedToUpdateEndpoint", format!("Failed to update endpoint {key}: {text}"))
                    };
                    out.event(event(&key, current, reason, note, now));
                }
                self.retry(&key, now);
            }
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        if self.leading && self.yielded().is_none() { self.queue.next_deadline() } else { None }
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("endpoint", &mut self.queue);
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.rival.measure(&YIELDED, into);
    }
}

fn sight(endpoints: Option<&Arc<Endpoints>>) -> Sight<'_> {
    endpoints.map_or(Sight::Absent, |e| Sight::Present {
        uid: &e.meta.uid,
        resource_version: e.meta.resource_version,
        terminating: e.meta.is_terminating(),
    })
}

/// A core/v1 warning on an Endpoints object.
fn event(
    key: &ObjectKey,
    current: Option<&Arc<Endpoints>>,
    reason: &'static str,
    note: String,
    now: Now,
) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Endpoints".into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: current.map(|e| e.meta.uid.clone()).unwrap_or_default(),
        },
        related: None,
        kind: EventType::Warning,
        reason,
        action: "",
        note,
        reporter: Some(COMPONENT.into()),
        at: now.wall,
    }
}
