//! The one place where the types of plugins' states are erased (DESIGN.md 13).
//!
//! [`Erased`] wraps a [`Plugin`] into the object-safe [`DynPlugin`]. States and columns travel as boxes that only the
//! adapter of the plugin that made them opens again; a box of the wrong type cannot happen, and is answered with an
//! error status and not with a panic.

use std::{any::Any, fmt::Debug};

use headroom_core::Str;

use super::{
    column::{Column, Normalized, TypedColumn},
    events::{Change, Hint, Interest},
    plugin::{
        BindCx, Permit, Plugin, Points, PreFilter, PreFlight, PreScore, QueueItem, Reads, ReserveCx, Signature, Step,
        TieKey, View,
    },
    pod_info::PodInfo,
    post_filter::{PostFilter, PostFilterCx},
    status::Status,
};
use crate::{
    cache::{NodeInfo, Slot},
    queue::WaitingPods,
};

/// A state of a cycle, its type erased.
pub(crate) trait AnyState: Any + Debug + Send {
    fn clone_box(&self) -> Box<dyn AnyState>;
}

impl<T: Any + Clone + Debug + Send> AnyState for T {
    fn clone_box(&self) -> Box<dyn AnyState> {
        Box::new(self.clone())
    }
}

/// An erased state.
#[derive(Debug)]
pub struct State(Box<dyn AnyState>);

impl Clone for State {
    fn clone(&self) -> Self {
        Self((*self.0).clone_box())
    }
}

impl State {
    fn new<T: AnyState>(value: T) -> Self {
        Self(Box::new(value))
    }

    fn get<T: 'static>(&self) -> Option<&T> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        (&mut *self.0 as &mut dyn Any).downcast_mut()
    }
}

fn wrong_state(plugin: &str) -> Status {
    Status::error(format!("plugin {plugin:?} was given a state that is not its own"))
}

