//! Metrics through the `prometheus` crate, under upstream's names where upstream has them (kube-scheduler reference 6.1,
//! kube-controller-manager reference 5.3).
//!
//! Each struct registers itself with a [`Registry`] that the process owns; nothing is global.

mod client;
mod process;
mod registry;
mod workqueue;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder, core::Collector};

pub use self::{
    client::{ClientMetrics, RequestTimer},
    process::ProcessCollector,
    registry::{Family, Registry},
    workqueue::{QueueMetrics, WorkqueueMetrics},
};
use crate::process::KUBERNETES;

/// Content type of [`encode`]'s text.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the registry in Prometheus' text format.
///
/// # Errors
/// When two collectors contradict each other.
pub fn encode(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// Registers `collector` and gives it back.
pub(crate) fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// `kubernetes_build_info`: `git_version` is the release of Kubernetes that is followed and, behind a plus sign, our own.
/// What Go and Git say of a build of Kubernetes is left empty.
///
/// # Errors
/// When it is registered already.
pub fn register_build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let opts = Opts::new(
        "kubernetes_build_info",
        "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, \
         Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
    );
    let labels = [
        "major",
        "minor",
        "git_version",
        "git_commit",
        "git_tree_state",
        "build_date",
        "go_version",
        "compiler",
        "platform",
    ];
    let [major, minor, version] = KUBERNETES;
    let version = format!("{version}+headroom.{}", env!("CARGO_PKG_VERSION"));
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    let info = registered(registry, IntGaugeVec::new(opts, &labels)?)?;
    info.with_label_values(&[major, minor, &version, "", "", "", "", "rustc", &platform]).set(1);
    Ok(())
}

/// `leader_election_master_status{name}`: 1 while we lead.
#[derive(Debug, Clone)]
pub struct LeaderMetrics {
    status: GaugeVec,
}

impl LeaderMetrics {
    /// Registers the gauge.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. \
             'name' is the string used to identify the lease.",
        );
        Ok(Self { status: registered(registry, GaugeVec::new(opts, &["name"])?)? })
    }

    /// Sets it for the lease of this name.
    pub fn set(&self, name: &str, leading: bool) {
        self.status.with_label_values(&[name]).set(f64::from(u8::from(leading)));
    }
}

/// What the dispatcher and the event recorder count. Upstream has no such metrics.
#[derive(Debug, Clone)]
pub struct DispatcherMetrics {
    /// Outcomes by operation and result.
    pub outcomes: IntCounterVec,
    /// Intents that wait, by lane.
    pub queued: IntGaugeVec,
    /// Requests in flight, by lane.
    pub in_flight: IntGaugeVec,
    /// Write requests that may be in flight at most, after adapting to 429s and late answers.
    pub limit: IntGauge,
    /// Status patches that were merged into a later one.
    pub coalesced: IntCounter,
    /// Events by what became of them: created, patched, dropped, throttled, failed.
    pub events: IntCounterVec,
}

impl DispatcherMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauges = |name: &str, help: &str| registered(registry, IntGaugeVec::new(Opts::new(name, help), &["lane"])?);
        Ok(Self {
            outcomes: counters(
                "headroom_dispatcher_outcomes_total",
                "Outcomes of intents by operation and result.",
                &["operation", "result"],
            )?,
            queued: gauges("headroom_dispatcher_queued", "Intents that wait for their turn, by lane.")?,
            in_flight: gauges("headroom_dispatcher_in_flight", "Requests in flight, by lane.")?,
            limit: registered(
                registry,
                IntGauge::new(
                    "headroom_dispatcher_write_limit",
                    "Writes that may be in flight; sinks when the API server answers 429 or late.",
                )?,
            )?,
            coalesced: registered(
                registry,
                IntCounter::new(
                    "headroom_dispatcher_coalesced_total",
                    "Status patches that were merged into a later one of the same pod.",
                )?,
            )?,
            events: counters("headroom_events_total", "Events by what became of them.", &["result"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let registry = Registry::new();
        let leader = LeaderMetrics::new(&registry).unwrap();
        leader.set("kube-scheduler", true);
        let client = ClientMetrics::new(&registry).unwrap();
        let timer = client.start(&http::Method::POST, &"https://10.0.0.1:6443/api".parse().unwrap());
        timer.finish(Some(http::StatusCode::CREATED));
        let queues = WorkqueueMetrics::new(&registry).unwrap();
        queues.named("replicationmanager").added(3);
        registry.register(Box::new(ProcessCollector::new().unwrap())).unwrap();
        let text = encode(&registry).unwrap();
        for line in [
            "leader_election_master_status{name=\"kube-scheduler\"} 1",
            "rest_client_requests_total{code=\"201\",host=\"10.0.0.1:6443\",method=\"POST\"} 1",
            "rest_client_request_duration_seconds_count{host=\"10.0.0.1:6443\",verb=\"POST\"} 1",
            "workqueue_adds_total{name=\"replicationmanager\"} 1",
            "workqueue_depth{name=\"replicationmanager\"} 3",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let value = |name: &str| {
            text.lines().find_map(|l| l.strip_prefix(&format!("{name} "))).and_then(|v| v.parse::<f64>().ok()).unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
