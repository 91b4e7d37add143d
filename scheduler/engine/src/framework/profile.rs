//! A profile: plugins in their order at each extension point, and how they are run (`framework/runtime`).

use hashbrown::{HashMap, HashSet};
use headroom_core::Str;

use super::{
    erased::{Column, DynPlugin, State},
    plugin::{Point, PreFilter, PreScore, Reads, Signature, TieKey, View},
    plugin_set::{Places, PluginId, PluginNames, PluginSet},
    pod_info::PodInfo,
    probe::Probe,
    status::{Code, Status},
};
use crate::{
    cache::{NodeInfo, Slot},
    cycle::Nominated,
    queue::Spans,
};

/// Why a node is not feasible, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The plugin.
    pub plugin: PluginId,
    /// Its status.
    pub status: Status,
}

/// The nodes that PreFilter left.
#[derive(Debug, Clone)]
pub struct Narrowed {
    /// Their names.
    pub names: HashSet<Str>,
    /// What every other node is given as its status.
    pub others: Rejection,
    /// The plugins that narrowed.
    pub plugins: PluginSet,
}

/// States of a cycle by the plugin's place in the profile; absent = not run or skipped.
#[derive(Debug, Clone, Default)]
pub struct CycleState {
    filter: Vec<Option<State>>,
    score: Vec<Option<State>>,
}

impl CycleState {
    /// Whether any Filter plugin has something to say.
    pub(crate) fn filters(&self) -> bool {
        self.filter.iter().any(Option::is_some)
    }

    /// These states, and those of the plugins that ran apart from them.
    pub(crate) fn with(&self, others: &Self) -> Self {
        let join = |mine: &[Option<State>], theirs: &[Option<State>]| {
            (0..mine.len().max(theirs.len()))
                .map(|i| {
                    let of = |states: &[Option<State>]| states.get(i).and_then(Clone::clone);
                    of(theirs).or_else(|| of(mine))
                })
                .collect()
        };
        Self { filter: join(&self.filter, &others.filter), score: join(&self.score, &others.score) }
    }
}

/// What PreFilter came to.
#[derive(Debug)]
pub enum PreFiltered {
    /// Filter can run, on the nodes given if any are.
    Go(CycleState, Option<Narrowed>),
    /// The pod is rejected on every node; with an empty set of plugins nobody in particular did.
    Rejected(Box<PreRejection>),
    /// A plugin failed.
    Error(String),
}

/// A rejection by PreFilter.
#[derive(Debug)]
pub struct PreRejection {
    /// Status of every node.
    pub status: Status,
    /// Who rejected.
    pub plugins: PluginSet,
    /// States of the plugins that ran, for PostFilter.
    pub state: CycleState,
    /// The place of the plugin at which PreFilter stopped; the plugins after it did not run.
    pub stopped_at: Option<usize>,
}

/// A configured profile.
pub struct Profile {
    /// `schedulerName`.
    pub name: Str,
    pub(crate) plugins: Vec<Box<dyn DynPlugin>>,
    pub(crate) ids: Vec<PluginId>,
    pub(crate) points: [Vec<usize>; Point::ALL.len()],
    pub(crate) weights: Vec<i64>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for point in Point::ALL {
            map.entry(&point.as_str(), &self.at(point).iter().map(|i| self.plugins[*i].name()).collect::<Vec<_>>());
        }
        map.finish()
    }
}

impl Profile {
    pub(crate) fn at(&self, point: Point) -> &[usize] {
        &self.points[point as usize]
    }

    /// The plugins at an extension point, by name and weight.
    pub fn plugins_at(&self, point: Point) -> impl Iterator<Item = (&'static str, i64)> {
        self.at(point).iter().map(|i| (self.plugins[*i].name(), self.weights[*i]))
    }

