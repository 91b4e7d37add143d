//! `DefaultPreemption`: a pod that fits nowhere may take the place of pods of less priority (upstream
//! `plugins/defaultpreemption` and `framework/preemption`; reference 3.20).
//!
//! This plugin decides, without side effects: whether the pod may preempt, on which node, and whom. What is done then,
//! asynchronously as upstream, is the engine's part (`engine::preempt`); while it goes on the plugin keeps the pod out of
//! the active queue (PreEnqueue).
//!
//! Different on purpose: the search for candidates starts at an offset that follows from the pod's UID and not from a
//! random number, and equal candidates are told apart by their order, so that the same cluster gives the same answer.

mod args;
mod pick;
mod victims;

use hashbrown::HashSet;
use headroom_core::{Str, object::Status as ConditionStatus};
use serde_json::Value;

use self::{args::Args, victims::NO_VICTIMS};
use crate::{
    fit_error::FitError,
    framework::{
        Actions, ArgsError, Candidate, Change, Code, Consultation, EventResource, Hint, Interest, Plugin, PluginId,
        PodInfo, Point, Points, PostFilter, PostFilterCx, Preemption, Rejection, Status, View,
    },
};

/// Its name.
pub const NAME: &str = "DefaultPreemption";

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

/// The plugin.
#[derive(Debug)]
pub struct DefaultPreemption {
    args: Args,
    /// UIDs of pods whose preemption is being carried out.
    preempting: HashSet<Str>,
}

impl DefaultPreemption {
    /// From `DefaultPreemptionArgs`.
    ///
    /// # Errors
    /// Unknown fields, and everything that upstream's validation refuses.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        Ok(Self { args: Args::decode(args)?, preempting: HashSet::new() })
    }

    fn preempt(&self, pod: &PodInfo, cx: &PostFilterCx<'_>) -> PostFilter {
        if let Err(reason) = eligible(pod, cx) {
            return PostFilter::failed(Status::unschedulable(reason));
        }
        let (candidates, diagnosis) = match self.candidates(pod, cx) {
            Ok(found) => found,
            Err(message) => return PostFilter::failed(Status::error(message)),
        };
        if candidates.is_empty() {
            return PostFilter {
                status: Status::unschedulable(diagnosis.to_string()),
                nominated: Some(None),
                ..PostFilter::default()
            };
        }
        let candidates = match cx.consult(pod, candidates) {
            Ok(left) => left,
            Err(Consultation::Ask(question)) => {
                return PostFilter { question: Some(question), ..PostFilter::default() };
            }
            Err(Consultation::Failed(message)) => return PostFilter::failed(Status::error(message)),
        };
        match pick::pick(candidates, cx.view.now.wall) {
            Some(Candidate { node, victims, .. }) => PostFilter {
                status: Status::SUCCESS,
                nominated: Some(Some(node.clone())),
                preemption: Some(Preemption { plugin: NAME, node, victims }),
                question: None,
            },
            None => PostFilter::failed(Status::unschedulable("no candidate node for preemption")),
        }
    }

    /// Nodes on which room could be made, and why none could on the others (`findCandidates`, `DryRunPreemption`).
    fn candidates(&self, pod: &PodInfo, cx: &PostFilterCx<'_>) -> Result<(Vec<Candidate>, FitError), String> {
        let potential: Vec<_> = cx.nodes().filter(|n| n.code == Code::Unschedulable).map(|n| n.slot).collect();
        let wanted = self.args.candidates(potential.len());
        let offset = if potential.is_empty() { 0 } else { (cx.hash() % potential.len() as u64) as usize };
        let (mut clean, mut violating) = (Vec::new(), Vec::new());
        let mut diagnosis = Diagnosis::default();
        let mut failure = None;
        for slot in potential.iter().cycle().skip(offset).take(potential.len()) {
            match victims::select(pod, *slot, cx) {
                Ok(candidate) => {
                    let list = if candidate.violations == 0 { &mut clean } else { &mut violating };
                    list.push(candidate);
                    if !clean.is_empty() && clean.len() + violating.len() >= wanted {
                        break;
                    }
                }
                Err(status) => {
                    if status.code() == Code::Error && failure.is_none() {
                        failure = Some(status.message());
                    }
                    diagnosis.add(status);
                }
            }
        }
        clean.append(&mut violating);
        match failure {
            Some(message) if clean.is_empty() => Err(message),
            _ => {
                let nodes = cx.view.cache.node_count();
                Ok((clean, diagnosis.finish(nodes)))
            }
        }
    }
}