/// A plugin with its types erased.
pub trait DynPlugin: Send {
    /// See [`Plugin::name`].
    fn name(&self) -> &'static str;
    /// See [`Plugin::points`].
    fn points(&self) -> Points;
    /// See [`Plugin::events`].
    fn events(&self) -> Vec<Interest>;
    /// See [`Plugin::hint`].
    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint;
    /// See [`Plugin::reads`].
    fn reads(&self, pod: &PodInfo) -> Reads;
    /// See [`Plugin::signature`].
    fn signature(&self, pod: &PodInfo, view: &View<'_>, signature: &mut Signature);
    /// See [`Plugin::epoch`].
    fn epoch(&self, view: &View<'_>) -> u64;
    /// See [`Plugin::pre_enqueue`].
    fn pre_enqueue(&self, pod: &PodInfo) -> Status;
    /// See [`Plugin::less`].
    fn less(&self, a: &QueueItem<'_>, b: &QueueItem<'_>) -> bool;
    /// The state for Filter of a plugin without PreFilter.
    fn empty_filter_state(&self) -> State;
    /// See [`Plugin::score_state`].
    fn score_state(&self, pod: &PodInfo, view: &View<'_>) -> State;
    /// See [`Plugin::may_score`].
    fn may_score(&self, pod: &PodInfo, view: &View<'_>) -> bool;
    /// See [`Plugin::pre_filter`].
    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<State>;
    /// See [`Plugin::add_pod`].
    fn add_pod(&self, state: &mut State, pod: &PodInfo, added: &PodInfo, node: &NodeInfo, view: &View<'_>);
    /// See [`Plugin::remove_pod`].
    fn remove_pod(&self, state: &mut State, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo, view: &View<'_>);
    /// See [`Plugin::filter`].
    fn filter(&self, state: &State, pod: &PodInfo, node: &NodeInfo) -> Status;
    /// Filter on several nodes: takes those out that do not pass, and says why.
    fn filter_nodes(
        &self,
        state: &State,
        pod: &PodInfo,
        nodes: &mut Vec<&NodeInfo>,
        rejected: &mut Vec<(Slot, Status)>,
    );
    /// See [`Plugin::filter_rows`].
    fn filter_rows(&self, state: &State, pod: &PodInfo, open: &mut [bool]) -> bool;
    /// See [`Plugin::post_filter`].
    fn post_filter(&self, pod: &PodInfo, cx: &PostFilterCx<'_>) -> PostFilter;
    /// See [`Plugin::preempting`].
    fn preempting(&mut self, pod: &Str, running: bool);
    /// See [`Plugin::pre_score`].
    fn pre_score(&self, pod: &PodInfo, feasible: &[&NodeInfo], view: &View<'_>) -> PreScore<State>;
    /// See [`Plugin::pre_score_rows`].
    fn pre_score_rows(&self, pod: &PodInfo, open: &[bool], view: &View<'_>) -> Option<PreScore<State>>;
    /// An empty column.
    fn new_column(&self) -> Column;
    /// Puts the raw score of a node into a row; answers its tie key.
    ///
    /// # Errors
    /// The plugin's status.
    fn score(
        &self,
        state: &State,
        column: &mut Column,
        row: usize,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<TieKey, Status>;
    /// Puts the raw scores of several nodes into the rows of their slots. `keys` are the nodes' tie keys so far: who has
    /// none gets the plugin's.
    ///
    /// # Errors
    /// The plugin's status.
    fn score_nodes(
        &self,
        state: &State,
        column: &mut Column,
        pod: &PodInfo,
        nodes: &[&NodeInfo],
        keys: &mut [TieKey],
    ) -> Result<(), Status>;
    /// Puts the raw scores of all open slots into their rows.
    ///
    /// # Errors
    /// The plugin's status.
    fn score_open(
        &self,
        state: &State,
        column: &mut Column,
        pod: &PodInfo,
        open: &[bool],
        view: &View<'_>,
    ) -> Result<(), Status>;
    /// Normalises: rows for which `feasible` holds count. `changed` are the rows filled, opened or closed since the last
    /// call; with `fresh` every row is.
    ///
    /// # Errors
    /// A score left its range.
    fn normalize(
        &self,
        column: &mut Column,
        feasible: &[bool],
        changed: &[u32],
        fresh: bool,
    ) -> Result<Normalized, Status>;
    /// See [`Plugin::tie_key`].
    fn tie_key(&self, state: &State, pod: &PodInfo, node: &NodeInfo) -> TieKey;
    /// See [`Plugin::reserve`].
    fn reserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, node: &Str) -> Status;
    /// See [`Plugin::unreserve`].
    fn unreserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, node: &Str);
    /// See [`Plugin::permit`].
    fn permit(&mut self, pod: &PodInfo, node: &Str) -> Permit;
    /// See [`Plugin::pre_bind_pre_flight`].
    fn pre_bind_pre_flight(&mut self, pod: &PodInfo, node: &Str) -> PreFlight;
    /// See [`Plugin::pre_bind`].
    fn pre_bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, node: &Str) -> Step;
    /// See [`Plugin::bind`].
    fn bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, node: &Str) -> Step;
    /// See [`Plugin::post_bind`].
    fn post_bind(&mut self, pod: &PodInfo, node: &Str);
    /// See [`Plugin::pods_to_activate`].
    fn pods_to_activate(&mut self, waiting: &WaitingPods<'_>) -> Vec<Str>;
}

fn erase<S: AnyState>(answer: PreScore<S>) -> PreScore<State> {
    match answer {
        PreScore::Continue(s) => PreScore::Continue(State::new(s)),
        PreScore::Skip => PreScore::Skip,
        PreScore::Fail(status) => PreScore::Fail(status),
    }
}

/// The adapter.
#[derive(Debug)]
pub struct Erased<P>(pub P);

impl<P: Plugin> Erased<P> {
    /// A boxed, erased plugin.
    pub fn boxed(plugin: P) -> Box<dyn DynPlugin> {
        Box::new(Self(plugin))
    }
}

impl<P: Plugin> DynPlugin for Erased<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn points(&self) -> Points {
        self.0.points()
    }
    fn events(&self) -> Vec<Interest> {
        self.0.events()
    }
    fn hint(&self, change: &Change, pod: &PodInfo, view: &View<'_>) -> Hint {
        self.0.hint(change, pod, view)
    }
    fn reads(&self, pod: &PodInfo) -> Reads {
        self.0.reads(pod)
    }
    fn signature(&self, pod: &PodInfo, view: &View<'_>, signature: &mut Signature) {
        self.0.signature(pod, view, signature);
    }
    fn epoch(&self, view: &View<'_>) -> u64 {
        self.0.epoch(view)
    }
    fn pre_enqueue(&self, pod: &PodInfo) -> Status {
        self.0.pre_enqueue(pod)
    }
    fn less(&self, a: &QueueItem<'_>, b: &QueueItem<'_>) -> bool {
        self.0.less(a, b)
    }
    fn empty_filter_state(&self) -> State {
        State::new(P::Filter::default())
    }
    fn score_state(&self, pod: &PodInfo, view: &View<'_>) -> State {
        State::new(self.0.score_state(pod, view))
    }
    fn may_score(&self, pod: &PodInfo, view: &View<'_>) -> bool {
        self.0.may_score(pod, view)
    }

    fn pre_filter(&self, pod: &PodInfo, view: &View<'_>) -> PreFilter<State> {
        match self.0.pre_filter(pod, view) {
            PreFilter::Continue(s) => PreFilter::Continue(State::new(s)),
            PreFilter::Narrow(s, nodes) => PreFilter::Narrow(State::new(s), nodes),
            PreFilter::Skip => PreFilter::Skip,
            PreFilter::Reject(status) => PreFilter::Reject(status),
        }
    }

    fn add_pod(&self, state: &mut State, pod: &PodInfo, added: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        if let Some(state) = state.get_mut() {
            self.0.add_pod(state, pod, added, node, view);
        }
    }

    fn remove_pod(&self, state: &mut State, pod: &PodInfo, removed: &PodInfo, node: &NodeInfo, view: &View<'_>) {
        if let Some(state) = state.get_mut() {
            self.0.remove_pod(state, pod, removed, node, view);
        }
    }

    fn filter(&self, state: &State, pod: &PodInfo, node: &NodeInfo) -> Status {
        match state.get() {
            Some(state) => self.0.filter(state, pod, node),
            None => wrong_state(self.0.name()),
        }
    }

    fn filter_nodes(
        &self,
        state: &State,
        pod: &PodInfo,
        nodes: &mut Vec<&NodeInfo>,
        rejected: &mut Vec<(Slot, Status)>,
    ) {
        let state: Option<&P::Filter> = state.get();
        nodes.retain(|node| {
            let status = match state {
                Some(state) => self.0.filter(state, pod, node),
                None => wrong_state(self.0.name()),
            };
            let passes = status.is_success();
            if !passes {
                rejected.push((node.slot, status));
            }
            passes
        });
    }

    fn filter_rows(&self, state: &State, pod: &PodInfo, open: &mut [bool]) -> bool {
        state.get().is_some_and(|state| self.0.filter_rows(state, pod, open))
    }

    fn post_filter(&self, pod: &PodInfo, cx: &PostFilterCx<'_>) -> PostFilter {
        self.0.post_filter(pod, cx)
    }

    fn preempting(&mut self, pod: &Str, running: bool) {
        self.0.preempting(pod, running);
    }

    fn pre_score(&self, pod: &PodInfo, feasible: &[&NodeInfo], view: &View<'_>) -> PreScore<State> {
        erase(self.0.pre_score(pod, feasible, view))
    }

    fn pre_score_rows(&self, pod: &PodInfo, open: &[bool], view: &View<'_>) -> Option<PreScore<State>> {
        self.0.pre_score_rows(pod, open, view).map(erase)
    }

    fn new_column(&self) -> Column {
        Column::of::<P>()
    }

    fn score(
        &self,
        state: &State,
        column: &mut Column,
        row: usize,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Result<TieKey, Status> {
        let typed = (&mut *column.typed as &mut dyn Any).downcast_mut::<TypedColumn<P::Raw, P::Bounds>>();
        let (Some(state), Some(typed)) = (state.get(), typed) else { return Err(wrong_state(self.0.name())) };
        if row >= typed.raw.len() {
            return Err(wrong_state(self.0.name()));
        }
        let (raw, key) = self.0.score_and_key(state, pod, node)?;
        typed.put(&self.0, row, raw);
        Ok(key)
    }

    fn score_nodes(
        &self,
        state: &State,
        column: &mut Column,
        pod: &PodInfo,
        nodes: &[&NodeInfo],
        keys: &mut [TieKey],
    ) -> Result<(), Status> {
        let typed = (&mut *column.typed as &mut dyn Any).downcast_mut::<TypedColumn<P::Raw, P::Bounds>>();
        let (Some(state), Some(typed)) = (state.get(), typed) else { return Err(wrong_state(self.0.name())) };
        for (node, key) in nodes.iter().zip(keys) {
            let row = node.slot as usize;
            if row >= typed.raw.len() {
                return Err(wrong_state(self.0.name()));
            }
            let (raw, own) = self.0.score_and_key(state, pod, node)?;
            typed.put(&self.0, row, raw);
            if *key == TieKey::default() {
                *key = own;
            }
        }
        Ok(())
    }

    fn score_open(
        &self,
        state: &State,
        column: &mut Column,
        pod: &PodInfo,
        open: &[bool],
        view: &View<'_>,
    ) -> Result<(), Status> {
        let typed = (&mut *column.typed as &mut dyn Any).downcast_mut::<TypedColumn<P::Raw, P::Bounds>>();
        let (Some(state), Some(typed)) = (state.get(), typed) else { return Err(wrong_state(self.0.name())) };
        if self.0.score_rows(state, pod, open, &mut typed.raw) {
            return Ok(());
        }
        let cells = typed.raw.iter_mut().enumerate().zip(open).filter(|(_, open)| **open);
        for ((slot, cell), _) in cells {
            if let Some(node) = view.row(slot as Slot) {
                *cell = self.0.score(state, pod, node)?;
            }
        }
        Ok(())
    }

    fn normalize(
        &self,
        column: &mut Column,
        feasible: &[bool],
        changed: &[u32],
        fresh: bool,
    ) -> Result<Normalized, Status> {
        let typed = (&mut *column.typed as &mut dyn Any).downcast_mut::<TypedColumn<P::Raw, P::Bounds>>();
        let Some(typed) = typed else { return Err(wrong_state(self.0.name())) };
        typed.normalize(&self.0, &mut column.scores, feasible, changed, fresh)
    }

    fn tie_key(&self, state: &State, pod: &PodInfo, node: &NodeInfo) -> TieKey {
        state.get().map_or_else(TieKey::default, |state| self.0.tie_key(state, pod, node))
    }
    fn reserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, node: &Str) -> Status {
        self.0.reserve(cx, pod, node)
    }
    fn unreserve(&mut self, cx: &mut ReserveCx<'_>, pod: &PodInfo, node: &Str) {
        self.0.unreserve(cx, pod, node);
    }
    fn permit(&mut self, pod: &PodInfo, node: &Str) -> Permit {
        self.0.permit(pod, node)
    }
    fn pre_bind_pre_flight(&mut self, pod: &PodInfo, node: &Str) -> PreFlight {
        self.0.pre_bind_pre_flight(pod, node)
    }
    fn pre_bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, node: &Str) -> Step {
        self.0.pre_bind(cx, pod, node)
    }
    fn bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, node: &Str) -> Step {
        self.0.bind(cx, pod, node)
    }
    fn post_bind(&mut self, pod: &PodInfo, node: &Str) {
        self.0.post_bind(pod, node);
    }
    fn pods_to_activate(&mut self, waiting: &WaitingPods<'_>) -> Vec<Str> {
        self.0.pods_to_activate(waiting)
    }
}
