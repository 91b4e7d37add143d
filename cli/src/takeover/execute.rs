//! Carries a plan out: what this program may do it does, what others have to do it prints and waits for. When a step
//! fails, or somebody interrupts, the canaries go, what was done is undone, and the rest of the way back is printed.

use std::{pin::pin, time::Duration};

use anyhow::bail;
use futures::future::{Either, select};
use headroom_runtime::process::stop_requested;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    canary::{Canary, Removal},
    checks::rolled_out,
    plan::Plan,
};
use crate::distribution::{
    change::{Api, Change},
    host::{Here, HostWork},
    record,
    requests::{MERGE, Requests, is, why},
    text,
};

/// A look that takes longer is tried again: the API server may be one that is being restarted.
pub(super) const LOOK: Duration = Duration::from_secs(20);
/// How often something is tried that must not be left undone, and the pause between.
const TRIES: u32 = 15;
pub(super) const PAUSE: Duration = Duration::from_secs(2);

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

impl Done {
    /// Whether no component that was changed before it may be changed back without somebody who looks: the other side may
    /// be at work still, and two of a kind are worse than none. Undoing a takeover ends ours, undoing a handback
    /// (`gives_back`) starts ours again, beside a stock component that somebody was asked to stop just now. `undone` says
    /// whether this was undone.
    const fn blocks(&self, undone: bool, gives_back: bool) -> bool {
        match self {
            Self::Made(_) | Self::Here(_) => !undone,
            Self::Asked(_) => gives_back,
        }
    }

    /// Whether undoing it can start or end a component. The record and rights cannot.
    fn moves(&self) -> bool {
        match self {
            Self::Made(Api::Create { .. } | Api::Delete { .. }) => false,
            Self::Made(Api::Patch { path, .. }) => path != record::PATH,
            Self::Here(_) | Self::Asked(_) => true,
        }
    }

    /// What undoes it.
    fn back(&self) -> Change {
        match self {
            Self::Made(api) => Change::Api(api.reversed()),
            Self::Here(work) => Change::Hosts(work.reversed()),
            Self::Asked(change) => change.reversed(),
        }
    }
}

/// A plan that is being carried out; how its checks are made is in `checks`.
pub(super) struct Executor<'a> {
    pub(super) client: Client,
    pub(super) requests: Requests,
    pub(super) settings: &'a Settings,
    /// Those that exist, or may.
    pub(super) canaries: Vec<Canary>,
    /// How often canaries were made.
    pub(super) attempt: u32,
    done: Vec<Done>,
    /// See [`Plan::gives_back`].
    gives_back: bool,
}

