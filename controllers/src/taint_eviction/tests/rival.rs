//! Another manager that evicts pods because of taints: who is yielded to, and who is not.

use std::sync::Arc;

use headroom_core::intent::{Found, Written};
use serde_json::{Value, json};

use super::*;
use crate::taint_eviction::{marks::MARK, measure::YIELDED};

/// A pod with the mark, in this version.
fn marked(name: &str, version: u64) -> Arc<Pod> {
    let condition = PodCondition {
        kind: "DisruptionTarget".into(),
        status: Status::True,
        reason: REASON.into(),
        message: MESSAGE.into(),
        last_transition: None,
        observed_generation: 1,
    };
    let mut pod = tolerant(name, Some(300)).build();
    pod.meta.resource_version = version;
    pod.status.conditions = [condition].into();
    Arc::new(pod)
}

/// What a consistent read shows after this program has marked the pod, now.
fn marked_by(manager: &str, rig: &Taints) -> Value {
    let mut fields = json!({});
    for part in MARK.trim_start_matches('/').rsplit('/') {
        fields = json!({part: fields});
    }
    let time = rig.now.wall.to_string();
    json!({"metadata": {"managedFields": [
        {"manager": manager, "operation": "Update", "subresource": "status", "time": time, "fieldsV1": fields},
    ]}})
}

/// Answers the look at a pod, if there is one.
fn looked(rig: &mut Taints, name: &str, body: Value) -> bool {
    rig.settle();
    let looks: Vec<_> =
        rig.take().into_iter().filter(|(_, op)| matches!(op, Op::Get { kind: Kind::POD, .. })).collect();
    for (id, op) in &looks {
        let Op::Get { key, .. } = op else { panic!("{op:?}") };
        assert_eq!(&*key.name, name);
        let found = Found { key: key.clone(), uid: "u".into(), resource_version: 9, body: Arc::new(body.clone()) };
        rig.answer(*id, Ok(Written { uid: None, resource_version: 9, found: vec![found] }));
    }
    assert!(looks.len() <= 1, "one at a time");
    !looks.is_empty()
}

/// A pod whose time is running, a minute after the beginning of our lead.
fn working() -> Taints {
    let mut rig = rig();
    rig.pod(tolerant("a", Some(300)).arc());
    secs(&mut rig, 60);
    taint(&mut rig);
    rig
}

#[test]
fn it_yields_to_a_manager_that_marks_pods_and_says_so_once() {
    let mut rig = working();
    rig.pod(marked("a", 7));
    let body = marked_by("kube-controller-manager", &rig);
    assert!(looked(&mut rig, "a", body));
    let told = rig.take_events();
    let why = "YieldedToAnotherManager Pod a was written by another manager, kube-controller-manager, at ";
    assert!(told.len() == 1 && told[0].starts_with(why), "{told:?}");
    assert!(told[0].contains("headroom-controllers stops its taint-eviction-controller"), "{told:?}");
    assert!(rig.controller.yielded().is_some());
    secs(&mut rig, 1000);
    assert_eq!((rig.take(), rig.take_events(), rig.controller.next_deadline()), (vec![], vec![], None));
    let mut measured = Measurements::default();
    rig.controller.measure(&rig.world, &mut measured);
    assert_eq!(measured.texts(&YIELDED), ["=1"]);
}

#[test]
fn nobody_else_is_yielded_to() {
    for manager in ["headroom-controllers", "kubectl-edit", "kubelet"] {
        let mut rig = working();
        rig.pod(marked("a", 7));
        let body = marked_by(manager, &rig);
        assert!(looked(&mut rig, "a", body));
        assert_eq!(rig.controller.yielded(), None, "{manager}");
    }
    // The kubelet of k3s made the condition for a reason of its own, and somebody else has changed that.
    let mut rig = working();
    rig.pod(marked("a", 7));
    let mut body = marked_by("headroom-controllers", &rig);
    let (time, item) = (rig.now.wall.to_string(), "k:{\"type\":\"DisruptionTarget\"}");
    let theirs = json!({"f:status": {"f:conditions": {item: {".": {}, "f:type": {}, "f:status": {}}}}});
    let entry =
        json!({"manager": "k3s", "operation": "Update", "subresource": "status", "time": time, "fieldsV1": theirs});
    body["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
    assert!(looked(&mut rig, "a", body));
    assert_eq!(rig.controller.yielded(), None);
    // Too early: a manager that was about to stop when ours began.
    let mut rig = super::rig();
    rig.pod(tolerant("a", Some(300)).arc());
    taint(&mut rig);
    rig.pod(marked("a", 7));
    assert!(!looked(&mut rig, "a", Value::Null));
}

#[test]
fn its_own_marks_need_no_look_and_one_that_crosses_them_does() {
    let done = |resource_version| Ok(Written { uid: Some("u".into()), resource_version, found: Vec::new() });
    for (seen, answer, foreign) in [
        (9, done(9), false),
        (8, done(9), true),
        (8, Err(WriteError::Unreachable("x".into())), true),
        (8, Err(WriteError::Unknown("x".into())), false),
    ] {
        let mut rig = working();
        secs(&mut rig, 300);
        let (id, op) = one(&mut rig);
        assert!(matches!(op, Op::PodStatus { .. }), "{op:?}");
        rig.pod(marked("a", seen));
        rig.answer(id, answer.clone());
        let body = marked_by("k3s", &rig);
        assert_eq!(looked(&mut rig, "a", body), foreign, "{seen} {answer:?}");
        assert_eq!(rig.controller.yielded().is_some(), foreign);
    }
    // The row comes after the answer.
    let mut rig = working();
    secs(&mut rig, 300);
    let (id, _) = one(&mut rig);
    rig.ok(id, "u", 9);
    rig.pod(marked("a", 9));
    assert!(!looked(&mut rig, "a", Value::Null));
}
