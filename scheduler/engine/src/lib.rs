//! The scheduling engine, pure: framework, plugins, queue, cache, cycle, configuration (DESIGN.md parts 5 and 13).
//!
//! It is given changes, outcomes of its intents and the time, and it answers with intents. It makes no calls, reads no
//! clock and starts no threads; therefore the same code decides live, explains a decision and answers a what-if.

pub mod admission;
pub mod cache;
pub mod config;
mod cycle;
pub mod engine;
pub mod extender;
pub mod fit_error;
pub mod framework;
pub mod plugins;
pub mod queue;
#[cfg(any(test, feature = "testing"))]
pub mod simulator;

pub use crate::{
    config::{ConfigError, Configuration},
    cycle::{Choice, Failure, Nominated},
    engine::{Decision, DecisionResult, Engine, EngineStats, Input, Mode, Report, ShadowDecision, ShadowOutcome},
    framework::{NoProbe, Probe, Registry},
};
