//! PreScore and Score.

use super::{CycleState, Profile};
use crate::{
    cache::{NodeInfo, Slot},
    framework::{Column, Places, PodInfo, Point, PreScore, Reads, Status, TieKey, View},
};

impl Profile {
    /// Runs PreScore.
    ///
    /// # Errors
    /// The text of a plugin's failure, which ends the cycle.
    pub(crate) fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        feasible: &[&NodeInfo],
        view: &View<'_>,
    ) -> Result<(), String> {
        self.pre_score_of(Places::ALL, state, pod, feasible, view)
    }

    /// Runs PreScore of some plugins.
    ///
    /// # Errors
    /// The text of a plugin's failure, which ends the cycle.
    pub(crate) fn pre_score_of(
        &self,
        places: Places,
        state: &mut CycleState,
        pod: &PodInfo,
        feasible: &[&NodeInfo],
        view: &View<'_>,
    ) -> Result<(), String> {
        for i in self.at(Point::Score).iter().filter(|i| places.has(**i)) {
            if !self.plugins[*i].points().has(Point::PreScore) {
                state.score[*i] = Some(self.plugins[*i].score_state(pod, view));
            }
        }
        for i in self.at(Point::PreScore).iter().filter(|i| places.has(**i)) {
            let plugin = &self.plugins[*i];
            // What such a plugin does must not depend on the other nodes, so it does not see them (`Reads`).
            let nodes = if plugin.reads(pod) == Reads::Node { &[] } else { feasible };
            match plugin.pre_score(pod, nodes, view) {
                PreScore::Continue(s) => state.score[*i] = Some(s),
                PreScore::Skip => {}
                PreScore::Fail(status) => {
                    return Err(format!("running PreScore plugin {:?}: {}", plugin.name(), status.message()));
                }
            }
        }
        Ok(())
    }

    /// Runs PreScore of some plugins that read more than the node; the open slots are the feasible nodes.
    ///
    /// # Errors
    /// The plugin's status.
    pub(crate) fn pre_score_open(
        &self,
        places: Places,
        state: &mut CycleState,
        pod: &PodInfo,
        open: &[bool],
        view: &View<'_>,
    ) -> Result<(), Status> {
        for i in self.at(Point::Score).iter().filter(|i| places.has(**i)) {
            if !self.plugins[*i].points().has(Point::PreScore) {
                state.score[*i] = Some(self.plugins[*i].score_state(pod, view));
            }
        }
        let mut nodes: Option<Vec<&NodeInfo>> = None;
        for i in self.at(Point::PreScore).iter().filter(|i| places.has(**i)) {
            let plugin = &self.plugins[*i];
            let answer = plugin.pre_score_rows(pod, open, view).unwrap_or_else(|| {
                let nodes = nodes.get_or_insert_with(|| {
                    let slots = open.iter().enumerate().filter(|(_, open)| **open);
                    slots.filter_map(|(slot, _)| view.row(slot as Slot)).collect()
                });
                plugin.pre_score(pod, nodes, view)
            });
            match answer {
                PreScore::Continue(s) => state.score[*i] = Some(s),
                PreScore::Skip => {}
                PreScore::Fail(status) => return Err(status),
            }
        }
        Ok(())
    }

    /// The score plugins that were not skipped, by their place in the profile.
    pub(crate) fn scoring<'a>(&'a self, state: &'a CycleState) -> impl Iterator<Item = usize> + 'a {
        self.at(Point::Score).iter().copied().filter(|i| state.score[*i].is_some())
    }

    pub(crate) fn new_column(&self, plugin: usize) -> Column {
        self.plugins[plugin].new_column()
    }

    /// Runs Score of one plugin on one node; answers its tie key as well.
    ///
    /// # Errors
    /// The text of the plugin's failure, which ends the cycle.
    pub(crate) fn score(
        &self,
        plugin: usize,
        state: &CycleState,
        column: &mut Column,
        row: usize,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<TieKey, String> {
        let Some(own) = &state.score[plugin] else { return Ok(TieKey::default()) };
        self.plugins[plugin].score(own, column, row, pod, node).map_err(|status| {
            format!("running Score plugins: plugin {:?} failed with: {}", self.plugins[plugin].name(), status.message())
        })
    }

    /// Runs Score of one plugin on several nodes, whose rows are their slots; `keys` get those of nodes that have none yet.
    /// Absent when the plugin failed.
    pub(crate) fn score_nodes(
        &self,
        plugin: usize,
        state: &CycleState,
        column: &mut Column,
        pod: &PodInfo,
        nodes: &[&NodeInfo],
        keys: &mut [TieKey],
    ) -> Option<()> {
        let Some(own) = &state.score[plugin] else { return Some(()) };
        self.plugins[plugin].score_nodes(own, column, pod, nodes, keys).ok()
    }

    /// Runs Score of one plugin on all open slots.
    ///
    /// # Errors
    /// The plugin's status.
    pub(crate) fn score_open(
        &self,
        plugin: usize,
        state: &CycleState,
        column: &mut Column,
        pod: &PodInfo,
        open: &[bool],
        view: &View<'_>,
    ) -> Result<(), Status> {
        let Some(own) = &state.score[plugin] else { return Ok(()) };
        self.plugins[plugin].score_open(own, column, pod, open, view)
    }

    /// The keys of a node by which ties are broken, of the first plugin that has any and reads the node alone.
    pub(crate) fn tie_key(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> TieKey {
        self.scoring(state)
            .filter(|i| self.plugins[*i].reads(pod) == Reads::Node)
            .filter_map(|i| state.score[i].as_ref().map(|own| self.plugins[i].tie_key(own, pod, node)))
            .find(|key| *key != TieKey::default())
            .unwrap_or_default()
    }
}
