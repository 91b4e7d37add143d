//! The collector as a whole, and what it believes.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Found, IntentId, Op, WriteError, Written},
    memory::{MIB, PressureState, Sample, SwapBehavior},
    object::{Meta, Node, ObjectKey, OwnerRef},
    testing::{NodeBuilder, container, node, pod},
};
use serde_json::{Value, json};

use super::{
    assess::{Assessment, Before, Counters, Measured, assess},
    *,
};
use crate::{framework::HeadroomRow, testkit::Rig};

const SAMPLE: &[u8] = include_bytes!("../../tests/fixtures/stats-summary.json");
/// A round second; samples of these tests are taken at or after it.
const START: u32 = 1_700_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn small(name: &str) -> NodeBuilder {
    node(name).capacity("1", "1Gi", 110).swap("2Gi")
}

/// A summary of a node with nothing unusual, at this many seconds after the start.
fn summary(seconds: i64, working_set_mib: u64) -> Summary {
    let time = Timestamp::from_secs(i64::from(START) + seconds).to_string();
    let psi = json!({"avg10": 0.0, "avg60": 0.5, "avg300": 0.1, "total": 9});
    let body = json!({"node": {
        "startTime": "2020-01-01T00:00:00Z",
        "memory": {"time": time, "workingSetBytes": working_set_mib << 20, "majorPageFaults": 100 + seconds * 2,
                   "psi": {"some": psi, "full": psi}},
        "swap": {"time": time, "swapAvailableBytes": 2047_u64 << 20, "swapUsageBytes": 1 << 20},
    }, "pods": [
        {"podRef": {"name": "web", "namespace": "default", "uid": "uid-web"},
         "memory": {"time": time, "workingSetBytes": 90 << 20}, "swap": {"time": time, "swapUsageBytes": 1 << 20},
         "containers": [{"name": "main", "startTime": "2020-01-01T00:00:00Z", "memory": {"time": time},
                         "swap": {"time": time, "swapAvailableBytes": 127 << 20, "swapUsageBytes": 1 << 20}}]},
    ]});
    Summary::parse(body.to_string().as_bytes()).unwrap()
}

use super::summary::{Summary, SwapStats};

type Collector = Rig<NodeHeadroomController>;

fn rig() -> Collector {
    Rig::new(NodeHeadroomController::new(Params::default(), Duration::from_secs(15)), START)
}

impl Collector {
    /// Commands since the last look, as (id, node, path).
    fn commands(&mut self) -> Vec<(u64, String, Path)> {
        self.controller
            .take_commands()
            .into_iter()
            .filter_map(|command| match command {
                CollectorCommand::Scrape { id, node, path, .. } => Some((id, node.to_string(), path)),
                CollectorCommand::ReadMetrics => None,
            })
            .collect()
    }

    fn result(&mut self, id: u64, name: &str, path: Path, result: Result<Scraped, ScrapeError>) {
        let result = ScrapeResult { id, node: name.into(), path, result, kubelet_time: None, received_at: self.now };
        self.controller.scraped(result, &self.world, self.now);
        self.settle();
    }

    /// Advances to the next scrape of a summary (refusing configurations), at most so long.
    fn next_scrape(&mut self, most: u64) -> (u64, String) {
        for _ in 0..most * 10 {
            self.settle();
            if let Some((id, name, path)) = self.commands().into_iter().next() {
                assert_eq!(path, Path::Summary);
                return (id, name);
            }
            self.advance(Duration::from_millis(100));
        }
        panic!("no scrape within {most} s");
    }

    fn seconds(&self) -> i64 {
        self.now.wall.secs() - i64::from(START)
    }

    /// One good poll.
    fn good(&mut self, working_set_mib: u64) {
        let (id, name) = self.next_scrape(400);
        let sample = summary(self.seconds(), working_set_mib);
        self.result(id, &name, Path::Summary, Ok(Scraped::Summary(Box::new(sample))));
        self.deny_configz();
    }

    fn deny_configz(&mut self) {
        for (id, name, path) in self.commands() {
            assert_eq!(path, Path::Configz);
            let denied = ScrapeError::Forbidden { account: "a".into(), resource: "nodes/configz" };
            self.result(id, &name, path, Err(denied));
        }
    }

