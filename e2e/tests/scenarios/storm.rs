//! A storm of take-overs: the stock scheduler and ours stand by for each other behind one lease, which changes hands
//! twenty times while a thousand pods arrive. Nobody's pod is lost, bound twice, or left waiting. A few times more
//! `kubectl headroom takeover` and `handback` say when, as they would to an administrator.

mod pulse;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::pulse::Pulse;
use crate::common::verbs::Running;
use crate::common::{
    Bindings, LONG, OUR_LEASE, PATIENT, SHORT, SHORT_LEASE, STOCK_LEASE, asking, assert_nothing_forbidden, bindings,
    control_plane_alone, create_many, holder, node, pods, start_scheduler, wait_placed, with_crds,
};
use headroom_e2e::control_plane::audit::{AuditEvent, AuditObject};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tokio::task::JoinHandle;

const NODES: usize = 4;
/// So often the lease changes hands.
const TURNS: usize = 20;
/// Pods that arrive around each change: a thousand in all.
const WAVE: usize = 50;
/// How their names begin; those of canaries do not.
const PREFIX: &str = "wave-";
/// So often the command takes over, and hands back.
const COMMANDS: usize = 2;

/// No pod waits longer than ten seconds where the leader ends as it should, and releases the lease. For how long the machine
/// stood still meanwhile comes on top.
const LONGEST: Duration = Duration::from_secs(10);
/// Where the leader is killed, the lease has to run out first ([`SHORT`], of both schedulers: the names of the flags are
/// upstream's). Until then nobody may schedule, and no scheduler could change that. The ten seconds begin behind it.
const LONGEST_AFTER_A_KILL: Duration = SHORT_LEASE.saturating_add(LONGEST);

/// Turns in which the leader is killed (`kill -9`) and releases nothing: once the stock scheduler, which leads in the even
/// ones, and once ours. In all others it gets SIGTERM.
const KILLED: [usize; 2] = [6, 13];

/// From when a leader was killed until somebody else led, by the clock of this machine, which is the API server's.
#[derive(Debug, Clone, Copy)]
struct Kill {
    from: Timestamp,
    until: Timestamp,
}

#[derive(Debug, Clone, Copy)]
enum Who {
    Stock,
    Ours,
}

/// A scheduler that leads or stands by.
struct Side {
    who: Who,
    process: Process,
}

/// Starts one, and waits until it knows the cluster: it leads, or could take over at once.
async fn start(cluster: &ControlPlane, who: Who) -> Side {
    let process = match who {
        Who::Stock => {
            let args = SHORT.map(str::to_owned).to_vec();
            let options = SchedulerOptions { leader_elect: true, args, ..SchedulerOptions::unlimited() };
            cluster.start_stock_scheduler(&options).unwrap()
        }
        Who::Ours => {
            let flags = [&SHORT[..], &["--mode=primary"]].concat();
            cluster.start_headroom_scheduler(&flags).unwrap()
        }
    };
    cluster.wait_healthy(&process, "/readyz", LONG).await.unwrap();
    Side { who, process }
}

/// Waits until somebody else holds the lease than before.
async fn handed_over(cluster: &ControlPlane, before: &str) -> String {
    eventually(LONG, "the lease to change hands", || async {
        let now = holder(cluster, STOCK_LEASE).await;
        if now.is_empty() || now == before { Err(format!("held by {now:?}")) } else { Ok(now) }
    })
    .await
    .unwrap()
}

/// The requests for bindings of the namespace `default`.
fn attempts(cluster: &ControlPlane) -> Vec<AuditEvent> {
    let mut events = cluster.audit_events().unwrap();
    events.retain(|event| {
        let of = event.object_ref.as_ref();
        let wanted =
            |of: &AuditObject| of.subresource == "binding" && of.namespace == "default" && of.name.starts_with(PREFIX);
        event.verb == "create" && of.is_some_and(wanted)
    });
    events
}

fn pod_of(event: &AuditEvent) -> String {
    event.object_ref.as_ref().map(|of| of.name.clone()).unwrap_or_default()
}

/// Who may have bound each pod: whose request was carried out, or was not answered any more (504).
fn takers(attempts: &[AuditEvent]) -> BTreeMap<String, BTreeSet<String>> {
    let mut takers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in attempts.iter().filter(|event| matches!(event.code(), 201 | 504)) {
        takers.entry(pod_of(event)).or_default().insert(event.user.username.clone());
    }
    takers
}

