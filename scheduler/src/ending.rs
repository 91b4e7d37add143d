//! How the process ends: first what decides, then what it has asked for, then the lease.

use std::{sync::Arc, time::Duration};

use headroom_runtime::{
    dispatcher::{Dispatcher, REQUEST_DEADLINE},
    lease::Leadership,
    process::{TASK_PATIENCE, THREAD_PATIENCE, Tasks, WorkerError, panic_text},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{decider::Shared, inputs::Message};

/// How long a process that ends at once waits for its decider, which would find no runtime to wait on any more.
const ABANDONED: Duration = Duration::from_secs(1);

/// How the decider ended.
type Decided = Result<(), WorkerError>;

/// What runs beside the main task.
#[derive(Debug)]
pub(crate) struct Running {
    /// Decides.
    pub(crate) deciding: JoinHandle<Decided>,
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
    /// has a limit: 5 s for the decider, 9 s for writes, calls and watches together, half of the renew deadline for the
    /// lease. A step that runs into its limit is told of in the log, and the next one is taken all the same.
    ///
    /// # Errors
    /// When the decider had panicked.
    pub(crate) async fn stop(self, leadership: Leadership) -> anyhow::Result<()> {
        self.shared.stop(&self.wake);
        let decided = join(self.deciding, THREAD_PATIENCE).await;
        if let Err(error) = &decided {
            tracing::warn!(%error, "what decides did not end in order");
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
            Err(error @ WorkerError::Panicked(_)) => Err(anyhow::Error::new(error).context("what decides")),
            // One that is busy has nobody left to ask for anything.
            Ok(()) | Err(WorkerError::Busy(_)) => Ok(()),
        }
    }

    /// An end at once, for a process that may write nothing any more: requests in flight are dropped, nothing is released.
    pub(crate) async fn abandon(self) {
        self.shared.stop(&self.wake);
        drop(self.dispatcher);
        // Whatever ails it is not why the process ends.
        let _ = join(self.deciding, ABANDONED).await;
    }
}

/// Waits until the decider has ended, wherever it was at work.
async fn join(deciding: JoinHandle<Decided>, patience: Duration) -> Decided {
    match timeout(patience, deciding).await {
        Err(_) => Err(WorkerError::Busy(patience)),
        Ok(Ok(decided)) => decided,
        // Nobody cancels it but the end of the runtime.
        Ok(Err(error)) => {
            error.try_into_panic().map_or(Ok(()), |panic| Err(WorkerError::Panicked(panic_text(&*panic).to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_decider_is_joined_wherever_it_was_at_work() {
        async fn panics() -> Decided {
            panic!("here");
        }
        let told = async |deciding: JoinHandle<Decided>| {
            join(deciding, Duration::from_millis(10)).await.map_err(|error| error.to_string())
        };
        let elsewhere = std::future::ready(Err(WorkerError::Panicked("there".to_owned())));
        assert_eq!(told(tokio::spawn(std::future::ready(Ok(())))).await, Ok(()));
        assert_eq!(told(tokio::spawn(elsewhere)).await, Err("panicked: there".to_owned()));
        assert_eq!(told(tokio::spawn(panics())).await, Err("panicked: here".to_owned()));
        assert_eq!(told(tokio::spawn(std::future::pending())).await, Err("still at work after 10ms".to_owned()));
    }
}
