//! `bare-loop`: a binding POST for every pod, round robin over the nodes, and nothing else. No scheduler can be faster on
//! the same API server. The bench starts it: a process of its own, so that its CPU time can be told.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use headroom_bare::WireError;
use headroom_bare::names::{self, NAMESPACE};
use headroom_bare::wire::{Wire, each};

/// Binds the pods of a workload of `bench`, then stays until it is ended: its memory and CPU time are still to be read.
#[derive(Debug, Parser)]
#[command(name = "bare-loop")]
struct Arguments {
    /// Who binds, and where
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Nodes, in turn
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// Pods
    #[arg(long)]
    pods: u32,
    /// Connections, in turn: an API server takes 100 requests of one at once
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// POSTs at once, over all connections
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match bind(&arguments).await {
        Ok(()) => {
            say(&format!("{} pods bound", arguments.pods));
            std::future::pending().await
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn bind(arguments: &Arguments) -> Result<(), WireError> {
    let mut wires = Vec::new();
    for _ in 0..arguments.connections {
        wires.push(Wire::connect(&arguments.kubeconfig).await?);
    }
    let wires = wires.as_slice();
    each(arguments.pods, usize::from(arguments.in_flight), |index| {
        let wire = &wires[index as usize % wires.len()];
        let (path, body) = binding(index, arguments.nodes);
        async move { wire.post_as_ours(&path, body).await }
    })
    .await
}

/// The path and the body of a binding. The server is told not to look for unknown fields, for which it would decode the body
/// a second time; headroom-scheduler tells it the same.
fn binding(index: u32, nodes: u32) -> (String, String) {
    let (pod, node) = (names::pod(index), names::node(index % nodes.max(1)));
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/binding?fieldValidation=Ignore");
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"{pod}","namespace":"{NAMESPACE}"}},"target":{{"apiVersion":"v1","kind":"Node","name":"{node}"}}}}"#
    );
    (path, body)
}

/// A line for the log.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "bare-loop: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nothing_to_send_over_is_refused() {
        let parse = |connections: &str| {
            let flags = ["bare-loop", "--kubeconfig=k", "--nodes=3", "--pods=7", "--in-flight=300", connections];
            Arguments::try_parse_from(flags)
        };
        assert!(parse("--connections=0").is_err());
        let arguments = parse("--connections=3").unwrap();
        assert_eq!((arguments.nodes, arguments.pods, arguments.connections, arguments.in_flight), (3, 7, 3, 300));
    }

    #[test]
    fn pods_are_bound_round_robin_as_ours_binds_them() {
        let (path, body) = binding(7, 3);
        assert_eq!(path, "/api/v1/namespaces/bench/pods/app-7-000007/binding?fieldValidation=Ignore");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": "app-7-000007", "namespace": "bench"},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "node-0001"}})
        );
    }
}
