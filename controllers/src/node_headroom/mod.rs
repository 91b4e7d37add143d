//! `node-headroom-controller`: measures every node's memory and swap and publishes it as `NodeHeadroom`.
//!
//! There is no upstream counterpart. The pure part ([`NodeHeadroomController`]) decides which kubelet to read when, what
//! to believe of the answer and what to write; reading is done by [`scrape::Executor`], whose results come back through
//! [`NodeHeadroomController::scraped`]. Specification: DESIGN.md 6, interfaces.md 1, reference memory-and-swap.md 1.4,
//! 2.1 to 2.5, 5.0, 5.7, 5.8 and readings 22 to 27.
//!
//! One object per Node, of the same name and owned by it. An object owned by another Node of that name (or by nobody)
//! is deleted with its UID as precondition and made anew, so that nobody can publish for a node that is not theirs and
//! nothing is inherited by a node made anew.

pub mod alerts;
pub mod assess;
pub mod command;
pub mod configz;
pub mod metrics_api;
mod observations;
pub mod options;
mod publish;
pub(crate) mod rows;
pub mod scrape;
pub mod status;
pub mod summary;
mod swap_gap;
mod target;
mod tell;
mod tls;
pub mod token;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str, Timestamp,
    intent::{IntentId, Outcome},
    memory::{Params, Pressure, pressure::Reading, publish::Pace},
    object::{Kind, Node},
    queue::{QueueFigures, WorkQueue},
};

use self::{
    alerts::Alerts,
    assess::{Assessment, Before},
    publish::Write,
    status::Conditions,
    target::Target,
    tell::Said,
};
pub use self::{
    command::{Answer, CollectorCommand, MetricsResult, Path, ScrapeError, ScrapeResult, Scraped, TokenError},
    observations::{ContainerObservation, PodObservation},
    options::NodeHeadroomOptions,
};
use crate::{
    creatable::Creatable,
    framework::{Controller, HeadroomRow, Outbox, World, WorldEvent},
};

/// Kubelets that are read at the same time.
pub const MAX_SCRAPES: usize = 32;
/// Idle connections to kubelets live this long: two polls of a small cluster. Where polls are further apart none is kept:
/// it would be gone before the next one, and a thousand of them take tens of megabytes.
const IDLE: Duration = Duration::from_secs(30);
/// A scrape without a result after this time is taken for lost; the executor itself gives up much earlier.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// How often a kubelet's configuration is read: it changes with a restart only.
const CONFIG_INTERVAL: Duration = Duration::from_secs(3600);
/// How often it is tried again when that is not allowed or fails.
const CONFIG_RETRY: Duration = Duration::from_secs(600);
/// Failed polls in a row after which a node is looked up in metrics.k8s.io.
const METRICS_AFTER: u32 = 2;
/// How soon that is tried again when it is not served or not allowed.
const METRICS_RETRY: Duration = Duration::from_secs(600);
/// Weight of the newest write in the average of how long writes take.
const WRITE_WEIGHT: f64 = 0.2;

/// The controller.
#[derive(Debug)]
pub struct NodeHeadroomController {
    params: Params,
    interval_seconds: i64,
    targets: HashMap<Str, Target>,
    /// Scrapes in flight, oldest first.
    requests: BTreeMap<u64, (Str, Mono)>,
    next_request: u64,
    /// Nodes that are due but found no room.
    waiting: VecDeque<Str>,
    commands: Vec<CollectorCommand>,
    /// What the newest sample says of containers.
    observations: Vec<PodObservation>,
    said: Said,
    /// When metrics.k8s.io may be read again.
    metrics_due: Mono,
    /// When it is to be read again, since nodes depend on it.
    metrics_again: Option<Mono>,
    queue: WorkQueue<Str>,
    writes: HashMap<IntentId, (Str, Write, Mono)>,
    /// Whether objects can be made at all.
    creatable: Creatable,
    write_micros: f64,
    leading: bool,
}

