//! PreFilter and Filter.

use hashbrown::HashSet;
use headroom_core::Str;

use super::{CycleState, Narrowed, PreFiltered, PreRejection, Profile, Rejection};
use crate::{
    cache::{NodeInfo, Slot},
    cycle::Nominated,
    framework::{Code, Places, PluginId, PluginSet, PodInfo, Point, PreFilter, Probe, Status, View},
};

impl Profile {
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

    /// Runs Filter on several nodes: takes those out that are rejected, and answers them. Absent when a plugin failed.
    pub(crate) fn filter_nodes(
        &self,
        state: &CycleState,
        pod: &PodInfo,
        nodes: &mut Vec<&NodeInfo>,
    ) -> Option<Vec<(Slot, Rejection)>> {
        let (mut all, mut rejected) = (Vec::new(), Vec::new());
        for i in self.at(Point::Filter) {
            let Some(own) = state.filter.get(*i).and_then(Option::as_ref) else { continue };
            self.plugins[*i].filter_nodes(own, pod, nodes, &mut rejected);
            for (slot, status) in rejected.drain(..) {
                if !status.code().is_rejected() {
                    return None;
                }
                all.push((slot, Rejection { plugin: self.ids[*i], status }));
            }
        }
        Some(all)
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
}
