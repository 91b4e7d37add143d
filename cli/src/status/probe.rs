//! `status --probe`: canaries, as those of a takeover, for what nothing else shows. Whoever answers one is at work.

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};
use headroom_runtime::process::stop_requested;
use kube::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::owners::{Job, Owner};
use crate::{
    distribution::{
        facts::{SCHEDULER, whose},
        requests::{Requests, is},
        text,
    },
    doctor::{control_loops::LOOPS, cut},
    reach::why,
    takeover::{
        canary::{Canary, Kind, managers, run_name},
        checks::{EVENT, POLL, awake, release},
        execute::{LOOK, PAUSE, TRIES, clean, not_removed, remove},
        stop::{ONCE_MORE, insisted, unless},
    },
};

/// What became of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was answered; by this program, if that shows.
    By(Option<String>),
    /// By nobody for so many seconds.
    Nobody(u64),
    /// It could not be asked, or the API server was away.
    Unasked(String),
}

/// A canary that waits, and since when nobody could have been heard.
struct Waiting {
    job: &'static str,
    canary: Canary,
    since: Instant,
}

/// The canaries of all jobs that have one, with the jobs' names.
fn canaries(namespace: &str) -> Vec<(&'static str, Canary)> {
    let run = run_name();
    let loops = LOOPS.into_iter().filter_map(|(name, _)| Some((name, Kind::of_loop(name)?)));
    let all = std::iter::once((SCHEDULER, Kind::Pod)).chain(loops);
    all.map(|(job, kind)| (job, Canary::new(kind, namespace, &run, 0))).collect()
}

/// Makes canaries, waits for answers, and removes what was made, unless somebody insists on an end before.
///
/// # Errors
/// Somebody interrupts.
pub(super) async fn ask(client: &Client, namespace: &str) -> anyhow::Result<Vec<(&'static str, Answer)>> {
    let requests = Requests::new(client.clone());
    let all = canaries(namespace);
    let longest = all.iter().map(|(_, canary)| canary.kind.quiet()).max().unwrap_or(0);
    eprintln!("canaries in {}: up to {longest} s until silence is one", cut(namespace));
    // Each is known before it exists.
    let mut made: Vec<Canary> = all.iter().map(|(_, canary)| canary.clone()).collect();
    let mut refused = Vec::new();
    let asked = {
        let work = pin!(answers(&requests, all, &mut refused));
        let signal = pin!(stop_requested());
        match select(work, signal).await {
            Either::Left((answers, _)) => Ok(answers),
            Either::Right((signal, _)) => {
                eprintln!("{ONCE_MORE}");
                Err(anyhow::anyhow!("stopped by {}", signal.unwrap_or("a signal")))
            }
        }
    };
    made.retain(|canary| !refused.contains(canary));
    let stopped = asked.is_err();
    let cleaning = async {
        if stopped {
            // A request that was given up may still arrive.
            sleep(PAUSE).await;
        }
        // What stays has been named.
        clean(&requests, TRIES, &mut made, &mut Vec::new()).await;
    };
    if let Err(signal) = unless(insisted(stopped), cleaning).await {
        for canary in &made {
            eprintln!("{}", not_removed(canary));
        }
        anyhow::bail!("stopped by {signal}");
    }
    asked
}

/// Makes them and looks at each until it is answered or was silent for long enough. `refused` are those of which nothing is
/// left already.
async fn answers(
    requests: &Requests,
    all: Vec<(&'static str, Canary)>,
    refused: &mut Vec<Canary>,
) -> Vec<(&'static str, Answer)> {
    let mut answers = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    for (job, canary) in all {
        match release(requests, &canary).await {
            Ok(()) => waiting.push(Waiting { job, canary, since: Instant::now() }),
            Err(error) => {
                answers.push((job, Answer::Unasked(format!("cannot make {}: {}", canary.full_name(), why(&error)))));
                if is(&error, 403) {
                    // Who may not make one may not insist on its removal. Of two objects the first may be there.
                    for removal in canary.removals() {
                        drop(remove(requests, &removal).await);
                    }
                    refused.push(canary);
                }
            }
        }
    }
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for one in waiting {
            match look(requests, &one).await {
                Some(answer) => answers.push((one.job, answer)),
                None => still.push(one),
            }
        }
        waiting = still;
        sleep(POLL).await;
    }
    answers
}

