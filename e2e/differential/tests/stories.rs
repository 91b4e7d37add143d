//! Ours does with recorded stories what the stock kube-controller-manager did.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

use std::path::Path;

use futures::StreamExt;
use headroom_differential::stories::{LOOPS, Manager, PATIENCE, Rigour, Stage, StoryCorpus, replay};

/// Least number of stories, and of steps in them.
const STORIES: usize = 300;
/// Stories at a time.
const AT_ONCE: usize = 40;
/// Differences that are printed.
const SHOWN: usize = 5;

#[tokio::test]
async fn controllers_tell_every_story_as_stock_did() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = StoryCorpus::read(&Path::new(&directory).join("corpus/stories.jsonl")).unwrap();
    assert_eq!(corpus.loops, LOOPS, "the corpus is about other loops: record it anew");
    let stage = Stage::direct(Manager::Ours).await.unwrap();
    let told = futures::stream::iter(&corpus.stories)
        .map(async |story| replay(&stage, story, &format!("s{}", story.seed), Rigour::of(story.seed), PATIENCE).await);
    let outcomes: Vec<_> = told.buffer_unordered(AT_ONCE).collect().await;
    stage.check().unwrap();
    let different: Vec<String> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap()).collect();
    let steps: usize = corpus.stories.iter().map(|story| story.steps.len()).sum();
    eprintln!("stories: {} with {steps} steps, told as {} told them", corpus.stories.len(), corpus.stock);
    if !different.is_empty() {
        stage.keep();
    }
    assert!(
        different.is_empty(),
        "{} stories differ (`differential-record tell-stories --seed N` tells one):\n{}",
        different.len(),
        different.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
    assert!(corpus.stories.len() >= STORIES && steps >= 5 * STORIES, "only {} stories", corpus.stories.len());
}
