//! The object that is published: body of the status, conditions, and what decides whether it is written again.

use std::fmt::Write as _;

use hashbrown::{HashMap, HashSet};
use headroom_api::{
    Behavior, Condition, DisplayColumns, GROUP, MemoryStatus, NodeHeadroomStatus, PodSample, Psi, PsiAverages, Source,
    State, SwapStatus, VERSION,
};
use headroom_core::{
    Str, Timestamp,
    memory::{
        Params, PodUsage, Pressure, PressureState, SwapBehavior,
        node::Eviction,
        publish::{Digest, fnv, set_hash, settled_usage},
    },
    object::{Node, PublishedCondition, Status},
    quantity::human_bytes,
};
use serde_json::{Value, json};

use super::{
    alerts::{ALERTS, AS_EXPECTED, FOUND, NO_SAMPLE},
    assess::{self, Measured},
    command::ScrapeError,
    rows,
};
use crate::framework::World;

/// Longest message of a condition, in bytes (`metav1.Condition` allows 32 KiB; nobody reads that).
const MAX_MESSAGE: usize = 512;

/// Whether the sample can be relied on, as a condition without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Type.
    pub kind: &'static str,
    /// Status.
    pub status: Status,
    /// Reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The condition `Fresh`: false from the first failure on when there is no sample, else when the last one is no longer
/// fresh.
#[must_use]
pub fn fresh(
    sample: Option<Timestamp>,
    failure: Option<&ScrapeError>,
    ram_only: bool,
    now: Timestamp,
    fresh_seconds: i64,
) -> Verdict {
    let old = sample.is_none_or(|at| now.secs().saturating_sub(at.secs()) > fresh_seconds);
    match failure {
        Some(error) if old => {
            let mut message = error.to_string();
            truncate(&mut message);
            Verdict { kind: "Fresh", status: Status::False, reason: error.reason(), message }
        }
        None if old => Verdict {
            kind: "Fresh",
            status: Status::False,
            reason: "NoSample",
            message: "the kubelet answers, but without new memory figures of the node; look at its log".into(),
        },
        Some(error) if ram_only => {
            let mut message = format!("RAM alone, from metrics.k8s.io: {error}");
            truncate(&mut message);
            Verdict { kind: "Fresh", status: Status::True, reason: "MetricsAPI", message }
        }
        _ => Verdict { kind: "Fresh", status: Status::True, reason: "Sampled", message: String::new() },
    }
}

/// The condition `ClockSkew`.
#[must_use]
pub fn clock_skew(skew_seconds: Option<i64>) -> Verdict {
    if !assess::skewed(skew_seconds) {
        return Verdict { kind: "ClockSkew", status: Status::False, reason: "InSync", message: String::new() };
    }
    let skew = skew_seconds.unwrap_or(0);
    let way = if skew > 0 { "ahead of" } else { "behind" };
    Verdict {
        kind: "ClockSkew",
        status: Status::True,
        reason: "ClockSkew",
        message: format!(
            "the node's clock is {} s {way} the controller's: observedAt is on the controller's; check NTP on the node",
            skew.saturating_abs()
        ),
    }
}

fn truncate(text: &mut String) {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE - 3).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
}

/// Conditions with the times of their last change.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    all: Vec<(Verdict, Timestamp)>,
    /// What another process published, until it is decided anew here.
    inherited: Vec<PublishedCondition>,
}

impl Conditions {
    /// Goes on from what was published: a status that stays keeps the time of its last change.
    #[must_use]
    pub fn resume(published: &[PublishedCondition]) -> Self {
        Self { all: Vec::new(), inherited: published.to_vec() }
    }

    /// Takes over a verdict; the time moves only when the status does.
    pub fn set(&mut self, verdict: Verdict, now: Timestamp) {
        match self.all.iter_mut().find(|(old, _)| old.kind == verdict.kind) {
            Some((old, since)) => {
                if old.status != verdict.status {
                    *since = now;
                }
                *old = verdict;
            }
            None => {
                let before = self.inherited.iter().position(|c| c.kind == *verdict.kind);
                let before = before.map(|at| self.inherited.swap_remove(at));
                let since = before.filter(|c| c.status == verdict.status && c.since.0 > 0).map_or(now, |c| c.since);
                self.all.push((verdict, since));
            }
        }
    }

