//! Writes of nodes and live checks, and what became of them.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Mono, Now, Str,
    intent::{IntentId, Op, Outcome, PatchKind, WriteError, Written},
    object::{Kind, Node, ObjectKey},
};
use serde_json::Value;

use super::{KUBELET_RETRY, NodeLifecycleController, node_event, taints};
use crate::{
    framework::{Changed, Outbox, World},
    node_headroom::summary::parse_time,
    rival::Authorship,
};

/// The row of a write is waited for no longer than this: a watch that lags must not keep a node from being tainted; the
/// resource version in the patch is what makes it safe.
const ROW_WAIT: Duration = Duration::from_secs(10);

/// What is in flight.
#[derive(Debug)]
pub(super) enum Write {
    /// A consistent read of a node's lease.
    Check(Str),
    /// Conditions Unknown.
    Conditions {
        /// Which node.
        node: Str,
        /// Whether it was Ready until now.
        was_ready: bool,
    },
    /// The list of taints.
    Taints {
        /// Which node.
        node: Str,
        /// The zone that it counts in as evicted.
        zone: Option<String>,
    },
    /// Labels.
    Labels {
        /// Which node.
        node: Str,
    },
    /// A pod's readiness.
    Pod(ObjectKey),
}

/// Where a node's writes are.
#[derive(Debug)]
pub(super) struct NodeWrite {
    uid: Str,
    in_flight: Option<IntentId>,
    /// The row must be this new before the next write.
    resource_version: u64,
    since: Mono,
    /// Who changes the taints.
    taints: Authorship,
}

impl NodeWrite {
    /// `None`: go on. Otherwise wait: until this time, or (without one) for the outcome.
    pub(super) fn wait(&self, node: &Node, now: Mono) -> Option<Option<Mono>> {
        if self.uid != node.meta.uid {
            return None;
        }
        if self.in_flight.is_some() {
            return Some(None);
        }
        let until = self.since + ROW_WAIT;
        (node.meta.resource_version < self.resource_version && now < until).then_some(Some(until))
    }
}

impl NodeLifecycleController {
    #[expect(clippy::too_many_arguments, reason = "one call per kind of patch; a struct would only rename them")]
    pub(super) fn patch(
        &mut self,
        name: &Str,
        node: &Node,
        subresource: &'static str,
        patch: PatchKind,
        body: Value,
        write: Write,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        let key = node_key(name);
        let id = out.push(Op::Patch { kind: Kind::NODE, key, subresource, patch, body: Arc::new(body) });
        self.in_flight.insert(id, write);
        let before = self.writes.remove(name).filter(|write| write.uid == node.meta.uid);
        let taints = before.map(|write| write.taints).unwrap_or_default();
        let (uid, in_flight) = (node.meta.uid.clone(), Some(id));
        self.writes.insert(name.clone(), NodeWrite { uid, in_flight, resource_version: 0, since: now.mono, taints });
    }

    /// Taints have changed that only a loop like this one changes: who was it?
    pub(super) fn note_taints(&mut self, change: &Changed<'_, Node>, now: Now) {
        let (Some(old), Some(new)) = (change.old, change.new) else { return };
        let changed = old.meta.uid == new.meta.uid && taints::of_lifecycle(old) != taints::of_lifecycle(new);
        if !changed || !self.leading {
            return;
        }
        let under_way = &self.in_flight;
        let foreign = self.writes.get_mut(new.name()).is_none_or(|write| {
            let sent = write.in_flight.and_then(|id| under_way.get(&id));
            let in_flight = matches!(sent, Some(Write::Taints { .. }));
            write.taints.seen(old.meta.resource_version, new.meta.resource_version, in_flight)
        });
        if foreign {
            self.rival.suspect(&node_key(new.name()), now);
        }
    }

