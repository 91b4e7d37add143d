//! The brake against cascades: pods of a dead node are deleted only as fast as the rest of the cluster can take their
//! successors, highest priority first (profiles `fast` and `patient`; DESIGN.md 12). No upstream counterpart.
//!
//! Three nodes of 1 GiB that are two thirds full cannot take the pods of a fourth. Deleted all at once, as upstream does,
//! they push the next node into thrashing, its kubelet goes silent, and so on. Held back, most of them are simply there
//! again when their node is.
//!
//! - Held are pods whose owner makes another one as soon as they are deleted: of a ReplicaSet, a ReplicationController, a
//!   Job, or an owner that is not known here. A StatefulSet waits until the old pod is gone, a DaemonSet's pods go nowhere
//!   else, and nobody makes a bare pod anew: deleting those puts no load on anybody.
//! - Only for the two taints of silent nodes. Another `NoExecute` taint is somebody's will, and is followed at once.
//! - What counts is what the memory model lets go somewhere ([`Room`]), after those that were let go and whose successors
//!   are not there yet, and after pods that wait for a node and have a higher priority or came first.
//! - When no ready node has a usable sample, nothing is held. A pod waits at most ten minutes beyond its time. Pods that
//!   are not placed do not hold back others of lower priority that need less.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    Mono, Now, Str,
    memory::Params,
    object::{Node, ObjectKey, Pod},
    taint::Effect,
};

use super::{decide::LIFECYCLE, room::Room, tally::Tally};
use crate::{
    framework::{Outbox, World},
    node_headroom::rows,
};

/// The longest wait beyond the time at which a pod was to go.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(600);
/// All pods of a node come due within moments of one another: the first decision waits for the last of them, or the order
/// would be that of arrival.
const GATHER: Duration = Duration::from_secs(1);
/// How often it is looked again while pods are held. Samples come every 15 s; pods and nodes change at any time.
const PERIOD: Duration = Duration::from_secs(5);
/// The successor of a deleted pod is expected for so long.
const SUCCESSOR: Duration = Duration::from_secs(60);
/// A pod that has waited for a node this long waits for something else than memory.
const PENDING_COUNTS: Duration = Duration::from_secs(600);
/// Pods of each kind, held and pending, for which a place is looked for in one round: each costs a step per node. The
/// others wait, as ever at most ten minutes.
const MAX_TRIED: usize = 256;

/// A pod that is held.
#[derive(Debug)]
struct Held {
    uid: Str,
    node: Str,
    /// When it goes whatever the rest can take.
    until: Mono,
}

/// A pod that was let go and whose successor has not been seen.
#[derive(Debug)]
struct Expected {
    owner: Str,
    pod: Arc<Pod>,
    until: Mono,
}

/// The state of the brake.
#[derive(Debug)]
pub(super) struct Brake {
    params: Params,
    held: BTreeMap<ObjectKey, Held>,
    expected: Vec<Expected>,
    /// By node: what people are told.
    tallies: BTreeMap<Str, Tally>,
    next_round: Option<Mono>,
}

/// Whether the pod may be held: the node is only silent, and deleting the pod makes another one at once.
pub(super) fn concerns(pod: &Pod, node: &Node) -> bool {
    let mut evicting = node.taints.iter().filter(|t| t.effect == Effect::NoExecute).peekable();
    evicting.peek().is_some()
        && evicting.all(|t| LIFECYCLE.iter().any(|key| t.key == **key))
        && !pod.is_mirror()
        && pod.meta.controller().is_some_and(|o| !["DaemonSet", "StatefulSet", "Node"].contains(&&*o.kind))
}

/// Who gets a place before whom: by priority; those that are on their way to a node already come first among equals.
enum Claim<'a> {
    Pending(&'a Pod),
    Held(&'a ObjectKey, &'a Pod),
}

impl Claim<'_> {
    fn order(&self) -> (Reverse<i32>, bool, &ObjectKey) {
        match self {
            Self::Pending(pod) => (Reverse(pod.spec.priority), false, &pod.meta.key),
            Self::Held(key, pod) => (Reverse(pod.spec.priority), true, *key),
        }
    }
}

impl Brake {
    /// Judges by these parameters of the model.
    pub(super) const fn new(params: Params) -> Self {
        Self { params, held: BTreeMap::new(), expected: Vec::new(), tallies: BTreeMap::new(), next_round: None }
    }

    /// Pods that are held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Holds a pod that was to go at `due`.
    pub(super) fn hold(&mut self, pod: &Pod, node: &Node, due: Mono, now: Mono) {
        let name = node.name();
        self.held.entry(pod.meta.key.clone()).or_insert_with(|| Held {
            uid: pod.meta.uid.clone(),
            node: name.clone(),
            until: due + MAX_WAIT,
        });
        self.tallies.entry(name.clone()).or_insert_with(|| Tally::new(name, &node.meta.uid));
        self.next_round.get_or_insert(now + GATHER);
    }

