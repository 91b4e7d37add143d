//! `node-lifecycle-controller`: notices that a kubelet has gone silent, says so in the Node's conditions and its pods'
//! readiness, and taints the node so that nothing is placed there and, after their tolerations, its pods are evicted.
//!
//! Follows `pkg/controller/nodelifecycle` of 1.36 (reference part 4): the health pass every monitor period, `NoSchedule`
//! taints at every change of a node, `NoExecute` taints at a limited rate per zone, none at all while every zone is
//! down, the labels that follow others, `MarkPodsNotReady`, and the events. Differences, all on purpose, in every profile
//! (why: `docs/decisions/0014-what-stays-different-under-stock.md`; users read of them in `docs/parity.md`):
//!
//! - Before a node is declared silent its Lease is read live, as upstream does from 1.37 on: a watch that lags is not a
//!   dead kubelet. Without the permission for that (`get` on `leases`) it works as 1.36 does, and says so once. A check
//!   without an answer declares nobody silent.
//! - Signs of life count from when they are seen, not from the pass after that: silence is noticed up to a period earlier.
//! - `NoExecute` taints of a node that is not ready are not removed when this process starts: upstream does that to every
//!   node that it sees for the first time, and so cancels evictions at every change of leader.
//! - A node's writes follow one another and each waits for its predecessor's row, so that none rests on a state that we
//!   have changed ourselves. Failed `NoSchedule` writes are retried at once instead of with the node's next event.
//! - The clock of a node that never reported a status starts when it is first seen, not at its creation time.
//! - When another manager changes the taints that are this loop's, it yields for good and says so once ([`Rival`]).
//!
//! Profiles other than `stock` ([`profile`]) change the numbers, dial the kubelet first (`fast`), and give nodes that
//! thrash and still answer up to five minutes more. After a pause of this process, or an outage of the API server, all
//! clocks start afresh with them: nobody could be heard. While no node at all is heard of, one live check is not enough
//! then to declare one silent: a second one must agree after the time that kubelets need to find the API server again.

mod clocks;
pub mod dial;
mod health;
pub mod kubelet;
pub(crate) mod measure;
pub mod options;
mod pods;
pub mod profile;
mod taints;
mod writes;
mod zones;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    intent::{EventRecord, EventType, IntentId, Op, Outcome, PatchKind},
    object::{Kind, Node, ObjectKey, ObjectReference, Status},
    queue::{QueueFigures, WorkQueue},
};

use self::{
    health::Health,
    taints::{NOT_READY, NoExecute, UNREACHABLE},
    writes::{NodeWrite, Write},
    zones::{Change, Zones, zone_key},
};
pub use self::{
    kubelet::{DialCommand, DialResult},
    options::NodeLifecycleOptions,
    profile::LifecycleProfile,
    zones::{ZoneFigures, ZoneState},
};
use crate::{
    framework::{Controller, Measurements, Outbox, World, WorldEvent},
    rival::Rival,
    selection,
};

/// Namespace of the kubelets' leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Component of the events, as upstream's.
const COMPONENT: &str = "node-controller";
/// What shows whose the taints are: the list is one value, and its owner is who changed it last.
const TAINTS: &str = "/f:spec/f:taints";
/// Kubelets that lost the API server try again at least this often (their lease controller's backoff ends at 7 s).
const KUBELET_RETRY: Duration = Duration::from_secs(10);
/// A node with this label, whatever its value, does not count in its zone.
const EXCLUDE_DISRUPTION: &str = "node.kubernetes.io/exclude-disruption";