/// One look at one canary: what became of it, or nothing yet.
async fn look(requests: &Requests, one: &Waiting) -> Option<Answer> {
    let canary = &one.canary;
    let start = Instant::now();
    let seen = timeout(LOOK, requests.get(&canary.question())).await;
    let found = match seen {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Some(Answer::Unasked(format!("cannot read it: {}", why(&error)))),
        Err(_) => return Some(Answer::Unasked("the API server does not answer".to_owned())),
    };
    if canary.answered(found.as_ref(), true) {
        let writer = match found.as_ref() {
            Some(found) if canary.kind == Kind::Pod && !text(found, "/spec/nodeName").is_empty() => {
                binder(requests, canary).await
            }
            found => found.and_then(|found| writer(canary.kind, found)),
        };
        return Some(Answer::By(writer));
    }
    if let Err(away) = awake(start.elapsed()) {
        return Some(Answer::Unasked(away));
    }
    let quiet = canary.kind.quiet();
    (one.since.elapsed() >= Duration::from_secs(quiet)).then_some(Answer::Nobody(quiet))
}

/// Who bound a pod: its event says it, soon.
async fn binder(requests: &Requests, canary: &Canary) -> Option<String> {
    let end = Instant::now() + EVENT;
    while Instant::now() < end {
        let events = requests.metadata(&canary.bindings(), 10).await.unwrap_or_default();
        if let Some(manager) = managers(&events).first() {
            return Some((*manager).to_owned());
        }
        sleep(POLL).await;
    }
    None
}

/// Who wrote the answer: the object, the first of a list, or the status of what was there before.
fn writer(kind: Kind, found: &Value) -> Option<String> {
    let answer = match found.get("items").and_then(Value::as_array) {
        Some(items) => items.first()?,
        None => found,
    };
    let of_status = matches!(kind, Kind::Pod | Kind::Garbage);
    let entries = answer.pointer("/metadata/managedFields")?.as_array()?.iter();
    let mut wrote = entries.filter(|entry| !of_status || text(entry, "/subresource") == "status");
    let known = wrote.clone().find(|entry| whose(text(entry, "/manager")).is_some());
    known.or_else(|| wrote.next()).map(|entry| text(entry, "/manager").to_owned())
}

/// Puts what was answered before all else that shows who does a job.
pub(super) fn tell(jobs: &mut [Job], answers: &[(&str, Answer)]) {
    for job in jobs {
        let Some((_, answer)) = answers.iter().find(|(name, _)| *name == job.name) else { continue };
        // What somebody wrote an hour ago says less than who answers now.
        let known = if job.guessed { Owner::Unknown } else { job.owner };
        let (owner, line) = match answer {
            Answer::By(Some(manager)) => {
                (answered(known, whose(manager).map(Owner::of)), format!("{} answered a canary", cut(manager)))
            }
            Answer::By(None) => (answered(job.owner, None), "a canary was answered; by whom does not show".to_owned()),
            // What holds a lease or has the loop in its list may have been slow.
            Answer::Nobody(seconds) => {
                let owner = if known == Owner::Unknown { Owner::Nobody } else { known };
                (owner, format!("nobody answered a canary within {seconds} s"))
            }
            Answer::Unasked(why) => (job.owner, format!("no canary: {}", cut(why))),
        };
        job.owner = owner;
        job.guessed &= matches!(answer, Answer::Unasked(_));
        job.evidence.insert(0, line);
    }
}

