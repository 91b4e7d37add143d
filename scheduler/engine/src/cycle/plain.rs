//! The plain scheduling cycle: every plugin on every node, nothing kept (reference 1.3). It is what the class path must
//! equal bit for bit, what decides for pods that form no class, and what `explain` shows.

use headroom_core::Str;

use super::{Extenders, Nominated, tie::TieBreaker};
use crate::{
    cache::Slot,
    fit_error::FitError,
    framework::{
        Code, Column, CycleState, PluginSet, PodInfo, Point, PostFilterCx, PreFiltered, Preemption, Probe, Profile,
        Question, Rejection, Status, TieKey, View,
    },
};

/// The node that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its slot.
    pub slot: Slot,
    /// Its weighted total; absent when nothing was scored, because it was the only feasible node or the nominated one.
    pub total: Option<i64>,
    /// How many nodes were feasible.
    pub feasible: usize,
    /// How many had the same total.
    pub ties: usize,
}

/// Why none was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The cluster has no nodes.
    NoNodes,
    /// No node is feasible.
    Fit(Box<FitError>),
    /// A plugin failed.
    Error(String),
}

/// What a cycle came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) result: Result<Choice, Failure>,
    /// What PostFilter is given when no node is feasible; filled only when the profile has such plugins.
    pub(crate) after: Option<Box<AfterFilter>>,
}

impl From<Result<Choice, Failure>> for Verdict {
    fn from(result: Result<Choice, Failure>) -> Self {
        Self { result, after: None }
    }
}

/// What PreFilter and Filter leave for PostFilter.
#[derive(Debug, Default)]
pub(crate) struct AfterFilter {
    /// Every node with the code of its rejection.
    pub(crate) rejected: Vec<(Slot, Code)>,
    /// The states of the plugins.
    pub(crate) state: CycleState,
    /// Where PreFilter stopped, when it did before all plugins had run it.
    pub(crate) stopped_at: Option<usize>,
}

/// What PostFilter came to.
#[derive(Debug, Default)]
pub(crate) struct PostFiltered {
    /// For the pod's condition; empty after success.
    pub(crate) message: String,
    /// See [`crate::framework::PostFilter::nominated`].
    pub(crate) nominated: Option<Option<Str>>,
    /// What is to be done.
    pub(crate) preemption: Option<Preemption>,
    /// An extender has to be asked first; nothing else is said then.
    pub(crate) question: Option<Question>,
}

/// Scores of one plugin for the feasible nodes, in the order of [`Evaluation::feasible`].
#[derive(Debug)]
pub(crate) struct PluginScores {
    /// The plugin's place in the profile.
    pub(crate) plugin: usize,
    pub(crate) column: Column,
}

/// Everything about one pod on all nodes.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    /// PreFilter rejected the pod on every node.
    pub(crate) everywhere: Option<(Status, PluginSet)>,
    /// Where it stopped.
    pub(crate) stopped_at: Option<usize>,
    /// Nodes that are not feasible.
    pub(crate) rejected: Vec<(Slot, Rejection)>,
    /// Nodes that PreFilter left out, and what it says of them.
    pub(crate) narrowed_by: PluginSet,
    /// Nodes that are feasible.
    pub(crate) feasible: Vec<Slot>,
    /// Scores; empty when nothing was scored.
    pub(crate) scores: Vec<PluginScores>,
    /// Totals of the feasible nodes; empty when nothing was scored.
    pub(crate) totals: Vec<i64>,
    pub(crate) state: CycleState,
}

/// Runs PreFilter, Filter, PreScore and Score for all nodes.
///
/// # Errors
/// The text of a plugin's failure.
pub(crate) fn evaluate(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    probe: &mut dyn Probe,
) -> Result<Evaluation, String> {
    let mut e = filters(profile, pod, view, nominated, probe)?;
    if e.feasible.len() > 1 {
        score(profile, pod, view, &mut e, probe)?;
    }
    Ok(e)
}

