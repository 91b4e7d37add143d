//! `kubectl headroom status`: who does what stock used to do, with what shows it.

mod owners;
mod probe;

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
use serde::Serialize;

use self::owners::{Job, jobs};
use crate::{
    NO,
    cluster::Connection,
    distribution::{facts::Facts, read},
    explain::{Output, table::paragraph},
};

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom status
  kubectl headroom status -o wide    with everything that shows it
  kubectl headroom status --probe    canaries ask who answers, for a minute at most
  kubectl headroom status -o json

Exit status: 0 as it should be as far as is seen, 2 two do the same or nobody does it")]
pub(crate) struct Options {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Make canaries, as a takeover does, see who answers them, and remove them: for what nothing else shows
    #[arg(long)]
    probe: bool,
    /// Namespace of the canaries
    #[arg(short, long, default_value = "kube-system", requires = "probe")]
    namespace: String,
    #[command(flatten)]
    connection: Connection,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// What scripts get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    api_version: &'static str,
    kind: &'static str,
    at: String,
    distribution: &'static str,
    distribution_evidence: String,
    /// `primary`, `secondary` or `shadow`; null when ours does not run, as far as is seen.
    scheduler_mode: Option<String>,
    jobs: Vec<Job>,
    /// What a takeover has written down.
    taken_over: crate::distribution::record::Record,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (client, _) = options.connection.client().await?;
    let (facts, notes) = read::facts(&client).await?;
    for note in notes {
        eprintln!("{note}");
    }
    let mut status = status(&facts);
    if options.probe {
        probe::tell(&mut status.jobs, &probe::ask(&client, &options.namespace).await?);
    }
    print!("{}", printed(&status, options.output)?);
    let well = status.jobs.iter().all(|job| job.owner.is_well());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

fn status(facts: &Facts) -> Status {
    Status {
        api_version: "headroom.dev/v1alpha1",
        kind: "Status",
        at: facts.at.to_string(),
        distribution: facts.distribution.as_str(),
        distribution_evidence: facts.because.clone(),
        scheduler_mode: facts.our_mode().map(str::to_owned),
        jobs: jobs(facts),
        taken_over: facts.record.clone(),
    }
}

fn printed(status: &Status, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => serde_json::to_string_pretty(status)? + "\n",
        Output::Yaml => serde_saphyr::to_string(status)?,
        Output::Table => table(status, false),
        Output::Wide => table(status, true),
    })
}

/// One job after another; the strongest of what shows it, or all of it.
fn table(status: &Status, wide: bool) -> String {
    let mut text = String::new();
    let mode = status.scheduler_mode.as_deref().unwrap_or("not seen");
    let _ = writeln!(text, "{} ({})", status.distribution, status.distribution_evidence);
    let _ = writeln!(text, "headroom-scheduler: {mode}\n");
    let width = status.jobs.iter().map(|job| job.name.len()).max().unwrap_or(0);
    for job in &status.jobs {
        let _ = writeln!(text, "{:width$}  {}", job.name, job.owner.as_str());
        let shown = if wide { job.evidence.len() } else { 1 };
        for line in job.evidence.iter().take(shown) {
            paragraph(&mut text, "    ", line);
        }
    }
    text
}

#[cfg(test)]
mod tests;
