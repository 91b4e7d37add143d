//! Pods: what their specification means for a node, their life, and what is reported of it.

mod digest;
mod machine;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use digest::{Amounts, Digest, Kind, Knobs};
pub(crate) use machine::{Action, Machine, Phase, Timing};
pub(crate) use status::patch;
