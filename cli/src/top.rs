//! `kubectl headroom top`: the published samples as a table.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use headroom_api::NodeHeadroom;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;

use crate::{NO_SUCH_OBJECT, cluster::Connection};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Flags of `top`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One node; all of them if not given
    node: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let api: Api<NodeHeadroom> = Api::all(options.connection.client().await?.0);
    let found = match &options.node {
        None => api.list(&ListParams::default()).await.map_err(explain)?.items,
        Some(name) => match api.get_opt(name).await.map_err(explain)? {
            Some(object) => vec![object],
            None => {
                eprintln!("kubectl headroom: there is no NodeHeadroom {name:?}");
                return Ok(ExitCode::from(NO_SUCH_OBJECT));
            }
        },
    };
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Output::Table if found.is_empty() => eprintln!("no NodeHeadroom yet: does headroom-controllers run?"),
        Output::Table => print!("{}", table(&found)),
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            anyhow::anyhow!("the cluster has no NodeHeadroom objects: install Headroom's CRDs first")
        }
        kube::Error::Api(status) if status.code == 403 => {
            anyhow::anyhow!("{} (you need get and list on nodeheadrooms.headroom.dev)", status.message)
        }
        other => other.into(),
    }
}

/// Columns as wide as their widest cell.
fn table(nodes: &[NodeHeadroom]) -> String {
    let mut rows = vec![["NODE", "RAM", "HEADROOM", "SWAP", "PRESSURE", "STATE"].map(str::to_owned)];
    for node in nodes {
        let status = serde_json::to_value(&node.status).unwrap_or(Value::Null);
        let cell = |pointer: &str| match status.pointer(pointer) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        rows.push([
            node.name_any(),
            cell("/display/ram"),
            cell("/display/headroom"),
            cell("/display/swap"),
            cell("/memory/pressure/some/avg60"),
            cell("/state"),
        ]);
    }
    let widths: Vec<usize> = (0..6).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_figures_are_dashes_and_columns_align() {
        let nodes: Vec<NodeHeadroom> = serde_json::from_value(serde_json::json!([
            {"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": "a"},
             "status": {"state": "Calm", "display": {"ram": "1/2"}}},
            {"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": "a-longer-name"}},
        ]))
        .unwrap();
        let text = table(&nodes);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("NODE           RAM"));
        assert!(lines[1].starts_with("a              1/2  -"));
        assert!(lines[2].starts_with("a-longer-name  -"));
    }
}
