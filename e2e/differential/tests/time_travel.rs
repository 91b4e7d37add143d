//! The controllers behind a proxy where watches lag, break, expire and begin in the past, where requests are refused, lose
//! their answers or never get one, and where they are killed now and then.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod days;

use std::path::Path;
use std::time::{Duration, Instant};

use days::{Both, Day, HEADING, say, write_page};
use futures::StreamExt;
use headroom_differential::stories::{Manager, Rigour, Scene, Stage, State, Step, StoryCorpus, Told, replay};
use headroom_e2e::proxy::Faults;

/// Rough days in a row, each with the next seed; `HEADROOM_TIME_TRAVEL_SEEDS` plays more. The seed of a day throws its dice
/// and chooses its stories: `HEADROOM_TIME_TRAVEL_SEED` is that of the first one.
const SEEDS: usize = 1;
/// Stories of a day, and how many at a time; `HEADROOM_TIME_TRAVEL_STORIES` tells more.
const STORIES: usize = 40;
/// So many of the stories kill the process, each after one of its first writes.
const KILLS: usize = 8;
/// Stories about nodes of a day.
const OF_NODES: usize = 10;
/// Of which so many may stand otherwise: where a node falls silent within a spoiled minute, whether its pods are marked as not
/// ready by the time that stock's recording ended a step hangs on which answers were lost. They are told, and pods too many
/// never are forgiven.
const MAY_DIFFER: usize = 2;
/// How often a day with nodes is begun on which the machine was so slow that some may have been given up which live.
const ATTEMPTS: usize = 3;
/// Watches in protobuf on a day on which they are not in JSON: the first process and one after a kill begin so many, for pods,
/// nodes, Endpoints and slices.
const ENCODED: u64 = 8;
/// How long ours may take to come to where stock was, on a rough day: a few watches that nobody answers for 30 s, and a slow
/// machine. About nodes it is as long as on a calm day, where nobody leaves anything without an answer: what is forgiven
/// ([`MAY_DIFFER`]) is waited for until then.
const PATIENCE: Duration = Duration::from_secs(420);
/// How long stock is watched: it is not expected to get everywhere.
const STOCK: Duration = Duration::from_secs(25);

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn seeds() -> std::ops::Range<usize> {
    let first = number("HEADROOM_TIME_TRAVEL_SEED", 1);
    first..first + number("HEADROOM_TIME_TRAVEL_SEEDS", SEEDS).max(1)
}

fn corpus(scene: Scene) -> StoryCorpus {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    StoryCorpus::read(&Path::new(&directory).join(scene.corpus())).unwrap()
}

/// What goes wrong. Stock, which is watched for less than the minute in which an API server answers something, is spared what
/// none does. About nodes it is half as much as elsewhere: what the pod garbage collector could not write waits for its next
/// pass, 20 s later.
fn faults(manager: Manager, scene: Scene, seed: usize) -> Faults {
    let rough = Faults::rough(seed as u64);
    match (manager, scene) {
        (Manager::Stock, _) => Faults { unanswered_at_most: 0, ..rough },
        // What is ten seconds old says of a node that is silent for eight that it is well, and a watch of leases that is not
        // answered for thirty says nothing of any.
        (Manager::Ours, Scene::Nodes) => Faults {
            refused: rough.refused / 2,
            lost: rough.lost / 2,
            old: rough.old / 5,
            unanswered_at_most: 0,
            inconsistent: true,
            ..rough
        },
        // Our informers ask for consistent beginnings; the loops have to stand old ones all the same.
        (Manager::Ours, Scene::Services | Scene::Crowds | Scene::Zones) => {
            // No API server answers so; how far back one of these goes is tried by those who play many days.
            let old = if std::env::var_os("HEADROOM_TIME_TRAVEL_SEEDS").is_some() { rough.old } else { rough.old / 5 };
            Faults { inconsistent: true, old, ..rough }
        }
    }
}

/// Which of so many stories kill the process, and after which of their writes.
fn kills(scene: Scene, stories: usize) -> Vec<(usize, u64)> {
    match scene {
        // Three nodes, a controller and its pods are some fifteen writes; then a node dies.
        Scene::Nodes => (0..stories).step_by(3).map(|i| (i, 16 + 2 * i as u64)).collect(),
        Scene::Services | Scene::Crowds | Scene::Zones => {
            (0..stories).step_by(STORIES / KILLS).map(|i| (i, 2 + i as u64 % 7)).collect()
        }
    }
}

