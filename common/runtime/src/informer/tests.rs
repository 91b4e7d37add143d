use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::stream;
use headroom_core::object::Namespace;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::*;
use crate::{
    client::Steady,
    wire::{NamespaceWire, Row, shared_interners},
};

type Handle = mock::Handle<Request<Body>, Response<Body>>;

fn namespace(name: &str, uid: &str, rv: u64) -> Value {
    json!({"metadata": {"name": name, "uid": uid, "resourceVersion": rv.to_string()}})
}

fn event(kind: &str, object: &Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn initial_end(rv: u64) -> String {
    event(
        "BOOKMARK",
        &json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"resourceVersion": rv.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"}}}),
    )
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn ok(body: String) -> Response<Body> {
    Response::new(Body::from(body.into_bytes()))
}

/// An informer against scripted answers; what it asked is recorded. After the script the server hangs.
struct Fixture {
    rx: mpsc::Receiver<Change<Namespace>>,
    health: InformerHealth,
    task: tokio::task::JoinHandle<()>,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

fn start(config: InformerConfig, script: Vec<Response<Body>>) -> Fixture {
    start_with(InformerHealth::default(), config, script)
}

fn start_with(health: InformerHealth, config: InformerConfig, script: Vec<Response<Body>>) -> Fixture {
    let (service, mut handle): (_, Handle) = mock::pair();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        let mut script: VecDeque<_> = script.into();
        let mut hanging = Vec::new();
        while let Some((request, answer)) = handle.next_request().await {
            seen.lock().unwrap().push(request.uri().to_string());
            match script.pop_front() {
                Some(response) => answer.send_response(response),
                None => hanging.push(answer),
            }
        }
    });
    let (tx, rx) = mpsc::channel(64);
    let client = kube::Client::new(service, "default");
    let task = tokio::spawn(run::<NamespaceWire, _>(client, config, &health, tx, |c| c, shared_interners()));
    Fixture { rx, health, task, asked }
}

impl Fixture {
    async fn next(&mut self) -> String {
        match self.rx.recv().await.unwrap() {
            Change::Applied(row) => format!("+{} {}", row.meta.key, row.resource_version()),
            Change::Deleted { key, uid } => format!("-{key} {uid}"),
            Change::Synced => "synced".to_owned(),
        }
    }

    async fn expect(&mut self, changes: &[&str]) {
        for change in changes {
            assert_eq!(self.next().await, *change);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streams_the_list_then_follows() {
    let first = event("ADDED", &namespace("a", "1", 5))
        + &event("ADDED", &namespace("b", "2", 6))
        + &initial_end(7)
        + &event("MODIFIED", &namespace("a", "1", 8))
        + &event("DELETED", &namespace("b", "2", 9));
    let mut f = start(InformerConfig::default(), vec![ok(first)]);
    assert!(!f.health.all_synced(), "registered before it runs");
    f.expect(&["+a 5", "+b 6", "synced", "+a 8", "-b 2"]).await;
    assert!(f.health.all_synced());
    assert!(f.asked.lock().unwrap()[0].contains("sendInitialEvents=true"));
}

#[tokio::test(start_paused = true)]
async fn falls_back_to_pages() {
    let page = |items: Value, more: &str| {
        ok(json!({"kind": "NamespaceList", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": "9", "continue": more}})
        .to_string())
    };
    let script = vec![
        status(422, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"),
        page(json!([namespace("a", "1", 5)]), "next"),
        page(json!([namespace("b", "2", 6)]), ""),
    ];
    let mut f = start(InformerConfig::default(), script);
    f.expect(&["+a 5", "+b 6", "synced"]).await;
    assert!(f.asked.lock().unwrap()[1].contains("limit=250"), "{:?}", f.asked);
}

/// That a body which stops ends with an error is the client's doing; here, that another list follows, after a pause.
#[tokio::test(start_paused = true)]
async fn a_list_that_stops_is_asked_for_again() {
    let page = json!({"kind": "NamespaceList", "apiVersion": "v1", "items": [namespace("a", "1", 5)],
        "metadata": {"resourceVersion": "9"}});
    let page = page.to_string();
    let requests = AtomicUsize::new(0);
    let server = tower::service_fn(move |_: Request<Body>| {
        let nothing_more = stream::pending::<Result<Frame<Bytes>, Infallible>>;
        let beginning = stream::iter([Ok(Frame::data(Bytes::from_static(b"{\"kind\":")))]);
        let (body, patience) = match requests.fetch_add(1, Ordering::Relaxed) {
            0 => (StreamBody::new(beginning.chain(nothing_more())).boxed_unsync(), Some(Duration::from_secs(30))),
            1 => (Full::<Bytes>::from(page.clone()).boxed_unsync(), None),
            // The watch.
            _ => (StreamBody::new(nothing_more()).boxed_unsync(), None),
        };
        std::future::ready(Ok::<_, Infallible>(Response::new(Steady::new(body, patience))))
    });
    let (tx, mut rx) = mpsc::channel(64);
    let (client, health) = (kube::Client::new(server, "default"), InformerHealth::default());
    let config = InformerConfig { stream_lists: StreamLists::Never, ..InformerConfig::default() };
    let begun = tokio::time::Instant::now();
    tokio::spawn(run::<NamespaceWire, _>(client, config, &health, tx, |c| c, shared_interners()));
    assert!(matches!(rx.recv().await, Some(Change::Applied(_))));
    assert!(matches!(rx.recv().await, Some(Change::Synced)));
    let waited = begun.elapsed();
    assert!((Duration::from_millis(30_200)..=Duration::from_millis(30_260)).contains(&waited), "{waited:?}");
    assert_eq!(health.troubled(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_that_stops_is_asked_for_again_and_a_silent_watch_is_not() {
    let object = event("ADDED", &namespace("a", "1", 5));
    let whole = format!("{object}{}", initial_end(7));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let server = tower::service_fn(move |_: Request<Body>| {
        let body = if counted.fetch_add(1, Ordering::Relaxed) == 0 { object.clone() } else { whole.clone() };
        let beginning = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(body)))]);
        std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(beginning.chain(stream::pending())))))
    });
    let (tx, mut rx) = mpsc::channel(64);
    let (client, health) = (kube::Client::new(server, "default"), InformerHealth::default());
    let begun = tokio::time::Instant::now();
    tokio::spawn(run::<NamespaceWire, _>(client, InformerConfig::default(), &health, tx, |c| c, shared_interners()));
    assert!(matches!(rx.recv().await, Some(Change::Applied(_))));
    assert!(matches!(rx.recv().await, Some(Change::Synced)));
    let waited = begun.elapsed();
    assert!((Duration::from_millis(60_200)..=Duration::from_millis(60_260)).contains(&waited), "{waited:?}");
    assert_eq!(health.troubled(), Vec::<&str>::new());
    // The watch may be silent for as long as it has asked for.
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn where_streamed_lists_never_end_they_come_in_pages() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    let server = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        let body = if uri.contains("sendInitialEvents") {
            event("ADDED", &namespace("a", "1", 5))
        } else if uri.contains("limit=") {
            json!({"kind": "NamespaceList", "apiVersion": "v1", "items": [namespace("a", "1", 5)],
                "metadata": {"resourceVersion": "9"}})
            .to_string()
        } else {
            String::new()
        };
        // A list in pages ends, a watch does not.
        let is_page = uri.contains("limit=");
        seen.lock().unwrap().push(uri);
        let beginning = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(body)))]);
        let body = if is_page {
            StreamBody::new(beginning).boxed_unsync()
        } else {
            StreamBody::new(beginning.chain(stream::pending())).boxed_unsync()
        };
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let (tx, mut rx) = mpsc::channel(64);
    let (client, health) = (kube::Client::new(server, "default"), InformerHealth::default());
    tokio::spawn(run::<NamespaceWire, _>(client, InformerConfig::default(), &health, tx, |c| c, shared_interners()));
    assert!(matches!(rx.recv().await, Some(Change::Applied(_))));
    assert!(matches!(rx.recv().await, Some(Change::Synced)));
    let asked = asked.lock().unwrap();
    let streamed = asked.iter().filter(|uri| uri.contains("sendInitialEvents")).count();
    assert!(streamed == 2 && asked[2].contains("limit="), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_list_gives_only_differences() {
    let gone = event(
        "ERROR",
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": 410, "reason": "Expired", "message": "too old"}),
    );
    let first = event("ADDED", &namespace("same", "1", 1))
        + &event("ADDED", &namespace("changed", "2", 2))
        + &event("ADDED", &namespace("vanished", "3", 3))
        + &event("ADDED", &namespace("remade", "4", 4))
        + &initial_end(5)
        + &gone;
    let second = event("ADDED", &namespace("same", "1", 1))
        + &event("ADDED", &namespace("changed", "2", 12))
        + &event("ADDED", &namespace("remade", "44", 14))
        + &event("ADDED", &namespace("new", "5", 15))
        + &initial_end(16);
    let mut f = start(InformerConfig::default(), vec![ok(first), ok(second)]);
    f.expect(&["+same 1", "+changed 2", "+vanished 3", "+remade 4", "synced"]).await;
    f.expect(&["+changed 12", "-remade 4", "+remade 14", "+new 15", "-vanished 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_skipped_and_keeps_its_last_good_version() {
    let bad = json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "6", "labels": 5}});
    let first = event("ADDED", &bad)
        + &event("ADDED", &namespace("b", "2", 6))
        + &initial_end(7)
        + &event("MODIFIED", &namespace("a", "1", 8))
        + &event("MODIFIED", &json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "9", "labels": 5}}))
        + &event("MODIFIED", &namespace("b", "2", 10));
    let mut f = start(InformerConfig::default(), vec![ok(first)]);
    f.expect(&["+b 6", "synced", "+a 8", "+b 10"]).await;
    assert_eq!(f.health.skipped(), 2);
}

