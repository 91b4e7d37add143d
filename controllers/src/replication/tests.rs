//! The loop, driven by hand.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Now, Timestamp,
    intent::{Found, Intent, IntentId, Op, Outcome, WriteError, Written},
    object::{Meta, ObjectKey, Phase, Pod, ReplicationController},
    testing::{PodBuilder, pod},
};
use serde_json::{Value, json};

use super::Replication;
use crate::framework::{Controller, Outbox, World};

/// A replication controller `default/<name>` that selects `app=<name>`.
pub(crate) fn rc(name: &str, replicas: i32) -> ReplicationController {
    let labels = [("app", name)].into_iter().collect::<headroom_core::selector::Labels>();
    ReplicationController {
        meta: Meta {
            key: ObjectKey::new("default", name),
            uid: format!("uid-{name}").into(),
            resource_version: 1,
            generation: 1,
            ..Meta::default()
        },
        replicas,
        selector: labels.clone(),
        template_labels: labels,
        template: format!(r#"{{"metadata":{{"labels":{{"app":"{name}"}}}},"spec":{{"containers":[]}}}}"#).into(),
        ..ReplicationController::default()
    }
}

/// A pod of `rc("web", _)`.
fn ours(name: &str) -> PodBuilder {
    pod(name).label("app", "web").owner("ReplicationController", "web", "uid-web").rv(2)
}

struct Rig {
    world: World,
    c: Replication,
    now: Now,
    next: u64,
    /// Not yet answered.
    open: Vec<Intent>,
    events: Vec<String>,
    rv: u64,
}

impl Rig {
    fn new(rc: ReplicationController, pods: Vec<PodBuilder>) -> Self {
        let mut rig = Self {
            world: World::default(),
            c: Replication::new(1),
            now: Now::at_secs(1_000_000),
            next: 0,
            open: vec![],
            events: vec![],
            rv: 100,
        };
        rig.apply_rc(rc);
        for p in pods {
            rig.apply(p);
        }
        let Rig { world, c, now, next, open, .. } = &mut rig;
        c.started(world, *now, &mut Outbox::new(1, next, open));
        rig.run();
        rig
    }

    fn apply_rc(&mut self, rc: ReplicationController) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_rc(Arc::new(rc), |e, w| c.observe(e, w, now));
    }

    fn apply(&mut self, p: PodBuilder) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_pod(p.arc(), |e, w| c.observe(e, w, now));
    }

    fn remove(&mut self, name: &str) {
        let (c, now) = (&mut self.c, self.now);
        self.world.remove_pod(&ObjectKey::new("default", name), |e, w| c.observe(e, w, now));
    }

    fn run(&mut self) {
        for _ in 0..1000 {
            let Rig { world, c, now, next, open, .. } = self;
            let more = c.poll(world, *now, &mut Outbox::new(1, next, open));
            self.open.retain(|i| match &i.op {
                Op::Event(e) => {
                    self.events.push(format!("{} {}", e.reason, e.note));
                    false
                }
                _ => true,
            });
            if !more {
                return;
            }
        }
        panic!("never comes to rest");
    }

    fn advance(&mut self, d: Duration) {
        self.now = Now { wall: self.now.wall + d, mono: self.now.mono + d };
        self.run();
    }

    fn answer(&mut self, id: IntentId, result: Result<Written, WriteError>) {
        let Rig { world, c, now, next, open, .. } = self;
        c.outcome(&Outcome { id, result }, world, *now, &mut Outbox::new(1, next, open));
        self.run();
    }

    /// Answers what matches, and returns how much that was.
    fn reply(&mut self, pick: impl Fn(&Op) -> Option<Result<Written, WriteError>>) -> usize {
        let open = std::mem::take(&mut self.open);
        let mut answers = vec![];
        for i in open {
            match pick(&i.op) {
                Some(result) => answers.push((i.id, result)),
                None => self.open.push(i),
            }
        }
        let n = answers.len();
        for (id, result) in answers {
            self.answer(id, result);
        }
        n
    }

    fn ok(&mut self, uid: Option<&str>) -> Result<Written, WriteError> {
        self.rv += 1;
        Ok(Written { uid: uid.map(Into::into), resource_version: self.rv, found: vec![] })
    }

    /// Answers lists with these pods.
    fn stock(&mut self, names: &[&str]) -> usize {
        let found: Vec<_> = names.iter().map(|n| found(n)).collect();
        let rv = self.rv;
        self.reply(|op| {
            let Op::List { labels, .. } = op else { return None };
            assert_eq!(labels, "app=web");
            Some(Ok(Written { uid: None, resource_version: rv, found: found.clone() }))
        })
    }

    fn creates(&self) -> Vec<String> {
        let name = |i: &Intent| match &i.op {
            Op::Create { key, .. } => Some(key.name.to_string()),
            _ => None,
        };
        self.open.iter().filter_map(name).collect()
    }

    fn deletes(&self) -> Vec<String> {
        let name = |i: &Intent| match &i.op {
            Op::Delete { key, uid, .. } => {
                assert!(uid.is_some(), "deletions carry the UID");
                Some(key.name.to_string())
            }
            _ => None,
        };
        self.open.iter().filter_map(name).collect()
    }

    /// The status last asked for.
    fn status(&self) -> Option<Value> {
        self.open.iter().rev().find_map(|i| match &i.op {
            Op::Patch { subresource: "status", body, .. } => Some(body["status"].clone()),
            _ => None,
        })
    }

    /// Answers status writes.
    fn status_ok(&mut self) {
        while self.status().is_some() {
            self.rv += 1;
            let rv = self.rv;
            self.reply(|op| {
                matches!(op, Op::Patch { subresource: "status", .. })
                    .then(|| Ok(Written { uid: None, resource_version: rv, found: vec![] }))
            });
        }
    }

    /// Every creation succeeds and is not seen.
    fn create_all(&mut self) -> Vec<usize> {
        let mut batches = vec![];
        loop {
            self.status_ok();
            let names = self.creates();
            if names.is_empty() {
                return batches;
            }
            batches.push(names.len());
            self.reply(|op| match op {
                Op::Create { key, .. } => Some(Ok(Written {
                    uid: Some(format!("uid-{}", key.name).into()),
                    resource_version: 500,
                    found: vec![],
                })),
                _ => None,
            });
        }
    }
}

