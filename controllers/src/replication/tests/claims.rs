//! Which pods are its own, what its status says of them, and pods that somebody else made.

use super::*;

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
fn an_adoption_that_is_refused_is_told_in_no_condition() {
    let mut rig = Rig::new(rc("web", 1), vec![pod("free").label("app", "web")]);
    rig.status_ok();
    let live = |uid: &str, deleted: Value| {
        let body = Arc::new(json!({"metadata": {"deletionTimestamp": deleted}}));
        let live = Found { uid: uid.into(), body, ..found("web") };
        Ok(Written { uid: None, resource_version: 9, found: vec![live] })
    };
    for answer in [
        Err(WriteError::Forbidden("not yours".into())),
        Ok(Written { uid: None, resource_version: 9, found: vec![] }),
        live("another", Value::Null),
        live("uid-web", json!("2026-01-01T00:00:00Z")),
    ] {
        assert_eq!(rig.reply(|op| matches!(op, Op::Get { .. }).then(|| answer.clone())), 1, "{answer:?}");
        assert_eq!(rig.status(), None, "{answer:?}");
        rig.advance(Duration::from_secs(1));
    }
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
    dying.meta.set_deleted(Timestamp::from_secs(1));
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