/// The controller.
#[derive(Debug)]
pub struct NodeLifecycleController {
    options: NodeLifecycleOptions,
    health: BTreeMap<Str, Health>,
    zones: Zones,
    /// Nodes whose turn for a `NoExecute` taint has come.
    granted: HashMap<Str, String>,
    nodes: WorkQueue<Str>,
    pods: WorkQueue<ObjectKey>,
    writes: HashMap<Str, NodeWrite>,
    in_flight: HashMap<IntentId, Write>,
    /// Kubelets to be dialled, and the number of the last one.
    dials: Vec<DialCommand>,
    next_dial: u64,
    next_pass: Mono,
    last_pass: Option<Mono>,
    /// Conditions were written since the last pass that change what it has counted.
    count_again: bool,
    /// When any node at all was last heard of.
    last_life: Mono,
    /// A live check could not be answered, and none has been since. Never with upstream's clocks.
    outage: bool,
    /// The permission for live checks is missing: said once.
    no_live_check: bool,
    rival: Rival,
    leading: bool,
}

impl NodeLifecycleController {
    /// With these options.
    #[must_use]
    pub fn new(options: NodeLifecycleOptions) -> Self {
        Self {
            options,
            health: BTreeMap::new(),
            zones: Zones::default(),
            granted: HashMap::new(),
            nodes: WorkQueue::default(),
            pods: WorkQueue::default(),
            writes: HashMap::new(),
            in_flight: HashMap::new(),
            dials: Vec::new(),
            next_dial: 0,
            next_pass: Mono(0),
            last_pass: None,
            count_again: false,
            last_life: Mono(0),
            outage: false,
            no_live_check: false,
            rival: Rival::new(selection::NODE_LIFECYCLE, COMPONENT, Kind::NODE).by_field(TAINTS),
            leading: false,
        }
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.rival.yielded()
    }

    /// Figures of the zones, for metrics.
    #[must_use]
    pub fn zone_figures(&self) -> Vec<ZoneFigures> {
        self.zones.figures()
    }

    /// One health pass over all nodes (`monitorNodeHealth`).
    fn pass(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) {
        self.classify(world, now, out);
        self.notice_a_pause(now.mono);

        let names: Vec<Str> = self.health.keys().cloned().collect();
        for name in &names {
            self.look(name, world, now.mono);
        }

        for name in names {
            let Some(node) = world.nodes.get(&name) else { continue };
            self.expire_dial(&name, world, now);
            let grace = self.grace(node);
            let silent = self.health.get(&name).is_some_and(|health| {
                health.expired(grace, now.mono) && !health.dead && health.check.is_none() && health.dial.is_none()
            });
            if silent && taints::unknown_body(node, now.wall).is_some() && !self.spare(&name, world, now) {
                let check = self.live_check(&name, out);
                if let Some(health) = self.health.get_mut(&name) {
                    health.check = Some(check);
                }
            }
            if self.health.get(&name).is_some_and(|health| health.dead) {
                self.nodes.add(name);
            }
        }
        self.count(world, now.mono);
    }

    /// Counts the ready nodes of every zone, and queues those that are not ready for their taint: at the end of a pass, and
    /// once more when the conditions of all that it found silent are written, which upstream does in the middle of it.
    fn count(&mut self, world: &World, now: Mono) {
        self.count_again = false;
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let names: Vec<Str> = self.health.keys().cloned().collect();
        for name in names {
            let (Some(node), Some(health)) = (world.nodes.get(&name), self.health.get(&name)) else { continue };
            let ready = health.ready(node);
            let zone = zone_key(node);
            if !node.meta.labels.has(EXCLUDE_DISRUPTION) {
                let (up, down) = counts.entry(zone.clone()).or_default();
                if ready == Some(Status::True) { *up += 1 } else { *down += 1 }
            }
            self.consider_taint(&name, node, ready, &zone);
        }
        match self.zones.pass(&counts, &self.options, now) {
            Change::None => {}
            Change::AllDisrupted => {
                tracing::warn!("no node is ready in any zone: evictions stop");
                self.granted.clear();
                for name in self.health.keys() {
                    self.nodes.add(name.clone());
                }
            }
            Change::Recovered => self.restart_clocks(now, "some nodes are ready again"),
        }
    }

