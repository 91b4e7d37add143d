//! Pods on their nodes: seen, admitted, run, written, gone.

use super::extended::is_extended;
use super::{Outcome, Pod, RETRY_FIRST, RETRY_MAX, Timer, World, Write};
use crate::memory_model::{ContainerParams, Owner, swap_allowance};
use crate::pod::{Action, Digest, Kind, Knobs, Machine, Phase, Timing, patch};
use crate::time::{Millis, parse_rfc3339};
use crate::wire::PodWire;

impl World {
    /// A full list of pods begins; every pod of it comes through [`World::apply`].
    pub(crate) fn list_begins(&mut self) {
        self.list_mark += 1;
    }

    /// The list is complete: what was not in it is gone.
    pub(crate) fn list_ends(&mut self) {
        let mark = self.list_mark;
        let gone: Vec<u64> = self.pods.iter().filter(|(_, pod)| pod.seen != mark).map(|(&key, _)| key).collect();
        for key in gone {
            self.remove(key);
        }
    }

    /// A pod object was seen.
    pub(crate) fn apply(&mut self, wire: &PodWire, now: Millis) {
        let Some(uid) = wire.metadata.uid.as_deref() else { return };
        let known = self.uids.get(uid).copied();
        let key = match known {
            Some(key) => key,
            None => match self.admit(wire, now) {
                Some(key) => key,
                None => return,
            },
        };
        let mark = self.list_mark;
        let Some(pod) = self.pods.get_mut(&key) else { return };
        pod.seen = mark;
        if known.is_some() {
            let knobs = Knobs::read(wire.metadata.annotations.as_ref());
            if (&knobs.memory, &knobs.hot, &knobs.container_memory)
                != (&pod.digest.knobs.memory, &pod.digest.knobs.hot, &pod.digest.knobs.container_memory)
            {
                pod.curve.clone_from(&knobs.memory);
                pod.digest.knobs = knobs;
                pod.hot = pod.digest.hot();
                self.refresh_curves(key, now);
            }
        }
        if wire.metadata.deletion_timestamp.is_some() {
            self.deleting(key, wire.metadata.deletion_grace_period_seconds.unwrap_or(0), now);
        }
    }

    /// A pod object was deleted.
    pub(crate) fn deleted(&mut self, wire: &PodWire) {
        if let Some(key) = wire.metadata.uid.as_deref().and_then(|uid| self.uids.get(uid).copied()) {
            self.remove(key);
        }
    }

    fn deleting(&mut self, key: u64, grace: i64, now: Millis) {
        let Some(pod) = self.pods.get_mut(&key) else { return };
        let dead = self.nodes.get(pod.node).is_none_or(|node| node.dead);
        if dead || pod.deletion.is_some_and(|known| known <= grace) {
            return;
        }
        pod.deletion = Some(grace);
        let mut actions = Vec::new();
        pod.machine.delete(grace, now, &mut actions);
        self.act(key, &actions, now);
        self.arm_pod(key);
    }

    /// Takes a pod on: runs it, rejects it, or goes on with what it was doing. `None` when it is not ours.
    fn admit(&mut self, wire: &PodWire, now: Millis) -> Option<u64> {
        let index = *self.names.get(wire.spec.node_name.as_deref()?)?;
        let node = self.nodes.get_mut(index).filter(|node| !node.dead)?;
        let digest = Digest::new(wire);
        if !digest.knobs.bad.is_empty() {
            tracing::warn!(pod = %digest.name, namespace = %digest.namespace, ignored = ?digest.knobs.bad, "annotations that cannot be read");
        }
        let knobs = &digest.knobs;
        let timing = Timing {
            start: knobs.start.unwrap_or(self.timing.start),
            init: knobs.init.unwrap_or(self.timing.init),
            ready: knobs.ready.unwrap_or(self.timing.ready),
            stop: knobs.stop.unwrap_or(self.timing.stop).saturating_add(digest.pre_stop),
            run: knobs.run,
            exit_code: knobs.exit_code,
        };
        let mut address = None;
        let (machine, admitted) = match wire.status.phase.as_deref() {
            Some("Succeeded") => (Machine::adopt_ended(&digest, timing, Phase::Succeeded, now), false),
            Some("Failed") => (Machine::adopt_ended(&digest, timing, Phase::Failed, now), false),
            Some("Running") => {
                address = wire.status.pod_ip.as_deref().and_then(|ip| node.claim_address(ip));
                let started = wire.status.start_time.as_deref().and_then(parse_rfc3339).unwrap_or(now);
                let statuses = wire.status.container_statuses.as_deref().unwrap_or_default();
                let restarts = |name: &str| statuses.iter().find(|s| s.name == name).map_or(0, |s| s.restart_count);
                (Machine::adopt_running(&digest, timing, started.min(now), &restarts), true)
            }
            _ => match misfit(&node.admissible(), &node.used, &digest, node.pods.len()) {
                Some((reason, message)) => (Machine::rejected(&digest, timing, reason, message, now), false),
                None => (Machine::new(&digest, timing, now), true),
            },
        };
        if admitted && address.is_none() && !digest.host_network {
            address = node.take_address();
        }
        let key = self.next_key;
        self.next_key += 1;
        if admitted {
            node.used.add(&digest.requests);
            node.pods.insert(key);
        }
        self.uids.insert(digest.uid.clone(), key);
        let pod = Pod {
            machine,
            node: index,
            address,
            admitted,
            curve: digest.knobs.memory.clone(),
            hot: digest.hot(),
            deletion: None,
            status_dirty: false,
            delete_wanted: false,
            queued: false,
            writing: false,
            retry: 0,
            timer: None,
            seen: self.list_mark,
            digest,
        };
        let rejected = pod.machine.failure.is_some();
        let running: Vec<Action> = (0..pod.machine.containers.len())
            .filter_map(|c| u16::try_from(c).ok())
            .filter(|&c| pod.machine.is_running(c))
            .map(Action::Start)
            .collect();
        self.pods.insert(key, pod);
        self.act(key, if rejected { &[Action::Status] } else { &running }, now);
        self.arm_pod(key);
        Some(key)
    }

