//! One scheduling cycle: which node for this pod, and if none, why (reference 1.3 to 1.6).

mod class;
mod extended;
mod nominated;
mod plain;
mod tie;

pub(crate) use self::{
    class::Classes,
    extended::{Extended, Extenders, decide_extended},
    plain::{AfterFilter, Evaluation, PostFiltered, Verdict, decide, evaluate, post_filter, try_nominated_node},
    tie::{TieBreaker, hash_text, mix},
};
pub use self::{
    nominated::Nominated,
    plain::{Choice, Failure},
};
