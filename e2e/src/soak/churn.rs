//! Pods that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headroom_bare::WireError;
use http::Method;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::bench::wire::{JSON, Wire};
use crate::bench_budgets::cluster::pods;

/// How long a pod lives, seconds.
pub(super) const LIFE: u32 = 15;
/// Owners, in turn.
const OWNERS: u64 = 10;
/// Requests in flight: beyond, the API server does not keep up, and nothing more is asked.
const IN_FLIGHT: usize = 500;

/// A running churn. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Churn {
    made: Arc<AtomicU64>,
    task: JoinHandle<Result<(), WireError>>,
}

impl Churn {
    /// Begins: so many pods come per second, and as many go.
    pub(super) fn start(wire: &Wire, rate: u32) -> Self {
        let made = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(run(wire.clone(), rate, Arc::clone(&made)));
        Self { made, task }
    }

    /// Pods that came so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Fails when it ended, as it must not.
    pub(super) async fn expect_running(&mut self) -> Result<(), WireError> {
        if !self.task.is_finished() {
            return Ok(());
        }
        let reason = match (&mut self.task).await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(WireError::Connection { what: "the churn of pods".to_owned(), reason })
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(wire: Wire, rate: u32, made: Arc<AtomicU64>) -> Result<(), WireError> {
    let mut ticker = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let alive = u64::from(rate) * u64::from(LIFE);
    let mut all = JoinSet::new();
    for index in 0_u64.. {
        ticker.tick().await;
        while all.len() >= IN_FLIGHT {
            done(all.join_next().await)?;
        }
        while let Some(one) = all.try_join_next() {
            done(Some(one))?;
        }
        let wire = wire.clone();
        all.spawn(async move {
            wire.post(&pods(), pod(index).to_string()).await?;
            let Some(old) = index.checked_sub(alive) else { return Ok(()) };
            let now = Bytes::from_static(br#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#);
            match wire.send(Method::DELETE, &format!("{}/{}", pods(), name(old)), JSON, now).await {
                // A kubelet may have been quicker.
                Err(WireError::Refused { status: 404, .. }) => Ok(()),
                other => other.map(|_| ()),
            }
        });
        made.store(index.saturating_add(1), Ordering::Relaxed);
    }
    Ok(())
}

/// What became of a request.
fn done(one: Option<Result<Result<(), WireError>, tokio::task::JoinError>>) -> Result<(), WireError> {
    match one {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => {
            Err(WireError::Connection { what: "the churn of pods".to_owned(), reason: error.to_string() })
        }
    }
}

fn name(index: u64) -> String {
    format!("soak-{index:07}")
}

/// A small pod of one of ten owners.
fn pod(index: u64) -> Value {
    let owner = index % OWNERS;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name(index),
            "labels": {"app": format!("soak-{owner}")},
            "annotations": {"hollow.headroom.dev/memory": "20Mi@0s,30Mi@10s"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("soak-{owner}"),
                "uid": format!("00000000-0000-4000-8000-{owner:012}"), "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"containers": [{"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"memory": "64Mi"}}}]},
    })
}
