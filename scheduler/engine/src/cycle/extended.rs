//! The cycle of a pod that extenders have a say in: the plain cycle, with their filters after Filter and their scores
//! after Score (`findNodesThatPassExtenders`, `prioritizeNodes`). What has not been answered yet is asked for first.
//!
//! Such a pod has no fast path for its nominated node: all nodes are looked at, as upstream does when the fast path
//! fails.

use super::{
    Nominated,
    plain::{Failure, Verdict, filters, score},
    tie::TieBreaker,
};
use crate::{
    config::Extender,
    extender::{Answers, ExtenderRequest, Filtered},
    framework::{PluginId, PodInfo, Point, Probe, Profile, Rejection, Status, View},
};

/// What such a cycle comes to.
#[derive(Debug)]
pub(crate) enum Extended {
    /// Decided.
    Verdict(Verdict),
    /// This extender has to be asked first.
    Ask(usize, ExtenderRequest),
}

/// Who has a say besides the plugins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extenders<'a> {
    /// The configuration's.
    pub(crate) all: &'a [Extender],
    /// What they have answered so far.
    pub(crate) answers: &'a Answers,
    /// Who rejected, in the words of the queue.
    pub(crate) plugin: PluginId,
}

/// Decides a pod with extenders.
pub(crate) fn decide_extended(
    profile: &Profile,
    pod: &PodInfo,
    view: &View<'_>,
    nominated: &Nominated,
    ties: TieBreaker,
    extenders: Extenders<'_>,
    probe: &mut dyn Probe,
) -> Extended {
    let failed = |failure| Extended::Verdict(Err(failure).into());
    let nodes = view.cache.node_count();
    if nodes == 0 {
        return failed(Failure::NoNodes);
    }
    let mut e = match filters(profile, pod, view, nominated, probe) {
        Ok(e) => e,
        Err(message) => return failed(Failure::Error(message)),
    };
    let names: Vec<_> = e.feasible.iter().filter_map(|slot| Some(&view.row(*slot)?.name)).collect();
    match extenders.answers.filter(extenders.all, pod, &names) {
        Filtered::Ask(at, request) => return Extended::Ask(at, request),
        Filtered::Failed(message) => return failed(Failure::Error(message)),
        Filtered::Done { left, rejected } => {
            for (at, code, why) in rejected {
                let status = Status::with_reasons(code, why.map(Into::into).into_iter().collect());
                e.rejected.push((e.feasible[at], Rejection { plugin: extenders.plugin, status }));
            }
            e.feasible = left.iter().map(|at| e.feasible[*at]).collect();
        }
    }
    if e.feasible.len() > 1 {
        let names: Vec<_> = e.feasible.iter().filter_map(|slot| Some(&view.row(*slot)?.name)).collect();
        let extra = match extenders.answers.scores(extenders.all, pod, &names) {
            Ok(extra) => extra,
            Err((at, request)) => return Extended::Ask(at, request),
        };
        if let Err(message) = score(profile, pod, view, &mut e, probe) {
            return failed(Failure::Error(message));
        }
        // Upstream gives each node 1 without Score plugins, but only when there are no extenders either.
        let base = i64::from(profile.at(Point::Score).is_empty());
        for (total, extra) in e.totals.iter_mut().zip(extra) {
            *total = total.saturating_sub(base).saturating_add(extra);
        }
    }
    if let Some(choice) = e.choose(profile, pod, view, ties) {
        return Extended::Verdict(Ok(choice).into());
    }
    let result = Err(Failure::Fit(Box::new(e.fit_error(nodes))));
    let after = (!profile.at(Point::PostFilter).is_empty()).then(|| Box::new(e.after_filter(view)));
    Extended::Verdict(Verdict { result, after })
}
