//! Why a request was not answered as it should be, in one line each.

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The connection to the API server.
    #[error("{what}: {reason}")]
    Connection {
        /// What was attempted.
        what: String,
        /// The cause.
        reason: String,
    },
    /// The API server refused a request.
    #[error("{method} {path}: the API server answered {status}: {body}")]
    Refused {
        /// HTTP method.
        method: String,
        /// Path of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// An answer that is not what it should be.
    #[error("{what}: cannot read the answer: {source}")]
    Answer {
        /// What was read.
        what: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

impl WireError {
    /// The connection failed while `what` was attempted.
    pub(crate) fn connection(what: String, error: &dyn std::error::Error) -> Self {
        // hyper hides the cause in the source.
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = format!("{reason}: {inner}");
            source = inner.source();
        }
        Self::Connection { what, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_with_the_error() {
        #[derive(Debug, thiserror::Error)]
        #[error("not sent")]
        struct Outer(#[source] std::io::Error);

        let error = WireError::connection("GET /x".to_owned(), &Outer(std::io::Error::other("closed")));
        assert_eq!(error.to_string(), "GET /x: not sent: closed");
    }
}
