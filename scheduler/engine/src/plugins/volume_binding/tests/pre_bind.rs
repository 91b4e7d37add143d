use std::time::Duration;

use super::*;

/// A pod on its way to `n1`, the plugin that brings it there, and the cluster.
struct Trip {
    plugin: VolumeBinding,
    cache: Cache,
    pod: PodInfo,
    now: Now,
}

impl Trip {
    fn new(cache: Cache, pod: PodInfo) -> Self {
        Self { plugin: plugin(), cache, pod, now: NOW }
    }

    fn reserve(&mut self) -> Status {
        let mut cx = ReserveCx { now: self.now, cache: &mut self.cache };
        self.plugin.reserve(&mut cx, &self.pod, &"n1".into())
    }

    fn unreserve(&mut self) {
        let mut cx = ReserveCx { now: self.now, cache: &mut self.cache };
        self.plugin.unreserve(&mut cx, &self.pod, &"n1".into());
    }

    /// Calls PreBind; answers its step, what it asked for, and the claims at whose changes it wakes.
    fn call(&mut self, result: Option<Result<u64, WriteError>>) -> (Step, Vec<Op>, Vec<Str>) {
        let outcome = result.map(|r| Outcome {
            id: IntentId(1),
            result: r.map(|resource_version| Written { resource_version, ..Written::default() }),
        });
        let mut cx = BindCx {
            now: self.now,
            cache: &self.cache,
            claims: Vec::new(),
            outcome: outcome.as_ref(),
            ops: Vec::new(),
        };
        let step = self.plugin.pre_bind(&mut cx, &self.pod, &"n1".into());
        (step, cx.ops, cx.claims)
    }

    fn claim(&mut self, c: ClaimBuilder) {
        self.cache.storage_mut().set(StorageObject::Claim(c.arc()));
    }

    fn volume(&mut self, v: VolumeBuilder) {
        self.cache.storage_mut().set(StorageObject::Volume(v.arc()));
    }

    fn assumed(&self) -> (usize, usize) {
        (self.cache.storage().volumes.assumed_count(), self.cache.storage().claims.assumed_count())
    }
}

fn local() -> VolumeBuilder {
    volume("v").class("static").affinity(HOST, &["n1"]).rv(5)
}

fn c() -> ClaimBuilder {
    claim("c").class("static").rv(7)
}

fn d() -> ClaimBuilder {
    claim("d").class("wait").rv(8)
}

fn failed(why: &str) -> Step {
    Step::Done(Status::error(why.to_owned()))
}

fn poll(at: Now) -> Step {
    Step::Wait(Some(at.mono + Duration::from_secs(1)))
}

/// A pod with one claim for the local volume and one to be provisioned, both written.
fn written() -> Trip {
    let mut trip = Trip::new(world(vec![local()], vec![c(), d()]), uses(&["c", "d"]));
    assert_eq!(trip.reserve(), Status::SUCCESS);
    trip.call(None);
    trip.call(Some(Ok(15)));
    assert_eq!(trip.call(Some(Ok(16))).0, poll(NOW));
    trip
}

