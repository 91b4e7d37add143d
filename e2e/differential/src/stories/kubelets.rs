//! Kubelets of stories about nodes: they do nothing but live.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use headroom_core::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::scene::GRACE;
use crate::api::{patch, post};

/// How often a lease is renewed: often enough to miss a few without being missed.
const RENEWAL: Duration = Duration::from_secs(1);
/// After so long without one a kubelet is late. Where the machine is that slow, a node may be given up that lives.
const LATE: Duration = Duration::from_secs(GRACE.as_secs() / 2);
/// Renewals at a time.
const AT_ONCE: usize = 16;
/// Where the leases are.
const NAMESPACE: &str = "kube-node-lease";

#[derive(Debug, Default)]
struct Book {
    /// Those that live, by the names of their nodes.
    living: BTreeSet<String>,
    /// When they were late last.
    late: Option<Instant>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Kubelets(Arc<Mutex<Book>>);

impl Kubelets {
    /// Renews the leases of those that live, from now on.
    pub(super) fn start(client: &kube::Client, tasks: &mut JoinSet<()>) -> Self {
        let kubelets = Self::default();
        tasks.spawn(renew(client.clone(), kubelets.clone()));
        kubelets
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they have been late since then.
    pub(super) fn were_late_since(&self, then: Instant) -> bool {
        self.book().late.is_some_and(|late| late >= then)
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
        self.book().living.insert(node.to_owned());
    }

    /// It is not heard of any more.
    pub(super) fn silence(&self, node: &str) {
        self.book().living.remove(node);
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
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let nodes: Vec<String> = kubelets.book().living.iter().cloned().collect();
        let renewals: Vec<_> = nodes.into_iter().map(|node| renew_one(client.clone(), node)).collect();
        futures::stream::iter(renewals).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        if last.elapsed() > LATE {
            kubelets.book().late = Some(Instant::now());
        }
        last = Instant::now();
    }
}

async fn renew_one(client: kube::Client, node: String) {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{node}");
    // If it fails, the next one comes soon.
    let _ = patch(&client, &path, &json!({"spec": {"renewTime": now()}})).await;
}