    /// Runs PreEnqueue, the plugin that gated the pod last time first. Answers who gates it now, and why.
    pub(crate) fn pre_enqueue(&self, pod: &PodInfo, last: Option<PluginId>) -> Option<Rejection> {
        let order = self.at(Point::PreEnqueue);
        let first = order.iter().filter(|i| Some(self.ids[**i]) == last);
        let rest = order.iter().filter(|i| Some(self.ids[**i]) != last);
        first.chain(rest).find_map(|i| {
            let status = self.plugins[*i].pre_enqueue(pod);
            (!status.is_success()).then(|| Rejection { plugin: self.ids[*i], status })
        })
    }

    /// The plugins that filter or score and read more than the node, for this pod.
    pub(crate) fn cluster_places(&self, pod: &PodInfo) -> Places {
        let mut places = Places::default();
        for point in [Point::PreFilter, Point::Filter, Point::PreScore, Point::Score] {
            for i in self.at(point) {
                if self.plugins[*i].reads(pod) == Reads::Cluster {
                    places.insert(*i);
                }
            }
        }
        places
    }

    /// Those of them whose scores can make a difference.
    pub(crate) fn may_score(&self, places: Places, pod: &PodInfo, view: &View<'_>) -> Places {
        let mut scoring = Places::default();
        for i in self.at(Point::Score).iter().filter(|i| places.has(**i)) {
            if self.plugins[*i].may_score(pod, view) {
                scoring.insert(*i);
            }
        }
        scoring
    }

    /// What the plugins read of the pod besides its spec.
    pub(crate) fn signature(&self, pod: &PodInfo, view: &View<'_>, signature: &mut Signature) {
        signature.clear();
        for plugin in &self.plugins {
            plugin.signature(pod, view, signature);
        }
    }

    /// What plugins read of the rest of the cluster, as one number.
    pub(crate) fn epoch(&self, view: &View<'_>) -> u64 {
        self.plugins.iter().fold(0, |sum, p| crate::cycle::mix(sum ^ p.epoch(view)))
    }

    /// Runs PreFilter (reference 1.3, "PreFilter rules").
    pub(crate) fn pre_filter(&self, pod: &PodInfo, view: &View<'_>, probe: &mut dyn Probe) -> PreFiltered {
        self.pre_filter_of(Places::ALL, pod, view, probe)
    }

    /// Runs PreFilter of some plugins.
    pub(crate) fn pre_filter_of(
        &self,
        places: Places,
        pod: &PodInfo,
        view: &View<'_>,
        probe: &mut dyn Probe,
    ) -> PreFiltered {
        probe.enter(Point::PreFilter);
        let result = self.pre_filter_inner(places, pod, view, probe);
        probe.exit(
            Point::PreFilter,
            match &result {
                PreFiltered::Go(..) => Code::Success,
                PreFiltered::Rejected(r) => r.status.code(),
                PreFiltered::Error(_) => Code::Error,
            },
        );
        result
    }

