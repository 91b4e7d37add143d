//! The hot loops cost as many instructions as the committed baseline says, give or take 5 %.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::io::Write;
use std::path::Path;

use headroom_counts::{Baseline, CountError, count_all, in_ci, table};

fn compared() -> Result<(String, bool), CountError> {
    let before = Baseline::read()?;
    let now = count_all(Path::new(env!("CARGO_BIN_EXE_counts")))?;
    Ok(table(&before.instructions_per_turn, &now))
}

#[test]
fn hot_loops_cost_what_the_baseline_says() {
    match compared() {
        Ok((text, right)) => assert!(
            right,
            "a hot loop changed by more than 5 %:\n{text}\
             a regression is to be found (valgrind --tool=callgrind counts run NAME TURNS); a gain, or a price that is\n\
             worth it, becomes the baseline with `make counts-baseline`"
        ),
        // Written past the test harness, which keeps what passing tests print to itself.
        Err(error) if error.is_absence() && !in_ci() => {
            let _ = writeln!(std::io::stderr(), "counts: INSTRUCTIONS WERE NOT COUNTED: {error}");
        }
        Err(error) => panic!("instructions were not counted: {error}"),
    }
}
