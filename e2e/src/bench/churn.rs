//! What happens while pods are measured (scheduler_perf's operation `churn`).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::scenario::{CHURN, Churn, named};
use super::wire::{JSON, Wire};
use super::{BenchError, progress};

/// A running churn. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Churning(JoinHandle<()>);

impl Churning {
    /// Begins.
    pub(crate) fn start(wire: &Wire, churn: Churn) -> Self {
        let wire = wire.clone();
        Self(tokio::spawn(async move {
            let outcome = match churn {
                Churn::Create { every_millis, pod } => create(&wire, every_millis, pod).await,
                Churn::Recreate { every_millis, pod } => recreate(&wire, every_millis, pod).await,
            };
            if let Err(error) = outcome {
                progress(&format!("the churn ended: {error}"));
            }
        }))
    }

    /// Whether it still goes on, as it must until it is ended.
    pub(crate) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for Churning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn pods() -> String {
    format!("/api/v1/namespaces/{CHURN}/pods")
}

fn ticker(every_millis: u64) -> tokio::time::Interval {
    let mut ticker = tokio::time::interval(Duration::from_millis(every_millis));
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticker
}

async fn create(wire: &Wire, every_millis: u64, pod: fn() -> Value) -> Result<(), BenchError> {
    let mut ticker = ticker(every_millis);
    for index in 0_u64.. {
        ticker.tick().await;
        wire.post(&pods(), named(pod(), CHURN, format!("churn-{index:06}")).to_string()).await?;
    }
    Ok(())
}

async fn recreate(wire: &Wire, every_millis: u64, pod: fn() -> Value) -> Result<(), BenchError> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "churn"},
        "status": {"capacity": {"pods": "0"}, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn"},
        "spec": {"selector": {"app": "foo"}, "ports": [{"protocol": "TCP", "port": 8080, "targetPort": 8080}]},
    });
    let services = format!("/api/v1/namespaces/{CHURN}/services");
    let objects =
        [("/api/v1/nodes".to_owned(), node), (pods(), named(pod(), CHURN, "churn".to_owned())), (services, service)];
    let mut ticker = ticker(every_millis);
    loop {
        ticker.tick().await;
        for (path, object) in &objects {
            wire.post(path, object.to_string()).await?;
        }
        ticker.tick().await;
        for (path, _) in &objects {
            let now = r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#;
            wire.send(Method::DELETE, &format!("{path}/churn"), JSON, now.into()).await?;
        }
    }
}