    fn pre_filter_inner(&self, places: Places, pod: &PodInfo, view: &View<'_>, probe: &mut dyn Probe) -> PreFiltered {
        let per_plugin = probe.wants_plugins();
        let mut state = CycleState { filter: vec![None; self.plugins.len()], score: vec![None; self.plugins.len()] };
        let mut rejected: Option<(Status, PluginSet)> = None;
        let mut names: Option<HashSet<Str>> = None;
        let mut narrowing: Vec<usize> = Vec::new();
        // Filter plugins without PreFilter start from an empty state.
        for i in self.at(Point::Filter).iter().filter(|i| places.has(**i)) {
            if !self.plugins[*i].points().has(Point::PreFilter) {
                state.filter[*i] = Some(self.plugins[*i].empty_filter_state());
            }
        }
        for i in self.at(Point::PreFilter).iter().filter(|i| places.has(**i)) {
            let plugin = &self.plugins[*i];
            if per_plugin {
                probe.enter_plugin(Point::PreFilter, plugin.name());
            }
            let answer = plugin.pre_filter(pod, view);
            if per_plugin {
                let code = match &answer {
                    PreFilter::Continue(_) | PreFilter::Narrow(..) => Code::Success,
                    PreFilter::Skip => Code::Skip,
                    PreFilter::Reject(status) => status.code(),
                };
                probe.exit_plugin(Point::PreFilter, plugin.name(), code);
            }
            match answer {
                PreFilter::Continue(s) => state.filter[*i] = Some(s),
                PreFilter::Narrow(s, nodes) => {
                    state.filter[*i] = Some(s);
                    narrowing.push(*i);
                    let nodes: HashSet<Str> = nodes.into_iter().collect();
                    let left = match names.take() {
                        Some(before) => before.intersection(&nodes).cloned().collect(),
                        None => nodes,
                    };
                    if left.is_empty() {
                        let (status, plugins) = self.nothing_left(&narrowing);
                        return PreFiltered::Rejected(Box::new(PreRejection {
                            status,
                            plugins,
                            state,
                            stopped_at: Some(*i),
                        }));
                    }
                    names = Some(left);
                }
                PreFilter::Skip => {}
                PreFilter::Reject(status) => {
                    let mut set = PluginSet::default();
                    set.insert(self.ids[*i]);
                    match status.code() {
                        Code::UnschedulableAndUnresolvable | Code::Pending => {
                            return PreFiltered::Rejected(Box::new(PreRejection {
                                status,
                                plugins: set,
                                state,
                                stopped_at: Some(*i),
                            }));
                        }
                        // The others run as well, so that preemption finds their states (kubernetes#119770).
                        Code::Unschedulable => rejected = Some((status, set)),
                        _ => {
                            return PreFiltered::Error(format!(
                                "running PreFilter plugin {:?}: {}",
                                plugin.name(),
                                status.message()
                            ));
                        }
                    }
                }
            }
        }
        if let Some((status, plugins)) = rejected {
            return PreFiltered::Rejected(Box::new(PreRejection { status, plugins, state, stopped_at: None }));
        }
        let narrowed = names.map(|names| {
            let plugins = self.set_of(&narrowing);
            let text = format!("node(s) didn't satisfy plugin(s) [{}]", self.sorted_names(&narrowing).join(" "));
            let plugin = narrowing.first().map_or(PluginId(0), |i| self.ids[*i]);
            Narrowed { names, others: Rejection { plugin, status: Status::unresolvable(text) }, plugins }
        });
        PreFiltered::Go(state, narrowed)
    }

    fn set_of(&self, plugins: &[usize]) -> PluginSet {
        let mut set = PluginSet::default();
        for i in plugins {
            set.insert(self.ids[*i]);
        }
        set
    }