#[tokio::test(start_paused = true)]
async fn forbidden_and_unavailable_are_retried_until_they_are_not() {
    let script = vec![
        status(403, "Forbidden", "namespaces is forbidden: User \"x\" cannot watch resource"),
        status(403, "Forbidden", "namespaces is forbidden: User \"x\" cannot watch resource"),
        status(503, "ServiceUnavailable", "apiserver is starting"),
        ok(event("ADDED", &namespace("a", "1", 5)) + &initial_end(7)),
    ];
    let mut f = start(InformerConfig::default(), script);
    f.expect(&["+a 5", "synced"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_missing_counts_as_empty() {
    let script = vec![
        status(404, "NotFound", "the server could not find the requested resource"),
        ok(event("ADDED", &namespace("a", "1", 5)) + &initial_end(7)),
    ];
    let mut f = start(InformerConfig { optional: true, ..InformerConfig::default() }, script);
    f.expect(&["synced", "+a 5"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_optional_kind_that_may_not_be_seen_counts_as_empty_until_it_may() {
    let forbidden = || status(403, "Forbidden", "namespaces is forbidden: User \"x\" cannot watch resource");
    let mut script: Vec<_> = (0..8).map(|_| forbidden()).collect();
    script.push(ok(event("ADDED", &namespace("a", "1", 5)) + &initial_end(7)));
    let mut f = start(InformerConfig { optional: true, ..InformerConfig::default() }, script);
    f.expect(&["synced"]).await;
    assert_eq!((f.health.troubled(), f.asked.lock().unwrap().len()), (vec!["namespaces"], 6));
    f.expect(&["+a 5"]).await;
    assert_eq!(f.health.troubled(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn ends_with_its_receiver() {
    let (service, _handle): (_, Handle) = mock::pair();
    let (tx, rx) = mpsc::channel::<Change<Namespace>>(1);
    let health = InformerHealth::default();
    let client = kube::Client::new(service, "default");
    let task = tokio::spawn(run::<NamespaceWire, _>(
        client,
        InformerConfig::default(),
        &health,
        tx,
        |c| c,
        shared_interners(),
    ));
    drop(rx);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_holds_nothing() {
    let two = || event("ADDED", &namespace("a", "1", 5)) + &event("ADDED", &namespace("b", "2", 6)) + &initial_end(7);
    for cancelled in [false, true] {
        let registry = crate::metrics::Registry::new();
        let health = InformerHealth::new(&registry).unwrap();
        let mut f = start_with(health, InformerConfig::default(), vec![ok(two())]);
        f.expect(&["+a 5", "+b 6", "synced"]).await;
        let held = |count: u32| {
            let text = crate::metrics::encode(&registry).unwrap();
            assert!(text.contains(&format!("headroom_informer_objects{{kind=\"Namespace\"}} {count}\n")), "{text}");
        };
        held(2);
        let Fixture { rx, task, .. } = f;
        if cancelled {
            task.abort();
        } else {
            drop(rx);
        }
        assert_eq!(task.await.is_err(), cancelled);
        held(0);
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_an_answer() {
    let malformed = || kube::Error::Service(Box::new(crate::protobuf::to_json(b"no protobuf").unwrap_err()));
    let broken = || kube::Error::Service("connection refused".into());
    let read = |error: kube::Error| kube::Error::ReadEvents(std::io::Error::other(error));
    let json = || serde_json::from_str::<Value>("{").unwrap_err();
    let reporter = Reporter::new(Kind::POD);
    for (error, expected, words) in [
        (watcher::Error::InitialListFailed(malformed()), Trouble::Unreadable, "answer cannot be read"),
        (watcher::Error::WatchFailed(read(malformed())), Trouble::Unreadable, "answer cannot be read"),
        (watcher::Error::InitialListFailed(kube::Error::SerdeError(json())), Trouble::Unreadable, "cannot be read"),
        (watcher::Error::WatchStartFailed(broken()), Trouble::Unreachable, "does not answer: "),
        (watcher::Error::WatchFailed(read(broken())), Trouble::Unreachable, "does not answer: "),
    ] {
        assert_eq!(trouble(&error), expected, "{error:?}");
        let line = reporter.words(&expected, &error);
        assert!(line.starts_with("cannot watch pods: the API server") && line.contains(words), "{line}");
        assert_eq!(line.contains("does not answer"), expected == Trouble::Unreachable, "{line}");
    }
    let error = watcher::Error::InitialListFailed(malformed());
    let line = reporter.words(&Trouble::Unreadable, &error);
    assert!(line.contains("protobuf cannot be read: its beginning; trying again"), "{line}");
}

#[test]
fn backoff_grows_and_is_bounded() {
    let mut backoff = Backoff::default();
    let delays: Vec<_> = (0..12).map(|_| backoff.next()).collect();
    assert!(delays[0] >= FIRST && delays[0] <= FIRST * 5 / 4);
    assert!(delays.iter().all(|d| *d <= Duration::from_millis(6250)));
    backoff.reset();
    assert!(backoff.next() <= FIRST * 5 / 4);
}

const FIRST: Duration = Duration::from_millis(200);
