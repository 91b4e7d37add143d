//! How the process ends: first the thread that decides, then what it has asked for, then the lease.

use std::{sync::Arc, time::Duration};

use headroom_runtime::{
    dispatcher::{Dispatcher, REQUEST_DEADLINE},
    lease::Leadership,
    process::{TASK_PATIENCE, THREAD_PATIENCE, Tasks, Worker, WorkerError},
};
use tokio::sync::mpsc;

use crate::{decider::Shared, inputs::Message};

/// How long a process that ends at once waits for its thread, which would find no runtime to wait on any more.
const ABANDONED: Duration = Duration::from_secs(1);

/// What runs beside the main task.
#[derive(Debug)]
pub(crate) struct Running {
    /// The thread that decides.
    pub(crate) deciding: Worker,
    /// What tells it to end.
    pub(crate) shared: Arc<Shared>,
    /// What wakes it up.
    pub(crate) wake: mpsc::Sender<Message>,
    /// Executes what it asks for.
    pub(crate) dispatcher: Dispatcher,
    /// Calls of extenders.
    pub(crate) calling: Tasks,
    /// Watches.
    pub(crate) informers: Tasks,
}

impl Running {
    /// An orderly end: nothing more is decided, writes and calls in flight are finished, the lease is released. Each step
    /// has a limit: 5 s for the thread, 9 s for writes, calls and watches together, half of the renew deadline for the
    /// lease. A step that runs into its limit is told of in the log, and the next one is taken all the same.
    ///
    /// # Errors
    /// When the thread had panicked.
    pub(crate) async fn stop(self, leadership: Leadership) -> anyhow::Result<()> {
        self.shared.stop(&self.wake);
        let decided = self.deciding.join(THREAD_PATIENCE).await;
        if let Err(error) = &decided {
            tracing::warn!(%error, "the thread that decides did not end in order");
        }
        // It took the receiving end of all messages with it: informers notice that, and no call is begun any more.
        let ((), calls, watches) = tokio::join!(
            self.dispatcher.drain(),
            self.calling.join(REQUEST_DEADLINE),
            self.informers.join(TASK_PATIENCE)
        );
        if calls + watches > 0 {
            tracing::warn!(calls, watches, "broke off what did not end by itself");
        }
        leadership.release().await;
        match decided {
            Err(error @ WorkerError::Panicked(_)) => Err(anyhow::Error::new(error).context("the thread that decides")),
            // One that is busy has nobody left to ask for anything.
            Ok(()) | Err(WorkerError::Busy(_)) => Ok(()),
        }
    }

    /// An end at once, for a process that may write nothing any more: requests in flight are dropped, nothing is released.
    pub(crate) async fn abandon(self) {
        self.shared.stop(&self.wake);
        drop(self.dispatcher);
        // Whatever ails it is not why the process ends.
        let _ = self.deciding.join(ABANDONED).await;
    }
}