/// Fails when a binding was refused for anything but a change of leadership: a scheduler that has just taken over may not
/// have seen yet what the one before it has bound, and is told so (409).
fn assert_refused_for_leadership_alone(attempts: &[AuditEvent]) {
    let takers = takers(attempts);
    let other_was_first = |event: &AuditEvent| {
        let of_others = |users: &BTreeSet<String>| users.iter().any(|user| *user != event.user.username);
        event.code() == 409 && takers.get(&pod_of(event)).is_some_and(of_others)
    };
    let refused = attempts.iter().filter(|event| !matches!(event.code(), 201 | 504));
    let wrong: Vec<String> = refused
        .filter(|event| !other_was_first(event))
        .map(|event| format!("{} for {}: {}", event.code(), event.user.username, pod_of(event)))
        .collect();
    assert!(wrong.is_empty(), "refused: {wrong:?}");
}

/// When each pod was bound, by the audit log: when the request that was carried out was answered, to the microsecond.
fn bound_at(attempts: &[AuditEvent]) -> BTreeMap<String, Timestamp> {
    let done = attempts.iter().filter(|event| event.code() == 201);
    done.map(|event| (pod_of(event), event.stage_timestamp.parse().unwrap())).collect()
}

/// When a pod was bound, by its own condition, to the second: for those whose binding was not answered any more.
fn scheduled_at(pod: &Pod) -> Option<Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")?;
    Some(condition.last_transition_time.as_ref()?.0)
}

/// How long a pod may wait that was created and bound then.
fn longest(created: Timestamp, bound: Timestamp, kills: &[Kill]) -> Duration {
    let saw = |kill: &Kill| created <= kill.until && kill.from <= bound;
    if kills.iter().any(saw) { LONGEST_AFTER_A_KILL } else { LONGEST }
}

/// Fails when a pod waited too long. It began to wait at its `creationTimestamp`, which the API server cuts down to the
/// second, so that up to a second is counted too much and never too little. All times are of the API server's clock.
async fn assert_none_waited(pods: &Api<Pod>, attempts: &[AuditEvent], kills: &[Kill], pulse: &Pulse) {
    let bound = bound_at(attempts);
    for pod in pods.list(&ListParams::default()).await.unwrap().items {
        let name = pod.metadata.name.clone().unwrap_or_default();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let created = pod.metadata.creation_timestamp.as_ref().unwrap().0;
        let at = bound.get(&name).copied().or_else(|| scheduled_at(&pod));
        let at = at.unwrap_or_else(|| panic!("{name} was bound at no time: {:?}", pod.status));
        let (longest, still) = (longest(created, at, kills), pulse.stood_still(created, at));
        let fine = at <= created + longest + still;
        assert!(
            fine,
            "{name} waited from {created} to {at}, longer than {longest:?}; the machine stood still for {still:?}"
        );
    }
}

