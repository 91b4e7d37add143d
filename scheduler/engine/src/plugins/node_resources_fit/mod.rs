//! `NodeResourcesFit`: the node has what the pod requests; and three ways of preferring nodes by what is requested on
//! them (upstream `plugins/noderesources/fit.go`; reference 3.7).

mod args;
mod score;

use std::borrow::Cow;

use headroom_core::{object::Node, resource::Resources};
use serde_json::Value;

pub use self::args::ResourceSpec;
use self::{args::Args, score::Scorer};
use crate::{
    cache::NodeInfo,
    framework::{
        Actions, ArgsError, Change, Code, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreFilter,
        PreScore, Reason, Status, View,
    },
};

/// Most reasons given for one node. Upstream gives one for each resource that lacks; a pod may ask for thousands, and
/// the reasons are kept for every node.
const MAX_REASONS: usize = 64;

/// The plugin.
#[derive(Debug)]
pub struct NodeResourcesFit {
    args: Args,
    scorer: Scorer,
}

impl NodeResourcesFit {
    /// From `NodeResourcesFitArgs`.
    ///
    /// # Errors
    /// Unknown fields, and everything that upstream's validation refuses.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args = Args::decode(args)?;
        let scorer = Scorer::new(&args.scoring_strategy);
        Ok(Self { args, scorer })
    }

    fn ignores(&self, resource: &str) -> bool {
        if self.args.ignored_resources.is_empty() && self.args.ignored_resource_groups.is_empty() {
            return false;
        }
        // Only extended resources can be ignored.
        let Some((domain, _)) = resource.split_once('/').filter(|_| is_extended(resource)) else { return false };
        self.args.ignored_resources.iter().any(|r| r == resource)
            || self.args.ignored_resource_groups.iter().any(|g| g == domain)
    }

    /// What the node lacks, but for resources that are ignored: see [`lacking`].
    fn lacking(&self, wanted: &Resources, pods: usize, used: &Resources, node: &Node) -> (Vec<Reason>, bool) {
        lacking(wanted, pods, used, node, |resource| self.ignores(resource))
    }

    /// Whether the place that `gone` left cannot help: the pod lacks something there still, next to those for which room
    /// is kept, and could have preempted `gone` before, so that preemption finds nothing new either. A pod that is nominated
    /// to that node is always tried: the room that was made for it may have been taken.
    ///
    /// Stricter than upstream, whose hint does not look at the node: its preemptors are tried again at every victim of
    /// the others.
    fn in_vain(&self, gone: &PodInfo, pod: &PodInfo, view: &View<'_>) -> bool {
        let Some(name) = gone.pod.node_name.as_ref() else { return false };
        let Some(node) = view.cache.slot(name).and_then(|slot| view.row(slot)) else { return false };
        if gone.priority() >= pod.priority() || view.nominated.is_some_and(|n| n.node_of(pod.uid()) == Some(name)) {
            return false;
        }
        let mut used = Cow::Borrowed(&node.requested);
        let mut pods = node.pods.len();
        for before in view.nominated.into_iter().flat_map(|n| n.before(pod, name)) {
            used.to_mut().add(&before.spec.requests);
            pods += 1;
        }
        !self.lacking(&pod.spec.requests, pods, &used, &node.node).0.is_empty()
    }

    fn fits_empty(&self, pod: &PodInfo, node: &Node) -> bool {
        self.lacking(&pod.spec.requests, 0, &Resources::default(), node).0.is_empty()
    }
}

/// Whether a resource is an extended one: with a domain that is not Kubernetes' own.
pub(crate) fn is_extended(resource: &str) -> bool {
    let foreign = resource.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"));
    foreign && !resource.starts_with("requests.")
}

