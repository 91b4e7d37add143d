//! What can be done to the nodes from outside, and what can be seen of them.

use serde::Serialize;

#[cfg(test)]
use super::Timer;
use super::{Outcome, World};
use crate::error::HollowError;
use crate::memory_model::Curve;
use crate::time::Millis;

/// What a kubelet received from its clients. Never the token itself.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Requests so far.
    pub requests: u64,
    /// Hash of the last bearer token (see [`crate::token_hash`]); absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// User that the API server named for it; absent when it refused the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Path of the last request.
    pub path: String,
    /// Status of the last answer.
    pub status: u16,
}

/// Why a pod lost what it was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LossReason {
    /// The kernel killed a container for memory.
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// The kubelet evicted the pod for the node's memory.
    Evicted,
}

/// An OOM kill or an eviction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// What happened.
    pub reason: LossReason,
    /// Where.
    pub node: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's memory request in bytes; 0 when it declared none.
    pub request_bytes: u64,
}

/// So many losses are remembered.
const MAX_LOSSES: usize = 10_000;

/// A node as the chaos API shows it. Sizes are bytes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Node name.
    pub name: String,
    /// Class name.
    pub class: String,
    /// Address and port of the kubelet; port 0 when it does not serve.
    pub kubelet: std::net::SocketAddr,
    /// Killed.
    pub dead: bool,
    /// Extra latency in milliseconds.
    pub slow_ms: u64,
    /// MemoryPressure.
    pub memory_pressure: bool,
    /// Pods that hold resources.
    pub pods: usize,
    /// RAM, resident memory, swap and used swap.
    pub memory_bytes: u64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Swap size.
    pub swap_bytes: u64,
    /// Used swap.
    pub swapped_bytes: u64,
    /// PSI some avg10 in percent.
    pub some_avg10: f64,
    /// PSI full avg10 in percent.
    pub full_avg10: f64,
    /// PSI full avg60 in percent.
    pub full_avg60: f64,
    /// Major faults since the start.
    pub major_faults: u64,
    /// Work of the containers so far, in seconds of one that never waits for memory.
    pub work_seconds: f64,
    /// Seconds, summed up over containers, in which they ran without stall, as PSI has it.
    pub unstalled_seconds: f64,
    /// Seconds in which everything outside pods waited for memory.
    pub system_stalled_seconds: f64,
}

impl World {
    pub(crate) fn index(&self, node: &str) -> Result<usize, HollowError> {
        self.names.get(node).copied().ok_or_else(|| HollowError::NoSuchNode(node.to_owned()))
    }

