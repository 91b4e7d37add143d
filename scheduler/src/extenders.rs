//! Calls extenders over HTTP, as the engine asks for it (reference 4.5).
//!
//! The engine keeps trimmed rows; extenders are sent whole objects. So the pod is read from the API server for each
//! call, and the nodes as well for extenders without a cache of their own (`nodeCacheCapable: false`): on large clusters
//! that costs, as it does upstream.

use std::sync::Arc;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use headroom_core::{Str, intent::IntentId, object::ObjectKey};
use headroom_engine::{
    config::Extender,
    extender::{ExtenderAnswer, ExtenderCall, ExtenderRequest, NodeVictims, decode, request_body},
};
use headroom_runtime::{
    client::{Fence, Purpose, build},
    lease::LeaderGate,
    metrics::ClientMetrics,
    process::Tasks,
};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use kube::{
    Config,
    client::Body,
    config::{
        AuthInfo, Cluster, Context as KubeContext, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
        NamedContext,
    },
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::inputs::Message;

/// Bindings that may wait; further ones fail at once, and their pods are tried again.
const BINDINGS: usize = 256;
/// Bindings under way at most.
const BINDINGS_IN_FLIGHT: usize = 32;
/// Victims that are read at the same time, for extenders without a cache.
const VICTIMS_IN_FLIGHT: usize = 16;
/// Calls of cycles that may wait. The engine asks one at a time; a second one can only follow an answer that came late.
const CYCLE: usize = 4;
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// Where calls go. Those of the cycle, for which the whole queue waits, have a way of their own past the bindings.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    cycle: mpsc::Sender<ExtenderCall>,
    bindings: mpsc::Sender<ExtenderCall>,
}

impl Calls {
    /// Hands a call over.
    ///
    /// # Errors
    /// The call's number when there is no room.
    pub(crate) fn submit(&self, call: ExtenderCall) -> Result<(), IntentId> {
        let way = if matches!(call.request, ExtenderRequest::Bind { .. }) { &self.bindings } else { &self.cycle };
        way.try_send(call).map_err(|error| error.into_inner().id)
    }
}

/// What all calls share.
struct Caller {
    extenders: Vec<(Extender, kube::Client)>,
    cluster: kube::Client,
    gate: LeaderGate,
}

/// Starts the tasks that make the calls. Answers are sent as messages. When nobody takes them any more, no call is begun,
/// and when nobody asks for any more, the tasks end.
///
/// # Errors
/// A URL, certificate or key that cannot be used.
pub(crate) async fn start(
    extenders: &[Extender],
    cluster: kube::Client,
    gate: LeaderGate,
    tx: mpsc::Sender<Message>,
    tasks: &mut Tasks,
) -> anyhow::Result<Calls> {
    let mut clients = Vec::new();
    for (i, extender) in extenders.iter().enumerate() {
        let client = client(extender).await.with_context(|| format!("extenders[{i}] {}", extender.url_prefix))?;
        clients.push((extender.clone(), client));
    }
    let caller = Arc::new(Caller { extenders: clients, cluster, gate });
    let mut way = |room, at_once| {
        let (calls, queue) = mpsc::channel(room);
        tasks.spawn(work(queue, at_once, caller.clone(), tx.clone()));
        calls
    };
    Ok(Calls { cycle: way(CYCLE, 1), bindings: way(BINDINGS, BINDINGS_IN_FLIGHT) })
}

/// Makes the calls of one way, `at_once` of them at the same time.
async fn work(queue: mpsc::Receiver<ExtenderCall>, at_once: usize, caller: Arc<Caller>, tx: mpsc::Sender<Message>) {
    let calls = futures::stream::unfold(queue, async |mut queue| Some((queue.recv().await?, queue)));
    calls
        .for_each_concurrent(at_once, async |call| {
            if tx.is_closed() {
                return;
            }
            let answer = caller.call(&call).await;
            // Nobody listens any more when the process ends.
            let _ = tx.send(Message::Extended { id: call.id, answer }).await;
        })
        .await;
}

