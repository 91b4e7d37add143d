//! Headroom's domain, pure: the compact object model, quantities, selectors, taints, resource arithmetic, the memory
//! model, the work queue, expectations of own writes and intents.
//!
//! Nothing here does I/O, reads a clock or spawns (DESIGN.md parts 3 and 4). Rows in [`object`] are what the runtime
//! keeps of API objects; [`intent`] is what the cores want done; everything between is a function of rows and a time.

pub mod expectations;
pub mod intent;
pub mod memory;
pub mod object;
pub mod quantity;
pub mod queue;
pub mod requests;
pub mod resource;
pub mod selector;
pub mod str;
pub mod taint;
pub mod time;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use crate::{
    str::{Interner, Str},
    time::{Mono, Now, Timestamp},
};
