//! Whether the order in which pods come decides what fits. The search for a way tries one order.

use std::sync::Arc;

use headroom_core::object::Pod;

use super::Load;
use crate::{
    bound,
    machine::Machine,
    world::{Scheduler, World},
};

impl Load<'_> {
    /// Whether what fits does not depend on the order in which pods come: not where they lean on swap (the last one has
    /// to find its hot part in RAM), and not where one has to follow another.
    #[must_use]
    pub fn order_free(&self, machines: &[Machine]) -> bool {
        !self.ordered && machines.iter().all(|machine| machine.sample.swap_capacity.unwrap_or(0) == 0)
    }
}

/// Whether the order of these pods decides whatever the machines: where pods have to follow others, by their own rules
/// or by default ones, and where the memory rules let some in whatever is left and hold back others, so that the last
/// ones fit if they are of those that are let in.
pub(super) fn decides(world: &World, scheduler: &Scheduler, pods: &[Arc<Pod>]) -> bool {
    let follows = |pod: &Arc<Pod>| {
        let affine = pod.spec.affinity.as_ref().is_some_and(|affinity| !affinity.pod_required.is_empty());
        affine || !pod.spec.topology_spread.is_empty()
    };
    let let_in = pods.iter().filter(|pod| bound::asked(world, pod).is_none()).count();
    pods.iter().any(follows) || (let_in > 0 && let_in < pods.len()) || spreads_by_default(scheduler)
}

/// Whether the configuration spreads pods without rules of their own by ones that must hold. Those of Kubernetes itself
/// only score.
fn spreads_by_default(scheduler: &Scheduler) -> bool {
    let arguments = scheduler.config.profiles.iter().filter_map(|one| one.plugin_config.get("PodTopologySpread"));
    arguments.filter_map(|arguments| arguments.get("defaultConstraints")).any(|given| {
        let mut constraints = given.as_array().into_iter().flatten();
        constraints.any(|one| one.get("whenUnsatisfiable").is_some_and(|when| *when == "DoNotSchedule"))
    })
}
