//! A process that is killed after any of its writes leaves nothing behind that its successor does not put right.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "test code")]

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use headroom_differential::stories::{Manager, Rigour, Scene, Stage, Step, StoryCorpus, Told, replay};

/// Stories whose every write is followed by a kill in one of the runs: those in which most is written, and one that is about
/// mirrored endpoints.
const STORIES: usize = 4;
/// How long the successors may take: many runs share one process, and each of its deaths stops all of them.
const PATIENCE: Duration = Duration::from_secs(900);
/// The same where a node dies: with each death of the process, and there are some twenty, its silence is waited for anew.
const DYING: Duration = Duration::from_secs(1200);
/// How often it is begun when the machine was so slow that nodes may have been given up which live.
const ATTEMPTS: usize = 3;
/// The story in which a node falls silent, its pods are evicted, and what is left of them is collected when somebody says that
/// the node is out of service.
const DEATH: u64 = 40_007;
/// More than the writes of that story before its node falls silent, and more than those that follow: the runs beyond are not
/// killed, and show how many there are.
const BEFORE: u64 = 32;
const AFTER: u64 = 40;

fn corpus(scene: Scene) -> StoryCorpus {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    StoryCorpus::read(&Path::new(&directory).join(scene.corpus())).unwrap()
}

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
    let corpus = corpus(Scene::Services);
    let stories = busiest(&corpus);
    assert_eq!(stories.len(), STORIES);
    let stage = Stage::behind_proxy(Manager::Ours, Scene::Services).await.unwrap();
    let proxy = stage.proxy().unwrap();
    let namespace = |story: &Told, run: u64, again: &str| format!("s{}-{run}{again}", story.seed);
    let tell = async |story: &Told, run: u64, again: &str| {
        let namespace = namespace(story, run, again);
        replay(&stage, story, &namespace, Rigour::Objects, PATIENCE).await.unwrap()
    };

    // How much there is to write when nothing happens.
    let undisturbed = join_all(stories.iter().map(|story| tell(story, 0, ""))).await;
    assert_eq!(undisturbed, vec![None; STORIES]);
    let writes: Vec<u64> = stories.iter().map(|story| proxy.writes(&namespace(story, 0, ""))).collect();
    let runs = stories.iter().zip(&writes).flat_map(|(story, writes)| (1..=*writes).map(move |run| (*story, run)));
    let mut missed: Vec<(&Told, u64)> = runs.collect();
    let all = missed.len();
    let (mut different, mut reached) = (Vec::new(), Vec::new());
    // Two writes that follow each other may become one when a kill, or a machine that stands still, lies between what caused
    // them. Such runs are told once more, beside the kills of the others like them only.
    for again in ["", "-again"] {
        for (story, run) in &missed {
            proxy.stop_after(&namespace(story, *run, again), *run);
        }
        let disturbed = join_all(missed.iter().map(|(story, run)| tell(story, *run, again)));
        let outcomes = tokio::select! {
            outcomes = disturbed => outcomes,
            failed = stage.kill_and_restart() => panic!("{failed:?}"),
        };
        different.extend(outcomes.into_iter().flatten());
        // What is told next is not to be disturbed by what still happens there.
        for (story, run) in &missed {
            proxy.stop_after(&namespace(story, *run, again), 0);
        }
        missed.retain(|(story, run)| proxy.writes(&namespace(story, *run, again)) < *run);
        reached.push(all - missed.len());
    }
    stage.check().unwrap();

    let excess = stage.excess();
    eprintln!(
        "crash: {STORIES} stories with {writes:?} writes, {reached:?} of {all} runs were killed after their n-th: the first \
         time, and with those that were told once more"
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
    // How many runs were killed says how much was tried, not whether it went well.
    assert!(missed.len() * 10 <= all && writes.iter().all(|writes| *writes >= 5), "{reached:?} of {all}: {writes:?}");
}

/// A run of a story in which the process was killed after the n-th write, if there were so many.
struct Run {
    kill: u64,
    /// Writes until its end.
    written: u64,
    different: Option<String>,
}

/// Tells a story once for each of these writes; anew if runs end differently and the machine was too slow for them.
async fn kill_after(stage: &Stage, story: &Told, name: &str, kills: &[u64]) -> Vec<Run> {
    let mut attempt = 1;
    loop {
        let began = Instant::now();
        let runs = all_killed(stage, story, &format!("{name}{attempt}-"), kills).await;
        let different = runs.iter().filter(|run| run.different.is_some()).count();
        if different == 0 || attempt == ATTEMPTS || !stage.was_too_slow_since(began) {
            return runs;
        }
        eprintln!("crash: once more, the machine was too slow: {different} of {} runs end differently", runs.len());
        attempt += 1;
    }
}