/// Upstream's `TestAssumePodVolumes`, `TestRevertAssumedPodVolumes` and `TestBindAPIUpdate`.
#[test]
fn reserved_written_and_waited_for() {
    let mut trip = Trip::new(world(vec![local()], vec![c(), d()]), uses(&["c", "d"]));
    assert_eq!(trip.reserve(), Status::SUCCESS);
    assert_eq!((trip.assumed(), trip.plugin.pre_bind_pre_flight(&trip.pod, &"n1".into())), ((1, 1), PreFlight::Work));
    // Nobody else gets it, before anything is written.
    let other = uses(&["e"]);
    trip.claim(claim("e").class("static"));
    assert_eq!(on(&trip.cache, &other, "n1"), Err(vec![REASON_BIND]));

    let (step, ops, _) = trip.call(None);
    assert_eq!((step, ops.len()), (Step::Wait(None), 1));
    let Op::Patch { kind, body, .. } = &ops[0] else { panic!() };
    assert_eq!(kind.plural, "persistentvolumes");
    assert_eq!(
        **body,
        serde_json::json!({
            "metadata": {"uid": "uid-v", "resourceVersion": "5", "annotations": {BOUND_BY_CONTROLLER: "yes"}},
            "spec": {"claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": "default",
                "name": "c", "uid": "uid-c", "resourceVersion": "7", "fieldPath": null}},
        })
    );
    // A wake-up says nothing about the write that is under way.
    assert_eq!(trip.call(None), (Step::Wait(None), vec![], vec![]));
    let (step, ops, _) = trip.call(Some(Ok(15)));
    assert_eq!(step, Step::Wait(None));
    let Op::Patch { kind, body, key, .. } = &ops[0] else { panic!() };
    assert_eq!((kind.plural, key.to_string()), ("persistentvolumeclaims", "default/d".to_owned()));
    assert_eq!(
        **body,
        serde_json::json!({"metadata": {"uid": "uid-d", "resourceVersion": "8", "annotations": {SELECTED_NODE: "n1"}}})
    );
    let (step, ops, claims) = trip.call(Some(Ok(16)));
    assert_eq!((step, ops.len()), (poll(NOW), 0));
    assert_eq!(claims, [Str::from("uid-c"), "uid-d".into()]);

    // The watch shows our writes, then the controller's, one by one.
    trip.volume(local().rv(15).for_claim("c", "uid-c"));
    trip.claim(d().rv(16).annotation(SELECTED_NODE, "n1"));
    assert_eq!((trip.call(None).0, trip.assumed()), (poll(NOW), (0, 0)));
    trip.claim(c().rv(17).bound("v"));
    assert_eq!(trip.call(None).0, poll(NOW));
    trip.claim(d().rv(18).annotation(SELECTED_NODE, "n1").bound("made"));
    assert_eq!(trip.call(None).0, poll(NOW), "its volume is not seen yet");
    trip.volume(volume("made").class("wait").for_claim("d", "uid-d"));
    assert_eq!(trip.call(None).0, Step::Done(Status::SUCCESS));
    assert!(trip.plugin.reserved.is_empty());
}

#[test]
fn nothing_to_do_when_all_is_bound() {
    let mut trip = Trip::new(world(vec![local()], vec![claim("c").bound("v")]), uses(&["c"]));
    assert_eq!((trip.reserve(), trip.assumed()), (Status::SUCCESS, (0, 0)));
    assert_eq!(trip.plugin.pre_bind_pre_flight(&trip.pod, &"n1".into()), PreFlight::Skip);
    let mut without = Trip::new(world(vec![], vec![]), uses(&[]));
    assert_eq!(without.reserve(), Status::SUCCESS);
    assert_eq!(without.plugin.pre_bind_pre_flight(&without.pod, &"n1".into()), PreFlight::Skip);
}

#[test]
fn a_users_reservation_is_completed_and_not_marked() {
    let reserved = local().for_claim("c", "");
    let mut trip = Trip::new(world(vec![reserved], vec![c()]), uses(&["c"]));
    trip.reserve();
    let (_, ops, _) = trip.call(None);
    let Op::Patch { body, .. } = &ops[0] else { panic!() };
    assert!(body["metadata"].get("annotations").is_none(), "{body}");
    assert_eq!(body["spec"]["claimRef"]["uid"], "uid-c");
}

#[test]
fn what_was_not_written_is_taken_back() {
    let conflict = || WriteError::Conflict("the object has been modified".to_owned());
    // The first write fails: nothing stays assumed.
    let mut trip = Trip::new(world(vec![local()], vec![c(), d()]), uses(&["c", "d"]));
    trip.reserve();
    trip.call(None);
    assert_eq!(trip.call(Some(Err(conflict()))).0, failed("the object has been modified"));
    trip.unreserve();
    trip.unreserve();
    assert_eq!((trip.assumed(), trip.plugin.reserved.len()), ((0, 0), 0));
    // The second one fails: the volume was written, and is known as such until the watch shows it.
    trip.reserve();
    trip.call(None);
    trip.call(Some(Ok(15)));
    trip.call(Some(Err(conflict())));
    trip.unreserve();
    assert_eq!(trip.assumed(), (1, 0));
    trip.volume(local().rv(15).for_claim("c", "uid-c"));
    assert_eq!(trip.assumed(), (0, 0));
    // Before anything is written.
    let mut trip = Trip::new(world(vec![local()], vec![c(), d()]), uses(&["c", "d"]));
    trip.reserve();
    trip.unreserve();
    assert_eq!(trip.assumed(), (0, 0));
}

