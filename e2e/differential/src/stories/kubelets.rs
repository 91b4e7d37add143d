//! Kubelets of stories about nodes: they do nothing but live.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use headroom_core::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::api::{patch, post};

/// How often a lease is renewed: often enough to miss a few without being missed.
const RENEWAL: Duration = Duration::from_secs(1);
/// Renewals at a time.
const AT_ONCE: usize = 16;
/// Where the leases are.
const NAMESPACE: &str = "kube-node-lease";

/// Those that live, by the names of their nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Kubelets(Arc<Mutex<BTreeSet<String>>>);

impl Kubelets {
    /// Renews the leases of those that live, from now on.
    pub(super) fn start(client: &kube::Client, tasks: &mut JoinSet<()>) -> Self {
        let kubelets = Self::default();
        tasks.spawn(renew(client.clone(), kubelets.clone()));
        kubelets
    }

    fn living(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's kubelet begins to live.
    pub(super) async fn enter(&self, client: &kube::Client, node: &str) -> anyhow::Result<()> {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": node, "namespace": NAMESPACE},
            "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now()}});
        post(client, &lease).await??;
        self.wake(node);
        Ok(())
    }

    /// It lives, whether it did before or not.
    pub(super) fn wake(&self, node: &str) {
        self.living().insert(node.to_owned());
    }

    /// It is not heard of any more.
    pub(super) fn silence(&self, node: &str) {
        self.living().remove(node);
    }
}

/// The time, as a lease has it.
fn now() -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    // All six digits have to be there, and without any microseconds they are left out.
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX) | 1).to_string()
}

async fn renew(client: kube::Client, kubelets: Kubelets) {
    let mut ticks = tokio::time::interval(RENEWAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let nodes: Vec<String> = kubelets.living().iter().cloned().collect();
        let renewals: Vec<_> = nodes.into_iter().map(|node| renew_one(client.clone(), node)).collect();
        futures::stream::iter(renewals).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}

async fn renew_one(client: kube::Client, node: String) {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{node}");
    // If it fails, the next one comes soon.
    let _ = patch(&client, &path, &json!({"spec": {"renewTime": now()}})).await;
}
