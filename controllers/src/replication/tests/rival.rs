//! Pods that somebody else has made for one of our replication controllers.

use headroom_core::intent::Found;

use super::*;

/// What the API server says of a pod whose owner this program wrote.
fn written_by(name: &str, manager: &str) -> Result<Written, WriteError> {
    let fields = json!({"f:metadata": {"f:generateName": {}, "f:ownerReferences": {".": {}}}, "f:spec": {}});
    let body = json!({"metadata": {"managedFields": [
        {"manager": "kubelet", "time": "2026-01-01T00:00:01Z", "fieldsV1": {"f:status": {}}},
        {"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields},
    ]}});
    let found = Found {
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: 600,
        body: Arc::new(body),
    };
    Ok(Written { uid: None, resource_version: 600, found: vec![found] })
}

/// One pod is wanted and there, and another one comes that we have not made. It is being asked for.
fn suspicious() -> Rig {
    let mut rig = Rig::new(rc("web", 1), vec![]);
    rig.stock(&[]);
    let mine = rig.creates().remove(0);
    rig.create_all();
    rig.apply(ours(&mine).rv(501));
    rig.run();
    assert_eq!(rig.c.yielded(), None);
    rig.status_ok();
    rig.apply(ours("web-other").rv(600));
    rig.run();
    assert!(rig.deletes().is_empty(), "nothing before the answer");
    assert_eq!(rig.c.yielded(), None);
    rig
}

fn answer(rig: &mut Rig, result: &Result<Written, WriteError>) {
    let asked = rig.reply(|op| matches!(op, Op::Get { kind: Kind::POD, .. }).then(|| result.clone()));
    assert_eq!(asked, 1);
}

fn told(rig: &Rig) -> usize {
    rig.events.iter().filter(|e| e.starts_with("YieldedToAnotherManager Pod web-other")).count()
}

#[test]
fn yields_once_to_a_manager_with_upstreams_loops() {
    let mut rig = suspicious();
    answer(&mut rig, &written_by("web-other", "kube-controller-manager"));
    assert!(rig.c.yielded().is_some_and(|text| text.contains("kube-controller-manager")));
    assert_eq!(told(&rig), 1);
    rig.apply(ours("web-other2").rv(601));
    rig.advance(Duration::from_secs(1000));
    assert!(rig.deletes().is_empty());
    assert_eq!(rig.events.iter().filter(|e| e.starts_with("Yielded")).count(), 1);
}

#[test]
fn a_pod_that_a_person_made_is_one_pod_too_many_and_no_reason_to_stop() {
    for said in [
        written_by("web-other", "kubectl-replace"),
        Err(WriteError::NotFound("web-other".into())),
        Err(WriteError::Forbidden("pods".into())),
    ] {
        let mut rig = suspicious();
        answer(&mut rig, &said);
        assert_eq!((rig.c.yielded(), told(&rig)), (None, 0));
        assert_eq!(rig.deletes().len(), 1, "the surplus goes");
    }
}
