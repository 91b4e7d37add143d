//! The collector as a whole.

mod believed;
mod told;
mod without_crd;

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Found, IntentId, Op, WriteError, Written},
    memory::{MIB, PressureState, Sample, SwapBehavior},
    object::{Meta, Node, ObjectKey, OwnerRef, PublishedCondition, Status},
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
    assert_eq!(bodies.len(), 2, "the sample is old twice, and no heartbeat says that nothing is new");
    let fresh = condition(&bodies[0], "Fresh");
    assert_eq!((&fresh["status"], &fresh["reason"]), (&json!("False"), &json!("Forbidden")));
    assert!(fresh["message"].as_str().unwrap().contains("\"get\" on nodes/stats"), "{fresh}");
    assert_eq!(bodies[0]["status"]["memory"]["workingSetBytes"], 600 * MIB, "what was measured stays");
    // After ten minutes nothing of it is known any more.
    for kind in alerts::ALERTS {
        assert_eq!(condition(&bodies[0], kind)["status"], "False");
        let now = condition(&bodies[1], kind);
        assert_eq!((&now["status"], &now["reason"]), (&json!("Unknown"), &json!("NoSample")), "{kind}");
    }
    rig.good(600);
    let back = rig.serve(&mut rv);
    assert_eq!(condition(&back[0], "Fresh")["status"], "True");
    assert_eq!(condition(&back[0], "SwapThrashing")["status"], "False");
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
fn connections_are_kept_while_polls_are_close() {
    for (nodes, kept) in [(3, true), (500, false)] {
        let mut rig = rig();
        for i in 0..nodes {
            rig.node(small(&format!("n{i}")).arc());
        }
        rig.start();
        // Until all nodes are known.
        rig.advance(Duration::from_secs(2));
        for (id, name, path) in rig.commands() {
            rig.result(id, &name, path, Err(ScrapeError::NoAddress));
        }
        rig.advance(Duration::from_secs(50));
        let keeps = |command: &CollectorCommand| match command {
            CollectorCommand::Scrape { keep, .. } => Some(*keep),
            CollectorCommand::ReadMetrics => None,
        };
        let all: Vec<bool> = rig.controller.take_commands().iter().filter_map(keeps).collect();
        assert!(!all.is_empty() && all.iter().all(|keep| *keep == kept), "{nodes} nodes: {all:?}");
    }
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

#[test]
fn a_creation_that_waits_for_its_storage_stretches_nothing() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.start();
    rig.good(300);
    rig.jump(Duration::from_secs(2));
    let made: Vec<_> = rig.take();
    assert!(matches!(made.as_slice(), [(_, Op::Create { .. })]), "{made:?}");
    rig.ok(made[0].0, "u", 2);
    rig.settle();
    assert_eq!(rig.controller.pace().interval_seconds, 15);
}
