//! Watches as a stream of changes.
//!
//! kube's watcher resumes, pages and notices a dead peer; what it leaves to its user is done here: the fallback from
//! streaming lists (it would loop on 422 for ever), the difference between two lists (deletions that happened while
//! disconnected never arrive as events), backoff, malformed objects, and telling people what is missing. A consumer
//! sees each object's every known version once, in order, and never a change that is none.

mod errors;
mod health;
mod store;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use headroom_core::{
    Str,
    object::{Kind, ObjectKey},
};
use kube::{
    Api,
    runtime::watcher::{self, Event, InitialListStrategy, watcher},
};
use tokio::sync::mpsc;

pub(crate) use self::errors::chain;
pub use self::health::{InformerHealth, KindHealth};
use self::{
    errors::{Backoff, Reporter, Trouble, trouble},
    store::Store,
};
use crate::{
    client::Stopped,
    wire::{RawObject, SharedInterners, WireObject},
};

/// A change of the world.
#[derive(Debug, Clone)]
pub enum Change<R> {
    /// The object is there, in this version.
    Applied(Arc<R>),
    /// The object is gone.
    Deleted {
        /// Its namespace and name.
        key: ObjectKey,
        /// Its UID.
        uid: Str,
    },
    /// All objects that existed when the informer started have been delivered. Sent once.
    Synced,
}

/// How the first list is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamLists {
    /// As a stream, and in pages once a server refused that.
    #[default]
    Auto,
    /// In pages.
    Never,
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct InformerConfig {
    /// One namespace; absent means all.
    pub namespace: Option<String>,
    /// Field selector in the API's syntax.
    pub field_selector: Option<String>,
    /// Label selector in the API's syntax.
    pub label_selector: Option<String>,
    /// How the first list is fetched.
    pub stream_lists: StreamLists,
    /// Objects per page, when lists come in pages.
    pub page_size: u32,
    /// How long one watch request lasts, in seconds. Dead peers are noticed earlier, by HTTP/2 pings.
    pub watch_timeout_seconds: u32,
    /// Whether the kind may be missing (a custom resource that is not installed, or that we have no right to see): then it
    /// counts as empty and synced, and is looked for again now and then.
    pub optional: bool,
}

impl Default for InformerConfig {
    fn default() -> Self {
        Self {
            namespace: None,
            field_selector: None,
            label_selector: None,
            stream_lists: StreamLists::Auto,
            // Half of kubectl's: a page is in memory as a whole, and what that took is never given back.
            page_size: 250,
            watch_timeout_seconds: 290,
            optional: false,
        }
    }
}

/// How often a kind that is not installed is looked for.
const MISSING_KIND_RETRY: Duration = Duration::from_secs(60);

/// How long the next object of a streamed list may take. To HTTP it is a watch, which may be silent, and would be waited for
/// until it ends by itself, minutes later; a list in pages is given up by the client (`client::steady`).
const STALLED: Duration = Duration::from_secs(60);

/// How often in a row the watch of an optional kind is forbidden before the kind counts as missing: an API server asks for
/// rights before it asks whether a kind exists, and one that has just started may not know its own rules yet.
const FORBIDDEN_RETRIES: u32 = 5;

/// Watches the kind of `W` until the receiver of `tx` is gone. Each change is sent as `wrap(change)`, in order.
///
/// The kind counts for `health` from the call on, not only when the future is first polled.
pub fn run<W, M>(
    client: kube::Client,
    config: InformerConfig,
    health: &InformerHealth,
    tx: mpsc::Sender<M>,
    wrap: fn(Change<W::Row>) -> M,
    interners: SharedInterners,
) -> impl Future<Output = ()> + Send + use<W, M>
where
    W: WireObject,
    M: Send + 'static,
{
    let slot = health.register(W::KIND);
    let store = Box::new(Outlet { store: Store::<W>::new(interners), slot: slot.clone(), wrap });
    Informer { store, kind: W::KIND, reporter: Reporter::new(W::KIND), slot, config, tx, stalls: 0 }.run(client)
}

/// All that knows the kind: objects go in as text, messages come out. The rest exists once for every kind (see
/// [`RawObject`]).
trait Sink<M>: Send {
    /// A list begins.
    fn begin_list(&mut self);
    /// The list ends: what was not in it is gone.
    fn end_list(&mut self) -> Vec<M>;
    /// The object is there.
    fn apply(&mut self, object: &RawObject) -> [Option<M>; 2];
    /// The object is gone.
    fn delete(&mut self, object: &RawObject) -> Option<M>;
    /// All that existed has been delivered.
    fn synced(&self) -> M;
}

struct Outlet<W: WireObject, M> {
    store: Store<W>,
    slot: KindHealth,
    wrap: fn(Change<W::Row>) -> M,
}

/// Nothing is held any more, however the informer ends: given up by its consumer, or cancelled.
impl<W: WireObject, M> Drop for Outlet<W, M> {
    fn drop(&mut self) {
        self.slot.holds(0);
    }
}

impl<W: WireObject, M> Sink<M> for Outlet<W, M> {
    fn begin_list(&mut self) {
        self.store.begin_list();
    }

    fn end_list(&mut self) -> Vec<M> {
        let gone = self.store.end_list();
        self.slot.holds(self.store.len());
        gone.into_iter().map(self.wrap).collect()
    }

    fn apply(&mut self, object: &RawObject) -> [Option<M>; 2] {
        let changes = self.store.apply(object, &self.slot);
        self.slot.holds(self.store.len());
        changes.map(|change| change.map(self.wrap))
    }

