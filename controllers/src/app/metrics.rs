//! Metrics of the loops, under upstream's names: `workqueue_*` per queue, `running_managed_controllers`, and what each
//! loop counts itself; and of the collector, which upstream does not have: `headroom_kubelet_reads_total`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headroom_core::Mono;
use headroom_runtime::metrics::{QueueMetrics, Registry, WorkqueueMetrics};
use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto,
};

use super::loops::Loops;
use crate::{
    framework::measure::{Figure, Measurement, Measurements, Metric, MetricKind},
    node_headroom::{Answer, Path, ScrapeError},
};

/// Refreshed by the task that runs the loops.
#[derive(Debug)]
pub(super) struct LoopMetrics {
    running: IntGaugeVec,
    selected: Vec<&'static str>,
    families: WorkqueueMetrics,
    queues: BTreeMap<&'static str, QueueMetrics>,
    reads: IntCounterVec,
    /// What the loops counted when they were last asked.
    measured: Measured,
    ask_at: Mono,
}

/// How often the loops are asked: some of their figures are sums over all Services.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What the loops counted, for the registry.
#[derive(Debug, Clone)]
struct Measured {
    all: Arc<Mutex<Vec<Measurement>>>,
    /// The registry wants to know a name; families come and go with the loops that are selected.
    description: Desc,
}

impl Measured {
    fn new() -> Result<Self, prometheus::Error> {
        let help = "Families that the loops count themselves.".to_owned();
        let description =
            Desc::new("headroom_controllers".to_owned(), help, Vec::new(), std::collections::HashMap::new())?;
        Ok(Self { all: Arc::default(), description })
    }

    fn set(&self, measurements: Measurements) {
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = measurements.into_sorted();
    }
}

impl Collector for Measured {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.chunk_by(|a, b| a.metric.name == b.metric.name).filter_map(family).collect()
    }
}

fn family(measurements: &[Measurement]) -> Option<proto::MetricFamily> {
    let metric = measurements.first()?.metric;
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        MetricKind::Counter => proto::MetricType::COUNTER,
        MetricKind::Gauge => proto::MetricType::GAUGE,
        MetricKind::Histogram => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(measurements.iter().map(|m| sample(metric, m)).collect());
    Some(family)
}

fn sample(metric: &Metric, measurement: &Measurement) -> proto::Metric {
    let mut out = proto::Metric::default();
    let label = |(name, value): (&&str, &String)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    out.set_label(metric.labels.iter().zip(&measurement.labels).map(label).collect());
    match &measurement.figure {
        Figure::Number(value) if metric.kind == MetricKind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            out.set_counter(counter);
        }
        Figure::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            out.set_gauge(gauge);
        }
        Figure::Histogram(histogram) => {
            let bucket = |(bound, count)| {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(count);
                bucket
            };
            let mut shown = proto::Histogram::default();
            shown.set_bucket(histogram.cumulative().map(bucket).collect());
            shown.set_sample_count(histogram.count());
            shown.set_sample_sum(histogram.sum());
            out.set_histogram(shown);
        }
    }
    out
}

