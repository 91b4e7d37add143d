//! Rollouts of what a file replaces: whether their new pods find a place while the old ones are there.

use std::{collections::BTreeMap, sync::Arc};

use headroom_core::object::Pod;
use headroom_planner::{
    Cluster, PlanError,
    cluster::{WorkloadName, made_by},
    today,
};

use super::{Ask, direct};
use crate::plan::files::Asked;

/// Most rollouts that are named.
const MAX_NAMED: usize = 5;

/// Pods by the workload that they are of, as far as it is one of these.
fn of_workloads<'a>(
    pods: &'a [Arc<Pod>],
    some: &BTreeMap<WorkloadName, usize>,
) -> BTreeMap<WorkloadName, Vec<&'a Arc<Pod>>> {
    let mut all: BTreeMap<WorkloadName, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        if let Some(name) = made_by(pod).filter(|name| some.contains_key(name)) {
            all.entry(name).or_default().push(pod);
        }
    }
    all
}

impl Ask<'_> {
    /// What to say of Deployments whose rollout would not begin: beside the old pods, of which none may go first, there is no
    /// room for a new one.
    pub(super) fn stuck(&self, asked: &Asked) -> anyhow::Result<Option<String>> {
        let mut old = of_workloads(&self.cluster.pods, &asked.rolling);
        for pods in old.values_mut() {
            pods.retain(|pod| self.cluster.node_of(pod).is_some());
        }
        old.retain(|_, pods| !pods.is_empty());
        if old.is_empty() {
            return Ok(None);
        }
        let new = of_workloads(&asked.pods, &asked.rolling);
        let mut before = self.cluster.clone();
        before.others.extend(asked.others.iter().cloned());
        let mut world = before.world(self.scheduler).map_err(PlanError::from)?;
        today::settle(&before, &mut world);
        let mut stuck: Vec<String> = Vec::new();
        for (name, old) in &old {
            let Some(first) = new.get(name).and_then(|pods| pods.first()) else { continue };
            // Those that are too many go at once.
            let stay = asked.rolling.get(name).copied().unwrap_or_default();
            let surplus = old.get(stay..).unwrap_or_default();
            for pod in surplus {
                world.take(pod);
            }
            let first = Cluster::prepared(first, self.scheduler);
            match direct::give(&mut world, &first) {
                Ok(_) => world.take(&first),
                Err(_) => stuck.push(format!("{}/{}", name.namespace, name.name)),
            }
            for pod in surplus {
                if let Some(node) = &pod.node_name {
                    world.put(pod, node);
                }
            }
        }
        Ok(said(&stuck))
    }
}

/// What is said of these Deployments.
fn said(stuck: &[String]) -> Option<String> {
    let named = stuck.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match stuck.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!stuck.is_empty()).then(|| {
        format!(
            "a rollout of {named}{more} is over. It would hang, where the template has changed: no new pod finds a place \
             beside the old ones, and maxUnavailable lets none of these go first"
        )
    })
}
