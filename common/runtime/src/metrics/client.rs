//! `rest_client_*`.

use std::time::Duration;

use http::{Method, StatusCode, Uri, uri::Authority};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::{Registry, registered};
use crate::clock;

/// Counts requests and measures how long their answers took to begin.
#[derive(Debug, Clone)]
pub struct ClientMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
}

/// A request under way.
#[derive(Debug)]
pub struct RequestTimer {
    metrics: ClientMetrics,
    method: Method,
    host: Option<Authority>,
    started: headroom_core::Mono,
}

impl ClientMetrics {
    /// Registers both metrics.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code, method, and host.",
            ),
            &["code", "host", "method"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "rest_client_request_duration_seconds",
                "Request latency in seconds. Broken down by verb, and host.",
            )
            .buckets(vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]),
            &["host", "verb"],
        )?;
        Ok(Self { requests: registered(registry, requests)?, durations: registered(registry, durations)? })
    }

    /// Metrics that nobody reads: for the CLI and for tests.
    ///
    /// # Errors
    /// Never in practice: the names are valid.
    pub fn unregistered() -> Result<Self, prometheus::Error> {
        Self::new(&Registry::new())
    }

    /// A request begins.
    #[must_use]
    pub fn start(&self, method: &Method, uri: &Uri) -> RequestTimer {
        RequestTimer {
            metrics: self.clone(),
            method: method.clone(),
            host: uri.authority().cloned(),
            started: clock::mono(),
        }
    }
}

impl RequestTimer {
    /// The head of the answer is there; without a status the request failed before (upstream's code `<error>`).
    pub fn finish(self, status: Option<StatusCode>) {
        let took: Duration = clock::mono().since(self.started);
        let (method, host) = (self.method.as_str(), self.host.as_ref().map_or("", Authority::as_str));
        let code = status.as_ref().map_or("<error>", StatusCode::as_str);
        self.metrics.requests.with_label_values(&[code, host, method]).inc();
        self.metrics.durations.with_label_values(&[host, method]).observe(took.as_secs_f64());
    }
}
