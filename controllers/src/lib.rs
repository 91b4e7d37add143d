//! Headroom's controllers: one folder each, all fed by one set of informers and one set of indexes.
//!
//! A controller is pure ([`framework::Controller`]): it sees the [`framework::World`], a time and the outcomes of its
//! intents, and answers with intents. The process around it (`app`) owns informers, lease and dispatcher.

pub mod framework;