    fn bad(&mut self) -> i64 {
        let (id, name) = self.next_scrape(400);
        let error = ScrapeError::Forbidden { account: "a".into(), resource: "nodes/stats" };
        self.result(id, &name, Path::Summary, Err(error));
        self.seconds()
    }

    /// Answers writes as an API server with this object would; returns the bodies of status writes.
    fn serve(&mut self, rv: &mut u64) -> Vec<Value> {
        let mut bodies = Vec::new();
        loop {
            self.settle();
            let ops = self.take();
            if ops.is_empty() {
                return bodies;
            }
            for (id, op) in ops {
                *rv += 1;
                if let Op::Update { body, .. } | Op::Patch { body, .. } = op {
                    bodies.push((*body).clone());
                }
                self.ok(id, "nh-uid", *rv);
            }
        }
    }
}

fn row(name: &str, owner_uid: &str, rv: u64) -> HeadroomRow {
    let owner = OwnerRef {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.into(),
        uid: owner_uid.into(),
        controller: false,
        block_owner_deletion: false,
    };
    HeadroomRow {
        meta: Meta {
            key: ObjectKey::new("", name),
            uid: format!("nh-{name}").as_str().into(),
            resource_version: rv,
            owners: Arc::new([owner]),
            ..Meta::default()
        },
        ..HeadroomRow::default()
    }
}

fn only(ops: Vec<(IntentId, Op)>) -> (IntentId, Op) {
    assert_eq!(ops.len(), 1, "{ops:?}");
    ops.into_iter().next().unwrap()
}

fn condition<'a>(body: &'a Value, kind: &str) -> &'a Value {
    body["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
}

#[test]
fn a_node_is_polled_created_and_published() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.settle();
    assert!(rig.commands().is_empty(), "not leading yet");
    rig.start();
    rig.good(600);
    let (id, op) = only(rig.take());
    let Op::Create { body, .. } = op else { panic!("{op:?}") };
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "uid-n1");
    assert_eq!(body["apiVersion"], "headroom.dev/v1alpha1");
    rig.ok(id, "nh", 7);
    rig.settle();
    let (id, op) = only(rig.take());
    let Op::Update { subresource: "status", body, key, .. } = op else { panic!("{op:?}") };
    assert_eq!(key, ObjectKey::new("", "n1"));
    assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&json!("nh"), &json!("7")));
    let status = &body["status"];
    assert_eq!(status["memory"]["workingSetBytes"], 600 * MIB);
    assert_eq!(status["memory"]["systemOverheadBytes"], 510 * MIB);
    assert_eq!(status["memory"]["evictionHardBytes"], 100 * MIB);
    assert_eq!(status["memory"]["pressure"]["some"]["avg60"], 0.5);
    assert!(status["memory"].get("majorFaultsPerSecond").is_none(), "one reading is no rate");
    assert_eq!(
        (&status["swap"]["behavior"], &status["swap"]["capacityBytes"]),
        (&json!("LimitedSwap"), &json!(2048 * MIB))
    );
    assert_eq!(status["swap"]["usedBytes"], MIB);
    assert_eq!(status["pods"][0]["swapAvailableBytes"], 127 * MIB);
    assert_eq!((&status["state"], &status["source"]), (&json!("Calm"), &json!("Kubelet")));
    assert_eq!(condition(&body, "Fresh")["status"], "True");
    assert_eq!(condition(&body, "ClockSkew")["status"], "False");
    assert_eq!(status["display"]["ram"], "600Mi/1024Mi");
    assert_eq!(status["intervalSeconds"], 15);
    // H = 1024 - 600 - floor 132 - growth 0.
    assert_eq!(status["headroomBytes"], 292 * MIB);
    assert_eq!(rig.take(), [], "one write at a time");
    rig.ok(id, "nh", 8);
    rig.settle();
    assert_eq!(rig.take(), []);
}

#[test]
fn polls_every_interval_writes_when_material_and_as_heartbeat() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.start();
    rig.good(600);
    assert_eq!(rig.serve(&mut rv).len(), 1);
    let mut times = Vec::new();
    let mut writes = Vec::new();
    for (step, mib) in [600, 601, 640, 641, 641].into_iter().enumerate() {
        rig.good(mib);
        times.push(rig.seconds());
        for body in rig.serve(&mut rv) {
            writes.push((step, body["status"]["memory"]["workingSetBytes"].as_i64().unwrap() / MIB));
            assert_eq!(body["status"]["memory"]["majorFaultsPerSecond"], 2.0);
        }
    }
    assert!(times.windows(2).all(|w| w[1] - w[0] == 15 || w[1] - w[0] == 16 || w[1] - w[0] == 14), "{times:?}");
    // Step 1 is the heartbeat, step 2 the material change, step 4 the next heartbeat.
    assert_eq!(writes, [(1, 601), (2, 640), (4, 641)]);
}

