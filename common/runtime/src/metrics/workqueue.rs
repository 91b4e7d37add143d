//! `workqueue_*`, for the controllers' queues (client-go `util/workqueue`).

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::{Registry, registered};

/// The families of all queues of the process.
#[derive(Debug, Clone)]
pub struct WorkqueueMetrics {
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    latency: HistogramVec,
    work: HistogramVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
}

impl WorkqueueMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let name = &["name"];
        let histogram = |metric: &str, help: &str| {
            let buckets = prometheus::exponential_buckets(1e-8, 10.0, 10)?;
            registered(registry, HistogramVec::new(HistogramOpts::new(metric, help).buckets(buckets), name)?)
        };
        let gauge = |metric: &str, help: &str| registered(registry, GaugeVec::new(Opts::new(metric, help), name)?);
        let counter =
            |metric: &str, help: &str| registered(registry, IntCounterVec::new(Opts::new(metric, help), name)?);
        Ok(Self {
            depth: registered(
                registry,
                IntGaugeVec::new(Opts::new("workqueue_depth", "Current depth of workqueue."), name)?,
            )?,
            adds: counter("workqueue_adds_total", "Total number of adds handled by workqueue.")?,
            retries: counter("workqueue_retries_total", "Total number of retries handled by workqueue.")?,
            latency: histogram(
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested.",
            )?,
            work: histogram(
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes.",
            )?,
            unfinished: gauge(
                "workqueue_unfinished_work_seconds",
                "How many seconds of work has been done that is in progress and hasn't been observed by work_duration.",
            )?,
            longest: gauge(
                "workqueue_longest_running_processor_seconds",
                "How many seconds has the longest running processor for workqueue been running.",
            )?,
        })
    }

    /// The metrics of the queue of this name, resolved once.
    #[must_use]
    pub fn named(&self, name: &str) -> QueueMetrics {
        let label = &[name];
        QueueMetrics {
            depth: self.depth.with_label_values(label),
            adds: self.adds.with_label_values(label),
            retries: self.retries.with_label_values(label),
            latency: self.latency.with_label_values(label),
            work: self.work.with_label_values(label),
            unfinished: self.unfinished.with_label_values(label),
            longest: self.longest.with_label_values(label),
        }
    }
}

/// The metrics of one queue.
#[derive(Debug, Clone)]
pub struct QueueMetrics {
    depth: IntGauge,
    adds: IntCounter,
    retries: IntCounter,
    latency: Histogram,
    work: Histogram,
    unfinished: Gauge,
    longest: Gauge,
}

impl QueueMetrics {
    /// A key was added; the queue now has `depth` of them.
    pub fn added(&self, depth: usize) {
        self.adds.inc();
        self.depth(depth);
    }

    /// The queue now has `depth` keys.
    pub fn depth(&self, depth: usize) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Takes over the figures of a queue that counts for itself.
    pub fn totals(&self, depth: usize, adds: u64, retries: u64) {
        self.depth(depth);
        self.adds.inc_by(adds.saturating_sub(self.adds.get()));
        self.retries.inc_by(retries.saturating_sub(self.retries.get()));
    }

    /// A key is tried again after a failure.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// A key was taken after it had waited for so long.
    pub fn taken(&self, waited: Duration, depth: usize) {
        self.latency.observe(waited.as_secs_f64());
        self.depth(depth);
    }

    /// A key was done with after so long.
    pub fn worked(&self, took: Duration) {
        self.work.observe(took.as_secs_f64());
    }

    /// Keys in work: how long all together, and the longest.
    pub fn in_progress(&self, sum: Duration, longest: Duration) {
        self.unfinished.set(sum.as_secs_f64());
        self.longest.set(longest.as_secs_f64());
    }
}