/// What the node lacks where so many pods use so much of it: reasons, and whether it would lack it even if it were empty.
/// Resources other than CPU, memory and disk can be left out of account (`ignores`).
pub(crate) fn lacking(
    wanted: &Resources,
    pods: usize,
    used: &Resources,
    node: &Node,
    ignores: impl Fn(&str) -> bool,
) -> (Vec<Reason>, bool) {
    let has = &node.allocatable;
    let mut reasons: Vec<Reason> = Vec::new();
    let mut unresolvable = false;
    if pods as i64 >= has.pods {
        reasons.push("Too many pods".into());
    }
    if wanted.milli_cpu == 0 && wanted.memory == 0 && wanted.ephemeral_storage == 0 && wanted.scalars.is_empty() {
        return (reasons, unresolvable);
    }
    for (reason, wanted, used, has) in [
        ("Insufficient cpu", wanted.milli_cpu, used.milli_cpu, has.milli_cpu),
        ("Insufficient memory", wanted.memory, used.memory, has.memory),
        ("Insufficient ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, has.ephemeral_storage),
    ] {
        if wanted > 0 && wanted > has.saturating_sub(used) {
            reasons.push(reason.into());
            unresolvable |= wanted > has;
        }
    }
    for (name, wanted) in &wanted.scalars {
        if *wanted == 0 || ignores(name) {
            continue;
        }
        let has = has.get(name);
        if *wanted > has || *wanted > has.saturating_sub(used.get(name)) {
            unresolvable |= *wanted > has;
            if reasons.len() < MAX_REASONS {
                reasons.push(format!("Insufficient {name}").into());
            }
        }
    }
    (reasons, unresolvable)
}

/// Whether a resource that the pod asks for grew.
fn wanted_grew(pod: &PodInfo, old: &Node, new: &Node) -> bool {
    let wanted = &pod.spec.requests;
    let grew = |name: &str| new.allocatable.get(name) > old.allocatable.get(name);
    new.allocatable.pods > old.allocatable.pods
        || (wanted.milli_cpu > 0 && grew("cpu"))
        || (wanted.memory > 0 && grew("memory"))
        || (wanted.ephemeral_storage > 0 && grew("ephemeral-storage"))
        || wanted.scalars.iter().any(|(name, amount)| *amount > 0 && grew(name))
}

/// Whether the pod that left held something that `pod` asks for; every pod holds a place.
fn freed_wanted(gone: &PodInfo, shrunk_to: Option<&PodInfo>, pod: &PodInfo) -> bool {
    let Some(now) = shrunk_to else { return true };
    let (was, is, wanted) = (&gone.spec.requests, &now.spec.requests, &pod.spec.requests);
    (wanted.milli_cpu > 0 && was.milli_cpu > is.milli_cpu)
        || (wanted.memory > 0 && was.memory > is.memory)
        || (wanted.ephemeral_storage > 0 && was.ephemeral_storage > is.ephemeral_storage)
        || wanted.scalars.iter().any(|(name, amount)| *amount > 0 && was.get(name) > is.get(name))
}

impl Plugin for NodeResourcesFit {
    type Filter = ();
    /// The pod's request of each resource that is scored.
    type Score = Vec<i64>;
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Pod, Actions::DELETE.or(Actions::UPDATE_POD_SCALE_DOWN)),
            Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_ALLOCATABLE)),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
        let queue = match change {
            Change::Node { old, new: Some(new) } => {
                self.fits_empty(pod, new) && old.as_ref().is_none_or(|old| wanted_grew(pod, old, new))
            }
            Change::Pod { old: Some(old), new: None } => freed_wanted(old, None, pod) && !self.in_vain(old, pod, view),
            Change::Pod { old: Some(old), new: Some(new) } => {
                // The pod itself asks for less, or one on a node gave something back.
                new.uid() == pod.uid() || (new.pod.node_name.is_some() && freed_wanted(old, Some(new), pod))
            }
            _ => true,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn pre_filter(&self, _: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        PreFilter::Continue(())
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        let (reasons, unresolvable) = self.lacking(&pod.spec.requests, node.pods.len(), &node.requested, &node.node);
        if reasons.is_empty() {
            return Status::SUCCESS;
        }
        Status::with_reasons(
            if unresolvable { Code::UnschedulableAndUnresolvable } else { Code::Unschedulable },
            reasons,
        )
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], _: &View<'_>) -> PreScore<Vec<i64>> {
        PreScore::Continue(self.scorer.requests(&pod.spec))
    }

    fn score(&self, wanted: &Vec<i64>, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        Ok(self.scorer.score(wanted, node))
    }

    fn normalize(&self, raw: &i64, (): &()) -> i64 {
        *raw
    }
}

#[cfg(test)]
mod tests;
