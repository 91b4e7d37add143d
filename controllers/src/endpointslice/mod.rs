//! `endpointslice-controller`: writes the `EndpointSlice`s of every service with a selector (reference part 3).
//!
//! Content, labels, owner, placement, placeholder, hints (by annotation and from `trafficDistribution`) and events are
//! upstream's (`pkg/controller/endpointslice`, `staging/src/k8s.io/endpointslice`), and so is the managed-by value:
//! kube-proxy merges the slices of all writers, so there must be one. Different on purpose:
//!
//! - Names are chosen here (`<service>-` and five characters, as the API server would) and used again after a lost
//!   answer, so that no slice is made twice.
//! - Changes are merge patches with UID and resource version, deletions carry both. Deletions of a look are sent when its
//!   creations and updates have succeeded, so that endpoints never vanish in between.
//! - A service whose last writes the view has not shown waits for them instead of failing as stale; conflicts are retried
//!   without an event.
//! - A node that appears, or changes its zone, brings the services with pods on it back at once; upstream waits for the
//!   retry.
//! - Where topology aware hints rest on lots (which of several endpoints of a zone is hinted elsewhere, which of two zones
//!   that lack as much comes first, which family is told of), the order of slices and names decides. A slice whose hints
//!   come out as they are is not written, and what is known of a service's hints goes with the service.
//! - A large service whose pods change many at a time rests a moment between two looks ([`Rush`]).
//! - When another manager writes slices of services, the loop yields for good and says so once ([`Rival`]).

mod assign;
mod desired;
mod hints;
pub(crate) mod measure;
mod object;
mod placement;
mod reconcile;
mod shares;
mod topology;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now,
    intent::{EventRecord, EventType, Outcome},
    object::{EndpointSlice, Kind, Node, ObjectKey, ObjectReference, Service},
    queue::{QueueFigures, WorkQueue},
};

use self::{
    reconcile::{Basis, reconcile},
    topology::Note,
};
use crate::{
    endpoint_common::{
        MAX_RETRIES, Rival, Rush, TriggerTimes, concerned_services, in_namespace, is_managed, selected_pods,
        slices::{Changes, Figures, Report, SliceWriter, View, concerned, endpoints_per_sync, is_managed_by},
    },
    framework::{Changed, Controller, Histogram, Measurements, Outbox, World, WorldEvent},
    selection,
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
    /// `changes`.
    pub changes: Changes,
    /// `syncs{result="success"}`.
    pub successes: u64,
    /// `syncs{result="stale"}`.
    pub stale: u64,
    /// `syncs{result="error"}`.
    pub errors: u64,
}

