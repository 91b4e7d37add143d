//! `differential-record`: records what stock decides, compares, shrinks.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};
use headroom_differential::{
    Corpus, generate,
    record::{Outcome, Stock},
    replay::{Replayer, Verdict},
    shrink,
};
use headroom_engine::Registry;
use serde_json::json;

/// Where the corpus lies, seen from the top of the checkout.
const CORPUS: &str = "e2e/differential/corpus/cases.jsonl";

/// Gives generated clusters to the real stock scheduler and compares the engine with it.
#[derive(Debug, Parser)]
#[command(name = "differential-record")]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Record a fresh corpus (about five cases a second), and compare
    Record {
        /// How many cases
        #[arg(long, default_value_t = 2200)]
        cases: u64,
        /// Seed of the first case
        #[arg(long, default_value_t = 1)]
        first_seed: u64,
        /// Where to
        #[arg(long, default_value = CORPUS)]
        output: PathBuf,
    },
    /// Compare the engine with a corpus
    Check {
        /// The corpus
        #[arg(long, default_value = CORPUS)]
        corpus: PathBuf,
        /// Print the cluster of each difference as a v1 List
        #[arg(long)]
        verbose: bool,
    },
    /// Print the smallest cluster that shows the difference of a case
    Shrink {
        /// The case's seed
        seed: u64,
        /// The corpus in which it is looked up; not there: it is generated
        #[arg(long, default_value = CORPUS)]
        corpus: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Options::parse().verb {
        Verb::Record { cases, first_seed, output } => record(cases, first_seed, &output).await,
        Verb::Check { corpus, verbose } => check(&corpus, verbose),
        Verb::Shrink { seed, corpus } => shrink_one(seed, &corpus).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("differential-record: {error:#}");
        ExitCode::FAILURE
    })
}

async fn record(cases: u64, first_seed: u64, output: &Path) -> anyhow::Result<ExitCode> {
    let mut stock = Stock::start().await?;
    let mut corpus = Corpus { header: stock.header(), cases: Vec::new() };
    let replayer = Replayer::new(&corpus.header, Registry::in_tree)?;
    let mut tally = Tally::default();
    let mut refused = 0_u64;
    let (start, mut told) = (Instant::now(), Instant::now());
    let mut seed = first_seed;
    while (corpus.cases.len() as u64) < cases {
        match stock.decide(&generate::cluster(seed)).await.with_context(|| format!("seed {seed}"))? {
            Outcome::Decided(case) => {
                tally.add(&replayer, &case, false)?;
                corpus.cases.push(case);
            }
            Outcome::Refused(why) => {
                refused += 1;
                let what = why.split(": Invalid (Status").next().unwrap_or_default();
                eprintln!("seed {seed} is refused: {what}");
                anyhow::ensure!(refused < 50 + cases / 10, "too many cases are refused");
            }
        }
        seed += 1;
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            let rate = corpus.cases.len() as f64 / start.elapsed().as_secs_f64();
            eprintln!("{} of {cases} cases, {rate:.1} a second, {} different", corpus.cases.len(), tally.different);
            corpus.write(output)?;
        }
    }
    corpus.write(output)?;
    println!("{} cases in {}, {refused} refused\n{tally}", corpus.cases.len(), output.display());
    Ok(tally.exit())
}

fn check(corpus: &Path, verbose: bool) -> anyhow::Result<ExitCode> {
    let corpus = Corpus::read(corpus)?;
    let replayer = Replayer::new(&corpus.header, Registry::in_tree)?;
    let mut tally = Tally::default();
    for case in &corpus.cases {
        tally.add(&replayer, case, verbose)?;
    }
    println!("{tally}");
    Ok(tally.exit())
}

async fn shrink_one(seed: u64, corpus: &Path) -> anyhow::Result<ExitCode> {
    let recorded = Corpus::read(corpus).ok().and_then(|c| c.cases.into_iter().find(|case| case.seed == seed));
    let start = recorded.map_or_else(|| generate::cluster(seed), |case| shrink::cluster_of(&case));
    let mut stock = Stock::start().await?;
    let replayer = Replayer::new(&stock.header(), Registry::in_tree)?;
    let Some(found) = shrink::shrink(&mut stock, &replayer, start).await? else {
        println!("seed {seed}: no difference");
        return Ok(ExitCode::SUCCESS);
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": replayer.snapshot(&found.case, found.decision)});
    println!("{}", serde_json::to_string_pretty(&list)?);
    println!("seed {seed}, pod {}: {}", found.case.decisions[found.decision].pod["metadata"]["name"], found.difference);
    Ok(ExitCode::from(2))
}

#[derive(Debug, Default)]
struct Tally {
    same: usize,
    different: usize,
    unscheduled: usize,
    scored: usize,
    skipped: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, replayer: &Replayer, case: &headroom_differential::Case, verbose: bool) -> anyhow::Result<()> {
        for (i, decision) in case.decisions.iter().enumerate() {
            self.unscheduled += usize::from(decision.node.is_none());
            self.scored += usize::from(!decision.scores.is_empty());
            match replayer.check(case, i).with_context(|| format!("seed {}", case.seed))? {
                Verdict::Same => self.same += 1,
                Verdict::Skipped(plugins) => {
                    for plugin in plugins {
                        *self.skipped.entry(plugin).or_default() += 1;
                    }
                }
                Verdict::Different(what) => {
                    self.different += 1;
                    println!("seed {} decision {i}: {what}", case.seed);
                    if verbose {
                        let items = replayer.snapshot(case, i);
                        println!("{}", json!({"apiVersion": "v1", "kind": "List", "items": items}));
                    }
                }
            }
        }
        Ok(())
    }

    fn exit(&self) -> ExitCode {
        if self.different == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} the same, {} different, skipped {:?}; {} were scored, {} not scheduled",
            self.same, self.different, self.skipped, self.scored, self.unscheduled
        )
    }
}