#[test]
fn failures_back_off_and_say_why_once_the_sample_is_old() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.start();
    rig.good(600);
    rig.serve(&mut rv);
    let mut last = rig.seconds();
    let mut bodies = Vec::new();
    let mut gaps = Vec::new();
    for _ in 0..7 {
        let at = rig.bad();
        gaps.push(at - last);
        last = at;
        bodies.extend(rig.serve(&mut rv));
    }
    assert!(gaps[1] >= 15 && gaps[2] >= 30 && gaps[5] >= 240 && gaps[6] <= 331, "{gaps:?}");
    assert_eq!(bodies.len(), 1, "the sample is old once, and no heartbeat says that nothing is new");
    let fresh = condition(&bodies[0], "Fresh");
    assert_eq!((&fresh["status"], &fresh["reason"]), (&json!("False"), &json!("Forbidden")));
    assert!(fresh["message"].as_str().unwrap().contains("\"get\" on nodes/stats"), "{fresh}");
    assert_eq!(bodies[0]["status"]["memory"]["workingSetBytes"], 600 * MIB, "what was measured stays");
    rig.good(600);
    let back = rig.serve(&mut rv);
    assert_eq!(condition(&back[0], "Fresh")["status"], "True");
}

#[test]
fn a_node_that_never_answered_gets_its_conditions_and_keeps_an_older_sample() {
    for older in [false, true] {
        let mut rig = rig();
        rig.node(small("n1").arc());
        let mut object = row("n1", "uid-n1", 5);
        if older {
            object.sample = Sample { at: Timestamp::from_secs(i64::from(START) - 500), ..Sample::default() };
        }
        rig.headroom(Arc::new(object));
        rig.start();
        rig.bad();
        let (_, op) = only(rig.take());
        let Op::Patch { subresource: "status", body, .. } = op else { panic!("{op:?}") };
        assert_eq!(body["metadata"]["uid"], "nh-n1");
        assert_eq!(condition(&body, "Fresh")["reason"], "Forbidden");
        assert!(body["status"].get("memory").is_none());
        assert_eq!(body["status"].get("source").is_some(), !older);
    }
}

#[test]
fn no_address_is_said() {
    let mut rig = rig();
    rig.node(small("n1").with(|n| n.addresses = Box::new([])).arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.advance(SECOND);
    let (_, op) = only(rig.take());
    let Op::Patch { body, .. } = op else { panic!("{op:?}") };
    assert!(condition(&body, "Fresh")["message"].as_str().unwrap().contains("InternalIP"));
    assert!(rig.commands().is_empty());
}

#[test]
fn an_object_of_another_node_is_replaced() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.headroom(Arc::new(row("n1", "uid-of-the-old-node", 5)));
    rig.start();
    rig.good(600);
    let (id, op) = only(rig.take());
    assert!(matches!(op, Op::Delete { uid: Some(uid), .. } if uid == "nh-n1"));
    rig.ok(id, "nh-n1", 6);
    rig.settle();
    // The row is still there; it must not be written to, nor deleted again.
    let (id, op) = only(rig.take());
    assert!(matches!(op, Op::Create { .. }), "{op:?}");
    rig.ok(id, "new", 7);
    rig.remove_headroom("n1");
    rig.settle();
    let (_, op) = only(rig.take());
    assert!(matches!(op, Op::Update { .. }), "{op:?}");
}