impl NodeHeadroomController {
    /// With these parameters of the model (the state machine's limits) and a poll interval.
    #[must_use]
    pub fn new(params: Params, interval: Duration) -> Self {
        Self {
            params,
            interval_seconds: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1),
            targets: HashMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            waiting: VecDeque::new(),
            commands: Vec::new(),
            observations: Vec::new(),
            said: Said::default(),
            metrics_due: Mono(0),
            metrics_again: None,
            queue: WorkQueue::default(),
            writes: HashMap::new(),
            creatable: Creatable::new(Kind::NODE_HEADROOM),
            write_micros: 0.0,
            leading: false,
        }
    }

    /// What the process is to do; to be asked after every other call.
    pub fn take_commands(&mut self) -> Vec<CollectorCommand> {
        std::mem::take(&mut self.commands)
    }

    /// What the sample that has just come says of each container; for whoever learns from it.
    pub fn take_observations(&mut self) -> Vec<PodObservation> {
        std::mem::take(&mut self.observations)
    }

    /// Poll interval and heartbeat in force: they grow with the cluster and with the time that writes take.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let write = Duration::from_micros(self.write_micros as u64);
        Pace::new(self.targets.len(), self.interval_seconds).slowed(write)
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.pace().interval_seconds).unwrap_or(1))
    }

    /// The end of a scrape.
    pub fn scraped(&mut self, result: ScrapeResult, world: &World, now: Now) {
        if self.requests.remove(&result.id).is_none() {
            return;
        }
        self.admit();
        let interval = self.interval();
        let Some(target) = self.targets.get_mut(&result.node).filter(|t| t.request == Some(result.id)) else { return };
        target.request = None;
        self.queue.add(result.node.clone());
        let Some(node) = world.nodes.get(&result.node) else { return };
        match (result.path, result.result) {
            (Path::Summary | Path::FullSummary, Ok(Scraped::Summary(summary))) => {
                target.answered = true;
                target.failures = 0;
                target.failure = None;
                target.told_failure = None;
                target.due = target::next_due(&result.node, interval, now.mono);
                let row = world.headrooms.get(&result.node);
                let before = Before {
                    counters: target.measured.as_ref().map(|m| m.counters),
                    overhead: target.measured.as_ref().map_or_else(|| row.and_then(|r| r.overhead), |m| m.overhead),
                };
                let assessment = assess::assess(
                    &summary,
                    node,
                    world,
                    target.config.as_ref(),
                    &before,
                    result.kubelet_time,
                    result.received_at,
                );
                if let Assessment::New(mut measured) = assessment {
                    target.swap_gap.fill(result.path, &summary, &mut measured);
                    self.observations =
                        observations::of(&summary, measured.at, assess::swap_of(node, measured.swap_capacity));
                    let reading = Reading {
                        at: measured.at,
                        psi: measured.psi,
                        major_faults: measured.major_faults,
                        swap_in: None,
                        swap_out: None,
                    };
                    let pressure = target.pressure.unwrap_or_else(|| resumed(row, measured.at));
                    target.pressure = Some(pressure.step(&reading, &self.params));
                    target.measured = Some(*measured);
                    target.sample_published = false;
                    target.untold = true;
                }
                if now.mono >= target.config_due {
                    self.request(&result.node, node, Path::Configz, now);
                }
            }
            (Path::Configz, Ok(Scraped::Configz(config))) => {
                // Not only with the next sample.
                let told = assess::configured_behavior(node, &config);
                if let (Some(measured), Some(behavior)) = (&mut target.measured, told) {
                    measured.behavior = behavior;
                }
                target.config = Some(config);
                target.config_due = now.mono + CONFIG_INTERVAL;
            }
            // Optional: without the permission the behaviour is read off the containers.
            (Path::Configz, _) => target.config_due = now.mono + CONFIG_RETRY,
            (Path::Summary | Path::FullSummary, Err(error)) => self.failed(&result.node, error, now),
            (Path::Summary | Path::FullSummary, Ok(Scraped::Configz(_))) => {}
        }
    }

    /// What metrics.k8s.io says of nodes whose kubelets cannot be read.
    pub fn metrics_read(&mut self, result: MetricsResult, world: &World, now: Now) {
        let metrics = match result.result {
            Ok(metrics) => metrics,
            Err(error) => {
                tracing::info!(
                    "metrics.k8s.io cannot be read, nodes without a kubelet's answer stay unmeasured: {error}"
                );
                self.metrics_due = now.mono + METRICS_RETRY;
                return;
            }
        };
        let again = now.mono + self.interval();
        for (name, target) in self.targets.iter_mut().filter(|(_, t)| t.failures >= METRICS_AFTER) {
            let Some(node) = world.nodes.get(name) else { continue };
            self.metrics_again = Some(again);
            let (config, last) = (target.config.as_ref(), target.measured.as_ref());
            let Some(measured) = metrics.measured(node, world, config, last, result.received_at) else { continue };
            let reading = Reading { at: measured.at, ..Reading::default() };
            let pressure = target.pressure.unwrap_or_else(|| resumed(world.headrooms.get(name), measured.at));
            target.pressure = Some(pressure.step(&reading, &self.params));
            target.measured = Some(measured);
            target.sample_published = false;
            target.untold = true;
            self.queue.add(name.clone());
        }
    }

    /// A poll has failed.
    fn failed(&mut self, name: &Str, error: ScrapeError, now: Now) {
        let interval = self.interval();
        let Some(target) = self.targets.get_mut(name) else { return };
        target.answered = true;
        target.failures = target.failures.saturating_add(1);
        target.due = target::retry_due(name, target.failures, interval, error.retry_after_seconds(), now.mono);
        if target.failure.as_ref().map(ScrapeError::reason) != Some(error.reason()) {
            tracing::warn!(node = %name, reason = error.reason(), "{error}");
        }
        target.failure = Some(error);
        if target.failures >= METRICS_AFTER && now.mono >= self.metrics_due {
            self.metrics_due = now.mono + interval;
            self.commands.push(CollectorCommand::ReadMetrics);
        }
    }

    /// Asks for a scrape. There is room: the caller has looked, or has just freed a place.
    fn request(&mut self, name: &Str, node: &Node, path: Path, now: Now) {
        let Some(address) = node.address("InternalIP").filter(|a| !a.is_empty()) else {
            return self.failed(name, ScrapeError::NoAddress, now);
        };
        let keep = self.interval() < IDLE;
        let Some(target) = self.targets.get_mut(name) else { return };
        self.next_request += 1;
        let id = self.next_request;
        target.request = Some(id);
        self.requests.insert(id, (name.clone(), now.mono));
        let port = if node.kubelet_port == 0 { 10250 } else { node.kubelet_port };
        let (node, address) = (name.clone(), address.clone());
        self.commands.push(CollectorCommand::Scrape { id, node, address, port, path, keep });
    }

    /// A place among the scrapes is free: the node that waits longest looks again.
    fn admit(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            if let Some(target) = self.targets.get_mut(&next) {
                target.waiting = false;
                self.queue.add(next);
                return;
            }
        }
    }

    /// Gives up on scrapes that never ended, so that their places and nodes are not lost.
    fn expire(&mut self, now: Now) {
        while let Some((&id, (name, since))) = self.requests.first_key_value() {
            if now.mono.since(*since) < LOST_AFTER {
                return;
            }
            let name = name.clone();
            self.requests.remove(&id);
            self.admit();
            if let Some(target) = self.targets.get_mut(&name).filter(|t| t.request == Some(id)) {
                target.request = None;
                let error = ScrapeError::Timeout { address: name.to_string(), seconds: LOST_AFTER.as_secs() };
                self.failed(&name, error, now);
                self.queue.add(name);
            }
        }
    }

    /// Works on one node: polls it when it is due, writes its object when that is due, and comes back in time.
    fn work(&mut self, name: &Str, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(node) = world.nodes.get(name).cloned() else {
            self.targets.remove(name);
            self.queue.forget(name);
            return;
        };
        let nodes = world.nodes.len();
        let interval = self.interval();
        let target = self.targets.entry(name.clone()).or_default();
        if target.uid != node.meta.uid {
            let row = world.headrooms.get(name).filter(|row| publish::owned(row, &node));
            let published = row.map_or(&[][..], |row| &row.conditions);
            let sampled = row.map_or(Timestamp(0), |row| row.sample.at);
            *target = Target {
                uid: node.meta.uid.clone(),
                due: target::first_due(name, nodes, interval, now.mono),
                conditions: Conditions::resume(published),
                alerts: Alerts::resume(published, sampled),
                ..Target::default()
            };
        }
        if target.request.is_none() && now.mono >= target.due && !target.waiting {
            if self.requests.len() < MAX_SCRAPES {
                let path = target.swap_gap.next();
                self.request(name, &node, path, now);
            } else {
                target.waiting = true;
                self.waiting.push_back(name.clone());
            }
        }
        self.tell(name, &node, world, now, out);
        // What a poll under way brings is better than what it replaces.
        if self.targets.get(name).is_some_and(|t| t.request.is_none()) {
            self.publish(name, &node, world, now, out);
        }
        if let Some(target) = self.targets.get(name).filter(|t| t.request.is_none() && !t.waiting) {
            self.queue.add_at(name.clone(), target.due);
        }
    }
}