/// A client for an extender's URL, with its TLS options read as those of a kubeconfig.
async fn client(extender: &Extender) -> anyhow::Result<kube::Client> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let tls = extender.tls.clone().unwrap_or_default();
    let has_authority = !tls.ca_file.is_empty() || !tls.ca_data.is_empty();
    let cluster = Cluster {
        server: Some(extender.url_prefix.trim_end_matches('/').to_owned()),
        certificate_authority: given(&tls.ca_file),
        certificate_authority_data: given(&tls.ca_data),
        // As upstream: with enableHTTPS and no authority to ask, the certificate is not checked.
        insecure_skip_tls_verify: Some(tls.insecure || (extender.enable_https && !has_authority)),
        tls_server_name: given(&tls.server_name),
        ..Cluster::default()
    };
    let user = AuthInfo {
        client_certificate: given(&tls.cert_file),
        client_certificate_data: given(&tls.cert_data),
        client_key: given(&tls.key_file),
        client_key_data: given(&tls.key_data).map(Into::into),
        ..AuthInfo::default()
    };
    let name = "extender".to_owned();
    let context = KubeContext { cluster: name.clone(), user: Some(name.clone()), ..KubeContext::default() };
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster { name: name.clone(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: name.clone(), auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: name.clone(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name),
        ..Kubeconfig::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(build(&config, Purpose::Foreign, &Fence::closed(), &ClientMetrics::unregistered()?)?)
}

fn pod_path(key: &ObjectKey) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name)
}

impl Caller {
    async fn call(&self, call: &ExtenderCall) -> Result<ExtenderAnswer, String> {
        let Some((extender, client)) = self.extenders.get(call.extender) else {
            return Err("there is no such extender".to_owned());
        };
        match tokio::time::timeout(extender.http_timeout, self.exchange(call, extender, client)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("{}: no answer within {:?}", extender.url_prefix, extender.http_timeout)),
        }
    }

    async fn exchange(
        &self,
        call: &ExtenderCall,
        extender: &Extender,
        client: &kube::Client,
    ) -> Result<ExtenderAnswer, String> {
        let verb = match &call.request {
            ExtenderRequest::Filter { .. } => &extender.filter_verb,
            ExtenderRequest::Prioritize { .. } => &extender.prioritize_verb,
            ExtenderRequest::Preempt { .. } => &extender.preempt_verb,
            ExtenderRequest::Bind { .. } => &extender.bind_verb,
        };
        let binds = matches!(call.request, ExtenderRequest::Bind { .. });
        let pod = if binds { Value::Null } else { self.get(&pod_path(&call.pod)).await? };
        let objects = match &call.request {
            _ if extender.node_cache_capable => None,
            ExtenderRequest::Filter { nodes } | ExtenderRequest::Prioritize { nodes } => Some(self.nodes(nodes).await?),
            ExtenderRequest::Preempt { nodes } => Some(self.victims(nodes).await?),
            ExtenderRequest::Bind { .. } => None,
        };
        let body = request_body(call, pod, objects);
        let url = format!("{}/{verb}", extender.url_prefix.trim_end_matches('/'));
        let request = Request::post(format!("/{verb}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string().into_bytes()))
            .map_err(|error| format!("{url}: {error}"))?;
        if binds && !self.gate.is_leader_now() {
            return Err("not the leader any more".to_owned());
        }
        let response = client.send(request).await.map_err(|error| format!("{url}: {error}"))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("failed {verb} with extender at URL {url}, code {}", status.as_u16()));
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| format!("{url}: {error}"))?.to_bytes();
        decode(&call.request, extender.node_cache_capable, &body).map_err(|error| format!("{url}: {error}"))
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        self.find(path).await?.ok_or_else(|| format!("cannot read {path}: not found"))
    }

    /// `None` when it does not exist.
    async fn find(&self, path: &str) -> Result<Option<Value>, String> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match self.cluster.request(request).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        }
    }

    /// The victims, whole. Those that are gone are left out: the extender need not think of them.
    async fn victims(&self, nodes: &[NodeVictims]) -> Result<Vec<Value>, String> {
        let paths: Vec<String> = nodes.iter().flat_map(|n| &n.pods).map(|(key, _)| pod_path(key)).collect();
        let reads = futures::stream::iter(paths).map(|path| async move { self.find(&path).await });
        let found: Vec<Option<Value>> = reads.buffered(VICTIMS_IN_FLIGHT).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The nodes of these names, whole, in this order.
    async fn nodes(&self, names: &[Str]) -> Result<Vec<Value>, String> {
        let mut list = self.get("/api/v1/nodes?resourceVersion=0").await?;
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let mut by_name: std::collections::HashMap<String, Value> = items
            .into_iter()
            .filter_map(|node| Some((node.pointer("/metadata/name")?.as_str()?.to_owned(), node)))
            .collect();
        Ok(names.iter().filter_map(|name| by_name.remove(name.as_str())).collect())
    }
}
