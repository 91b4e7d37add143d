//! The bare loop: a binding POST for every pod, round robin over the nodes, and nothing else. No scheduler can be
//! faster on the same API server. It runs in a process of its own, so that its CPU time can be told.

use std::path::{Path, PathBuf};

use super::wire::{Wire, each};
use super::workload::{NAMESPACE, Workload};
use super::{BenchError, progress};

/// What the hidden subcommand takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BareArguments {
    /// Who binds, and where.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// NODESxPODS.
    #[arg(long)]
    workload: Workload,
    /// POSTs at once.
    #[arg(long)]
    in_flight: usize,
}

impl BareArguments {
    /// The arguments as the command line has them.
    pub(crate) fn flags(kubeconfig: &Path, workload: Workload, in_flight: usize) -> Vec<String> {
        vec![
            "bare-loop".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--workload={workload}"),
            format!("--in-flight={in_flight}"),
        ]
    }
}

/// Binds everything, then stays until it is ended: its memory and CPU time are still to be read.
pub(crate) async fn run(arguments: &BareArguments) -> Result<(), BenchError> {
    let wire = Wire::connect(&arguments.kubeconfig).await?;
    let Workload { nodes, pods } = arguments.workload;
    each(pods, arguments.in_flight, |index| {
        let pod = Workload::pod_name(index);
        let node = Workload::node_name(index % nodes);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/binding");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"{pod}","namespace":"{NAMESPACE}"}},"target":{{"apiVersion":"v1","kind":"Node","name":"{node}"}}}}"#
        );
        let wire = &wire;
        async move { wire.post(&path, body).await }
    })
    .await?;
    progress(&format!("{pods} pods bound"));
    std::future::pending().await
}