/// Stock is watched, and not killed.
async fn live_through(manager: Manager, scene: Scene, seed: usize, stories: &[&Told]) -> Day {
    let stage = Stage::behind_proxy(manager, scene).await.unwrap();
    let began = Instant::now();
    let proxy = stage.proxy().unwrap();
    proxy.set(faults(manager, scene, seed));
    let namespace = |i: usize| format!("s{}-{i}", stories[i].seed);
    let (patience, killing) = match manager {
        Manager::Ours if scene == Scene::Nodes => (scene.patience(), kills(scene, stories.len())),
        Manager::Ours => (PATIENCE.max(scene.patience()), kills(scene, stories.len())),
        Manager::Stock => (STOCK, Vec::new()),
    };
    for (i, write) in &killing {
        proxy.stop_after(&namespace(*i), *write);
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
    let kills = killing.iter().filter(|(i, write)| proxy.writes(&namespace(*i)) >= *write).count();
    let (spoiled, rewound) = (proxy.spoiled(), proxy.rewound());
    Day {
        pods: stage.made(),
        spoiled,
        ignored: proxy.ignored(),
        encoded: proxy.encoded(),
        rewound,
        kills,
        ended,
        different,
        excess,
        too_slow: stage.was_too_slow_since(began),
    }
}

fn of_seed(seed: usize, wrong: Vec<String>) -> impl Iterator<Item = String> {
    wrong.into_iter().map(move |what| format!("seed {seed}: {what}"))
}

#[tokio::test]
async fn on_a_rough_day_the_stories_are_the_same_and_no_pod_is_too_many() {
    let corpus = corpus(Scene::Services);
    let stories = number("HEADROOM_TIME_TRAVEL_STORIES", STORIES);
    say(&format!("{stories} stories a day; stock {} is watched for {STOCK:?}", corpus.stock));
    say(HEADING);
    let (mut days, mut wrong) = (Vec::new(), Vec::new());
    for seed in seeds() {
        // A walk through the whole corpus, so that every kind of story is among a few.
        let chosen: Vec<&Told> =
            (0..stories).map(|i| &corpus.stories[(seed + i * 37) % corpus.stories.len()]).collect();
        let ours = live_through(Manager::Ours, Scene::Services, seed, &chosen).await;
        // For comparison, and without judgement: what stock does on the same day.
        let stock = live_through(Manager::Stock, Scene::Services, seed, &chosen).await;
        let json = Faults::rough(seed as u64).json;
        if !json && ours.encoded < ENCODED {
            wrong.push(format!("seed {seed}: only {} watches came in protobuf", ours.encoded));
        }
        if ours.ignored == 0 {
            wrong.push(format!("seed {seed}: every request was answered"));
        }
        wrong.extend(of_seed(seed, ours.wrong(stories, 11)));
        let both = Both { seed, stories, ours, stock };
        say(&both.line());
        days.push(both);
    }
    write_page(&corpus.stock, &days);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Stories about nodes, none of which depends on trouble being over in time: on a rough day it need not be. Nor does a node leave
/// for good: after each death of the process, and each refusal, its pods would be left alone for another 40 s.
fn about_nodes(corpus: &StoryCorpus, seed: usize) -> Vec<&Told> {
    let depends = |(step, _): &(Step, State)| matches!(step, Step::Wait(_) | Step::Leave(_));
    let robust: Vec<&Told> = corpus.stories.iter().filter(|story| !story.steps.iter().any(depends)).collect();
    (0..OF_NODES).map(|i| robust[(seed + i * 5) % robust.len()]).collect()
}

#[tokio::test]
async fn on_a_rough_day_nodes_die_and_come_back_as_on_a_calm_one() {
    let corpus = corpus(Scene::Nodes);
    let mut wrong = Vec::new();
    for seed in seeds() {
        let chosen = about_nodes(&corpus, seed);
        let mut day = live_through(Manager::Ours, Scene::Nodes, seed, &chosen).await;
        for _ in 1..ATTEMPTS {
            if !day.too_slow || day.different.len() <= MAY_DIFFER || !day.excess.is_empty() {
                break;
            }
            say(&format!("seed {seed}: once more, the machine was too slow: {:?}", day.different));
            day = live_through(Manager::Ours, Scene::Nodes, seed, &chosen).await;
        }
        say(&format!(
            "seed {seed}, {} stories about nodes: {} faults, {} watches that began in the past, {} kills, {} different, {} of {} pods \
             too many",
            chosen.len(),
            day.spoiled,
            day.rewound,
            day.kills,
            day.different.len(),
            day.too_many(),
            day.pods,
        ));
        if day.different.len() <= MAY_DIFFER {
            day.different.drain(..).for_each(|story| say(&format!("seed {seed}: {story}")));
        }
        wrong.extend(of_seed(seed, day.wrong(chosen.len(), 1)));
        if day.kills == 0 {
            wrong.push(format!("seed {seed}: nobody was killed"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