    pub(super) fn written(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(write) = self.in_flight.remove(&outcome.id) else { return };
        let (name, evicted_in) = match &write {
            Write::Check(name) => return self.checked(name, outcome, world, now),
            Write::Pod(key) => return self.pod_written(key, outcome, world, now, out),
            Write::Conditions { node, .. } | Write::Labels { node } => (node.clone(), None),
            Write::Taints { node, zone } => (node.clone(), zone.clone()),
        };
        let Some(state) = self.writes.get_mut(&name).filter(|s| s.in_flight == Some(outcome.id)) else { return };
        state.in_flight = None;
        if matches!(write, Write::Taints { .. }) && state.taints.answered(&outcome.result) {
            self.rival.suspect(&node_key(&name), now);
        }
        let error = match &outcome.result {
            Ok(written) => {
                state.resource_version = written.resource_version;
                state.since = now.mono;
                self.nodes.forget(&name);
                // The row may have come before the outcome.
                self.nodes.add(name.clone());
                if let Write::Conditions { was_ready, .. } = write {
                    self.declared(&name, was_ready, written.resource_version, world, now, out);
                }
                if let Some(zone) = evicted_in {
                    self.granted.remove(&name);
                    self.zones.count(&zone);
                }
                return;
            }
            Err(error) => error,
        };
        match error {
            WriteError::NotLeader => {}
            WriteError::NotFound(_) => {
                self.nodes.forget(&name);
            }
            error => {
                if !matches!(error, WriteError::Conflict(_)) {
                    tracing::warn!(node = %name, "cannot be written: {error}");
                }
                self.nodes.add_rate_limited(name, now.mono);
            }
        }
    }

    /// The conditions of a silent node are Unknown now.
    fn declared(&mut self, name: &Str, was_ready: bool, rv: u64, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(node) = world.nodes.get(name) else { return };
        if let Some(health) = self.health.get_mut(name) {
            health.dead = false;
            health.written_unknown = (node.meta.resource_version < rv).then_some(rv);
        }
        if was_ready {
            let note = format!("Node {name} status is now: NodeNotReady");
            out.event(node_event(name, &node.meta.uid, "NodeNotReady", note, now));
            for pod in world.pods.on_node(name) {
                self.pods.add(pod.meta.key.clone());
            }
        }
        // Not before the last of those that are silent: nodes that die together count together, or the first would be evicted
        // although no node anywhere is ready.
        self.count_again = self.health.values().all(|h| h.check.is_none() && h.dial.is_none() && !h.dead);
    }

    /// The end of a live check.
    fn checked(&mut self, name: &Str, outcome: &Outcome, world: &World, now: Now) {
        if self.health.get(name).is_none_or(|h| h.check != Some(outcome.id)) {
            return;
        }
        let answered = !matches!(&outcome.result, Err(e) if e.is_retryable() || *e == WriteError::NotLeader);
        if answered && self.outage {
            self.outage = false;
            self.restart_clocks(now.mono, "the API server answers again");
        }
        let Some(node) = world.nodes.get(name) else { return };
        let grace = self.grace(node);
        let all_silent = self.all_silent(now.mono);
        if matches!(&outcome.result, Err(WriteError::Forbidden(_))) && !self.no_live_check {
            self.no_live_check = true;
            tracing::warn!("leases cannot be read live: grant \"get\" on leases in kube-node-lease");
        }
        let Some(health) = self.health.get_mut(name) else { return };
        health.check = None;
        match &outcome.result {
            Ok(written) if newer(health, written) => health.restart(now.mono),
            Ok(_) | Err(WriteError::NotFound(_) | WriteError::Forbidden(_)) => {
                // A sign of life may have come meanwhile.
                if !health.expired(grace, now.mono) {
                    return;
                }
                let since = *health.suspected.get_or_insert(now.mono);
                if !all_silent || now.mono.since(since) >= KUBELET_RETRY {
                    self.silent(name, node, now.mono);
                }
            }
            // Nobody can be heard now: that is no evidence.
            Err(_) if self.options.profile.restarts_clocks() => {
                self.outage = true;
                health.restart(now.mono);
            }
            // Neither is it with upstream's clocks, which go on: the next pass asks again.
            Err(_) => {}
        }
    }
}

/// The key of a node.
fn node_key(name: &Str) -> ObjectKey {
    ObjectKey { namespace: Str::default(), name: name.clone() }
}

/// Whether the lease as it is now was renewed since we last saw it.
fn newer(health: &mut super::Health, written: &Written) -> bool {
    let renewed = written
        .found
        .first()
        .and_then(|found| found.body.pointer("/spec/renewTime").and_then(Value::as_str))
        .and_then(parse_time);
    renewed.is_some_and(|renewed| health.renew(renewed))
}
