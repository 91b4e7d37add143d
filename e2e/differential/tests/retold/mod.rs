//! A corpus told again.

use std::path::Path;

use headroom_differential::stories::{Manager, Scene, Stage, StoryCorpus, retell};

/// Differences that are printed.
const SHOWN: usize = 5;

/// Fails when ours tells a story of the scene otherwise, or when there are fewer than `least`.
pub(crate) async fn as_recorded(scene: Scene, least: usize) {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = StoryCorpus::read(&Path::new(&directory).join(scene.corpus())).unwrap();
    assert_eq!(corpus.scene().unwrap(), scene);
    let stage = Stage::direct(Manager::Ours, scene).await.unwrap();
    let different = retell(&stage, &corpus).await.unwrap();
    let steps: usize = corpus.stories.iter().map(|story| story.steps.len()).sum();
    eprintln!("{scene:?}: {} stories with {steps} steps, told as {} told them", corpus.stories.len(), corpus.stock);
    if !different.is_empty() {
        stage.keep();
    }
    assert!(
        different.is_empty(),
        "{} stories differ (`differential-record tell-stories --seed N` tells one):\n{}",
        different.len(),
        different.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
    assert!(corpus.stories.len() >= least && steps >= 5 * least, "only {} stories", corpus.stories.len());
}
