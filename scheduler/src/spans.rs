//! How long events, queueing hints and extension points take. Histograms are kept by what the engine names: labels are
//! looked up once.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use headroom_engine::{
    framework::{ClusterEvent, Code, Hint, HintProbe},
    queue::PointProbe,
};
use prometheus::{Histogram, HistogramVec};

/// `event_handling_duration_seconds`: an object changed, the cache and the queue were told.
#[derive(Debug)]
pub(crate) struct EventTimes {
    all: HistogramVec,
    known: HashMap<ClusterEvent, Histogram>,
}

impl EventTimes {
    /// Observes with this family, labelled `event`.
    pub(crate) fn new(all: HistogramVec) -> Self {
        Self { all, known: HashMap::new() }
    }

    /// These kinds of events came of one change.
    pub(crate) fn observe(&mut self, events: &[ClusterEvent], seconds: f64) {
        for event in events {
            let new = || self.all.with_label_values(&[event.label().as_str()]);
            self.known.entry(*event).or_insert_with(new).observe(seconds);
        }
    }
}

/// `queueing_hint_execution_duration_seconds`.
#[derive(Debug)]
pub(crate) struct HintTimes {
    all: HistogramVec,
    known: HashMap<(&'static str, ClusterEvent, Hint), Histogram>,
    began: Instant,
}

impl HintTimes {
    /// Observes with this family, labelled `plugin`, `event` and `hint`.
    pub(crate) fn new(all: HistogramVec) -> Self {
        Self { all, known: HashMap::new(), began: Instant::now() }
    }
}

impl HintProbe for HintTimes {
    fn enter(&mut self) {
        self.began = Instant::now();
    }

    fn exit(&mut self, plugin: &'static str, event: ClusterEvent, hint: Hint) {
        let seconds = self.began.elapsed().as_secs_f64();
        let new = || {
            let answer = match hint {
                Hint::Queue => "Queue",
                Hint::Skip => "QueueSkip",
            };
            self.all.with_label_values(&[plugin, event.label().as_str(), answer])
        };
        self.known.entry((plugin, event, hint)).or_insert_with(new).observe(seconds);
    }
}

/// `framework_extension_point_duration_seconds`.
#[derive(Debug)]
pub(crate) struct PointTimes {
    all: HistogramVec,
    /// By point and status, then by profile.
    known: HashMap<(&'static str, Code), HashMap<String, Histogram>>,
    began: Instant,
}

impl PointTimes {
    /// Observes with this family, labelled `extension_point`, `status` and `profile`.
    pub(crate) fn new(all: HistogramVec) -> Self {
        Self { all, known: HashMap::new(), began: Instant::now() }
    }
}

impl PointProbe for PointTimes {
    fn enter(&mut self) {
        self.began = Instant::now();
    }

    fn exit(&mut self, point: &'static str, code: Code, profile: &str) {
        self.took(point, code, profile, self.began.elapsed());
    }

    fn took(&mut self, point: &'static str, code: Code, profile: &str, time: Duration) {
        let profiles = self.known.entry((point, code)).or_default();
        if let Some(histogram) = profiles.get(profile) {
            histogram.observe(time.as_secs_f64());
            return;
        }
        let histogram = self.all.with_label_values(&[point, code.as_str(), profile]);
        histogram.observe(time.as_secs_f64());
        profiles.insert(profile.to_owned(), histogram);
    }
}
