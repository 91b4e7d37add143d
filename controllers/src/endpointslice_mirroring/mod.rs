//! `endpointslice-mirroring-controller`: writes EndpointSlices for Endpoints that people write themselves, those of
//! services without a selector (reference 3.11).
//!
//! Content, labels, annotations, owner, events, retries and the managed-by value are upstream's
//! (`pkg/controller/endpointslicemirroring` of 1.36). Different on purpose:
//!
//! - Changes are merge patches with UID and resource version, deletions carry both and come last; names are chosen here
//!   and used again after a lost answer ([`crate::endpoint_common::slices`]). Upstream replaces without a version.
//! - Endpoints whose last writes the view has not shown wait for them instead of failing as stale; conflicts are retried
//!   without a word. A slice that is gone already counts as deleted.
//! - Slices that are being deleted are not counted on: new ones are made beside them. Of several slices with the same
//!   ports the first by name is kept; upstream keeps any.
//! - Labels of Endpoints with a slice's reserved keys do not lead to a write at every look.
//! - Subsets whose addresses times groups of ports exceed [`MOST_EXPANDED`] are not mirrored, and an event says so:
//!   whoever may write one object must not be able to stop the loop.
//! - As upstream, and unlike Endpoints, slices whose Service or Endpoints the view does not have are deleted without a
//!   question to the API server: a slice holds nothing that a person wrote, a view that lags makes it again when it has
//!   caught up, and each lead begins with lists that are not older than the last write of the one before.
//! - When another manager writes mirrored slices, the loop yields for good and says so once ([`Rival`]).

mod decide;
pub(crate) mod measure;
mod options;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now,
    intent::{EventRecord, EventType, Outcome},
    object::{EndpointSlice, Endpoints, Kind, ObjectKey, ObjectReference},
    queue::{QueueFigures, WorkQueue},
};

use self::decide::{Decision, MANAGER, OWNER_KIND, is_selectorless, should_mirror};
pub use self::options::MirroringOptions;
use crate::{
    endpoint_common::{
        MAX_RETRIES, MOST_EXPANDED, Rival,
        slices::{Figures, Report, SliceWriter, View, Writes, concerned, endpoints_per_sync, is_managed_by},
    },
    framework::{Changed, Controller, Histogram, Measurements, Outbox, World, WorldEvent, service_of},
    selection,
};

/// Source of the events (`component`).
const COMPONENT: &str = "endpoint-slice-mirroring-controller";
/// First delay of failing Endpoints (`defaultSyncBackOff`).
const BASE_DELAY: Duration = Duration::from_secs(1);
/// Longest delay of failing Endpoints (`maxSyncBackOff`).
const MAX_DELAY: Duration = Duration::from_secs(100);

/// Histograms for metrics, per look.
#[derive(Debug)]
struct Counters {
    added: Histogram,
    updated: Histogram,
    removed: Histogram,
    skipped: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        let new = endpoints_per_sync;
        Self { added: new(), updated: new(), removed: new(), skipped: new() }
    }
}

/// The loop.
#[derive(Debug)]
pub struct EndpointSliceMirroringController {
    max_endpoints: usize,
    batch_period: Duration,
    queue: WorkQueue<ObjectKey>,
    writer: SliceWriter,
    figures: HashMap<ObjectKey, Figures>,
    counters: Counters,
    /// Missing rights are said once: they concern every object.
    forbidden_said: bool,
    rival: Rival,
    leading: bool,
}

