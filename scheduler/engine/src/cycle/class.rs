//! Classes of equal pods: columns of verdicts and scores per node, of which only what changed is worked out anew
//! (DESIGN.md parts 5 and 13).
//!
//! A class is what pods have in common that plugins read: profile, spec, and the numbers of `Plugin::signature`. Per
//! node it keeps the verdict, the raw scores, the normalised scores, the total and the tie key, with the generation of
//! the node that they were computed from. A decision refills the rows whose generation changed, normalises again what
//! hangs on a changed minimum or maximum, and takes the best total. The result is that of `plain`, bit for bit.
//!
//! Plugins that read more than the node (`Reads::Cluster`) have no part in what is kept: they run in every cycle, on
//! top of it (`whole`).

use std::sync::Arc;

use super::{
    Nominated,
    plain::{AfterFilter, Choice, Failure, Verdict},
    tie::TieBreaker,
};
use crate::{
    cache::Slot,
    fit_error::FitErrors,
    framework::{
        Code, Column, CycleState, Narrowed, NoProbe, Normalized, Places, PodInfo, Point, PreFiltered, Probe, Profile,
        Rejection, Signature, SpecInfo, TieKey, View,
    },
};

mod eviction;
mod rows;
mod totals;
mod whole;

use self::{
    eviction::victim,
    totals::{CLOSED, Totals},
};

/// Most classes kept.
const MAX_CLASSES: usize = 256;
/// Bytes of columns kept, about. The class used last stays in any case.
const CLASS_BYTES: usize = 8 << 20;
/// Where so few classes need more, they get it, up to this: a burst of that many templates is nothing unusual.
const FEW: usize = 32;
/// See [`FEW`].
const MAX_CLASS_BYTES: usize = 16 << 20;
/// When more than this part of the rows has changed, everything is normalised anew.
const MANY: usize = 4;

#[derive(Debug)]
struct Class {
    profile: usize,
    spec: Arc<SpecInfo>,
    signature: Signature,
    epoch: u64,
    /// The plugins that have no part in it.
    cluster: Places,
    last_used: u64,
    /// It served another pod than the one that it was made for.
    reused: bool,
    state: CycleState,
    narrowed: Option<Narrowed>,
    /// By slot, the generation that the row was made from; 0 = no node.
    generations: Vec<u64>,
    /// How many changes of generations they follow.
    seen: u64,
    /// How many changes of nominations they follow.
    seen_nominated: u64,
    /// Slots whose rows held for one decision only.
    passing: Vec<Slot>,
    /// Whether no plugin of the class turns the node down.
    feasible: Vec<bool>,
    feasible_count: usize,
    /// The same with the other plugins, as of the last decision.
    open: Vec<bool>,
    open_count: usize,
    /// The other plugins closed rows in the last decision.
    narrowed_by_cluster: bool,
    rejections: Vec<Option<Box<Rejection>>>,
    columns: Vec<(usize, Column)>,
    /// As of the last normalising.
    totals: Totals,
    ties: Vec<TieKey>,
    /// Rows refilled, opened or closed since the last normalising.
    changed: Vec<u32>,
    /// Nothing was normalised yet.
    fresh: bool,
}

/// The classes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    all: Vec<Class>,
    clock: u64,
    scratch: Signature,
    work: Work,
}

/// What one decision works with, kept for the next one.
#[derive(Debug, Default)]
struct Work {
    open: Vec<bool>,
    totals: Totals,
    /// Columns of the plugins that have no part in classes, by profile and place.
    columns: Vec<(usize, usize, Column)>,
}

impl Classes {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of all columns, about.
    pub(crate) fn bytes(&self) -> usize {
        self.all.iter().map(Class::bytes).sum()
    }