/// The first half: PreFilter and Filter for all nodes.
pub(super) fn filters(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    probe: &mut dyn Probe,
) -> Result<Evaluation, String> {
    let mut e = Evaluation::default();
    let narrowed = match profile.pre_filter(pod, view, probe) {
        PreFiltered::Go(state, narrowed) => {
            e.state = state;
            narrowed
        }
        PreFiltered::Rejected(r) => {
            e.everywhere = Some((r.status, r.plugins));
            (e.state, e.stopped_at) = (r.state, r.stopped_at);
            return Ok(e);
        }
        PreFiltered::Error(message) => return Err(message),
    };
    probe.enter(Point::Filter);
    for (slot, node) in view.nodes() {
        let rejection = match &narrowed {
            Some(narrowed) if !narrowed.names.contains(&node.name) => Some(narrowed.others.clone()),
            _ => profile.filter_with_nominated(&e.state, pod, node, nominated, view)?,
        };
        match rejection {
            Some(rejection) => e.rejected.push((slot, rejection)),
            None => e.feasible.push(slot),
        }
    }
    e.narrowed_by = narrowed.map(|n| n.plugins).unwrap_or_default();
    probe.exit(Point::Filter, if e.feasible.is_empty() { Code::Unschedulable } else { Code::Success });
    Ok(e)
}

/// The second half: PreScore and Score for the feasible nodes.
pub(super) fn score(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    e: &mut Evaluation,
    probe: &mut dyn Probe,
) -> Result<(), String> {
    let nodes: Vec<_> = e.feasible.iter().filter_map(|slot| view.row(*slot)).collect();
    probe.enter(Point::PreScore);
    profile.pre_score(&mut e.state, pod, &nodes, view)?;
    probe.exit(Point::PreScore, Code::Success);
    probe.enter(Point::Score);
    let plugins: Vec<usize> = profile.scoring(&e.state).collect();
    // Without any score plugin every node gets 1 (reference 1.6).
    e.totals = vec![i64::from(profile.at(Point::Score).is_empty()); nodes.len()];
    let all = vec![true; nodes.len()];
    for plugin in plugins {
        let mut column = profile.new_column(plugin);
        column.resize(nodes.len());
        for (row, node) in nodes.iter().enumerate() {
            profile.score(plugin, &e.state, &mut column, row, pod, node)?;
        }
        profile.plugins[plugin]
            .normalize(&mut column, &all, &[], true)
            .map_err(|status| format!("applying score defaultWeights on Score plugins: {}", status.message()))?;
        for (total, score) in e.totals.iter_mut().zip(column.normalized()) {
            *total = total.saturating_add(i64::from(*score).saturating_mul(profile.weights[plugin]));
        }
        e.scores.push(PluginScores { plugin, column });
    }
    probe.exit(Point::Score, Code::Success);
    Ok(())
}

impl Evaluation {
    /// The best node, by total, tie key and rank.
    pub(crate) fn choose(&self, profile: &Profile, pod: &PodInfo, view: &View<'_>, ties: TieBreaker) -> Option<Choice> {
        if self.totals.is_empty() {
            let slot = *self.feasible.first()?;
            return Some(Choice { slot, total: None, feasible: 1, ties: 1 });
        }
        let best = *self.totals.iter().max()?;
        let tied = self.feasible.iter().zip(&self.totals).filter(|(_, total)| **total == best);
        let mut winner: Option<((TieKey, u64), Slot)> = None;
        let mut count = 0;
        for (slot, _) in tied {
            let Some(node) = view.row(*slot) else { continue };
            let key = (profile.tie_key(&self.state, pod, node), ties.rank(node.name_hash));
            count += 1;
            if winner.as_ref().is_none_or(|(k, _)| key > *k) {
                winner = Some((key, *slot));
            }
        }
        winner.map(|(_, slot)| Choice { slot, total: Some(best), feasible: self.feasible.len(), ties: count })
    }

