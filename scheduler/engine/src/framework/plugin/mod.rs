//! The trait that plugins implement (`kube-scheduler/framework/interface.go`; reference 1.1).

mod answers;
mod cx;
mod point;

use std::fmt::Debug;

use headroom_core::Str;

pub use self::{
    answers::{Permit, PreFilter, PreFlight, PreScore, Reads, Signature, Step},
    cx::{BindCx, QueueItem, ReserveCx, View},
    point::{Point, Points},
};
use super::{
    events::{Change, Hint, Interest},
    pod_info::PodInfo,
    post_filter::{PostFilter, PostFilterCx},
    status::{Code, Status},
};
use crate::{cache::NodeInfo, queue::WaitingPods};

/// Highest normalised score; the lowest is 0.
pub const MAX_NODE_SCORE: i64 = 100;

/// A plugin: one trait with one method per extension point, of which [`Plugin::points`] names those that are called.
///
/// The states of a cycle are types of the plugin's own: PreFilter returns what Filter borrows, PreScore returns what
/// Score borrows. They are erased once, in `framework::erased`, so that no plugin ever looks a state up by a key.
///
/// A plugin that [`Reads::Node`] must answer PreFilter, Filter, PreScore and Score as functions of the pod's spec, of
/// what [`Plugin::signature`] adds, of the node given and of what [`Plugin::epoch`] numbers, and of nothing else.
pub trait Plugin: Send + 'static {
    /// What PreFilter computes for Filter.
    type Filter: Default + Clone + Debug + Send + 'static;
    /// What PreScore computes for Score.
    type Score: Default + Clone + Debug + Send + 'static;
    /// A raw score.
    type Raw: Default + Copy + PartialEq + Debug + Send + 'static;
    /// What normalising needs to know of all raw scores, for example their maximum.
    type Bounds: Default + Copy + PartialEq + Debug + Send + 'static;

    /// The name in configuration files, messages and metrics.
    fn name(&self) -> &'static str;
    /// The extension points that it implements.
    fn points(&self) -> Points;
    /// The events that can make a pod schedulable which this plugin rejected.
    fn events(&self) -> Vec<Interest> {
        Vec::new()
    }
    /// Whether an event of a hinted interest is worth another attempt for `pod`, which this plugin rejected.
    fn hint(&self, _change: &Change, _pod: &PodInfo, _view: &View<'_>) -> Hint {
        Hint::Queue
    }
    /// What Filter and Score depend on for this pod.
    fn reads(&self, _pod: &PodInfo) -> Reads {
        Reads::Node
    }
    /// Adds what the plugin reads of `pod` besides its spec (for plugins that read the node alone).
    fn signature(&self, _pod: &PodInfo, _view: &View<'_>, _signature: &mut Signature) {}
    /// A number that changes whenever something outside node and pod changed that the plugin reads.
    fn epoch(&self, _view: &View<'_>) -> u64 {
        0
    }

    /// PreEnqueue: whether the pod may be tried at all.
    fn pre_enqueue(&self, _pod: &PodInfo) -> Status {
        Status::SUCCESS
    }
    /// QueueSort: whether `a` is to be tried before `b`.
    fn less(&self, _a: &QueueItem<'_>, _b: &QueueItem<'_>) -> bool {
        false
    }
    /// PreFilter.
    fn pre_filter(&self, _pod: &PodInfo, _view: &View<'_>) -> PreFilter<Self::Filter> {
        PreFilter::Continue(Self::Filter::default())
    }
    /// PreFilterExtensions.AddPod: `added` is taken to be on `node` as well.
    fn add_pod(&self, _state: &mut Self::Filter, _pod: &PodInfo, _added: &PodInfo, _node: &NodeInfo, _view: &View<'_>) {
    }
    /// PreFilterExtensions.RemovePod: `removed` is taken to be gone from `node`.
    fn remove_pod(
        &self,
        _state: &mut Self::Filter,
        _pod: &PodInfo,
        _removed: &PodInfo,
        _node: &NodeInfo,
        _view: &View<'_>,
    ) {
    }
    /// Filter.
    fn filter(&self, _state: &Self::Filter, _pod: &PodInfo, _node: &NodeInfo) -> Status {
        Status::SUCCESS
    }
    /// Filter for all nodes at once, for plugins that read more than the node: closes the slots of the nodes that it rejects.
    /// False, and nothing done, when there is no quicker way than to ask for every node.
    fn filter_rows(&self, _state: &Self::Filter, _pod: &PodInfo, _open: &mut [bool]) -> bool {
        false
    }
    /// PostFilter: no node is feasible. It changes nothing: what it wants done is in its answer.
    fn post_filter(&self, _pod: &PodInfo, _cx: &PostFilterCx<'_>) -> PostFilter {
        PostFilter::failed(Status::with_reasons(Code::Unschedulable, Vec::new()))
    }
    /// A preemption that this plugin asked for began to be carried out, or came to its end, for the pod with this UID.
    fn preempting(&mut self, _pod: &Str, _running: bool) {}
    /// PreScore. `feasible` is empty for plugins that read the node alone.
    fn pre_score(&self, _pod: &PodInfo, _feasible: &[&NodeInfo], _view: &View<'_>) -> PreScore<Self::Score> {
        PreScore::Continue(Self::Score::default())
    }
    /// The same, the feasible nodes given as open slots. Absent: PreScore is to be asked.
    fn pre_score_rows(&self, _pod: &PodInfo, _open: &[bool], _view: &View<'_>) -> Option<PreScore<Self::Score>> {
        None
    }
    /// The state for Score of a plugin without PreScore.
    fn score_state(&self, _pod: &PodInfo, _view: &View<'_>) -> Self::Score {
        Self::Score::default()
    }
    /// False when the normalised score of this pod is 0 on every node whichever nodes are feasible, or PreScore skips:
    /// then a plugin that reads the cluster need not be asked.
    fn may_score(&self, _pod: &PodInfo, _view: &View<'_>) -> bool {
        true
    }
    /// Score: a raw score.
    ///
    /// # Errors
    /// A status that fails the whole cycle.
    fn score(&self, _state: &Self::Score, _pod: &PodInfo, _node: &NodeInfo) -> Result<Self::Raw, Status> {
        Ok(Self::Raw::default())
    }
    /// Score for all open slots at once, for plugins that read more than the node. False when there is no quicker way than
    /// to ask for every node.
    fn score_rows(&self, _state: &Self::Score, _pod: &PodInfo, _open: &[bool], _raw: &mut [Self::Raw]) -> bool {
        false
    }
    /// Whether the bounds would be the same without this raw score. Said too seldom it costs time, said wrongly it makes the
    /// kept bounds wrong.
    fn inside(&self, _bounds: &Self::Bounds, _raw: &Self::Raw) -> bool {
        false
    }
    /// Takes a raw score into account.
    fn bound(&self, _bounds: &mut Self::Bounds, _raw: &Self::Raw) {}
    /// Takes into account what other bounds were made of. False when there is no telling: then all raw scores are looked
    /// at again where a part of them would do.
    fn join(&self, _bounds: &mut Self::Bounds, _others: &Self::Bounds) -> bool {
        false
    }
    /// Two ends around these bounds for which holds: a raw score that is normalised alike with both is so with all bounds
    /// between them ([`Plugin::between`]). The nearer, the fewer raw scores are not. Absent when there are none; then
    /// everything is normalised anew whenever the bounds change.
    fn around(&self, _bounds: &Self::Bounds) -> Option<[Self::Bounds; 2]> {
        None
    }
    /// Whether the bounds lie between such ends.
    fn between(&self, _bounds: &Self::Bounds, _ends: &[Self::Bounds; 2]) -> bool {
        false
    }
    /// NormalizeScore: 0 to [`MAX_NODE_SCORE`].
    fn normalize(&self, _raw: &Self::Raw, _bounds: &Self::Bounds) -> i64 {
        0
    }
    /// NormalizeScore for all open slots at once. False when there is no quicker way than to ask for every node.
    fn normalize_rows(
        &self,
        _raw: &[Self::Raw],
        _bounds: &Self::Bounds,
        _open: &[bool],
        _normalized: &mut [u8],
    ) -> bool {
        false
    }
    /// Which of two nodes with equal totals is better: the larger key, compared from the left. Only plugins that read
    /// the node alone are asked.
    fn tie_key(&self, _state: &Self::Score, _pod: &PodInfo, _node: &NodeInfo) -> TieKey {
        TieKey::default()
    }
    /// Score and tie key, for plugins that make both of one thing: exactly what the two say alone.
    ///
    /// # Errors
    /// A status that fails the whole cycle.
    fn score_and_key(
        &self,
        state: &Self::Score,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<(Self::Raw, TieKey), Status> {
        Ok((self.score(state, pod, node)?, self.tie_key(state, pod, node)))
    }
    /// Reserve: the pod was assumed on the node.
    fn reserve(&mut self, _cx: &mut ReserveCx<'_>, _pod: &PodInfo, _node: &Str) -> Status {
        Status::SUCCESS
    }
    /// Unreserve: it was not after all. Must be idempotent.
    fn unreserve(&mut self, _cx: &mut ReserveCx<'_>, _pod: &PodInfo, _node: &Str) {}
    /// Permit. About a pod that it holds a plugin is asked again: after each Reserve, Unreserve and PostBind of any pod,
    /// and otherwise once a second, with the pod's newest version. What it says then counts, but the time does not begin
    /// anew.
    fn permit(&mut self, _pod: &PodInfo, _node: &Str) -> Permit {
        Permit::Allow
    }
    /// PreBindPreFlight.
    fn pre_bind_pre_flight(&mut self, _pod: &PodInfo, _node: &Str) -> PreFlight {
        PreFlight::Work
    }
    /// PreBind.
    fn pre_bind(&mut self, _cx: &mut BindCx<'_>, _pod: &PodInfo, _node: &Str) -> Step {
        Step::Done(Status::SUCCESS)
    }
    /// Bind.
    fn bind(&mut self, _cx: &mut BindCx<'_>, _pod: &PodInfo, _node: &Str) -> Step {
        Step::Done(Status::SKIP)
    }
    /// PostBind.
    fn post_bind(&mut self, _pod: &PodInfo, _node: &Str) {}

    /// UIDs of pods that are to be tried at once, whatever they wait for (upstream's `PodsToActivate` and `Activate`).
    /// Asked after each pod of the profile that passed Permit, after each Unreserve and after each PostBind; the first
    /// 256 of an answer count. PreEnqueue still keeps out whom it keeps out.
    fn pods_to_activate(&mut self, _waiting: &WaitingPods<'_>) -> Vec<Str> {
        Vec::new()
    }
}

/// Breaks ties between equal totals; larger is better, compared from the left.
pub type TieKey = [i64; 2];

/// The points by which upstream's `DefaultNormalizeScore` scales: the largest raw score becomes 100; reversed, 0.
#[must_use]
pub fn default_normalize(raw: i64, max: i64, reverse: bool) -> i64 {
    if max == 0 {
        return if reverse { MAX_NODE_SCORE } else { raw };
    }
    // In 128 bits: raw scores are sums of weights and counts, but nothing bounds them formally.
    let scaled =
        i64::try_from(i128::from(MAX_NODE_SCORE) * i128::from(raw) / i128::from(max)).unwrap_or(MAX_NODE_SCORE);
    if reverse { MAX_NODE_SCORE - scaled } else { scaled }
}
