//! The trait that plugins implement (`kube-scheduler/framework/interface.go`; reference 1.1).

use std::{fmt::Debug, time::Duration};

use headroom_core::{
    Mono, Now, Str,
    intent::{Op, Outcome},
};

use super::{
    events::{Change, Hint, Interest},
    pod_info::PodInfo,
    post_filter::{PostFilter, PostFilterCx},
    status::{Code, Status},
};
use crate::cache::{Cache, NodeInfo, Slot};

/// Highest normalised score; the lowest is 0.
pub const MAX_NODE_SCORE: i64 = 100;

/// The extension points, in the order of their execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Point {
    /// Before a pod enters the active queue.
    PreEnqueue,
    /// Order of the active queue.
    QueueSort,
    /// Once per cycle.
    PreFilter,
    /// Per node.
    Filter,
    /// When no node is feasible.
    PostFilter,
    /// Once per cycle, before scoring.
    PreScore,
    /// Per feasible node, normalising included.
    Score,
    /// After the pod was assumed.
    Reserve,
    /// Last in the scheduling cycle: may hold the pod.
    Permit,
    /// Before binding.
    PreBind,
    /// Binding.
    Bind,
    /// After it.
    PostBind,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::PreEnqueue,
        Self::QueueSort,
        Self::PreFilter,
        Self::Filter,
        Self::PostFilter,
        Self::PreScore,
        Self::Score,
        Self::Reserve,
        Self::Permit,
        Self::PreBind,
        Self::Bind,
        Self::PostBind,
    ];

    /// The label used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreEnqueue => "PreEnqueue",
            Self::QueueSort => "QueueSort",
            Self::PreFilter => "PreFilter",
            Self::Filter => "Filter",
            Self::PostFilter => "PostFilter",
            Self::PreScore => "PreScore",
            Self::Score => "Score",
            Self::Reserve => "Reserve",
            Self::Permit => "Permit",
            Self::PreBind => "PreBind",
            Self::Bind => "Bind",
            Self::PostBind => "PostBind",
        }
    }

    /// The field in a profile's `plugins`.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::PreEnqueue => "preEnqueue",
            Self::QueueSort => "queueSort",
            Self::PreFilter => "preFilter",
            Self::Filter => "filter",
            Self::PostFilter => "postFilter",
            Self::PreScore => "preScore",
            Self::Score => "score",
            Self::Reserve => "reserve",
            Self::Permit => "permit",
            Self::PreBind => "preBind",
            Self::Bind => "bind",
            Self::PostBind => "postBind",
        }
    }
}

/// The extension points that a plugin implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points(u16);

impl Points {
    /// These points.
    #[must_use]
    pub const fn of(points: &[Point]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < points.len() {
            bits |= 1 << points[i] as u16;
            i += 1;
        }
        Self(bits)
    }

    /// Whether `point` is one of them.
    #[must_use]
    pub const fn has(self, point: Point) -> bool {
        self.0 & (1 << point as u16) != 0
    }
}

/// What a plugin's verdict and score on a node depend on, besides the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// That node alone, and what [`Plugin::epoch`] stands for: both are kept per class of pods and node and computed
    /// again only when the node or the epoch changed.
    Node,
    /// More of the cluster: computed in every cycle. What the other plugins say of the pod's class is kept all the same.
    Cluster,
}

/// What a plugin may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Nodes, their pods, namespaces.
    pub cache: &'a Cache,
    /// The time of this cycle.
    pub now: Now,
    /// Since when the pod has been found unschedulable, if it has been.
    pub unschedulable_since: Option<headroom_core::Timestamp>,
    /// A node as it would be: takes the place of the one in the cache.
    pub(crate) overlay: Option<(Slot, &'a NodeInfo)>,
}

impl<'a> View<'a> {
    /// The cluster at this time.
    #[must_use]
    pub const fn new(cache: &'a Cache, now: Now) -> Self {
        Self { cache, now, unschedulable_since: None, overlay: None }
    }

    /// The node in a slot.
    #[must_use]
    pub fn row(&self, slot: Slot) -> Option<&'a NodeInfo> {
        match self.overlay {
            Some((at, row)) if at == slot => Some(row),
            _ => self.cache.row(slot),
        }
    }

    /// All nodes with their slots, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = (Slot, &'a NodeInfo)> + use<'a> {
        let this = *self;
        this.cache.nodes().filter_map(move |(slot, _)| Some((slot, this.row(slot)?)))
    }
}

/// What a plugin reads of a pod besides its spec, as numbers: pods whose spec and numbers are equal form a class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Signature(Vec<u64>);

impl Signature {
    /// Adds a number.
    pub fn push(&mut self, n: u64) {
        self.0.push(n);
    }

    /// Adds text.
    pub fn push_str(&mut self, text: &str) {
        self.0.push(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_le_bytes(word));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// The answer of PreFilter.
#[derive(Debug, Clone, PartialEq)]
pub enum PreFilter<S> {
    /// Filter runs with this state.
    Continue(S),
    /// So it does, but only these nodes can be feasible.
    Narrow(S, Vec<Str>),
    /// Filter is skipped for this pod.
    Skip,
    /// The pod is rejected, or the plugin failed.
    Reject(Status),
}

/// The answer of PreScore.
#[derive(Debug, Clone, PartialEq)]
pub enum PreScore<S> {
    /// Score runs with this state.
    Continue(S),
    /// Score is skipped.
    Skip,
    /// The plugin failed.
    Fail(Status),
}

/// The answer of Permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Allow,
    /// Hold the pod, at most this long: [`Plugin::permit`] is asked again.
    Wait(Duration),
    /// Rejected or failed.
    Reject(Status),
}

/// The answer of PreBindPreFlight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreFlight {
    /// PreBind has nothing to do for this pod.
    Skip,
    /// PreBind will work.
    Work,
    /// The plugin failed.
    Fail(Status),
}

/// The answer of PreBind and Bind, which are called again with each outcome of what they emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call again with the next outcome, or at the deadline.
    Wait(Option<Mono>),
    /// Over. Bind may answer `Skip`: the next Bind plugin is asked.
    Done(Status),
}

/// What Reserve and Unreserve work with.
#[derive(Debug)]
pub struct ReserveCx<'a> {
    /// The time.
    pub now: Now,
    pub(crate) cache: &'a mut Cache,
}

impl ReserveCx<'_> {
    /// The cluster, the pod counted on its node.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(self.cache, self.now)
    }
}

/// What PreBind and Bind plugins work with.
#[derive(Debug)]
pub struct BindCx<'a> {
    /// The time.
    pub now: Now,
    pub(crate) cache: &'a Cache,
    /// UIDs of claims at whose changes the plugin wants to be called again.
    pub(crate) claims: Vec<Str>,
    /// The outcome that this call is about; absent in the first call and when a deadline has passed.
    pub outcome: Option<&'a Outcome>,
    pub(crate) ops: Vec<Op>,
}

impl BindCx<'_> {
    /// The cluster.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(self.cache, self.now)
    }

    /// Asks to be called again when the claim with this UID, or the volume that is bound to it, changes. It holds until
    /// the next call.
    pub fn wake_on_claim(&mut self, uid: &Str) {
        self.claims.push(uid.clone());
    }

    /// Asks for an operation; its outcome comes back in a later call.
    pub fn emit(&mut self, op: Op) {
        self.ops.push(op);
    }
}

/// What QueueSort compares.
#[derive(Debug, Clone, Copy)]
pub struct QueueItem<'a> {
    /// The pod.
    pub pod: &'a PodInfo,
    /// When it was (re)added to the queue.
    pub timestamp: Mono,
}

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
