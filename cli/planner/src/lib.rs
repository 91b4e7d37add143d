//! What fits, what can go and what it costs (`kubectl headroom plan`, docs/plan.md).
//!
//! Pure, as the engine is: rows, a time and a catalogue come in, an answer goes out. Nothing here estimates whether a
//! pod fits: a [`World`] is the engine that places pods, with the nodes of the question in it, and every answer was
//! tried there. Only the lower bound of the cheapest set of machines is arithmetic of its own ([`bound`]), and it is
//! made of conditions that hold whatever the order of the pods.
//!
//! | module | what it answers |
//! |---|---|
//! | [`cluster`] | the rows of a cluster; which pods stay where they are, and why |
//! | [`world`] | would this pod go anywhere, and where |
//! | [`catalogue`] | which machines can be had, for how much |
//! | [`machine`] | what a machine that does not exist yet would look like as a node |
//! | [`uses`] | what pods take, where it is measured |
//! | [`today`] | headroom and overhead now, the next pods, the loss of a node |
//! | [`bound`] | what no set of machines below a price can hold |
//! | [`fleet`] | whether one set of machines holds everything |
//! | [`search`] | the cheapest set |
//! | [`moves`] | how to get there |
//! | [`report`] | the answer as it is printed |

pub mod bound;
pub mod catalogue;
pub mod cluster;
pub mod fleet;
pub mod machine;
pub mod moves;
pub mod report;
pub mod search;
pub mod today;
pub mod uses;
pub mod world;

#[cfg(test)]
mod tests;

pub use self::{
    catalogue::{Catalogue, Offer, Price},
    cluster::Cluster,
    world::{Scheduler, World},
};

use headroom_engine::ConfigError;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The scheduler's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to plan with.
    #[error("there are no nodes: nothing to plan")]
    NoNodes,
    /// A node that a flag names.
    #[error("there is no node {0:?}")]
    NoSuchNode(String),
    /// A machine type that a flag names.
    #[error("there is no machine type {name:?} in catalogue {catalogue}: it has {known}")]
    NoSuchMachine {
        /// What was asked for.
        name: String,
        /// Where.
        catalogue: String,
        /// What there is.
        known: String,
    },
    /// No machine can be used at all.
    #[error("no machine of catalogue {0} is large enough for the system itself")]
    NoUsableMachine(String),
}
