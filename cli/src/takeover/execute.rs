//! Carries a plan out: what this program may do it does, what others have to do it prints and waits for. When a step
//! fails, or somebody interrupts, the canaries go, what was done is undone, and the rest of the way back is printed.

use std::{pin::pin, time::Duration};

use anyhow::bail;
use futures::future::{Either, select};
use headroom_runtime::process::{GoDuration, stop_requested};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    canary::{Canary, Kind, Removal},
    plan::{Check, Plan, STAYS},
};
use crate::{
    distribution::{
        change::{Api, Change},
        facts::{LeaseFacts, SCHEDULER_LEASE, Who, whose},
        host::{Here, HostWork},
        read,
        requests::{MERGE, Requests, is, why},
        text,
    },
    doctor::control_loops,
};

/// Between two looks.
const POLL: Duration = Duration::from_millis(500);
/// A look that takes longer is tried again: the API server may be one that is being restarted.
const LOOK: Duration = Duration::from_secs(20);
/// How long the stock manager may take to answer the control, its lease and its start included.
const CONTROL: Duration = Duration::from_secs(90);
/// A lease that is not renewed for so long has been given up.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// How often something is tried that must not be left undone, and the pause between.
const TRIES: u32 = 15;
const PAUSE: Duration = Duration::from_secs(2);
/// How long an event may take to say who bound a pod.
const EVENT: Duration = Duration::from_secs(10);

/// How a plan is carried out.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where canaries live.
    pub(crate) namespace: String,
    /// Part of their names.
    pub(crate) run: String,
    /// How long is waited for anything.
    pub(crate) timeout: Duration,
    /// How long a silence has to last; by what is asked if not given.
    pub(crate) quiet: Option<Duration>,
    /// This machine, if its files may be changed.
    pub(crate) here: Option<Here>,
}

/// What was done, for the way back.
#[derive(Debug)]
enum Done {
    Made(Api),
    Here(HostWork),
    /// Somebody was asked to do it.
    Asked(Change),
}

struct Executor<'a> {
    client: Client,
    requests: Requests,
    settings: &'a Settings,
    canaries: Vec<Canary>,
    attempt: u32,
    done: Vec<Done>,
}

/// Carries the plan out.
///
/// # Errors
/// The step that failed, and why; what was done is undone then, and the rest printed.
pub(crate) async fn run(client: &Client, plan: &Plan, settings: &Settings) -> anyhow::Result<()> {
    let requests = Requests::new(client.clone());
    let mut executor =
        Executor { client: client.clone(), requests, settings, canaries: Vec::new(), attempt: 0, done: Vec::new() };
    let result = {
        let work = pin!(executor.steps(plan));
        let signal = pin!(stop_requested());
        match select(work, signal).await {
            Either::Left((result, _)) => result,
            Either::Right((signal, _)) => Err(anyhow::anyhow!("stopped by {}", signal.unwrap_or("a signal"))),
        }
    };
    executor.clean().await;
    if let Err(error) = &result {
        eprintln!("failed: {error:#}");
        executor.undo().await;
    }
    result
}

