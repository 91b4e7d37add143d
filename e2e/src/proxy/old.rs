//! An API server that has fallen behind: what it answers to a list that may be old, and the watch that goes on from there.
//! The real one gives both, for it keeps old versions for a while.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::forward::Broken;
use super::protobuf;
use crate::bench::wire::Wire;

/// Versions that are remembered.
const REMEMBERED: usize = 100_000;

/// Which version was the newest at which time.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<(Instant, u64)>>);

impl History {
    pub(super) fn note(&self, version: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.back().is_none_or(|(_, newest)| *newest < version) {
            all.push_back((Instant::now(), version));
        }
        if all.len() > REMEMBERED {
            all.pop_front();
        }
    }

    /// The newest version of this time ago.
    pub(super) fn before(&self, age: Duration) -> Option<u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let then = Instant::now().checked_sub(age)?;
        all.iter().rev().find(|(at, _)| *at <= then).map(|(_, version)| *version)
    }
}

/// The same URI with another query: `take` says which of its parameters stay, `add` comes behind them.
fn with_query(uri: &Uri, take: &[&str], add: &str) -> String {
    let pairs = uri.query().unwrap_or_default().split('&');
    let kept = pairs.filter(|pair| take.contains(&pair.split('=').next().unwrap_or_default()));
    let query: Vec<&str> = kept.chain([add]).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}

/// A request like this one, for another path of the server.
fn like(request: &http::request::Parts, wire: &Wire, path: &str) -> Result<Request<Full<Bytes>>, Broken> {
    let uri = format!("https://{}{path}", wire.authority()).parse::<Uri>().map_err(|_| Broken)?;
    let mut request = request.clone();
    request.uri = uri;
    Ok(Request::from_parts(request, Full::default()))
}

/// A watch that begins with all objects, as a server would answer it that knows nothing newer than `version`: the lines with
/// which it begins, and the answer that goes on. Nothing when the version is not there any more.
pub(super) async fn watch(
    request: &http::request::Parts,
    version: u64,
    wire: &Wire,
) -> Result<Option<(Vec<Bytes>, http::Response<Incoming>)>, Broken> {
    let exactly = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    let path = with_query(&request.uri, &["labelSelector", "fieldSelector"], &exactly);
    let listed = wire.pass(like(request, wire, &path)?).await.map_err(|_| Broken)?;
    if !listed.status().is_success() {
        return Ok(None);
    }
    let body = listed.into_body().collect().await.map_err(|_| Broken)?.to_bytes();
    let begin = if protobuf::is_object(&body) {
        protobuf::beginning(&body, version).ok_or(Broken)?
    } else {
        lines(&serde_json::from_slice(&body).map_err(|_| Broken)?, version)
    };
    let from = format!("resourceVersion={version}");
    let keep = ["labelSelector", "fieldSelector", "watch", "timeoutSeconds", "allowWatchBookmarks"];
    let path = with_query(&request.uri, &keep, &from);
    let watched = wire.pass(like(request, wire, &path)?).await.map_err(|_| Broken)?;
    Ok(watched.status().is_success().then_some((begin, watched)))
}

/// A list as the beginning of a watch.
fn lines(list: &Value, version: u64) -> Vec<Bytes> {
    let kind = list["kind"].as_str().unwrap_or_default().trim_end_matches("List");
    // The type comes first, as servers write it: clients rely on it.
    let line = |what: &str, object: &Value| Bytes::from(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n"));
    let objects = list["items"].as_array().into_iter().flatten().map(|item| {
        let mut item = item.clone();
        item["kind"] = kind.into();
        item["apiVersion"] = list["apiVersion"].clone();
        line("ADDED", &item)
    });
    let end = json!({"kind": kind, "apiVersion": list["apiVersion"], "metadata": {
        "resourceVersion": version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}});
    objects.chain([line("BOOKMARK", &end)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_the_beginning_of_a_watch() {
        let list = json!({"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]});
        let lines = lines(&list, 7);
        let event: Value = serde_json::from_slice(&lines[0]).unwrap();
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}});
        assert_eq!(event, json!({"type": "ADDED", "object": pod}));
        assert_eq!(super::super::told::event(&lines[1]), Some((true, 7)));
        let uri: Uri =
            "/api/v1/pods?watch=true&sendInitialEvents=true&labelSelector=a&resourceVersion=0".parse().unwrap();
        assert_eq!(with_query(&uri, &["labelSelector"], "x=1"), "/api/v1/pods?labelSelector=a&x=1");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_the_newest_is_remembered() {
        let history = History::default();
        history.note(5);
        tokio::time::advance(Duration::from_secs(3)).await;
        history.note(9);
        history.note(8);
        assert_eq!(history.before(Duration::ZERO), Some(9));
        assert_eq!(history.before(Duration::from_secs(2)), Some(5));
        assert_eq!(history.before(Duration::from_secs(4)), None);
    }
}