/// Upstream's `TestCheckBindings`.
#[test]
fn what_ends_the_wait() {
    let bound = |rv| local().rv(rv).for_claim("c", "uid-c");
    let selected = || d().rv(16).annotation(SELECTED_NODE, "n1");
    let volume_key = ObjectKey::new("", "v");
    type Change<'a> = Box<dyn Fn(&mut Trip) + 'a>;
    let cases: Vec<(Change<'_>, &str)> = vec![
        (Box::new(|t| t.volume(local().rv(16))), "ClaimRef got reset for pv \"v\""),
        (
            Box::new(|t| t.volume(volume("v").rv(16).for_claim("c", "uid-c").affinity(HOST, &["n2"]))),
            "pv \"v\" node affinity doesn't match node \"n1\": no matching NodeSelectorTerms",
        ),
        (
            Box::new(|t| {
                t.cache.storage_mut().remove(headroom_core::object::Kind::PERSISTENT_VOLUME, &volume_key);
            }),
            "failed to check binding: persistentvolumes \"v\" not found",
        ),
        (
            Box::new(|t| {
                let key = ObjectKey::new("default", "c");
                t.cache.storage_mut().remove(headroom_core::object::Kind::PERSISTENT_VOLUME_CLAIM, &key);
            }),
            "failed to check binding: persistentvolumeclaims \"default/c\" not found",
        ),
        (
            Box::new(|t| {
                t.volume(bound(15));
                t.claim(c().rv(17).bound("v"));
                let key = ObjectKey::new("default", "d");
                t.cache.storage_mut().remove(headroom_core::object::Kind::PERSISTENT_VOLUME_CLAIM, &key);
            }),
            "failed to check provisioning pvc: persistentvolumeclaims \"default/d\" not found",
        ),
        (
            Box::new(|t| {
                t.volume(bound(15));
                t.claim(c().rv(17).bound("v"));
                t.claim(d().rv(18));
            }),
            "selectedNode annotation reset for PVC \"d\"",
        ),
        (
            Box::new(|t| {
                t.volume(bound(15));
                t.claim(c().rv(17).bound("v"));
                t.claim(d().rv(18).annotation("volume.kubernetes.io/storage-provisioner", "p"));
            }),
            "provisioning failed for PVC \"d\"",
        ),
        (
            Box::new(|t| {
                t.volume(bound(15));
                t.claim(c().rv(17).bound("v"));
                t.volume(volume("made").affinity(HOST, &["n2"]));
                t.claim(selected().volume("made"));
            }),
            "pv \"made\" node affinity doesn't match node \"n1\": no matching NodeSelectorTerms",
        ),
        (
            Box::new(|t| {
                t.cache.remove_node("n1");
            }),
            "failed to get node \"n1\": node \"n1\" not found",
        ),
        (
            Box::new(|t| {
                t.volume(bound(15));
                t.now.mono = NOW.mono + Duration::from_secs(600);
            }),
            "context deadline exceeded",
        ),
    ];
    for (change, why) in cases {
        let mut trip = written();
        change(&mut trip);
        assert_eq!(trip.call(None).0, failed(&format!("binding volumes: {why}")), "{why}");
        trip.unreserve();
        assert!(trip.plugin.reserved.is_empty());
    }
    // Old versions say nothing: the claim is not looked at before the volume is as we wrote it.
    let mut trip = written();
    trip.claim(c().rv(17).bound("v"));
    assert_eq!(trip.call(None).0, poll(NOW));
    let annotated = d().rv(9).annotation(BIND_COMPLETED, "yes");
    trip.claim(annotated);
    assert_eq!(trip.call(None).0, poll(NOW));
    assert!(trip.cache.storage().volumes.stored(&volume_key).is_some_and(|v: &Arc<PersistentVolume>| v.available));
}
