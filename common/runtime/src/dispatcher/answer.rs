//! From an answer, or the lack of one, to a result. Pure.

use std::{error::Error, io, sync::Arc};

use headroom_core::{
    intent::{Found, WriteError, Written},
    object::ObjectKey,
};
use hyper_util::client::legacy;
use serde::Deserialize;
use serde_json::Value;

use crate::{client::FenceClosed, informer::chain, protobuf};

/// Longest message that is kept of an answer, in bytes.
const LONGEST_MESSAGE: usize = 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: Option<String>,
    reason: Option<String>,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Option<Vec<Cause>>,
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: Option<String>,
}

/// What is read of an object that was written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    more: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    metadata: Option<Metadata>,
    items: Option<Vec<Object>>,
}

impl Metadata {
    fn version(&self) -> u64 {
        self.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    fn found(self, body: Arc<Value>) -> Found {
        Found {
            resource_version: self.version(),
            key: ObjectKey::new(self.namespace.unwrap_or_default(), self.name.unwrap_or_default()),
            uid: self.uid.unwrap_or_default().into(),
            body,
        }
    }
}

/// An answer outside 2xx. `retry_after` is the header, in seconds.
pub(super) fn refused(code: u16, body: &[u8], retry_after: Option<u64>) -> WriteError {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let mut message = status.message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
        message.truncate(end);
    }
    let reason = status.reason.unwrap_or_default();
    let details = status.details.unwrap_or_default();
    let terminating = || details.causes.iter().flatten().any(|c| c.reason.as_deref() == Some("NamespaceTerminating"));
    match code {
        409 if reason == "AlreadyExists" => WriteError::AlreadyExists(message),
        409 => WriteError::Conflict(message),
        404 => WriteError::NotFound(message),
        403 if terminating() => WriteError::NamespaceTerminating(message),
        403 => WriteError::Forbidden(message),
        400 | 422 => WriteError::Invalid(message),
        429 | 503 => {
            WriteError::Throttled { message, retry_after_seconds: retry_after.or(details.retry_after_seconds) }
        }
        code => WriteError::Other { code, message },
    }
}

/// UID and resource version of what was written.
pub(super) fn written(body: &[u8]) -> Written {
    // An answer that cannot be read does not undo the write.
    let body = protobuf::answer(body).unwrap_or_default();
    let meta = serde_json::from_slice::<Object>(&body).unwrap_or_default().metadata.unwrap_or_default();
    Written {
        resource_version: meta.version(),
        uid: meta.uid.filter(|u| !u.is_empty()).map(Into::into),
        found: Vec::new(),
    }
}

/// An object that was read.
pub(super) fn object(body: &[u8]) -> Result<Written, WriteError> {
    let unreadable = |e: serde_json::Error| WriteError::Unknown(format!("the answer is not an object: {e}"));
    let meta = serde_json::from_slice::<Object>(body).map_err(unreadable)?.metadata.unwrap_or_default();
    let value: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let found = meta.found(Arc::new(value));
    Ok(Written { uid: Some(found.uid.clone()), resource_version: found.resource_version, found: vec![found] })
}

/// A page of a list, put behind the pages before; returns the token of the next one.
pub(super) fn page(body: &[u8], into: &mut Written) -> Result<Option<String>, WriteError> {
    let list: List =
        serde_json::from_slice(body).map_err(|e| WriteError::Unknown(format!("the answer is not a list: {e}")))?;
    let meta = list.metadata.unwrap_or_default();
    into.resource_version = meta.version();
    let nothing = Arc::new(Value::Null);
    into.found
        .extend(list.items.unwrap_or_default().into_iter().filter_map(|o| Some(o.metadata?.found(nothing.clone()))));
    Ok(meta.more.filter(|token| !token.is_empty()))
}

/// No answer. Only what certainly never left is `NotLeader` or `Unreachable`.
pub(super) fn unanswered(error: &(dyn Error + 'static)) -> WriteError {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.is::<FenceClosed>() {
            return WriteError::NotLeader;
        }
        if let Some(client) = e.downcast_ref::<legacy::Error>()
            && client.is_connect()
        {
            return if behind_the_fence(client) {
                WriteError::NotLeader
            } else {
                WriteError::Unreachable(chain(error))
            };
        }
        cause = e.source();
    }
    WriteError::Unknown(chain(error))
}