    /// New and vanished nodes (`classifyNodes`).
    fn classify(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) {
        for (name, node) in &world.nodes {
            self.zones.ensure(&zone_key(node), &self.options, now.mono);
            match self.health.get_mut(name) {
                // Made anew under the same name: nothing that is known holds for it.
                Some(health) if health.uid != node.meta.uid => *health = Health::new(node, now.mono),
                Some(_) => {}
                None => {
                    self.health.insert(name.clone(), Health::new(node, now.mono));
                    let note = format!("Node {name} event: Registered Node {name} in Controller");
                    out.event(node_event(name, &node.meta.uid, "RegisteredNode", note, now));
                    self.nodes.add(name.clone());
                }
            }
        }
        let gone: Vec<Str> = self.health.keys().filter(|name| !world.nodes.contains_key(*name)).cloned().collect();
        for name in gone {
            let Some(health) = self.health.remove(&name) else { continue };
            let note = format!("Node {name} event: Removing Node {name} from Controller");
            out.event(node_event(&name, &health.uid, "RemovingNode", note, now));
            self.zones.dequeue(&name);
            self.granted.remove(&name);
            self.writes.remove(&name);
        }
    }

    /// Whether the node is to be tainted `NoExecute`, at once or in its turn (`processTaintBaseEviction`).
    fn consider_taint(&mut self, name: &Str, node: &Node, ready: Option<Status>, zone: &str) {
        let wanted = match ready {
            Some(Status::False) => NOT_READY,
            Some(Status::Unknown) => UNREACHABLE,
            Some(Status::True) => {
                self.zones.dequeue(name);
                self.granted.remove(name);
                if taints::has_no_execute(node, NOT_READY) || taints::has_no_execute(node, UNREACHABLE) {
                    self.nodes.add(name.clone());
                }
                return;
            }
            None => return,
        };
        if taints::has_no_execute(node, wanted) || self.granted.contains_key(name) {
            return;
        }
        let opposite = if wanted == NOT_READY { UNREACHABLE } else { NOT_READY };
        if taints::has_no_execute(node, opposite) {
            // It is tainted already: the other key is no new eviction.
            self.nodes.add(name.clone());
        } else {
            self.zones.enqueue(zone, name);
        }
    }

    fn live_check(&mut self, name: &Str, out: &mut Outbox<'_>) -> IntentId {
        let id = out.push(Op::Get { kind: Kind::LEASE, key: lease_key(name) });
        self.in_flight.insert(id, Write::Check(name.clone()));
        id
    }

    /// What the node's two `NoExecute` taints should be.
    fn no_execute(&self, name: &Str, node: &Node) -> NoExecute {
        if self.zones.all_disrupted() {
            return NoExecute::Neither;
        }
        let Some(health) = self.health.get(name) else { return NoExecute::Keep };
        let (wanted, opposite) = match health.ready(node) {
            Some(Status::True) => return NoExecute::Neither,
            Some(Status::False) => (NOT_READY, UNREACHABLE),
            Some(Status::Unknown) => (UNREACHABLE, NOT_READY),
            None => return NoExecute::Keep,
        };
        let present = taints::has_no_execute(node, wanted) || taints::has_no_execute(node, opposite);
        if present || self.granted.contains_key(name) { NoExecute::Only(wanted) } else { NoExecute::Keep }
    }

