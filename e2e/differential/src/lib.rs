//! The differential test: small generated clusters were given to the real stock scheduler, which left its decisions in a
//! corpus; the engine has to decide the same.
//!
//! - [`generate`] makes clusters from seeds ([`world`] is what all of them share).
//! - [`record`] gives them to stock on a real API server and writes the corpus: `make differential-record`.
//! - [`replay`] gives the corpus to the engine, by way of what `kubectl headroom explain pod --snapshot` runs, and
//!   compares: part of `make test`.
//! - [`shrink`] makes a case smaller as long as the difference stays.
//!
//! A corpus is JSON lines: a [`Header`], then [`Case`]s. It holds objects as the API server returned them, without what
//! no scheduler reads ([`trim`]): it does not depend on the generator.

mod api;
pub mod case;
pub mod generate;
pub mod record;
pub mod replay;
pub mod shrink;
pub mod stories;
pub mod trim;
pub mod world;

pub use case::{Case, Corpus, Decision, Header};
