//! The end of a process: threads and tasks are joined, never for longer than they are given.
//!
//! Told to stop, a process ends what makes writes, then finishes those in flight, then releases the lease; each step has
//! a limit, and all of them together stay below the 30 s that a kubelet grants. A step that runs into its limit does not
//! keep the next one from being taken: the fence is closed before the lease is released, and what still runs by then
//! finds no connection that would take a write.

use std::{any::Any, future::Future, io, thread, time::Duration};

use thiserror::Error;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

/// How long a thread may take to finish what it is at. The writes in flight are finished after it
/// ([`crate::dispatcher::REQUEST_DEADLINE`]), then the lease is released (half of its renew deadline).
pub const THREAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long tasks may take that have nothing left to do but to notice it.
pub const TASK_PATIENCE: Duration = Duration::from_secs(1);
/// How long the runtime waits for its blocking threads, which may hang in a look-up of a name. The last step.
pub const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);

/// Why a thread was not joined.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// It panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It did not end in time, and still runs.
    #[error("still at work after {0:?}")]
    Busy(Duration),
}

/// A thread beside the runtime. It is joined without blocking the runtime, on whose timers it may wait itself.
#[derive(Debug)]
pub struct Worker {
    thread: thread::JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Worker {
    /// Starts a thread of this name.
    ///
    /// # Errors
    /// When the system has no room for another one.
    pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (tell, ended) = oneshot::channel::<()>();
        let work = move || {
            // Dropped when the work is done, by a panic as well: that is what is waited for.
            let _tell = tell;
            work();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { thread, ended })
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`WorkerError`] when it panicked, or has not ended after `patience`.
    pub async fn join(self, patience: Duration) -> Result<(), WorkerError> {
        if timeout(patience, self.ended).await.is_err() {
            return Err(WorkerError::Busy(patience));
        }
        // Its work is done: what is left takes microseconds.
        self.thread.join().map_err(|panic| WorkerError::Panicked(panic_text(&*panic).to_owned()))
    }
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Tasks that belong together. Dropping them ends them.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Starts a task, on the runtime of the caller.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Waits until all have ended; what still runs after `patience` is ended where it is. Nothing runs any more when this
    /// returns how many had to be.
    pub async fn join(mut self, patience: Duration) -> usize {
        let all = async { while self.0.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_ok() {
            return 0;
        }
        let left = self.0.len();
        self.0.shutdown().await;
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{runtime::Handle, sync::mpsc};

    use super::*;
    use crate::{dispatcher::REQUEST_DEADLINE, lease::Durations};

    #[test]
    fn all_steps_fit_into_a_grace_period() {
        let lease = Durations::default().renew_deadline / 2;
        let all = THREAD_PATIENCE + REQUEST_DEADLINE + TASK_PATIENCE + lease + RUNTIME_PATIENCE;
        assert!(all < Duration::from_secs(30), "{all:?}");
    }

    /// The thread waits on this runtime's timers: to block in its place would be to wait for ever.
    #[tokio::test]
    async fn a_thread_that_waits_on_the_runtime_is_joined() {
        let handle = Handle::current();
        let (tx, mut rx) = mpsc::channel::<()>(1);
        let worker = Worker::spawn("worker", move || {
            while handle.block_on(async { timeout(Duration::from_millis(5), rx.recv()).await }) != Ok(None) {}
        })
        .unwrap();
        assert!(!worker.is_finished());
        drop(tx);
        worker.join(THREAD_PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn a_thread_that_hangs_or_panics_is_told_of() {
        let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
        let worker = Worker::spawn("hangs", move || {
            let _ = rx.recv();
        })
        .unwrap();
        let error = worker.join(Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.to_string(), "still at work after 10ms");
        drop(tx);
        let worker = Worker::spawn("panics", || panic!("of despair")).unwrap();
        assert_eq!(worker.join(THREAD_PATIENCE).await.unwrap_err().to_string(), "panicked: of despair");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_end_by_themselves_or_are_ended() {
        let mut tasks = Tasks::default();
        let alive = Arc::new(());
        for end in [true, true, false] {
            let alive = alive.clone();
            tasks.spawn(async move {
                if !end {
                    std::future::pending::<()>().await;
                }
                drop(alive);
            });
        }
        assert_eq!(tasks.join(TASK_PATIENCE).await, 1);
        assert_eq!(Arc::strong_count(&alive), 1, "nothing of them is left");
        assert_eq!(Tasks::default().join(TASK_PATIENCE).await, 0);
    }
}
