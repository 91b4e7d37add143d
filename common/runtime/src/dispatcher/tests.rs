use std::{collections::VecDeque, sync::Mutex};

use futures::FutureExt;
use headroom_core::{
    Timestamp,
    intent::{EventRecord, EventType, Intent, IntentId, Op, PodStatusPatch, WriteError},
    object::{Kind, ObjectKey, ObjectReference},
};
use http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tower_test::mock::{self, SendResponse};

use super::*;
use crate::{client::Fence, metrics::Registry};

type Answers = mock::Handle<Request<Body>, Response<Body>>;

struct Fixture {
    dispatcher: Dispatcher,
    handle: DispatchHandle,
    server: Answers,
    rx: mpsc::Receiver<Outcome>,
    fence: Fence,
    registry: Registry,
}

fn start(configure: impl FnOnce(&mut DispatcherConfig), room: usize) -> Fixture {
    let (service, server) = mock::pair();
    let client = kube::Client::new(service, "default");
    let fence = Fence::closed();
    fence.open_forever();
    let registry = Registry::new();
    let mut config = DispatcherConfig::new(Flavour::EventsV1, "test");
    configure(&mut config);
    let (tx, rx) = mpsc::channel(room);
    let metrics = DispatcherMetrics::new(&registry).unwrap();
    let dispatcher = Dispatcher::start(client, LeaderGate::new(fence.clone()), config, metrics, tx, |o| o);
    Fixture { handle: dispatcher.handle(), dispatcher, server, rx, fence, registry }
}

fn bind(id: u64) -> Intent {
    let op = Op::Bind { pod: ObjectKey::new("d", format!("p{id}")), uid: format!("u{id}").into(), node: "n".into() };
    Intent { id: IntentId(id), op }
}

fn status_patch(id: u64, nominated: &str) -> Intent {
    let patch = PodStatusPatch { conditions: vec![], nominated_node_name: Some(Some(nominated.into())) };
    Intent { id: IntentId(id), op: Op::PodStatus { pod: ObjectKey::new("d", "p"), uid: "u".into(), patch } }
}

fn event(note: &str) -> Intent {
    let regarding = ObjectReference { kind: "Pod".into(), namespace: "d".into(), name: note.into(), uid: note.into() };
    let record = EventRecord {
        regarding_api_version: "v1",
        regarding,
        related: None,
        kind: EventType::Normal,
        reason: "Scheduled",
        action: "Binding",
        note: note.to_owned(),
        reporter: None,
        at: Timestamp(1),
    };
    Intent { id: IntentId(0), op: Op::Event(record) }
}

