//! The samples, live or from a file.

use std::collections::BTreeSet;

use anyhow::Context;
use headroom_api::NodeHeadroom;
use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::{Common, Shown, now};
use crate::{reach::RIGHT, snapshot};

/// What `top` works with.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) nodes: Vec<NodeHeadroom>,
    /// What the list was as of, for a watch.
    pub(super) resource_version: String,
    /// Names of nodes or UIDs of pods whose labels were asked for.
    pub(super) selected: Option<BTreeSet<String>>,
    /// The namespace of the context.
    pub(super) namespace: String,
    /// The time that ages are counted to.
    pub(super) at: Timestamp,
    /// What was left out, in sentences for people.
    pub(super) notes: Vec<String>,
    /// Absent when all comes from a file.
    pub(super) client: Option<Client>,
}

pub(super) async fn read(common: &Common, shown: &impl Shown) -> anyhow::Result<Samples> {
    let mut samples = match common.view.saved(snapshot::objects)? {
        Some(objects) => from_objects(objects),
        None => {
            let (client, namespace) = common.view.connection.client().await?;
            let list = list(&client).await?;
            let selected = match &common.selector {
                Some(selector) => Some(select(&client, shown.plural(), shown.selected_in(&namespace), selector).await?),
                None => None,
            };
            Samples {
                resource_version: list.metadata.resource_version.unwrap_or_default(),
                nodes: list.items,
                selected,
                namespace,
                client: Some(client),
                ..Samples::default()
            }
        }
    };
    let newest = samples.nodes.iter().filter_map(|n| parse_rfc3339(n.status.as_ref()?.observed_at.as_deref()?)).max();
    samples.at = now(common, newest);
    Ok(samples)
}

pub(super) fn from_objects(objects: Vec<Value>) -> Samples {
    let mut samples = Samples { namespace: "default".to_owned(), ..Samples::default() };
    for object in objects {
        if object.get("kind").and_then(Value::as_str) != Some("NodeHeadroom") {
            continue;
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        match serde_json::from_value(object) {
            Ok(node) => samples.nodes.push(node),
            Err(error) => samples.notes.push(format!("skipped: NodeHeadroom {name}: {error}")),
        }
    }
    samples
}

pub(super) async fn list(client: &Client) -> anyhow::Result<kube::core::ObjectList<NodeHeadroom>> {
    let api: Api<NodeHeadroom> = Api::all(client.clone());
    api.list(&ListParams::default()).await.map_err(explain)
}

/// Names of the nodes, or UIDs of the pods, that a selector chooses.
async fn select(
    client: &Client,
    plural: &str,
    namespace: Option<&str>,
    selector: &str,
) -> anyhow::Result<BTreeSet<String>> {
    let kind = if plural == "nodes" { "Node" } else { "Pod" };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let found = api.list_metadata(&ListParams::default().labels(selector)).await;
    let found = found.with_context(|| format!("cannot list {plural} by --selector {selector:?}"))?;
    let named = |o: &kube::core::PartialObjectMeta<DynamicObject>| {
        if kind == "Node" { o.name_any() } else { o.uid().unwrap_or_default() }
    };
    Ok(found.items.iter().map(named).collect())
}

pub(super) fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            anyhow::anyhow!("the cluster has no NodeHeadroom objects: install Headroom's CRDs first")
        }
        kube::Error::Api(status) if status.code == 403 => {
            anyhow::anyhow!("you may not read nodeheadrooms.headroom.dev (get, list, watch) cluster-wide; {RIGHT}")
        }
        other => anyhow::Error::new(other).context("cannot read nodeheadrooms.headroom.dev"),
    }
}