    fn delete(&mut self, object: &RawObject) -> Option<M> {
        let gone = self.store.delete(object);
        self.slot.holds(self.store.len());
        gone.map(self.wrap)
    }

    fn synced(&self) -> M {
        (self.wrap)(Change::Synced)
    }
}

struct Informer<M> {
    store: Box<dyn Sink<M>>,
    kind: Kind,
    reporter: Reporter,
    slot: KindHealth,
    config: InformerConfig,
    tx: mpsc::Sender<M>,
    /// Streamed lists in a row that have stopped.
    stalls: u32,
}

/// The receiver is gone.
struct Closed;

impl<M: Send + 'static> Informer<M> {
    async fn run(mut self, client: kube::Client) {
        let api: Api<RawObject> = match &self.config.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &self.kind),
            None => Api::all_with(client, &self.kind),
        };
        while !self.tx.is_closed() {
            let streaming = self.config.stream_lists == StreamLists::Auto && !self.slot.streaming_refused();
            if self.watch(api.clone(), streaming).await.is_err() {
                return;
            }
        }
    }

    /// Watches with one strategy, until the server refuses it.
    async fn watch(&mut self, api: Api<RawObject>, streaming: bool) -> Result<(), Closed> {
        let config = watcher::Config {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            timeout: Some(self.config.watch_timeout_seconds),
            page_size: Some(self.config.page_size.max(1)),
            initial_list_strategy: if streaming {
                InitialListStrategy::StreamingList
            } else {
                InitialListStrategy::ListWatch
            },
            ..watcher::Config::default()
        };
        let mut stream = pin!(watcher(api, config));
        let mut backoff = Backoff::default();
        let mut forbidden = 0;
        let mut listing = false;
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = tokio::time::sleep(STALLED), if listing => return self.stalled().await,
                () = self.tx.closed() => return Err(Closed),
            };
            match next {
                None => return Ok(()),
                Some(Ok(event)) => {
                    listing = streaming && matches!(event, Event::Init | Event::InitApply(_));
                    if !matches!(event, Event::Init) {
                        backoff.reset();
                        forbidden = 0;
                        self.reporter.recovered();
                    }
                    self.handle(event).await?;
                }
                // After some errors the watcher goes on with the same stream: a list that was under way still is.
                Some(Err(error)) => match trouble(&error) {
                    Trouble::StreamingRefused if streaming => {
                        tracing::debug!(kind = self.kind.kind, %error, "no streaming lists here: falling back to pages");
                        self.slot.refuse_streaming();
                        return Ok(());
                    }
                    Trouble::NoSuchKind if self.config.optional => {
                        self.reporter.missing();
                        self.forget_all().await?;
                        self.pause(MISSING_KIND_RETRY).await?;
                    }
                    // The watcher lists anew by itself, at once.
                    Trouble::Expired => tracing::debug!(kind = self.kind.kind, "the watch expired: listing anew"),
                    trouble => {
                        self.reporter.report(&trouble, &error);
                        let is_forbidden = matches!(trouble, Trouble::Forbidden(_));
                        forbidden = if is_forbidden { forbidden + 1 } else { 0 };
                        let mut pause = backoff.next();
                        if self.config.optional && forbidden > FORBIDDEN_RETRIES {
                            self.go_without().await?;
                            pause = MISSING_KIND_RETRY;
                        }
                        self.slot.set_trouble(true);
                        self.pause(pause).await?;
                    }
                },
            }
        }
    }

    /// A streamed list has stopped: another one is asked for, after the pause that follows any failure. The second time in a
    /// row it is one in pages: there are servers that take a streamed list for a watch, and never say where it ends.
    async fn stalled(&mut self) -> Result<(), Closed> {
        self.stalls = self.stalls.saturating_add(1);
        if self.stalls > 1 {
            tracing::debug!(kind = self.kind.kind, "streamed lists do not end here: falling back to pages");
            self.slot.refuse_streaming();
        }
        let error = watcher::Error::InitialListFailed(kube::Error::Service(Box::new(Stopped(STALLED))));
        self.reporter.report(&trouble(&error), &error);
        self.slot.set_trouble(true);
        self.pause(Backoff::default().next()).await
    }

    async fn handle(&mut self, event: Event<RawObject>) -> Result<(), Closed> {
        match event {
            Event::Init => self.store.begin_list(),
            Event::InitApply(object) | Event::Apply(object) => {
                for message in self.store.apply(&object).into_iter().flatten() {
                    self.send(message).await?;
                }
            }
            Event::Delete(object) => {
                if let Some(message) = self.store.delete(&object) {
                    self.send(message).await?;
                }
            }
            Event::InitDone => self.end_list().await?,
        }
        Ok(())
    }

    async fn end_list(&mut self) -> Result<(), Closed> {
        for message in self.store.end_list() {
            self.send(message).await?;
        }
        self.slot.set_trouble(false);
        self.stalls = 0;
        if self.slot.set_synced() {
            let synced = self.store.synced();
            self.send(synced).await?;
        }
        Ok(())
    }

    async fn forget_all(&mut self) -> Result<(), Closed> {
        self.store.begin_list();
        self.end_list().await
    }

    /// Of a kind whose watch is forbidden nothing is known, which is as good as nothing there; what was known is kept.
    async fn go_without(&mut self) -> Result<(), Closed> {
        if !self.slot.is_synced() {
            self.reporter.going_without();
            self.forget_all().await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: M) -> Result<(), Closed> {
        self.tx.send(message).await.map_err(|_| Closed)
    }

    async fn pause(&mut self, delay: Duration) -> Result<(), Closed> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.tx.closed() => Err(Closed),
        }
    }
}

#[cfg(test)]
mod tests;
