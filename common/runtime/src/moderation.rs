//! Fewer, fuller rounds under load, as network cards moderate their interrupts.
//!
//! In a burst each answer, each watch event and each decision would wake a thread of its own accord: thousands of
//! context switches a second that move a few hundred bytes each. With many requests in flight the API server is what
//! everybody waits for, so a thread that sleeps for a moment before it parks finds several answers at once, reads them
//! with one system call and sends the next requests in one segment. A lone request is never delayed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// From so many requests in flight on, threads sleep a little.
pub const SOME: usize = 8;
/// From so many on, a little longer.
pub const MANY: usize = 32;
/// The sleep with [`SOME`] in flight.
const SHORT: Duration = Duration::from_millis(1);
/// The sleep with [`MANY`] in flight. A round trip takes tens of milliseconds then.
const LONG: Duration = Duration::from_millis(2);

/// Knows how many requests are in flight. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Moderator(Arc<AtomicUsize>);

impl Moderator {
    /// Says how many requests are in flight.
    pub fn set(&self, in_flight: usize) {
        self.0.store(in_flight, Ordering::Relaxed);
    }

    /// How long a thread may sleep before it parks.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            MANY.. => Some(LONG),
            SOME.. => Some(SHORT),
            _ => None,
        }
    }

    /// Sleeps that long, on this thread: for [`tokio::runtime::Builder::on_thread_park`].
    pub fn before_park(&self) {
        if let Some(pause) = self.pause() {
            std::thread::sleep(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_is_moderated() {
        let moderator = Moderator::default();
        for (in_flight, pause) in
            [(0, None), (1, None), (7, None), (8, Some(SHORT)), (31, Some(SHORT)), (32, Some(LONG)), (100, Some(LONG))]
        {
            moderator.clone().set(in_flight);
            assert_eq!(moderator.pause(), pause, "{in_flight}");
        }
    }
}
