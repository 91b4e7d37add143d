//! The asynchronous shell around [`World`]: one watch on pods, timers, and writes with bounded concurrency.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use http::{Method, Request, header};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};

use crate::error::HollowError;
use crate::time::{Clock, Millis};
use crate::wire::{NodeWire, PodWire};
use crate::world::{LeaseMethod, Outcome, World, Write};

/// An answer that takes longer than this counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Nodes are registered for at most this long while the API server does not answer.
const REGISTER_FOR: Duration = Duration::from_secs(60);
const REGISTER_RETRY: Duration = Duration::from_millis(500);
/// Token and access reviews under way at once, on all nodes together.
const REVIEWS: usize = 32;
/// Watch events and answers that are handled before the writes are looked at again.
const BATCH: usize = 64;
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// What the engine, the kubelets' servers and the handle share.
pub(crate) struct Shared {
    world: Mutex<World>,
    clock: Clock,
    wake: Notify,
    pub(crate) client: kube::Client,
    pub(crate) reviews: Semaphore,
    pub(crate) paused: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(world: World, clock: Clock, client: kube::Client) -> Self {
        Self {
            world: Mutex::new(world),
            clock,
            wake: Notify::new(),
            client,
            reviews: Semaphore::new(REVIEWS),
            paused: watch::Sender::new(false),
        }
    }

    /// Looks at the state without waking the engine.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&mut World, Millis) -> T) -> T {
        f(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner), self.clock.now())
    }

    /// Changes the state; the engine acts on it at once.
    pub(crate) fn change<T>(&self, f: impl FnOnce(&mut World, Millis) -> T) -> T {
        let result = self.read(f);
        self.wake.notify_one();
        result
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, in_flight: usize) {
    let mut streaming = true;
    let mut pods = watch_pods(&shared.client, streaming);
    let mut nodes = watch_nodes(&shared.client);
    let mut writes: FuturesUnordered<BoxFuture<'static, (Write, Outcome)>> = FuturesUnordered::new();
    let (mut on_pods, mut on_nodes) = (0usize, 0usize);
    shared.change(World::start);
    loop {
        let (next, relist) = shared.read(|world, now| {
            world.step(now);
            while on_pods < in_flight
                && let Some(write) = world.take_pod_write()
            {
                on_pods += 1;
                writes.push(send(shared.client.clone(), write).boxed());
            }
            while on_nodes < in_flight
                && let Some(write) = world.take_node_write(now)
            {
                on_nodes += 1;
                writes.push(send(shared.client.clone(), write).boxed());
            }
            (world.next_due(), world.take_relist())
        });
        if relist {
            pods = watch_pods(&shared.client, streaming);
        }
        let deadline = next.map(|at| shared.clock.instant(at));
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.wake.notified() => {}
            () = timer => {}
            Some(first) = writes.next(), if !writes.is_empty() => {
                let mut done = Some(first);
                // Nothing is taken that is not handled: the last round takes no more.
                for left in (0..BATCH).rev() {
                    let Some((write, outcome)) = done.take() else { break };
                    match &write {
                        Write::PodStatus { .. } | Write::PodDelete { .. } => on_pods -= 1,
                        Write::Lease { .. } | Write::NodeStatus { .. } => on_nodes -= 1,
                    }
                    shared.read(|world, now| world.written(&write, outcome, now));
                    done = if left > 0 { writes.next().now_or_never().flatten() } else { None };
                }
            }
            Some(event) = nodes.next() => match event {
                Ok(Event::InitApply(node) | Event::Apply(node)) => {
                    shared.read(|world, now| world.observe_node(&node, now));
                }
                Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
                Err(error) => tracing::warn!(%error, "watching nodes failed; trying again"),
            },
            Some(first) = pods.next() => {
                let mut event = Some(first);
                for left in (0..BATCH).rev() {
                    let Some(one) = event.take() else { break };
                    if let Err(error) = &one
                        && streaming
                        && refused_streaming(error)
                    {
                        tracing::info!("the API server has no streaming lists; listing in pages");
                        streaming = false;
                        pods = watch_pods(&shared.client, streaming);
                        break;
                    }
                    observe(&shared, one);
                    event = if left > 0 { pods.next().now_or_never().flatten() } else { None };
                }
            }
        }
    }
}

type Pods = BoxStream<'static, Result<Event<PodWire>, watcher::Error>>;

/// One watch for all nodes: every pod that is bound to any node.
fn watch_pods(client: &kube::Client, streaming: bool) -> Pods {
    let config = watcher::Config::default().fields("spec.nodeName!=").page_size(500);
    let config = if streaming { config.streaming_lists() } else { config };
    watcher(Api::<PodWire>::all(client.clone()), config).default_backoff().boxed()
}

/// One watch for what each kubelet watches: its own Node.
fn watch_nodes(client: &kube::Client) -> BoxStream<'static, Result<Event<NodeWire>, watcher::Error>> {
    let config = watcher::Config::default().page_size(500);
    watcher(Api::<NodeWire>::all(client.clone()), config).default_backoff().boxed()
}

fn refused_streaming(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 422,
        _ => false,
    }
}

fn observe(shared: &Shared, event: Result<Event<PodWire>, watcher::Error>) {
    match event {
        Ok(event) => shared.read(|world, now| match event {
            Event::Init => world.list_begins(),
            Event::InitApply(pod) | Event::Apply(pod) => world.apply(&pod, now),
            Event::InitDone => world.list_ends(),
            Event::Delete(pod) => world.deleted(&pod),
        }),
        Err(error) => tracing::warn!(%error, "watching pods failed; trying again"),
    }
}

