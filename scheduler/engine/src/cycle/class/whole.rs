//! What plugins say that read more of the cluster than the node: worked out in every cycle, on top of what the class
//! keeps. Their PreFilter ran before; here are Filter, PreScore and Score.

use super::Class;
use crate::{
    cache::{NodeInfo, Slot},
    framework::{CycleState, PluginId, PodInfo, Profile, Rejection, View},
};

impl Class {
    fn set_open(&mut self, slot: usize, open: bool) {
        if std::mem::replace(&mut self.open[slot], open) != open {
            self.open_count = self.open_count + usize::from(open) - usize::from(!open);
            self.changed.push(slot as u32);
        }
    }

    /// The plugin of the class that turned the node down, when a plugin before it can still do so in its place.
    fn turned_down_by(&self, node: &NodeInfo) -> Option<PluginId> {
        self.rejections[node.slot as usize].as_ref().map(|r| r.plugin)
    }

    /// PreFilter left the node out: no Filter plugin is asked about it.
    fn left_out(&self, node: &NodeInfo) -> bool {
        self.narrowed.as_ref().is_some_and(|n| !n.names.contains(&node.name))
    }

    /// Runs the Filter plugins that are not of the class. `None` when one failed.
    pub(super) fn open_rows(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        whole: &CycleState,
    ) -> Option<()> {
        if whole.filters() {
            self.narrowed_by_cluster = true;
            for slot in 0..self.open.len() {
                let open = match view.cache.row(slot as Slot) {
                    None => false,
                    Some(node) if self.feasible[slot] => profile.filter(whole, pod, node).ok()?.is_none(),
                    Some(node) => {
                        if !self.left_out(node) {
                            profile.filter_until(self.turned_down_by(node), whole, pod, node).ok()?;
                        }
                        false
                    }
                };
                self.set_open(slot, open);
            }
        } else if std::mem::take(&mut self.narrowed_by_cluster) {
            for slot in 0..self.open.len() {
                self.set_open(slot, self.feasible[slot]);
            }
        } else {
            for at in 0..self.changed.len() {
                let slot = self.changed[at] as usize;
                self.set_open(slot, self.feasible[slot]);
            }
        }
        if self.changed.len() > self.open.len() {
            // Everything is normalised anew; the list must not grow while nothing is scored.
            self.changed.clear();
            self.fresh = true;
        }
        Some(())
    }

    /// Why each node is not feasible. `None` when a plugin failed.
    pub(super) fn all_rejections(
        &self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        whole: &CycleState,
    ) -> Option<Vec<(Slot, Rejection)>> {
        let mut all = Vec::with_capacity(view.cache.node_count());
        for (slot, node) in view.cache.nodes() {
            let mut rejection = None;
            if whole.filters() && !self.left_out(node) {
                rejection = profile.filter_until(self.turned_down_by(node), whole, pod, node).ok()?;
            }
            let own = || self.rejections[slot as usize].as_deref().cloned();
            all.extend(rejection.or_else(own).map(|r| (slot, r)));
        }
        Some(all)
    }

    /// The totals with the scores of the plugins that are not of the class; the inner value is absent when they add
    /// nothing. `None` when one failed.
    #[expect(clippy::option_option, reason = "failed, nothing to add, or totals")]
    pub(super) fn whole_totals(
        &self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        whole: &mut CycleState,
    ) -> Option<Option<Vec<i64>>> {
        let places = profile.may_score(self.cluster, pod, view);
        if places.is_empty() {
            return Some(None);
        }
        let open = self.open.iter().enumerate().filter(|(_, open)| **open);
        let nodes: Vec<&NodeInfo> = open.filter_map(|(slot, _)| view.row(slot as Slot)).collect();
        profile.pre_score_of(places, whole, pod, &nodes, view).ok()?;
        let scoring: Vec<usize> = profile.scoring(whole).collect();
        if scoring.is_empty() {
            return Some(None);
        }
        let mut totals = self.totals.clone();
        for plugin in scoring {
            let mut column = profile.new_column(plugin);
            column.resize(totals.len());
            profile.score_slots(plugin, whole, &mut column, pod, &nodes).ok()?;
            profile.plugins[plugin].normalize(&mut column, &self.open, &[], true).ok()?;
            let weight = profile.weights[plugin];
            for ((total, score), open) in totals.iter_mut().zip(column.normalized()).zip(&self.open) {
                if *open {
                    *total = total.saturating_add(i64::from(*score).saturating_mul(weight));
                }
            }
        }
        Some(Some(totals))
    }
}