fn found(name: &str) -> Found {
    Found {
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: 50,
        body: Arc::new(Value::Null),
    }
}

fn forbidden(op: &Op) -> Option<Result<Written, WriteError>> {
    matches!(op, Op::Create { .. }).then(|| Err(WriteError::Forbidden("exceeded quota: q".into())))
}

#[test]
fn takes_stock_then_creates_in_growing_batches() {
    let mut rig = Rig::new(rc("web", 10), vec![]);
    assert_eq!(rig.creates().len(), 0, "not before a consistent list");
    assert_eq!(rig.stock(&[]), 1);
    assert_eq!(rig.create_all(), [1, 2, 4, 3]);
    rig.advance(Duration::from_secs(5));
    assert!(rig.creates().is_empty(), "the watch lags, nothing is missing");
    assert_eq!(rig.events.len(), 10);
    assert!(rig.events[0].starts_with("SuccessfulCreate Created pod: web-"));
}

#[test]
fn the_burst_is_limited() {
    let mut rig = Rig::new(rc("web", i32::MAX), vec![]);
    rig.stock(&[]);
    assert_eq!(rig.create_all().iter().sum::<usize>(), 500);
}

#[test]
fn an_unknown_outcome_is_resolved_by_a_list_and_the_name_is_used_again() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    let name = rig.creates();
    let lost = |op: &Op| matches!(op, Op::Create { .. }).then(|| Err(WriteError::Unknown("timeout".into())));
    assert_eq!(rig.reply(lost), 1);
    assert!(rig.creates().is_empty());
    rig.advance(Duration::from_secs(1));
    assert!(rig.creates().is_empty(), "blocked until it is resolved");
    assert_eq!(rig.stock(&[]), 1);
    assert_eq!(rig.creates(), name, "the same name");
    rig.reply(lost);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.stock(&[&name[0]]), 1);
    rig.advance(Duration::from_secs(5));
    assert!(rig.creates().is_empty(), "it had been made");
}

