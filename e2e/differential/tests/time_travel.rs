//! The controllers behind a proxy where watches lag, break, expire and begin in the past, where requests are refused or lose
//! their answers, and where they are killed now and then.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use headroom_differential::stories::{Manager, Rigour, Stage, StoryCorpus, Told, replay};
use headroom_e2e::proxy::Faults;

/// Stories that are told, and how many at a time. `HEADROOM_TIME_TRAVEL_SEED` begins elsewhere in the corpus and throws
/// other dice; `HEADROOM_TIME_TRAVEL_STORIES` tells more.
const STORIES: usize = 40;
/// So many of the stories kill the process, each after one of its first writes.
const KILLS: usize = 8;
/// How long ours may take to come to where stock was, on a rough day.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long stock is watched: it is not expected to get everywhere.
const STOCK: Duration = Duration::from_secs(25);

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test]
async fn on_a_rough_day_the_stories_are_the_same_and_no_pod_is_too_many() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = StoryCorpus::read(&Path::new(&directory).join("corpus/stories.jsonl")).unwrap();
    let (seed, stories) = (number("HEADROOM_TIME_TRAVEL_SEED", 1), number("HEADROOM_TIME_TRAVEL_STORIES", STORIES));
    // A walk through the whole corpus, so that every kind of story is among a few.
    let chosen: Vec<&Told> = (0..stories).map(|i| &corpus.stories[(seed + i * 37) % corpus.stories.len()]).collect();
    let faults = Faults::rough(seed as u64);

    let stage = Stage::behind_proxy(Manager::Ours).await.unwrap();
    let proxy = stage.proxy().unwrap();
    proxy.set(faults);
    let tell = |i: usize| {
        let (stage, story) = (&stage, chosen[i]);
        async move { replay(stage, story, &format!("s{}-{i}", story.seed), Rigour::Objects, PATIENCE).await }
    };
    for (i, story) in chosen.iter().enumerate().step_by(STORIES / KILLS) {
        proxy.stop_after(&format!("s{}-{i}", story.seed), 2 + i as u64 % 7);
    }
    let told = futures::stream::iter(0..stories).map(tell).buffer_unordered(STORIES).collect::<Vec<_>>();
    let outcomes = tokio::select! {
        outcomes = told => outcomes,
        failed = stage.kill_and_restart() => panic!("{failed:?}"),
    };
    stage.check().unwrap();
    let different: Vec<String> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap()).collect();
    let excess = stage.excess();
    eprintln!(
        "time travel: seed {seed}: {stories} stories, {} pods, {} requests and watches spoiled, {} watches begun in the past",
        stage.made(),
        proxy.spoiled(),
        proxy.rewound()
    );
    if !different.is_empty() || !excess.is_empty() {
        stage.keep();
    }
    assert!(
        different.is_empty(),
        "seed {seed}: {} stories differ:\n{}",
        different.len(),
        different[..different.len().min(5)].join("\n")
    );
    assert!(excess.is_empty(), "seed {seed}: {} pods too many: {excess:?}", excess.len());
    assert!(proxy.spoiled() > stories as u64, "the day was not rough");
    assert!(proxy.rewound() > 10, "{} watches began in the past", proxy.rewound());
    drop(stage);

    // For comparison, and without judgement: what stock does on the same day.
    let stage = Stage::behind_proxy(Manager::Stock).await.unwrap();
    let proxy = stage.proxy().unwrap();
    proxy.set(faults);
    let tell = |i: usize| {
        let (stage, story) = (&stage, chosen[i]);
        async move { replay(stage, story, &format!("s{}-{i}", story.seed), Rigour::Objects, STOCK).await }
    };
    let told = futures::stream::iter(0..stories).map(tell).buffer_unordered(STORIES);
    let outcomes = tokio::time::timeout(STOCK, told.collect::<Vec<_>>()).await;
    let excess = stage.excess();
    eprintln!(
        "time travel: stock {} on the same day: {} pods, {} too many, at worst {:?}{}",
        stage.version(),
        stage.made(),
        excess.len(),
        excess.iter().max_by_key(|excess| excess.pods as u64 - excess.asked),
        if outcomes.is_err() { "; not all stories had ended" } else { "" }
    );
}