    /// What PostFilter is given.
    pub(crate) fn after_filter(&self, view: &View<'_>) -> AfterFilter {
        let rejected = match &self.everywhere {
            Some((status, _)) => view.nodes().map(|(slot, _)| (slot, status.code())).collect(),
            None => self.rejected.iter().map(|(slot, r)| (*slot, r.status.code())).collect(),
        };
        AfterFilter { rejected, state: self.state.clone(), stopped_at: self.stopped_at }
    }

    /// The message when no node is feasible.
    pub(crate) fn fit_error(&self, nodes: usize) -> FitError {
        if let Some((status, plugins)) = &self.everywhere {
            return FitError::pre_filter(nodes, status, *plugins);
        }
        let mut error = FitError::new(nodes);
        for (_, rejection) in &self.rejected {
            error.add(rejection);
        }
        error.rejectors = error.rejectors.union(self.narrowed_by);
        error
    }
}

/// A whole decision by the plain path.
pub(crate) fn decide(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    ties: TieBreaker,
    probe: &mut dyn Probe,
) -> Verdict {
    let nodes = view.cache.node_count();
    if nodes == 0 {
        return Err(Failure::NoNodes).into();
    }
    let e = match evaluate(profile, pod, view, nominated, probe) {
        Ok(e) => e,
        Err(message) => return Err(Failure::Error(message)).into(),
    };
    if let Some(choice) = e.choose(profile, pod, view, ties) {
        return Ok(choice).into();
    }
    let result = Err(Failure::Fit(Box::new(e.fit_error(nodes))));
    let after = (!profile.at(Point::PostFilter).is_empty()).then(|| Box::new(e.after_filter(view)));
    Verdict { result, after }
}

/// The nominated node alone, if the pod has one and it is feasible (reference 1.3).
pub(crate) fn try_nominated_node(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    probe: &mut dyn Probe,
) -> Option<Choice> {
    let name = pod.pod.status.nominated_node_name.as_ref().filter(|n| !n.is_empty())?;
    let slot = view.cache.slot(name)?;
    let node = view.row(slot)?;
    let PreFiltered::Go(state, _) = profile.pre_filter(pod, view, probe) else { return None };
    let feasible = matches!(profile.filter_with_nominated(&state, pod, node, nominated, view), Ok(None));
    feasible.then_some(Choice { slot, total: None, feasible: 1, ties: 1 })
}

/// Runs PostFilter (`RunPostFilterPlugins`).
#[allow(clippy::too_many_arguments, reason = "one step of the cycle")]
pub(crate) fn post_filter(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    after: &AfterFilter,
    hash: u64,
    extenders: Option<Extenders<'_>>,
    probe: &mut dyn Probe,
) -> PostFiltered {
    let cx = PostFilterCx {
        view,
        rejected: &after.rejected,
        profile,
        state: &after.state,
        nominated,
        stopped_at: after.stopped_at,
        hash,
        extenders,
    };
    let mut all = PostFiltered::default();
    let mut reasons: Vec<String> = Vec::new();
    probe.enter(Point::PostFilter);
    let mut code = Code::Unschedulable;
    for i in profile.at(Point::PostFilter) {
        let answer = profile.plugins[*i].post_filter(pod, &cx);
        if answer.question.is_some() {
            // What was asked for before is asked for again when the cycle is run anew.
            probe.exit(Point::PostFilter, Code::Wait);
            return PostFiltered { question: answer.question, ..PostFiltered::default() };
        }
        if answer.status.is_success() {
            code = Code::Success;
            reasons.clear();
            all = PostFiltered { nominated: answer.nominated, preemption: answer.preemption, ..all };
            break;
        }
        if !matches!(answer.status.code(), Code::Unschedulable | Code::Pending) {
            code = answer.status.code();
            reasons = vec![answer.status.message()];
            // A plugin that failed says nothing of the nomination.
            all.nominated = answer.nominated.filter(|_| code == Code::UnschedulableAndUnresolvable);
            break;
        }
        if answer.nominated.is_some() {
            all.nominated = answer.nominated;
        }
        reasons.extend(answer.status.reasons().iter().map(ToString::to_string));
    }
    probe.exit(Point::PostFilter, code);
    all.message = reasons.join(", ");
    all
}
