//! How long the machine stood still, or crept, and when: a small object is stored again and again, and where that takes long, so
//! does everything that a scheduler does. A pod is not left waiting by whoever cannot move himself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headroom_e2e::ControlPlane;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::common::object;

const NAME: &str = "pulse";
/// Between two beats.
const PAUSE: Duration = Duration::from_millis(100);
/// From one beat to the next, [`PAUSE`] and a write, it takes no longer on a machine that keeps up with the pods that arrive.
/// Where it does, each write of a scheduler takes as long, and a hand-over and its bindings are many of them.
const ORDINARY: Duration = Duration::from_millis(400);

/// From one beat to the next, where that was too long.
type Gap = (Timestamp, Timestamp);

/// Beats until it is dropped.
pub(super) struct Pulse {
    gaps: Arc<Mutex<Vec<Gap>>>,
    _beats: JoinSet<()>,
}

/// So much of the time from one moment to another lies in these gaps.
fn within(gaps: &[Gap], from: Timestamp, until: Timestamp) -> Duration {
    let of = |gap: &Gap| {
        let (begin, end) = (gap.0.max(from), gap.1.min(until));
        if end > begin { end.duration_since(begin).unsigned_abs() } else { Duration::ZERO }
    };
    gaps.iter().map(of).sum()
}

impl Pulse {
    pub(super) async fn begin(cluster: &ControlPlane) -> Self {
        let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), "default");
        maps.create(&PostParams::default(), &object(json!({"metadata": {"name": NAME}}))).await.unwrap();
        let gaps: Arc<Mutex<Vec<Gap>>> = Arc::default();
        let noted = Arc::clone(&gaps);
        let mut beats = JoinSet::new();
        beats.spawn(async move {
            let mut last = Timestamp::now();
            for beat in 0_u64.. {
                tokio::time::sleep(PAUSE).await;
                let patch = Patch::Merge(json!({"data": {"beat": beat.to_string()}}));
                // One that was refused is none.
                if maps.patch(NAME, &PatchParams::default(), &patch).await.is_err() {
                    continue;
                }
                let now = Timestamp::now();
                if now > last + ORDINARY {
                    noted.lock().unwrap().push((last + ORDINARY, now));
                }
                last = now;
            }
        });
        Self { gaps, _beats: beats }
    }

    /// For how long the machine stood still from one moment to another.
    pub(super) fn stood_still(&self, from: Timestamp, until: Timestamp) -> Duration {
        within(&self.gaps.lock().unwrap(), from, until)
    }
}

#[test]
fn only_what_lies_in_between_counts() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let gaps = [(at(10), at(13)), (at(20), at(24))];
    let seconds = |from: i64, until: i64| within(&gaps, at(from), at(until)).as_secs();
    assert_eq!((seconds(0, 9), seconds(14, 19), seconds(0, 30), seconds(11, 22)), (0, 0, 7, 4));
}
