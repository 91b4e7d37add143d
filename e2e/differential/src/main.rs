//! `differential-record`: records what stock decides, compares, shrinks.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};
use futures::StreamExt;
use headroom_differential::{
    Corpus, generate,
    record::{Outcome, Stock},
    replay::{Replayer, Verdict},
    shrink,
    stories::{self, Manager, Rigour, Scene, Stage, StoryCorpus, Told},
};
use headroom_engine::Registry;
use serde_json::json;

/// Where the corpus lies, seen from the top of the checkout.
const CORPUS: &str = "e2e/differential/corpus/cases.jsonl";

/// Where the stories of the controllers lie.
fn stories_of(scene: Scene) -> PathBuf {
    Path::new("e2e/differential").join(scene.corpus())
}

/// Gives generated clusters to the real stock scheduler and compares the engine with it; the same for stories of the
/// stock kube-controller-manager.
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
    /// Record what the stock kube-controller-manager does in generated stories, each told twice: what is not the same both
    /// times is left out
    RecordStories {
        /// How many stories are told
        #[arg(long, default_value_t = 400)]
        stories: u64,
        /// Seed of the first one
        #[arg(long, default_value_t = 1)]
        first_seed: u64,
        /// Stories at a time, if not as many as their scene bears
        #[arg(long)]
        at_once: Option<usize>,
        /// Where to, if not to the corpus of these seeds; stories of other seeds that are there already stay
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Tell the stories of a corpus with headroom-controllers
    TellStories {
        /// The corpus, if not that of the seed, or the first one
        #[arg(long)]
        corpus: Option<PathBuf>,
        /// Stories at a time, if not as many as their scene bears
        #[arg(long)]
        at_once: Option<usize>,
        /// Only this one
        #[arg(long)]
        seed: Option<u64>,
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
        Verb::RecordStories { stories, first_seed, at_once, output } => {
            record_stories(first_seed..first_seed + stories, at_once, output).await
        }
        Verb::TellStories { corpus, at_once, seed } => tell_stories(corpus, at_once, seed).await,
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

async fn record_stories(
    seeds: std::ops::Range<u64>,
    at_once: Option<usize>,
    output: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    let scene = Scene::of(seeds.start);
    anyhow::ensure!(seeds.clone().all(|seed| Scene::of(seed) == scene), "these seeds belong to different corpora");
    let output = output.unwrap_or_else(|| stories_of(scene));
    let stage = Stage::direct(Manager::Stock, scene).await?;
    let told = futures::stream::iter(seeds.clone()).map(|seed| {
        let stage = &stage;
        async move {
            let story = stories::generate::story(seed);
            // One after the other, so that the two do not have the same luck.
            let first = stories::record(stage, &story, 1).await;
            let second = stories::record(stage, &story, 2).await;
            (seed, first, second)
        }
    });
    let mut told = told.buffer_unordered(scene.bears(at_once));
    let (mut kept, mut dropped): (Vec<Told>, usize) = (Vec::new(), 0);
    while let Some((seed, first, second)) = told.next().await {
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => kept.push(first),
            (Ok(first), Ok(second)) => {
                let how = first.difference(&second).unwrap_or_default();
                eprintln!("story {seed} went differently the second time: {how}");
                dropped += 1;
            }
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("story {seed} cannot be told: {error:#}");
                dropped += 1;
            }
        }
        stage.check()?;
        if (kept.len() + dropped).is_multiple_of(50) {
            eprintln!("{} of {}", kept.len() + dropped, seeds.end - seeds.start);
        }
    }
    drop(told);
    println!("{} of {} stories are kept", kept.len(), kept.len() + dropped);
    if output.exists() {
        kept.extend(StoryCorpus::read(&output)?.stories.into_iter().filter(|story| !seeds.contains(&story.seed)));
    }
    kept.sort_by_key(|story| story.seed);
    let steps: usize = kept.iter().map(|story| story.steps.len()).sum();
    let loops = scene.loops().iter().map(|name| (*name).to_owned()).collect();
    println!("{} stories with {steps} steps in {}", kept.len(), output.display());
    StoryCorpus { stock: stage.version().to_owned(), loops, stories: kept }.write(&output)?;
    Ok(ExitCode::SUCCESS)
}

async fn tell_stories(corpus: Option<PathBuf>, at_once: Option<usize>, seed: Option<u64>) -> anyhow::Result<ExitCode> {
    let corpus = StoryCorpus::read(&corpus.unwrap_or_else(|| stories_of(seed.map_or(Scene::Services, Scene::of))))?;
    let scene = corpus.scene()?;
    let stage = Stage::direct(Manager::Ours, scene).await?;
    let chosen = corpus.stories.iter().filter(|story| seed.is_none_or(|seed| seed == story.seed));
    let told = futures::stream::iter(chosen).map(async |story| {
        let namespace = format!("s{}", story.seed);
        stories::replay(&stage, story, &namespace, Rigour::of(story.seed), scene.patience()).await
    });
    let mut told = told.buffer_unordered(scene.bears(at_once));
    let (mut same, mut different) = (0, 0);
    while let Some(outcome) = told.next().await {
        match outcome? {
            None => same += 1,
            Some(what) => {
                different += 1;
                println!("{what}");
            }
        }
    }
    drop(told);
    if different > 0 {
        stage.keep();
    }
    println!("{same} the same, {different} different");
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
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
