//! Where rounds take place: on the runtime's thread while little happens, on a thread beside it while there is much to do
//! (decision 0016).
//!
//! The thread that reads a pod's watch event also sends its binding. On a machine whose cores are busy, to have another
//! thread decide in between is to wait for a core twice; a lone decision takes less time than that. A burst, the first
//! lists, and decisions that take long would keep I/O waiting, and go to the thread that is started for them. The engine
//! wanders as a whole: there is one, and one owner of it at any time.

use std::{sync::mpsc::sync_channel, time::Duration};

use headroom_core::Mono;
use headroom_runtime::{
    clock,
    moderation::MANY,
    process::{THREAD_PATIENCE, Worker, WorkerError},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::yield_now,
    time::timeout,
};
use tracing::warn;

use super::{BATCH, Decider, State};

/// More messages at once are a burst.
const FEW: usize = 64;
/// How long the thread stays after the last sign of a burst.
const LINGER: Duration = Duration::from_secs(1);
/// A round that takes longer than this is too long for the runtime's thread. It decides nothing more then.
pub(super) const SLOW: Duration = Duration::from_millis(20);
/// How long the thread stays after a slow round: the next pods are probably like the last.
const SLOW_LINGER: Duration = Duration::from_secs(10);
/// Outcomes are taken in at most this late while [`MANY`] writes are under way: several at once.
const PAUSE: Duration = Duration::from_millis(4);
/// How long the runtime's thread does everything when the system has no room for another one.
const REFUSED: Duration = Duration::from_secs(60);

/// Whether there is more to do than the runtime's thread should.
#[derive(Debug, Default)]
pub(super) struct Load {
    busy_until: Mono,
}

impl Load {
    /// A round is over: so many messages were taken in, pods are `left` that could be decided, so many writes are under way.
    fn round(&mut self, received: usize, left: bool, outstanding: usize, began: Mono, now: Mono) {
        let linger = if now.since(began) >= SLOW {
            SLOW_LINGER
        } else if received > FEW || left || outstanding >= MANY {
            LINGER
        } else {
            return;
        };
        self.busy_until = self.busy_until.max(now + linger);
    }

    fn is_busy(&self, now: Mono) -> bool {
        now < self.busy_until
    }
}

impl Decider {
    /// Runs until [`Shared::stop`](super::Shared::stop), or until nobody sends any more, as a task of the runtime of
    /// `handle`.
    ///
    /// # Errors
    /// [`WorkerError::Panicked`] when it panicked on a thread beside the runtime. Otherwise the task itself panics.
    pub(crate) async fn run(self, handle: Handle) -> Result<(), WorkerError> {
        let mut state = Box::new(State::new(self));
        let mut refused_until = Mono(0);
        while !state.is_over() {
            state.receive().await;
            let now = clock::mono();
            if now < refused_until || !state.is_busy(now) {
                state.round();
                continue;
            }
            match Thread::start(&handle) {
                Ok(thread) => state = thread.work(state).await?,
                Err(error) => {
                    warn!(%error, "no thread to decide on: deciding beside all else");
                    refused_until = now + REFUSED;
                }
            }
        }
        state.log_totals(true);
        Ok(())
    }
}

/// A thread that waits for the engine, works with it while there is much to do, and gives it back.
struct Thread {
    worker: Worker,
    give: std::sync::mpsc::SyncSender<Box<State>>,
    returned: oneshot::Receiver<Box<State>>,
}

impl Thread {
    fn start(handle: &Handle) -> std::io::Result<Self> {
        let (give, given) = sync_channel::<Box<State>>(1);
        let (give_back, returned) = oneshot::channel();
        let handle = handle.clone();
        let worker = Worker::spawn("decide", move || {
            if let Ok(state) = given.recv() {
                // Nobody takes it any more when the runtime has ended.
                let _ = give_back.send(state.work(&handle));
            }
        })?;
        Ok(Self { worker, give, returned })
    }

    async fn work(self, state: Box<State>) -> Result<Box<State>, WorkerError> {
        // There is room for one.
        let _ = self.give.send(state);
        if let Ok(state) = self.returned.await {
            // The thread has nothing left to do.
            return Ok(state);
        }
        // Whatever became of it, joining it tells.
        self.worker.join(THREAD_PATIENCE).await?;
        Err(WorkerError::Panicked("the engine was not given back".to_owned()))
    }
}

impl State {
    /// Takes in what was received, decides, and hands over what follows.
    fn round(&mut self) {
        let began = clock::mono();
        let received = self.batch.len();
        let mut batch = std::mem::take(&mut self.batch);
        for message in batch.drain(..) {
            self.take(message);
        }
        self.batch = batch;
        self.tick();
        // What was taken in does not shorten what is decided: else a flood of events would leave one pod for each round.
        self.decide(clock::mono());
        self.report();
        let left = self.may_decide() && self.decider.engine.has_work();
        self.load.round(received, left, self.decider.dispatch.outstanding(), began, clock::mono());
    }