    /// The decision for a pod; `None` when it belongs to no class and has to go the plain way.
    #[allow(clippy::too_many_arguments, reason = "the same as the plain path, and the profile's place")]
    pub(crate) fn decide(
        &mut self,
        at: usize,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
        ties: TieBreaker,
        probe: &mut dyn Probe,
    ) -> Option<Verdict> {
        if view.cache.node_count() == 0 || profile.narrow.is_none() {
            return None;
        }
        let cluster = profile.cluster_places(pod);
        let mut whole = CycleState::default();
        if !cluster.is_empty() {
            match profile.pre_filter_of(cluster, pod, view, probe) {
                PreFiltered::Go(state, None) => whole = state,
                // The plain path says what it comes to.
                _ => return None,
            }
        }
        let index = self.find_or_make(at, profile, pod, view, cluster, probe)?;
        let class = &mut self.all[index];
        match class.decide(profile, pod, view, nominated, &mut whole, ties, &mut self.work, probe) {
            Some(verdict) => Some(verdict),
            None => {
                // A plugin failed: the plain path says how.
                self.all.swap_remove(index);
                None
            }
        }
    }

    fn find_or_make(
        &mut self,
        at: usize,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        cluster: Places,
        probe: &mut dyn Probe,
    ) -> Option<usize> {
        self.clock += 1;
        profile.signature(pod, view, &mut self.scratch);
        let epoch = profile.epoch(view);
        let found = self.all.iter().position(|c| {
            c.profile == at && c.cluster == cluster && Arc::ptr_eq(&c.spec, &pod.spec) && c.signature == self.scratch
        });
        if let Some(index) = found {
            let class = &mut self.all[index];
            if class.epoch == epoch {
                (class.last_used, class.reused) = (self.clock, true);
                return Some(index);
            }
            // What plugins read of the rest of the cluster changed.
            self.all.swap_remove(index);
        }
        let places = cluster.others();
        // PreFilter is measured once per cycle.
        let result = if cluster.is_empty() {
            profile.pre_filter_of(places, pod, view, probe)
        } else {
            profile.pre_filter_of(places, pod, view, &mut NoProbe)
        };
        let PreFiltered::Go(mut state, narrowed) = result else { return None };
        profile.pre_score_of(places, &mut state, pod, &[], view).ok()?;
        let columns = profile.scoring(&state).map(|i| (i, profile.new_column(i))).collect();
        self.all.push(Class {
            profile: at,
            spec: pod.spec.clone(),
            signature: self.scratch.clone(),
            epoch,
            cluster,
            last_used: self.clock,
            reused: false,
            state,
            narrowed,
            generations: Vec::new(),
            // More than there will be: nothing was looked at yet.
            seen: u64::MAX,
            seen_nominated: u64::MAX,
            passing: Vec::new(),
            feasible: Vec::new(),
            feasible_count: 0,
            open: Vec::new(),
            open_count: 0,
            narrowed_by_cluster: false,
            rejections: Vec::new(),
            columns,
            totals: Totals::default(),
            ties: Vec::new(),
            changed: Vec::new(),
            fresh: true,
        });
        let index = self.all.len() - 1;
        self.all[index].resize(view.cache.slots());
        self.evict();
        // The class made last is the newest: it is never evicted, but may have moved.
        self.all.iter().position(|c| c.last_used == self.clock)
    }

    fn evict(&mut self) {
        let largest = self.all.iter().map(Class::bytes).max().unwrap_or(0);
        let most = (FEW * largest).clamp(CLASS_BYTES, MAX_CLASS_BYTES);
        while self.all.len() > 1 && (self.all.len() > MAX_CLASSES || self.bytes() > most) {
            let uses: Vec<_> = self.all.iter().map(|class| (class.last_used, class.reused)).collect();
            let Some(at) = victim(&uses, self.clock) else { return };
            self.all.swap_remove(at);
        }
    }
}