#[test]
fn conflicts_are_resolved_by_a_consistent_read() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.good(600);
    let (id, op) = only(rig.take());
    assert!(matches!(op, Op::Update { .. }));
    rig.answer(id, Err(WriteError::Conflict("x".into())));
    rig.advance(SECOND);
    let (id, op) = only(rig.take());
    assert!(matches!(op, Op::Get { .. }), "{op:?}");
    let body = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "uid": "uid-n1"}]}});
    let found = Found { key: ObjectKey::new("", "n1"), uid: "nh-n1".into(), resource_version: 9, body: Arc::new(body) };
    rig.answer(id, Ok(Written { uid: None, resource_version: 9, found: vec![found] }));
    rig.settle();
    let (id, op) = only(rig.take());
    let Op::Update { body, .. } = op else { panic!("{op:?}") };
    assert_eq!(body["metadata"]["resourceVersion"], "9", "not the row's, which lags");
    // Deleted meanwhile: made anew.
    rig.answer(id, Err(WriteError::NotFound("x".into())));
    rig.remove_headroom("n1");
    rig.advance(SECOND);
    assert!(matches!(only(rig.take()).1, Op::Create { .. }));
}

#[test]
fn without_the_crd_it_asks_once_a_minute() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.start();
    let mut creates = 0;
    for _ in 0..20 {
        rig.good(600);
        for (id, op) in rig.take() {
            assert!(matches!(op, Op::Create { .. }));
            creates += 1;
            rig.answer(id, Err(WriteError::NotFound("no such resource".into())));
        }
    }
    assert!((4..=6).contains(&creates), "{creates} in 300 s");
}

#[test]
fn a_node_made_anew_starts_afresh_and_late_results_are_ignored() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.start();
    let (id, _) = rig.next_scrape(2);
    rig.remove_node("n1");
    rig.settle();
    rig.node(small("n1").with(|n| n.meta.uid = "second".into()).arc());
    let late = Ok(Scraped::Summary(Box::new(summary(0, 600))));
    rig.result(id, "n1", Path::Summary, late);
    assert_eq!(rig.take(), []);
    rig.good(500);
    let (_, op) = only(rig.take());
    let Op::Create { body, .. } = op else { panic!("{op:?}") };
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "second");
}

#[test]
fn concurrency_is_limited_and_nobody_starves() {
    let mut rig = rig();
    for i in 0..500 {
        rig.node(small(&format!("n{i}")).arc());
    }
    rig.start();
    let mut polled = std::collections::BTreeMap::<String, u32>::new();
    let mut flying = Vec::new();
    for _ in 0..1200 {
        rig.advance(Duration::from_millis(100));
        flying.extend(rig.commands());
        assert!(flying.len() <= MAX_SCRAPES, "{}", flying.len());
        for (id, name, path) in std::mem::take(&mut flying) {
            *polled.entry(name.clone()).or_default() += u32::from(path == Path::Summary);
            rig.result(id, &name, path, Err(ScrapeError::NoAddress));
        }
        for (id, _) in rig.take() {
            rig.answer(id, Err(WriteError::Forbidden("x".into())));
        }
    }
    // 500 nodes are polled every 50 s, and failing ones less often.
    assert_eq!(polled.len(), 500);
    assert!(polled.values().all(|n| (2..=3).contains(n)), "{polled:?}");
    assert_eq!(rig.controller.pace().interval_seconds, 50);
}

#[test]
fn a_lost_scrape_gives_its_place_back() {
    let mut rig = rig();
    for i in 0..MAX_SCRAPES + 1 {
        rig.node(small(&format!("n{i}")).arc());
    }
    rig.start();
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.commands().len(), MAX_SCRAPES);
    rig.advance(LOST_AFTER);
    assert!(!rig.commands().is_empty());
}

#[test]
fn the_published_state_goes_on_after_a_restart() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    let mut object = row("n1", "uid-n1", 5);
    let at = Timestamp::from_secs(i64::from(START) - 10);
    object.sample = Sample { at, state: PressureState::Hot, state_since: Some(at), ..Sample::default() };
    object.overhead = Some(77);
    rig.headroom(Arc::new(object));
    rig.start();
    rig.good(600);
    let (_, op) = only(rig.take());
    let Op::Update { body, .. } = op else { panic!("{op:?}") };
    assert_eq!(body["status"]["state"], "Hot", "calm for less than a minute");
    assert_eq!(body["status"]["stateSince"], at.to_string());
}

#[test]
fn slow_writes_stretch_the_interval() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.start();
    let mut rv = 1;
    for mib in [300, 400, 500, 600] {
        rig.good(mib);
        for _ in 0..2 {
            rig.jump(Duration::from_millis(700));
            for (id, _) in rig.take() {
                rv += 1;
                rig.ok(id, "u", rv);
            }
            rig.settle();
        }
    }
    assert!(rig.controller.pace().interval_seconds > 15);
}

