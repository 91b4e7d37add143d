//! How it is seen that a step has worked.

use std::time::Duration;

use anyhow::bail;
use headroom_runtime::process::GoDuration;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    canary::{Canary, Kind, managers},
    execute::{Executor, LOOK, PAUSE},
    plan::{Check, STAYS},
};
use crate::{
    distribution::{
        facts::{LeaseFacts, SCHEDULER_LEASE, Who, whose},
        read,
        requests::{Requests, is},
    },
    doctor::control_loops,
    reach::{self, why},
};

/// Between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// How long the stock manager may take to answer the control, its lease and its start included.
const CONTROL: Duration = Duration::from_secs(90);
/// A lease that is not renewed for so long has been given up.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// Between two looks at a silence. Longer, and nobody could have answered either: the API server was busy, or away.
const SLOW: Duration = Duration::from_secs(5);
/// How long an event may take to say who bound a pod.
pub(crate) const EVENT: Duration = Duration::from_secs(10);

impl Executor<'_> {
    /// Returns when the check is passed.
    ///
    /// # Errors
    /// It was not within the time that there is.
    pub(super) async fn check(&mut self, check: &Check) -> anyhow::Result<()> {
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
        let made = release(&self.requests, &canary).await;
        made.map_err(|error| format!("cannot make {}: {}", canary.full_name(), why(&error)))
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
        let mut looked = Instant::now();
        loop {
            for canary in &self.canaries {
                let found = self.requests.get(&canary.question()).await.map_err(|error| why(&error))?;
                awake(looked.elapsed())?;
                looked = Instant::now();
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
        let (facts, _) = read::facts(&self.client).await.map_err(|error| reach::line(&error, None))?;
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
        let path = pod.bindings();
        let end = Instant::now() + EVENT;
        while Instant::now() < end {
            let events = self.requests.metadata(&path, 10).await.unwrap_or_default();
            let managers = managers(&events);
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
}

/// Makes the objects of a canary.
pub(crate) async fn release(requests: &Requests, canary: &Canary) -> Result<(), kube::Error> {
    for (collection, object) in canary.objects() {
        match requests.create(&collection, &object).await {
            Err(error) if !is(&error, 409) => return Err(error),
            _ => {}
        }
    }
    match canary.deleted_at_once() {
        Some(path) => requests.delete(&path).await,
        None => Ok(()),
    }
}

/// Whether the API server answered soon enough for a silence to be one.
pub(crate) fn awake(look: Duration) -> Result<(), String> {
    if look < SLOW {
        return Ok(());
    }
    Err(format!("the API server took {} s for a look: nobody could answer meanwhile", look.as_secs()))
}

/// Whether all pods of a Deployment are those of its template, and available.
pub(super) async fn rolled_out(requests: &Requests, path: &str) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_of_the_api_server_proves_nothing() {
        assert_eq!(awake(POLL), Ok(()));
        let why = awake(Duration::from_secs(16)).unwrap_err();
        assert!(why.starts_with("the API server took 16 s"), "{why}");
    }
}