/// Nodes with room for all of it.
async fn nodes(cluster: &ControlPlane) {
    for number in 0..NODES {
        let size = json!({"status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "500"}}});
        node(cluster, &format!("n{number}"), size).await;
    }
}

/// The pods of a turn begin to arrive; returns in the middle of the leader's work.
async fn burst(pods: &Api<Pod>, turn: usize) -> JoinHandle<()> {
    let (to, prefix) = (pods.clone(), format!("{PREFIX}{turn:02}"));
    let small = asking(json!({"cpu": "10m", "memory": "16Mi"}));
    let wave = tokio::spawn(async move { create_many(to, &prefix, WAVE, small).await });
    wait_placed(pods, turn * WAVE + WAVE / 5).await;
    wave
}

/// Fails unless all pods of so many turns were bound, each once and soon, by both sides in turns.
async fn assert_each_once_and_soon(
    cluster: &ControlPlane,
    pods: &Api<Pod>,
    turns: usize,
    kills: &[Kill],
    pulse: &Pulse,
) {
    // Bound by one request each. That of a scheduler that did not live to see the answer stands as unanswered in the log,
    // and the pod, which is bound, says that it was carried out.
    let mut answers = bindings(cluster, "default");
    answers.retain(|name, _| name.starts_with(PREFIX));
    let once = |of: &Bindings| of.done == 1 || (of.done == 0 && of.unanswered > 0);
    let wrong: Vec<_> = answers.iter().filter(|(_, of)| !once(of)).collect();
    assert!(answers.len() == turns * WAVE && wrong.is_empty(), "{} pods; {wrong:?}", answers.len());
    let attempts = attempts(cluster);
    assert_refused_for_leadership_alone(&attempts);
    assert_none_waited(pods, &attempts, kills, pulse).await;
    // Each had its turns, and did the work in them.
    for identity in [Identity::Scheduler, Identity::HeadroomScheduler] {
        let user = identity.user();
        let done = attempts.iter().filter(|event| event.code() == 201 && event.user.username == user).count();
        assert!(done >= turns / 2 * (WAVE / 5), "{user} has bound {done}");
    }
    assert_nothing_forbidden(cluster, &Identity::HeadroomScheduler.user());
}

#[tokio::test]
async fn in_a_burst_the_lease_changes_hands_twenty_times_and_every_pod_is_bound_once() {
    let cluster = control_plane_alone(RbacSet::Primary).await;
    nodes(&cluster).await;
    let pods = pods(&cluster, "default");
    let mut leader = start(&cluster, Who::Stock).await;
    let mut held_by = handed_over(&cluster, "").await;
    let pulse = Pulse::begin(&cluster).await;
    let mut standby = start(&cluster, Who::Ours).await;
    let mut kills = Vec::new();

    for turn in 0..TURNS {
        let wave = burst(&pods, turn).await;
        leader.process.expect_running("leading").unwrap();
        let from = Timestamp::now();
        if KILLED.contains(&turn) {
            leader.process.kill9();
        } else {
            let status = leader.process.terminate(LONG).await.unwrap();
            assert!(status.success(), "turn {turn}, {:?}: {status}", leader.who);
            // Both release what they hold before they end, as client-go does with ReleaseOnCancel.
            assert_ne!(holder(&cluster, STOCK_LEASE).await, held_by, "turn {turn}: {:?} kept the lease", leader.who);
        }
        held_by = handed_over(&cluster, &held_by).await;
        if KILLED.contains(&turn) {
            kills.push(Kill { from, until: Timestamp::now() });
        }
        standby.process.expect_running("taking over").unwrap();
        wave.await.unwrap();
        let next = start(&cluster, leader.who).await;
        leader = std::mem::replace(&mut standby, next);
    }
    wait_placed(&pods, TURNS * WAVE).await;
    for side in [&leader, &standby] {
        side.process.expect_running("the storm").unwrap();
    }

    assert_eq!(kills.len(), KILLED.len());
    assert_each_once_and_soon(&cluster, &pods, TURNS, &kills, &pulse).await;
}

/// Ends one that leads or stands by, as whoever does what is printed.
async fn end(process: Process) {
    let status = process.terminate(LONG).await.unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn in_a_burst_the_command_takes_over_and_hands_back_and_every_pod_is_bound_once() {
    let cluster = with_crds(control_plane_alone(RbacSet::Primary).await).await;
    nodes(&cluster).await;
    let pods = pods(&cluster, "default");
    // Nobody is killed here: leases may be long, and change hands by being released.
    let stock = || async {
        let args = PATIENT.map(str::to_owned).to_vec();
        let options = SchedulerOptions { leader_elect: true, args, ..SchedulerOptions::unlimited() };
        let process = cluster.start_stock_scheduler(&options).unwrap();
        cluster.wait_healthy(&process, "/readyz", LONG).await.unwrap();
        process
    };
    let flags = ["--yes", "--namespace=default", "--timeout=300s", "--quiet-for=3s", "--distribution=any"];
    let mut theirs = stock().await;
    handed_over(&cluster, "").await;
    let pulse = Pulse::begin(&cluster).await;
    let mut ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;

    for turn in 0..COMMANDS {
        let mut takeover = Running::start(&cluster, "takeover", &flags);
        takeover.begins().await;
        takeover.says("# run headroom-scheduler with --mode=primary").await;
        end(ours).await;
        let primary = [&PATIENT[..], &["--mode=primary"]].concat();
        let leader = cluster.start_headroom_scheduler(&primary).unwrap();
        cluster.wait_healthy(&leader, "/readyz", LONG).await.unwrap();
        takeover.says("# stop kube-scheduler").await;
        let wave = burst(&pods, 2 * turn).await;
        end(theirs).await;
        wave.await.unwrap();
        takeover.ends_well().await;

        let mut handback = Running::start(&cluster, "handback", &flags);
        handback.begins().await;
        handback.says("# start kube-scheduler again").await;
        theirs = stock().await;
        handback.says("# run headroom-scheduler with --mode=secondary").await;
        let wave = burst(&pods, 2 * turn + 1).await;
        end(leader).await;
        ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
        wave.await.unwrap();
        handback.ends_well().await;
    }
    wait_placed(&pods, 2 * COMMANDS * WAVE).await;
    for process in [&theirs, &ours] {
        process.expect_running("the storm").unwrap();
    }
    assert_each_once_and_soon(&cluster, &pods, 2 * COMMANDS, &[], &pulse).await;
}
