//! `kubectl headroom snapshot`: writes the file that `--snapshot` reads.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::{cluster, redact::redact};

/// Flags of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write here instead of standard output
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    connection: cluster::Connection,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (client, _) = options.connection.client().await?;
    let mut notes = Vec::new();
    let mut items = cluster::read(&client, &mut notes).await?;
    items.iter_mut().for_each(redact);
    for note in notes {
        eprintln!("{note}");
    }
    let text = serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?;
    match &options.file {
        Some(path) => std::fs::write(path, text + "\n").with_context(|| format!("--file {}", path.display()))?,
        None => writeln!(std::io::stdout(), "{text}").context("cannot write")?,
    }
    Ok(ExitCode::SUCCESS)
}
