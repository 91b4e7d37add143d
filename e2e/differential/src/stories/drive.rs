//! Telling stories on a real API server, with stock's controllers or with ours.

mod crowds;
mod nodes;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use futures::StreamExt;
use headroom_e2e::eventually;
use serde_json::{Value, json};

use self::crowds::Torn;
use super::excess::version;
use super::{Rigour, Stage, State, Step, Story, StoryCorpus, Told, pods};
use crate::api::{collection, patch, post, send};

/// Stock is done with a step when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(2500);
/// Longer than any step takes.
const RESTLESS: Duration = Duration::from_secs(300);
/// How often a story is begun for which the machine is too slow.
const ATTEMPTS: usize = 5;
/// How often a pause is begun in which the machine stands still.
const PAUSES: usize = 20;

/// A story that is being told.
struct Teller<'a> {
    stage: &'a Stage,
    namespace: String,
    /// Addresses given so far.
    addresses: u32,
}

impl Teller<'_> {
    fn path(&self, kind: &str, name: &str) -> String {
        match kind {
            "Node" => nodes::path(&self.node(name)),
            kind => format!("{}/{name}", collection("v1", kind, &self.namespace)),
        }
    }

    /// Does what the step says. Returns what was written, unless there was nothing to write it to.
    async fn perform(&mut self, step: &Step) -> anyhow::Result<Option<Value>> {
        let client = &self.stage.client;
        let found = self.stage.store.pods(&self.namespace);
        // Which of two pods is older decides which of them is deleted, and creation times have whole seconds.
        let newest = found.iter().map(pods::created).max().unwrap_or_default();
        while *newest >= *pods::time(now()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pod = match step {
            Step::Label(pick, _)
            | Step::Remove(pick, _)
            | Step::Run(pick, ..)
            | Step::Ready(pick, _)
            | Step::End(pick, _) => match pods::find(pick, &found) {
                Some(name) => name,
                None => return Ok(None),
            },
            _ => String::new(),
        };
        let path = self.path("Pod", &pod);
        let written = match step {
            Step::Create(object) => {
                let mut object = object.clone();
                object["metadata"]["namespace"] = self.namespace.as_str().into();
                post(client, &object).await?.with_context(|| format!("{object}"))?
            }
            Step::Patch(kind, name, change) => patch(client, &self.path(kind, name), change).await?,
            Step::Status(kind, name, status) => {
                patch(client, &format!("{}/status", self.path(kind, name)), &json!({"status": status})).await?
            }
            Step::Delete(kind, name) => {
                let path = self.path(kind, name);
                let options = json!({"propagationPolicy": "Background"});
                send(client, http::Request::delete(path).header("content-type", "application/json"), &options).await??
            }
            Step::Label(_, labels) => patch(client, &path, &json!({"metadata": {"labels": labels}})).await?,
            Step::Remove(_, seconds) => {
                let options = json!({"gracePeriodSeconds": seconds});
                send(client, http::Request::delete(path).header("content-type", "application/json"), &options).await??
            }
            Step::Run(_, node, ready) => {
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": self.node(node)}});
                let request = http::Request::post(format!("{path}/binding")).header("content-type", "application/json");
                send(client, request, &binding).await??;
                self.addresses += 1;
                let status = pods::running(self.addresses, *ready, now());
                patch(client, &format!("{path}/status"), &status).await?
            }
            Step::Ready(_, ready) => {
                let is = found.iter().find(|p| p["metadata"]["name"] == pod.as_str()).cloned().unwrap_or_default();
                patch(client, &format!("{path}/status"), &pods::readiness(&is, *ready)).await?
            }
            Step::End(_, phase) => {
                let is = found.iter().find(|p| p["metadata"]["name"] == pod.as_str()).cloned().unwrap_or_default();
                let mut status = pods::readiness(&is, false);
                status["status"]["phase"] = phase.as_str().into();
                patch(client, &format!("{path}/status"), &status).await?
            }
            Step::Wait(seconds) => {
                tokio::time::sleep(Duration::from_secs(u64::from(*seconds))).await;
                Value::Null
            }
            Step::Enter(..)
            | Step::Report(..)
            | Step::Silence(_)
            | Step::Taint(..)
            | Step::Untaint(..)
            | Step::Cordon(..)
            | Step::Leave(_) => self.to_node(step).await?,
            Step::Machines(machines) => self.install(machines).await?,
            Step::Crowd { .. } => return self.change_crowd(step, &found).await,
            Step::Mark { .. } | Step::Unready(_) | Step::Thin(_) | Step::Together(_) => {
                return self.change_at_once(step, &found).await;
            }
        };
        Ok(Some(written))
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Lets stock tell a story. Steps about pods that are not there are left out.
///
/// # Errors
/// The API server failed, or refused what a step does.
pub async fn record(stage: &Stage, story: &Story, run: usize) -> anyhow::Result<Told> {
    let namespace = format!("s{}-{run}", story.seed);
    let rigour = Rigour::of(story.seed);
    stage.namespace(&namespace).await?;
    let mut teller = Teller { stage, namespace: namespace.clone(), addresses: 0 };
    let mut before = State::default();
    let mut steps = Vec::new();
    for step in &story.steps {
        if teller.perform(step).await.with_context(|| format!("{namespace}: {step:?}"))?.is_none() {
            continue;
        }
        let began = Instant::now();
        while stage.store.quiet_for(&namespace) < QUIET
            || began.elapsed() < QUIET.max(step.takes())
            || !stage.is_settled(&namespace)
        {
            anyhow::ensure!(began.elapsed() < RESTLESS, "{namespace}: {step:?} does not come to an end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut after = stage.state(&namespace);
        after.reduce(rigour);
        steps.push((step.clone(), after.since(&before)));
        before = after;
    }
    stage.retire(&namespace).await?;
    Ok(Told { seed: story.seed, steps })
}

/// Lets a time pass. One in which the machine stood still is none: nobody has worked in it.
async fn let_be(pause: Duration) {
    for _ in 0..PAUSES {
        let began = Instant::now();
        tokio::time::sleep(pause).await;
        if began.elapsed() < pause.saturating_mul(2) {
            return;
        }
    }
}

/// Tells a story again, in a namespace that is made for it. Answers what is different from the first time, if anything.
///
/// # Errors
/// The API server failed, or the machine is too slow for the story.
pub async fn replay(
    stage: &Stage,
    told: &Told,
    namespace: &str,
    rigour: Rigour,
    patience: Duration,
) -> anyhow::Result<Option<String>> {
    let different = tell(stage, told, namespace, rigour, patience).await?;
    stage.retire(namespace).await?;
    Ok(different)
}

/// The same, and leaves the nodes of the story.
async fn tell(
    stage: &Stage,
    told: &Told,
    namespace: &str,
    rigour: Rigour,
    patience: Duration,
) -> anyhow::Result<Option<String>> {
    stage.namespace(namespace).await?;
    let mut teller = Teller { stage, namespace: namespace.to_owned(), addresses: 0 };
    let mut expected = State::default();
    // Stories about nodes were recorded without events at first.
    let heard = rigour != Rigour::Said || told.steps.iter().any(|(_, change)| change.has("events"));
    for (number, (step, change)) in told.steps.iter().enumerate() {
        let what = || format!("story {} in {namespace}, step {} ({step:?})", told.seed, number + 1);
        let before = stage.scene().pause_before(change.follows());
        if !before.is_zero() {
            let_be(before).await;
        }
        let Some(written) = teller.perform(step).await.with_context(what)? else {
            return Ok(Some(format!("{}: the pod is not there", what())));
        };
        let pause = stage.scene().pause(change.follows());
        if !pause.is_zero() {
            let_be(pause).await;
        }
        let written = resource(&written).map(|resource| (resource, version(&written)));
        expected.apply(change);
        if rigour == Rigour::Objects {
            // It may have been told with more rigour.
            expected.reduce(rigour);
        }
        let expected = &expected;
        let same = eventually(patience, "the state after a step", || async {
            let mut state = stage.state(namespace);
            state.reduce(rigour);
            if !heard {
                state.forget("events");
            }
            match state.difference(expected) {
                Some(difference) => Err(difference),
                // The same sizes may be those of before.
                None if !stage.is_settled(namespace) => Err("what leads to pods does not lead to these".to_owned()),
                // What comes next must not overtake this step on its way to the controllers.
                None if !stage.is_told(written) => Err("the controllers have not been told of it".to_owned()),
                None => Ok(()),
            }
        });
        if let Err(timeout) = same.await {
            return Ok(Some(format!("{}: {}", what(), timeout.last)));
        }
    }
    Ok(None)
}

/// Tells all stories of a corpus again, so many at a time as its scene bears. One with a step that was [`Torn`] is begun anew,
/// with nothing beside it, and so is one that is different while nodes may have been given up which live
/// ([`Stage::was_too_slow_since`]). Answers what is different from the first time.
///
/// # Errors
/// The API server failed, the controllers have ended, or the machine is too slow for a story.
pub async fn retell(stage: &Stage, corpus: &StoryCorpus) -> anyhow::Result<Vec<String>> {
    let patience = stage.scene().patience();
    let mut different = Vec::new();
    let mut untold: Vec<&Told> = corpus.stories.iter().collect();
    for attempt in 1..=ATTEMPTS {
        let at_once = if attempt == 1 { stage.scene().at_once() } else { stage.scene().again() };
        let told = futures::stream::iter(std::mem::take(&mut untold)).map(async |story| {
            let (namespace, began) = (format!("s{}-{attempt}", story.seed), Instant::now());
            let outcome = replay(stage, story, &namespace, Rigour::of(story.seed), patience).await;
            (story, stage.was_too_slow_since(began), outcome)
        });
        let outcomes: Vec<_> = told.buffer_unordered(at_once).collect().await;
        stage.check()?;
        for (story, too_slow, outcome) in outcomes {
            match outcome {
                Err(error) if error.is::<Torn>() && attempt < ATTEMPTS => untold.push(story),
                Ok(Some(_)) if too_slow && attempt < ATTEMPTS => untold.push(story),
                outcome => different.extend(outcome?),
            }
        }
    }
    Ok(different)
}

/// The resource of an object that controllers watch.
fn resource(object: &Value) -> Option<&'static str> {
    match object["kind"].as_str()? {
        "Pod" => Some("pods"),
        "ReplicationController" => Some("replicationcontrollers"),
        "Service" => Some("services"),
        "Endpoints" => Some("endpoints"),
        "Node" => Some("nodes"),
        _ => None,
    }
}