    /// The kubelet dies: no lease, no status, nothing happens to its pods any more.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.dead = true;
        }
    }

    /// The kubelet is back: it reports at once and takes up what happened meanwhile.
    pub(crate) fn revive(&mut self, index: usize, now: Millis) {
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.dead) else { return };
        node.dead = false;
        node.ready_since = now;
        node.lease_deferred = false;
        node.lease_ok = now;
        self.arm_lease(index, now);
        self.report_status(index, now);
        let keys: Vec<u64> = self.pods.iter().filter(|(_, pod)| pod.node == index).map(|(&key, _)| key).collect();
        for key in keys {
            // It may have been marked not ready meanwhile; a kubelet sees that and reports what is true.
            if let Some(pod) = self.pods.get_mut(&key) {
                pod.status_dirty |= !pod.machine.over();
            }
            self.pod_due(key, now);
            self.enqueue_now(key);
        }
        self.relist = true;
    }

    /// The node's own lease and status get to the API server no more, or get there again: then it reports at once. Its kubelet
    /// answers as before.
    pub(crate) fn mute(&mut self, index: usize, mute: bool, now: Millis) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        if std::mem::replace(&mut node.mute, mute) && !mute && !node.dead {
            node.lease_deferred = false;
            self.arm_lease(index, now);
            self.report_status(index, now);
        }
    }

    pub(crate) fn slow(&mut self, index: usize, latency: Millis) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.slow = latency;
        }
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Everything goes on; every node reports, since it may have been marked Unknown.
    pub(crate) fn resume(&mut self, now: Millis) {
        if std::mem::take(&mut self.paused) {
            for index in 0..self.nodes.len() {
                self.arm_lease(index, now);
                self.report_status(index, now);
            }
        }
    }

    /// Replaces the memory curve of a pod (`NAMESPACE/NAME`); time zero is now.
    pub(crate) fn set_pod_curve(
        &mut self,
        pod: &str,
        curve: &Curve,
        hot: Option<f64>,
        now: Millis,
    ) -> Result<(), HollowError> {
        let missing = || HollowError::NoSuchPod(pod.to_owned());
        let (namespace, name) = pod.split_once('/').ok_or_else(missing)?;
        let named = |p: &super::Pod| p.digest.namespace == namespace && p.digest.name == name && p.admitted;
        let key = self.pods.iter().find(|(_, p)| named(p)).map(|(&key, _)| key).ok_or_else(missing)?;
        if let Some(pod) = self.pods.get_mut(&key) {
            pod.curve = Some(curve.clone());
            pod.hot = hot.unwrap_or(pod.hot);
            pod.digest.knobs.container_memory.clear();
        }
        self.refresh_curves(key, now);
        Ok(())
    }

    /// Replaces the memory curve of everything outside pods.
    pub(crate) fn set_system_curve(&mut self, index: usize, curve: Curve, now: Millis) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.memory.set_system(curve, now);
        }
    }

    /// Pins the node's PSI (`some`, `full` in percent) or lets it run again.
    pub(crate) fn force_pressure(&mut self, index: usize, pressure: Option<(f64, f64)>) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.memory.force_pressure(pressure);
            node.sample = None;
        }
    }

    pub(crate) fn views(&self) -> Vec<NodeView> {
        let view = |node: &super::Node| {
            let (usage, progress) = (node.memory.node(), node.memory.progress());
            NodeView {
                name: node.name.clone(),
                class: node.class.name.clone(),
                kubelet: (node.address, node.port).into(),
                dead: node.dead,
                slow_ms: node.slow,
                memory_pressure: node.pressure,
                pods: node.pods.len(),
                memory_bytes: node.class.memory_bytes,
                resident_bytes: usage.resident,
                swap_bytes: node.class.swap_bytes,
                swapped_bytes: usage.swapped,
                some_avg10: usage.psi.some.avg[0],
                full_avg10: usage.psi.full.avg[0],
                full_avg60: usage.psi.full.avg[1],
                major_faults: usage.major_faults,
                work_seconds: progress.worked,
                unstalled_seconds: progress.unstalled,
                system_stalled_seconds: progress.system_stalled,
            }
        };
        self.nodes.iter().map(view).collect()
    }

    /// Remembers that a pod lost what it was doing.
    pub(super) fn note_loss(&mut self, key: u64, reason: LossReason) {
        let Some(pod) = self.pods.get(&key) else { return };
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(Loss {
                reason,
                node: self.nodes.get(pod.node).map(|node| node.name.clone()).unwrap_or_default(),
                namespace: pod.digest.namespace.clone(),
                pod: pod.digest.name.clone(),
                request_bytes: pod.digest.memory_request(),
            });
        }
    }

    /// OOM kills and evictions so far, in order.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        self.losses.clone()
    }

    pub(crate) fn received(&self) -> Vec<(String, Received)> {
        self.nodes.iter().map(|node| (node.name.clone(), node.received.clone())).collect()
    }

    /// Notes a request that a kubelet answered.
    pub(crate) fn note_request(&mut self, index: usize, mut request: Received) {
        if let Some(node) = self.nodes.get_mut(index) {
            request.requests = node.received.requests.saturating_add(1);
            node.received = request;
        }
    }

    /// Extra latency of a node.
    pub(crate) fn latency(&self, index: usize) -> Millis {
        self.nodes.get(index).map_or(0, |node| node.slow)
    }

    /// The outcome of a write.
    pub(crate) fn written(&mut self, write: &super::Write, outcome: Outcome, now: Millis) {
        match write {
            super::Write::Lease { node, method, .. } => self.lease_written(*node, *method, outcome, now),
            super::Write::NodeStatus { node, .. } => self.status_written(*node, &outcome, now),
            super::Write::PodStatus { key, .. } => self.pod_written(*key, false, &outcome, now),
            super::Write::PodDelete { key, .. } => self.pod_written(*key, true, &outcome, now),
        }
    }

    /// Number of timers that are armed (for tests).
    #[cfg(test)]
    pub(super) fn armed(&self, timer: fn(&Timer) -> bool) -> usize {
        self.timers.iter().filter(|entry| timer(&entry.0.2)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HollowConfig;

    const T0: Millis = 1_795_383_000_000;

    /// How many leases and statuses were written in this time.
    fn reports(world: &mut World, from: Millis, to: Millis) -> usize {
        let mut count = 0;
        for now in (from..to).step_by(500) {
            world.step(now);
            while let Some(write) = world.take_node_write(now) {
                world.written(&write, Outcome::Done(Some("7".to_owned())), now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_mute_node_reports_nothing_until_it_is_heard_again() {
        let mut world = World::new(&HollowConfig::from_spec("w=1:1Gi").unwrap(), T0);
        world.start(T0);
        assert!(reports(&mut world, T0, T0 + 60_000) > 3);
        world.mute(0, true, T0 + 60_000);
        assert_eq!(reports(&mut world, T0 + 60_000, T0 + 600_000), 0);
        world.mute(0, false, T0 + 600_000);
        assert!(reports(&mut world, T0 + 600_000, T0 + 601_000) >= 2, "a lease and a status");
        assert!(reports(&mut world, T0 + 601_000, T0 + 661_000) > 3);
    }
}
