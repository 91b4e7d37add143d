//! Ours hints endpoints to zones as the stock kube-controller-manager did. A process of its own: each story has the cluster to
//! itself, for all nodes count, and nodes and pods are watched apart.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

mod retold;

use headroom_differential::stories::Scene;

/// Least number of stories.
const STORIES: usize = 12;

#[tokio::test]
async fn endpoints_are_hinted_to_zones_as_with_stock() {
    retold::as_recorded(Scene::Zones, STORIES).await;
}