    /// A pod is not held any more, for whatever reason.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.held.remove(key);
    }

    /// A pod that was not there before: perhaps the successor of one that was let go.
    pub(super) fn arrived(&mut self, pod: &Pod) {
        if self.expected.is_empty() {
            return;
        }
        let Some(owner) = pod.meta.controller() else { return };
        if let Some(at) = self.expected.iter().position(|e| e.owner == owner.uid) {
            self.expected.swap_remove(at);
        }
    }

    /// When the next round is.
    pub(super) const fn next_round(&self) -> Option<Mono> {
        self.next_round
    }

    /// Whether it is time.
    pub(super) fn due(&self, now: Mono) -> bool {
        self.next_round.is_some_and(|at| at <= now)
    }

    /// Decides who goes now.
    pub(super) fn round(&mut self, world: &World, now: Now) -> Vec<ObjectKey> {
        self.expected.retain(|e| e.until > now.mono);
        let same = |key: &ObjectKey, held: &Held| {
            world.pods.get(key).filter(|pod| pod.meta.uid == held.uid && pod.is_active())
        };
        self.held.retain(|key, held| same(key, held).is_some());
        let late = |held: &Held| held.until <= now.mono;
        let mut going: Vec<ObjectKey> =
            self.held.iter().filter(|(_, held)| late(held)).map(|(key, _)| key.clone()).collect();
        let mut placed: Vec<ObjectKey> = Vec::new();
        let mut needs: BTreeMap<Str, (i64, Vec<ObjectKey>)> = BTreeMap::new();

        let mut room = Room::new(world, now.wall, &self.params);
        if room.measured() {
            let candidate = |pod: &Pod| rows::candidate(pod, world, now.wall, &self.params);
            for expected in &self.expected {
                room.place(&expected.pod, &candidate(&expected.pod));
            }
            let (mut tried, mut counted) = (0, 0);
            for claim in claims(&self.held, world, now, late) {
                match claim {
                    Claim::Pending(pod) if counted < MAX_TRIED => {
                        counted += 1;
                        // What fits nowhere takes nothing.
                        room.place(pod, &candidate(pod));
                    }
                    Claim::Pending(_) => {}
                    Claim::Held(key, pod) => {
                        let candidate = candidate(pod);
                        tried += 1;
                        if tried <= MAX_TRIED && room.place(pod, &candidate) {
                            placed.push(key.clone());
                        } else if let Some(node) = &pod.node_name {
                            let (bytes, names) = needs.entry(node.clone()).or_default();
                            *bytes = bytes.saturating_add(candidate.demand.total);
                            names.push(key.clone());
                        }
                    }
                }
            }
        } else {
            going = self.held.keys().cloned().collect();
        }

        for (key, fitted) in placed.iter().map(|key| (key, true)).chain(going.iter().map(|key| (key, false))) {
            let Some(held) = self.held.remove(key) else { continue };
            if let Some(tally) = self.tallies.get_mut(&held.node) {
                tally.let_go(fitted);
            }
            if let Some(pod) = world.pods.get(key)
                && let Some(owner) = pod.meta.controller()
            {
                let (owner, until) = (owner.uid.clone(), now.mono + SUCCESSOR);
                self.expected.push(Expected { owner, pod: pod.clone(), until });
            }
        }
        for (name, tally) in &mut self.tallies {
            let (bytes, names) = needs.remove(name).unwrap_or_default();
            tally.wait_for(bytes, &names);
        }
        placed.extend(going);
        placed
    }

    /// Tells people of each node what waits, and sees to it that there is another round while anything does.
    pub(super) fn tell(&mut self, now: Now, out: &mut Outbox<'_>) {
        self.tallies.retain(|_, tally| {
            if let Some(event) = tally.tell(now) {
                out.event(event);
            }
            !tally.finished()
        });
        let more = !self.held.is_empty() || !self.tallies.is_empty();
        self.next_round = more.then_some(now.mono + PERIOD);
    }
}

/// All that ask for a place, in order. Pods of DaemonSets that wait for a node wait for a certain one.
fn claims<'a>(
    held: &'a BTreeMap<ObjectKey, Held>,
    world: &'a World,
    now: Now,
    late: impl Fn(&Held) -> bool,
) -> Vec<Claim<'a>> {
    let pending = world.pods.iter().filter(|pod| {
        pod.node_name.is_none()
            && pod.is_active()
            && pod.spec.scheduling_gates.is_empty()
            && now.wall.since(pod.meta.created) <= PENDING_COUNTS
            && pod.meta.controller().is_none_or(|o| o.kind != "DaemonSet")
    });
    let held = held.iter().filter(|(_, held)| !late(held));
    let mut all: Vec<Claim<'a>> = pending
        .map(|pod| Claim::Pending(pod))
        .chain(held.filter_map(|(key, _)| world.pods.get(key).map(|pod| Claim::Held(key, pod))))
        .collect();
    all.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    all
}
