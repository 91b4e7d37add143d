//! Runs the containers of our own pods, as their kubelet would: simulated kubelets report pods as running and run nothing.
//!
//! A container of one of our images becomes a process: the binary of the image's name, with the container's arguments, its
//! environment from the downward API, its ConfigMaps as files, and a token of its ServiceAccount that is bound to the pod.
//! What the machine cannot have is stood in for: ports and addresses (everything is on 127.0.0.1, so that each process
//! gets a port of its own, and the URL of a Service leads to it), and the paths of volumes and of the token. A pod that is
//! deleted gets SIGTERM; one that has ended by itself is reported with its exit status.

mod container;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::error::{HarnessError, Result};
use crate::process::{Process, Signal};
use crate::wait::eventually;

use container::Container;

/// How often pods are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A pod that runs, or has run.
struct Own {
    name: String,
    process: Process,
    started: Instant,
    /// It serves; else it is one that ends by itself.
    serves: bool,
    told_to_end: bool,
    /// It is among those that have ended.
    noted: bool,
    reported: bool,
}

/// What became of a pod that ends by itself.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its name.
    pub pod: String,
    /// The exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it said.
    pub log: String,
}

/// The pods of our images in one namespace. Dropping it kills their processes.
pub struct OwnPods<'a> {
    cluster: &'a ControlPlane,
    namespace: String,
    pods: Mutex<BTreeMap<String, Own>>,
    ended: Mutex<Vec<Ended>>,
}

