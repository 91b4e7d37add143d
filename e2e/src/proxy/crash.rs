//! Stopping the world after the n-th write.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

#[derive(Debug, Default)]
struct Book {
    writes: HashMap<String, u64>,
    armed: HashMap<String, u64>,
}

/// How far the world is: it stops and goes on, and each time nothing from before goes on with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Era {
    number: u64,
    stopped: bool,
}

/// Counts writes, and stops the world.
#[derive(Debug, Default)]
pub(super) struct Crash {
    book: Mutex<Book>,
    era: watch::Sender<Era>,
}

/// Leave to pass, given in an era.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass(u64);

impl Crash {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, namespace: &str, writes: u64) {
        self.book().armed.insert(namespace.to_owned(), writes);
    }

    pub(super) fn writes(&self, namespace: &str) -> u64 {
        self.book().writes.get(namespace).copied().unwrap_or(0)
    }

    /// Lets a request pass, or keeps it for ever: then its process is about to be killed.
    pub(super) async fn pass(&self) -> Pass {
        let era = *self.era.borrow();
        if era.stopped {
            std::future::pending::<()>().await;
        }
        Pass(era.number)
    }

    /// Counts a write that is sent. Whether the world has to stop when it is done.
    pub(super) fn count(&self, namespace: &str) -> bool {
        let mut book = self.book();
        let writes = book.writes.entry(namespace.to_owned()).or_default();
        *writes = writes.saturating_add(1);
        let writes = *writes;
        book.armed.get(namespace) == Some(&writes)
    }

    /// Stops the world.
    pub(super) fn stop(&self) {
        self.era.send_modify(|era| era.stopped = true);
    }

    /// Gives an answer back to the process that asked, if it still lives.
    pub(super) async fn answer(&self, pass: Pass) {
        let era = *self.era.borrow();
        if era.stopped || era.number != pass.0 {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn stopped(&self) {
        // The sender lives as long as this.
        let _ = self.era.subscribe().wait_for(|era| era.stopped).await;
    }

    pub(super) fn resume(&self) {
        self.era.send_modify(|era| *era = Era { number: era.number.saturating_add(1), stopped: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_world_stops_after_the_nth_write_and_goes_on_without_what_was_before() {
        let crash = Crash::default();
        crash.arm("a", 2);
        let before = crash.pass().now_or_never().unwrap();
        assert!(!crash.count("a") && !crash.count("b") && !crash.count("b") && crash.count("a"));
        assert!(crash.answer(before).now_or_never().is_some());
        assert!(crash.stopped().now_or_never().is_none());
        crash.stop();
        assert!(crash.stopped().now_or_never().is_some());
        assert!(crash.pass().now_or_never().is_none() && crash.answer(before).now_or_never().is_none());
        crash.resume();
        let after = crash.pass().now_or_never().unwrap();
        assert!(crash.answer(before).now_or_never().is_none() && crash.answer(after).now_or_never().is_some());
        assert!(!crash.count("a"), "once");
        assert_eq!((crash.writes("a"), crash.writes("c")), (3, 0));
    }
}