#[test]
fn a_taken_name_is_not_tried_for_ever() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    let name = rig.creates();
    rig.reply(|op| matches!(op, Op::Create { .. }).then(|| Err(WriteError::AlreadyExists("taken".into()))));
    assert_eq!(rig.stock(&[]), 1);
    assert_eq!(rig.creates().len(), 1);
    assert_ne!(rig.creates(), name);
}

#[test]
fn what_an_earlier_process_made_counts_though_the_view_lacks_it() {
    let mut rig = Rig::new(rc("web", 3), vec![ours("web-a")]);
    rig.stock(&["web-a", "web-b", "web-c"]);
    assert_eq!(rig.create_all(), [0usize; 0]);
    rig.apply(ours("web-b"));
    rig.run();
    assert!(rig.creates().is_empty());
    // The third one was deleted before the watch ever showed it: after a while another list says so.
    rig.advance(Duration::from_secs(31));
    assert_eq!(rig.stock(&["web-a", "web-b"]), 1);
    assert_eq!(rig.creates().len(), 1);
}

#[test]
fn refusals_are_reported_and_back_off() {
    let mut rig = Rig::new(rc("web", 4), vec![]);
    rig.stock(&[]);
    let name = rig.creates();
    assert_eq!(name.len(), 1, "slow start");
    rig.reply(forbidden);
    assert_eq!(rig.events, ["FailedCreate Error creating: exceeded quota: q"]);
    rig.status_ok();
    rig.apply(ours("x").phase(Phase::Succeeded));
    rig.run();
    assert!(rig.creates().is_empty(), "events do not end the backoff");
    rig.advance(Duration::from_millis(5));
    assert_eq!(rig.creates(), name, "one, and the name is still free");
    rig.reply(forbidden);
    rig.advance(Duration::from_millis(9));
    assert!(rig.creates().is_empty());
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.creates().len(), 1);
}

#[test]
fn the_condition_comes_and_goes() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    rig.status_ok();
    rig.reply(forbidden);
    let condition = rig.status().unwrap()["conditions"][0].clone();
    assert_eq!(
        condition,
        json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: q",
               "lastTransitionTime": Timestamp::from_secs(1_000_000).to_string()})
    );
    rig.status_ok();
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.create_all(), [1]);
    rig.status_ok();
    let written = rig.c.books.values().next().unwrap().status.clone().unwrap();
    assert!(written.1.conditions.is_empty());
}

#[test]
fn a_terminating_namespace_is_left_alone_quietly() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    rig.reply(|op| matches!(op, Op::Create { .. }).then(|| Err(WriteError::NamespaceTerminating("x".into()))));
    rig.advance(Duration::from_secs(60));
    assert!(rig.events.is_empty() && rig.creates().is_empty());
    rig.advance(Duration::from_secs(240));
    assert_eq!(rig.creates().len(), 1);
}

#[test]
fn surplus_pods_go_in_the_order_of_rank_once() {
    let pods = vec![
        ours("web-old").on("n").ready(1000, "10.0.0.1").created(1000),
        ours("web-pending"),
        ours("web-new").on("n").ready(999_990, "10.0.0.2").created(999_990),
    ];
    let mut rig = Rig::new(rc("web", 1), pods);
    assert_eq!(rig.deletes(), ["web-pending", "web-new"]);
    let ok = rig.ok(None);
    rig.reply(|op| matches!(op, Op::Delete { .. }).then(|| ok.clone()));
    rig.advance(Duration::from_secs(100));
    assert!(rig.deletes().is_empty(), "the view is old, they are gone");
    assert_eq!(rig.events.len(), 2);
    // Wanted again before the watch has shown anything: two are missing.
    let mut more = rc("web", 3);
    (more.meta.generation, more.meta.resource_version) = (2, 90);
    rig.apply_rc(more);
    rig.run();
    rig.stock(&["web-old", "web-pending", "web-new"]);
    assert_eq!(rig.create_all().iter().sum::<usize>(), 2);
}

