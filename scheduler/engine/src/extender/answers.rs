//! What extenders have answered in the cycle of one pod.

use hashbrown::{HashMap, HashSet};
use headroom_core::Str;

use super::{ExtenderAnswer, ExtenderRequest, MAX_PRIORITY, NamedVictims, is_interested};
use crate::{
    config::Extender,
    framework::{Code, MAX_NODE_SCORE, PodInfo},
};

/// Answers by extender.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    filters: HashMap<usize, Result<Asked, String>>,
    scores: HashMap<usize, Vec<(Str, i64)>>,
    preemptions: HashMap<usize, Result<Vec<NamedVictims>, String>>,
}

/// A filter's question and its answer.
#[derive(Debug)]
struct Asked {
    left: HashSet<Str>,
    rejected: HashMap<Str, (Code, Option<String>)>,
}

/// What is left of the feasible nodes.
#[derive(Debug)]
pub(crate) enum Filtered {
    /// This extender has to be asked first.
    Ask(usize, ExtenderRequest),
    /// An extender failed, and the pod with it.
    Failed(String),
    /// Places in the list of nodes given that are left, and why the others are not.
    Done { left: Vec<usize>, rejected: Vec<(usize, Code, Option<String>)> },
}

impl Answers {
    /// Takes an answer in.
    pub(crate) fn add(&mut self, at: usize, request: &ExtenderRequest, answer: Result<ExtenderAnswer, String>) {
        match (request, answer) {
            (ExtenderRequest::Filter { nodes: asked }, answer) => {
                let checked = answer.and_then(|answer| check(asked, answer));
                self.filters.insert(at, checked);
            }
            (ExtenderRequest::Prioritize { .. }, Ok(ExtenderAnswer::Prioritize(scores))) => {
                self.scores.insert(at, scores);
            }
            // Without scores of this one the others decide, as upstream.
            (ExtenderRequest::Prioritize { .. }, _) => {
                self.scores.insert(at, Vec::new());
            }
            (ExtenderRequest::Preempt { .. }, answer) => {
                let named = answer.and_then(|answer| match answer {
                    ExtenderAnswer::Preempt(named) => Ok(named),
                    _ => Err("it answered another question".to_owned()),
                });
                self.preemptions.insert(at, named);
            }
            (ExtenderRequest::Bind { .. }, _) => {}
        }
    }

    /// What this extender said of the candidates, once it was asked.
    pub(crate) fn preemption(&self, at: usize) -> Option<&Result<Vec<NamedVictims>, String>> {
        self.preemptions.get(&at)
    }

    /// Runs the filters of all interested extenders, one after the other, over the feasible nodes.
    pub(crate) fn filter(&self, extenders: &[Extender], pod: &PodInfo, nodes: &[&Str]) -> Filtered {
        let mut left: Vec<usize> = (0..nodes.len()).collect();
        let mut rejected = Vec::new();
        for (at, extender) in extenders.iter().enumerate() {
            if left.is_empty() {
                break;
            }
            if extender.filter_verb.is_empty() || !is_interested(extender, pod) {
                continue;
            }
            match self.filters.get(&at) {
                None => {
                    let nodes = left.iter().map(|i| nodes[*i].clone()).collect();
                    return Filtered::Ask(at, ExtenderRequest::Filter { nodes });
                }
                Some(Err(_)) if extender.ignorable => {}
                Some(Err(error)) => return Filtered::Failed(error.clone()),
                Some(Ok(asked)) => left.retain(|i| {
                    let keep = asked.left.contains(nodes[*i]);
                    if !keep {
                        // Upstream's status of a node that nobody speaks of: unresolvable, without a reason.
                        let silent = (Code::UnschedulableAndUnresolvable, None);
                        let (code, why) = asked.rejected.get(nodes[*i]).cloned().unwrap_or(silent);
                        rejected.push((*i, code, why));
                    }
                    keep
                }),
            }
        }
        Filtered::Done { left, rejected }
    }

    /// What extenders add to the totals of these nodes, or which of them has to be asked first.
    ///
    /// # Errors
    /// The question.
    pub(crate) fn scores(
        &self,
        extenders: &[Extender],
        pod: &PodInfo,
        nodes: &[&Str],
    ) -> Result<Vec<i64>, (usize, ExtenderRequest)> {
        let mut totals = vec![0_i64; nodes.len()];
        for (at, extender) in extenders.iter().enumerate() {
            if extender.prioritize_verb.is_empty() || !is_interested(extender, pod) {
                continue;
            }
            let Some(scores) = self.scores.get(&at) else {
                return Err((at, ExtenderRequest::Prioritize { nodes: nodes.iter().map(|n| (*n).clone()).collect() }));
            };
            let mut by_name: HashMap<&str, i64> = HashMap::new();
            for (node, score) in scores {
                let weighted = score.saturating_mul(extender.weight).saturating_mul(MAX_NODE_SCORE / MAX_PRIORITY);
                let total = by_name.entry(node.as_str()).or_default();
                *total = total.saturating_add(weighted);
            }
            for (total, node) in totals.iter_mut().zip(nodes) {
                *total = total.saturating_add(by_name.get(node.as_str()).copied().unwrap_or(0));
            }
        }
        Ok(totals)
    }
}

/// An answer may only name nodes that were asked about.
fn check(asked: &[Str], answer: ExtenderAnswer) -> Result<Asked, String> {
    let ExtenderAnswer::Filter { nodes, failed, unresolvable } = answer else {
        return Err("it answered another question".to_owned());
    };
    let known: HashSet<&Str> = asked.iter().collect();
    let left: HashSet<Str> = nodes.into_iter().flatten().collect();
    if let Some(stranger) = left.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "extender claims a filtered node {:?} which is not found in the input node list",
            &**stranger
        ));
    }
    let mut rejected: HashMap<Str, (Code, Option<String>)> =
        failed.into_iter().map(|(node, why)| (node, (Code::Unschedulable, Some(why)))).collect();
    // Who stands in both lists cannot be helped.
    rejected
        .extend(unresolvable.into_iter().map(|(node, why)| (node, (Code::UnschedulableAndUnresolvable, Some(why)))));
    Ok(Asked { left, rejected })
}
