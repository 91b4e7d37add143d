//! One scheduling cycle: which node for this pod, and if none, why (reference 1.3 to 1.6).

mod nominated;
mod plain;
mod tie;

pub use self::{
    nominated::Nominated,
    plain::{Choice, Failure},
};
pub(crate) use self::{
    plain::{Evaluation, Verdict, decide, evaluate, post_filter, try_nominated_node},
    tie::{TieBreaker, hash_text, mix},
};