/// Who does a job of which one party was seen at work: two, where everything else shows the other.
fn answered(owner: Owner, by: Option<Owner>) -> Owner {
    match (owner, by) {
        (Owner::Nobody, None) => Owner::Unknown,
        (owner, None) => owner,
        (Owner::Unknown | Owner::Nobody, Some(by)) => by,
        (owner, Some(by)) if owner == by => owner,
        _ => Owner::Both,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_job_that_a_canary_shows_has_one() {
        let jobs: Vec<&str> = canaries("default").iter().map(|(job, _)| *job).collect();
        let without: Vec<&str> = LOOPS.into_iter().map(|(name, _)| name).filter(|name| !jobs.contains(name)).collect();
        assert_eq!(jobs[0], SCHEDULER);
        assert_eq!(without, ["node-lifecycle-controller", "taint-eviction-controller"], "only a dead node moves them");
    }

    #[test]
    fn who_wrote_the_answer() {
        let entry = |manager: &str, part: &str| json!({"manager": manager, "subresource": part});
        let object = |entries: &[Value]| json!({"metadata": {"managedFields": entries}});
        let ours = entry("headroom-controllers", "");
        let list = json!({"items": [object(&[entry("kubectl", ""), ours]), object(&[entry("k3s", "")])]});
        assert_eq!(writer(Kind::EndpointSlice, &list).as_deref(), Some("headroom-controllers"));
        assert_eq!(writer(Kind::Endpoints, &object(&[entry("a-mesh", "")])).as_deref(), Some("a-mesh"));
        // Whoever made the pod is no answer.
        let pod = object(&[entry("kubectl-headroom", ""), entry("kube-controller-manager", "status")]);
        assert_eq!(writer(Kind::Garbage, &pod).as_deref(), Some("kube-controller-manager"));
        assert_eq!(writer(Kind::Pod, &object(&[entry("kubectl-headroom", "")])), None);
        assert_eq!(writer(Kind::ReplicationController, &json!({"items": []})), None);
    }

    #[test]
    fn an_answer_is_worth_more_than_what_was_known() {
        use Owner::{Both, Headroom, Nobody, Stock, Unknown};
        let by = |manager: &str| Answer::By(Some(manager.to_owned()));
        for (before, answer, after, line) in [
            (Unknown, by("kube-scheduler"), Stock, "kube-scheduler answered a canary"),
            (Nobody, by("headroom-scheduler"), Headroom, "headroom-scheduler answered a canary"),
            (Headroom, by("headroom-scheduler"), Headroom, "headroom-scheduler answered a canary"),
            (Headroom, by("k3s"), Both, "k3s answered a canary"),
            (Both, by("k3s"), Both, "k3s answered a canary"),
            (Unknown, by("volcano"), Unknown, "volcano answered a canary"),
            (Nobody, Answer::By(None), Unknown, "a canary was answered; by whom does not show"),
            (Stock, Answer::By(None), Stock, "a canary was answered; by whom does not show"),
            (Unknown, Answer::Nobody(15), Nobody, "nobody answered a canary within 15 s"),
            (Stock, Answer::Nobody(15), Stock, "nobody answered a canary within 15 s"),
            (Unknown, Answer::Unasked("you may\nnot".to_owned()), Unknown, "no canary: you may not"),
        ] {
            let evidence = || vec!["x".to_owned()];
            let job = |name: &str| Job { name: name.to_owned(), owner: before, evidence: evidence(), guessed: false };
            let mut jobs = [job(SCHEDULER), job("taint-eviction-controller")];
            tell(&mut jobs, &[(SCHEDULER, answer)]);
            assert_eq!((jobs[0].owner, jobs[0].evidence[0].as_str()), (after, line), "{before:?}");
            assert_eq!(jobs[1], job("taint-eviction-controller"), "nothing was asked of it");
        }
        // An hour ago it was stock's.
        for (answer, after) in [(by("headroom-scheduler"), Headroom), (Answer::Nobody(15), Nobody)] {
            let evidence = vec!["kube-scheduler bound Pod a/b 50m ago, and nobody else later".to_owned()];
            let mut jobs = [Job { name: SCHEDULER.to_owned(), owner: Stock, evidence, guessed: true }];
            tell(&mut jobs, &[(SCHEDULER, answer)]);
            assert_eq!((jobs[0].owner, jobs[0].evidence.len()), (after, 2));
        }
    }
}
