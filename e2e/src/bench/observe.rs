//! When each pod was bound: a watch that sees a pod for the first time once it has a node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::BenchError;
use super::scenario::Watched;
use super::wire::{JSON, Wire};
use super::workload::NAMESPACE;

/// Longest watch event, bytes; pods here have about two thousand.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// How often the API server may close the watch in one run.
const MAX_ENDS: u32 = 1000;

/// How many irregularities are remembered in words.
const MAX_PROBLEMS: usize = 10;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Pod to node, and when that was seen first. By the wall clock, which the API server on this machine shares.
    pub(crate) bound: HashMap<String, (String, SystemTime)>,
    /// What must not happen.
    pub(crate) problems: Vec<String>,
    /// How often the API server closed the watch and it was opened again.
    pub(crate) restarts: u32,
    /// The resource version of the last event.
    pub(crate) version: String,
}

/// A running watch. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<String>,
}

impl Observer {
    /// Starts to watch bound pods, those that are to be watched, from a resource version on.
    pub(crate) async fn start(wire: &Wire, since: &str, watched: Watched) -> Result<Self, BenchError> {
        let body = open(wire, since, watched).await?;
        let seen = Arc::new(Mutex::new(Seen { version: since.to_owned(), ..Seen::default() }));
        let (sender, count) = watch::channel(0);
        let task = tokio::spawn(follow(wire.clone(), body, watched, Arc::clone(&seen), sender));
        Ok(Self { seen, count, task })
    }

    /// Pods bound so far.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until another pod is bound.
    pub(crate) async fn changed(&mut self) -> Result<(), BenchError> {
        if self.count.changed().await.is_ok() {
            return Ok(());
        }
        let reason = (&mut self.task).await.unwrap_or_else(|error| error.to_string());
        Err(BenchError::Watch { reason })
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens the watch. A pod without a node does not match and is not sent: half of the events, and none before the first
/// binding.
async fn open(wire: &Wire, since: &str, watched: Watched) -> Result<Incoming, BenchError> {
    let path = format!(
        "/api/v1/namespaces/{NAMESPACE}/pods?watch=true&resourceVersion={since}&timeoutSeconds=3600&\
         fieldSelector=spec.nodeName%21%3D{}",
        watched.selector()
    );
    let (status, body) = wire.open(&Method::GET, &path, JSON, Bytes::new()).await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(BenchError::Watch { reason: format!("the API server answered {status}") })
}

/// Reads events, over several streams where needed: the API server ends those whose buffer overflows, which happens on
/// a busy machine. Returns why it cannot go on.
async fn follow(
    wire: Wire,
    mut body: Incoming,
    watched: Watched,
    seen: Arc<Mutex<Seen>>,
    count: watch::Sender<usize>,
) -> String {
    loop {
        match read(body, &seen, &count).await {
            Ok(()) => {}
            Err(reason) => return reason,
        }
        let since = {
            let mut seen = lock(&seen);
            seen.restarts += 1;
            if seen.restarts > MAX_ENDS {
                return format!("the API server closed it {MAX_ENDS} times");
            }
            seen.version.clone()
        };
        body = match open(&wire, &since, watched).await {
            Ok(next) => next,
            Err(error) => return error.to_string(),
        };
    }
}

/// Reads events until the stream ends in order.
async fn read(mut body: Incoming, seen: &Mutex<Seen>, count: &watch::Sender<usize>) -> Result<(), String> {
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Some(data) = frame.data_ref() else { continue };
        let now = SystemTime::now();
        buffer.extend_from_slice(data);
        let mut start = 0;
        while let Some(length) = buffer[start..].iter().position(|byte| *byte == b'\n') {
            take(&buffer[start..start + length], now, &mut lock(seen))?;
            start += length + 1;
        }
        buffer.drain(..start);
        if buffer.len() > MAX_EVENT {
            return Err(format!("an event is longer than {MAX_EVENT} bytes"));
        }
        let bound = lock(seen).bound.len();
        count.send_if_modified(|value| std::mem::replace(value, bound) != bound);
    }
    Ok(())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Spec<'a>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: &'a str,
    #[serde(rename = "resourceVersion", borrow, default)]
    version: &'a str,
}

#[derive(Deserialize, Default)]
struct Spec<'a> {
    #[serde(rename = "nodeName", borrow, default)]
    node: &'a str,
}

/// Takes one event; an error ends the watch.
fn take(line: &[u8], now: SystemTime, seen: &mut Seen) -> Result<(), String> {
    let event: Event<'_> = serde_json::from_slice(line).map_err(|error| format!("an unreadable event: {error}"))?;
    let (pod, node) = (event.object.metadata.name, event.object.spec.node);
    match event.kind {
        "ADDED" | "MODIFIED" => match seen.bound.get(pod) {
            None => {
                seen.bound.insert(pod.to_owned(), (node.to_owned(), now));
            }
            Some((before, _)) if before == node => {}
            Some((before, _)) => {
                let text = format!("{pod} moved from {before} to {node}");
                note(seen, text);
            }
        },
        "DELETED" => note(seen, format!("{pod} on {node} was deleted")),
        _ => return Err(String::from_utf8_lossy(line).into_owned()),
    }
    if !event.object.metadata.version.is_empty() {
        event.object.metadata.version.clone_into(&mut seen.version);
    }
    Ok(())
}

fn note(seen: &mut Seen, problem: String) {
    if seen.problems.len() < MAX_PROBLEMS {
        seen.problems.push(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, pod: &str, node: &str) -> Vec<u8> {
        format!(
            r#"{{"type":"{kind}","object":{{"metadata":{{"name":"{pod}","resourceVersion":"7{pod}"}},"spec":{{"nodeName":"{node}"}}}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn each_pod_counts_once_and_oddities_are_told() {
        let mut seen = Seen::default();
        let now = SystemTime::now();
        for line in [event("ADDED", "a", "n1"), event("MODIFIED", "a", "n1"), event("ADDED", "b", "n2")] {
            take(&line, now, &mut seen).unwrap();
        }
        assert_eq!((seen.bound.len(), seen.problems.len(), seen.version.as_str()), (2, 0, "7b"));
        take(&event("MODIFIED", "a", "n2"), now, &mut seen).unwrap();
        take(&event("DELETED", "b", "n2"), now, &mut seen).unwrap();
        assert_eq!(seen.problems, ["a moved from n1 to n2", "b on n2 was deleted"]);
    }

    #[test]
    fn an_error_of_the_server_ends_the_watch() {
        let line = br#"{"type":"ERROR","object":{"kind":"Status","metadata":{},"code":410}}"#;
        assert!(take(line, SystemTime::now(), &mut Seen::default()).unwrap_err().contains("410"));
        assert!(take(b"{", SystemTime::now(), &mut Seen::default()).is_err());
    }
}
