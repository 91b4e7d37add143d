//! Clocks, read here and nowhere else; the cores are given times (DESIGN.md 4.5).

use std::time::{SystemTime, UNIX_EPOCH};

use headroom_core::{Mono, Now, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Both clocks.
#[must_use]
pub fn now() -> Now {
    Now { wall: wall(), mono: mono() }
}

/// The wall clock.
#[must_use]
pub fn wall() -> Timestamp {
    let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    Timestamp(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    })
}

/// `CLOCK_BOOTTIME`: never jumps, and goes on while the machine sleeps, so that a lease cannot outlive a suspension.
#[must_use]
pub fn mono() -> Mono {
    let t = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    let micros = u64::try_from(t.tv_nsec).unwrap_or(0) / 1000;
    Mono(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// How long it is until `deadline`; zero when it has passed.
#[must_use]
pub fn until(deadline: Mono) -> std::time::Duration {
    deadline.since(mono())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward() {
        let first = now();
        let second = now();
        assert!(second.mono >= first.mono);
        assert!(second.wall.0 > 1_700_000_000_000_000, "{}", second.wall);
    }
}