impl Class {
    fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|(_, c)| c.row_bytes()).sum();
        let row = 8 + 1 + 1 + 8 + Totals::ROW_BYTES + size_of::<TieKey>() + columns;
        let rejections = self.generations.len() - self.feasible_count;
        row * self.generations.len() + rejections * size_of::<Rejection>() + self.signature.bytes()
    }

    fn resize(&mut self, slots: usize) {
        self.generations.resize(slots, 0);
        self.feasible.resize(slots, false);
        self.open.resize(slots, false);
        self.rejections.resize_with(slots, || None);
        self.totals.resize(slots);
        self.ties.resize(slots, TieKey::default());
        for (_, column) in &mut self.columns {
            column.resize(slots);
        }
    }

    /// Normalises and sums up. `None` when a plugin's score left its range.
    fn total(&mut self, profile: &Profile) -> Option<()> {
        let mut all = self.fresh || self.changed.len() * MANY > self.open.len();
        let fresh = all;
        for (plugin, column) in &mut self.columns {
            let done = profile.plugins[*plugin].normalize(column, &self.open, &self.changed, fresh).ok()?;
            all |= done == Normalized::All;
        }
        let weights = profile.narrow.as_deref()?;
        // Without any score plugin every node gets 1 (reference 1.6).
        let base = i32::from(profile.at(Point::Score).is_empty());
        if all {
            self.totals.fill(base);
            for (plugin, column) in &self.columns {
                self.totals.add(column.normalized(), weights[*plugin]);
            }
            self.totals.close(&self.open);
        } else {
            let moved = self.columns.iter().flat_map(|(_, column)| column.moved());
            for row in self.changed.iter().chain(moved) {
                let row = *row as usize;
                let sum = |total: i32, (plugin, column): &(usize, Column)| {
                    total + i32::from(column.normalized()[row]) * weights[*plugin]
                };
                let total = if self.open[row] { self.columns.iter().fold(base, sum) } else { CLOSED };
                self.totals.set(row, total);
            }
        }
        self.changed.clear();
        self.fresh = false;
        Some(())
    }

    #[allow(clippy::too_many_arguments, reason = "the same as the plain path, and the state of the other plugins")]
    fn decide(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        view: &View<'_>,
        nominated: &Nominated,
        whole: &mut CycleState,
        ties: TieBreaker,
        work: &mut Work,
        probe: &mut dyn Probe,
    ) -> Option<Verdict> {
        probe.enter(Point::Filter);
        let opened = self
            .refresh(profile, pod, view, nominated)
            .and_then(|()| self.open_rows(profile, pod, view, whole, &mut work.open))
            .and_then(|()| self.crowd(profile, pod, view, nominated, whole));
        let code = if self.open_count == 0 { Code::Unschedulable } else { Code::Success };
        probe.exit(Point::Filter, if opened.is_some() { code } else { Code::Error });
        opened?;
        let mut after = None;
        let result = match self.open_count {
            0 => {
                let mut error = FitErrors::new(view.cache.node_count());
                let mut rejected = Vec::with_capacity(view.cache.node_count());
                self.each_rejection(profile, pod, view, nominated, whole, |slot, rejection| {
                    error.add(rejection);
                    rejected.push((slot, rejection.status.code()));
                })?;
                if !profile.at(Point::PostFilter).is_empty() {
                    let state = self.state.with(whole);
                    after = Some(Box::new(AfterFilter { rejected, state, stopped_at: None }));
                }
                let mut error = error.finish();
                if let Some(narrowed) = &self.narrowed {
                    error.rejectors = error.rejectors.union(narrowed.plugins);
                }
                Err(Failure::Fit(Box::new(error)))
            }
            1 => {
                let slot = self.open.iter().position(|f| *f)? as Slot;
                Ok(Choice { slot, total: None, feasible: 1, ties: 1 })
            }
            _ => {
                probe.enter(Point::Score);
                let done = self.total(profile).and_then(|()| self.whole_totals(profile, pod, view, whole, work));
                probe.exit(Point::Score, if done.is_some() { Code::Success } else { Code::Error });
                let totals = if done? { &work.totals } else { &self.totals };
                Ok(self.choose(totals, view.cache.name_hashes(), ties)?)
            }
        };
        Some(Verdict { result, after })
    }

    fn choose(&self, totals: &Totals, hashes: &[u64], ties: TieBreaker) -> Option<Choice> {
        let best = totals.best()?;
        let mut winner: Option<usize> = None;
        let (mut key, mut top) = (TieKey::default(), 0);
        let mut count = 0;
        for slot in totals.rows_of(best) {
            let (Some(tie), Some(hash)) = (self.ties.get(slot), hashes.get(slot)) else { continue };
            count += 1;
            let rank = ties.rank(*hash);
            if winner.is_none() || *tie > key || (*tie == key && rank > top) {
                (winner, key, top) = (Some(slot), *tie, rank);
            }
        }
        Some(Choice { slot: winner? as Slot, total: Some(best.into()), feasible: self.open_count, ties: count })
    }
}
