//! `--watch`: a line for whatever changes, as `kubectl get --watch` prints it.

use std::{
    collections::{BTreeMap, HashSet},
    process::ExitCode,
};

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
    table: &Table,
) -> anyhow::Result<ExitCode> {
    let api: Api<NodeHeadroom> = Api::all(client.clone());
    let mut version = first.resource_version.clone();
    let own = |node: &NodeHeadroom| (node.name_any(), shown.items(first, std::slice::from_ref(node)));
    let mut printed: Printed = first.nodes.iter().map(own).collect();
    loop {
        match follow(&api, shown, first, table, &mut version, &mut printed).await {
            // The stream ends when the API server says so; what came since is asked for again.
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 410 => {
                // So long ago that the API server does not remember.
                let list = read::list(client).await?;
                version = list.metadata.resource_version.unwrap_or_default();
                for node in &list.items {
                    changed(shown, first, node, table, &mut printed);
                }
            }
            Err(error) => return Err(read::explain(error)),
        }
    }
}

/// One stream, to its end.
async fn follow(
    api: &Api<NodeHeadroom>,
    shown: &impl Shown,
    first: &Samples,
    table: &Table,
    version: &mut String,
    printed: &mut Printed,
) -> Result<(), kube::Error> {
    let stream = api.watch(&WatchParams::default(), version).await?;
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        let event = match event {
            // Silent for longer than --request-timeout, or broken. The next one says whether the API server is there.
            Err(kube::Error::ReadEvents(_)) => return Ok(()),
            event => event?,
        };
        let seen = match event {
            WatchEvent::Added(node) | WatchEvent::Modified(node) => {
                changed(shown, first, &node, table, printed);
                node.resource_version()
            }
            WatchEvent::Deleted(node) => {
                printed.remove(&node.name_any());
                eprintln!("node {} is gone", node.name_any());
                node.resource_version()
            }
            WatchEvent::Bookmark(mark) => Some(mark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        if let Some(seen) = seen {
            *version = seen;
        }
    }
    Ok(())
}

/// Prints the lines that say something else than before.
fn changed(shown: &impl Shown, first: &Samples, node: &NodeHeadroom, table: &Table, printed: &mut Printed) {
    let as_of = Samples {
        selected: first.selected.clone(),
        namespace: first.namespace.clone(),
        at: clock::wall(),
        ..Samples::default()
    };
    let items = shown.items(&as_of, std::slice::from_ref(node));
    let before = printed.insert(node.name_any(), items.clone()).unwrap_or_default();
    for item in news(&before, &items) {
        match shown.common().output {
            Output::Table | Output::Wide => print!("{}", table.line(&item.cells)),
            output => print_one(output, &item.value),
        }
    }
}

/// The items whose cells are not among those before. (Their values have the time of the sample, which always differs.)
fn news<'a>(before: &[Item], now: &'a [Item]) -> Vec<&'a Item> {
    let known: HashSet<&[String]> = before.iter().map(|item| item.cells.as_slice()).collect();
    now.iter().filter(|item| !known.contains(item.cells.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        time::Duration,
    };

    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::{
        cluster::Connection,
        testkit::{block_on, kubeconfig},
        top,
    };

    #[derive(Debug, Parser)]
    struct Top {
        #[command(flatten)]
        options: top::Options,
    }

    #[test]
    fn a_stream_that_is_silent_for_too_long_is_asked_for_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
        });
        let connection = Connection {
            kubeconfig: Some(file.path().to_owned()),
            request_timeout: Duration::from_secs(3),
            ..Connection::default()
        };
        let shown = Top::try_parse_from(["top"]).unwrap().options.nodes;
        let (first, table) = (Samples::default(), Table::new(&shown.columns(false)));
        let (mut version, mut printed) = ("1".to_owned(), Printed::new());
        let ended = block_on(async {
            let (client, _) = connection.client().await.unwrap();
            let api = Api::all(client);
            let stream = follow(&api, &shown, &first, &table, &mut version, &mut printed);
            tokio::time::timeout(Duration::from_secs(30), stream).await.unwrap()
        });
        assert!(ended.is_ok(), "{ended:?}");
    }

    #[test]
    fn a_line_that_says_the_same_is_no_news() {
        let item = |name: &str, ram: &str, at: i64| Item {
            name: name.to_owned(),
            cells: vec![name.to_owned(), ram.to_owned()],
            value: json!({"observedAt": at}),
        };
        let before = [item("a", "5Mi", 1), item("b", "6Mi", 1)];
        let now = [item("a", "5Mi", 2), item("b", "7Mi", 2), item("c", "1Mi", 2)];
        let names: Vec<&str> = news(&before, &now).iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
    }
}
