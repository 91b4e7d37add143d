//! The scenarios on real control planes, one module each, in one binary: linking a binary takes longer than most of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code, helpers included: a panic fails it"
)]

mod common;

mod attempts;
mod bench;
mod chart;
mod controllers;
mod degradations;
mod demo;
mod docs;
mod encodings;
mod extenders;
mod faults;
mod handover;
mod harness;
mod hollow;
mod lagging;
mod memory;
mod metrics;
mod node_lifecycle;
mod ops;
mod owner_answers;
mod owners;
mod plan_agrees;
mod preemption;
mod scheduler;
mod standby;
mod stop;
mod storm;
mod takeover;
mod top;
mod volumes;
