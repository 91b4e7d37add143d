//! The whole simulation as one pure state: nodes, pods, timers, and what is to be written to the API server.
//!
//! Inputs are calls with the time as a parameter (a pod seen, a write answered, a chaos verb); outputs are queues of
//! writes that the engine takes when it has a slot, rendered at that moment, so that several changes of one pod
//! become one patch.

mod chaos;
mod extended;
mod node;
mod nodes;
mod pods;
mod summary;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::Ipv4Addr;

use hashbrown::HashMap;
use serde_json::Value;

pub use chaos::{Loss, LossReason, NodeView, Received};
pub(crate) use node::Node;
pub(crate) use summary::Summary;

use crate::config::HollowConfig;
use crate::memory_model::{Curve, STEP};
use crate::pod::{Digest, Machine, Timing};
use crate::time::{Millis, millis};

/// First and longest wait before a failed write is tried again.
const RETRY_FIRST: Millis = 500;
const RETRY_MAX: Millis = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The pod's machine has something due.
    Pod(u64),
    /// The pod's write may be tried (again).
    PodWrite(u64),
    Lease(usize),
    Status(usize),
    Memory,
}

#[derive(Debug)]
struct Pod {
    digest: Digest,
    machine: Machine,
    node: usize,
    /// Index of the address in the node's range.
    address: Option<u16>,
    /// Whether admission's reservation is held.
    admitted: bool,
    /// The pod's curve, from its annotation or set through the chaos API, and its hot share.
    curve: Option<Curve>,
    hot: f64,
    /// Grace period of the deletion that the machine has been told of.
    deletion: Option<i64>,
    status_dirty: bool,
    delete_wanted: bool,
    queued: bool,
    writing: bool,
    retry: Millis,
    timer: Option<Millis>,
    /// Mark of the last full list that had it.
    seen: u64,
}

/// A request to the API server.
#[derive(Debug)]
pub(crate) enum Write {
    PodStatus { key: u64, namespace: String, name: String, body: Value },
    PodDelete { key: u64, namespace: String, name: String, uid: String },
    Lease { node: usize, name: String, body: Value, method: LeaseMethod },
    NodeStatus { node: usize, name: String, body: Value },
}

/// How a lease is renewed: as the kubelet does, with the last known resourceVersion, after reading it if unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseMethod {
    Get,
    Create,
    Update,
}

/// What became of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done; the object's new resourceVersion where there is one.
    Done(Option<String>),
    NotFound,
    Conflict,
    /// Anything else: it is tried again.
    Failed,
}

/// The simulation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    names: HashMap<String, usize>,
    pods: HashMap<u64, Pod>,
    uids: HashMap<String, u64>,
    next_key: u64,
    timers: BinaryHeap<Reverse<(Millis, u64, Timer)>>,
    sequence: u64,
    pod_queue: VecDeque<u64>,
    node_queue: VecDeque<Timer>,
    paused: bool,
    relist: bool,
    list_mark: u64,
    timing: Timing,
    lease_interval: Millis,
    lease_duration_seconds: i32,
    status_interval: Millis,
    sample_interval: Millis,
    losses: Vec<Loss>,
}

impl World {
    pub(crate) fn new(config: &HollowConfig, now: Millis) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            names: HashMap::new(),
            pods: HashMap::new(),
            uids: HashMap::new(),
            next_key: 1,
            timers: BinaryHeap::new(),
            sequence: 0,
            pod_queue: VecDeque::new(),
            node_queue: VecDeque::new(),
            paused: false,
            relist: false,
            list_mark: 0,
            timing: Timing {
                start: millis(config.start_delay),
                init: millis(config.init_duration),
                ready: 0,
                stop: millis(config.stop_duration),
                run: None,
                exit_code: 0,
            },
            lease_interval: millis(config.lease_interval).max(1),
            lease_duration_seconds: config.lease_duration_seconds,
            status_interval: millis(config.status_interval).max(1),
            sample_interval: millis(config.sample_interval),
            losses: Vec::new(),
        };
        let base = u32::from(config.address_base);
        for class in &config.nodes {
            let class = std::sync::Arc::new(class.clone());
            for number in 1..=class.count {
                let index = world.nodes.len();
                let offset = u32::try_from(index).unwrap_or(u32::MAX);
                let address = Ipv4Addr::from(base.wrapping_add(offset).wrapping_add(1));
                let name = format!("{}-{number}", class.name);
                world.names.insert(name.clone(), index);
                world.nodes.push(Node::new(name, class.clone(), address, config.first_pod_range + index, now));
            }
        }
        world
    }

    /// Starts leases, status reports and the memory model; to be called once all nodes are registered.
    ///
    /// Leases are written at once, as a starting kubelet does; later rounds are spread over the interval.
    pub(crate) fn start(&mut self, now: Millis) {
        let count = self.nodes.len().max(1) as u64;
        for index in 0..self.nodes.len() {
            let share = |interval: Millis| interval.saturating_mul(index as u64) / count;
            self.arm_lease(index, now);
            let first = now.saturating_add(share(self.status_interval)).saturating_add(self.status_interval / 2);
            self.nodes[index].status_at = first;
            self.arm(first, Timer::Status(index));
        }
        self.arm(now.saturating_add(STEP), Timer::Memory);
    }

    /// When [`World::step`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        if self.paused {
            return None;
        }
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Fires every timer that is due.
    pub(crate) fn step(&mut self, now: Millis) {
        if self.paused {
            return;
        }
        while let Some(&Reverse((at, _, timer))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Pod(key) => self.pod_due(key, now),
                Timer::PodWrite(key) => self.enqueue_now(key),
                Timer::Lease(index) => self.lease_due(index, at, now),
                Timer::Status(index) => self.status_due(index, at),
                Timer::Memory => {
                    self.memory_due(now);
                    self.arm(now.saturating_add(STEP), Timer::Memory);
                }
            }
        }
    }

    /// The next write on a pod, if any: the caller reports its outcome with [`World::written`].
    pub(crate) fn take_pod_write(&mut self) -> Option<Write> {
        if self.paused {
            return None;
        }
        while let Some(key) = self.pod_queue.pop_front() {
            if let Some(write) = self.render_pod(key) {
                return Some(write);
            }
        }
        None
    }

    /// The next write on a node or lease, if any; its outcome goes to [`World::written`].
    pub(crate) fn take_node_write(&mut self, now: Millis) -> Option<Write> {
        if self.paused {
            return None;
        }
        while let Some(timer) = self.node_queue.pop_front() {
            let write = match timer {
                Timer::Lease(index) => self.render_lease(index, now),
                Timer::Status(index) => self.render_status(index, now),
                _ => None,
            };
            if write.is_some() {
                return write;
            }
        }
        None
    }

    /// Whether all pods should be listed again (a node came back and may have missed some); resets the wish.
    pub(crate) fn take_relist(&mut self) -> bool {
        std::mem::take(&mut self.relist)
    }

    fn arm(&mut self, at: Millis, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((at, self.sequence, timer)));
    }
}