/// The loop.
#[derive(Debug)]
pub struct EndpointSliceController {
    config: Config,
    queue: WorkQueue<ObjectKey>,
    times: TriggerTimes,
    rush: Rush,
    writer: SliceWriter,
    figures: HashMap<ObjectKey, Figures>,
    counters: Counters,
    added: Histogram,
    removed: Histogram,
    changed: measure::Changed,
    topology: topology::Topology,
    rival: Rival,
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
            rush: Rush::default(),
            writer: SliceWriter::new(object::OWNER_KIND, seed),
            figures: HashMap::new(),
            counters: Counters::default(),
            added: endpoints_per_sync(),
            removed: endpoints_per_sync(),
            changed: measure::Changed::default(),
            topology: topology::Topology::default(),
            rival: Rival::new(selection::ENDPOINT_SLICE, COMPONENT, Kind::ENDPOINT_SLICE),
            leading: false,
        }
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// Counters for metrics.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { changes: self.writer.changes(), ..self.counters }
    }

    /// Endpoints, slices and the fewest slices possible, over all services (gauges `endpoints_desired`,
    /// `num_endpoint_slices`, `desired_endpoint_slices`).
    #[must_use]
    pub fn gauges(&self) -> Figures {
        self.figures.values().copied().sum()
    }

    /// One look at one service.
    fn sync(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(service) = world.services.get(key).filter(|s| is_managed(s)) else {
            // The garbage collector deletes the slices of a service that is gone.
            self.writer.release(key);
            self.figures.remove(key);
            self.times.forget(key);
            self.rush.forget(key);
            self.topology.forget(key);
            self.queue.forget(key);
            return;
        };
        match self.writer.view(key, world, now) {
            View::Current => {}
            View::InFlight => return,
            View::Behind(until) => {
                self.counters.stale += 1;
                self.queue.add_at(key.clone(), until);
                return;
            }
        }
        if let Some(until) = self.rush.rests(key, now.mono) {
            self.queue.add_at(key.clone(), until);
            return;
        }
        let ours = |s: &&Arc<EndpointSlice>| is_managed_by(s, object::MANAGER) && !s.meta.is_terminating();
        let slices: Vec<_> = world.slices_of(key).filter(ours).cloned().collect();
        let trigger = self.times.compute(service, selected_pods(world, service).map(Arc::as_ref));
        if hints::is_topology_aware(service) {
            self.look_at_nodes(world);
        }
        let basis = Basis { world, shares: self.topology.shares(), max: self.config.max_endpoints_per_slice };
        let decision = reconcile(service, &slices, basis, self.topology.page(key));
        self.topology.keep(key, decision.page);
        for Note { kind, reason, text } in decision.notes {
            out.event(event(service, kind, reason, text, now));
        }
        let mut plan = decision.plan;
        self.added.observe(plan.added as f64);
        self.removed.observe(plan.removed as f64);
        self.figures.insert(key.clone(), decision.figures);
        let idle = plan.create.is_empty() && plan.update.is_empty() && plan.delete.is_empty();
        self.rush.looked(key, decision.figures.endpoints, !idle, now.mono);
        if service.meta.is_terminating() {
            // The garbage collector takes slices away at this moment: do not put new ones there.
            plan.create.clear();
        }
        self.changed.observe(service, &plan);
        let error = (!decision.errors.is_empty()).then(|| decision.errors.join(", "));
        let writes = object::header(service, trigger).writes(plan);
        if let Some(report) = self.writer.write(key, writes, error, world, out) {
            self.finish(key, report, Some(service), now, out);
        }
    }

    /// Services to whose hints the nodes do not fit any more are looked at.
    fn look_at_nodes(&mut self, world: &World) {
        for service in self.topology.refresh(world) {
            self.queue.add(service);
        }
    }

    /// The end of a look.
    fn finish(
        &mut self,
        key: &ObjectKey,
        report: Report,
        service: Option<&Arc<Service>>,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        if report.again {
            self.queue.add(key.clone());
        }
        if report.error.is_none() && !report.retry {
            self.counters.successes += 1;
            self.queue.forget(key);
            return;
        }
        self.counters.errors += 1;
        if let (Some(error), Some(service)) = (report.error, service) {
            let note = format!("Error updating Endpoint Slices for Service {key}: {error}");
            out.event(event(service, EventType::Warning, "FailedToUpdateEndpointSlices", note, now));
        }
        if self.queue.failures(key) < MAX_RETRIES {
            self.queue.add_rate_limited(key.clone(), now.mono);
        } else {
            self.queue.forget(key);
        }
    }

    fn node_changed(&mut self, change: &Changed<'_, Node>, world: &World) {
        self.topology.observe(change);
        let Some(node) = change.new else { return };
        if change.old.is_some_and(|old| shares::zone_of(old) == shares::zone_of(node)) {
            return;
        }
        for pod in world.pods.on_node(node.name()) {
            for service in in_namespace(world, &pod.meta.key.namespace) {
                if is_managed(service) && service.selector.as_ref().is_some_and(|s| s.selects(&pod.meta.labels)) {
                    self.queue.add(service.meta.key.clone());
                }
            }
        }
    }

    fn slice_changed(&mut self, change: &Changed<'_, EndpointSlice>, now: Now) {
        for (service, slice) in concerned(change, object::MANAGER) {
            if self.writer.is_foreign(&service, slice, change) {
                self.rival.suspect(&slice.meta.key, now);
            }
            let (expected, resume) = self.writer.sight(&service, slice, change);
            if resume {
                self.queue.add(service);
            } else if !expected {
                self.queue.add_at(service, now.mono + SLICE_DELAY.max(self.config.batch_period));
            }
        }
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
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
                    if self.config.batch_period.is_zero() {
                        self.queue.add(key);
                    } else {
                        self.queue.add_at(key, now.mono + self.config.batch_period);
                    }
                }
            }
            WorldEvent::Slice(change) => self.slice_changed(change, now),
            WorldEvent::Node(change) => self.node_changed(change, world),
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _out: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started(now);
        self.writer.clear();
        self.rush.clear();
        self.figures.clear();
        self.topology.clear();
        for key in world.services.keys() {
            self.queue.add(key.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || self.yielded().is_some() {
            return false;
        }
        self.rival.ask(out);
        if self.topology.is_in_use() {
            self.look_at_nodes(world);
        }
        let Some(key) = self.queue.pop(now.mono) else { return false };
        self.sync(&key, world, now, out);
        self.queue.done(&key);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        // After yielding, answers lead to no further writes.
        if self.rival.outcome(outcome, now, out) || self.yielded().is_some() {
            return;
        }
        if let Some((key, report)) = self.writer.outcome(outcome, world, now, out) {
            self.finish(&key, report, world.services.get(&key), now, out);
        }
        if let Some(slice) = self.writer.take_suspect() {
            self.rival.suspect(&slice, now);
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        if self.leading && self.yielded().is_none() { self.queue.next_deadline() } else { None }
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("endpoint_slice", &mut self.queue);
    }

    fn measure(&self, world: &World, into: &mut Measurements) {
        self.measure_slices(world, into);
    }
}

/// A core/v1 event on a service.
fn event(service: &Service, kind: EventType, reason: &'static str, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Service".into(),
            namespace: service.meta.key.namespace.clone(),
            name: service.meta.key.name.clone(),
            uid: service.meta.uid.clone(),
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
