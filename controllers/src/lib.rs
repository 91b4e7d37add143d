//! Headroom's controllers: one folder each, all fed by one set of informers and one set of indexes.
//!
//! A controller is pure ([`framework::Controller`]): it sees the [`framework::World`], a time and the outcomes of its
//! intents, and answers with intents. The process around it (`app`) owns informers, lease and dispatcher.

pub mod answers;
pub mod endpoint_common;
pub mod endpoints;
pub mod framework;
pub mod memory_profile;
pub mod names;
pub mod node_headroom;
pub mod node_lifecycle;
pub mod replication;
pub mod rival;
pub mod taint_eviction;

pub mod app;
mod creatable;
pub mod endpointslice;
pub mod endpointslice_mirroring;
pub mod pod_gc;
pub mod selection;
#[cfg(test)]
mod testkit;