    /// For the API, those included that were inherited and not decided yet.
    #[must_use]
    pub fn to_api(&self) -> Vec<Condition> {
        self.all
            .iter()
            .map(|(verdict, since)| Condition {
                kind: verdict.kind.into(),
                status: verdict.status.as_str().into(),
                reason: verdict.reason.into(),
                message: verdict.message.clone(),
                last_transition_time: since.truncated().to_string(),
            })
            .chain(self.inherited.iter().filter_map(standing))
            .collect()
    }

    /// What readers decide by: not the texts, in which numbers move.
    fn write_facts(&self, facts: &mut String) {
        for (verdict, _) in &self.all {
            let _ = write!(facts, "|{}={}:{}", verdict.kind, verdict.status.as_str(), verdict.reason);
        }
    }
}

/// What another process published of a node that was not sampled since, so that it is not lost with its list.
fn standing(published: &PublishedCondition) -> Option<Condition> {
    let kind = ALERTS.into_iter().find(|kind| published.kind == **kind)?;
    let (reason, message) = match published.status {
        Status::True => (kind, FOUND),
        Status::False => (AS_EXPECTED, ""),
        Status::Unknown => (NO_SAMPLE, FOUND),
    };
    Some(Condition {
        kind: kind.into(),
        status: published.status.as_str().into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: published.since.truncated().to_string(),
    })
}

/// A status, ready to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Body.
    pub status: NodeHeadroomStatus,
    /// What decides whether it is written.
    pub digest: Digest,
    /// `S`.
    pub swap: i64,
    /// What it says of each pod, by UID.
    pub pods: HashMap<Str, PodUsage>,
}

/// Everything a draft is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The node.
    pub node: &'a Node,
    /// The world.
    pub world: &'a World,
    /// The sample.
    pub measured: &'a Measured,
    /// The state after it.
    pub pressure: &'a Pressure,
    /// The threshold that `/configz` gave.
    pub eviction: Option<Eviction>,
    /// Conditions.
    pub conditions: &'a Conditions,
    /// What was last published of each pod.
    pub published: &'a HashMap<Str, PodUsage>,
    /// Poll interval in force, in seconds.
    pub interval_seconds: i64,
    /// Parameters of the model.
    pub params: &'a Params,
}

/// The status of a node with a sample.
#[must_use]
pub fn draft(parts: &Parts<'_>) -> Draft {
    let Parts { node, world, measured, pressure, conditions, params, .. } = *parts;
    let capacity = node.capacity.memory;
    let swap = assess::swap_of(node, measured.swap_capacity);
    let protected = rows::is_protected(node, world);
    let memory = rows::node_memory(
        node,
        measured.swap_capacity,
        measured.behavior,
        parts.eviction.map(|e| e.resolve(capacity)),
        measured.overhead,
        protected,
    );
    let figures = assess::headroom(measured, &memory, node, world, params);
    let swap_known = node.swap_capacity.is_some() || measured.swap_capacity.is_some();
    let mut pods = HashMap::with_capacity(measured.pods.len());
    let mut seen = HashSet::with_capacity(measured.pods.len());
    let samples = measured
        .pods
        .iter()
        // The list is a map by UID: a second entry would make the API server refuse all of it.
        .filter(|pod| !pod.uid.is_empty() && seen.insert(&pod.uid))
        .map(|pod| {
            let mut shown = (pod.working_set, pod.swap, pod.swap_available);
            if let Some(working_set) = pod.working_set {
                let current = PodUsage { working_set, swap: pod.swap, swap_available: pod.swap_available };
                let settled = settled_usage(parts.published.get(&pod.uid), current);
                shown = (Some(settled.working_set), settled.swap, settled.swap_available);
                pods.insert(pod.uid.clone(), settled);
            }
            PodSample {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.to_string(),
                working_set_bytes: shown.0,
                swap_used_bytes: shown.1,
                swap_available_bytes: shown.2,
            }
        })
        .collect::<Vec<_>>();
    let digest = Digest {
        working_set: measured.working_set,
        swap_used: measured.swap_used,
        state: pressure.state,
        pods: set_hash(samples.iter().map(|pod| pod.uid.as_str())),
        facts: facts(&memory, conditions),
    };
    let status = NodeHeadroomStatus {
        observed_at: Some(measured.at.to_string()),
        source: if measured.ram_only { Source::MetricsAPI } else { Source::Kubelet },
        state: api_state(pressure.state),
        state_since: Some(pressure.since.truncated().to_string()),
        protected,
        memory: MemoryStatus {
            capacity_bytes: Some(capacity),
            allocatable_bytes: Some(node.allocatable.memory),
            working_set_bytes: measured.working_set,
            eviction_hard_bytes: Some(memory.eviction),
            system_overhead_bytes: measured.overhead,
            major_faults_per_second: measured.major_faults.map(rounded),
            pressure: measured.psi.map(|psi| Psi {
                some: Some(PsiAverages { avg10: Some(psi.some10), avg60: Some(psi.some60) }),
                full: Some(PsiAverages { avg10: Some(psi.full10), avg60: Some(psi.full60) }),
            }),
        },
        swap: SwapStatus {
            behavior: api_behavior(measured.behavior),
            capacity_bytes: swap_known.then_some(swap),
            used_bytes: measured.swap_used,
            in_pages_per_second: None,
            out_pages_per_second: None,
        },
        pods: samples,
        headroom_bytes: figures.map(|(headroom, _)| headroom),
        accessible_swap_bytes: figures.map(|(_, accessible)| accessible),
        interval_seconds: Some(parts.interval_seconds),
        display: DisplayColumns {
            ram: of(measured.working_set, capacity),
            swap: if swap_known { of(measured.swap_used, swap) } else { String::new() },
            headroom: figures.map(|(headroom, _)| human_bytes(headroom)).unwrap_or_default(),
        },
        conditions: conditions.to_api(),
    };
    Draft { status, digest, swap, pods }
}