/// All of them at the same time.
async fn all_killed(stage: &Stage, story: &Told, name: &str, kills: &[u64]) -> Vec<Run> {
    let proxy = stage.proxy().unwrap();
    let namespace = |kill: u64| format!("{name}{kill}");
    for kill in kills {
        proxy.stop_after(&namespace(*kill), *kill);
    }
    let tell = async |kill: u64| {
        let namespace = namespace(kill);
        let different = replay(stage, story, &namespace, Rigour::Objects, DYING).await.unwrap();
        Run { kill, written: proxy.writes(&namespace), different }
    };
    let runs = tokio::select! {
        runs = join_all(kills.iter().copied().map(tell)) => runs,
        failed = stage.kill_and_restart() => panic!("{failed:?}"),
    };
    // What is told next is not to be disturbed by what still happens there: its nodes are gone, and its pods are collected.
    for kill in kills {
        proxy.stop_after(&namespace(*kill), 0);
    }
    runs
}

/// Fails when a run ended differently.
fn same(stage: &Stage, runs: &[Run]) {
    let different: Vec<&str> = runs.iter().filter_map(|run| run.different.as_deref()).collect();
    if !different.is_empty() {
        stage.keep();
    }
    let shown = different[..different.len().min(5)].join("\n");
    assert!(different.is_empty(), "{} of {} runs end differently:\n{shown}", different.len(), runs.len());
}

/// Fails when a run ended differently, or when there are more writes than runs. Answers the number of writes, and the writes
/// after which nothing was killed though it was to be.
fn judge(stage: &Stage, runs: &[Run]) -> (u64, Vec<u64>) {
    same(stage, runs);
    let writes = runs.iter().filter(|run| run.written < run.kill).map(|run| run.written).max();
    let writes = writes.unwrap_or_else(|| panic!("all {} runs were killed: the story has more writes", runs.len()));
    let missed = runs.iter().filter(|run| run.written < run.kill && run.kill <= writes).map(|run| run.kill);
    (writes, missed.collect())
}

/// Tells the runs once more in which nothing was killed (see above), and answers those in which nothing was again.
async fn once_more(stage: &Stage, story: &Told, name: &str, missed: &[u64]) -> Vec<u64> {
    let runs = kill_after(stage, story, name, missed).await;
    same(stage, &runs);
    runs.iter().filter(|run| run.written < run.kill).map(|run| run.kill).collect()
}

#[tokio::test]
async fn a_kill_after_any_write_about_a_dying_node_changes_nothing_in_the_end() {
    let corpus = corpus(Scene::Nodes);
    let story = corpus.stories.iter().find(|story| story.seed == DEATH).unwrap();
    let dies = story.steps.iter().position(|(step, _)| matches!(step, Step::Silence(_))).unwrap();
    let calm = Told { seed: story.seed, steps: story.steps[..dies].to_vec() };
    let stage = Stage::behind_proxy(Manager::Ours, Scene::Nodes).await.unwrap();

    let kills: Vec<u64> = (1..=BEFORE).collect();
    let (before, first) = judge(&stage, &kill_after(&stage, &calm, "calm", &kills).await);
    let first_again = once_more(&stage, &calm, "calm-again", &first).await;
    let kills: Vec<u64> = (before + 1..=before + AFTER).collect();
    let (all, second) = judge(&stage, &kill_after(&stage, story, "dies", &kills).await);
    let second_again = once_more(&stage, story, "dies-again", &second).await;
    stage.check().unwrap();
    eprintln!(
        "crash: a node dies after {before} of {all} writes; after {first:?} and {second:?} nothing was killed, and after \
         {first_again:?} and {second_again:?} not when they were told once more"
    );
    let excess = stage.excess();
    if !excess.is_empty() {
        stage.keep();
    }
    assert!(excess.is_empty(), "{} pods too many: {excess:?}", excess.len());
    assert!(before >= 12 && all >= before + 12, "{before} writes, then {}", all - before);
    let missed = (first_again.len() + second_again.len()) as u64;
    // How many writes there are is the most of some run: one that was begun anew in an unlucky place makes a few more.
    assert!(missed * 10 <= all * 2, "{missed} of {all} writes were followed by no kill");
}