    /// What is there already, without waiting.
    fn take_ready(&mut self) {
        while self.batch.len() < BATCH {
            match self.decider.messages.try_recv() {
                Ok(message) => self.batch.push(message),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.closed = self.batch.is_empty();
                    return;
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.closed || self.decider.shared.is_stopping()
    }

    fn is_busy(&self, now: Mono) -> bool {
        self.batch.len() > FEW || !self.decider.awaited.is_empty() || self.load.is_busy(now)
    }

    /// Receives messages on the runtime's thread. What was received before is taken in first.
    async fn receive(&mut self) {
        if !self.batch.is_empty() {
            return;
        }
        let wait = self.wait();
        if wait.is_zero() {
            // What was just asked for is sent before the next pod is decided.
            yield_now().await;
            self.take_ready();
            return;
        }
        let (messages, batch) = (&mut self.decider.messages, &mut self.batch);
        let received = timeout(wait, messages.recv_many(batch, BATCH)).await;
        self.closed |= matches!(received, Ok(0));
    }

    /// Works on a thread of its own, which only parks on the runtime of `handle`, until little happens.
    fn work(mut self: Box<Self>, handle: &Handle) -> Box<Self> {
        while !self.is_over() {
            if self.batch.is_empty() {
                let wait = self.wait();
                if wait.is_zero() {
                    self.take_ready();
                } else if !self.is_busy(clock::mono()) {
                    break;
                } else {
                    self.park(wait, handle);
                }
            }
            self.round();
        }
        // What a burst took is given back.
        self.batch.shrink_to(FEW);
        self
    }

    fn park(&mut self, wait: Duration, handle: &Handle) {
        // While many writes are under way there is nothing to hurry for: the next binding would wait behind them.
        if self.decider.dispatch.outstanding() >= MANY {
            std::thread::sleep(PAUSE);
        }
        let (messages, batch) = (&mut self.decider.messages, &mut self.batch);
        let received = handle.block_on(async { timeout(wait, messages.recv_many(batch, BATCH)).await });
        self.closed |= matches!(received, Ok(0));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headroom_core::object::Kind;
    use headroom_engine::{Engine, Mode, config::Configuration};
    use headroom_runtime::{
        client::Clients,
        dispatcher::{Dispatcher, DispatcherConfig},
        events::Flavour,
        informer::Change,
        lease::LeaderGate,
        metrics::{ClientMetrics, DispatcherMetrics, Registry},
        process::Tasks,
    };

    use super::*;
    use crate::{decider::Shared, extenders, inputs::Message, metrics::SchedulerMetrics, shadow::ShadowBook};

    /// For what comes at last, however busy the machine is.
    const LONG: Duration = Duration::from_secs(120);

    const fn at(millis: u64) -> Mono {
        Mono(millis * 1000)
    }

    #[test]
    fn bursts_and_slow_rounds_are_signs_of_load_for_a_while() {
        for (received, left, outstanding, took, busy) in [
            (FEW, false, MANY - 1, 19, 0),
            (FEW + 1, false, 0, 19, 1000),
            (1, true, 0, 0, 1000),
            (0, false, MANY, 0, 1000),
            (0, false, 0, 20, 10_000),
        ] {
            let mut load = Load::default();
            load.round(received, left, outstanding, at(5000), at(5000 + took));
            let end = 5000 + took + busy;
            assert!(!load.is_busy(at(end)), "{received} {left} {outstanding} {took}");
            assert_eq!(load.is_busy(at(end - 1)), busy > 0, "{received} {left} {outstanding} {took}");
        }
        let mut load = Load::default();
        load.round(0, false, 0, at(0), at(20));
        load.round(FEW + 1, false, 0, at(30), at(30));
        assert!(load.is_busy(at(10_019)), "the longer time counts");
    }

    /// A decider of an empty cluster, what it is fed and ended with, and what executes its intents.
    async fn decider(awaited: Vec<Kind>) -> (Decider, mpsc::Sender<Message>, Arc<Shared>, Dispatcher) {
        let mut config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        config.root_cert = Some(Vec::new());
        let clients = Clients::from_config(&config, &ClientMetrics::unregistered().unwrap()).unwrap();
        let gate = LeaderGate::new(clients.fence.clone());
        let (tx, messages) = mpsc::channel(16);
        let registry = Registry::new();
        let dispatcher = Dispatcher::start(
            clients.write.clone(),
            gate.clone(),
            DispatcherConfig::new(Flavour::EventsV1, "test"),
            DispatcherMetrics::new(&registry).unwrap(),
            tx.clone(),
            Message::Outcome,
        );
        let plugins = headroom_engine::Registry::in_tree();
        let calls =
            extenders::start(&[], clients.watch.clone(), gate, tx.clone(), &mut Tasks::default()).await.unwrap();
        let shared = Arc::new(Shared::default());
        let decider = Decider {
            engine: Engine::new(Configuration::default(), plugins, 7, Mode::Primary).unwrap(),
            mode: Mode::Primary,
            messages,
            dispatch: dispatcher.handle(),
            extenders: calls,
            metrics: SchedulerMetrics::new(&registry).unwrap(),
            shared: shared.clone(),
            shadow: Arc::new(ShadowBook::default()),
            awaited,
        };
        (decider, tx, shared, dispatcher)
    }

    /// Whether this process has the thread now.
    fn has_thread() -> bool {
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        std::fs::read_dir("/proc/self/task").unwrap().flatten().any(|task| name(task).trim() == "decide")
    }

    async fn until(what: impl Fn() -> bool) {
        let looking = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, looking).await.unwrap();
    }

    #[tokio::test]
    async fn the_first_lists_have_a_thread_which_gives_the_engine_back() {
        let (decider, tx, shared, _dispatcher) = decider(vec![Kind::POD]).await;
        let deciding = tokio::spawn(decider.run(Handle::current()));
        tx.send(Message::Namespace(Change::Synced)).await.unwrap();
        until(has_thread).await;
        tx.send(Message::Pod(Change::Synced, Mono(0))).await.unwrap();
        until(|| !has_thread()).await;
        let (answer, pods) = oneshot::channel();
        tx.send(Message::Pods(answer)).await.unwrap();
        assert!(timeout(LONG, pods).await.unwrap().unwrap().is_empty(), "it goes on without");
        shared.stop(&tx);
        timeout(LONG, deciding).await.unwrap().unwrap().unwrap();
    }
}
