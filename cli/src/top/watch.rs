//! `--watch`: a line for whatever changes, as `kubectl get --watch` prints it.

use std::{collections::BTreeMap, process::ExitCode};

use futures::{StreamExt, pin_mut};
use headroom_api::NodeHeadroom;
use headroom_runtime::clock;
use kube::{
    Api, Client, ResourceExt,
    api::{WatchEvent, WatchParams},
};

use super::{Item, Output, Samples, Shown, Table, print_one, read};

/// What was printed last, by node.
type Printed = BTreeMap<String, Vec<Item>>;

/// Prints what changes until something fails.
pub(super) async fn watch(
    client: &Client,
    shown: &impl Shown,
    first: &Samples,
    table: &mut Table,
    items: Vec<Item>,
) -> anyhow::Result<ExitCode> {
    let api: Api<NodeHeadroom> = Api::all(client.clone());
    let mut version = first.resource_version.clone();
    let mut printed = Printed::new();
    for node in &first.nodes {
        let own = shown.items(first, std::slice::from_ref(node));
        printed.insert(node.name_any(), own.into_iter().filter(|item| items.contains(item)).collect());
    }
    loop {
        let stream = api.watch(&WatchParams::default(), &version).await.map_err(read::explain)?;
        pin_mut!(stream);
        // It ends when the API server says so; what came since is asked for again.
        while let Some(event) = stream.next().await {
            match event {
                Ok(WatchEvent::Added(node) | WatchEvent::Modified(node)) => {
                    version = node.resource_version().unwrap_or(version);
                    changed(shown, first, &node, table, &mut printed)?;
                }
                Ok(WatchEvent::Deleted(node)) => {
                    version = node.resource_version().unwrap_or(version);
                    printed.remove(&node.name_any());
                    eprintln!("node {} is gone", node.name_any());
                }
                Ok(WatchEvent::Bookmark(mark)) => version = mark.metadata.resource_version,
                Ok(WatchEvent::Error(status)) if status.code == 410 => {
                    let list = read::list(client).await?;
                    version = list.metadata.resource_version.unwrap_or_default();
                    for node in &list.items {
                        changed(shown, first, node, table, &mut printed)?;
                    }
                    break;
                }
                Ok(WatchEvent::Error(status)) => return Err(read::explain(kube::Error::Api(status))),
                Err(error) => return Err(read::explain(error)),
            }
        }
    }
}

fn changed(
    shown: &impl Shown,
    first: &Samples,
    node: &NodeHeadroom,
    table: &Table,
    printed: &mut Printed,
) -> anyhow::Result<()> {
    let as_of = Samples {
        selected: first.selected.clone(),
        namespace: first.namespace.clone(),
        at: clock::wall(),
        ..Samples::default()
    };
    let items = shown.items(&as_of, std::slice::from_ref(node));
    let before = printed.insert(node.name_any(), items.clone()).unwrap_or_default();
    for item in items.iter().filter(|item| !before.contains(item)) {
        match shown.common().output {
            Output::Table | Output::Wide => print!("{}", table.line(&item.cells)),
            output => print_one(output, &item.value)?,
        }
    }
    Ok(())
}
