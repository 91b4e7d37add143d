//! The live cluster: how to reach it, and one look at all that the engine reads.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects of one kind.
const MAX_OBJECTS: usize = 1_000_000;

/// Which cluster, as for kubectl.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// Context of the kubeconfig
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl Connection {
    async fn config(&self) -> anyhow::Result<Config> {
        let chosen = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        match &self.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
                let config = Config::from_custom_kubeconfig(file, &chosen).await;
                config.with_context(|| format!("--kubeconfig {}", path.display()))
            }
            None => Config::from_kubeconfig(&chosen)
                .await
                .context("no usable kubeconfig: give --kubeconfig FILE or set KUBECONFIG"),
        }
    }

    /// A client, and the namespace of the context.
    pub(crate) async fn client(&self) -> anyhow::Result<(Client, String)> {
        let config = self.config().await?;
        let namespace = config.default_namespace.clone();
        Ok((Client::try_from(config)?, namespace))
    }
}

/// A kind that is read, and whether nothing can be said without it.
#[derive(Debug, Clone, Copy)]
struct Source {
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    needed: bool,
}

const fn source(api_version: &'static str, kind: &'static str, plural: &'static str, needed: bool) -> Source {
    Source { api_version, kind, plural, needed }
}

/// Everything that a snapshot holds (interfaces.md 4).
const SOURCES: [Source; 19] = [
    source("v1", "Node", "nodes", true),
    source("v1", "Pod", "pods", true),
    source("v1", "Namespace", "namespaces", false),
    source("v1", "Service", "services", false),
    source("v1", "ReplicationController", "replicationcontrollers", false),
    source("v1", "PersistentVolumeClaim", "persistentvolumeclaims", false),
    source("v1", "PersistentVolume", "persistentvolumes", false),
    source("apps/v1", "ReplicaSet", "replicasets", false),
    source("apps/v1", "StatefulSet", "statefulsets", false),
    source("batch/v1", "Job", "jobs", false),
    source("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", false),
    source("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    source("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    source("storage.k8s.io/v1", "CSINode", "csinodes", false),
    source("storage.k8s.io/v1", "CSIDriver", "csidrivers", false),
    source("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities", false),
    source("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", false),
    source("headroom.dev/v1alpha1", "NodeHeadroom", "nodeheadrooms", false),
    source("headroom.dev/v1alpha1", "MemoryProfile", "memoryprofiles", false),
];

/// Reads all kinds once. What may be missing (a kind that the cluster does not have or we may not read) is a note.
///
/// # Errors
/// The first thing that makes the result useless.
pub(crate) async fn read(client: &Client, notes: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for source in &SOURCES {
        match list(client, source, &mut all).await {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 && !source.needed => {}
            Err(kube::Error::Api(status)) if status.code == 403 && !source.needed => {
                notes.push(format!("you may not list {}: done without them", source.plural));
            }
            Err(kube::Error::Api(status)) => anyhow::bail!("cannot list {}: {}", source.plural, status.message),
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("cannot list {}", source.plural)));
            }
        }
    }
    Ok(all)
}

async fn list(client: &Client, source: &Source, all: &mut Vec<Value>) -> Result<(), kube::Error> {
    let root = if source.api_version.contains('/') { "apis" } else { "api" };
    let path = format!("/{root}/{}/{}", source.api_version, source.plural);
    let mut token = String::new();
    let mut count = 0;
    loop {
        let mut uri = format!("{path}?limit={PAGE}");
        if !token.is_empty() {
            uri.push_str("&continue=");
            // Tokens are base64 without padding; encode what a URL could mistake all the same.
            uri.extend(token.chars().map(|c| match c {
                '+' => "%2B".to_owned(),
                '/' => "%2F".to_owned(),
                '=' => "%3D".to_owned(),
                c => c.to_string(),
            }));
        }
        let request = http::Request::get(uri).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let mut page: Value = client.request(request).await?;
        let Some(items) = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) else {
            return Ok(());
        };
        count += items.len();
        // Items of a list do not say what they are.
        all.extend(items.into_iter().map(|mut item| {
            if let Some(fields) = item.as_object_mut() {
                fields.insert("apiVersion".to_owned(), source.api_version.into());
                fields.insert("kind".to_owned(), source.kind.into());
            }
            item
        }));
        token = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
        if token.is_empty() || count >= MAX_OBJECTS {
            return Ok(());
        }
    }
}
