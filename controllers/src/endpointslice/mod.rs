//! `endpointslice-controller`: writes the `EndpointSlice`s of every service with a selector (reference part 3).
//!
//! Content, labels, owner, placement, placeholder, hints from `trafficDistribution` and events are upstream's
//! (`pkg/controller/endpointslice`, `staging/src/k8s.io/endpointslice`), and so is the managed-by value: kube-proxy
//! merges the slices of all writers, so there must be one. Different on purpose:
//!
//! - Topology aware hints by annotation (`service.kubernetes.io/topology-mode: Auto`) are not given; services that ask
//!   for them get slices without hints. `trafficDistribution`, its successor, works.
//! - Names are chosen here (`<service>-` and five characters, as the API server would) and used again after a lost
//!   answer, so that no slice is made twice.
//! - Changes are merge patches with UID and resource version, deletions carry both. Deletions of a look are sent when its
//!   creations and updates have succeeded, so that endpoints never vanish in between.
//! - A service whose last writes the view has not shown waits for them instead of failing as stale; conflicts are retried
//!   without an event.
//! - A node that appears, or changes its zone, brings the services with pods on it back at once; upstream waits for the
//!   retry.

mod desired;
mod hints;
mod object;
mod placement;
mod reconcile;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    expectations::{Expectations, Sight, What},
    intent::{EventRecord, EventType, IntentId, Op, Outcome, PatchKind, WriteError},
    object::{EndpointSlice, Kind, ObjectKey, ObjectReference, Service},
    queue::WorkQueue,
};

use self::{placement::Draft, reconcile::Figures};
use crate::{
    answers::server_message,
    endpoint_common::{
        MAX_RETRIES, PATIENCE, TriggerTimes, concerned_services, in_namespace, is_managed, selected_pods,
    },
    framework::{Changed, Controller, Outbox, World, WorldEvent},
    names::{Names, generate_name},
};

/// Source of the events (`component`).
const COMPONENT: &str = "endpoint-slice-controller";
/// First delay of a failing service.
const BASE_DELAY: Duration = Duration::from_secs(1);
/// How long a foreign change of a slice waits at least, for it rarely comes alone.
const SLICE_DELAY: Duration = Duration::from_secs(1);
/// Upstream's default of `--max-endpoints-per-slice`.
pub const MAX_ENDPOINTS_PER_SLICE: usize = 100;

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// `--max-endpoints-per-slice`, from 1 to 1000.
    pub max_endpoints_per_slice: usize,
    /// `--endpointslice-updates-batch-period`: how long changes of pods are gathered before they are written.
    pub batch_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_endpoints_per_slice: MAX_ENDPOINTS_PER_SLICE, batch_period: Duration::ZERO }
    }
}

/// Counters for metrics (`endpoint_slice_controller_*`, reference 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// `changes{operation="create"}`.
    pub created: u64,
    /// `changes{operation="update"}`.
    pub updated: u64,
    /// `changes{operation="delete"}`.
    pub deleted: u64,
    /// `syncs{result="success"}`.
    pub successes: u64,
    /// `syncs{result="stale"}`.
    pub stale: u64,
    /// `syncs{result="error"}`.
    pub errors: u64,
    /// Sum of `endpoints_added_per_sync`.
    pub endpoints_added: u64,
    /// Sum of `endpoints_removed_per_sync`.
    pub endpoints_removed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Update,
    Delete,
}

#[derive(Debug)]
struct Pending {
    service: ObjectKey,
    slice: ObjectKey,
    uid: Str,
    operation: Operation,
}

/// What is remembered of one service.
#[derive(Debug, Default)]
struct Page {
    expected: Expectations,
    in_flight: usize,
    /// Looked at in vain, while writes were in flight or not in view.
    skipped: bool,
    /// What went wrong in the present look.
    error: Option<String>,
    /// Whether that calls for another look only, not for an event.
    retry: bool,
    /// To be deleted once everything else has succeeded.
    deletions: Vec<Arc<EndpointSlice>>,
    /// Names that do not exist, or not yet.
    spare: Vec<Str>,
    figures: Figures,
}

