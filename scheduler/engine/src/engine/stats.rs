//! Numbers for metrics, and a dump for people (SIGUSR2).

use std::fmt::Write as _;

use headroom_core::Str;

use super::{Engine, ShadowOutcome};
use crate::{
    framework::PodInfo,
    queue::{PendingPods, Place},
};

/// Most reports kept until they are taken.
pub const MAX_REPORTS: usize = 65_536;
/// Most pods and nodes listed in a dump.
const MAX_DUMPED: usize = 1000;

#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) bound: u64,
    pub(super) binding_failures: u64,
    pub(super) foreign_bindings: u64,
    pub(super) reports_dropped: u64,
    pub(super) shadow_decisions: u64,
    pub(super) shadow: [u64; 4],
    pub(super) panics: u64,
    pub(super) preemption_attempts: u64,
    /// Of VolumeBinding, at Reserve and at PreBind.
    pub(super) volume_errors: [u64; 2],
}

/// A snapshot of the engine's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Pods by where they wait.
    pub pending: PendingPods,
    /// Nodes known.
    pub nodes: usize,
    /// Pods on nodes, assumed ones included.
    pub pods: usize,
    /// Pods that are only assumed.
    pub assumed_pods: usize,
    /// Bindings in progress.
    pub bindings: usize,
    /// Intents without outcome.
    pub intents: usize,
    /// Events kept for pods in flight.
    pub in_flight_events: usize,
    /// The same by kind, and the pods in flight as `PodPopped` (`inflight_events`).
    pub in_flight: Vec<(String, usize)>,
    /// Classes of equal pods kept.
    pub classes: usize,
    /// Bytes of their columns, about.
    pub class_bytes: usize,
    /// Pods bound by us.
    pub bound: u64,
    /// Bindings that failed.
    pub binding_failures: u64,
    /// Pods of our queue that somebody else bound.
    pub foreign_bindings: u64,
    /// Reports that nobody took in time.
    pub reports_dropped: u64,
    /// Shadow: pods that were looked at and are not bound yet.
    pub shadow_pending: usize,
    /// Shadow: choices in agreement.
    pub shadow_agrees: u64,
    /// Shadow: other choices.
    pub shadow_differs: u64,
    /// Shadow: pods that would have waited.
    pub shadow_would_wait: u64,
    /// Shadow: not compared.
    pub shadow_not_compared: u64,
    /// Pods for which preemption was tried (`preemption_attempts_total`).
    pub preemption_attempts: u64,
    /// Errors of VolumeBinding by stage (`scheduling_stage_error_total`).
    pub volume_errors: [(&'static str, u64); 2],
    /// Preemptions that are being carried out.
    pub preemptions: usize,
    /// There are NodeHeadrooms, but no node has a usable sample.
    pub degraded: bool,
    /// Pods that made the engine panic.
    pub panics: u64,
    /// Pods in quarantine.
    pub quarantined: usize,
    /// How often pods entered a part of the queue: `queue`, `event`, count (`queue_incoming_pods_total`).
    pub incoming: Vec<(&'static str, String, u64)>,
    /// Pods that wait, by plugin that rejected them: plugin, profile, count (`unschedulable_pods`).
    pub unschedulable: Vec<(&'static str, String, usize)>,
}

impl Engine {
    /// The engine's numbers.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let c = &self.counters;
        let mut incoming: Vec<_> = self
            .queue
            .incoming()
            .map(|(place, cause, n)| {
                let queue = match place {
                    Place::Active => "active",
                    Place::Backoff => "backoff",
                    Place::Unschedulable => "unschedulable",
                    Place::InFlight => "in_flight",
                };
                (queue, cause.label(), n)
            })
            .collect();
        incoming.sort();
        let mut unschedulable: Vec<(&'static str, String, usize)> = Vec::new();
        for entry in self.queue.iter().filter(|e| e.place != Place::InFlight) {
            for id in entry.rejectors.union(entry.pending).iter() {
                let name = self.profiles.names.name(id);
                let profile = self.profiles.all.get(entry.profile).map(|p| p.name.as_str()).unwrap_or_default();
                match unschedulable.iter_mut().find(|(n, p, _)| *n == name && p == profile) {
                    Some((_, _, count)) => *count += 1,
                    None => unschedulable.push((name, profile.to_owned(), 1)),
                }
            }
        }
        unschedulable.sort();
        let mut in_flight: Vec<_> = self.queue.in_flight_counts().collect();
        in_flight.sort();
        let shadow = |o: ShadowOutcome| c.shadow[o as usize];
        EngineStats {
            pending: self.queue.pending(),
            nodes: self.cache.node_count(),
            pods: self.cache.pods().len(),
            assumed_pods: self.cache.assumed_count(),
            bindings: self.bindings.len(),
            intents: self.owners.len(),
            in_flight_events: self.queue.in_flight_events(),
            in_flight,
            classes: self.classes.len(),
            class_bytes: self.classes.bytes(),
            bound: c.bound,
            binding_failures: c.binding_failures,
            foreign_bindings: c.foreign_bindings,
            reports_dropped: c.reports_dropped,
            shadow_pending: self.shadow.len(),
            shadow_agrees: shadow(ShadowOutcome::Agrees),
            shadow_differs: shadow(ShadowOutcome::Differs),
            shadow_would_wait: shadow(ShadowOutcome::WouldWait),
            shadow_not_compared: shadow(ShadowOutcome::NotCompared),
            preemption_attempts: c.preemption_attempts,
            volume_errors: [("assume", c.volume_errors[0]), ("bind", c.volume_errors[1])],
            preemptions: self.preemptions.len(),
            degraded: self.cache.memory().is_some_and(|index| index.cluster().degraded),
            panics: c.panics,
            quarantined: self.quarantined.len(),
            incoming,
            unschedulable,
        }
    }

    /// Every pod that is on a node, assumed or waits, with its node, which is empty when it waits (`/metrics/resources`).
    #[must_use]
    pub fn known_pods(&self) -> Vec<(PodInfo, Str)> {
        let node = |slot| self.cache.any_row(slot).map(|row| row.name.clone()).unwrap_or_default();
        let placed = self.cache.pods().map(|p| (p.info.clone(), node(p.slot)));
        let waiting = self.queue.iter().filter(|e| self.cache.pod(e.info.uid()).is_none());
        placed.chain(waiting.map(|e| (e.info.clone(), Str::default()))).collect()
    }

    /// Cache and queue in words, for people.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut text = String::new();
        let mut nodes: Vec<_> = self.cache.nodes().map(|(_, n)| n).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        for n in nodes.iter().take(MAX_DUMPED) {
            let (used, has) = (&n.requested, &n.node.allocatable);
            let _ = writeln!(
                text,
                "node {}: {} pods of {}, cpu {}m of {}m, memory {} of {}",
                n.name,
                n.pods.len(),
                has.pods,
                used.milli_cpu,
                has.milli_cpu,
                used.memory,
                has.memory
            );
        }
        let mut pods: Vec<_> = self.queue.iter().collect();
        pods.sort_by(|a, b| a.info.pod.meta.key.cmp(&b.info.pod.meta.key));
        for p in pods.iter().take(MAX_DUMPED) {
            let _ = writeln!(
                text,
                "pod {}: {:?}, {} attempts, rejected by {:?}",
                p.info.pod.meta.key,
                p.place,
                p.attempts,
                self.profiles.plugin_names(p.rejectors.union(p.pending))
            );
        }
        text
    }
}