    fn sorted_names(&self, plugins: &[usize]) -> Vec<&'static str> {
        let mut names: Vec<_> = plugins.iter().map(|i| self.plugins[*i].name()).collect();
        names.sort_unstable();
        names
    }

    fn nothing_left(&self, narrowing: &[usize]) -> (Status, PluginSet) {
        let names = self.sorted_names(narrowing);
        let text = match &*names {
            [one] => format!("node(s) didn't satisfy plugin {one}"),
            all => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", all.join(" ")),
        };
        (Status::unresolvable(text), self.set_of(narrowing))
    }

    /// Runs Filter on one node: the first rejection ends it.
    ///
    /// # Errors
    /// The text of a plugin's failure, which ends the cycle.
    pub(crate) fn filter(
        &self,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<Option<Rejection>, String> {
        self.filter_until(None, state, pod, node)
    }

    /// Runs Filter on one node as far as the plugin `until`.
    ///
    /// # Errors
    /// The text of a plugin's failure, which ends the cycle.
    pub(crate) fn filter_until(
        &self,
        until: Option<PluginId>,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<Option<Rejection>, String> {
        for i in self.at(Point::Filter) {
            if until == Some(self.ids[*i]) {
                break;
            }
            let Some(own) = state.filter.get(*i).and_then(Option::as_ref) else { continue };
            let status = self.plugins[*i].filter(own, pod, node);
            if status.is_success() {
                continue;
            }
            if !status.code().is_rejected() {
                return Err(format!("running {:?} filter plugin: {}", self.plugins[*i].name(), status.message()));
            }
            return Ok(Some(Rejection { plugin: self.ids[*i], status }));
        }
        Ok(None)
    }

    /// Runs Filter on one node, first as if the pods nominated to it were there, then without them (reference 1.4).
    ///
    /// # Errors
    /// The text of a plugin's failure, which ends the cycle.
    pub(crate) fn filter_with_nominated(
        &self,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
        nominated: &Nominated,
        view: &View<'_>,
    ) -> Result<Option<Rejection>, String> {
        let mut others = nominated.before(pod, &node.name).peekable();
        if others.peek().is_some() {
            let mut state = state.clone();
            let mut crowded = node.clone();
            for other in others {
                crowded.add(other.clone());
                self.extend(&mut state, pod, other, &crowded, view, true);
            }
            if let Some(rejection) = self.filter(&state, pod, &crowded)? {
                return Ok(Some(rejection));
            }
        }
        self.filter(state, pod, node)
    }

    /// Whether PostFilter is worth running: there are such plugins, and the pod is not one that we turn away altogether.
    pub(crate) fn has_post_filter(&self, pod: &PodInfo) -> bool {
        !self.at(Point::PostFilter).is_empty() && pod.pod.spec.unsupported.is_empty()
    }

    /// Runs AddPod or RemovePod of PreFilter's extensions.
    pub(crate) fn extend(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        other: &PodInfo,
        node: &NodeInfo,
        view: &View<'_>,
        add: bool,
    ) {
        for i in self.at(Point::PreFilter) {
            let Some(own) = state.filter.get_mut(*i).and_then(Option::as_mut) else { continue };
            if add {
                self.plugins[*i].add_pod(own, pod, other, node, view);
            } else {
                self.plugins[*i].remove_pod(own, pod, other, node, view);
            }
        }
    }

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

    /// Runs Filter on all nodes, by slot: closes those that are rejected. Absent when a plugin has to be asked node by node;
    /// some slots may be closed then.
    pub(crate) fn filter_rows(&self, state: &CycleState, pod: &PodInfo, open: &mut [bool]) -> Option<()> {
        for i in self.at(Point::Filter) {
            if let Some(own) = state.filter.get(*i).and_then(Option::as_ref)
                && !self.plugins[*i].filter_rows(own, pod, open)
            {
                return None;
            }
        }
        Some(())
    }

    /// The score plugins that were not skipped, by their place in the profile.
    pub(crate) fn scoring<'a>(&'a self, state: &'a CycleState) -> impl Iterator<Item = usize> + 'a {
        self.at(Point::Score).iter().copied().filter(|i| state.score[*i].is_some())
    }

    pub(crate) fn new_column(&self, plugin: usize) -> Column {
        self.plugins[plugin].new_column()
    }

    /// Runs Score of one plugin on one node.
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
    ) -> Result<(), String> {
        let Some(own) = &state.score[plugin] else { return Ok(()) };
        self.plugins[plugin].score(own, column, row, pod, node).map_err(|status| {
            format!("running Score plugins: plugin {:?} failed with: {}", self.plugins[plugin].name(), status.message())
        })
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

/// All profiles.
#[derive(Debug)]
pub struct Profiles {
    pub(crate) all: Vec<Profile>,
    pub(crate) by_name: HashMap<Str, usize>,
    pub(crate) names: PluginNames,
    /// Who measures the points outside of a cycle.
    pub(crate) spans: Spans,
}

impl Profiles {
    /// The place of the profile that serves this `schedulerName`.
    #[must_use]
    pub fn find(&self, scheduler_name: &str) -> Option<usize> {
        self.by_name.get(scheduler_name).copied()
    }

    /// The profiles, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> &[Profile] {
        &self.all
    }

    /// The name of a plugin.
    #[must_use]
    pub fn plugin_name(&self, id: PluginId) -> &'static str {
        self.names.name(id)
    }

    /// Names of a set's plugins.
    #[must_use]
    pub fn plugin_names(&self, set: PluginSet) -> Vec<&'static str> {
        set.iter().map(|id| self.names.name(id)).collect()
    }
}
