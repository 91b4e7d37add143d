//! `kubectl headroom snapshot`: writes the file that `--snapshot` reads.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{cluster, redact::redact};

/// How to write. `--snapshot` reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

/// Flags of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write here instead of standard output
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to write
    #[arg(short, long, value_enum, default_value = "json")]
    output: Output,
    #[command(flatten)]
    connection: cluster::Connection,
}

impl Options {
    pub(crate) const fn connection(&self) -> &cluster::Connection {
        &self.connection
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (client, _) = options.connection.client().await?;
    let mut notes = Vec::new();
    let mut items = cluster::read_to_save(&client, &mut notes).await?;
    items.iter_mut().for_each(redact);
    for note in notes {
        eprintln!("{note}");
    }
    let text = written(items, options.output)?;
    match &options.file {
        Some(path) => std::fs::write(path, text).with_context(|| format!("--file {}", path.display()))?,
        None => std::io::stdout().write_all(text.as_bytes()).context("cannot write")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A List of these objects, as it is written.
fn written(items: Vec<Value>, output: Output) -> anyhow::Result<String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    Ok(match output {
        Output::Json => list.to_string() + "\n",
        Output::Yaml => serde_saphyr::to_string(&list)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::objects;

    fn items() -> Vec<Value> {
        vec![
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": {"number": "1", "yes": "no"},
                   "creationTimestamp": "2026-11-22T10:00:00Z"}, "status": {"allocatable": {"cpu": "4", "memory": "1Gi"}}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "annotations": {}},
                   "spec": {"containers": [{"name": "c", "image": "i:1"}], "nodeName": null}}),
        ]
    }

    #[test]
    fn one_line_of_json_unless_yaml_is_asked_for() {
        let json = written(vec![json!({"kind": "Node"})], Output::Json).unwrap();
        assert_eq!(json, "{\"apiVersion\":\"v1\",\"items\":[{\"kind\":\"Node\"}],\"kind\":\"List\"}\n");
        let yaml = written(vec![json!({"kind": "Node"})], Output::Yaml).unwrap();
        assert_eq!(yaml, "apiVersion: v1\nitems:\n- kind: Node\nkind: List\n");
    }

    #[test]
    fn what_is_written_is_what_snapshot_reads() {
        for output in [Output::Json, Output::Yaml] {
            let text = written(items(), output).unwrap();
            assert_eq!(objects(&text).unwrap(), items(), "{text}");
        }
    }
}
