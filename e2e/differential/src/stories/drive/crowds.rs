//! What happens to pods by the hundred, so fast that controllers which gather changes take it as one.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::{Teller, now};
use crate::api::{patch, post, send};
use crate::stories::excess::version;
use crate::stories::scene::{BATCH, REST};
use crate::stories::{Few, Step, pods};

/// A step whose writes took so long, until a watch told of the last one, that controllers may have seen several changes in it.
/// What its story leads to then says nothing about them.
#[derive(Debug, thiserror::Error)]
#[error(
    "its writes took {0:.1?}, too long for one change of those that are gathered for {batch:?}: the machine is too slow",
    batch = BATCH
)]
pub(super) struct Torn(Duration);

/// Requests at a time.
const AT_ONCE: usize = 16;

/// The pod of a crowd with this number.
fn member(stem: &str, number: u32) -> String {
    format!("{stem}{number:04}")
}

/// Does all of it. Returns the answer with the newest version, if there was anything to do.
async fn all<F>(work: Vec<F>) -> anyhow::Result<Option<Value>>
where
    F: Future<Output = anyhow::Result<Value>>,
{
    let answers: Vec<Value> = futures::stream::iter(work).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().max_by_key(version))
}

impl Teller<'_> {
    /// [`Self::change_crowd`] as one change for controllers. It begins when none of their timers runs, or one would ring in
    /// the middle and make two of it; how large the slices become depends on that.
    pub(super) async fn change_at_once(&mut self, step: &Step, found: &[Value]) -> anyhow::Result<Option<Value>> {
        while self.stage.store.quiet_for(&self.namespace) < REST {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let began = Instant::now();
        let written = self.change_crowd(step, found).await?;
        // Where watches tell of it late, the controllers hear of it late as well, and their timers do not wait.
        let newest = written.as_ref().map_or(0, version);
        while self.stage.store.version("pods") < newest && began.elapsed() < BATCH {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed();
        if took >= BATCH / 2 {
            return Err(Torn(took).into());
        }
        Ok(written)
    }

    /// `found` are the pods that there are.
    pub(super) async fn change_crowd(&mut self, step: &Step, found: &[Value]) -> anyhow::Result<Option<Value>> {
        match step {
            Step::Crowd { stem, count, labels, port } => {
                let before = self.addresses;
                self.addresses += count;
                let make = |number| self.make(member(stem, number), before + number + 1, labels, *port);
                all((0..*count).map(make).collect()).await
            }
            Step::Mark { stem, from, count, labels } => {
                let change = json!({"metadata": {"labels": labels}});
                let names = (*from..from + count).map(|number| member(stem, number));
                all(names.map(|name| self.change(name, "", change.clone())).collect()).await
            }
            Step::Unready(few) => {
                let Some(names) = self.ready(few) else { return Ok(None) };
                let unready = |name: String| {
                    let pod = found.iter().find(|pod| pod["metadata"]["name"] == name.as_str());
                    self.change(name, "/status", pods::readiness(pod.unwrap_or(&Value::Null), false))
                };
                all(names.into_iter().map(unready).collect()).await
            }
            Step::Thin(few) => {
                let Some(names) = self.ready(few) else { return Ok(None) };
                all(names.into_iter().map(|name| self.end(name)).collect()).await
            }
            Step::Together(steps) => {
                let mut last = None;
                for step in steps {
                    match Box::pin(self.change_crowd(step, found)).await? {
                        Some(answer) => last = Some(answer),
                        None => return Ok(None),
                    }
                }
                Ok(last)
            }
            other => anyhow::bail!("{other:?} is not about a crowd"),
        }
    }

    /// A pod that runs, is ready and has the address with this number.
    async fn make(&self, name: String, address: u32, labels: &Value, port: u16) -> anyhow::Result<Value> {
        let client = &self.stage.client;
        let container = json!({"name": "main", "image": "registry.example/app:1",
            "ports": [{"name": "http", "containerPort": port}]});
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": {"nodeName": self.node(&format!("n{}", address % 3 + 1)), "containers": [container]}});
        post(client, &object).await??;
        let status = pods::running(address, true, now());
        patch(client, &format!("{}/status", self.path("Pod", &name)), &status).await
    }

    async fn change(&self, name: String, part: &str, change: Value) -> anyhow::Result<Value> {
        patch(&self.stage.client, &format!("{}{part}", self.path("Pod", &name)), &change).await
    }

    async fn end(&self, name: String) -> anyhow::Result<Value> {
        let request = http::Request::delete(self.path("Pod", &name)).header("content-type", "application/json");
        Ok(send(&self.stage.client, request, &json!({"gracePeriodSeconds": 0})).await??)
    }

    /// Names of ready pods of a slice; none when it might not have so many. Which slice has the pods that are not ready is
    /// chance, and must not decide whether there is a step.
    fn ready(&self, few: &Few) -> Option<Vec<String>> {
        let mut slices = self.stage.store.list(&self.namespace, "endpointslices");
        slices.retain(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == few.service.as_str());
        let endpoints = |slice: &Value| slice["endpoints"].as_array().cloned().unwrap_or_default();
        let is_ready = |endpoint: &Value| endpoint["conditions"]["ready"] == true;
        // Two of one size are alike only if they have the same ports.
        slices.sort_by_cached_key(|slice| (Reverse(endpoints(slice).len()), slice["ports"].to_string()));
        let unready = slices.iter().flat_map(endpoints).filter(|endpoint| !is_ready(endpoint)).count();
        let mut chosen = endpoints(slices.get(few.rank)?);
        if chosen.len() < few.count + unready {
            return None;
        }
        chosen.retain(is_ready);
        let names = chosen.iter().filter_map(|endpoint| endpoint["targetRef"]["name"].as_str());
        Some(names.take(few.count).map(str::to_owned).collect())
    }
}
