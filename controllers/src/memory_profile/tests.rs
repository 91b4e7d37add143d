//! The controller as a whole.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Found, Op, WriteError, Written},
    memory::MIB,
    object::{ContainerStatus, Meta},
    testing::{PodBuilder, container, pod},
};
use headroom_runtime::wire::LinkRow;
use serde_json::{Value, json};

use super::*;
use crate::{node_headroom::ContainerObservation, testkit::Rig};

const START: u32 = 1_700_000_000;
const POLL: Duration = Duration::from_secs(15);

type Learner = Rig<MemoryProfileController>;

fn rig() -> Learner {
    Rig::new(MemoryProfileController::new(Params::default()), START)
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerRef {
    OwnerRef {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
        uid: uid.into(),
        controller: true,
        block_owner_deletion: true,
    }
}

fn link(name: &str, uid: &str, owners: &[OwnerRef]) -> Arc<LinkRow> {
    let meta = Meta { key: ObjectKey::new("default", name), uid: uid.into(), owners: owners.into(), ..Meta::default() };
    Arc::new(LinkRow { meta })
}

/// A pod of the Deployment `web`.
fn web(name: &str) -> PodBuilder {
    pod(name).owner("ReplicaSet", "web-1", "rs").container(container("main").image("web:1")).on("n1")
}

impl Learner {
    /// With the ReplicaSet of the Deployment `web`.
    fn deployment(&mut self) {
        let row = link("web-1", "rs", &[owner("apps/v1", "Deployment", "web", "d")]);
        self.world.apply_replica_set(row, |_, _| {});
    }

    /// A sample of a pod's container, now.
    fn sample(&mut self, name: &str, mib: i64) {
        let seen = PodObservation {
            key: ObjectKey::new("default", name),
            uid: format!("uid-{name}").into(),
            at: self.now.wall,
            containers: Box::new([ContainerObservation {
                name: "main".into(),
                footprint: mib * MIB,
                started: Some(Timestamp::from_secs(0)),
            }]),
        };
        let (world, now) = (&self.world, self.now);
        self.controller.sampled(&[seen], world, now);
        self.settle();
    }

    /// Answers writes as an API server would, its watch included; returns what was done, in words, and the statuses.
    fn serve(&mut self, rv: &mut u64) -> (Vec<String>, Vec<Value>) {
        let (mut done, mut statuses) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            self.advance(Duration::from_millis(200));
            for (id, op) in self.take() {
                *rv += 1;
                match op {
                    Op::Create { key, body, .. } => {
                        done.push(format!("create {key}"));
                        assert_eq!(body["kind"], "MemoryProfile");
                        self.ok(id, &format!("mp-{rv}"), *rv);
                    }
                    Op::Update { key, body, .. } => {
                        done.push(format!("status {key}"));
                        statuses.push(body["status"].clone());
                        self.ok(id, "", *rv);
                    }
                    Op::Delete { key, uid, .. } => {
                        done.push(format!("delete {key} {}", uid.unwrap()));
                        self.ok(id, "", *rv);
                    }
                    op => panic!("{op:?}"),
                }
            }
        }
        (done, statuses)
    }
}

/// The row of the profile of the Deployment `web`.
fn row(owner_uid: &str, rv: u64, peak: i64, observed: i64) -> Arc<MemoryProfile> {
    let observed = Timestamp::from_secs(i64::from(START) + observed);
    let history = headroom_core::memory::History { peak: peak * MIB, samples: 9, first_observed: observed, observed };
    Arc::new(MemoryProfile {
        meta: Meta {
            key: ObjectKey::new("default", "deployment-web"),
            uid: format!("mp-{rv}").into(),
            resource_version: rv,
            owners: Arc::new([owner("apps/v1", "Deployment", "web", owner_uid)]),
            ..Meta::default()
        },
        workload_api_version: "apps/v1".into(),
        workload_kind: "Deployment".into(),
        workload_name: "web".into(),
        containers: Box::new([ProfileEntry { name: "main".into(), image: "web:1".into(), history }]),
    })
}

