use std::collections::BTreeMap;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server that knows the tokens `good` (may read metrics) and `weak` (may not), and counts what it is asked.
fn authorizer() -> (Arc<Authorizer>, Arc<std::sync::atomic::AtomicUsize>) {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let path = request.uri().path().to_owned();
            let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
            let answer = if path.ends_with("/tokenreviews") {
                let token = body["spec"]["token"].as_str().unwrap_or("").to_owned();
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                    "status": {"authenticated": token == "good" || token == "weak", "user": {"username": token}}})
            } else {
                json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": {},
                    "status": {"allowed": body["spec"]["user"] == "good"
                        && body["spec"]["nonResourceAttributes"]["verb"] == "get"}})
            };
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
        }
    });
    let client = kube::Client::new(service, "default");
    (Arc::new(Authorizer::new(client.clone(), client)), asked)
}

fn routes(authorizer: Option<Arc<Authorizer>>) -> Routes {
    let registry = crate::metrics::Registry::new();
    let counter = prometheus::IntCounter::new("demo_total", "A counter.").unwrap();
    counter.inc();
    registry.register(Box::new(counter)).unwrap();
    let page = page(|| ("application/json", "{}".to_owned()));
    Routes {
        health: Health::default(),
        metrics: registry,
        configz: json!({"mode": "shadow"}),
        pages: BTreeMap::from([("/shadow", page)]),
        authorizer,
    }
}

async fn get(routes: &Routes, path: &str, token: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().method(Method::GET).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = routes.answer(request.body(()).unwrap()).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn health_is_open_and_the_rest_is_not() {
    let (authorizer, asked) = authorizer();
    let routes = routes(Some(authorizer));
    assert_eq!(get(&routes, "/livez", None).await, (StatusCode::OK, "ok".to_owned()));
    assert!(get(&routes, "/readyz?verbose", None).await.1.contains("readyz check passed"));
    assert_eq!(get(&routes, "/metrics", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&routes, "/metrics", Some("unknown")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&routes, "/metrics", Some("weak")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&routes, "/nothing", Some("good")).await.0, StatusCode::NOT_FOUND);
    let before = asked.load(std::sync::atomic::Ordering::Relaxed);
    let (status, body) = get(&routes, "/metrics", Some("good")).await;
    assert!(status == StatusCode::OK && body.contains("demo_total 1"), "{body}");
    assert!(get(&routes, "/metrics", Some("good")).await.0.is_success());
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed) - before, 2, "the second answer is remembered");
    assert_eq!(get(&routes, "/configz", Some("good")).await.1, r#"{"mode":"shadow"}"#);
    assert_eq!(get(&routes, "/shadow", Some("good")).await.1, "{}");
}

#[tokio::test]
async fn without_an_authorizer_nobody_reads_metrics() {
    assert_eq!(get(&routes(None), "/metrics", Some("good")).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_taken_port_gets_one_line() {
    let options = ServingOptions { bind_address: [127, 0, 0, 1].into(), port: 0, certificate: None };
    let first = serve(&options, routes(None)).await.unwrap();
    let taken = ServingOptions { port: first.address.port(), ..options };
    let error = serve(&taken, routes(None)).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on 127.0.0.1:") && error.contains("--secure-port"), "{error}");
}