fn judge(body: &[u8], node: &Node, world: &World, before: &Before, kubelet: Option<i64>, now: i64) -> Assessment {
    let summary = Summary::parse(body).unwrap();
    let now = Now { wall: Timestamp::from_secs(now), mono: Mono(0) };
    assess(&summary, node, world, None, before, kubelet.map(Timestamp::from_secs), now)
}

fn new(assessment: Assessment) -> Measured {
    let Assessment::New(measured) = assessment else { panic!("{assessment:?}") };
    *measured
}

/// 2026-11-22T21:32:56Z, the time of the fixture's node.
const FIXTURE: i64 = 1_795_383_176;

#[test]
fn a_real_kubelets_sample() {
    let mut world = World::default();
    let n = node("n1").capacity("1", "1047502848", 110).swap("2147479552").build();
    world.apply_pod(
        pod("web")
            .uid("be93d397-9de8-45ab-95cd-b73946d8ef82")
            .on("n1")
            .container(container("c").requests("", "64Mi"))
            .arc(),
        |_, _| {},
    );
    let m = new(judge(SAMPLE, &n, &world, &Before::default(), Some(FIXTURE + 4), FIXTURE + 4));
    assert_eq!(m.at, Timestamp::from_secs(FIXTURE));
    assert_eq!((m.working_set, m.swap_used), (Some(384_561_152), Some(51_118_080)));
    assert_eq!((m.swap_capacity, m.behavior), (Some(2_147_479_552), SwapBehavior::LimitedSwap));
    assert_eq!(m.overhead, Some(384_561_152 - 42_438_656 - 268_320_768 - 409_600));
    assert_eq!(m.psi.unwrap().some60, 2.28);
    assert_eq!((m.major_faults, m.skew_seconds), (None, Some(0)));
    let available: Vec<_> = m.pods.iter().map(|p| p.swap_available).collect();
    assert_eq!(available, [Some(137_576_448), Some(86_695_936), Some(0)]);
    // The rate comes from the counter.
    let before = Before {
        counters: Some(Counters { at: Timestamp::from_secs(FIXTURE - 10), major_faults: Some(6098) }),
        ..Before::default()
    };
    assert_eq!(new(judge(SAMPLE, &n, &world, &before, None, FIXTURE)).major_faults, Some(10.0));
    // The same again is no new sample; a clock that was set back is.
    let again = |seconds| Before {
        counters: Some(Counters { at: Timestamp::from_secs(FIXTURE + seconds), major_faults: Some(1) }),
        ..Before::default()
    };
    assert_eq!(judge(SAMPLE, &n, &world, &again(0), None, FIXTURE), Assessment::Repeated);
    assert_eq!(judge(SAMPLE, &n, &world, &again(59), None, FIXTURE), Assessment::Repeated);
    assert_eq!(new(judge(SAMPLE, &n, &world, &again(3600), None, FIXTURE)).major_faults, None);
    assert_eq!(judge(b"{}", &n, &world, &Before::default(), None, FIXTURE), Assessment::NoSample);
}

#[test]
fn clocks_that_differ() {
    let (n, world) = (node("n1").build(), World::default());
    for (kubelet, now, at, skew) in [
        (Some(FIXTURE + 3), FIXTURE + 5, FIXTURE, Some(-1)),
        // An hour behind: the sample is 3 s old on its own clock.
        (Some(FIXTURE + 3), FIXTURE + 3603, FIXTURE + 3600, Some(-3599)),
        (Some(FIXTURE + 3), FIXTURE - 97, FIXTURE - 100, Some(100)),
        (None, FIXTURE + 40, FIXTURE, None),
        (None, FIXTURE - 4, FIXTURE - 4, None),
        (None, FIXTURE - 100, FIXTURE - 100, Some(100)),
    ] {
        let m = new(judge(SAMPLE, &n, &world, &Before::default(), kubelet, now));
        assert!((m.at.secs() - at).abs() <= 1 && m.at.secs() <= now, "{kubelet:?} {now}: {}", m.at.secs() - at);
        assert!(
            m.skew_seconds.zip(skew).map_or(m.skew_seconds == skew, |(a, b)| (a - b).abs() <= 1),
            "{:?}",
            m.skew_seconds
        );
        assert_eq!(super::assess::skewed(m.skew_seconds), skew.is_some_and(|s| s.abs() > 5));
    }
}