#[test]
fn a_deployment_gets_a_profile_owned_by_it() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.pod(web("b").arc());
    rig.sample("a", 100);
    rig.start();
    assert_eq!(rig.serve(&mut rv).0, Vec::<String>::new(), "nothing is learned before it leads");
    rig.sample("a", 100);
    let (id, op) = rig.take().remove(0);
    let Op::Create { body, key, .. } = op else { panic!("{op:?}") };
    assert_eq!(key, ObjectKey::new("default", "deployment-web"));
    let expected = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d",
                           "controller": false, "blockOwnerDeletion": false}]);
    assert_eq!(body["metadata"]["ownerReferences"], expected);
    rig.ok(id, "mp", 5);
    let (done, statuses) = rig.serve(&mut rv);
    assert_eq!(done, ["status default/deployment-web"]);
    assert_eq!(statuses[0]["workload"], json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}));
    let entry = &statuses[0]["containers"][0];
    assert_eq!((&entry["name"], &entry["image"]), (&json!("main"), &json!("web:1")));
    assert_eq!((&entry["peakBytes"], &entry["samples"]), (&json!(100 * MIB), &json!(1)));
    assert_eq!(entry["observedAt"], "2023-11-14T22:13:24Z");
    // Its siblings teach the same profile.
    rig.advance(POLL);
    rig.sample("b", 300);
    let (done, statuses) = rig.serve(&mut rv);
    assert_eq!((done.len(), &statuses[0]["containers"][0]["peakBytes"]), (1, &json!(300 * MIB)));
}

#[test]
fn a_quiet_workload_costs_few_writes() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.start();
    let mut writes = Vec::new();
    for n in 0..4 * 60 * 8 {
        rig.sample("a", 100 + n % 3);
        writes.extend(rig.serve(&mut rv).0.into_iter().map(|what| (n / 4, what)));
        rig.advance(POLL - Duration::from_secs(4));
    }
    let statuses: Vec<i64> = writes.iter().filter(|(_, what)| what.starts_with("status")).map(|(m, _)| *m).collect();
    assert_eq!(writes.len(), statuses.len() + 1);
    // One with each of the first samples, then one whenever the readers' peak has decayed by 5 %.
    assert!(statuses.len() <= 3 + 5 && statuses.len() >= 3 + 3, "minutes: {statuses:?}");
}

#[test]
fn a_restart_loses_nothing() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.profile(row("d", 7, 300, -60));
    rig.start();
    rig.sample("a", 100);
    assert_eq!(rig.serve(&mut rv).0, Vec::<String>::new(), "the old peak is still the larger one");
    rig.sample("a", 400);
    let (done, statuses) = rig.serve(&mut rv);
    assert_eq!(done, ["status default/deployment-web"]);
    assert_eq!(statuses[0]["containers"][0]["peakBytes"], 400 * MIB);
    assert_eq!(statuses[0]["containers"][0]["samples"], 11);
}

#[test]
fn kills_raise_the_peak_and_are_told_once() {
    let mut rig = rig();
    let mut rv = 10;
    let limited = || web("a");
    let killed = |second: i64| {
        limited().with(|p| {
            let status = ContainerStatus {
                name: "main".into(),
                restart_count: 1,
                started_at: None,
                oom_killed_at: Some(Timestamp::from_secs(i64::from(START) + second)),
            };
            p.status.change_incidents(|all| all.containers = Box::new([status]));
        })
    };
    rig.deployment();
    // Its container is `main` with both an image and a limit.
    let spec = |p: PodBuilder| {
        p.spec(|s| {
            s.containers = Box::new([container("main").image("web:1").limits("", "256Mi").build()]);
        })
    };
    rig.pod(spec(limited()).arc());
    rig.start();
    rig.sample("a", 120);
    rig.serve(&mut rv);
    rig.pod(spec(killed(10)).arc());
    rig.settle();
    assert_eq!(
        rig.take_events(),
        [
            "OOMKilled container main was killed for want of memory at 2023-11-14T22:13:30Z, last seen with 120Mi of its \
          limit 256Mi; what its workload is taken to need is raised"
        ]
    );
    rig.advance(POLL);
    let (_, statuses) = rig.serve(&mut rv);
    assert_eq!(statuses[0]["containers"][0]["peakBytes"], 220 * MIB, "100 MiB more than was seen");
    rig.pod(spec(killed(10)).label("x", "y").arc());
    rig.settle();
    assert_eq!((rig.take_events().len(), rig.serve(&mut rv).0.len()), (0, 0), "the same kill");
    rig.pod(spec(killed(40)).arc());
    rig.settle();
    assert_eq!(rig.take_events().len(), 1);
}