#[test]
fn a_deletion_of_unknown_outcome_is_repeated() {
    // A conflict that is not about the UID says nothing about the pod: webhooks may answer so.
    for error in [WriteError::Unknown("lost".into()), WriteError::Conflict("the object has been modified".into())] {
        let mut rig = Rig::new(rc("web", 0), vec![ours("web-a")]);
        assert_eq!(rig.deletes(), ["web-a"]);
        rig.reply(|op| matches!(op, Op::Delete { .. }).then(|| Err(error.clone())));
        assert!(rig.deletes().is_empty());
        rig.advance(Duration::from_millis(5));
        assert_eq!(rig.deletes(), ["web-a"]);
        rig.reply(|op| matches!(op, Op::Delete { .. }).then(|| Err(WriteError::NotFound("gone".into()))));
        rig.advance(Duration::from_secs(5));
        assert!(rig.deletes().is_empty());
    }
}

#[test]
fn pods_not_seen_are_waited_for_before_any_is_deleted_and_go_first_when_a_list_has_them() {
    let mut rig = Rig::new(rc("web", 2), vec![ours("web-a").on("n").ready(1000, "10.0.0.1")]);
    rig.stock(&["web-a"]);
    let name = rig.creates().remove(0);
    rig.create_all();
    let mut fewer = rc("web", 1);
    (fewer.meta.generation, fewer.meta.resource_version) = (2, 90);
    rig.apply_rc(fewer);
    rig.run();
    assert!(rig.deletes().is_empty());
    rig.advance(Duration::from_secs(31));
    assert_eq!(rig.stock(&["web-a", &name]), 1);
    assert_eq!(rig.deletes(), [name]);
}

#[test]
fn orphans_are_adopted_after_a_live_look() {
    let mut rig = Rig::new(rc("web", 1), vec![pod("free").label("app", "web")]);
    assert!(rig.creates().is_empty());
    let get = |uid: &'static str, deleted: Value| {
        move |op: &Op| {
            matches!(op, Op::Get { .. }).then(|| {
                let body = Arc::new(json!({"metadata": {"deletionTimestamp": deleted}}));
                let f = Found { uid: uid.into(), body, ..found("web") };
                Ok(Written { uid: None, resource_version: 9, found: vec![f] })
            })
        }
    };
    let patches = |rig: &Rig| {
        rig.open.iter().filter(|i| matches!(i.op, Op::Patch { subresource: "", .. })).cloned().collect::<Vec<_>>()
    };
    assert_eq!(rig.reply(get("another", Value::Null)), 1);
    assert!(patches(&rig).is_empty());
    rig.advance(Duration::from_millis(5));
    assert_eq!(rig.reply(get("uid-web", json!("2026-01-01T00:00:00Z"))), 1);
    assert!(patches(&rig).is_empty());
    rig.advance(Duration::from_millis(10));
    assert_eq!(rig.reply(get("uid-web", Value::Null)), 1);
    let adoption = patches(&rig);
    let Op::Patch { body, .. } = &adoption[0].op else { panic!() };
    assert_eq!(body["metadata"]["uid"], "uid-free");
    assert_eq!(body["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
    let ok = rig.ok(None);
    rig.reply(|op| matches!(op, Op::Patch { subresource: "", .. }).then(|| ok.clone()));
    rig.advance(Duration::from_secs(1));
    assert!(patches(&rig).is_empty() && rig.creates().is_empty(), "it counts although the view lags");
}

#[test]
fn pods_that_do_not_match_any_more_are_released_and_replaced() {
    let mut rig = Rig::new(rc("web", 1), vec![ours("web-a").label("app", "debug")]);
    let released = rig.reply(|op| match op {
        Op::Patch { subresource: "", body, .. } => {
            assert_eq!(body["metadata"]["ownerReferences"][0], json!({"$patch": "delete", "uid": "uid-web"}));
            Some(Ok(Written { uid: None, resource_version: 77, found: vec![] }))
        }
        _ => None,
    });
    assert_eq!(released, 1);
    rig.stock(&[]);
    assert_eq!(rig.creates().len(), 1);
    rig.create_all();
    assert!(rig.open.is_empty());
}

#[test]
fn one_that_is_being_deleted_only_reports() {
    let mut dying = rc("web", 5);
    dying.meta.deleted = Some(Timestamp::from_secs(1));
    let pods = vec![ours("web-a"), pod("free").label("app", "web"), ours("stray").label("app", "x")];
    let mut rig = Rig::new(dying, pods);
    assert_eq!(rig.status().unwrap()["replicas"], 1);
    rig.status_ok();
    assert!(rig.open.is_empty(), "{:?}", rig.open);
}

#[test]
fn counts_and_waits_for_min_ready() {
    let mut r = rc("web", 3);
    r.min_ready_seconds = 60;
    r.meta.generation = 4;
    let pods = vec![
        ours("web-a").on("n").ready(999_000, "10.0.0.1"),
        ours("web-b").on("n").ready(999_970, "10.0.0.2"),
        ours("web-c"),
        ours("web-done").phase(Phase::Succeeded),
    ];
    let mut rig = Rig::new(r, pods);
    assert_eq!(
        rig.status().unwrap(),
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 1,
               "observedGeneration": 4, "conditions": null})
    );
    rig.status_ok();
    assert!(rig.status().is_none(), "nothing new, nothing written");
    rig.advance(Duration::from_secs(29));
    assert!(rig.status().is_none());
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.status().unwrap()["availableReplicas"], 2);
}

