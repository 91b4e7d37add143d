//! `kubectl headroom doctor`: the usual mistakes of small clusters, and what to do about them (docs/doctor.md).
//!
//! The checks are functions of a state and a time, and see no API server. What could not be read is said, and the
//! checks that need it are left out.

mod checks;
mod finding;
mod installed;
mod look;
mod state;
mod table;
pub(crate) mod text;

use std::process::ExitCode;

use clap::Args;
use headroom_core::Timestamp;
use headroom_runtime::clock;

use self::{
    checks::{Rule, diagnose},
    finding::{Diagnosis, Severity},
};
pub(crate) use self::{
    checks::{control_loops, schedulers},
    look::{Look, flag, is_server_of_k3s, name_and_value},
    state::{NodeFacts, Program, State},
    text::cut,
};
use crate::{
    NO,
    cluster::{self, Connection, Lacking},
    explain::Output,
    snapshot,
    view::View,
};

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom doctor                             everything, the worst first
  kubectl headroom doctor -o wide                     one line per finding
  kubectl headroom doctor --severity warning          for scripts: what needs a look
  kubectl headroom doctor --only cni-missing,node-silent -o json
  kubectl headroom doctor --list                      the checks
  kubectl headroom doctor --snapshot cluster.json     what a saved cluster shows

Exit status: 0 no findings, 2 findings, 1 the tool failed")]
pub(crate) struct Options {
    /// Only these checks, by id
    #[arg(long, value_name = "ID,..", value_delimiter = ',', value_parser = id)]
    only: Vec<String>,
    /// Only what is at least as bad
    #[arg(long, value_enum, default_value = "info", value_name = "SEVERITY")]
    severity: Severity,
    /// Say which checks there are, one line each, and look at nothing
    #[arg(long)]
    list: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    view: View,
}

/// The ids of all checks.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    checks::all().into_iter().map(|rule| rule.id)
}

fn id(text: &str) -> Result<String, String> {
    match checks::all().into_iter().find(|rule| rule.id == text) {
        Some(rule) => Ok(rule.id.to_owned()),
        None => Err(format!("there is no check {text:?}: kubectl headroom doctor --list names all of them")),
    }
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.view.connection
    }

    /// The checks that are asked for.
    fn rules(&self) -> Vec<&'static Rule> {
        let mut rules = checks::all();
        rules.retain(|rule| rule.severity <= self.severity);
        rules.retain(|rule| self.only.is_empty() || self.only.iter().any(|id| id == rule.id));
        rules
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let rules = options.rules();
    if options.list {
        print!("{}", table::list(&rules));
        return Ok(ExitCode::SUCCESS);
    }
    let mut lacking = Vec::new();
    let (state, default_time) = match options.view.saved(snapshot::objects)? {
        Some(objects) => {
            let state = State::from_objects(objects);
            let at = state.time().unwrap_or_else(clock::wall);
            (state, at)
        }
        None => {
            let (client, _) = options.view.connection.client().await?;
            let objects = cluster::read_what_may_be(&client, &checks::kinds(), &mut lacking).await?;
            (State::from_objects(objects), clock::wall())
        }
    };
    let diagnosis = diagnosed(&state, options.view.at.unwrap_or(default_time), &rules, &lacking);
    for note in state.notes.iter().chain(&notes(&lacking, &diagnosis)) {
        eprintln!("{note}");
    }
    let left_out = diagnosis.not_checked.iter().filter(|check| !check.in_part).count();
    anyhow::ensure!(rules.is_empty() || left_out < rules.len(), "nothing could be checked");
    print!("{}", printed(&diagnosis, options.output)?);
    Ok(if diagnosis.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// What there is to say about a state.
fn diagnosed(state: &State, at: Timestamp, rules: &[&'static Rule], lacking: &[Lacking]) -> Diagnosis {
    let kinds: Vec<&'static str> = lacking.iter().map(|lacking| lacking.plural).collect();
    diagnose(state, at, rules, &kinds)
}

/// One line for each kind that could not be read.
fn notes(lacking: &[Lacking], diagnosis: &Diagnosis) -> Vec<String> {
    let line = |lacking: &Lacking| {
        let of = |in_part: bool| {
            let checks = diagnosis.not_checked.iter().filter(move |check| check.in_part == in_part);
            let checks = checks.filter(|check| check.lacking.contains(&lacking.plural)).map(|check| check.id);
            checks.collect::<Vec<_>>().join(", ")
        };
        let mut line = lacking.why.clone();
        let before = line.len();
        for (what, checks) in [("left out", of(false)), ("checked in part", of(true))] {
            if !checks.is_empty() {
                line = format!("{line}; {what}: {checks}");
            }
        }
        // What no check misses need not be said.
        (line.len() > before).then_some(line)
    };
    let mut notes: Vec<String> = lacking.iter().filter_map(line).collect();
    // Events are read by their reasons, one after another.
    notes.dedup();
    notes
}

/// The diagnosis as it is printed.
fn printed(diagnosis: &Diagnosis, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => serde_json::to_string_pretty(diagnosis)? + "\n",
        Output::Yaml => serde_saphyr::to_string(diagnosis)?,
        Output::Table => table::table(diagnosis),
        Output::Wide => table::wide(diagnosis),
    })
}

#[cfg(test)]
mod tests;
