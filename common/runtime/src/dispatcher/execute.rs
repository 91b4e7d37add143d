//! One request: gate, send, read, in time.

use std::time::Duration;

use headroom_core::{
    Mono,
    intent::{WriteError, Written},
};
use http::{
    Request, Response,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use prometheus::Histogram;

use super::{
    answer,
    request::{Expect, Prepared, next_page},
};
use crate::{clock, lease::LeaderGate, protobuf};

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// Most pages of a list: 50,000 objects.
const MOST_PAGES: usize = 100;

/// Measures when a request goes out: what was seen at `since` led to it.
pub(super) struct Sent {
    pub(super) times: Histogram,
    pub(super) since: Mono,
}

/// Executes a request, unless this process does not lead, and gives up when `deadline` or the lease runs out.
pub(super) async fn execute(
    client: &kube::Client,
    gate: &LeaderGate,
    deadline: Duration,
    prepared: Prepared,
    sent: Option<Sent>,
) -> Result<Written, WriteError> {
    let Some(remaining) = gate.remaining() else { return Err(WriteError::NotLeader) };
    let limit = deadline.min(remaining);
    match tokio::time::timeout(limit, exchange(client, gate, prepared, sent)).await {
        Ok(result) => result,
        Err(_) => Err(WriteError::Unknown(format!("no answer within {limit:.1?}"))),
    }
}

async fn exchange(
    client: &kube::Client,
    gate: &LeaderGate,
    prepared: Prepared,
    sent: Option<Sent>,
) -> Result<Written, WriteError> {
    let expect = prepared.expect;
    if expect != Expect::List {
        let body = send(client, gate, &prepared, &prepared.path, sent).await?;
        return match expect {
            Expect::Nothing => Ok(Written::default()),
            Expect::Object => answer::object(&body),
            Expect::Metadata | Expect::List => Ok(answer::written(&body)),
        };
    }
    let mut all = Written::default();
    let mut path = prepared.path.clone();
    for _ in 0..MOST_PAGES {
        let body = send(client, gate, &prepared, &path, None).await?;
        match answer::page(&body, &mut all)? {
            None => return Ok(all),
            Some(token) => path = next_page(&prepared.path, &token),
        }
    }
    Err(WriteError::Invalid(format!("the list has more than {MOST_PAGES} pages")))
}

async fn send(
    client: &kube::Client,
    gate: &LeaderGate,
    prepared: &Prepared,
    path: &str,
    sent: Option<Sent>,
) -> Result<bytes::Bytes, WriteError> {
    let mut request = Request::builder().method(&prepared.method).uri(path).header(ACCEPT, prepared.accept);
    if !prepared.body.is_empty() {
        request = request.header(CONTENT_TYPE, prepared.content_type);
    }
    let request =
        request.body(Body::from(prepared.body.clone())).map_err(|e| WriteError::Invalid(format!("{path}: {e}")))?;
    if !gate.is_leader_now() {
        return Err(WriteError::NotLeader);
    }
    if let Some(Sent { times, since }) = sent {
        times.observe(clock::mono().since(since).as_secs_f64());
    }
    let response = client.send(request).await.map_err(|e| answer::unanswered(&e))?;
    read(response).await
}

async fn read(response: Response<Body>) -> Result<bytes::Bytes, WriteError> {
    let status = response.status();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    if status.is_success() {
        // The head already says that it was done; a body that broke off leaves only its contents unknown.
        return match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(WriteError::Unknown(format!("the answer broke off: {error}"))),
        };
    }
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    // A refusal that cannot be read is one all the same: its code is known.
    let text = protobuf::answer(&body).unwrap_or_default();
    Err(answer::refused(status.as_u16(), &text, retry_after))
}
