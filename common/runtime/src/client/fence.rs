//! The fence: after the renew deadline nothing of ours reaches the API server any more (DESIGN.md 13).
//!
//! A leader that was stopped (SIGSTOP, a paused VM) and goes on after somebody else took the lease has requests in every
//! queue between us and the socket. Three checks read this fence: the dispatcher before it makes a request, the service
//! around the HTTP client, and the socket itself before each write, below TLS and HTTP/2. What had already been handed
//! to the kernel cannot be called back; the preconditions of every write (UID, resourceVersion) are for those.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headroom_core::Mono;
use thiserror::Error;

use crate::clock;

/// A write was refused because the lease does not (or no longer) allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not the leader: the lease's renew deadline has passed, or it was never held")]
pub struct FenceClosed;

/// Never reached by the clock: open for good.
const FOREVER: u64 = u64::MAX;

/// Until when writes may be sent, in microseconds of [`clock::mono`]. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Fence(Arc<Deadlines>);

#[derive(Debug)]
struct Deadlines {
    /// 0: closed.
    writes: AtomicU64,
    /// Whoever does not hold the lease may try to get it, so this one starts open.
    lease: AtomicU64,
}

impl Fence {
    /// Closed for writes, open for attempts to get the lease.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(Deadlines { writes: AtomicU64::new(0), lease: AtomicU64::new(FOREVER) }))
    }

    /// Opens writes and the lease until `deadline` (a renewal), or keeps them open until then.
    pub fn open_until(&self, deadline: Mono) {
        self.0.lease.store(deadline.0, Ordering::Release);
        self.0.writes.store(deadline.0, Ordering::Release);
    }

    /// Opens writes for good: without leader election.
    pub fn open_forever(&self) {
        self.open_until(Mono(FOREVER));
    }

    /// Closes writes but leaves the lease as it is: the first step of a graceful stop, which then releases it.
    pub fn close_writes(&self) {
        self.0.writes.store(0, Ordering::Release);
    }

    /// Closes everything, for good: the lease is lost.
    pub fn close(&self) {
        self.0.writes.store(0, Ordering::Release);
        self.0.lease.store(0, Ordering::Release);
    }

    /// Whether a write may be sent at this very moment.
    #[must_use]
    pub fn may_write(&self) -> bool {
        open(&self.0.writes)
    }

    /// Whether a request for the lease may be sent at this very moment.
    #[must_use]
    pub fn may_renew(&self) -> bool {
        open(&self.0.lease)
    }

    /// How long writes may still be sent; `None` when they may not.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.0.writes.load(Ordering::Acquire);
        match deadline {
            0 => None,
            FOREVER => Some(Duration::MAX),
            _ => deadline.checked_sub(clock::mono().0).filter(|d| *d > 0).map(Duration::from_micros),
        }
    }
}

fn open(deadline: &AtomicU64) -> bool {
    match deadline.load(Ordering::Acquire) {
        0 => false,
        FOREVER => true,
        deadline => clock::mono().0 < deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_closed_for_writes_and_open_for_the_lease() {
        let fence = Fence::closed();
        assert!(!fence.may_write() && fence.may_renew());
        assert_eq!(fence.remaining(), None);
    }

    #[test]
    fn a_passed_deadline_closes_both() {
        let fence = Fence::closed();
        fence.open_until(clock::mono() + Duration::from_secs(60));
        assert!(fence.may_write() && fence.may_renew());
        assert!(fence.remaining().is_some_and(|d| d > Duration::from_secs(50)));
        fence.open_until(Mono(clock::mono().0.saturating_sub(1)));
        assert!(!fence.may_write() && !fence.may_renew());
    }

    #[test]
    fn a_graceful_stop_closes_writes_first() {
        let fence = Fence::closed();
        fence.open_forever();
        fence.close_writes();
        assert!(!fence.may_write() && fence.may_renew());
        fence.close();
        assert!(!fence.may_renew());
    }
}