/// Why the nodes that were tried are no candidates. Most say the same, which is only counted.
#[derive(Debug, Default)]
struct Diagnosis {
    tried: usize,
    without_victims: usize,
    others: Vec<Status>,
}

impl Diagnosis {
    fn add(&mut self, status: Status) {
        self.tried += 1;
        if status.reasons() == [NO_VICTIMS] {
            self.without_victims += 1;
        } else {
            self.others.push(status);
        }
    }

    /// The message, with what is said of all nodes that were not tried.
    fn finish(self, nodes: usize) -> FitError {
        let mut error = FitError::new(nodes);
        // Who rejected does not matter here: these sets are not used.
        let plugin = PluginId(0);
        for status in self.others {
            error.add(&Rejection { plugin, status });
        }
        error.count(NO_VICTIMS.into(), self.without_victims);
        error.count(NOT_HELPFUL.into(), nodes.saturating_sub(self.tried));
        error
    }
}

/// Whether the pod may preempt others (`PodEligibleToPreemptOthers`).
fn eligible(pod: &PodInfo, cx: &PostFilterCx<'_>) -> Result<(), &'static str> {
    if pod.pod.spec.preemption_policy == headroom_core::object::PreemptionPolicy::Never {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    let Some(name) = pod.pod.status.nominated_node_name.as_ref().filter(|n| !n.is_empty()) else { return Ok(()) };
    let Some((slot, node)) = cx.view.cache.slot(name).and_then(|slot| Some((slot, cx.view.row(slot)?))) else {
        return Ok(());
    };
    // Removing pods from there cannot help any more: another node may be looked for.
    if cx.nodes().any(|n| n.slot == slot && n.code == Code::UnschedulableAndUnresolvable) {
        return Ok(());
    }
    let leaving = |p: &&PodInfo| p.priority() < pod.priority() && terminating_by_preemption(p);
    match node.pods.iter().find(leaving) {
        Some(_) => Err("not eligible due to a terminating pod on the nominated node."),
        None => Ok(()),
    }
}

/// Whether the pod goes because the scheduler preempted it.
fn terminating_by_preemption(pod: &PodInfo) -> bool {
    pod.pod.meta.is_terminating()
        && pod
            .pod
            .condition("DisruptionTarget")
            .is_some_and(|c| c.status == ConditionStatus::True && c.reason == "PreemptionByScheduler")
}

impl Plugin for DefaultPreemption {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreEnqueue, Point::PostFilter])
    }

    fn events(&self) -> Vec<Interest> {
        // So that a pod that was held is looked at again; what it waits for is said by who rejected it.
        vec![Interest::hinted(EventResource::Pod, Actions::DELETE)]
    }

    fn hint(&self, _: &Change, _: &PodInfo, _: &View<'_>) -> Hint {
        Hint::Skip
    }

    fn pre_enqueue(&self, pod: &PodInfo) -> Status {
        if self.preempting.contains(pod.uid()) {
            return Status::unresolvable("waiting for the preemption for this pod to be finished");
        }
        Status::SUCCESS
    }

    fn post_filter(&self, pod: &PodInfo, cx: &PostFilterCx<'_>) -> PostFilter {
        let answer = self.preempt(pod, cx);
        let message = answer.status.message();
        if message.is_empty() {
            return answer;
        }
        PostFilter { status: Status::new(answer.status.code(), format!("preemption: {message}")), ..answer }
    }

    fn preempting(&mut self, pod: &Str, running: bool) {
        if running {
            self.preempting.insert(pod.clone());
        } else {
            self.preempting.remove(pod);
        }
    }
}

#[cfg(test)]
mod tests;