    /// Writes what is due for a node, one thing at a time.
    fn sync_node(&mut self, name: &Str, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(node) = world.nodes.get(name) else {
            self.nodes.forget(name);
            self.writes.remove(name);
            return;
        };
        if let Some(write) = self.writes.get(name)
            && let Some(again) = write.wait(node, now.mono)
        {
            if let Some(at) = again {
                self.nodes.add_at(name.clone(), at);
            }
            return;
        }
        let dead = self.health.get(name).is_some_and(|h| h.dead && h.uid == node.meta.uid);
        if dead {
            if let Some(body) = taints::unknown_body(node, now.wall) {
                let was_ready = health::ready(node) == Some(Status::True);
                let write = Write::Conditions { node: name.clone(), was_ready };
                return self.patch(name, node, "status", PatchKind::Strategic, body, write, now, out);
            }
            if let Some(health) = self.health.get_mut(name) {
                health.dead = false;
            }
        }
        let no_execute = self.no_execute(name, node);
        if let Some(list) = taints::desired(node, no_execute, now.wall) {
            let evicts = match no_execute {
                NoExecute::Only(key) => !taints::has_no_execute(node, key),
                _ => false,
            };
            let write =
                Write::Taints { node: name.clone(), zone: evicts.then(|| self.granted.get(name).cloned()).flatten() };
            let body = taints::taints_body(node, &list);
            return self.patch(name, node, "", PatchKind::Merge, body, write, now, out);
        }
        // What was granted stands there.
        self.granted.remove(name);
        if let Some(body) = taints::labels_body(node) {
            let write = Write::Labels { node: name.clone() };
            self.patch(name, node, "", PatchKind::Merge, body, write, now, out);
        }
    }
}

/// The key of a node's lease.
fn lease_key(name: &Str) -> ObjectKey {
    ObjectKey { namespace: LEASE_NAMESPACE.into(), name: name.clone() }
}

/// An event on a node.
fn node_event(name: &Str, uid: &Str, reason: &'static str, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Node".into(),
            namespace: Str::default(),
            name: name.clone(),
            uid: uid.clone(),
        },
        related: None,
        kind: EventType::Normal,
        reason,
        action: "",
        note,
        reporter: Some(COMPONENT.into()),
        at: now.wall,
    }
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now) {
        if self.yielded().is_some() {
            return;
        }
        match event {
            WorldEvent::Node(change) => {
                if let Some(node) = change.latest() {
                    self.nodes.add(node.name().clone());
                    self.look(node.name(), world, now.mono);
                }
                self.note_taints(change, now);
            }
            WorldEvent::Lease(change) => {
                if let Some(lease) = change.new.filter(|l| l.meta.key.namespace == LEASE_NAMESPACE) {
                    self.look(&lease.meta.key.name, world, now.mono);
                }
            }
            WorldEvent::Pod(change) => self.note_pod(change, world),
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started(now);
        self.next_pass = now.mono;
        self.last_life = now.mono;
        for name in world.nodes.keys() {
            self.nodes.add(name.clone());
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        let synced = [Kind::NODE, Kind::POD, Kind::LEASE].into_iter().all(|kind| world.is_synced(kind));
        if !self.leading || !synced || self.yielded().is_some() {
            return false;
        }
        self.rival.ask(out);
        if now.mono >= self.next_pass {
            self.pass(world, now, out);
            // From now, not from when it was due: passes that were missed are not made up for.
            self.next_pass = now.mono + self.options.period();
            return true;
        }
        if self.count_again {
            self.count(world, now.mono);
            return true;
        }
        if let Some((zone, node)) = self.zones.grant(now.mono) {
            self.granted.insert(node.clone(), zone);
            self.nodes.add(node);
        }
        if let Some(name) = self.nodes.pop(now.mono) {
            self.sync_node(&name, world, now, out);
            self.nodes.done(&name);
        } else if let Some(key) = self.pods.pop(now.mono) {
            self.sync_pod(&key, world, now, out);
            self.pods.done(&key);
        } else {
            return false;
        }
        !self.nodes.is_empty() || !self.pods.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        if !self.rival.outcome(outcome, now, out) && self.yielded().is_none() {
            self.written(outcome, world, now, out);
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        if !self.leading || self.yielded().is_some() {
            return None;
        }
        let deadlines = [self.nodes.next_deadline(), self.pods.next_deadline(), self.zones.next_grant()];
        let next = if self.count_again { Mono::default() } else { self.next_pass };
        deadlines.into_iter().flatten().chain([next]).min()
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("node_lifecycle_controller", &mut self.nodes);
        each("node_lifecycle_controller_pods", &mut self.pods);
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.measure_zones(into);
    }
}
