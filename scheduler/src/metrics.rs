//! Upstream's metrics of the scheduler, for all that exists here (kube-scheduler reference 6.1).

use std::time::{Duration, Instant};

use headroom_engine::{
    engine::{Decision, EngineStats, Report},
    framework::{Code, Point, Probe},
    queue::PointProbe,
};
use headroom_runtime::{clock, metrics::Registry};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector,
    exponential_buckets,
};

use crate::spans::{EventTimes, HintTimes, PointTimes};

/// All of them. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct SchedulerMetrics {
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    algorithm_duration: Histogram,
    sli_duration: HistogramVec,
    pod_attempts: Histogram,
    pending: IntGaugeVec,
    incoming: IntCounterVec,
    unschedulable: IntGaugeVec,
    points: HistogramVec,
    cache_size: IntGaugeVec,
    after_flush: IntCounter,
    preemption_attempts: IntCounter,
    preemption_victims: Histogram,
    preemption_duration: HistogramVec,
    preemptions: IntCounterVec,
    permit_wait: HistogramVec,
    in_flight: IntGaugeVec,
    volume_errors: IntCounterVec,
    events: HistogramVec,
    hints: HistogramVec,
    foreign: IntCounter,
    panics: IntGauge,
    degraded: IntGauge,
    shadow: IntGaugeVec,
    seen_to_sent: Histogram,
}

/// Buckets of `headroom_scheduler_pod_seen_to_binding_sent_seconds`: 0.1 ms to 10 s. The budget of 2 ms is one of them, so
/// that whether it is kept can be read off without interpolation.
const SEEN_TO_SENT: [f64; 17] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

fn put<C: Collector + Clone + 'static>(registry: &Registry, c: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(c.clone()))?;
    Ok(c)
}