/// After a restart the state that was published goes on, so that its hysteresis is not cut short.
fn resumed(row: Option<&Arc<HeadroomRow>>, measured_at: Timestamp) -> Pressure {
    row.filter(|r| r.sample.at < measured_at).map_or_else(Pressure::default, |r| {
        Pressure::resume(r.sample.state, r.sample.state_since.unwrap_or(r.sample.at), r.sample.at)
    })
}

impl Controller for NodeHeadroomController {
    fn name(&self) -> &'static str {
        "node-headroom-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, _: &World, _: Now) {
        match event {
            WorldEvent::Node(change) => {
                // Nodes change with every heartbeat of their kubelet; what matters here is who they are.
                let same = change.old.zip(change.new).is_some_and(|(a, b)| a.meta.uid == b.meta.uid);
                if let Some(node) = change.latest().filter(|_| !same) {
                    self.queue.add(node.name().clone());
                }
            }
            WorldEvent::Headroom(change) => {
                let Some(row) = change.latest() else { return };
                let name = &row.meta.key.name;
                if change.new.is_none()
                    && let Some(target) = self.targets.get_mut(name)
                    && target.object.as_ref().is_some_and(|o| o.uid == row.meta.uid)
                {
                    target.object = None;
                    target.published = None;
                }
                self.queue.add(name.clone());
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, _: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        for name in world.nodes.keys() {
            self.queue.add(name.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || !world.is_synced(Kind::NODE) {
            return false;
        }
        self.expire(now);
        if self.metrics_again.is_some_and(|at| at <= now.mono) {
            self.metrics_again = None;
            self.metrics_due = now.mono + self.interval();
            self.commands.push(CollectorCommand::ReadMetrics);
        }
        let Some(name) = self.queue.pop(now.mono) else { return false };
        self.work(&name, world, now, out);
        self.queue.done(&name);
        !self.queue.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.written(outcome, world, now);
    }

    fn next_deadline(&self) -> Option<Mono> {
        if !self.leading {
            return None;
        }
        let lost = self.requests.first_key_value().map(|(_, (_, since))| *since + LOST_AFTER);
        let due = self.queue.next_deadline();
        lost.into_iter().chain(due).chain(self.metrics_again).min()
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("node_headroom", &mut self.queue);
    }
}
