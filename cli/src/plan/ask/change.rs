//! `plan --add`, `--remove`, `--resize`: the cluster with other machines.

use std::{collections::BTreeSet, sync::Arc};

use headroom_planner::{
    PlanError,
    cluster::{Bond, bond, daemon_on, daemon_wants, is_control_plane},
    fleet::Load,
    machine::{INSTANCE_TYPE, Machine, Names, Role},
    report::{Plan, Waiting},
    search::swap_today,
    today,
};

use super::{Ask, bound, count, placement};
use crate::plan::Options;

impl Ask<'_> {
    /// `plan --add`, `--remove`, `--resize`.
    pub(super) fn change(&self, options: &Options) -> anyhow::Result<Plan> {
        let cluster = self.cluster;
        let mut after = cluster.clone();
        let sampled = !cluster.samples.is_empty();
        let swap = options.swap.unwrap_or_else(|| swap_today(cluster));
        let role = Role::of(cluster, false);
        let (mut names, mut new) = (Names::default(), BTreeSet::new());
        let mut words = Vec::new();
        for (kind, count) in &options.add {
            let offer = self.offer(kind)?;
            words.push(format!("{count} more {kind}"));
            for _ in 0..*count {
                let machine = Machine::new(offer, &names.next("", cluster), &role, swap, cluster.now);
                for daemon in cluster.daemons().into_iter().filter(|pod| daemon_wants(pod, &machine.node)) {
                    after.pods.push(bound(&daemon_on(daemon, machine.name()), machine.name()));
                }
                if sampled {
                    after.samples.insert(machine.name().clone(), machine.sample.clone());
                }
                new.insert(machine.name().clone());
                after.nodes.insert(machine.name().clone(), machine.node);
            }
        }
        for name in &options.remove {
            words.push(format!("without {name}"));
            after.nodes.remove(name.as_str());
            after.samples.remove(name.as_str());
        }
        for (name, kind) in &options.resize {
            let offer = self.offer(kind)?;
            words.push(format!("{name} on {kind}"));
            let Some(node) = after.nodes.get(name.as_str()).cloned() else {
                anyhow::bail!("--resize {name}: it is to be removed as well");
            };
            let role = Role::of(cluster, is_control_plane(&node));
            let machine = Machine::new(offer, name, &role, swap, cluster.now);
            let mut resized = (*machine.node).clone();
            // Everything but the size is as before.
            resized.meta.labels = node.meta.labels.with(INSTANCE_TYPE, kind);
            resized.meta.annotations = node.meta.annotations.clone();
            resized.taints = node.taints.clone();
            after.nodes.insert(node.name().clone(), Arc::new(resized));
            if sampled {
                after.samples.insert(node.name().clone(), machine.sample);
            }
        }
        // Who was on a node that is gone or has another size needs a place again.
        let moved: BTreeSet<&str> = options.resize.iter().map(|(name, _)| name.as_str()).collect();
        let (kept, homeless): (Vec<_>, Vec<_>) = after.pods.into_iter().partition(|pod| {
            let node = pod.node_name.as_deref();
            let stands = node.is_none_or(|name| after.nodes.contains_key(name));
            stands && (bond(pod) != Bond::Free || node.is_none_or(|name| !moved.contains(name)))
        });
        after.pods = kept;
        let homeless = homeless.into_iter().filter(|pod| {
            bond(pod) == Bond::Free && pod.node_name.as_deref().is_some_and(|name| cluster.nodes.contains_key(name))
        });
        let mut world = after.world(self.scheduler).map_err(PlanError::from)?;
        let (mut placements, mut pending) = (Vec::new(), Vec::new());
        let load = Load::new(&after, self.scheduler, homeless)?;
        for pod in &load.pods {
            let from = pod.node_name.clone();
            if from.as_ref().is_some_and(|node| !moved.contains(node.as_str()) && after.nodes.contains_key(node)) {
                continue;
            }
            let stays = from.clone().filter(|node| moved.contains(node.as_str()) && world.feasible(pod).contains(node));
            if let Some(node) = stays {
                world.put(pod, &node);
                continue;
            }
            match world.place(pod) {
                Ok(node) => placements.push(placement(pod, from.as_ref(), &node)),
                Err(reason) => pending.push(Waiting::new(&pod.meta.key, reason)),
            }
        }
        placements.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pending.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let mut nodes = today::nodes(&after, &world, self.offers());
        for node in nodes.iter_mut().filter(|node| new.contains(node.name.as_str())) {
            node.exists = false;
        }
        let mut plan = self.answer("Change", nodes);
        let before = today::bill(&today::nodes(cluster, &world, self.offers())).0;
        let price =
            plan.price_per_month.map(|price| format!("; {} a month, {} now", self.money(price), self.money(before)));
        let fate = if pending.is_empty() {
            "everything has a place".to_owned()
        } else {
            format!("{} would wait", count(pending.len(), "pod"))
        };
        plan.fits = pending.is_empty();
        plan.summary = format!("{}: {fate}{}", words.join(", "), price.unwrap_or_default());
        (plan.placements, plan.pending) = (placements, pending);
        Ok(plan)
    }
}