#[test]
fn a_kill_of_an_init_container_is_learned_and_told() {
    let mut rig = rig();
    let mut rv = 10;
    let web = |killed: Option<i64>| {
        let with_setup = web("a").spec(|s| {
            s.init_containers = Box::new([container("setup").image("setup:1").limits("", "256Mi").build()]);
        });
        with_setup.with(|p| {
            let status = |second: i64| ContainerStatus {
                name: "setup".into(),
                restart_count: 0,
                started_at: None,
                oom_killed_at: Some(Timestamp::from_secs(i64::from(START) + second)),
            };
            p.status.change_incidents(|all| all.containers = killed.map(status).into_iter().collect());
        })
    };
    rig.deployment();
    rig.pod(web(None).arc());
    rig.start();
    rig.serve(&mut rv);
    rig.pod(web(Some(10)).arc());
    rig.settle();
    assert_eq!(
        rig.take_events(),
        ["OOMKilled container setup was killed for want of memory at 2023-11-14T22:13:30Z; its limit is 256Mi; what \
             its workload is taken to need is raised"]
    );
    rig.advance(POLL);
    let (_, statuses) = rig.serve(&mut rv);
    let learned = &statuses[0]["containers"][0];
    assert_eq!((&learned["name"], &learned["peakBytes"]), (&json!("setup"), &json!(256 * MIB)));
}

#[test]
fn jobs_count_with_their_cron_job_only() {
    let mut rig = rig();
    let mut rv = 10;
    let job = |name: &str, uid: &str| {
        pod(name)
            .with(|p| p.meta.owners = Arc::new([owner("batch/v1", "Job", name, uid)]))
            .container(container("main").image("tidy:1"))
            .on("n1")
    };
    rig.world.apply_job(link("tidy-28", "j1", &[owner("batch/v1", "CronJob", "tidy", "cj")]), |_, _| {});
    rig.world.apply_job(link("once", "j2", &[]), |_, _| {});
    for name in ["tidy-28", "once", "unknown-12345678"] {
        rig.pod(job(name, if name == "tidy-28" { "j1" } else { "j2" }).arc());
    }
    rig.pod(pod("bare").on("n1").arc());
    rig.start();
    for name in ["tidy-28", "once", "unknown-12345678", "bare"] {
        rig.sample(name, 50);
    }
    assert_eq!(rig.serve(&mut rv).0, ["create default/cronjob-tidy", "status default/cronjob-tidy"]);
}

#[test]
fn a_workload_made_anew_inherits_nothing() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.profile(row("older", 7, 300, -60));
    rig.start();
    rig.sample("a", 100);
    let (done, statuses) = rig.serve(&mut rv);
    let expected =
        ["delete default/deployment-web mp-7", "create default/deployment-web", "status default/deployment-web"];
    assert_eq!(done, expected);
    assert_eq!(statuses[0]["containers"][0]["peakBytes"], 100 * MIB);
}

#[test]
fn a_deleted_profile_is_learned_anew() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.profile(row("d", 7, 300, -60));
    rig.start();
    rig.sample("a", 100);
    rig.serve(&mut rv);
    rig.remove_profile(&ObjectKey::new("default", "deployment-web"));
    rig.settle();
    assert_eq!(rig.serve(&mut rv).0, Vec::<String>::new(), "not before there is something to say");
    rig.sample("a", 100);
    let (done, statuses) = rig.serve(&mut rv);
    assert_eq!(done, ["create default/deployment-web", "status default/deployment-web"]);
    assert_eq!(statuses[0]["containers"][0]["peakBytes"], 100 * MIB);
}

#[test]
fn what_somebody_else_wrote_is_believed() {
    let mut rig = rig();
    let mut rv = 10;
    rig.deployment();
    rig.pod(web("a").arc());
    rig.profile(row("d", 7, 300, -60));
    rig.start();
    rig.sample("a", 100);
    rig.serve(&mut rv);
    let mut edited = (*row("d", 8, 40, -30)).clone();
    edited.meta.uid = "mp-7".into();
    rig.profile(Arc::new(edited));
    rig.settle();
    rig.sample("a", 60);
    let (_, statuses) = rig.serve(&mut rv);
    assert_eq!(statuses[0]["containers"][0]["peakBytes"], 60 * MIB);
}

#[test]
fn conflicts_are_resolved_by_a_consistent_read() {
    let mut rig = rig();
    rig.deployment();
    rig.pod(web("a").arc());
    rig.start();
    rig.sample("a", 100);
    let (id, _) = rig.take().remove(0);
    rig.answer(id, Err(WriteError::AlreadyExists("x".into())));
    rig.advance(Duration::from_secs(1));
    let (id, op) = rig.take().remove(0);
    assert!(matches!(op, Op::Get { .. }), "{op:?}");
    let body = json!({"metadata": {"ownerReferences": [{"uid": "d"}]}});
    let key = ObjectKey::new("default", "deployment-web");
    let found = Found { key, uid: "mp".into(), resource_version: 9, body: Arc::new(body) };
    rig.answer(id, Ok(Written { uid: None, resource_version: 9, found: vec![found] }));
    rig.advance(Duration::from_secs(1));
    let (id, op) = rig.take().remove(0);
    let Op::Update { body, .. } = op else { panic!("{op:?}") };
    assert_eq!(body["metadata"]["resourceVersion"], "9");
    // Deleted by the garbage collector: not made again.
    rig.answer(id, Err(WriteError::NotFound("x".into())));
    rig.advance(Duration::from_secs(100));
    assert_eq!(rig.take(), []);
}