    pub(super) fn pod_due(&mut self, key: u64, now: Millis) {
        let Some(pod) = self.pods.get_mut(&key) else { return };
        pod.timer = None;
        if self.nodes.get(pod.node).is_none_or(|node| node.dead) {
            return;
        }
        let mut actions = Vec::new();
        pod.machine.step(now, &mut actions);
        self.act(key, &actions, now);
        self.arm_pod(key);
    }

    fn arm_pod(&mut self, key: u64) {
        let Some(pod) = self.pods.get_mut(&key) else { return };
        if let Some(due) = pod.machine.next_due()
            && pod.timer.is_none_or(|timer| due < timer)
        {
            pod.timer = Some(due);
            self.arm(due, Timer::Pod(key));
        }
    }

    /// Carries out what a pod's machine decided.
    pub(super) fn act(&mut self, key: u64, actions: &[Action], now: Millis) {
        for action in actions {
            match *action {
                Action::Status => {
                    if let Some(pod) = self.pods.get_mut(&key) {
                        pod.status_dirty = true;
                    }
                    self.enqueue(key, now);
                }
                Action::Delete => {
                    if let Some(pod) = self.pods.get_mut(&key) {
                        pod.delete_wanted = true;
                    }
                    self.enqueue(key, now);
                }
                Action::Start(container) => self.start_container(key, container, now),
                Action::Stop(container) => {
                    if let Some(pod) = self.pods.get(&key)
                        && let Some(node) = self.nodes.get_mut(pod.node)
                    {
                        node.memory.remove(Owner { pod: key, container });
                    }
                }
                Action::Release => self.release(key),
            }
        }
        if !actions.is_empty() {
            self.arm_pod(key);
        }
    }

    fn start_container(&mut self, key: u64, container: u16, now: Millis) {
        let Some(pod) = self.pods.get(&key) else { return };
        let (Some(node), Some(spec)) =
            (self.nodes.get_mut(pod.node), pod.digest.containers.get(usize::from(container)))
        else {
            return;
        };
        let class = &node.class;
        let params = ContainerParams {
            owner: Owner { pod: key, container },
            curve: pod.digest.curve(usize::from(container), pod.curve.as_ref()),
            hot: pod.hot,
            limit: spec.limit,
            swap: swap_allowance(class.behavior(), class.memory_bytes, class.swap_bytes, pod.digest.swap_subject(spec)),
            oom_score_adj: pod.digest.oom_score_adj(spec, class.memory_bytes),
            work: pod.digest.knobs.work.filter(|_| spec.kind == Kind::App),
        };
        node.memory.add(params, now);
    }

    /// Gives the running containers of a pod their curves anew; time zero is now.
    pub(super) fn refresh_curves(&mut self, key: u64, now: Millis) {
        let Some(pod) = self.pods.get(&key) else { return };
        let Some(node) = self.nodes.get_mut(pod.node) else { return };
        for index in 0..pod.digest.containers.len() {
            let Ok(container) = u16::try_from(index) else { break };
            let curve = pod.digest.curve(index, pod.curve.as_ref());
            node.memory.set_curve(Owner { pod: key, container }, curve, Some(pod.hot), now);
        }
    }

    fn release(&mut self, key: u64) {
        let Some(pod) = self.pods.get_mut(&key) else { return };
        let Some(node) = self.nodes.get_mut(pod.node) else { return };
        if std::mem::take(&mut pod.admitted) {
            node.used.subtract(&pod.digest.requests);
            node.pods.remove(&key);
        }
    }

