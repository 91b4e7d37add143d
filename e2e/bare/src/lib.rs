//! What the bare loop and the bench share: one HTTP/2 connection to the API server with nothing on top, and the names of
//! nodes and pods. A package of its own, so that the bare loop is compiled as a contestant and not as the harness is.

mod error;
pub mod names;
pub mod wire;

pub use error::WireError;
