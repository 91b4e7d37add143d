//! Carries a plan out: what this program may do it does, what others have to do it prints and waits for. When a step
//! fails, or somebody interrupts, the canaries go, what was done is undone, and the rest of the way back is printed. Whoever
//! interrupts that as well gets all of what is left as text, at once.

mod changes;

use std::{pin::pin, time::Duration};

use anyhow::bail;
use futures::future::{Either, select};
use headroom_runtime::process::stop_requested;
use kube::Client;
use tokio::time::sleep;

pub(crate) use self::changes::remove;
use self::changes::{CHANGED, Sent, insist, send, unsend};
use super::{
    canary::Canary,
    checks::rolled_out,
    plan::Plan,
    stop::{ONCE_MORE, insisted, unless},
};
use crate::{
    distribution::{
        change::{Api, Change},
        host::{Here, HostWork},
        record,
        requests::Requests,
    },
    reach,
};

/// A look that takes longer is tried again: the API server may be one that is being restarted.
pub(crate) const LOOK: Duration = Duration::from_secs(20);
/// Between tries of what must not be left undone.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);
/// How often something is tried that must not be left undone.
pub(crate) const TRIES: u32 = 15;

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
    /// How often something is tried that must not be left undone.
    pub(crate) tries: u32,
    /// This machine, if its files may be changed.
    pub(crate) here: Option<Here>,
}

/// What was done, for the way back.
#[derive(Debug, Clone)]
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
    /// Those that could not be removed. Nobody asks them any more.
    left: Vec<Canary>,
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
        left: Vec::new(),
        attempt: 0,
        done: Vec::new(),
        gives_back: plan.gives_back,
    };
    let mut told = false;
    let result = {
        let work = pin!(executor.steps(plan));
        let signal = pin!(stop_requested());
        match select(work, signal).await {
            Either::Left((result, _)) => result,
            Either::Right((signal, _)) => {
                told = true;
                eprintln!("{ONCE_MORE}");
                Err(anyhow::anyhow!("stopped by {}", signal.unwrap_or("a signal")))
            }
        }
    };
    let ended = executor.put_right(result.as_ref().err(), insisted(told)).await;
    outcome(result, ended, &executor.left)
}

/// What becomes of a run: whatever is left behind is no success.
fn outcome(result: anyhow::Result<()>, ended: Result<(), &'static str>, left: &[Canary]) -> anyhow::Result<()> {
    match (result, ended) {
        (Ok(()), Err(signal)) => bail!("stopped by {signal}: every step is done, and canaries are left"),
        (Ok(()), Ok(())) if !left.is_empty() => bail!("every step is done, and canaries are left"),
        (result, _) => result,
    }
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
                    Ok(Sent::Made) => "done",
                    Ok(Sent::There) => {
                        // It was there before: not ours to take away.
                        self.done.pop();
                        if let Some(line) = record::in_the_way(api) {
                            bail!(line);
                        }
                        "there already"
                    }
                    Ok(Sent::Changed) => {
                        self.done.pop();
                        bail!("{}: {CHANGED}; run this again, which reads it again", api.lines().join(" "));
                    }
                    Err(error) => return Err(anyhow::Error::new(error).context(api.lines().join(" "))),
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

    /// Leaves nothing behind but what was asked for, and after a failure not that either. Prints the rest where somebody
    /// insists on an end.
    async fn put_right(
        &mut self,
        failed: Option<&anyhow::Error>,
        insisted: impl Future<Output = &'static str>,
    ) -> Result<(), &'static str> {
        let ended = unless(insisted, self.clean_and_undo(failed)).await;
        if ended.is_err() {
            for line in self.rest(failed.is_some()) {
                println!("{line}");
            }
        }
        ended
    }

    async fn clean_and_undo(&mut self, failed: Option<&anyhow::Error>) {
        if failed.is_some() {
            // A request that was given up may still arrive: what it makes or changes must not come after its removal.
            sleep(PAUSE).await;
        }
        // What could not be removed in the middle is tried once more.
        let late = self.left.clone();
        self.canaries.append(&mut self.left);
        self.clean().await;
        for canary in late.iter().filter(|canary| !self.left.contains(canary)) {
            eprintln!("  removed after all: {}", canary.full_name());
        }
        if let Some(error) = failed {
            eprintln!("failed: {}", reach::line(error, None));
            self.undo().await;
        }
    }

    /// What is left to do, for people.
    fn rest(&self, failed: bool) -> Vec<String> {
        let mut lines: Vec<String> = self.canaries.iter().chain(&self.left).rev().map(not_removed).collect();
        for done in self.done.iter().rev().filter(|_| failed) {
            lines.push("  for you to undo, in this order, as far as it was done:".to_owned());
            lines.extend(done.back().lines().iter().map(|line| format!("    {line}")));
        }
        lines
    }

    /// Removes all canaries, and what they left.
    pub(super) async fn clean(&mut self) {
        clean(&self.requests, self.settings.tries, &mut self.canaries, &mut self.left).await;
    }

    /// Undoes what was done, the last first, and prints the rest. Each is known until it is dealt with: whoever interrupts
    /// this finds the rest.
    async fn undo(&mut self) {
        if self.done.is_empty() {
            return;
        }
        println!("\nThe way back");
        let mut blocked = false;
        while let Some(done) = self.done.last().cloned() {
            if blocked && done.moves() {
                by_hand(&done.back(), "for you to undo when that is done, and not before");
                self.done.pop();
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
            self.done.pop();
        }
    }

    /// Undoes a change of an object. False when it is not, or when what it ends may still run.
    async fn unmake(&self, back: &Api) -> bool {
        let lines = back.lines().join(" ");
        match insist(self.settings.tries, async || unsend(&self.requests, back).await).await {
            Ok(None) => println!("  undone: {lines}"),
            Ok(Some(refused)) => {
                eprintln!("  not undone: {lines}: {refused}: look at it, and undo that by hand");
                return false;
            }
            Err(error) => {
                eprintln!("  not undone: {lines}: {error}: undo that by hand");
                return false;
            }
        }
        // Whoever follows must not meet what is still on its way out.
        if let Api::Patch { path, .. } = back
            && path.contains("/deployments/")
            && let Err(not_yet) = insist(self.settings.tries, async || rolled_out(&self.requests, path).await).await
        {
            eprintln!("  not rolled out yet: {not_yet}");
            return false;
        }
        true
    }
}

/// Removes canaries, and what they made; those of which something stays are in `left` then. Each is known until it is gone:
/// whoever interrupts this finds the rest.
pub(crate) async fn clean(requests: &Requests, tries: u32, canaries: &mut Vec<Canary>, left: &mut Vec<Canary>) {
    while let Some(canary) = canaries.last().cloned() {
        let mut stays = false;
        for removal in canary.removals() {
            if let Err(error) = insist(tries, async || remove(requests, &removal).await).await {
                eprintln!("  not removed: {}: {error}: delete what has that name by hand", canary.full_name());
                stays = true;
            }
        }
        canaries.pop();
        if stays {
            left.push(canary);
        }
    }
}

/// A canary that is left, for people.
pub(crate) fn not_removed(canary: &Canary) -> String {
    format!("  not removed: {}: delete what has that name by hand", canary.full_name())
}

fn by_hand(back: &Change, how: &str) {
    println!("  {how}:");
    for line in back.lines() {
        println!("    {line}");
    }
}

#[cfg(test)]
mod tests;