#[test]
fn without_the_crd_it_asks_once_a_minute() {
    let mut rig = rig();
    rig.deployment();
    rig.pod(web("a").arc());
    rig.start();
    let mut creates = 0;
    for _ in 0..20 {
        rig.sample("a", 100);
        rig.advance(POLL);
        for (id, op) in rig.take() {
            assert!(matches!(op, Op::Create { .. }));
            creates += 1;
            rig.answer(id, Err(WriteError::NotFound("no such resource".into())));
        }
    }
    assert!((4..=6).contains(&creates), "{creates} in 300 s");
}

#[test]
fn without_the_crd_one_workload_tries_for_all() {
    let mut rig = rig();
    let names: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
    for name in &names {
        let owned = pod(name).owner("StatefulSet", &format!("of-{name}"), "u");
        rig.pod(owned.container(container("main").image("web:1")).on("n1").arc());
    }
    rig.start();
    let mut tries = Vec::new();
    for _ in 0..20 {
        for name in &names {
            rig.sample(name, 100);
        }
        for _ in 0..POLL.as_secs() {
            rig.advance(Duration::from_secs(1));
            for (id, op) in rig.take() {
                assert!(matches!(op, Op::Create { .. }), "{op:?}");
                tries.push(rig.now.wall.secs() - i64::from(START));
                rig.answer(id, Err(WriteError::NotFound("no such resource".into())));
            }
        }
    }
    // Those that were on their way at first, then one a minute.
    let late = tries.iter().filter(|second| **second > 30).count();
    assert!((4..=5).contains(&late), "{tries:?}");
    // It is there now: nobody waits for a minute of its own.
    let (mut made, mut rv) = (0, 1);
    for _ in 0..20 {
        let (done, _) = rig.serve(&mut rv);
        made += done.iter().filter(|what| what.starts_with("create")).count();
    }
    assert_eq!(made, names.len());
}

#[test]
fn a_namespace_that_is_gone_keeps_nobody_else_waiting() {
    let mut rig = rig();
    rig.deployment();
    rig.pod(web("a").arc());
    rig.pod(pod("b").owner("StatefulSet", "s", "u").container(container("main").image("web:1")).on("n1").arc());
    rig.start();
    rig.sample("a", 100);
    let (id, _) = rig.take().remove(0);
    rig.answer(id, Err(WriteError::NotFound("namespaces \"default\" not found".into())));
    rig.sample("b", 100);
    rig.advance(Duration::from_secs(1));
    let creates: Vec<bool> = rig.take().iter().map(|(_, op)| matches!(op, Op::Create { .. })).collect();
    assert_eq!(creates, [true]);
}

#[test]
fn writes_are_paced_and_workloads_bounded() {
    let mut rig = rig();
    rig.start();
    let count = MAX_WORKLOADS + 10;
    for n in 0..count {
        let name = format!("p{n}");
        rig.pod(pod(&name).owner("StatefulSet", &format!("s{n}"), "u").container(container("main")).on("n1").arc());
    }
    let seen: Vec<_> = (0..count)
        .map(|n| PodObservation {
            key: ObjectKey::new("default", format!("p{n}").as_str()),
            uid: format!("uid-p{n}").into(),
            at: rig.now.wall,
            containers: Box::new([ContainerObservation { name: "main".into(), footprint: MIB, started: None }]),
        })
        .collect();
    let (world, now) = (&rig.world, rig.now);
    rig.controller.sampled(&seen, world, now);
    assert_eq!(rig.controller.workloads.len(), MAX_WORKLOADS);
    rig.advance(Duration::from_secs(10));
    let writes = rig.take().len();
    assert!((45..=52).contains(&writes), "{writes} in 10 s");
    // Pods that are gone take nothing, and workloads without an object are forgotten.
    rig.remove_pod(&ObjectKey::new("default", "p0"));
    assert_eq!(rig.controller.last.len(), count - 1);
}
