//! Ours does with recorded stories what the stock kube-controller-manager did.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

mod retold;

use headroom_differential::stories::Scene;

/// Least number of stories.
const STORIES: usize = 300;

#[tokio::test]
async fn controllers_tell_every_story_as_stock_did() {
    retold::as_recorded(Scene::Services, STORIES).await;
}
