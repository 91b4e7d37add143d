//! A process that is killed after any of its writes leaves nothing behind that its successor does not put right.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use headroom_differential::stories::{Manager, Rigour, Stage, Step, StoryCorpus, Told, replay};

/// Stories whose every write is followed by a kill in one of the runs: those in which most is written, and one that is about
/// mirrored endpoints.
const STORIES: usize = 4;
/// How long the successors may take: many runs share one process, and each of its deaths stops all of them.
const PATIENCE: Duration = Duration::from_secs(120);

/// The stories in which most objects are different after a step.
fn busiest(corpus: &StoryCorpus) -> Vec<&Told> {
    let is_mirrored = |story: &&Told| {
        story.steps.iter().any(|(step, _)| matches!(step, Step::Create(object) if object["kind"] == "Endpoints"))
    };
    let written = |story: &Told| {
        let states: Vec<_> = story.steps.iter().map(|(_, state)| state).collect();
        serde_json::to_string(&states).unwrap().len()
    };
    let (mut mirrored, mut others): (Vec<&Told>, Vec<&Told>) = corpus.stories.iter().partition(is_mirrored);
    for stories in [&mut mirrored, &mut others] {
        stories.sort_by_key(|story| std::cmp::Reverse(written(story)));
    }
    others.into_iter().take(STORIES - 1).chain(mirrored.into_iter().take(1)).collect()
}

#[tokio::test]
async fn a_kill_after_any_write_changes_nothing_in_the_end() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = StoryCorpus::read(&Path::new(&directory).join("corpus/stories.jsonl")).unwrap();
    let stories = busiest(&corpus);
    assert_eq!(stories.len(), STORIES);
    let stage = Stage::behind_proxy(Manager::Ours).await.unwrap();
    let proxy = stage.proxy().unwrap();
    let tell = async |story: &Told, run: u64| {
        let namespace = format!("s{}-{run}", story.seed);
        replay(&stage, story, &namespace, Rigour::Objects, PATIENCE).await.unwrap()
    };

    // How much there is to write when nothing happens.
    let undisturbed = join_all(stories.iter().map(|story| tell(story, 0))).await;
    assert_eq!(undisturbed, vec![None; STORIES]);
    let writes: Vec<u64> = stories.iter().map(|story| proxy.writes(&format!("s{}-0", story.seed))).collect();
    let runs = || stories.iter().zip(&writes).flat_map(|(story, writes)| (1..=*writes).map(move |run| (*story, run)));
    for (story, run) in runs() {
        proxy.stop_after(&format!("s{}-{run}", story.seed), run);
    }
    let disturbed = join_all(runs().map(|(story, run)| tell(story, run)));
    let outcomes = tokio::select! {
        outcomes = disturbed => outcomes,
        failed = stage.kill_and_restart() => panic!("{failed:?}"),
    };
    stage.check().unwrap();

    let different: Vec<String> = outcomes.into_iter().flatten().collect();
    let excess = stage.excess();
    let reached = runs().filter(|(story, run)| proxy.writes(&format!("s{}-{run}", story.seed)) >= *run).count();
    eprintln!(
        "crash: {} stories with {writes:?} writes, {reached} of {} runs were killed after their n-th",
        STORIES,
        runs().count()
    );
    if !different.is_empty() || !excess.is_empty() {
        stage.keep();
    }
    assert!(
        different.is_empty(),
        "{} runs end differently:\n{}",
        different.len(),
        different[..different.len().min(5)].join("\n")
    );
    assert!(excess.is_empty(), "{} pods too many: {excess:?}", excess.len());
    // Two writes that follow each other may become one when a kill lies between what caused them.
    assert!(reached * 10 >= runs().count() * 9 && writes.iter().all(|writes| *writes >= 5), "{writes:?}");
}
