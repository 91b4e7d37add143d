//! A profile: plugins in their order at each extension point, and how they are run (`framework/runtime`).

mod filter;
mod score;

use hashbrown::{HashMap, HashSet};
use headroom_core::Str;

use super::{
    erased::{DynPlugin, State},
    plugin::{Point, Reads, Signature, View},
    plugin_set::{Places, PluginId, PluginNames, PluginSet},
    pod_info::PodInfo,
    status::Status,
};
use crate::queue::Spans;

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
    /// See [`narrow`].
    pub(crate) narrow: Option<Vec<i32>>,
}

/// The weights for totals of 32 bits, when no sum of scores of the plugins at these places can be larger, whatever eight
/// bits a plugin makes of them.
///
/// Upstream refuses weights with which totals of 64 bits could overflow ("total score of Score plugins could overflow"):
/// those of a configuration have 32 bits each, so that it never comes to that. Where 32 are too few, the plain path
/// decides.
pub(crate) fn narrow(weights: &[i64], score: &[usize]) -> Option<Vec<i32>> {
    let largest = score.iter().try_fold(1_i64, |sum, place| {
        weights.get(*place)?.checked_mul(u8::MAX.into()).and_then(|most| sum.checked_add(most))
    })?;
    i32::try_from(largest).ok()?;
    weights.iter().map(|weight| i32::try_from(*weight).ok()).collect()
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