/// Carries the plan out.
///
/// # Errors
/// The step that failed, and why; what was done is undone then, and the rest printed.
pub(crate) async fn run(client: &Client, plan: &Plan, settings: &Settings) -> anyhow::Result<()> {
    let requests = Requests::new(client.clone());
    let mut executor = Executor {
        client: client.clone(),
        requests,
        settings,
        canaries: Vec::new(),
        attempt: 0,
        done: Vec::new(),
        gives_back: plan.gives_back,
    };
    let result = {
        let work = pin!(executor.steps(plan));
        let signal = pin!(stop_requested());
        match select(work, signal).await {
            Either::Left((result, _)) => result,
            Either::Right((signal, _)) => Err(anyhow::anyhow!("stopped by {}", signal.unwrap_or("a signal"))),
        }
    };
    if result.is_err() {
        // A request that was given up may still arrive: what it makes or changes must not come after its removal.
        sleep(PAUSE).await;
    }
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
                let done = match send(&self.requests, api).await {
                    Ok(true) => "done",
                    Ok(false) => {
                        // It was there before: not ours to take away.
                        self.done.pop();
                        if let Some(line) = record::in_the_way(api) {
                            bail!(line);
                        }
                        "there already"
                    }
                    Err(error) => bail!("{}: {}", api.lines().join(" "), why(&error)),
                };
                for line in api.lines() {
                    println!("  {done}: {line}");
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

    /// Removes all canaries, and what they left.
    pub(super) async fn clean(&mut self) {
        // Each is known until it is gone: whoever interrupts this finds the rest.
        while let Some(canary) = self.canaries.last().cloned() {
            for removal in canary.removals() {
                if let Err(error) = insist(async || remove(&self.requests, &removal).await).await {
                    eprintln!("  not removed: {}: {error}", canary.full_name());
                }
            }
            self.canaries.pop();
        }
    }

    /// Undoes what was done, the last first, and prints the rest.
    async fn undo(&mut self) {
        if self.done.is_empty() {
            return;
        }
        println!("\nThe way back");
        let mut blocked = false;
        while let Some(done) = self.done.pop() {
            if blocked && done.moves() {
                by_hand(&done.back(), "for you to undo when that is done, and not before");
                continue;
            }
            let undone = match &done {
                Done::Made(api) => self.unmake(&api.reversed()).await,
                Done::Here(work) => {
                    let back = work.reversed();
                    let root = self.settings.here.as_ref().map(|here| here.root.clone()).unwrap_or_default();
                    let applied = back.apply(&root);
                    match &applied {
                        Ok(()) => println!("  undone on {}", back.on.join(", ")),
                        Err(error) => {
                            eprintln!("  not undone: {error:#}");
                            by_hand(&done.back(), "for you to undo, as far as it was done");
                        }
                    }
                    applied.is_ok()
                }
                Done::Asked(_) => {
                    by_hand(&done.back(), "for you to undo, as far as it was done");
                    false
                }
            };
            blocked |= done.moves() && done.blocks(undone, self.gives_back);
        }
    }

    /// Undoes a change of an object. False when it is not, or when what it ends may still run.
    async fn unmake(&self, back: &Api) -> bool {
        let sent = insist(async || send(&self.requests, back).await.map(|_| ()).map_err(|error| why(&error))).await;
        let lines = back.lines().join(" ");
        match sent {
            Ok(()) => println!("  undone: {lines}"),
            Err(error) => {
                eprintln!("  not undone: {lines}: {error}");
                return false;
            }
        }
        // Whoever follows must not meet what is still on its way out.
        if let Api::Patch { path, .. } = back
            && path.contains("/deployments/")
            && let Err(not_yet) = insist(async || rolled_out(&self.requests, path).await).await
        {
            eprintln!("  not rolled out yet: {not_yet}");
            return false;
        }
        true
    }
}

fn by_hand(back: &Change, how: &str) {
    println!("  {how}:");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_a_kind_are_never_the_way_back() {
        let api = Api::Create { collection: "/c".to_owned(), object: json!({"kind": "ConfigMap"}) };
        let work = HostWork { on: Vec::new(), edits: Vec::new(), command: Vec::new() };
        let asked = Change::Operator { does: vec!["stop".to_owned()], undoes: vec!["start".to_owned()] };
        for (done, undone, gives_back, blocks) in [
            (Done::Made(api.clone()), true, true, false),
            (Done::Made(api.clone()), false, false, true),
            (Done::Here(work.clone()), true, true, false),
            (Done::Here(work), false, true, true),
            // Ours ends whatever becomes of stock.
            (Done::Asked(asked.clone()), false, false, false),
            // Ours would start before anybody can have stopped stock.
            (Done::Asked(asked.clone()), false, true, true),
        ] {
            assert_eq!(done.blocks(undone, gives_back), blocks, "{done:?}");
        }
        let patch = |path: &str| {
            let (path, patch) = (path.to_owned(), Value::Null);
            Api::Patch { path, kind: MERGE, undo: patch.clone(), patch, says: Vec::new(), back: Vec::new() }
        };
        assert!(!Done::Made(api.clone()).moves() && Done::Asked(asked.clone()).moves(), "a record starts nothing");
        assert!(!Done::Made(patch(record::PATH)).moves() && Done::Made(patch("/apis/apps/v1/x")).moves());
        assert_eq!(Done::Asked(asked).back().lines(), ["start"]);
        assert_eq!(Done::Made(api.clone()).back(), Change::Api(api.reversed()));
    }
}
