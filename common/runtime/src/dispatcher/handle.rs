//! The way in, from any thread.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use headroom_core::{
    Mono,
    intent::{EventRecord, Intent, Op},
};
use prometheus::IntCounter;
use tokio::sync::Notify;

use super::DispatcherConfig;
use crate::{clock, metrics::DispatcherMetrics};

/// An intent, and when what it follows from was seen, if that is to be measured.
pub(super) type Submitted = (Intent, Option<Mono>);

/// What handles and the task share.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    pub(super) wake: Notify,
    credits: AtomicUsize,
    all_credits: usize,
    event_queue: usize,
    dropped: IntCounter,
}

/// What came in since the task last looked.
#[derive(Default)]
struct Inbox {
    intents: VecDeque<Submitted>,
    events: VecDeque<(EventRecord, Mono)>,
    closed: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("credits", &self.credits).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: &DispatcherConfig, metrics: &DispatcherMetrics) -> Self {
        Self {
            inbox: Mutex::default(),
            wake: Notify::new(),
            credits: AtomicUsize::new(config.credits),
            all_credits: config.credits,
            event_queue: config.event_queue,
            dropped: metrics.events.with_label_values(&["dropped"]),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nothing panics while holding it; if something did, the queues would still be whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what came in, and says whether nothing more will.
    pub(super) fn take(&self, intents: &mut VecDeque<Submitted>, events: &mut VecDeque<(EventRecord, Mono)>) -> bool {
        let mut inbox = self.lock();
        intents.append(&mut inbox.intents);
        // Both queues together hold at most what one may hold.
        let room = self.event_queue.saturating_sub(events.len());
        let surplus = inbox.events.len().saturating_sub(room);
        if surplus > 0 {
            inbox.events.truncate(room);
            self.dropped.inc_by(surplus as u64);
        }
        events.append(&mut inbox.events);
        inbox.closed
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// An outcome was taken in.
    pub(super) fn give_back(&self) {
        self.credits.fetch_add(1, Ordering::AcqRel);
    }

    fn take_credit(&self) -> bool {
        self.credits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |c| c.checked_sub(1)).is_ok()
    }

    /// With a credit taken.
    fn push(&self, intent: Intent, since: Option<Mono>) -> Result<(), Intent> {
        let mut inbox = self.lock();
        if inbox.closed {
            drop(inbox);
            self.give_back();
            return Err(intent);
        }
        let first = inbox.intents.is_empty();
        inbox.intents.push_back((intent, since));
        drop(inbox);
        // Waking another thread costs a system call, and one is enough until the task has looked.
        if first {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn push_event(&self, record: EventRecord) {
        let mut inbox = self.lock();
        if inbox.closed || inbox.events.len() >= self.event_queue {
            self.dropped.inc();
            return;
        }
        let first = inbox.events.is_empty();
        inbox.events.push_back((record, clock::mono()));
        drop(inbox);
        if first {
            self.wake.notify_one();
        }
    }
}

/// Submits intents. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct DispatchHandle(pub(super) Arc<Shared>);

impl DispatchHandle {
    /// Takes an intent. An event is always taken (and dropped, counted, when too many wait).
    ///
    /// # Errors
    /// Gives the intent back when there is no credit, or when the dispatcher is ending.
    pub fn submit(&self, intent: Intent) -> Result<(), Intent> {
        self.submit_since(intent, None)
    }

    /// The same for an intent that follows from something that was seen at `since`: how long its request took from there
    /// until it went out is measured ([`DispatcherConfig::since_seen`]). Only writes are; the time goes with the intent,
    /// so that nothing is kept of one that never goes out.
    ///
    /// # Errors
    /// As [`DispatchHandle::submit`].
    pub fn submit_since(&self, intent: Intent, since: Option<Mono>) -> Result<(), Intent> {
        if let Op::Event(record) = intent.op {
            self.0.push_event(record);
            return Ok(());
        }
        if !self.0.take_credit() {
            return Err(intent);
        }
        self.0.push(intent, since)
    }

    /// How many intents would be taken now.
    #[must_use]
    pub fn credits(&self) -> usize {
        self.0.credits.load(Ordering::Acquire)
    }

    /// How many intents were taken whose outcome has not been taken in yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.0.all_credits.saturating_sub(self.credits())
    }

    /// Reserves room for one intent and its outcome; nothing when there is none.
    #[must_use]
    pub fn try_credit(&self) -> Option<Credit> {
        self.0.take_credit().then(|| Credit(Some(self.0.clone())))
    }
}

/// Room for one intent. Dropping it gives the room back.
#[derive(Debug)]
pub struct Credit(Option<Arc<Shared>>);

impl Credit {
    /// Submits an intent with this credit.
    ///
    /// # Errors
    /// Gives the intent back when the dispatcher is ending.
    pub fn submit(mut self, intent: Intent) -> Result<(), Intent> {
        let Some(shared) = self.0.take() else { return Err(intent) };
        if let Op::Event(record) = intent.op {
            shared.give_back();
            shared.push_event(record);
            return Ok(());
        }
        shared.push(intent, None)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.give_back();
        }
    }
}
