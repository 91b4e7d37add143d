//! The result: one line for each spec, as table, JSON and page.

mod page;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::bench::machine;
use crate::control_plane::Release;

use super::side::NODES;
use super::{Outcome, Plan, Results, Run, Side, Spec, UpstreamError};

pub(crate) use table::table;

/// Version of the JSON's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Everything that was run, with where and how.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    date: String,
    command: String,
    kubernetes: &'static str,
    headroom_commit: Option<String>,
    nodes: &'static str,
    sides: Vec<About>,
    specs: Vec<Line>,
}

/// A side.
#[derive(Debug, Clone, Serialize)]
struct About {
    side: Side,
    description: String,
}

/// A spec and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    #[serde(flatten)]
    spec: Spec,
    stock: Option<Run>,
    headroom: Option<Run>,
}

impl Line {
    fn run(&self, side: Side) -> Option<&Run> {
        match side {
            Side::Stock => self.stock.as_ref(),
            Side::Headroom => self.headroom.as_ref(),
        }
    }

    fn passes(&self, side: Side) -> bool {
        self.run(side).is_some_and(|run| run.outcome == Outcome::Pass)
    }

    /// Whether it passes with the stock components and not with ours.
    fn differs(&self) -> bool {
        self.passes(Side::Stock) && self.headroom.is_some() && !self.passes(Side::Headroom)
    }

    /// Whether nobody ran it.
    fn not_run(&self) -> bool {
        let runs = [&self.stock, &self.headroom];
        runs.into_iter().flatten().all(|run| matches!(run.outcome, Outcome::NotRun(_)))
    }
}

impl Report {
    /// Nothing run yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            schema: SCHEMA,
            date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            command: plan.command.clone(),
            kubernetes: Release::default().kubernetes(),
            headroom_commit: machine::commit(),
            nodes: NODES,
            sides: plan.sides.iter().map(|&side| About { side, description: side.description() }).collect(),
            specs: Vec::new(),
        }
    }

    /// Adds what a side did.
    pub(crate) fn add(&mut self, side: Side, results: Results) {
        for (spec, run) in results {
            let known = self.specs.iter().position(|line| line.spec == spec);
            let index = known.unwrap_or_else(|| {
                self.specs.push(Line { spec, stock: None, headroom: None });
                self.specs.len().saturating_sub(1)
            });
            let Some(line) = self.specs.get_mut(index) else { continue };
            match side {
                Side::Stock => line.stock = Some(run),
                Side::Headroom => line.headroom = Some(run),
            }
        }
    }

    /// What passes with the stock components and not with ours.
    pub fn differences(&self) -> impl Iterator<Item = &Line> {
        self.specs.iter().filter(|line| line.differs())
    }

    /// The groups in their order, each with its specs in theirs; those that nobody ran are left out.
    fn groups(&self) -> Vec<(&str, Vec<&Line>)> {
        let mut groups: Vec<(&str, Vec<&Line>)> = Vec::new();
        for line in self.specs.iter().filter(|line| !line.not_run()) {
            match groups.iter_mut().find(|(name, _)| *name == line.spec.group) {
                Some((_, lines)) => lines.push(line),
                None => groups.push((&line.spec.group, vec![line])),
            }
        }
        groups
    }

    /// What nobody ran, with the reason.
    fn not_run(&self) -> impl Iterator<Item = (&Line, &str)> {
        self.specs.iter().filter(|line| line.not_run()).map(|line| {
            let run = line.stock.as_ref().or(line.headroom.as_ref());
            (line, run.and_then(|run| run.outcome.reason()).unwrap_or_default())
        })
    }

    /// How many specs passed, of how many that were run, on each side.
    fn summary(&self) -> String {
        let count = |side| {
            let ran = self.specs.iter().filter(|line| !line.not_run()).count();
            let passed = self.specs.iter().filter(|line| line.passes(side)).count();
            format!("{side} passes {passed} of {ran}")
        };
        let sides: Vec<String> = self.sides.iter().map(|about| count(about.side)).collect();
        format!("{}; {} not run", sides.join(", "), self.not_run().count())
    }
}

/// Writes `latest.json` and `README.md`.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<(), UpstreamError> {
    std::fs::create_dir_all(dir).map_err(UpstreamError::file("create", dir))?;
    let mut json = serde_json::to_string_pretty(report).map_err(|source| UpstreamError::Encode { source })?;
    json.push('\n');
    for (name, text) in [("latest.json", json), ("README.md", page::page(report))] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(UpstreamError::file("write", &path))?;
    }
    Ok(())
}
