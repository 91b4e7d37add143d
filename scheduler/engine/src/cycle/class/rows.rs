//! What a class keeps per node: verdict, raw scores, tie key. Filled anew where the node has changed.

use super::{Class, Nominated};
use crate::{
    cache::{NodeInfo, Slot},
    framework::{PodInfo, Profile, Rejection, TieKey, View},
};

/// Generation of a row that holds for one decision only: no node has it.
const PASSING: u64 = u64::MAX;
/// Nodes that each plugin is asked about in a row: few enough to stay in the processor's cache meanwhile.
const STRETCH: usize = 64;

impl Class {
    /// Refills the rows of nodes that changed, or whose nominated pods did. `None` when a plugin failed.
    ///
    /// All pods of a class have one priority, so that the same nominated pods come before all of them; only a pod that is
    /// nominated itself does not come before itself.
    pub(super) fn refresh(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
    ) -> Option<()> {
        let generations = view.cache.generations();
        if self.generations.len() != generations.len() {
            self.resize(generations.len());
        }
        let seen = std::mem::replace(&mut self.seen, view.cache.change_count());
        let seen_nominated = std::mem::replace(&mut self.seen_nominated, nominated.change_count());
        let passing = std::mem::take(&mut self.passing);
        let refill = |this: &mut Self, slot: usize| this.refill(slot, generations[slot], profile, pod, view, nominated);
        let renew = |this: &mut Self, slot: usize| match this.generations[slot] == generations[slot] {
            true => Some(()),
            false => refill(this, slot),
        };
        // Most nodes have not changed.
        match (view.cache.changed_since(seen), nominated.changed_since(seen_nominated)) {
            (_, None) => self.refill_all(true, profile, pod, view, nominated)?,
            (slots, Some(nodes)) => {
                match slots {
                    Some(slots) => passing.into_iter().chain(slots).try_for_each(|slot| renew(self, slot as usize))?,
                    None => self.refill_all(false, profile, pod, view, nominated)?,
                }
                for node in nodes {
                    if let Some(slot) = view.cache.slot(node) {
                        refill(self, slot as usize)?;
                    }
                }
            }
        }
        if let Some(slot) = nominated.node_of(pod.uid()).and_then(|node| view.cache.slot(node)) {
            self.passing.push(slot);
            self.refill(slot as usize, PASSING, profile, pod, view, nominated)?;
        }
        Some(())
    }

    fn refill(
        &mut self,
        slot: usize,
        generation: u64,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
    ) -> Option<()> {
        let rejection = match view.cache.row(slot as Slot) {
            None => None,
            Some(node) => match &self.narrowed {
                Some(narrowed) if !narrowed.names.contains(&node.name) => Some(narrowed.others.clone()),
                _ => profile.filter_with_nominated(&self.state, pod, node, nominated, view).ok()?,
            },
        };
        let feasible = generation != 0 && rejection.is_none();
        self.set_row(slot, generation, feasible, rejection);
        if let Some(node) = view.cache.row(slot as Slot).filter(|_| feasible) {
            let mut key = TieKey::default();
            for (plugin, column) in &mut self.columns {
                let own = profile.score(*plugin, &self.state, column, slot, pod, node).ok()?;
                // As in `Profile::tie_key`, which the plain path asks: all plugins of a class read the node alone.
                if key == TieKey::default() {
                    key = own;
                }
            }
            self.ties[slot] = key;
        }
        Some(())
    }

    fn set_row(&mut self, slot: usize, generation: u64, feasible: bool, rejection: Option<Rejection>) {
        self.changed.push(slot as u32);
        self.generations[slot] = generation;
        self.feasible_count = self.feasible_count - usize::from(self.feasible[slot]) + usize::from(feasible);
        self.feasible[slot] = feasible;
        match (rejection, &mut self.rejections[slot]) {
            (Some(new), Some(old)) => **old = new,
            (Some(new), place) => *place = Some(Box::new(new)),
            (None, place) => *place = None,
        }
    }

    /// Refills all rows, or (without `unchanged`) those whose generation changed, many nodes at a time.
    fn refill_all(
        &mut self,
        unchanged: bool,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
    ) -> Option<()> {
        let crowded = |node: &NodeInfo| !nominated.is_empty() && nominated.before(pod, &node.name).next().is_some();
        let mut nodes = Vec::with_capacity(STRETCH);
        for (slot, generation) in view.cache.generations().iter().enumerate() {
            if !unchanged && self.generations[slot] == *generation {
                continue;
            }
            match view.cache.row(slot as Slot).filter(|node| !self.left_out(node) && !crowded(node)) {
                None => self.refill(slot, *generation, profile, pod, view, nominated)?,
                Some(node) => {
                    nodes.push(node);
                    if nodes.len() == STRETCH {
                        self.refill_nodes(&mut nodes, profile, pod, view)?;
                    }
                }
            }
        }
        self.refill_nodes(&mut nodes, profile, pod, view)
    }

    /// Refills the rows of nodes that PreFilter left and to which no pod is nominated, plugin by plugin. The list is empty
    /// afterwards.
    fn refill_nodes(
        &mut self,
        nodes: &mut Vec<&NodeInfo>,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
    ) -> Option<()> {
        let generations = view.cache.generations();
        for (slot, rejection) in profile.filter_nodes(&self.state, pod, nodes)? {
            self.set_row(slot as usize, generations[slot as usize], false, Some(rejection));
        }
        for node in &*nodes {
            let slot = node.slot as usize;
            self.set_row(slot, generations[slot], true, None);
        }
        let mut keys = [TieKey::default(); STRETCH];
        for (plugin, column) in &mut self.columns {
            profile.score_nodes(*plugin, &self.state, column, pod, nodes, &mut keys)?;
        }
        for (node, key) in nodes.drain(..).zip(keys) {
            self.ties[node.slot as usize] = key;
        }
        Some(())
    }
}