#[test]
fn quirks_of_kubelets() {
    let world = World::default();
    let n = small("n1").build();
    let assess = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(SAMPLE).unwrap();
        change(&mut value);
        new(judge(value.to_string().as_bytes(), &n, &world, &Before::default(), None, FIXTURE))
    };
    // Underflow of cAdvisor, and a working set above the machine's.
    let m = assess(&|v| {
        v["node"]["swap"]["swapUsageBytes"] = json!(18_446_743_709_127_774_000_u64);
        v["node"]["memory"]["workingSetBytes"] = json!(1_u64 << 40);
    });
    assert_eq!((m.swap_used, m.swap_capacity, m.working_set, m.overhead), (None, None, None, None));
    // A young container's 0/0 is unknown, an old one's is a fact.
    for (start, expected) in [("2026-11-22T21:32:40Z", None), ("2026-11-22T21:30:00Z", Some(0))] {
        let m = assess(&|v| {
            let container = &mut v["pods"][2]["containers"][0];
            container["startTime"] = json!(start);
        });
        assert_eq!(m.pods[2].swap_available, expected);
        assert_eq!(m.pods[2].swap, expected);
    }
    // Kubelets before 1.34: no swap of pods and containers at all.
    let m = assess(&|v| {
        for pod in v["pods"].as_array_mut().unwrap() {
            pod.as_object_mut().unwrap().remove("swap");
            pod["containers"][0].as_object_mut().unwrap().remove("swap");
        }
    });
    assert_eq!((m.behavior, m.pods[0].swap, m.pods[0].swap_available), (SwapBehavior::Unknown, None, None));
    // A kernel without PSI reports zeros.
    let zeros = json!({"avg10": 0, "avg60": 0, "avg300": 0, "total": 0});
    let m = assess(&|v| {
        v["node"]["memory"]["psi"] = json!({"some": zeros, "full": zeros});
        v["node"]["startTime"] = json!("2026-11-22T20:00:00Z");
    });
    assert_eq!(m.psi, None);
    let m = assess(&|v| v["node"]["memory"]["psi"] = Value::Null);
    assert_eq!(m.psi, None);
}

#[test]
fn the_behaviour_from_annotation_and_configuration() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    let (id, name) = rig.next_scrape(2);
    rig.result(id, &name, Path::Summary, Ok(Scraped::Summary(Box::new(summary(rig.seconds(), 600)))));
    let (id, name, path) = rig.commands().pop().unwrap();
    assert_eq!(path, Path::Configz, "after the first sample");
    let config = super::configz::KubeletConfig::parse(
        br#"{"kubeletconfig":{"memorySwap":{},"evictionHard":{"memory.available":"10%"}}}"#,
    );
    rig.result(id, &name, path, Ok(Scraped::Configz(config.unwrap())));
    let mut rv = 5;
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["swap"]["behavior"], "NoSwap", "although a container has swap");
    assert_eq!(body["status"]["memory"]["evictionHardBytes"], 107_374_182);
    rig.node(small("n1").annotation("headroom.dev/swap-behavior", "LimitedSwap").arc());
    rig.good(600);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["swap"]["behavior"], "LimitedSwap");
    assert!(rig.commands().is_empty(), "the configuration is read once an hour");
}

#[test]
fn people_are_told_of_thrashing_and_of_pods_without_swap() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").container(container("main")).arc());
    rig.pod(pod("other").uid("uid-other").on("n1").container(container("main")).arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.good(600);
    rig.serve(&mut rv);
    let events = rig.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("NoSwapBestEffort it gets no swap on n1"), "{events:?}");
    assert!(events[0].contains("kubectl apply -n default -f -") && events[0].len() < 1000, "{}", events[0].len());
    rig.good(600);
    rig.serve(&mut rv);
    assert_eq!(rig.take_events(), Vec::<String>::new(), "once");
    // Two samples without headroom.
    for _ in 0..2 {
        rig.good(1000);
        rig.serve(&mut rv);
    }
    let events = rig.take_events();
    assert!(events.iter().any(|e| e.starts_with("MemoryHeadroomLow ")), "{events:?}");
    rig.good(500);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(condition(&body, "MemoryHeadroomLow")["status"], "False");
    assert!(rig.take_events().iter().any(|e| e.starts_with("MemoryHeadroomLowEnded ")));
}