impl std::fmt::Debug for OwnPods<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnPods").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl<'a> OwnPods<'a> {
    /// Those of a namespace. Nothing happens until [`during`](Self::during).
    #[must_use]
    pub fn new(cluster: &'a ControlPlane, namespace: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), pods: Mutex::default(), ended: Mutex::default() }
    }

    /// Looks after the pods until `work` is done. What serves goes on serving in between.
    ///
    /// # Errors
    /// [`HarnessError`]: a pod could not be started, or a process that serves has ended although its pod is there.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            error = self.look_after() => Err(error),
        }
    }

    /// Waits until a process of ours whose pod's name begins like this runs and answers on `/readyz`; returns the pod's
    /// name and the process' port.
    ///
    /// # Errors
    /// As [`during`](Self::during), or a timeout.
    pub async fn ready(&self, prefix: &str, timeout: Duration) -> Result<(String, u16)> {
        let what = format!("a pod {prefix}… to be ready");
        let found = self.during(eventually(timeout, &what, || async {
            let (pod, port) = self.serving(prefix).ok_or_else(|| "none runs".to_owned())?;
            let client = self.cluster.unchecked_client_with(port, None).await.map_err(|error| error.to_string())?;
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((pod, port))
        }));
        Ok(found.await??)
    }

    /// Waits until every process whose pod is gone has ended.
    ///
    /// # Errors
    /// As [`during`](Self::during), or a timeout.
    pub async fn settled(&self, timeout: Duration) -> Result<()> {
        let settled = eventually(timeout, "the processes of pods that are gone to end", || async {
            self.look().await.map_err(|error| error.to_string())?;
            let ending: Vec<String> =
                lock(&self.pods).values().filter(|own| own.told_to_end).map(|own| own.name.clone()).collect();
            if ending.is_empty() { Ok(()) } else { Err(ending.join(", ")) }
        });
        Ok(settled.await?)
    }

    /// Kills every process (`kill -9`), as a power cut of all machines does. The pods are still there: whoever looks after
    /// them next starts their containers again, as a kubelet does once its machine is back.
    pub fn cut_power(&self) {
        let mut pods = lock(&self.pods);
        for own in pods.values() {
            own.process.kill9();
        }
        pods.retain(|_, own| !own.serves);
    }

    /// The pods that have ended by themselves so far, in their order.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        lock(&self.ended).clone()
    }

    /// The log of the process whose pod's name begins like this.
    #[must_use]
    pub fn log(&self, prefix: &str) -> String {
        let pods = lock(&self.pods);
        pods.values().filter(|own| own.name.starts_with(prefix)).map(|own| own.process.log()).collect()
    }

    /// The pod that serves, and its port: the newest, while an older one is on its way out.
    fn serving(&self, prefix: &str) -> Option<(String, u16)> {
        let pods = lock(&self.pods);
        let serves = |own: &&Own| own.serves && !own.told_to_end && own.name.starts_with(prefix);
        let newest = pods.values().filter(serves).max_by_key(|own| own.started)?;
        Some((newest.name.clone(), newest.process.port()?))
    }

    async fn look_after(&self) -> HarnessError {
        loop {
            if let Err(error) = self.look().await {
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&self) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.cluster.admin_client(), &self.namespace);
        let failed = HarnessError::api(format!("cannot list the pods of {}", self.namespace));
        let there = api.list(&ListParams::default()).await.map_err(failed)?.items;
        for pod in &there {
            let Some(container) = Container::ours(pod) else { continue };
            let uid = pod.uid().unwrap_or_default();
            let known = lock(&self.pods).contains_key(&uid);
            if !known && is_up(pod) {
                let serving = |prefix: &str| self.serving(prefix).map(|(_, port)| port);
                let process = container.start(self.cluster, pod, &serving).await?;
                let own = Own {
                    name: pod.name_any(),
                    process,
                    started: Instant::now(),
                    serves: container.serves(),
                    told_to_end: false,
                    noted: false,
                    reported: false,
                };
                lock(&self.pods).insert(uid, own);
            }
        }
        self.end(&there)?;
        self.report(&api).await
    }

    /// Tells those to end whose pods go or are gone, and forgets them once they have.
    fn end(&self, there: &[Pod]) -> Result<()> {
        let stays = |uid: &str| {
            there.iter().any(|pod| pod.uid().as_deref() == Some(uid) && pod.metadata.deletion_timestamp.is_none())
        };
        let mut pods = lock(&self.pods);
        for (uid, own) in pods.iter_mut() {
            if !own.told_to_end && !stays(uid) {
                own.told_to_end = true;
                // It may have ended already.
                let _ = own.process.signal(Signal::TERM);
            } else if own.serves && !own.told_to_end {
                own.process.expect_running("its pod is there")?;
            }
        }
        pods.retain(|_, own| !own.told_to_end || own.process.is_running());
        Ok(())
    }

    /// Reports those that have ended by themselves.
    async fn report(&self, api: &Api<Pod>) -> Result<()> {
        let over = |own: &Own| {
            let status = own.process.exit_status().filter(|_| !own.serves && !own.reported && !own.told_to_end)?;
            Some(Ended { pod: own.name.clone(), code: status.code(), log: own.process.log() })
        };
        let ended: Vec<(String, Ended)> =
            lock(&self.pods).iter().filter_map(|(uid, own)| Some((uid.clone(), over(own)?))).collect();
        for (uid, end) in ended {
            // First: whoever waits for the report is done with the API server's word, and this may not go on then.
            if let Some(own) = lock(&self.pods).get_mut(&uid)
                && !std::mem::replace(&mut own.noted, true)
            {
                lock(&self.ended).push(end.clone());
            }
            let success = end.code == Some(0);
            let gone = json!({"status": "False", "reason": if success { "PodCompleted" } else { "PodFailed" }});
            let condition = |kind: &str| {
                let mut condition = gone.clone();
                condition["type"] = kind.into();
                condition
            };
            let status = json!({"status": {
                "phase": if success { "Succeeded" } else { "Failed" },
                "conditions": [condition("Ready"), condition("ContainersReady")],
            }});
            let written = api.patch_status(&end.pod, &PatchParams::default(), &Patch::Strategic(status)).await;
            match written {
                Ok(_) => {}
                // Whoever made it did not wait.
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                Err(error) => return Err(HarnessError::api(format!("cannot report the end of {}", end.pod))(error)),
            }
            if let Some(own) = lock(&self.pods).get_mut(&uid) {
                own.reported = true;
            }
        }
        Ok(())
    }
}

/// Whether its kubelet says that its containers run.
fn is_up(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    status.phase.as_deref() == Some("Running") && ready && pod.metadata.deletion_timestamp.is_none()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
