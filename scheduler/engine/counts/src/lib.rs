//! What the hot loops of the engine and of the wire cost, in instructions, beside a committed baseline.
//!
//! Instructions do not depend on what else the machine does, so that a regression fails without timing anything. Each
//! loop of [`LOOPS`] runs under valgrind twice, the second time with twice as many turns; the difference is what the
//! turns cost, and all set-up has dropped out. `counts record` writes the baseline of this target and compiler.

mod baseline;
mod check;
mod error;
mod loops;
pub mod shapes;
mod valgrind;
mod world;

pub use baseline::{Baseline, Change, TOLERANCE, compare};
pub use check::{count_all, in_ci, table};
pub use error::CountError;
pub use loops::{LOOPS, Loop};
pub use valgrind::Valgrind;
