//! The controllers behind a proxy where watches lag, break, expire and begin in the past, where requests are refused or lose
//! their answers, and where they are killed now and then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "test code")]

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use headroom_differential::stories::{Excess, Manager, Rigour, Stage, StoryCorpus, Told, replay};
use headroom_e2e::proxy::Faults;

/// Rough days in a row, each with the next seed; `HEADROOM_TIME_TRAVEL_SEEDS` plays more. The seed of a day throws its dice
/// and chooses its stories: `HEADROOM_TIME_TRAVEL_SEED` is that of the first one.
const SEEDS: usize = 1;
/// Stories of a day, and how many at a time; `HEADROOM_TIME_TRAVEL_STORIES` tells more.
const STORIES: usize = 40;
/// So many of the stories kill the process, each after one of its first writes.
const KILLS: usize = 8;
/// How long ours may take to come to where stock was, on a rough day.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long stock is watched: it is not expected to get everywhere.
const STOCK: Duration = Duration::from_secs(25);
/// Differences that are printed.
const SHOWN: usize = 5;

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// What became of a day.
#[derive(Debug)]
struct Day {
    pods: usize,
    spoiled: u64,
    rewound: u64,
    kills: usize,
    /// Stories that came to their end.
    ended: usize,
    different: Vec<String>,
    excess: Vec<Excess>,
}

impl Day {
    /// How many pods were too many, and by how much a controller had too many at worst.
    fn too_many(&self) -> String {
        let worst = self.excess.iter().map(|excess| excess.pods as u64 - excess.asked).max();
        worst.map_or_else(|| "0".to_owned(), |worst| format!("{} by {worst}", self.excess.len()))
    }

    /// What must not be on ours, in words.
    fn wrong(&self, stories: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.different.is_empty() {
            let shown = &self.different[..self.different.len().min(SHOWN)];
            wrong.push(format!("{} stories differ:\n{}", self.different.len(), shown.join("\n")));
        }
        if !self.excess.is_empty() {
            wrong.push(format!("{} pods too many: {:?}", self.excess.len(), self.excess));
        }
        if self.spoiled <= stories as u64 || self.rewound <= 10 {
            wrong.push(format!("not rough: {} spoiled, {} watches began in the past", self.spoiled, self.rewound));
        }
        wrong
    }
}

/// Stock is watched, and not killed.
async fn live_through(manager: Manager, seed: usize, stories: &[&Told]) -> Day {
    let stage = Stage::behind_proxy(manager).await.unwrap();
    let proxy = stage.proxy().unwrap();
    proxy.set(Faults::rough(seed as u64));
    let namespace = |i: usize| format!("s{}-{i}", stories[i].seed);
    let (patience, killing): (Duration, Vec<usize>) = match manager {
        Manager::Ours => (PATIENCE, (0..stories.len()).step_by(STORIES / KILLS).collect()),
        Manager::Stock => (STOCK, Vec::new()),
    };
    let last_write = |i: usize| 2 + i as u64 % 7;
    for i in &killing {
        proxy.stop_after(&namespace(*i), last_write(*i));
    }
    let tell = async |i: usize| replay(&stage, stories[i], &namespace(i), Rigour::Objects, patience).await;
    let mut outcomes = Vec::with_capacity(stories.len());
    let mut told = futures::stream::iter(0..stories.len()).map(tell).buffer_unordered(STORIES);
    let telling = async {
        while let Some(outcome) = told.next().await {
            outcomes.push(outcome);
        }
    };
    tokio::select! {
        () = telling => {}
        failed = stage.kill_and_restart() => panic!("{failed:?}"),
        () = tokio::time::sleep(STOCK), if manager == Manager::Stock => {}
    }
    drop(told);
    let ended = outcomes.len();
    let mut different = Vec::new();
    if manager == Manager::Ours {
        stage.check().unwrap();
        different.extend(outcomes.into_iter().filter_map(Result::unwrap));
    }
    let excess = stage.excess();
    if manager == Manager::Ours && !(different.is_empty() && excess.is_empty()) {
        stage.keep();
    }
    let kills = killing.iter().filter(|i| proxy.writes(&namespace(**i)) >= last_write(**i)).count();
    let (spoiled, rewound) = (proxy.spoiled(), proxy.rewound());
    Day { pods: stage.made(), spoiled, rewound, kills, ended, different, excess }
}

#[tokio::test]
async fn on_a_rough_day_the_stories_are_the_same_and_no_pod_is_too_many() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = StoryCorpus::read(&Path::new(&directory).join("corpus/stories.jsonl")).unwrap();
    let first = number("HEADROOM_TIME_TRAVEL_SEED", 1);
    let seeds = first..first + number("HEADROOM_TIME_TRAVEL_SEEDS", SEEDS).max(1);
    let stories = number("HEADROOM_TIME_TRAVEL_STORIES", STORIES);
    eprintln!("time travel: {stories} stories a day; stock {} is watched for {STOCK:?}", corpus.stock);
    eprintln!("         ours                                              stock");
    eprintln!(" seed    pods  spoiled  rewound  kills  differ  too many   pods  ended  too many");
    let mut wrong = Vec::new();
    for seed in seeds {
        // A walk through the whole corpus, so that every kind of story is among a few.
        let chosen: Vec<&Told> =
            (0..stories).map(|i| &corpus.stories[(seed + i * 37) % corpus.stories.len()]).collect();
        let ours = live_through(Manager::Ours, seed, &chosen).await;
        // For comparison, and without judgement: what stock does on the same day.
        let stock = live_through(Manager::Stock, seed, &chosen).await;
        eprintln!(
            "{seed:>5} {:>7} {:>8} {:>8} {:>6} {:>7} {:>9} {:>6} {:>6} {:>9}",
            ours.pods,
            ours.spoiled,
            ours.rewound,
            ours.kills,
            ours.different.len(),
            ours.too_many(),
            stock.pods,
            stock.ended,
            stock.too_many(),
        );
        wrong.extend(ours.wrong(stories).into_iter().map(|what| format!("seed {seed}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
