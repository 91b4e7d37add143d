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
    under_way: watch::Sender<usize>,
}

/// Leave to pass, given to a connection in an era.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass(u64);

/// A write that the API server may be carrying out, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|writes| *writes = writes.saturating_sub(1));
    }
}

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

    /// The leave of a connection that is made now.
    pub(super) fn connect(&self) -> Pass {
        Pass(self.era.borrow().number)
    }

    /// Lets a request or an answer pass, or keeps it for ever: its process is dead, or is about to be killed. What a dead one
    /// had sent may be read late, and would be a write that nobody answers for.
    pub(super) async fn pass(&self, pass: Pass) {
        let era = *self.era.borrow();
        if era.stopped || era.number != pass.0 {
            std::future::pending::<()>().await;
        }
    }

    /// A write is sent. To be called before anything is awaited after [`pass`](Self::pass).
    pub(super) fn send(&self) -> UnderWay {
        self.under_way.send_modify(|writes| *writes = writes.saturating_add(1));
        UnderWay(self.under_way.clone())
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

    /// Waits until the world is stopped, and the API server has answered every write of before: a lease would not have run out
    /// earlier either. None comes any more until [`resume`](Self::resume).
    pub(super) async fn stopped(&self) {
        // The senders live as long as this.
        let _ = self.era.subscribe().wait_for(|era| era.stopped).await;
        let _ = self.under_way.subscribe().wait_for(|writes| *writes == 0).await;
    }

    /// Goes on. It takes no time, so that nobody sees the process dead who is no part of this.
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
        let before = crash.connect();
        assert!(!crash.count("a") && !crash.count("b") && !crash.count("b") && crash.count("a"));
        assert!(crash.pass(before).now_or_never().is_some());
        assert!(crash.stopped().now_or_never().is_none());
        crash.stop();
        assert!(crash.stopped().now_or_never().is_some());
        assert!(crash.pass(before).now_or_never().is_none() && crash.pass(crash.connect()).now_or_never().is_none());
        crash.resume();
        let after = crash.connect();
        assert!(crash.pass(before).now_or_never().is_none() && crash.pass(after).now_or_never().is_some());
        assert!(!crash.count("a"), "once");
        assert_eq!((crash.writes("a"), crash.writes("c")), (3, 0));
    }

    #[test]
    fn the_world_has_not_stopped_before_the_last_write_is_answered() {
        let crash = Crash::default();
        let connection = crash.connect();
        let (first, second) = (crash.send(), crash.send());
        crash.stop();
        let mut stopped = Box::pin(crash.stopped());
        assert!((&mut stopped).now_or_never().is_none());
        drop(first);
        assert!((&mut stopped).now_or_never().is_none());
        drop(second);
        assert!((&mut stopped).now_or_never().is_some());
        crash.resume();
        assert!(crash.pass(connection).now_or_never().is_none());
    }
}
