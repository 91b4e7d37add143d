//! Endpoints whose Service is not there, or not in view.

use std::sync::Arc;

use headroom_core::{
    intent::{Intent, Op, WriteError, Written},
    object::{Kind, ObjectKey},
};
use serde_json::json;

use super::{Rig, service};
use crate::{endpoint_common::store::Store, framework::Controller};

#[test]
fn leftovers_are_deleted_at_the_start_but_not_locks() {
    let mut store = Store::default();
    for (name, annotations) in
        [("left", json!({})), ("lock", json!({"control-plane.alpha.kubernetes.io/leader": "{}"}))]
    {
        let key = ObjectKey::new("default", name);
        let body = json!({"metadata": {"name": name, "namespace": "default", "annotations": annotations}});
        store.perform(&Op::Create { kind: Kind::ENDPOINTS, key, body: Arc::new(body) }).unwrap();
    }
    let mut rig = Rig::over(vec![service()], vec![], store);
    assert_eq!(rig.run(), ["create web", "delete left"]);
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.remove_service(&ObjectKey::new("default", "web"), |e, w| c.observe(e, w, now));
    assert_eq!(rig.run(), ["delete web"]);
    assert_eq!(rig.store.objects.len(), 1);
}

/// Endpoints that a person wrote, seen before their Service is: after a restart, or while the watch of Services lags.
#[test]
fn endpoints_whose_service_is_only_not_seen_yet_stay() {
    let key = ObjectKey::new("default", "mine");
    let mut store = Store::default();
    let body = json!({"metadata": {"name": "mine", "namespace": "default"}});
    store.perform(&Op::Create { kind: Kind::ENDPOINTS, key: key.clone(), body: Arc::new(body) }).unwrap();
    let mut rig = Rig::over(vec![], vec![], store);
    rig.unseen.push(key.clone());
    assert!(rig.run().is_empty());
    // Gone before it was ever seen: nothing but the time brings the key back.
    rig.unseen.clear();
    assert!(rig.run().is_empty());
    rig.advance(600);
    assert_eq!(rig.run(), ["delete mine"]);
}

/// A view of Endpoints that falls back, as after an old list, while their Service goes.
#[test]
fn endpoints_that_come_into_view_after_their_service_has_gone_are_deleted() {
    let mut rig = Rig::new(vec![service()], vec![]);
    assert_eq!(rig.run(), ["create web"]);
    rig.watching = false;
    let (key, now) = (ObjectKey::new("default", "web"), rig.now);
    rig.world.remove_endpoints(&key, |e, w| rig.c.observe(e, w, now));
    rig.world.remove_service(&key, |e, w| rig.c.observe(e, w, now));
    assert!(rig.run().is_empty(), "nothing is there to be deleted");
    rig.watching = true;
    rig.sync_view();
    assert_eq!(rig.run(), ["delete web"]);
    // What a person wrote stays, for a Service to come.
    let body = json!({"metadata": {"name": "web", "namespace": "default"}});
    rig.store.perform(&Op::Create { kind: Kind::ENDPOINTS, key, body: Arc::new(body) }).unwrap();
    rig.store.writes.clear();
    rig.sync_view();
    assert!(rig.run().is_empty());
}

/// A rig with leftover Endpoints, and the question that it asks about their Service.
fn asking() -> (Rig, Intent) {
    let mut store = Store::default();
    let (key, body) = (ObjectKey::new("default", "web"), json!({"metadata": {"name": "web", "namespace": "default"}}));
    store.perform(&Op::Create { kind: Kind::ENDPOINTS, key, body: Arc::new(body) }).unwrap();
    let mut rig = Rig::over(vec![], vec![], store);
    rig.poll();
    let asked = rig.open.pop().unwrap();
    assert!(matches!(asked.op, Op::Get { kind: Kind::SERVICE, .. }));
    (rig, asked)
}

fn gone(key: &str) -> Result<Written, WriteError> {
    Err(WriteError::NotFound(key.into()))
}

#[test]
fn what_was_made_while_it_was_asked_stays() {
    let (mut rig, asked) = asking();
    rig.service(|s| s.selector = None);
    rig.answer(&asked, gone("web"));
    assert!(rig.run().is_empty(), "the Service is there again");

    let (mut rig, asked) = asking();
    rig.store.overwrite(&ObjectKey::new("default", "web"), "kubectl", rig.now.wall, |o| o["subsets"] = json!([]));
    rig.answer(&asked, gone("web"));
    rig.poll();
    let delete = rig.open.pop().unwrap();
    let refused = rig.store.perform(&delete.op);
    assert!(matches!(refused, Err(WriteError::Conflict(_))), "somebody has written them since");
}

#[test]
fn who_yields_deletes_nothing_any_more() {
    let (mut rig, asked) = asking();
    rig.c.rival.yield_for_test();
    rig.answer(&asked, gone("web"));
    assert!(rig.run().is_empty());
}

#[test]
fn without_an_answer_about_the_service_its_endpoints_stay_and_it_is_asked_again() {
    let mut store = Store::default();
    let (key, body) =
        (ObjectKey::new("default", "left"), json!({"metadata": {"name": "left", "namespace": "default"}}));
    store.perform(&Op::Create { kind: Kind::ENDPOINTS, key, body: Arc::new(body) }).unwrap();
    let mut rig = Rig::over(vec![], vec![], store);
    rig.poll();
    let asked = rig.open.pop().unwrap();
    rig.answer(&asked, Err(WriteError::Unreachable("no answer".into())));
    assert!(rig.run().is_empty());
    rig.advance(1);
    assert_eq!(rig.run(), ["delete left"]);
}