impl LoopMetrics {
    /// Registers them for these loops.
    ///
    /// # Errors
    /// When they are registered already.
    pub(super) fn new(registry: &Registry, selected: &[&'static str]) -> Result<Self, prometheus::Error> {
        let running = IntGaugeVec::new(
            Opts::new("running_managed_controllers", "Indicates where instances of a controller are currently running"),
            &["name", "manager"],
        )?;
        registry.register(Box::new(running.clone()))?;
        let reads = IntCounterVec::new(
            Opts::new(
                "headroom_kubelet_reads_total",
                "Reads of kubelets by what was asked for and the result: ok, or the reason of the condition Fresh.",
            ),
            &["path", "result"],
        )?;
        registry.register(Box::new(reads.clone()))?;
        let families = WorkqueueMetrics::new(registry)?;
        let measured = Measured::new()?;
        registry.register(Box::new(measured.clone()))?;
        let (selected, queues) = (selected.to_vec(), BTreeMap::new());
        Ok(Self { running, selected, families, queues, reads, measured, ask_at: Mono(0) })
    }

    /// This process leads: the loops run here.
    pub(super) fn lead(&self) {
        for name in &self.selected {
            self.running.with_label_values(&[name, "headroom-controllers"]).set(1);
        }
    }

    /// Counts what a kubelet answered.
    pub(super) fn answered(&self, answer: &Answer) {
        let Answer::Kubelet(result) = answer else { return };
        let path = match result.path {
            Path::Summary => "summary",
            Path::FullSummary => "full_summary",
            Path::Configz => "configz",
        };
        let outcome = result.result.as_ref().err().map_or("ok", ScrapeError::reason);
        self.reads.with_label_values(&[path, outcome]).inc();
    }

    /// Takes over the queues' figures, and now and then what the loops count.
    pub(super) fn refresh(&mut self, loops: &mut Loops, now: Mono) {
        if now >= self.ask_at {
            self.ask_at = now + ASK_EVERY;
            self.measured.set(loops.measure());
        }
        let (families, queues) = (&self.families, &mut self.queues);
        loops.queues(|name, (depth, adds, retries), times| {
            let metrics = queues.entry(name).or_insert_with(|| families.named(name));
            metrics.totals(depth, adds, retries);
            times.waited().for_each(|waited| metrics.taken(waited, depth));
            times.worked().for_each(|took| metrics.worked(took));
            let (all, longest) = times.in_work(now);
            metrics.in_progress(all, longest);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{framework::Histogram, selection};

    #[test]
    fn figures_are_shown_as_prometheus_writes_them() {
        static HELD: Metric = Metric::gauge("held", &[], "Held.");
        static TIMES: Metric = Metric::histogram("times", &["zone"], "Times.");
        static ENDED: Metric = Metric::counter("ended_total", &["reason"], "Ended.");
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        histogram.observe(1.5);
        histogram.observe(7.0);
        let mut measurements = Measurements::default();
        measurements.histogram(&TIMES, &["a\"b"], &histogram);
        measurements.count(&ENDED, &["x"], 3);
        measurements.number(&HELD, &[], 0.5);
        let registry = Registry::new();
        let measured = Measured::new().unwrap();
        registry.register(Box::new(measured.clone())).unwrap();
        measured.set(measurements);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let expected = r#"# HELP ended_total Ended.
# TYPE ended_total counter
ended_total{reason="x"} 3
# HELP held Held.
# TYPE held gauge
held 0.5
# HELP times Times.
# TYPE times histogram
times_bucket{zone="a\"b",le="1"} 0
times_bucket{zone="a\"b",le="2"} 1
times_bucket{zone="a\"b",le="+Inf"} 2
times_sum{zone="a\"b"} 8.5
times_count{zone="a\"b"} 2
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn every_loop_has_a_name_for_each_figure_and_no_two_loops_share_one() {
        let options: super::super::Options = headroom_runtime::process::parse_or_explain(
            ["x", "--controllers=*", "--node-lifecycle-profile=fast"].map(str::to_owned),
        )
        .unwrap();
        let selected = selection::select(&options.controllers).unwrap();
        let registry = Registry::new();
        let mut metrics = LoopMetrics::new(&registry, &selected).unwrap();
        let params = headroom_core::memory::Params::default();
        metrics.refresh(&mut Loops::new(&selected, &options, &params, 1), Mono(0));
        let families = registry.gather();
        let names: std::collections::BTreeSet<_> = families.iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(names.len(), families.len());
        for name in [
            "taint_eviction_controller_pod_deletions_total",
            "endpoint_slice_controller_syncs",
            "endpoint_slice_mirroring_controller_changes",
            "replicaset_controller_sorting_deletion_age_ratio",
            "headroom_evictions_held_back",
            "headroom_node_lifecycle_yielded",
            "headroom_taint_eviction_yielded",
            "headroom_replicationcontroller_yielded",
            "headroom_endpoints_yielded",
            "headroom_endpointslice_yielded",
            "headroom_endpointslice_mirroring_yielded",
        ] {
            assert!(names.contains(name), "{name} of {names:?}");
        }
        let text = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
        let queues: Vec<_> = text.lines().filter(|line| line.starts_with("workqueue_depth{")).collect();
        assert_eq!(queues.len(), selected.len() + 3, "three loops have a second queue: {queues:?}");
    }
}
