//! What a set of machines survives.

use std::sync::Arc;

use headroom_core::{Str, object::Pod};

use super::{Load, SURVIVING_SERVERS};
use crate::{machine::Machine, today::lose, world::World};

impl Load<'_> {
    /// Whether the loss of any one worker leaves nobody without a place; nor that of any one server, where the control
    /// plane survives it: servers may carry pods as well. Pods that cannot leave their node are down with it whatever
    /// other machines there are, and decide nothing here.
    pub(super) fn survives(&self, world: &mut World, machines: &[Machine], nodes: &[Str]) -> bool {
        let servers = machines.iter().filter(|machine| machine.control_plane).count();
        let lost = |machine: &&Machine| !machine.control_plane || servers >= SURVIVING_SERVERS;
        machines.iter().filter(lost).all(|machine| {
            let here = self.pods.iter().zip(nodes).filter(|(_, node)| *node == machine.name());
            let here = here.map(|(pod, _)| pod.clone());
            let (down, mut on_it): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) =
                here.partition(|pod| self.cluster.immovable(pod).is_some());
            on_it.extend(self.furniture(machine).into_iter().chain(self.arrived(world, machine)));
            for pod in &down {
                world.take(pod);
            }
            let survives = lose(world, &machine.node, &on_it).is_empty();
            for pod in &down {
                world.put(pod, machine.name());
            }
            survives
        })
    }
}