/// Whether a connection could not be made because the fence closed meanwhile. An I/O error hides what it was made from.
fn behind_the_fence(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(inner) = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && (inner.is::<FenceClosed>() || behind_the_fence(inner))
        {
            return true;
        }
        cause = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(reason: &str, details: &Value) -> Vec<u8> {
        json!({"kind": "Status", "message": "m", "reason": reason, "details": details}).to_string().into_bytes()
    }

    #[test]
    fn refusals() {
        let none = json!({});
        let m = || "m".to_owned();
        for (code, body, retry_after, expected) in [
            (409, status("AlreadyExists", &none), None, WriteError::AlreadyExists(m())),
            (409, status("Conflict", &none), None, WriteError::Conflict(m())),
            (404, status("NotFound", &none), None, WriteError::NotFound(m())),
            (403, status("Forbidden", &none), None, WriteError::Forbidden(m())),
            (
                403,
                status("Forbidden", &json!({"causes": [{"reason": "NamespaceTerminating"}]})),
                None,
                WriteError::NamespaceTerminating(m()),
            ),
            (422, status("Invalid", &none), None, WriteError::Invalid(m())),
            (400, status("BadRequest", &Value::Null), None, WriteError::Invalid(m())),
            (
                429,
                status("TooManyRequests", &json!({"retryAfterSeconds": 3})),
                None,
                WriteError::Throttled { message: m(), retry_after_seconds: Some(3) },
            ),
            (
                503,
                status("ServiceUnavailable", &none),
                Some(7),
                WriteError::Throttled { message: m(), retry_after_seconds: Some(7) },
            ),
            (500, b"oops".to_vec(), None, WriteError::Other { code: 500, message: "oops".to_owned() }),
            (401, status("Unauthorized", &none), None, WriteError::Other { code: 401, message: m() }),
        ] {
            assert_eq!(refused(code, &body, retry_after), expected);
        }
        assert!(refused(504, b"", None).is_unknown() && !refused(409, b"", None).is_unknown());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let body = "ä".repeat(LONGEST_MESSAGE);
        let WriteError::Other { message, .. } = refused(418, body.as_bytes(), None) else { panic!() };
        assert!(message.len() <= LONGEST_MESSAGE && message.ends_with('ä'));
    }

    #[test]
    fn answers() {
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": "u", "resourceVersion": "9"}}).to_string();
        let w = written(pod.as_bytes());
        assert_eq!((w.uid.as_deref(), w.resource_version), (Some("u"), 9));
        assert_eq!(written(b"not json"), Written::default());
        let o = object(pod.as_bytes()).unwrap();
        assert_eq!(
            (o.found[0].key.to_string(), &*o.found[0].body["metadata"]["uid"].to_string()),
            ("d/p".into(), "\"u\"")
        );
        let mut list = Written::default();
        let first = json!({"metadata": {"resourceVersion": "5", "continue": "t"}, "items": [
            {"metadata": {"name": "a", "uid": "1", "resourceVersion": "2"}}]});
        assert_eq!(page(first.to_string().as_bytes(), &mut list).unwrap().as_deref(), Some("t"));
        let last = json!({"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "b"}}]});
        assert_eq!(page(last.to_string().as_bytes(), &mut list).unwrap(), None);
        assert_eq!(list.found.iter().map(|f| f.key.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(list.resource_version, 5);
    }

    #[test]
    fn what_was_written_is_read_in_protobuf_as_well() {
        // Of a kind that has no table.
        let event = b"k8s\0\x0a\x0b\x0a\x02v1\x12\x05Event\x12\x08\x0a\x06\x2a\x01u\x32\x019";
        let w = written(event);
        assert_eq!((w.uid.as_deref(), w.resource_version), (Some("u"), 9));
        assert_eq!(written(&event[..20]), Written::default(), "cut");
    }

    #[test]
    fn a_closed_fence_means_that_nothing_was_sent() {
        assert_eq!(unanswered(&FenceClosed), WriteError::NotLeader);
        let wrapped = kube::Error::Service(Box::new(FenceClosed));
        assert_eq!(unanswered(&wrapped), WriteError::NotLeader);
        let broken = kube::Error::Service(Box::new(io::Error::other("reset")));
        assert!(matches!(unanswered(&broken), WriteError::Unknown(_)));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(code in 100..600_u16, body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = refused(code, &body, None);
            let _ = written(&body);
            let _ = object(&body);
            let _ = page(&body, &mut Written::default());
        }
    }
}
