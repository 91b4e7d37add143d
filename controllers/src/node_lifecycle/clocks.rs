//! Since when each node is silent, and when that says nothing: after a pause of this process or an outage of the API server
//! nobody could be heard. Profile `stock` lets the clocks go on all the same, as upstream does.

use std::time::Duration;

use headroom_core::{Mono, object::Node};

use super::{NodeLifecycleController, health, lease_key};
use crate::framework::World;

impl NodeLifecycleController {
    /// Longest time between two passes that is no pause of ours: a part of the grace, so that a shorter pause cannot
    /// use it up.
    fn longest_gap(&self) -> Duration {
        self.options.period() + (self.options.grace() / 8).clamp(Duration::from_secs(1), Duration::from_secs(5))
    }

    pub(super) fn grace(&self, node: &Node) -> Duration {
        if health::ready(node).is_none() { self.options.startup_grace_period.0 } else { self.options.grace() }
    }

    /// Whether no node at all has been heard of for a while: more likely nobody reaches the API server. Never with
    /// upstream's clocks.
    pub(super) fn all_silent(&self, now: Mono) -> bool {
        self.options.profile.restarts_clocks() && now.since(self.last_life) >= self.options.grace() * 4 / 5
    }

    /// A pass begins.
    pub(super) fn notice_a_pause(&mut self, now: Mono) {
        let paused = self.last_pass.is_some_and(|last| now.since(last) > self.longest_gap());
        if paused && self.options.profile.restarts_clocks() {
            self.restart_clocks(now, "this process was paused");
        }
        self.last_pass = Some(now);
    }

    /// A node's row or lease has changed, or is looked at anyway.
    pub(super) fn look(&mut self, name: &str, world: &World, now: Mono) {
        let Some(node) = world.nodes.get(name) else { return };
        let Some(health) = self.health.get_mut(name) else { return };
        let lease = world.leases.get(&lease_key(node.name()));
        if health.uid == node.meta.uid && health.look(node, lease.map(|l| &**l), now) {
            if self.outage || self.all_silent(now) {
                self.outage = false;
                self.restart_clocks(now, "nodes are heard of again");
            }
            self.last_life = now;
        }
    }

    pub(super) fn restart_clocks(&mut self, now: Mono, why: &str) {
        tracing::info!("the clocks of all nodes start afresh: {why}");
        for health in self.health.values_mut() {
            health.restart(now);
        }
    }
}