#[test]
fn yields_to_another_manager_once() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    let mine = rig.creates().remove(0);
    rig.create_all();
    rig.apply(ours(&mine).rv(501));
    rig.run();
    assert_eq!(rig.c.yielded(), None);
    rig.apply(ours("web-stock").rv(600));
    rig.run();
    assert!(rig.c.yielded().is_some());
    let told = rig.events.iter().filter(|e| e.starts_with("YieldedToAnotherManager Pod web-stock")).count();
    assert_eq!(told, 1);
    rig.apply(ours("web-stock2").rv(601));
    rig.advance(Duration::from_secs(1000));
    assert!(rig.deletes().is_empty());
    assert_eq!(rig.events.iter().filter(|e| e.starts_with("Yielded")).count(), 1);
}

#[test]
fn pods_of_an_earlier_leader_are_no_reason_to_yield() {
    // Its last pods arrive late, before and after we took stock.
    let mut rig = Rig::new(rc("web", 3), vec![ours("web-a")]);
    rig.apply(ours("web-b").rv(99));
    rig.run();
    assert_eq!(rig.stock(&["web-a", "web-b", "web-c"]), 1);
    rig.apply(ours("web-c").rv(120));
    rig.apply(ours("web-c").rv(121));
    rig.run();
    assert_eq!(rig.c.yielded(), None);
}

#[test]
fn pods_that_kubelets_reject_do_not_make_it_spin() {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    let mut made = 0;
    for second in 0..600 {
        for name in rig.creates() {
            made += 1;
            rig.create_all();
            rig.apply(ours(&name).rv(501 + second));
            rig.apply(ours(&name).rv(501 + second).phase(Phase::Failed).with(|p: &mut Pod| {
                p.status.reason = "OutOfmemory".into();
            }));
            rig.run();
        }
        rig.advance(Duration::from_secs(1));
    }
    assert!((8..=14).contains(&made), "{made} pods in ten minutes");
    // One runs: forgiven.
    let mut runs = vec![];
    while runs.is_empty() {
        rig.advance(Duration::from_secs(10));
        runs = rig.creates();
    }
    rig.create_all();
    rig.apply(ours(&runs[0]).rv(9000).on("n").ready(1_000_600, "10.0.0.1"));
    rig.run();
    rig.remove(&runs[0]);
    rig.run();
    assert_eq!(rig.creates().len(), 1);
}