impl SchedulerMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When they are registered already.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("scheduler_{name}"), help);
        let histogram = |name: &str, help: &str, start: f64, factor: f64, count: usize| {
            Ok::<_, prometheus::Error>(
                HistogramOpts::new(format!("scheduler_{name}"), help)
                    .buckets(exponential_buckets(start, factor, count)?),
            )
        };
        Ok(Self {
            attempts: put(
                registry,
                IntCounterVec::new(
                    opts(
                        "schedule_attempts_total",
                        "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
                    ),
                    &["result", "profile"],
                )?,
            )?,
            attempt_duration: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "scheduling_attempt_duration_seconds",
                        "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                        0.001,
                        2.0,
                        15,
                    )?,
                    &["result", "profile"],
                )?,
            )?,
            algorithm_duration: put(
                registry,
                Histogram::with_opts(histogram(
                    "scheduling_algorithm_duration_seconds",
                    "Scheduling algorithm latency in seconds",
                    0.001,
                    2.0,
                    15,
                )?)?,
            )?,
            sli_duration: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "pod_scheduling_sli_duration_seconds",
                        "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
                        0.01,
                        2.0,
                        20,
                    )?,
                    &["attempts"],
                )?,
            )?,
            pod_attempts: put(
                registry,
                Histogram::with_opts(histogram(
                    "pod_scheduling_attempts",
                    "Number of attempts to successfully schedule a pod.",
                    1.0,
                    2.0,
                    5,
                )?)?,
            )?,
            pending: put(
                registry,
                IntGaugeVec::new(opts("pending_pods", "Number of pending pods, by the queue type."), &["queue"])?,
            )?,
            incoming: put(
                registry,
                IntCounterVec::new(
                    opts(
                        "queue_incoming_pods_total",
                        "Number of pods added to scheduling queues by event and queue type.",
                    ),
                    &["queue", "event"],
                )?,
            )?,
            unschedulable: put(
                registry,
                IntGaugeVec::new(
                    opts(
                        "unschedulable_pods",
                        "The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.",
                    ),
                    &["plugin", "profile"],
                )?,
            )?,
            points: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "framework_extension_point_duration_seconds",
                        "Latency for running all plugins of a specific extension point.",
                        0.0001,
                        2.0,
                        12,
                    )?,
                    &["extension_point", "status", "profile"],
                )?,
            )?,
            cache_size: put(
                registry,
                IntGaugeVec::new(
                    opts("cache_size", "Number of nodes, pods, and assumed (bound) pods in the scheduler cache."),
                    &["type"],
                )?,
            )?,
            after_flush: put(
                registry,
                IntCounter::with_opts(opts(
                    "pod_scheduled_after_flush_total",
                    "Number of pods that were successfully scheduled after being flushed from unschedulable pods due to timeout.",
                ))?,
            )?,
            preemption_attempts: put(
                registry,
                IntCounter::with_opts(opts(
                    "preemption_attempts_total",
                    "Total preemption attempts in the cluster till now",
                ))?,
            )?,
            preemption_victims: put(
                registry,
                Histogram::with_opts(histogram(
                    "preemption_victims",
                    "Number of selected preemption victims",
                    1.0,
                    2.0,
                    7,
                )?)?,
            )?,
            preemption_duration: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "preemption_goroutines_duration_seconds",
                        "Duration in seconds for running goroutines for the preemption.",
                        0.01,
                        2.0,
                        20,
                    )?,
                    &["result"],
                )?,
            )?,
            preemptions: put(
                registry,
                IntCounterVec::new(
                    opts("preemption_goroutines_execution_total", "Number of preemption goroutines executed."),
                    &["result"],
                )?,
            )?,
            permit_wait: put(
                registry,
                HistogramVec::new(
                    histogram("permit_wait_duration_seconds", "Duration of waiting on permit.", 0.001, 2.0, 15)?,
                    &["result"],
                )?,
            )?,
            in_flight: put(
                registry,
                IntGaugeVec::new(
                    opts("inflight_events", "Number of events currently tracked in the scheduling queue."),
                    &["event"],
                )?,
            )?,
            volume_errors: put(
                registry,
                IntCounterVec::new(
                    opts("volume_scheduling_stage_error_total", "Volume scheduling stage error count"),
                    &["operation"],
                )?,
            )?,
            events: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "event_handling_duration_seconds",
                        "Event handling latency in seconds.",
                        0.0001,
                        2.0,
                        12,
                    )?,
                    &["event"],
                )?,
            )?,
            hints: put(
                registry,
                HistogramVec::new(
                    histogram(
                        "queueing_hint_execution_duration_seconds",
                        "Duration for running a queueing hint function of a plugin.",
                        0.00001,
                        1.5,
                        20,
                    )?,
                    &["plugin", "event", "hint"],
                )?,
            )?,
            foreign: put(
                registry,
                IntCounter::with_opts(Opts::new(
                    "headroom_foreign_bindings_total",
                    "Pods of this scheduler's queue that somebody else bound.",
                ))?,
            )?,
            panics: put(
                registry,
                IntGauge::with_opts(Opts::new(
                    "headroom_quarantined_pods",
                    "Pods that made the engine panic and are set aside.",
                ))?,
            )?,
            degraded: put(
                registry,
                IntGauge::with_opts(Opts::new(
                    "headroom_memory_degraded",
                    "1 while there are NodeHeadrooms and no node has a usable sample.",
                ))?,
            )?,
            shadow: put(
                registry,
                IntGaugeVec::new(
                    Opts::new("headroom_shadow_comparisons", "Shadow mode: how our choices compare with those made."),
                    &["outcome"],
                )?,
            )?,
            seen_to_sent: put(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "headroom_scheduler_pod_seen_to_binding_sent_seconds",
                        "From a pod's first watch event, parsed, until its first binding request is handed to the HTTP client, in seconds. Bindings by extenders are not counted.",
                    )
                    .buckets(SEEN_TO_SENT.to_vec()),
                )?,
            )?,
        })
    }

    /// From a pod that was seen to its binding: observed by the dispatcher, at the last moment that is ours.
    pub(crate) fn seen_to_sent(&self) -> Histogram {
        self.seen_to_sent.clone()
    }

    /// Measures the handling of events.
    pub(crate) fn event_times(&self) -> EventTimes {
        EventTimes::new(self.events.clone())
    }

    /// Measures queueing hints.
    pub(crate) fn hint_times(&self) -> HintTimes {
        HintTimes::new(self.hints.clone())
    }

    /// Measures the extension points of queue and binding.
    pub(crate) fn point_times(&self) -> PointTimes {
        PointTimes::new(self.points.clone())
    }

    /// Counts what the engine reports.
    pub(crate) fn report(&self, report: &Report) {
        match report {
            Report::Bound { profile, attempts, first_active, started, flushed, .. } => {
                let now = clock::mono();
                self.attempts.with_label_values(&["scheduled", profile]).inc();
                self.attempt_duration
                    .with_label_values(&["scheduled", profile])
                    .observe(now.since(started.mono).as_secs_f64());
                self.pod_attempts.observe(f64::from(*attempts));
                if let Some(first) = first_active {
                    let label = if *attempts >= 15 { "15+".to_owned() } else { attempts.to_string() };
                    self.sli_duration.with_label_values(&[&label]).observe(now.since(first.mono).as_secs_f64());
                }
                if *flushed {
                    self.after_flush.inc();
                }
            }
            Report::BindingFailed { profile, started, rejected, .. } => {
                let result = if *rejected { "unschedulable" } else { "error" };
                self.attempts.with_label_values(&[result, profile]).inc();
                let took = clock::mono().since(started.mono);
                self.attempt_duration.with_label_values(&[result, profile]).observe(took.as_secs_f64());
            }
            Report::ForeignBinding { .. } => self.foreign.inc(),
            Report::PermitWaited { waited, code } => {
                self.permit_wait.with_label_values(&[code.as_str()]).observe(waited.as_secs_f64());
            }
            Report::Preempting { victims } => {
                self.preemption_victims.observe(f64::from(u32::try_from(*victims).unwrap_or(u32::MAX)));
            }
            Report::Preempted { took, failed } => {
                let result = if *failed { "error" } else { "success" };
                self.preemptions.with_label_values(&[result]).inc();
                self.preemption_duration.with_label_values(&[result]).observe(took.as_secs_f64());
            }
            Report::Shadow(_) => {}
        }
    }

    /// Copies the engine's figures.
    pub(crate) fn refresh(&self, stats: &EngineStats) {
        let set = |gauge: &IntGaugeVec, label: &str, n: usize| {
            gauge.with_label_values(&[label]).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        for (queue, n) in [
            ("active", stats.pending.active),
            ("backoff", stats.pending.backoff),
            ("unschedulable", stats.pending.unschedulable),
            ("gated", stats.pending.gated),
        ] {
            set(&self.pending, queue, n);
        }
        set(&self.cache_size, "nodes", stats.nodes);
        set(&self.cache_size, "pods", stats.pods);
        set(&self.cache_size, "assumed_pods", stats.assumed_pods);
        for (queue, event, n) in &stats.incoming {
            let counter = self.incoming.with_label_values(&[queue, event.as_str()]);
            counter.inc_by(n.saturating_sub(counter.get()));
        }
        for (event, n) in &stats.in_flight {
            set(&self.in_flight, event, *n);
        }
        for (operation, n) in stats.volume_errors.iter().filter(|(_, n)| *n > 0) {
            let counter = self.volume_errors.with_label_values(&[*operation]);
            counter.inc_by(n.saturating_sub(counter.get()));
        }
        self.unschedulable.reset();
        for (plugin, profile, n) in &stats.unschedulable {
            self.unschedulable
                .with_label_values(&[plugin, profile.as_str()])
                .set(i64::try_from(*n).unwrap_or(i64::MAX));
        }
        self.preemption_attempts.inc_by(stats.preemption_attempts.saturating_sub(self.preemption_attempts.get()));
        self.degraded.set(i64::from(stats.degraded));
        self.panics.set(i64::try_from(stats.quarantined).unwrap_or(i64::MAX));
        for (outcome, n) in [
            ("agrees", stats.shadow_agrees),
            ("differs", stats.shadow_differs),
            ("would_wait", stats.shadow_would_wait),
            ("not_compared", stats.shadow_not_compared),
        ] {
            self.shadow.with_label_values(&[outcome]).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }
}

/// Spans open at the same time: points do not nest deeper than this.
const MAX_OPEN: usize = 4;

/// Measures the extension points of each cycle.
#[derive(Debug)]
pub(crate) struct CycleProbe {
    metrics: SchedulerMetrics,
    points: PointTimes,
    began: Instant,
    open: Vec<Instant>,
    /// Spans of the current cycle: the profile's name is known only at its end.
    spans: Vec<(Point, Code, Duration)>,
}

/// Spans of one cycle that are kept.
const MAX_SPANS: usize = 32;

impl CycleProbe {
    /// For one thread.
    #[must_use]
    pub(crate) fn new(metrics: SchedulerMetrics) -> Self {
        Self {
            points: metrics.point_times(),
            metrics,
            began: Instant::now(),
            open: Vec::with_capacity(MAX_OPEN),
            spans: Vec::with_capacity(MAX_SPANS),
        }
    }

    /// A cycle begins.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
        self.open.clear();
        self.spans.clear();
    }

    /// It ended like this.
    pub(crate) fn decided(&mut self, decision: &Decision) {
        let took = self.began.elapsed().as_secs_f64();
        self.metrics.algorithm_duration.observe(took);
        if let Some(label) = decision.result.metric_label() {
            self.metrics.attempts.with_label_values(&[label, &decision.profile]).inc();
            self.metrics.attempt_duration.with_label_values(&[label, &decision.profile]).observe(took);
        }
        for (point, code, time) in self.spans.drain(..) {
            self.points.took(point.as_str(), code, &decision.profile, time);
        }
    }
}

impl Probe for CycleProbe {
    fn enter(&mut self, _: Point) {
        if self.open.len() < MAX_OPEN {
            self.open.push(Instant::now());
        }
    }

    fn exit(&mut self, point: Point, code: Code) {
        if let Some(began) = self.open.pop()
            && self.spans.len() < MAX_SPANS
        {
            self.spans.push((point, code, began.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests;
