//! Leases, status reports, and the memory of nodes as time passes.

use serde_json::json;

use super::chaos::LossReason;
use super::{LeaseMethod, Outcome, Timer, World, Write};
use crate::pod::Action;
use crate::time::{Millis, rfc3339, rfc3339_micro};

/// Wait before a lease renewal or a status report that failed is tried again.
const NODE_RETRY: Millis = 2_000;
/// How long available memory must be below the threshold before a pod is evicted (3 s were measured).
const EVICTION_AFTER: Millis = 3_000;
/// How long MemoryPressure stays after the last time (the kubelet's pressure transition period).
const PRESSURE_HOLD: Millis = 300_000;

impl World {
    /// Renews the lease at `at`; an earlier plan is void.
    pub(super) fn arm_lease(&mut self, index: usize, at: Millis) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.lease_at = at;
            self.arm(at, Timer::Lease(index));
        }
    }

    pub(super) fn lease_due(&mut self, index: usize, at: Millis, now: Millis) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        // Only the newest plan counts, so that a node that came back does not renew twice.
        if node.dead || node.mute || at != node.lease_at {
            return;
        }
        if node.slow > 0 && !node.lease_deferred {
            node.lease_deferred = true;
            let at = now.saturating_add(node.slow);
            return self.arm_lease(index, at);
        }
        node.lease_deferred = false;
        self.node_queue.push_back(Timer::Lease(index));
    }

    pub(super) fn status_due(&mut self, index: usize, at: Millis) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        // Only the newest timer counts: a report in between moved the next one.
        if !node.dead && !node.mute && at == node.status_at {
            self.node_queue.push_back(Timer::Status(index));
        }
    }

    /// Reports the node's status as soon as possible.
    pub(super) fn report_status(&mut self, index: usize, now: Millis) {
        if let Some(node) = self.nodes.get_mut(index) {
            let at = now.saturating_add(node.slow);
            node.status_at = at;
            self.arm(at, Timer::Status(index));
        }
    }

    pub(super) fn render_lease(&mut self, index: usize, now: Millis) -> Option<Write> {
        let seconds = self.lease_duration_seconds;
        let node = self.nodes.get(index).filter(|node| !node.dead && !node.mute)?;
        let method = match (&node.lease_version, node.lease_missing) {
            (Some(_), _) => LeaseMethod::Update,
            (None, true) => LeaseMethod::Create,
            (None, false) => LeaseMethod::Get,
        };
        let mut metadata = json!({"name": node.name, "namespace": "kube-node-lease"});
        if let Some(version) = &node.lease_version {
            metadata["resourceVersion"] = version.as_str().into();
        }
        if let Some(uid) = &node.uid {
            metadata["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": uid}]);
        }
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": node.name, "leaseDurationSeconds": seconds, "renewTime": rfc3339_micro(now),
            },
        });
        Some(Write::Lease { node: index, name: node.name.clone(), body, method })
    }

    pub(super) fn render_status(&mut self, index: usize, now: Millis) -> Option<Write> {
        let node = self.nodes.get(index).filter(|node| !node.dead && !node.mute)?;
        Some(Write::NodeStatus { node: index, name: node.name.clone(), body: node.status_patch(now) })
    }

    /// The outcome of a lease renewal.
    pub(super) fn lease_written(&mut self, index: usize, method: LeaseMethod, outcome: Outcome, now: Millis) {
        let interval = self.lease_interval;
        let count = self.nodes.len().max(1) as u64;
        let Some(node) = self.nodes.get_mut(index) else { return };
        match outcome {
            Outcome::Done(version) => {
                node.lease_version = version;
                node.lease_missing = false;
                // A lease that exists is renewed right after it was read.
                if method == LeaseMethod::Get {
                    return self.node_queue.push_back(Timer::Lease(index));
                }
                let gap = now.saturating_sub(node.lease_ok);
                node.lease_ok = now;
                // After the first write the renewals are spread over the interval, so that a thousand nodes never
                // renew at once.
                let first = !std::mem::replace(&mut node.lease_known, true);
                let spread = interval / 4 + interval.saturating_mul(index as u64 * 3) / (count * 4);
                self.arm_lease(index, now.saturating_add(if first { spread } else { interval }));
                // The node may have been marked Unknown meanwhile; a kubelet sees that and reports at once.
                if gap > interval.saturating_mul(2) {
                    if let Some(node) = self.nodes.get_mut(index) {
                        node.ready_since = now;
                    }
                    self.report_status(index, now);
                }
            }
            Outcome::NotFound if method == LeaseMethod::Get => {
                node.lease_missing = true;
                self.node_queue.push_back(Timer::Lease(index));
            }
            Outcome::NotFound | Outcome::Conflict => {
                node.lease_version = None;
                node.lease_missing = false;
                self.arm_lease(index, now.saturating_add(NODE_RETRY / 10));
            }
            Outcome::Failed => self.arm_lease(index, now.saturating_add(NODE_RETRY)),
        }
    }

    /// The outcome of a status report.
    pub(super) fn status_written(&mut self, index: usize, outcome: &Outcome, now: Millis) {
        let interval = if *outcome == Outcome::Failed { NODE_RETRY } else { self.status_interval };
        if let Some(node) = self.nodes.get_mut(index) {
            // A report that was asked for while this one was under way comes first.
            if node.status_at <= now {
                let at = now.saturating_add(interval);
                node.status_at = at;
                self.arm(at, Timer::Status(index));
            }
        }
    }

    pub(super) fn memory_due(&mut self, now: Millis) {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(index) else { continue };
            let (killed, finished) = (node.memory.tick(now), node.memory.finished());
            for owner in killed {
                let mut actions = Vec::new();
                if let Some(pod) = self.pods.get_mut(&owner.pod) {
                    pod.machine.oom_killed(owner.container, now, &mut actions);
                }
                self.note_loss(owner.pod, LossReason::OomKilled);
                self.act(owner.pod, &actions, now);
            }
            for owner in finished {
                let mut actions = Vec::new();
                if let Some(pod) = self.pods.get_mut(&owner.pod) {
                    pod.machine.finished(owner.container, now, &mut actions);
                }
                self.act(owner.pod, &actions, now);
            }
            self.check_eviction(index, now);
        }
    }

    /// The kubelet's own eviction by `memory.available`.
    fn check_eviction(&mut self, index: usize, now: Millis) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let threshold = node.class.eviction_hard_bytes;
        if threshold == 0 || node.dead {
            return;
        }
        let available = node.class.memory_bytes.saturating_sub(node.memory.node().resident);
        let before = node.pressure;
        if available < threshold {
            node.low_last = now;
            let since = *node.low_since.get_or_insert(now);
            node.pressure = true;
            if now.saturating_sub(since) >= EVICTION_AFTER {
                node.low_since = Some(now);
                self.evict_one(index, now);
            }
        } else {
            node.low_since = None;
            if now.saturating_sub(node.low_last) >= PRESSURE_HOLD {
                node.pressure = false;
            }
        }
        if let Some(node) = self.nodes.get_mut(index)
            && node.pressure != before
        {
            node.pressure_since = now;
            self.report_status(index, now);
        }
    }

    /// Evicts the pod that upstream's ranking puts first: above its request, low priority, most above its request.
    fn evict_one(&mut self, index: usize, now: Millis) {
        let Some(node) = self.nodes.get(index) else { return };
        let rank = |key: &u64| {
            let pod = self.pods.get(key).filter(|pod| !pod.machine.over() && !pod.digest.critical)?;
            let usage = self.working_set(*key);
            let request = pod.digest.memory_request();
            let excess = i128::from(usage) - i128::from(request);
            Some((excess > 0, std::cmp::Reverse(pod.digest.priority), excess, std::cmp::Reverse(*key)))
        };
        let Some(worst) = node.pods.iter().filter_map(rank).max() else { return };
        let key = worst.3.0;
        let message = format!(
            "The node was low on resource: memory. Threshold quantity: {}, at {}.",
            node.class.eviction_hard_bytes,
            rfc3339(now)
        );
        let mut actions = Vec::<Action>::new();
        if let Some(pod) = self.pods.get_mut(&key) {
            pod.machine.evict("Evicted", message, now, &mut actions);
        }
        self.note_loss(key, LossReason::Evicted);
        self.act(key, &actions, now);
    }
}
