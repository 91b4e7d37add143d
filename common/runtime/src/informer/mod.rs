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
use headroom_core::{Str, object::ObjectKey};
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
use crate::wire::{SharedInterners, WireObject};

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
    /// Whether the kind may be missing (a custom resource that is not installed): then it counts as empty and synced,
    /// and is looked for again now and then.
    pub optional: bool,
}

impl Default for InformerConfig {
    fn default() -> Self {
        Self {
            namespace: None,
            field_selector: None,
            label_selector: None,
            stream_lists: StreamLists::Auto,
            page_size: 500,
            watch_timeout_seconds: 290,
            optional: false,
        }
    }
}

/// How often a kind that is not installed is looked for.
const MISSING_KIND_RETRY: Duration = Duration::from_secs(60);

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
    W: WireObject + kube::Resource<Scope = kube::core::DynamicResourceScope>,
    M: Send + 'static,
{
    let slot = health.register(W::KIND);
    let api: Api<W> = match &config.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &()),
        None => Api::all(client),
    };
    let informer =
        Informer { store: Store::<W>::new(interners), reporter: Reporter::new(W::KIND), slot, config, tx, wrap };
    informer.run(api)
}

struct Informer<W: WireObject, M> {
    store: Store<W>,
    reporter: Reporter,
    slot: KindHealth,
    config: InformerConfig,
    tx: mpsc::Sender<M>,
    wrap: fn(Change<W::Row>) -> M,
}

/// The receiver is gone.
struct Closed;

impl<W, M> Informer<W, M>
where
    W: WireObject,
    M: Send + 'static,
{
    async fn run(mut self, api: Api<W>) {
        while !self.tx.is_closed() {
            let streaming = self.config.stream_lists == StreamLists::Auto && !self.slot.streaming_refused();
            if self.watch(api.clone(), streaming).await.is_err() {
                return;
            }
        }
    }

    /// Watches with one strategy, until the server refuses it.
    async fn watch(&mut self, api: Api<W>, streaming: bool) -> Result<(), Closed> {
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
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = self.tx.closed() => return Err(Closed),
            };
            match next {
                None => return Ok(()),
                Some(Ok(event)) => {
                    if !matches!(event, Event::Init) {
                        backoff.reset();
                        self.reporter.recovered();
                    }
                    self.handle(event).await?;
                }
                Some(Err(error)) => match trouble(&error) {
                    Trouble::StreamingRefused if streaming => {
                        tracing::debug!(kind = W::KIND.kind, %error, "no streaming lists here: falling back to pages");
                        self.slot.refuse_streaming();
                        return Ok(());
                    }
                    Trouble::NoSuchKind if self.config.optional => {
                        self.reporter.missing();
                        self.forget_all().await?;
                        self.pause(MISSING_KIND_RETRY).await?;
                    }
                    // The watcher lists anew by itself, at once.
                    Trouble::Expired => tracing::debug!(kind = W::KIND.kind, "the watch expired: listing anew"),
                    trouble => {
                        self.reporter.report(&trouble, &error);
                        self.slot.set_trouble(true);
                        self.pause(backoff.next()).await?;
                    }
                },
            }
        }
    }

    async fn handle(&mut self, event: Event<W>) -> Result<(), Closed> {
        match event {
            Event::Init => self.store.begin_list(),
            Event::InitApply(wire) | Event::Apply(wire) => {
                let [gone, applied] = self.store.apply(wire, &self.slot);
                for change in [gone, applied].into_iter().flatten() {
                    self.send(change).await?;
                }
            }
            Event::Delete(wire) => {
                if let Some(change) = self.store.delete(&wire) {
                    self.send(change).await?;
                }
            }
            Event::InitDone => {
                for change in self.store.end_list() {
                    self.send(change).await?;
                }
                self.synced().await?;
            }
        }
        Ok(())
    }

    async fn synced(&mut self) -> Result<(), Closed> {
        self.slot.set_trouble(false);
        if self.slot.set_synced() {
            self.send(Change::Synced).await?;
        }
        Ok(())
    }

    async fn forget_all(&mut self) -> Result<(), Closed> {
        self.store.begin_list();
        for change in self.store.end_list() {
            self.send(change).await?;
        }
        self.synced().await
    }

    async fn send(&self, change: Change<W::Row>) -> Result<(), Closed> {
        self.tx.send((self.wrap)(change)).await.map_err(|_| Closed)
    }

    async fn pause(&self, delay: Duration) -> Result<(), Closed> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.tx.closed() => Err(Closed),
        }
    }
}

#[cfg(test)]
mod tests;
