//! What goes wrong with a watch, how long to wait then, and what to tell people.

use std::{error::Error, io, time::Duration};

use headroom_core::object::Kind;
use kube::{core::Status, runtime::watcher};

use crate::protobuf::Malformed;

/// Classes of trouble; a message appears when the class changes, not at each retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// 422: the server does not stream lists.
    StreamingRefused,
    /// 404: the kind is not installed.
    NoSuchKind,
    /// 410: the resource version is too old; part of normal life.
    Expired,
    /// 403.
    Forbidden(String),
    /// 401.
    Unauthorized,
    /// No connection, or it broke.
    Unreachable,
    /// There was an answer, and it is none that can be read.
    Unreadable,
    /// Anything else.
    Other(u16),
}

/// Classifies an error of the watcher.
pub(super) fn trouble(error: &watcher::Error) -> Trouble {
    match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => {
            match e {
                kube::Error::Api(status) => of_status(status),
                e if is_unreadable(e) => Trouble::Unreadable,
                _ => Trouble::Unreachable,
            }
        }
        watcher::Error::WatchError(status) => of_status(status),
        watcher::Error::NoResourceVersion => Trouble::Other(0),
    }
}

/// Whether an error is about what the API server has said, and not about reaching it.
fn is_unreadable(error: &kube::Error) -> bool {
    use kube::Error::{FromUtf8, LinesCodecMaxLineLengthExceeded, SerdeError};
    if matches!(error, SerdeError(_) | FromUtf8(_) | LinesCodecMaxLineLengthExceeded) {
        return true;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<Malformed>() {
            return true;
        }
        // The source of an error of input is that of what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    false
}

fn of_status(status: &Status) -> Trouble {
    match status.code {
        401 => Trouble::Unauthorized,
        403 => Trouble::Forbidden(status.message.clone()),
        404 => Trouble::NoSuchKind,
        410 => Trouble::Expired,
        // Unprocessable: "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled". Old
        // servers answer 400 to a parameter that they do not know how to combine.
        422 | 400 => Trouble::StreamingRefused,
        code => Trouble::Other(code),
    }
}

/// Says what is wrong once, and once that it is over.
pub(super) struct Reporter {
    kind: Kind,
    last: Option<Trouble>,
    said_missing: bool,
}

impl Reporter {
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, last: None, said_missing: false }
    }

    pub(super) fn report(&mut self, trouble: &Trouble, error: &watcher::Error) {
        if self.last.as_ref() == Some(trouble) {
            tracing::debug!(kind = self.kind.kind, error = %chain(error), "still no watch");
            return;
        }
        self.last = Some(trouble.clone());
        tracing::warn!("{}", self.words(trouble, error));
    }

    /// For people.
    pub(super) fn words(&self, trouble: &Trouble, error: &watcher::Error) -> String {
        let Kind { plural, group, .. } = self.kind;
        match trouble {
            Trouble::Forbidden(message) => format!(
                "cannot watch {plural}: an RBAC rule is missing: apiGroups: [{group:?}], resources: [{plural:?}], \
                 verbs: [list, watch]. The API server says: {message}"
            ),
            Trouble::Unauthorized => format!(
                "cannot watch {plural}: the API server does not accept our credentials (401); check the kubeconfig or \
                 the service account's token"
            ),
            Trouble::Unreachable => format!(
                "cannot watch {plural}: the API server does not answer: {}; trying again until it does",
                chain(error)
            ),
            Trouble::Unreadable => {
                format!("cannot watch {plural}: the API server's answer cannot be read: {}; trying again", chain(error))
            }
            _ => format!("cannot watch {plural}: {}; trying again", chain(error)),
        }
    }

    pub(super) fn missing(&mut self) {
        if !self.said_missing {
            self.said_missing = true;
            let Kind { plural, group, .. } = self.kind;
            tracing::info!("{plural}.{group} is not installed: going on without");
        }
    }

    pub(super) fn going_without(&self) {
        let Kind { plural, group, .. } = self.kind;
        tracing::warn!("going on without {plural}.{group} until they may be watched");
    }

    pub(super) fn recovered(&mut self) {
        self.said_missing = false;
        if self.last.take().is_some() {
            tracing::info!("watching {} again", self.kind.plural);
        }
    }
}

/// An error with its causes, each said once: libraries like to repeat them.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Delays between attempts: 200 ms, doubling to 5 s, with up to a quarter more at random so that the informers of a
/// process do not knock together. client-go waits up to 30 s, which is long when an API server has just come back.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let delay = FIRST_DELAY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_DELAY);
        self.failures = self.failures.saturating_add(1);
        // The low digits of the clock are random enough to spread a handful of informers.
        delay + delay.mul_f64((crate::clock::mono().0 % 1000) as f64 / 4000.0)
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}