/// The part of any answer that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    metadata: Option<AnswerMeta>,
    spec: Option<AnswerSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerMeta {
    resource_version: Option<String>,
    uid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AnswerSpec {
    taints: Option<Vec<Value>>,
}

async fn send(client: kube::Client, write: Write) -> (Write, Outcome) {
    let (method, path, content, body) = match &write {
        Write::PodStatus { namespace, name, body, .. } => (
            Method::PATCH,
            format!("/api/v1/namespaces/{namespace}/pods/{name}/status?fieldManager=kubelet"),
            STRATEGIC,
            Some(body.to_string()),
        ),
        Write::PodDelete { namespace, name, uid, .. } => (
            Method::DELETE,
            format!("/api/v1/namespaces/{namespace}/pods/{name}"),
            "application/json",
            Some(
                json!({
                    "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                    "preconditions": {"uid": uid},
                })
                .to_string(),
            ),
        ),
        Write::NodeStatus { name, body, .. } => (
            Method::PATCH,
            format!("/api/v1/nodes/{name}/status?fieldManager=kubelet"),
            STRATEGIC,
            Some(body.to_string()),
        ),
        Write::Lease { name, body, method, .. } => {
            let all = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
            match method {
                LeaseMethod::Get => (Method::GET, format!("{all}/{name}"), "application/json", None),
                LeaseMethod::Create => (Method::POST, all.to_owned(), "application/json", Some(body.to_string())),
                LeaseMethod::Update => {
                    (Method::PUT, format!("{all}/{name}"), "application/json", Some(body.to_string()))
                }
            }
        }
    };
    let outcome = match call(&client, method, &path, content, body).await {
        Ok(answer) => Outcome::Done(answer.metadata.and_then(|metadata| metadata.resource_version)),
        Err(error) => match code(&error) {
            404 => Outcome::NotFound,
            409 => Outcome::Conflict,
            code => {
                // A namespace or a lease that does not exist yet is retried like everything else.
                tracing::debug!(%error, code, path, "write failed");
                Outcome::Failed
            }
        },
    };
    (write, outcome)
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

async fn call(
    client: &kube::Client,
    method: Method,
    path: &str,
    content: &str,
    body: Option<String>,
) -> Result<Answer, kube::Error> {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, content);
    }
    let request = request.body(body.unwrap_or_default().into_bytes()).map_err(kube::Error::HttpError)?;
    match tokio::time::timeout(REQUEST_TIMEOUT, client.request::<Answer>(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}

/// Registers every node, `in_flight` at once.
pub(crate) async fn register(shared: &Arc<Shared>, untaint: bool, in_flight: usize) -> Result<(), HollowError> {
    let nodes: Vec<(usize, String, Value)> = shared.read(|world, now| {
        world.nodes.iter().enumerate().map(|(index, node)| (index, node.name.clone(), node.object(now))).collect()
    });
    let mut results = futures::stream::iter(nodes)
        .map(|(index, name, object)| async move {
            let result = register_one(&shared.client, index, &name, &object, untaint).await;
            (index, name, result)
        })
        .buffer_unordered(in_flight);
    while let Some((index, node, result)) = results.next().await {
        let uid = result.map_err(|source| HollowError::Register { node, source: Box::new(source) })?;
        shared.read(|world, _| {
            if let Some(node) = world.nodes.get_mut(index) {
                node.uid = uid;
            }
        });
    }
    Ok(())
}

async fn register_one(
    client: &kube::Client,
    index: usize,
    name: &str,
    object: &Value,
    untaint: bool,
) -> Result<Option<String>, kube::Error> {
    let give_up = tokio::time::Instant::now() + REGISTER_FOR;
    loop {
        let error = match try_register(client, name, object, untaint).await {
            Ok(uid) => return Ok(uid),
            Err(error) => error,
        };
        let for_good = matches!(code(&error), 400..=428 | 430..=499);
        if for_good || tokio::time::Instant::now() >= give_up {
            return Err(error);
        }
        // Every node has the same trouble: the first one speaks for all.
        if index == 0 {
            tracing::warn!(node = name, %error, "registration failed; trying again");
        }
        tokio::time::sleep(REGISTER_RETRY).await;
    }
}

/// Creates the node; one that exists already gets its labels and status anew, as a restarted kubelet does.
async fn try_register(
    client: &kube::Client,
    name: &str,
    object: &Value,
    untaint: bool,
) -> Result<Option<String>, kube::Error> {
    let json = "application/json";
    let created = call(client, Method::POST, "/api/v1/nodes", json, Some(object.to_string())).await;
    let path = format!("/api/v1/nodes/{name}");
    let node = match created {
        Err(error) if code(&error) == 409 => {
            let labels = json!({"metadata": {"labels": object["metadata"]["labels"]}});
            let node = call(client, Method::PATCH, &path, STRATEGIC, Some(labels.to_string())).await?;
            let status = json!({"status": object["status"]});
            call(client, Method::PATCH, &format!("{path}/status"), STRATEGIC, Some(status.to_string())).await?;
            node
        }
        other => other?,
    };
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    if untaint && taints.iter().any(|taint| taint["key"] == NOT_READY) {
        let rest: Vec<&Value> = taints.iter().filter(|taint| taint["key"] != NOT_READY).collect();
        let patch = json!({"spec": {"taints": rest}}).to_string();
        call(client, Method::PATCH, &path, "application/merge-patch+json", Some(patch)).await?;
    }
    Ok(node.metadata.and_then(|metadata| metadata.uid))
}
