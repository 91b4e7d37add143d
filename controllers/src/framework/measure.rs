//! What a controller counts, without the library that shows it: plain figures, kept where things happen, under upstream's
//! names (kube-controller-manager reference 5.3). The process copies them out for `/metrics`.

/// What a family's figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations by size.
    Histogram,
}

/// A family of metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What its figures are.
    pub kind: MetricKind,
    /// Names of the labels.
    pub labels: &'static [&'static str],
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Counter, labels }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Gauge, labels }
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Histogram, labels }
    }
}

/// Counts of observations, by upper bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: Box<[f64]>,
    /// Per bound, not cumulative; the last one is for what exceeds all bounds.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// With these upper bounds, in ascending order.
    #[must_use]
    pub fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.into(), counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// `count` bounds from `start` on, each `factor` times the one before.
    #[must_use]
    pub fn exponential(start: f64, factor: f64, count: i32) -> Self {
        Self::new(&(0..count).map(|i| start * factor.powi(i)).collect::<Vec<_>>())
    }

    /// Takes an observation in.
    pub fn observe(&mut self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Upper bounds with the number of observations up to each.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    /// The number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// A figure of a family, with the values of its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The family.
    pub metric: &'static Metric,
    /// Values of its labels, in their order.
    pub labels: Vec<String>,
    /// The figure.
    pub figure: Figure,
}

/// Collects the figures of all controllers.
#[derive(Debug, Default)]
pub struct Measurements(Vec<Measurement>);

impl Measurements {
    /// A figure of a counter or gauge.
    pub fn number(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.push(metric, labels, Figure::Number(value));
    }

    /// A count.
    pub fn count(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        // Exact up to 2^53.
        self.number(metric, labels, value as f64);
    }

    /// A histogram.
    pub fn histogram(&mut self, metric: &'static Metric, labels: &[&str], histogram: &Histogram) {
        self.push(metric, labels, Figure::Histogram(histogram.clone()));
    }

    fn push(&mut self, metric: &'static Metric, labels: &[&str], figure: Figure) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        self.0.push(Measurement { metric, labels: labels.iter().map(|l| (*l).to_owned()).collect(), figure });
    }

    /// All of them, families together in the order of their names.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Measurement> {
        self.0.sort_by(|a, b| (a.metric.name, &a.labels).cmp(&(b.metric.name, &b.labels)));
        self.0
    }
}

#[cfg(test)]
impl Measurements {
    /// The figures of a family as text, for tests: `labels=number`, or `labels=count/sum` of a histogram.
    pub(crate) fn texts(&self, metric: &Metric) -> Vec<String> {
        let of = |m: &Measurement| {
            let labels = m.labels.join(",");
            match &m.figure {
                Figure::Number(n) => format!("{labels}={n}"),
                Figure::Histogram(h) => format!("{labels}={}/{}", h.count(), h.sum()),
            }
        };
        self.0.iter().filter(|m| m.metric == metric).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_under_the_first_bound_that_is_not_smaller() {
        let mut h = Histogram::exponential(2.0, 2.0, 3);
        for value in [0.0, 2.0, 2.5, 8.0, 9.0] {
            h.observe(value);
        }
        assert_eq!(h.cumulative().collect::<Vec<_>>(), [(2.0, 2), (4.0, 3), (8.0, 4)]);
        assert_eq!((h.count(), h.sum()), (5, 21.5));
    }

    #[test]
    fn families_stay_together() {
        static A: Metric = Metric::counter("a", &["x"], "");
        static B: Metric = Metric::gauge("b", &[], "");
        let mut all = Measurements::default();
        all.count(&A, &["2"], 1);
        all.number(&B, &[], 0.5);
        all.count(&A, &["1"], 3);
        assert_eq!(all.texts(&A), ["2=1", "1=3"]);
        let names: Vec<_> = all.into_sorted().into_iter().map(|m| (m.metric.name, m.labels.concat())).collect();
        assert_eq!(names, [("a", "1".to_owned()), ("a", "2".to_owned()), ("b", String::new())]);
    }
}