/// "620Mi/1Gi", with a question mark for what is not known.
fn of(used: Option<i64>, total: i64) -> String {
    format!("{}/{}", used.map_or_else(|| "?".to_owned(), human_bytes), human_bytes(total))
}

/// Hundredths are enough for a rate.
fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

fn facts(memory: &headroom_core::memory::NodeMemory, conditions: &Conditions) -> u64 {
    let mut text = format!(
        "{}|{}|{}|{}|{}|{}",
        memory.capacity,
        memory.allocatable,
        memory.swap,
        memory.eviction,
        memory.behavior.as_str(),
        memory.protected
    );
    conditions.write_facts(&mut text);
    fnv(text.as_bytes())
}

/// The digest of a node without a sample of ours: its conditions alone.
#[must_use]
pub fn bare_digest(conditions: &Conditions) -> Digest {
    let mut text = String::new();
    conditions.write_facts(&mut text);
    Digest { facts: fnv(text.as_bytes()), ..Digest::default() }
}

const fn api_state(state: PressureState) -> State {
    match state {
        PressureState::Calm => State::Calm,
        PressureState::Elevated => State::Elevated,
        PressureState::Hot => State::Hot,
        PressureState::Thrash => State::Thrash,
    }
}

const fn api_behavior(behavior: SwapBehavior) -> Behavior {
    match behavior {
        SwapBehavior::LimitedSwap => Behavior::LimitedSwap,
        SwapBehavior::NoSwap => Behavior::NoSwap,
        SwapBehavior::Unlimited => Behavior::Unlimited,
        SwapBehavior::Unknown => Behavior::Unknown,
    }
}

fn header() -> Value {
    json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "NodeHeadroom"})
}

/// The object as it is created: the status follows, since it is a subresource. The garbage collector takes the object
/// away with its Node.
#[must_use]
pub fn new_object(node: &Node) -> Value {
    let mut object = header();
    object["metadata"] = json!({
        "name": &**node.name(),
        "ownerReferences": [{
            "apiVersion": "v1", "kind": "Node", "name": &**node.name(), "uid": &*node.meta.uid,
            "controller": false, "blockOwnerDeletion": false,
        }],
    });
    object
}

/// The whole status, for an update of the subresource: what is not known must vanish, which a patch would not do.
#[must_use]
pub fn full_body(name: &str, uid: &str, resource_version: u64, status: &NodeHeadroomStatus) -> Value {
    let mut object = header();
    object["metadata"] = json!({"name": name, "uid": uid, "resourceVersion": resource_version.to_string()});
    object["status"] = serde_json::to_value(status).unwrap_or_default();
    object
}

/// A merge patch of the conditions: without a sample of our own, an older one that stands there is still worth having.
#[must_use]
pub fn conditions_body(uid: &str, conditions: &Conditions, interval_seconds: i64, never_sampled: bool) -> Value {
    let mut status = json!({"conditions": conditions.to_api(), "intervalSeconds": interval_seconds});
    if never_sampled {
        status["source"] = json!(Source::None);
    }
    json!({"metadata": {"uid": uid}, "status": status})
}