impl EndpointSliceMirroringController {
    /// `seed` decides the names of slices; it must differ from process to process.
    #[must_use]
    pub fn new(options: &MirroringOptions, seed: u64) -> Self {
        Self {
            max_endpoints: usize::from(options.max_endpoints_per_subset),
            batch_period: options.batch_period.0,
            queue: WorkQueue::with_delays(BASE_DELAY, MAX_DELAY),
            writer: SliceWriter::new(OWNER_KIND, seed),
            figures: HashMap::new(),
            counters: Counters::default(),
            forbidden_said: false,
            rival: Rival::new(selection::ENDPOINT_SLICE_MIRRORING, COMPONENT, Kind::ENDPOINT_SLICE),
            leading: false,
        }
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// Gauges `endpoints_desired`, `num_endpoint_slices` and `desired_endpoint_slices`.
    #[must_use]
    pub fn gauges(&self) -> Figures {
        self.figures.values().copied().sum()
    }

    /// One look at one Endpoints object (`syncEndpoints`).
    fn sync(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        match self.writer.view(key, world, now) {
            View::Current => {}
            View::InFlight => return,
            View::Behind(until) => return self.queue.add_at(key.clone(), until),
        }
        let ours = |s: &&Arc<EndpointSlice>| is_managed_by(s, MANAGER) && !s.meta.is_terminating();
        let slices: Vec<_> = world.slices_of(key).filter(ours).cloned().collect();
        let selectorless = world.services.get(key).is_some_and(|s| is_selectorless(s));
        let mirrored = world.endpoints.get(key).filter(|e| selectorless && should_mirror(e));
        let writes = match mirrored {
            None => {
                self.figures.remove(key);
                if slices.is_empty() {
                    self.writer.release(key);
                    self.queue.forget(key);
                    return;
                }
                Writes { delete: slices, ..Writes::default() }
            }
            Some(endpoints) => match decide::reconcile(endpoints, &slices, self.max_endpoints) {
                Some(decision) => {
                    self.note(endpoints, &decision, now, out);
                    decide::header(endpoints).writes(decision.plan)
                }
                None => {
                    let note = format!(
                        "More than {MOST_EXPANDED} addresses, counted once for each group of ports: they are not \
                         mirrored, and EndpointSlices stay as they are"
                    );
                    out.event(warning(endpoints, "TooManyAddressesToMirror", note, now));
                    self.queue.forget(key);
                    return;
                }
            },
        };
        if let Some(report) = self.writer.write(key, writes, None, world, out) {
            self.finish(key, &report, now);
        }
    }

    /// Counts, and says what is left out.
    fn note(&mut self, endpoints: &Endpoints, decision: &Decision, now: Now, out: &mut Outbox<'_>) {
        let (invalid, skipped) = (decision.invalid, decision.skipped);
        self.figures.insert(endpoints.meta.key.clone(), decision.figures);
        self.counters.added.observe(decision.plan.added as f64);
        self.counters.updated.observe(decision.updated as f64);
        self.counters.removed.observe(decision.plan.removed as f64);
        self.counters.skipped.observe(skipped as f64);
        if invalid > 0 {
            let note = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            out.event(warning(endpoints, "InvalidIPAddress", note, now));
        }
        if skipped > invalid {
            let max = self.max_endpoints;
            let note = format!(
                "A max of {max} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses \
                 were skipped"
            );
            out.event(warning(endpoints, "TooManyAddressesToMirror", note, now));
        }
    }

    /// The end of a look.
    fn finish(&mut self, key: &ObjectKey, report: &Report, now: Now) {
        if report.again {
            self.queue.add(key.clone());
        }
        if report.error.is_none() && !report.retry {
            self.queue.forget(key);
            return;
        }
        if let Some(error) = &report.error {
            let said = if report.forbidden {
                std::mem::replace(&mut self.forbidden_said, true)
            } else {
                self.queue.failures(key) > 0
            };
            if !said {
                tracing::warn!(endpoints = %key, "cannot be mirrored: {error}");
            }
        }
        if self.queue.failures(key) < MAX_RETRIES {
            self.queue.add_rate_limited(key.clone(), now.mono);
        } else {
            tracing::warn!(endpoints = %key, "cannot be mirrored: given up until something about it changes");
            self.queue.forget(key);
        }
    }

    fn slice_changed(&mut self, change: &Changed<'_, EndpointSlice>, now: Now) {
        // Labels and annotations alone lead to no look, as upstream: two writers that disagree about them would never
        // come to rest.
        let content =
            |s: &EndpointSlice| (s.meta.uid.clone(), s.meta.generation, service_of(&s.meta), is_managed_by(s, MANAGER));
        let same = change.old.zip(change.new).is_some_and(|(old, new)| content(old) == content(new));
        for (key, slice) in concerned(change, MANAGER) {
            if self.writer.is_foreign(&key, slice, change) {
                self.rival.suspect(&slice.meta.key, now);
            }
            let (expected, resume) = self.writer.sight(&key, slice, change);
            if resume {
                self.queue.add(key);
            } else if !expected && !same {
                if self.batch_period.is_zero() {
                    self.queue.add(key);
                } else {
                    self.queue.add_at(key, now.mono + self.batch_period);
                }
            }
        }
    }
}

impl Controller for EndpointSliceMirroringController {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, _: &World, now: Now) {
        if self.yielded().is_some() {
            return;
        }
        match event {
            WorldEvent::Service(change) => {
                let without = |s: Option<&Arc<_>>| s.map(|s| is_selectorless(s));
                let relevant = match (without(change.old), without(change.new)) {
                    (Some(old), Some(new)) => old != new,
                    (old, new) => new.or(old) == Some(true),
                };
                if let Some(service) = change.latest().filter(|_| relevant) {
                    self.queue.add(service.meta.key.clone());
                }
            }
            WorldEvent::Endpoints(change) => {
                let mirrored = [change.old, change.new].into_iter().flatten().any(|e| should_mirror(e));
                if let Some(endpoints) = change.latest().filter(|_| mirrored) {
                    self.queue.add(endpoints.meta.key.clone());
                }
            }
            WorldEvent::Slice(change) => self.slice_changed(change, now),
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started(now);
        self.writer.clear();
        self.figures.clear();
        for (key, endpoints) in &world.endpoints {
            if should_mirror(endpoints) {
                self.queue.add(key.clone());
            }
        }
        // What is left of services and Endpoints that went, or are not mirrored any more, while nobody looked.
        for slice in world.slices().values().filter(|s| is_managed_by(s, MANAGER)) {
            if let Some(key) = service_of(&slice.meta) {
                self.queue.add(key);
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
        // After yielding, answers lead to no further writes.
        if self.rival.outcome(outcome, now, out) || self.yielded().is_some() {
            return;
        }
        if let Some((key, report)) = self.writer.outcome(outcome, world, now, out) {
            self.finish(&key, &report, now);
        }
        if let Some(slice) = self.writer.take_suspect() {
            self.rival.suspect(&slice, now);
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        if self.leading && self.yielded().is_none() { self.queue.next_deadline() } else { None }
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("endpoint_slice_mirroring", &mut self.queue);
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.measure_slices(into);
    }
}

/// A core/v1 warning on an Endpoints object.
fn warning(endpoints: &Endpoints, reason: &'static str, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: OWNER_KIND.into(),
            namespace: endpoints.meta.key.namespace.clone(),
            name: endpoints.meta.key.name.clone(),
            uid: endpoints.meta.uid.clone(),
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