#[test]
fn a_control_plane_with_swap_is_told_once() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").label("node-role.kubernetes.io/control-plane", "").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    for expected in [1, 0] {
        rig.good(600);
        rig.serve(&mut rv);
        let events = rig.take_events();
        assert_eq!(events.iter().filter(|e| e.starts_with("ControlPlaneSwap ")).count(), expected, "{events:?}");
    }
}

#[test]
fn a_kubelet_that_leaves_swap_out_is_asked_for_the_full_summary_now_and_then() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").requests("", "64Mi").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    let (mut paths, mut swaps) = (String::new(), Vec::new());
    for step in 0..10 {
        let (id, name, path) = loop {
            rig.settle();
            if let Some(scrape) = rig.commands().into_iter().next() {
                break scrape;
            }
            rig.advance(Duration::from_millis(100));
        };
        // Large steps, so that every sample is written.
        let mut sample = summary(rig.seconds(), 300 + step * 50);
        sample.node.swap.swap_usage_bytes = Some(40 << 20);
        if path == Path::Summary {
            sample.pods[0].swap = SwapStats::default();
            sample.pods[0].containers[0].swap = SwapStats::default();
        }
        paths.push(if path == Path::Summary { 's' } else { 'F' });
        rig.result(id, &name, path, Ok(Scraped::Summary(Box::new(sample))));
        rig.deny_configz();
        for body in rig.serve(&mut rv) {
            let status = &body["status"];
            swaps.push((status["pods"][0]["swapUsedBytes"].as_i64(), status["swap"]["behavior"].clone()));
        }
    }
    assert_eq!(paths, "sFsssFsssF");
    assert_eq!(swaps[0], (None, json!("Unknown")));
    assert!(swaps[1..].iter().all(|s| *s == (Some(MIB), json!("LimitedSwap"))), "{swaps:?}");
}

#[test]
fn s10_a_kubelet_that_refuses_is_replaced_by_metrics_k8s_io() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").requests("", "64Mi").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.bad();
    assert!(!rig.serve(&mut rv)[0]["status"]["conditions"].to_string().contains("MetricsAPI"));
    let asked = |rig: &mut Collector| {
        let commands = rig.controller.take_commands();
        commands.contains(&CollectorCommand::ReadMetrics)
    };
    assert!(!asked(&mut rig), "one failure may be an accident");
    rig.bad();
    assert!(asked(&mut rig));
    rig.serve(&mut rv);
    let events = rig.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("KubeletNotReadable a may not read the kubelet: grant it \"get\" on nodes/stats"));
    let metrics = |rig: &Collector, mib: i64| {
        let pods = [(ObjectKey::new("default", "web"), 90 * MIB)].into_iter().collect();
        let nodes = [("n1".to_owned(), (mib * MIB, rig.now.wall))].into_iter().collect();
        MetricsResult { result: Ok(metrics_api::Metrics { nodes, pods }), received_at: rig.now }
    };
    let answer = metrics(&rig, 600);
    rig.controller.metrics_read(answer, &rig.world, rig.now);
    let body = rig.serve(&mut rv).pop().unwrap();
    let status = &body["status"];
    assert_eq!((&status["source"], &status["memory"]["workingSetBytes"]), (&json!("MetricsAPI"), &json!(600 * MIB)));
    assert!(status["swap"].get("usedBytes").is_none() && status["memory"].get("pressure").is_none());
    assert_eq!(status["pods"][0]["uid"], "uid-web");
    let fresh = condition(&body, "Fresh");
    assert_eq!((&fresh["status"], &fresh["reason"]), (&json!("True"), &json!("MetricsAPI")));
    assert!(fresh["message"].as_str().unwrap().contains("\"get\" on nodes/stats"), "{fresh}");
    // It goes on every interval although the kubelet is tried less and less often.
    rig.advance(Duration::from_secs(15));
    assert!(asked(&mut rig));
    // Not served: not asked for ten minutes.
    let nothing = MetricsResult { result: Err("404".into()), received_at: rig.now };
    rig.controller.metrics_read(nothing, &rig.world, rig.now);
    rig.advance(Duration::from_secs(30));
    assert!(!asked(&mut rig));
    rig.good(650);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["source"], "Kubelet");
    assert_eq!(condition(&body, "Fresh")["reason"], "Sampled");
}
