//! Pods of DaemonSets that wait for room on a node that is there.

use std::sync::Arc;

use headroom_core::object::Pod;

use super::Load;
use crate::{PlanError, bound, machine::Machine, world::World};

impl<'a> Load<'a> {
    /// Gives the pods of DaemonSets that wait for a node their place on it, before any other pod comes; those for which
    /// there is none.
    pub(super) fn let_in(&self, world: &mut World, machine: &Machine) -> Vec<&'a Arc<Pod>> {
        let mut left_out = Vec::new();
        for pod in self.cluster.awaited(machine.name()) {
            if world.feasible(pod).contains(machine.name()) {
                world.put(pod, machine.name());
            } else {
                left_out.push(pod);
            }
        }
        left_out
    }

    /// The pods of DaemonSets that waited for a machine and have their place on it in this world.
    #[must_use]
    pub fn arrived(&self, world: &World, machine: &Machine) -> Vec<Arc<Pod>> {
        let Some(row) = world.engine().cache().node(machine.name()) else { return Vec::new() };
        let here = |pod: &&Arc<Pod>| row.pods.iter().any(|other| other.pod.meta.key == pod.meta.key);
        self.cluster.awaited(machine.name()).filter(here).cloned().collect()
    }

    /// Whether a node has too little for the pods of DaemonSets that wait for it, whatever else leaves it. What keeps them
    /// off for another reason would do so on any machine.
    ///
    /// # Errors
    /// [`PlanError::Config`].
    pub fn too_full(&self, machine: &Machine) -> Result<bool, PlanError> {
        if self.cluster.awaited(machine.name()).next().is_none() {
            return Ok(false);
        }
        let mut world = self.furnished(std::slice::from_ref(machine))?;
        let left_out = self.let_in(&mut world, machine);
        for pod in &left_out {
            world.put(pod, machine.name());
        }
        Ok(!left_out.is_empty() && bound::room(&world, machine.name(), self.swappable).is_none())
    }
}