fn reply(code: u16, body: &serde_json::Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

impl Fixture {
    async fn request(&mut self) -> (String, SendResponse<Response<Body>>) {
        let (request, answer) = self.server.next_request().await.unwrap();
        // All writes have it.
        let uri = request.uri().to_string().replace("?fieldValidation=Ignore", "");
        (format!("{} {uri}", request.method()), answer)
    }

    async fn outcome(&mut self) -> (u64, Result<(), &'static str>) {
        let outcome = self.rx.recv().await.unwrap();
        (outcome.id.0, outcome.result.map(|_| ()).map_err(|e| e.metric_label()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_becomes_one_request_and_one_outcome() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(bind(1)).unwrap();
    let (line, answer) = f.request().await;
    assert_eq!(line, "POST /api/v1/namespaces/d/pods/p1/binding");
    assert_eq!(f.handle.credits(), CREDITS - 1);
    answer.send_response(reply(201, &json!({"kind": "Status", "status": "Success"})));
    assert_eq!(f.outcome().await, (1, Ok(())));
    tokio::task::yield_now().await;
    assert_eq!(f.handle.credits(), CREDITS);
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_something_seen_is_measured_when_it_goes_out() {
    let times = prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("times", "times")).unwrap();
    let told = times.clone();
    let mut f = start(|c| (c.writes, c.since_seen) = (1, Some(told)), 8);
    let seen = crate::clock::mono();
    f.handle.submit(bind(1)).unwrap();
    f.handle.submit_since(bind(2), Some(seen)).unwrap();
    let (_, answer) = f.request().await;
    assert_eq!(times.get_sample_count(), 0, "the first is not measured, the second waits for its turn");
    answer.send_response(reply(201, &json!({})));
    let (_, answer) = f.request().await;
    assert_eq!(times.get_sample_count(), 1, "before the answer");
    answer.send_response(reply(201, &json!({})));
    f.fence.close_writes();
    f.handle.submit_since(bind(3), Some(seen)).unwrap();
    while f.outcome().await.0 != 3 {}
    assert_eq!(times.get_sample_count(), 1, "what is refused does not go out");
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_cannot_be_sent_is_answered_too() {
    let mut f = start(|_| {}, 8);
    let op = Op::Get { kind: Kind::POD, key: ObjectKey::new("d", "a/b") };
    f.handle.submit(Intent { id: IntentId(4), op }).unwrap();
    assert_eq!(f.outcome().await, (4, Err("invalid")));
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nothing_is_sent() {
    let mut f = start(|_| {}, 8);
    f.fence.close_writes();
    f.handle.submit(bind(1)).unwrap();
    assert_eq!(f.outcome().await, (1, Err("not_leader")));
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_is_an_unknown_outcome() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(bind(1)).unwrap();
    let (_, _kept) = f.request().await;
    assert_eq!(f.outcome().await, (1, Err("unknown")));
}

#[tokio::test(start_paused = true)]
async fn credits_bound_what_is_accepted_and_come_back_with_the_outcome() {
    let mut f = start(|c| c.credits = 2, 1);
    let reserved = f.handle.try_credit().unwrap();
    f.handle.submit(bind(1)).unwrap();
    assert_eq!(f.handle.submit(bind(2)).unwrap_err().id, IntentId(2));
    assert!(f.handle.try_credit().is_none());
    f.handle.submit(event("always taken")).unwrap();
    drop(reserved);
    f.handle.try_credit().unwrap().submit(bind(3)).unwrap();
    for _ in 0..2 {
        let (_, answer) = f.request().await;
        answer.send_response(reply(201, &json!({})));
    }
    // The channel has room for one outcome: the other one keeps its credit until there is room.
    while f.handle.credits() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.handle.credits(), 1);
    assert_eq!(f.outcome().await, (1, Ok(())));
    assert_eq!(f.outcome().await, (3, Ok(())));
    while f.handle.credits() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn patches_of_one_pod_wait_for_each_other_and_are_merged() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(status_patch(1, "n1")).unwrap();
    let (line, answer) = f.request().await;
    assert_eq!(line, "PATCH /api/v1/namespaces/d/pods/p/status");
    f.handle.submit(status_patch(2, "n2")).unwrap();
    f.handle.submit(status_patch(3, "n3")).unwrap();
    answer.send_response(reply(200, &json!({"metadata": {"uid": "u", "resourceVersion": "7"}})));
    assert_eq!(f.outcome().await, (1, Ok(())));
    let (request, answer) = f.server.next_request().await.unwrap();
    let body = request.into_body().collect_bytes().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({"metadata": {"uid": "u"}, "status": {"nominatedNodeName": "n3"}}));
    answer.send_response(reply(200, &json!({})));
    assert_eq!((f.outcome().await, f.outcome().await), ((2, Ok(())), (3, Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn a_status_patch_is_tried_again_a_write_is_not() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(status_patch(1, "n")).unwrap();
    let (_, answer) = f.request().await;
    answer.send_response(reply(500, &json!({"message": "etcd leader changed"})));
    let (_, answer) = f.request().await;
    answer.send_response(reply(200, &json!({})));
    assert_eq!(f.outcome().await, (1, Ok(())));
    f.handle.submit(bind(2)).unwrap();
    let (_, answer) = f.request().await;
    answer.send_response(reply(500, &json!({"message": "etcd leader changed"})));
    assert_eq!(f.outcome().await, (2, Err("other")));
}

#[tokio::test(start_paused = true)]
async fn patience_is_shown_when_asked_for() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(bind(1)).unwrap();
    let (_, answer) = f.request().await;
    answer.send_response(reply(429, &json!({"message": "slow down"})));
    assert_eq!(f.outcome().await, (1, Err("throttled")));
    let halved = format!("headroom_dispatcher_write_limit {}\n", MAX_WRITES / 2);
    assert!(crate::metrics::encode(&f.registry).unwrap().contains(&halved));
}

#[tokio::test(start_paused = true)]
async fn where_patience_is_asked_for_no_lane_sends_more_than_writes_may() {
    let mut f = start(|c| c.writes = 8, 8);
    f.handle.submit(bind(1)).unwrap();
    let (_, answer) = f.request().await;
    answer.send_response(reply(429, &json!({"message": "slow down"})));
    assert_eq!(f.outcome().await, (1, Err("throttled")));
    for id in 2..=11 {
        let pod = ObjectKey::new("d", format!("p{id}"));
        let patch = PodStatusPatch { conditions: vec![], nominated_node_name: Some(None) };
        let op = Op::PodStatus { pod, uid: format!("u{id}").into(), patch };
        f.handle.submit(Intent { id: IntentId(id), op }).unwrap();
    }
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(f.request().await.1);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(f.server.next_request().now_or_never().is_none(), "half of eight");
    for answer in kept {
        answer.send_response(reply(200, &json!({})));
    }
    assert_eq!(f.outcome().await.1, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn writes_go_before_events() {
    let mut f = start(|c| c.writes = 1, 8);
    f.handle.submit(event("first submitted")).unwrap();
    for id in 1..=3 {
        f.handle.submit(bind(id)).unwrap();
    }
    let mut order = VecDeque::new();
    for _ in 0..4 {
        let (line, answer) = f.request().await;
        order.push_back(line);
        answer.send_response(reply(201, &json!({})));
    }
    assert_eq!(order.pop_back().as_deref(), Some("POST /apis/events.k8s.io/v1/namespaces/d/events"));
    assert!(order.iter().all(|line| line.ends_with("/binding")), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_burst_has_left_behind_goes_out_together_and_a_few_events_do_not() {
    for (events, together) in [(50, MAX_EVENTS), (400, MAX_EVENTS_ALONE)] {
        let mut f = start(|_| {}, 8);
        for i in 0..events {
            f.handle.submit(event(&i.to_string())).unwrap();
        }
        let mut kept = Vec::new();
        for _ in 0..together {
            kept.push(f.request().await.1);
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(f.server.next_request().now_or_never().is_none(), "more than {together} of {events}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_events_are_dropped_and_counted() {
    let f = start(|c| c.event_queue = 4, 8);
    f.fence.close_writes();
    for i in 0..10 {
        f.handle.submit(event(&i.to_string())).unwrap();
    }
    assert!(crate::metrics::encode(&f.registry).unwrap().contains("headroom_events_total{result=\"dropped\"} 6"));
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_was_sent_and_gives_up_the_rest() {
    let mut f = start(|c| c.writes = 1, 8);
    f.handle.submit(bind(1)).unwrap();
    f.handle.submit(bind(2)).unwrap();
    let (_, answer) = f.request().await;
    let drained = tokio::spawn(f.dispatcher.drain());
    assert_eq!(f.rx.recv().await.unwrap().id, IntentId(2), "never sent");
    assert!(!drained.is_finished());
    assert_eq!(f.handle.submit(bind(3)).unwrap_err().id, IntentId(3));
    answer.send_response(reply(201, &json!({})));
    drained.await.unwrap();
    assert_eq!(f.rx.recv().await.unwrap().id, IntentId(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_finished_though_nobody_takes_outcomes_any_more() {
    let mut f = start(|_| {}, 1);
    for id in 1..=3 {
        f.handle.submit(bind(id)).unwrap();
    }
    let (_, first) = f.request().await;
    let (_, second) = f.request().await;
    let (_, third) = f.request().await;
    // One outcome fills the channel, another one waits for room.
    first.send_response(reply(201, &json!({})));
    second.send_response(reply(201, &json!({})));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.handle.outstanding(), 2);
    drop(f.rx);
    let drained = tokio::spawn(f.dispatcher.drain());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!drained.is_finished(), "the third is in flight");
    third.send_response(reply(201, &json!({})));
    drained.await.unwrap();
    assert_eq!(f.handle.outstanding(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_holds_up_the_end_for_a_deadline_at_most() {
    let mut f = start(|_| {}, 8);
    f.handle.submit(bind(1)).unwrap();
    let (_, _kept) = f.request().await;
    let began = tokio::time::Instant::now();
    f.dispatcher.drain().await;
    assert!(began.elapsed() <= REQUEST_DEADLINE + Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(f.rx.recv().await.unwrap().id, IntentId(1));
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_to_the_end() {
    let mut f = start(|_| {}, 8);
    let op = Op::List { kind: Kind::POD, namespace: "d".into(), labels: String::new() };
    f.handle.submit(Intent { id: IntentId(1), op }).unwrap();
    let (_, answer) = f.request().await;
    answer.send_response(reply(200, &json!({"metadata": {"continue": "t"}, "items": [{"metadata": {"name": "a"}}]})));
    let (line, answer) = f.request().await;
    assert!(line.ends_with("pods?limit=500&continue=t"), "{line}");
    answer.send_response(reply(
        200,
        &json!({"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "b"}}]}),
    ));
    let written = f.rx.recv().await.unwrap().result.unwrap();
    assert_eq!((written.found.len(), written.resource_version), (2, 9));
}

/// The engine submits from a thread of its own.
#[test]
fn submits_from_a_plain_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut f = start(|_| {}, 64);
        let handle = f.handle.clone();
        let engine = std::thread::spawn(move || {
            for id in 0..50 {
                handle.submit(bind(id)).unwrap();
            }
        });
        for _ in 0..50 {
            let (_, answer) = f.request().await;
            answer.send_response(reply(201, &json!({})));
        }
        let seen = Mutex::new(Vec::new());
        for _ in 0..50 {
            let (id, result) = f.outcome().await;
            assert_eq!(result, Ok(()));
            seen.lock().unwrap().push(id);
        }
        engine.join().unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    });
}

#[test]
fn not_leader_is_not_retried() {
    assert!(!WriteError::NotLeader.is_retryable());
}
