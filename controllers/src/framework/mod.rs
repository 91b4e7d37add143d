//! What a controller is, and what it sees.

mod headroom_row;
pub mod measure;
mod outbox;
mod pod_index;
mod world;

pub use self::{
    headroom_row::HeadroomRow,
    measure::{Histogram, Measurements, Metric},
    outbox::Outbox,
    pod_index::PodIndex,
    world::{Changed, SERVICE_NAME, World, WorldEvent, service_of},
};

use headroom_core::{Mono, Now, intent::Outcome, queue::QueueFigures};

/// One control loop, pure. The process calls it from one thread:
///
/// 1. [`observe`](Self::observe) for every change of the world from the moment on at which this process leads, also while
///    the first lists come in; it only notes keys. Before that nothing is watched.
/// 2. [`started`](Self::started) once, when every index is complete.
/// 3. [`poll`](Self::poll) while it answers `true`, and again at [`next_deadline`](Self::next_deadline) and after every
///    change or outcome. Each call does a bounded piece of work: one key.
/// 4. [`outcome`](Self::outcome) once for each intent, events excepted.
///
/// Level-triggered: what a poll decides follows from the world, never from the change that caused it (DESIGN.md 4.1).
pub trait Controller {
    /// Upstream's canonical name, as in `--controllers`.
    fn name(&self) -> &'static str;

    /// The world has changed: note which keys that concerns.
    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now);

    /// This process leads now, and the world is complete.
    fn started(&mut self, world: &World, now: Now, out: &mut Outbox<'_>);

    /// Works on one key. Returns whether another could be worked on at once.
    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool;

    /// What became of an intent of this controller.
    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>);

    /// When a poll is due though nothing has changed.
    fn next_deadline(&self) -> Option<Mono>;

    /// Its work queues, for metrics: the name that upstream's queue of such keys has, and its figures.
    fn queues(&mut self, _each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {}

    /// Further figures for metrics.
    fn measure(&self, _world: &World, _into: &mut Measurements) {}
}
