//! Ours spreads hundreds of endpoints over slices, and cuts Endpoints, as the stock kube-controller-manager did. A process of
//! its own: what happens in a step has to be one change, and nothing else may keep the machine busy meanwhile.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

mod retold;

use headroom_differential::stories::Scene;

/// Stories at a time: each writes hundreds of pods.
const AT_ONCE: usize = 4;
/// Least number of stories.
const STORIES: usize = 12;

#[tokio::test]
async fn slices_of_crowds_are_as_large_as_with_stock() {
    retold::as_recorded(Scene::Crowds, AT_ONCE, STORIES).await;
}
