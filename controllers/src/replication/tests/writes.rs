//! Pods are made and deleted; and what happens when they are not.

use super::*;

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
fn a_view_that_falls_back_behind_what_it_has_shown_is_no_reason_for_more_pods() {
    let mut rig = Rig::new(rc("web", 3), vec![ours("web-a"), ours("web-b")]);
    rig.stock(&["web-a", "web-b"]);
    let name = rig.creates().remove(0);
    assert_eq!(rig.create_all(), [1]);
    rig.apply(ours(&name));
    rig.run();
    // A list that is older than the pod.
    rig.remove(&name);
    rig.run();
    assert!(rig.creates().is_empty(), "not before a consistent list");
    assert_eq!(rig.stock(&["web-a", "web-b", &name]), 1);
    assert!(rig.creates().is_empty(), "it stands");
    rig.apply(ours(&name));
    rig.run();
    assert_eq!((rig.creates().len(), rig.stock(&[])), (0, 0));
    // Now it is gone.
    rig.remove(&name);
    rig.run();
    assert_eq!(rig.stock(&["web-a", "web-b"]), 1);
    assert_eq!(rig.creates().len(), 1);
}

#[test]
fn a_pod_that_was_seen_to_end_is_replaced_without_a_list() {
    let mut rig = Rig::new(rc("web", 2), vec![ours("web-a")]);
    rig.stock(&["web-a"]);
    assert_eq!(rig.create_all(), [1]);
    rig.apply(ours("web-a").rv(700).phase(Phase::Failed));
    rig.run();
    assert_eq!((rig.creates().len(), rig.create_all().len()), (1, 1));
    rig.remove("web-a");
    rig.run();
    assert_eq!((rig.creates().len(), rig.stock(&[])), (0, 0));
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
fn a_pod_that_goes_makes_room_for_another_try() {
    let mut rig = Rig::new(rc("web", 3), vec![ours("web-a"), ours("web-b")]);
    rig.stock(&["web-a", "web-b"]);
    for _ in 0..12 {
        rig.advance(Duration::from_secs(60));
        rig.reply(forbidden);
        rig.status_ok();
    }
    assert!(rig.creates().is_empty(), "refused again and again: the backoff is long by now");
    rig.apply(ours("web-a").rv(700).label("app", "web").phase(Phase::Failed));
    rig.run();
    assert_eq!(rig.creates().len(), 1, "quota does not count a pod that has ended");
    rig.reply(forbidden);
    rig.status_ok();
    rig.remove("web-a");
    rig.run();
    assert_eq!(rig.creates().len(), 1, "nor one that is gone");
}

#[test]
fn what_is_refused_keeps_no_pod_from_being_adopted() {
    let mut rig = Rig::new(rc("web", 3), vec![ours("web-a")]);
    rig.stock(&["web-a"]);
    rig.reply(forbidden);
    rig.status_ok();
    rig.apply(pod("stray").label("app", "web").rv(3));
    rig.run();
    let asked = rig.open.iter().filter(|i| matches!(i.op, Op::Get { kind: Kind::REPLICATION_CONTROLLER, .. })).count();
    assert_eq!(asked, 1);
    assert!(rig.creates().is_empty());
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
fn pods_that_kubelets_reject_do_not_make_it_spin() {
    let sibling = |rv: u64| ours("web-a").rv(rv).on("n").ready(1000, "10.0.0.2");
    let mut rig = Rig::new(rc("web", 2), vec![sibling(2)]);
    rig.stock(&["web-a"]);
    let mut made = 0;
    for second in 0..600 {
        for name in rig.creates() {
            made += 1;
            rig.create_all();
            rig.apply(ours(&name).rv(501 + second));
            rig.apply(ours(&name).rv(501 + second).phase(Phase::Failed).with(|p: &mut Pod| {
                p.status.change_incidents(|all| all.reason = "OutOfmemory".into());
            }));
            rig.run();
        }
        // Another one runs all the time, and its readiness flaps: that is no sign that kubelets take new ones.
        rig.apply(sibling(2000 + 2 * second).condition("Ready", Status::False, 1000));
        rig.apply(sibling(2001 + 2 * second));
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
    assert_eq!(rig.stock(&["web-a"]), 1);
    assert_eq!(rig.creates().len(), 1);
}