    fn remove(&mut self, key: u64) {
        self.release(key);
        let Some(pod) = self.pods.remove(&key) else { return };
        self.uids.remove(&pod.digest.uid);
        if let Some(node) = self.nodes.get_mut(pod.node) {
            for container in 0..pod.digest.containers.len() {
                if let Ok(container) = u16::try_from(container) {
                    node.memory.remove(Owner { pod: key, container });
                }
            }
            // Kept until the object is gone: its status still shows the address.
            if let Some(address) = pod.address {
                node.free_address(address);
            }
        }
    }

    fn enqueue(&mut self, key: u64, now: Millis) {
        let Some(pod) = self.pods.get(&key) else { return };
        match self.nodes.get(pod.node).map_or(0, |node| node.slow) {
            0 => self.enqueue_now(key),
            slow => self.arm(now.saturating_add(slow), Timer::PodWrite(key)),
        }
    }

    pub(super) fn enqueue_now(&mut self, key: u64) {
        if let Some(pod) = self.pods.get_mut(&key)
            && !pod.queued
            && !pod.writing
        {
            pod.queued = true;
            self.pod_queue.push_back(key);
        }
    }

    pub(super) fn render_pod(&mut self, key: u64) -> Option<Write> {
        let pod = self.pods.get_mut(&key)?;
        pod.queued = false;
        let node = self.nodes.get(pod.node).filter(|node| !node.dead)?;
        let (namespace, name) = (pod.digest.namespace.clone(), pod.digest.name.clone());
        if std::mem::take(&mut pod.status_dirty) {
            pod.writing = true;
            let host = node.address.to_string();
            let ip = match pod.address {
                _ if !pod.machine.has_sandbox() => None,
                Some(index) => Some(node.pod_address(index)),
                None => pod.digest.host_network.then(|| host.clone()),
            };
            let body = patch(&pod.digest, &pod.machine, ip.as_deref(), &host);
            return Some(Write::PodStatus { key, namespace, name, body });
        }
        if std::mem::take(&mut pod.delete_wanted) {
            pod.writing = true;
            return Some(Write::PodDelete { key, namespace, name, uid: pod.digest.uid.clone() });
        }
        None
    }

    /// The outcome of a write on a pod.
    pub(super) fn pod_written(&mut self, key: u64, delete: bool, outcome: &Outcome, now: Millis) {
        let Some(pod) = self.pods.get_mut(&key) else { return };
        pod.writing = false;
        match outcome {
            Outcome::Done(_) => {
                pod.retry = 0;
                if pod.status_dirty || pod.delete_wanted {
                    self.enqueue(key, now);
                }
            }
            Outcome::NotFound => self.remove(key),
            // A conflict: another pod has the name by now, and the watch will say so; or too much contention.
            Outcome::Conflict | Outcome::Failed => {
                pod.status_dirty |= !delete;
                pod.delete_wanted |= delete;
                pod.retry = pod.retry.saturating_mul(2).clamp(RETRY_FIRST, RETRY_MAX);
                let at = now.saturating_add(pod.retry);
                self.arm(at, Timer::PodWrite(key));
            }
        }
    }

    /// Resident memory of a pod in bytes.
    pub(super) fn working_set(&self, key: u64) -> u64 {
        let Some(pod) = self.pods.get(&key) else { return 0 };
        let Some(node) = self.nodes.get(pod.node) else { return 0 };
        (0..pod.digest.containers.len())
            .filter_map(|c| u16::try_from(c).ok())
            .filter_map(|container| node.memory.container(Owner { pod: key, container }))
            .map(|usage| usage.resident)
            .sum()
    }
}

/// Why a pod does not fit the node by its requests: reason and message as the kubelet reports them.
fn misfit(
    allocatable: &crate::pod::Amounts,
    used: &crate::pod::Amounts,
    digest: &Digest,
    pods: usize,
) -> Option<(String, String)> {
    let reject = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        Some((format!("OutOf{name}"), message))
    };
    let pods = i64::try_from(pods).unwrap_or(i64::MAX);
    if pods >= allocatable.get("pods") {
        return reject("pods", 1, pods, allocatable.get("pods"));
    }
    let usual = ["cpu", "memory", "ephemeral-storage"];
    // Extended resources that the node does not have may belong to the cluster: a kubelet does not ask for them.
    let known = |name: &&str| !usual.contains(name) && (allocatable.0.contains_key(*name) || !is_extended(name));
    let others = digest.requests.0.keys().map(String::as_str).filter(known);
    for name in usual.into_iter().chain(others) {
        let (wanted, used, capacity) = (digest.requests.get(name), used.get(name), allocatable.get(name));
        if wanted > 0 && wanted > capacity.saturating_sub(used) {
            return reject(name, wanted, used, capacity);
        }
    }
    None
}