/// The loop.
#[derive(Debug)]
pub struct EndpointSliceController {
    config: Config,
    queue: WorkQueue<ObjectKey>,
    times: TriggerTimes,
    pages: HashMap<ObjectKey, Page>,
    intents: HashMap<IntentId, Pending>,
    names: Names,
    counters: Counters,
    leading: bool,
}

impl EndpointSliceController {
    /// `seed` decides the names of slices; it must differ from process to process.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            queue: WorkQueue::with_base_delay(BASE_DELAY),
            times: TriggerTimes::default(),
            pages: HashMap::new(),
            intents: HashMap::new(),
            names: Names::new(seed),
            counters: Counters::default(),
            leading: false,
        }
    }

    /// Counters for metrics.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Endpoints, slices and the fewest slices possible, over all services (gauges `endpoints_desired`,
    /// `num_endpoint_slices`, `desired_endpoint_slices`).
    #[must_use]
    pub fn gauges(&self) -> (usize, usize, usize) {
        self.pages
            .values()
            .map(|p| p.figures)
            .fold((0, 0, 0), |sum, f| (sum.0 + f.endpoints, sum.1 + f.slices, sum.2 + f.desired_slices))
    }

    /// One look at one service.
    fn sync(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(service) = world.services.get(key).filter(|s| is_managed(s)) else {
            // The garbage collector deletes the slices of a service that is gone.
            if self.pages.get(key).is_none_or(|p| p.in_flight == 0) {
                self.pages.remove(key);
            }
            self.times.forget(key);
            self.queue.forget(key);
            return;
        };
        let page = self.pages.entry(key.clone()).or_default();
        if page.in_flight > 0 {
            page.skipped = true;
            return;
        }
        page.expected.settle(|slice| sight(world.slices().get(slice)));
        if let Some(oldest) = page.expected.iter().map(|(_, e)| e.since).min() {
            if oldest + PATIENCE > now.mono {
                self.counters.stale += 1;
                page.skipped = true;
                self.queue.add_at(key.clone(), oldest + PATIENCE);
                return;
            }
            page.expected.clear();
        }
        page.skipped = false;
        let slices: Vec<_> =
            world.slices_of(key).filter(|s| object::is_ours(s) && !s.meta.is_terminating()).cloned().collect();
        let trigger = self.times.compute(service, selected_pods(world, service).map(Arc::as_ref));
        let decision = reconcile::reconcile(service, &slices, world, self.config.max_endpoints_per_slice);
        let mut plan = decision.plan;
        self.counters.endpoints_added += plan.added as u64;
        self.counters.endpoints_removed += plan.removed as u64;
        page.figures = decision.figures;
        page.error = (!decision.errors.is_empty()).then(|| decision.errors.join(", "));
        page.retry = false;
        page.deletions = std::mem::take(&mut plan.delete);
        if service.meta.is_terminating() {
            // The garbage collector takes slices away at this moment: do not put new ones there.
            plan.create.clear();
        }
        let prefix = generate_name(&key.name);
        for draft in &plan.create {
            let name = self.free_name(key, &prefix, world);
            let slice = ObjectKey { namespace: key.namespace.clone(), name: name.clone() };
            let body = Arc::new(object::create(service, draft, &name, trigger));
            let op = Op::Create { kind: Kind::ENDPOINT_SLICE, key: slice.clone(), body };
            self.send(key, slice, Str::default(), Operation::Create, op, out);
        }
        for draft in &plan.update {
            let Draft { existing: Some(existing), .. } = draft else { continue };
            let slice = existing.meta.key.clone();
            let op = Op::Patch {
                kind: Kind::ENDPOINT_SLICE,
                key: slice.clone(),
                subresource: "",
                patch: PatchKind::Merge,
                body: Arc::new(object::update(service, draft, existing, trigger)),
            };
            self.send(key, slice, existing.meta.uid.clone(), Operation::Update, op, out);
        }
        self.go_on(key, Some(service), now, out);
    }

    fn free_name(&mut self, service: &ObjectKey, prefix: &str, world: &World) -> Str {
        let page = self.pages.entry(service.clone()).or_default();
        loop {
            let name = page.spare.pop().unwrap_or_else(|| self.names.next(prefix).into());
            let key = ObjectKey { namespace: service.namespace.clone(), name };
            if !world.slices().contains_key(&key) {
                return key.name;
            }
        }
    }

    fn send(
        &mut self,
        service: &ObjectKey,
        slice: ObjectKey,
        uid: Str,
        operation: Operation,
        op: Op,
        out: &mut Outbox<'_>,
    ) {
        self.intents.insert(out.push(op), Pending { service: service.clone(), slice, uid, operation });
        if let Some(page) = self.pages.get_mut(service) {
            page.in_flight += 1;
        }
    }

    /// After creations and updates come the deletions, and after these the end of the look.
    fn go_on(&mut self, key: &ObjectKey, service: Option<&Arc<Service>>, now: Now, out: &mut Outbox<'_>) {
        let Some(page) = self.pages.get_mut(key) else { return };
        if page.in_flight > 0 {
            return;
        }
        let deletions = std::mem::take(&mut page.deletions);
        // A pod without a node does not keep slices alive; a failed write does.
        if !deletions.is_empty() && !page.retry {
            for slice in deletions {
                let op = Op::Delete {
                    kind: Kind::ENDPOINT_SLICE,
                    key: slice.meta.key.clone(),
                    uid: Some(slice.meta.uid.clone()),
                    resource_version: Some(slice.meta.resource_version),
                    grace_seconds: None,
                };
                self.send(key, slice.meta.key.clone(), slice.meta.uid.clone(), Operation::Delete, op, out);
            }
            return;
        }
        let (error, retry) = (page.error.take(), std::mem::take(&mut page.retry));
        if std::mem::take(&mut page.skipped) {
            self.queue.add(key.clone());
        }
        if error.is_none() && !retry {
            self.counters.successes += 1;
            self.queue.forget(key);
            return;
        }
        self.counters.errors += 1;
        if let (Some(error), Some(service)) = (error, service) {
            let note = format!("Error updating Endpoint Slices for Service {key}: {error}");
            out.event(warning(service, note, now));
        }
        if self.queue.failures(key) < MAX_RETRIES {
            self.queue.add_rate_limited(key.clone(), now.mono);
        } else {
            self.queue.forget(key);
        }
    }

    fn slice_changed(&mut self, change: &Changed<'_, EndpointSlice>, now: Now) {
        let delay = SLICE_DELAY.max(self.config.batch_period);
        let ours = |s: &&Arc<EndpointSlice>| object::is_ours(s);
        let services = [change.old.filter(ours), change.new.filter(ours)].map(|s| {
            let slice = s?;
            let name = slice.meta.labels.get(object::SERVICE_NAME).filter(|n| !n.is_empty())?.clone();
            Some((ObjectKey { namespace: slice.meta.key.namespace.clone(), name }, slice))
        });
        for (service, slice) in services.into_iter().flatten() {
            let seen = match change.new {
                Some(new) => sight(Some(new)),
                None => Sight::Removed { uid: &slice.meta.uid },
            };
            let expected = self.pages.get_mut(&service).map(|page| {
                let met = page.expected.sight(&slice.meta.key, seen);
                // The last thing that a look waits for: go on at once.
                if met && page.expected.is_empty() && page.in_flight == 0 && std::mem::take(&mut page.skipped) {
                    self.queue.add(service.clone());
                }
                met
            });
            if expected != Some(true) {
                self.queue.add_at(service, now.mono + delay);
            }
        }
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now) {
        match event {
            WorldEvent::Service(change) => {
                if let Some(service) = change.latest() {
                    self.queue.add(service.meta.key.clone());
                }
            }
            WorldEvent::Pod(change) => {
                for key in concerned_services(change, world) {
                    if self.config.batch_period.is_zero() {
                        self.queue.add(key);
                    } else {
                        self.queue.add_at(key, now.mono + self.config.batch_period);
                    }
                }
            }
            WorldEvent::Slice(change) => self.slice_changed(change, now),
            WorldEvent::Node(Changed { old, new: Some(node) }) => {
                let zone = |n: &Arc<headroom_core::object::Node>| n.meta.labels.get(desired::ZONE).cloned();
                if old.is_some_and(|old| zone(old) == zone(node)) {
                    return;
                }
                for pod in world.pods.on_node(node.name()) {
                    for service in in_namespace(world, &pod.meta.key.namespace) {
                        if is_managed(service) && service.selector.as_ref().is_some_and(|s| s.selects(&pod.meta.labels))
                        {
                            self.queue.add(service.meta.key.clone());
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, _now: Now, _out: &mut Outbox<'_>) {
        self.leading = true;
        self.pages.clear();
        self.intents.clear();
        for key in world.services.keys() {
            self.queue.add(key.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading {
            return false;
        }
        let Some(key) = self.queue.pop(now.mono) else { return false };
        self.sync(&key, world, now, out);
        self.queue.done(&key);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(Pending { service: key, slice, uid, operation }) = self.intents.remove(&outcome.id) else { return };
        let Some(page) = self.pages.get_mut(&key) else { return };
        page.in_flight = page.in_flight.saturating_sub(1);
        let current = world.slices().get(&slice);
        match &outcome.result {
            Ok(written) => {
                let (uid, what, counter) = match operation {
                    Operation::Create => {
                        let uid = written.uid.clone().unwrap_or_default();
                        (uid, What::Version(written.resource_version), &mut self.counters.created)
                    }
                    Operation::Update => (uid, What::Version(written.resource_version), &mut self.counters.updated),
                    Operation::Delete => (uid, What::Gone, &mut self.counters.deleted),
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
                page.retry = true;
            }
            Err(error) => {
                if operation == Operation::Create {
                    page.spare.push(slice.name.clone());
                }
                page.retry = true;
                let silent = error.is_retryable() || matches!(error, WriteError::Conflict(_) | WriteError::NotLeader);
                if !silent && page.error.is_none() {
                    let text = server_message(error);
                    page.error = Some(match operation {
                        Operation::Create => format!("failed to create EndpointSlice for Service {key}: {text}"),
                        Operation::Update => {
                            format!("failed to update {} EndpointSlice for Service {key}: {text}", slice.name)
                        }
                        Operation::Delete => {
                            format!("failed to delete {} EndpointSlice for Service {key}: {text}", slice.name)
                        }
                    });
                }
            }
        }
        self.go_on(&key, world.services.get(&key), now, out);
    }

    fn next_deadline(&self) -> Option<Mono> {
        if self.leading { self.queue.next_deadline() } else { None }
    }

    fn queue_stats(&self) -> (usize, u64, u64) {
        (self.queue.len(), self.queue.adds(), self.queue.retries())
    }
}

fn sight(slice: Option<&Arc<EndpointSlice>>) -> Sight<'_> {
    slice.map_or(Sight::Absent, |s| Sight::Present {
        uid: &s.meta.uid,
        resource_version: s.meta.resource_version,
        terminating: s.meta.is_terminating(),
    })
}

/// A core/v1 warning on a service.
fn warning(service: &Service, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Service".into(),
            namespace: service.meta.key.namespace.clone(),
            name: service.meta.key.name.clone(),
            uid: service.meta.uid.clone(),
        },
        related: None,
        kind: EventType::Warning,
        reason: "FailedToUpdateEndpointSlices",
        action: "",
        note,
        reporter: Some(COMPONENT.into()),
        at: now.wall,
    }
}
