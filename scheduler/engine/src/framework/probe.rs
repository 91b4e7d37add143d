//! Measuring without a clock: the engine says when a span begins and ends, the shell looks at its watch (DESIGN.md 13).

use std::fmt;

use super::{
    events::{ClusterEvent, Hint},
    plugin::Point,
    status::Code,
};

/// Receives the spans of a scheduling cycle. Write-only: nothing can be read back from it.
pub trait Probe {
    /// Whether spans of single plugins are wanted in this cycle (upstream measures one cycle in ten).
    fn wants_plugins(&self) -> bool {
        false
    }
    /// An extension point begins.
    fn enter(&mut self, point: Point);
    /// It ended.
    fn exit(&mut self, point: Point, code: Code);
    /// A plugin begins at an extension point.
    fn enter_plugin(&mut self, _point: Point, _plugin: &'static str) {}
    /// It ended.
    fn exit_plugin(&mut self, _point: Point, _plugin: &'static str, _code: Code) {}
}

/// Receives how long queueing hints take: a hint begins, and it ended. Write-only as [`Probe`].
pub trait HintProbe: fmt::Debug + Send {
    /// A plugin is asked.
    fn enter(&mut self);
    /// It answered.
    fn exit(&mut self, plugin: &'static str, event: ClusterEvent, hint: Hint);
}

/// Measures nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn enter(&mut self, _: Point) {}
    fn exit(&mut self, _: Point, _: Code) {}
}
