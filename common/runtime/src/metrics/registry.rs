//! The registry of a process. One that is asked to also remembers the families that were registered, those included that
//! have no series yet and that nothing shows therefore: the reference of metrics is written from it.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    core::Collector,
    proto::{MetricFamily, MetricType},
};

/// A family of metrics, as documentation has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

/// Where metrics are registered. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    families: Option<Arc<Mutex<Vec<Family>>>>,
}

impl Registry {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that remembers what is registered.
    #[must_use]
    pub fn remembering() -> Self {
        Self { families: Some(Arc::default()), ..Self::default() }
    }

    /// Registers a collector.
    ///
    /// # Errors
    /// When something of its name is registered already.
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        if let Some(families) = &self.families {
            families.lock().unwrap_or_else(PoisonError::into_inner).extend(described(collector.as_ref()));
        }
        self.inner.register(collector)
    }

    /// The families that have series.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.inner.gather()
    }

    /// What was registered, in the order of the names; nothing unless it remembers.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let Some(families) = &self.families else { return Vec::new() };
        let mut all = families.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all
    }
}

/// The description knows the labels, and what is collected the type.
fn described(collector: &dyn Collector) -> Vec<Family> {
    let descriptions = collector.desc();
    let family = |family: MetricFamily| {
        let description = descriptions.iter().find(|d| d.fq_name == family.name());
        Family {
            name: family.name().to_owned(),
            kind: match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                MetricType::SUMMARY => "summary",
                MetricType::UNTYPED => "untyped",
            },
            labels: description.map(|d| d.variable_labels.clone()).unwrap_or_default(),
            help: family.help().to_owned(),
        }
    };
    collector.collect().into_iter().map(family).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter};

    use super::*;

    #[test]
    fn families_without_series_are_remembered_and_not_shown() {
        let registry = Registry::remembering();
        let times = HistogramVec::new(HistogramOpts::new("times_seconds", "Times."), &["a", "b"]).unwrap();
        registry.register(Box::new(times)).unwrap();
        registry.register(Box::new(IntCounter::new("done_total", "Done.").unwrap())).unwrap();
        let told: Vec<_> = registry.families().into_iter().map(|f| (f.name, f.kind, f.labels.join(","))).collect();
        assert_eq!(
            told,
            [
                ("done_total".to_owned(), "counter", String::new()),
                ("times_seconds".to_owned(), "histogram", "a,b".to_owned())
            ]
        );
        assert_eq!(registry.gather().len(), 1);
        assert!(Registry::new().families().is_empty());
    }
}
