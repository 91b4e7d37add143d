//! What the kubelet itself says, when its Lease says nothing: the dial of profile `fast`, and nodes that are slow, not
//! dead (profiles `fast` and `patient`). No upstream counterpart; DESIGN.md 12.
//!
//! A dial that is answered postpones the end, but never beyond the silence that upstream would have allowed: a kubelet
//! that listens and cannot reach the API server is no use to anybody. Dialling is done by [`super::dial::Dialer`].

use std::time::Duration;

use headroom_core::{Mono, Now, Str, memory::PressureState, object::Node};

use super::{NodeLifecycleController, profile::LifecycleProfile};
use crate::framework::World;

/// A kubelet that answered this process so recently is alive, however slow its node is.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// A node that thrashes is not given more time than this beyond its grace.
const SPARED_FOR: Duration = Duration::from_secs(300);
/// A published state older than this says nothing about now (the model's own limit for samples).
const STATE_BELIEVED: Duration = Duration::from_secs(180);
/// A dial without a result after this time is taken for failed. The dialler gives up on each after 3 s and has 32 at a
/// time: a thousand silent nodes have had their turn by then.
const DIAL_LOST: Duration = Duration::from_secs(120);
/// The kubelet's usual port.
const KUBELET_PORT: u16 = 10250;

/// A kubelet to be dialled; exactly one [`DialResult`] comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialCommand {
    /// Comes back in the result.
    pub id: u64,
    /// Which node.
    pub node: Str,
    /// Its internal address.
    pub address: Str,
    /// The kubelet's port.
    pub port: u16,
}

/// The end of a [`DialCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialResult {
    /// The command's.
    pub id: u64,
    /// Which node.
    pub node: Str,
    /// Somebody took part in a TLS handshake there.
    pub answered: bool,
}

impl NodeLifecycleController {
    /// The kubelets to dial; to be asked after every other call.
    pub fn take_dials(&mut self) -> Vec<DialCommand> {
        std::mem::take(&mut self.dials)
    }

    /// The kubelet of this node has answered this process, whatever it said.
    pub fn kubelet_answered(&mut self, node: &str, at: Mono) {
        if let Some(health) = self.health.get_mut(node) {
            health.answered = Some(at);
        }
    }

    /// Whether a silent node is given more time: it thrashes, and its kubelet has answered just now.
    pub(super) fn spare(&mut self, name: &str, world: &World, now: Now) -> bool {
        if !self.options.profile.spares_thrashing() {
            return false;
        }
        let thrashes = world.headrooms.get(name).is_some_and(|row| {
            row.sample.state == PressureState::Thrash && now.wall.since(row.sample.at) <= STATE_BELIEVED
        });
        let Some(health) = self.health.get_mut(name) else { return false };
        let answered = health.answered.is_some_and(|at| now.mono.since(at) <= ANSWERED_WITHIN);
        if !thrashes || !answered {
            return false;
        }
        if health.spared.is_none() {
            tracing::info!(node = %name, "silent, but it thrashes and its kubelet answers: slow, not dead");
        }
        let since = *health.spared.get_or_insert(now.mono);
        now.mono.since(since) < SPARED_FOR
    }

    /// The Lease was read live, and the node is silent.
    pub(super) fn silent(&mut self, name: &Str, node: &Node, now: Mono) {
        let address = node.address("InternalIP").filter(|a| !a.is_empty());
        let Some(health) = self.health.get_mut(name) else { return };
        // Where there is nothing to dial nothing speaks for it.
        let Some(address) = address.filter(|_| self.options.profile.dials()) else {
            health.dead = true;
            return self.nodes.add(name.clone());
        };
        if health.dial.is_none() {
            self.next_dial += 1;
            health.dial = Some((self.next_dial, now));
            let port = if node.kubelet_port == 0 { KUBELET_PORT } else { node.kubelet_port };
            self.dials.push(DialCommand { id: self.next_dial, node: name.clone(), address: address.clone(), port });
        }
    }

    /// The end of a dial.
    pub fn dialled(&mut self, result: &DialResult, world: &World, now: Now) {
        let Some(node) = world.nodes.get(&result.node) else { return };
        let grace = self.grace(node);
        let Some(health) = self.health.get_mut(&result.node) else { return };
        if health.dial.is_none_or(|(id, _)| id != result.id) {
            return;
        }
        health.dial = None;
        // A sign of life may have come meanwhile.
        if !health.expired(grace, now.mono) {
            return;
        }
        if result.answered {
            health.answered = Some(now.mono);
            let longest = grace.max(LifecycleProfile::Stock.monitor_grace_period());
            if !health.expired(longest, now.mono) || self.spare(&result.node, world, now) {
                return;
            }
        }
        if let Some(health) = self.health.get_mut(&result.node) {
            health.dead = true;
            self.nodes.add(result.node.clone());
        }
    }

    /// Gives up on a dial that never ended.
    pub(super) fn expire_dial(&mut self, name: &Str, world: &World, now: Now) {
        let dial = self.health.get(name).and_then(|health| health.dial);
        if let Some((id, since)) = dial
            && now.mono.since(since) >= DIAL_LOST
        {
            self.dialled(&DialResult { id, node: name.clone(), answered: false }, world, now);
        }
    }
}
