//! What plugins say that read more of the cluster than the node: worked out in every cycle, on top of what the class
//! keeps. Their PreFilter ran before; here are Filter, PreScore and Score.

use super::{Class, Nominated, Work};
use crate::{
    cache::{NodeInfo, Slot},
    framework::{CycleState, PluginId, PodInfo, Profile, Rejection, View},
};

/// Rows that are compared at once.
const STRETCH: usize = 64;

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
    pub(super) fn left_out(&self, node: &NodeInfo) -> bool {
        self.narrowed.as_ref().is_some_and(|n| !n.names.contains(&node.name))
    }

    /// Runs the Filter plugins that are not of the class. `None` when one failed.
    pub(super) fn open_rows(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        whole: &CycleState,
        open: &mut Vec<bool>,
    ) -> Option<()> {
        let mut at_once = false;
        if whole.filters() {
            open.clone_from(&self.feasible);
            at_once = profile.filter_rows(whole, pod, open).is_some();
        }
        if at_once {
            self.narrowed_by_cluster = true;
            for (stretch, now) in open.chunks(STRETCH).enumerate() {
                let start = stretch * STRETCH;
                // Most rows stay as they are.
                if self.open[start..start + now.len()] != *now {
                    for (offset, open) in now.iter().enumerate() {
                        self.set_open(start + offset, *open);
                    }
                }
            }
        } else if whole.filters() {
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

    /// Closes rows of nodes where the plugins that are not of the class see no room beside nominated pods: what these do
    /// to the plugins' state is only known with the rest of it. `None` when a plugin failed.
    pub(super) fn crowd(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
        whole: &CycleState,
    ) -> Option<()> {
        if nominated.is_empty() || !whole.filters() {
            return Some(());
        }
        let state = self.state.with(whole);
        for name in nominated.nodes_before(pod) {
            let Some(node) = view.cache.slot(name).and_then(|slot| view.cache.row(slot)) else { continue };
            if !self.left_out(node) && profile.filter_with_nominated(&state, pod, node, nominated, view).ok()?.is_some()
            {
                self.set_open(node.slot as usize, false);
            }
        }
        Some(())
    }

    /// Says of each node why it is not feasible. `None` when a plugin failed.
    pub(super) fn each_rejection(
        &self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
        whole: &CycleState,
        mut say: impl FnMut(Slot, &Rejection),
    ) -> Option<()> {
        let filters = whole.filters();
        let state = (filters && !nominated.is_empty()).then(|| self.state.with(whole));
        for (slot, own) in self.rejections.iter().enumerate() {
            let slot = slot as Slot;
            if let Some(state) = &state
                && let Some(node) = view.cache.row(slot)
                && !self.left_out(node)
                && nominated.before(pod, &node.name).next().is_some()
            {
                if let Some(rejection) = profile.filter_with_nominated(state, pod, node, nominated, view).ok()? {
                    say(slot, &rejection);
                }
                continue;
            }
            if filters
                && let Some(node) = view.cache.row(slot)
                && !self.left_out(node)
                && let Some(rejection) = profile.filter_until(self.turned_down_by(node), whole, pod, node).ok()?
            {
                say(slot, &rejection);
            } else if let Some(own) = own {
                say(slot, own);
            }
        }
        Some(())
    }

    /// The totals with the scores of the plugins that are not of the class, in `work`; false when they add nothing. `None`
    /// when one failed.
    pub(super) fn whole_totals(
        &self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        whole: &mut CycleState,
        work: &mut Work,
    ) -> Option<bool> {
        let places = profile.may_score(self.cluster, pod, view);
        if places.is_empty() {
            return Some(false);
        }
        profile.pre_score_open(places, whole, pod, &self.open, view).ok()?;
        let scoring: Vec<usize> = profile.scoring(whole).collect();
        if scoring.is_empty() {
            return Some(false);
        }
        let weights = profile.narrow.as_deref()?;
        work.totals.copy(&self.totals);
        for plugin in scoring {
            let known = work.columns.iter().position(|(p, i, _)| (*p, *i) == (self.profile, plugin));
            let at = known.unwrap_or_else(|| {
                work.columns.push((self.profile, plugin, profile.new_column(plugin)));
                work.columns.len() - 1
            });
            let column = &mut work.columns[at].2;
            column.resize(work.totals.len());
            profile.score_open(plugin, whole, column, pod, &self.open, view).ok()?;
            profile.plugins[plugin].normalize(column, &self.open, &[], true).ok()?;
            work.totals.add(column.normalized(), weights[plugin]);
        }
        work.totals.close(&self.open);
        Some(true)
    }
}
