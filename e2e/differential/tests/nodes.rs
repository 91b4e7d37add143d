//! Ours does with nodes that die, come back or leave what the stock kube-controller-manager did. A process of its own: it is
//! about seconds, and nothing else may keep the machine busy meanwhile.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

mod retold;

use headroom_differential::stories::Scene;

/// Least number of stories.
const STORIES: usize = 16;

#[tokio::test]
async fn nodes_die_and_come_back_as_with_stock() {
    retold::as_recorded(Scene::Nodes, STORIES).await;
}