impl Executor<'_> {
    async fn steps(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let count = plan.steps.len();
        for (i, step) in plan.steps.iter().enumerate() {
            println!("\n[{}/{count}] {}", i + 1, step.title);
            for change in &step.changes {
                self.change(change).await?;
            }
            for check in &step.checks {
                self.check(check).await?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Api(api) => {
                self.done.push(Done::Made(api.clone()));
                match send(&self.requests, api).await {
                    Ok(true) => {}
                    // It was there before: not ours to take away.
                    Ok(false) => drop(self.done.pop()),
                    Err(error) => bail!("{}: {}", api.lines().join(" "), why(&error)),
                }
                for line in api.lines() {
                    println!("  done: {line}");
                }
            }
            Change::Hosts(work) => self.on_hosts(work)?,
            Change::Operator { .. } => self.ask(change.clone()),
        }
        Ok(())
    }

    fn on_hosts(&mut self, work: &HostWork) -> anyhow::Result<()> {
        let mut rest = work.clone();
        if let Some(here) = self.settings.here.as_ref().filter(|here| work.on.contains(&here.node)) {
            let local = HostWork { on: vec![here.node.clone()], ..work.clone() };
            local.apply(&here.root)?;
            println!("  done on {}:", here.node);
            for line in local.lines().iter().skip(1) {
                println!("    {line}");
            }
            self.done.push(Done::Here(local));
            rest.on.retain(|node| *node != here.node);
            if rest.on.is_empty() {
                return Ok(());
            }
        }
        self.ask(Change::Hosts(rest));
        Ok(())
    }

    /// Prints what somebody has to do. Whether it was done is seen by the checks.
    fn ask(&mut self, change: Change) {
        println!("  for you to do now:");
        for line in change.lines() {
            println!("    {line}");
        }
        self.done.push(Done::Asked(change));
    }

    async fn check(&mut self, check: &Check) -> anyhow::Result<()> {
        match check {
            Check::RolledOut { path, name } => {
                self.until(&format!("{name} to be rolled out"), async || rolled_out(&self.requests, path).await)
                    .await?;
                println!("  seen: {name} is rolled out");
            }
            Check::Released(lease) => self.released(lease).await?,
            Check::Leads(who) => {
                let holder = self.until("the lease kube-scheduler", async || self.leader(*who).await).await?;
                println!("  seen: {holder} holds the lease kube-scheduler");
            }
            Check::Stays(who) => {
                let end = Instant::now() + self.settings.quiet.unwrap_or(Duration::from_secs(STAYS));
                while Instant::now() < end {
                    match self.lease(SCHEDULER_LEASE).await {
                        Ok(Some(lease)) if !lease.holder.is_empty() && whose(&lease.renewer) != Some(*who) => {
                            bail!("the lease kube-scheduler went to {} ({})", lease.renewer, lease.holder);
                        }
                        // An API server that is being restarted says nothing.
                        _ => sleep(POLL).await,
                    }
                }
                let holder = self.until("the lease kube-scheduler", async || self.leader(*who).await).await?;
                println!("  seen: {holder} keeps the lease kube-scheduler");
            }
            Check::Quiet { canaries, loops } => self.quiet(canaries, loops).await?,
            Check::Answered { canaries, by } => self.answered(canaries, *by).await?,
        }
        Ok(())
    }

    /// Looks until there is something to see.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> anyhow::Result<T> {
        let start = Instant::now();
        let mut told = String::new();
        loop {
            let not_yet = match timeout(LOOK, look()).await {
                Ok(Ok(seen)) => return Ok(seen),
                Ok(Err(not_yet)) => not_yet,
                Err(_) => "the API server does not answer".to_owned(),
            };
            if start.elapsed() >= self.settings.timeout {
                bail!("waited {} for {what}: {not_yet}", GoDuration(self.settings.timeout));
            }
            if told != not_yet {
                eprintln!("  waiting for {what}: {not_yet}");
                told = not_yet;
            }
            sleep(POLL).await;
        }
    }

    async fn lease(&self, name: &str) -> Result<Option<LeaseFacts>, String> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
        let lease = self.requests.get(&path).await.map_err(|error| why(&error))?;
        Ok(lease.as_ref().map(LeaseFacts::from_object))
    }

    /// The holder of kube-scheduler, if it is one of theirs.
    async fn leader(&self, who: Who) -> Result<String, String> {
        let lease = self.lease(SCHEDULER_LEASE).await?.unwrap_or_default();
        if lease.holder.is_empty() {
            return Err("nobody holds the lease kube-scheduler".to_owned());
        }
        if whose(&lease.renewer) != Some(who) {
            return Err(format!("{} ({}) holds the lease kube-scheduler", lease.renewer, lease.holder));
        }
        Ok(format!("{} ({})", lease.renewer, lease.holder))
    }

    async fn released(&self, name: &str) -> anyhow::Result<()> {
        let mut last = (None, Instant::now());
        let look = async || {
            let lease = self.lease(name).await?.unwrap_or_default();
            if lease.renewed != last.0 {
                last = (lease.renewed, Instant::now());
            }
            let given_up = lease.holder.is_empty() || last.1.elapsed() >= GIVEN_UP;
            if given_up { Ok(()) } else { Err(format!("{} renews it", lease.holder)) }
        };
        self.until(&format!("the lease {name} to be given up"), look).await?;
        println!("  seen: nobody holds the lease {name}");
        Ok(())
    }

    /// Makes a canary. It is known before it exists, so that it is removed whatever happens.
    async fn release(&mut self, kind: Kind) -> Result<(), String> {
        let canary = Canary::new(kind, &self.settings.namespace, &self.settings.run, self.attempt);
        self.canaries.push(canary.clone());
        for (collection, object) in canary.objects() {
            match self.requests.create(&collection, &object).await {
                Ok(_) => {}
                Err(error) if is(&error, 409) => {}
                Err(error) => return Err(format!("cannot make {}: {}", canary.full_name(), why(&error))),
            }
        }
        if let Some(path) = canary.deleted_at_once() {
            self.requests.delete(&path).await.map_err(|error| why(&error))?;
        }
        Ok(())
    }

    async fn quiet(&mut self, kinds: &[Kind], loops: &[String]) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut told = String::new();
        loop {
            let not_yet = match self.silence(kinds, loops).await {
                Ok(()) => break,
                Err(not_yet) => not_yet,
            };
            self.clean().await;
            if start.elapsed() >= self.settings.timeout {
                bail!("there was no silence within {}: {not_yet}", GoDuration(self.settings.timeout));
            }
            if told != not_yet {
                eprintln!("  not silent yet: {not_yet}");
                told = not_yet;
            }
            sleep(PAUSE).await;
        }
        println!("  seen: silence");
        Ok(())
    }

    /// One attempt: new canaries that nobody answers for long enough, while the control is answered.
    async fn silence(&mut self, kinds: &[Kind], loops: &[String]) -> Result<(), String> {
        if !loops.is_empty() {
            self.left_out(loops).await?;
        }
        let Some(longest) = kinds.iter().map(|kind| kind.quiet()).max() else { return Ok(()) };
        let window = self.settings.quiet.unwrap_or(Duration::from_secs(longest));
        self.attempt += 1;
        for kind in kinds {
            self.release(*kind).await?;
        }
        let made = Instant::now();
        let controlled = kinds.contains(&Kind::Control);
        let mut since = (!controlled).then_some(made);
        loop {
            for canary in &self.canaries {
                let found = self.requests.get(&canary.question()).await.map_err(|error| why(&error))?;
                let answered = canary.answered(found.as_ref(), true);
                match (canary.kind, answered) {
                    (Kind::Control, true) => since = since.or(Some(Instant::now())),
                    (_, false) => {}
                    (_, true) => return Err(format!("somebody answers {}", canary.full_name())),
                }
            }
            match since {
                Some(since) if since.elapsed() >= window => return Ok(()),
                None if made.elapsed() >= CONTROL => {
                    return Err("the stock manager does not work at all: not even a ReplicaSet gets its pod".to_owned());
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// Whether no stock manager that is seen runs one of these loops.
    async fn left_out(&self, loops: &[String]) -> Result<(), String> {
        let (facts, _) = read::facts(&self.client).await.map_err(|error| format!("{error:#}"))?;
        for manager in control_loops::stock(&facts.look()) {
            let runs = |name: &str, alias: &str| {
                loops.iter().any(|known| known == name) && control_loops::runs(&manager.list, name, alias)
            };
            if let Some((name, _)) = control_loops::LOOPS.into_iter().find(|(name, alias)| runs(name, alias)) {
                return Err(format!("{} still has {name}", manager.name));
            }
        }
        Ok(())
    }

    async fn answered(&mut self, kinds: &[Kind], by: Option<Who>) -> anyhow::Result<()> {
        let there = |kind: &Kind| self.canaries.iter().any(|canary| canary.kind == *kind);
        if !kinds.iter().all(there) {
            self.clean().await;
            self.attempt += 1;
            for kind in kinds {
                self.release(*kind).await.map_err(anyhow::Error::msg)?;
            }
        }
        let all = async || {
            for canary in self.canaries.iter().filter(|canary| kinds.contains(&canary.kind)) {
                let found = self.requests.get(&canary.question()).await.map_err(|error| why(&error))?;
                if !canary.answered(found.as_ref(), false) {
                    return Err(canary.says(found.as_ref()));
                }
            }
            Ok(())
        };
        self.until("the canary", all).await?;
        let pod = self.canaries.iter().find(|canary| canary.kind == Kind::Pod).cloned();
        if let (Some(pod), Some(who)) = (pod, by) {
            self.bound_by(&pod, who).await?;
        }
        println!("  seen: the canary was answered");
        self.clean().await;
        Ok(())
    }

    /// The event of a binding says by whom it was.
    async fn bound_by(&self, pod: &Canary, who: Who) -> anyhow::Result<()> {
        let path = format!(
            "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.name%3D{}%2Creason%3DScheduled",
            self.settings.namespace,
            pod.name()
        );
        let end = Instant::now() + EVENT;
        while Instant::now() < end {
            let events = self.requests.metadata(&path, 10).await.unwrap_or_default();
            let fields =
                events.iter().filter_map(|event| event.pointer("/metadata/managedFields")?.as_array()).flatten();
            let managers: Vec<&str> = fields.map(|entry| text(entry, "/manager")).collect();
            if let Some(other) = managers.iter().find(|manager| whose(manager) != Some(who)) {
                bail!("{} was bound by {other}: another scheduler is at work", pod.full_name());
            }
            if let Some(manager) = managers.first() {
                println!("  seen: {manager} bound {}", pod.full_name());
                return Ok(());
            }
            sleep(POLL).await;
        }
        eprintln!("  no event says who bound {}", pod.full_name());
        Ok(())
    }

    /// Removes all canaries, and what they left.
    async fn clean(&mut self) {
        for canary in std::mem::take(&mut self.canaries) {
            for removal in canary.removals() {
                if let Err(error) = insist(async || remove(&self.requests, &removal).await).await {
                    eprintln!("  not removed: {}: {error}", canary.full_name());
                }
            }
        }
    }

    /// Undoes what was done, the last first, and prints the rest.
    async fn undo(&mut self) {
        if self.done.is_empty() {
            return;
        }
        println!("\nThe way back");
        while let Some(done) = self.done.pop() {
            match done {
                Done::Made(api) => self.unmake(&api.reversed()).await,
                Done::Here(work) => {
                    let back = work.reversed();
                    let root = self.settings.here.as_ref().map(|here| here.root.clone()).unwrap_or_default();
                    match back.apply(&root) {
                        Ok(()) => println!("  undone on {}", back.on.join(", ")),
                        Err(error) => {
                            eprintln!("  not undone: {error:#}");
                            by_hand(&Change::Hosts(back));
                        }
                    }
                }
                Done::Asked(change) => by_hand(&change.reversed()),
            }
        }
    }

    async fn unmake(&self, back: &Api) {
        let sent = insist(async || send(&self.requests, back).await.map(|_| ()).map_err(|error| why(&error))).await;
        let lines = back.lines().join(" ");
        match sent {
            Ok(()) => println!("  undone: {lines}"),
            Err(error) => eprintln!("  not undone: {lines}: {error}"),
        }
        // Whoever follows must not meet what is still on its way out.
        if let Api::Patch { path, .. } = back
            && path.contains("/deployments/")
            && let Err(not_yet) = insist(async || rolled_out(&self.requests, path).await).await
        {
            eprintln!("  not rolled out yet: {not_yet}");
        }
    }
}

fn by_hand(back: &Change) {
    println!("  for you to undo, as far as it was done:");
    for line in back.lines() {
        println!("    {line}");
    }
}

/// Tries a few times.
async fn insist(mut what: impl AsyncFnMut() -> Result<(), String>) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match timeout(LOOK, what()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => last = why,
            Err(_) => last = "the API server does not answer".to_owned(),
        }
        sleep(PAUSE).await;
    }
    Err(last)
}

/// Makes a change; false when an object to be made was there.
async fn send(requests: &Requests, api: &Api) -> Result<bool, kube::Error> {
    match api {
        Api::Create { collection, object } => match requests.create(collection, object).await {
            Ok(_) => Ok(true),
            Err(error) if is(&error, 409) => Ok(false),
            Err(error) => Err(error),
        },
        Api::Delete { collection, object } => {
            let path = format!("{collection}/{}", text(object, "/metadata/name"));
            requests.delete(&path).await.map(|()| true)
        }
        Api::Patch { path, kind, patch, .. } => requests.patch(path, kind, patch).await.map(|_| true),
    }
}

async fn remove(requests: &Requests, removal: &Removal) -> Result<(), String> {
    let said = |error: kube::Error| why(&error);
    match removal {
        Removal::One(path) => {
            let Some(found) = requests.get(path).await.map_err(said)? else { return Ok(()) };
            if found.pointer("/metadata/finalizers").is_some() {
                let none = json!({"metadata": {"finalizers": Value::Null}});
                requests.patch(path, MERGE, &none).await.map_err(said)?;
            }
            requests.delete(path).await.map_err(said)
        }
        Removal::Each(list) => {
            let collection = list.split('?').next().unwrap_or_default();
            for object in requests.list(list).await.map_err(said)? {
                let path = format!("{collection}/{}", text(&object, "/metadata/name"));
                requests.delete(&path).await.map_err(said)?;
            }
            Ok(())
        }
    }
}

/// Whether all pods of a Deployment are those of its template, and available.
async fn rolled_out(requests: &Requests, path: &str) -> Result<(), String> {
    let found = requests.get(path).await.map_err(|error| why(&error))?;
    let deployment = found.ok_or_else(|| "it is gone".to_owned())?;
    let number = |path: &str| deployment.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Err("its controller has not seen the change".to_owned());
    }
    let (all, updated) = (number("/status/replicas"), number("/status/updatedReplicas"));
    let available = number("/status/availableReplicas");
    if all == wanted && updated == wanted && available >= wanted {
        return Ok(());
    }
    Err(format!("{updated} of {wanted} updated, {available} available, {all} there"))
}
