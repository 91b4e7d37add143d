//! Ours leads to crowds of pods, in as many slices of the same sizes, as the stock kube-controller-manager did. A process of its
//! own: changes are gathered for seconds, and the writes of a step have to be done within that time.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

mod retold;

use headroom_differential::stories::Scene;

/// Least number of stories.
const STORIES: usize = 6;

#[tokio::test]
async fn crowds_come_into_slices_of_the_same_sizes_as_with_stock() {
    retold::as_recorded(Scene::Crowds, STORIES).await;
}
