//! A histogram of a process's `/metrics`, between two readings.

/// Bounds, and how many observations were at most that large.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// Reads a family without labels; without a bucket when the text does not have it.
    pub(super) fn parse(text: &str, family: &str) -> Self {
        let prefix = format!("{family}_bucket{{le=\"");
        let bucket = |line: &str| -> Option<(f64, f64)> {
            let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(bucket).collect())
    }

    /// What was observed since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| earlier.0.iter().find(|(b, _)| b.total_cmp(&bound).is_eq()).map_or(0.0, |(_, n)| *n);
        Self(self.0.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect())
    }

    /// The value below which so large a part of the observations is, interpolated within its bucket as Prometheus does; a
    /// bound is exceeded exactly when too few observations are in the buckets up to it. Infinite when it is beyond the
    /// last bound, not a number of nothing.
    pub(super) fn quantile(&self, part: f64) -> f64 {
        let total = self.0.last().map_or(0.0, |(_, count)| *count);
        if total <= 0.0 {
            return f64::NAN;
        }
        let rank = part * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank {
                let share = if count - below > 0.0 { (rank - below) / (count - below) } else { 1.0 };
                return if bound.is_finite() { (bound - lower).mul_add(share, lower) } else { f64::INFINITY };
            }
            (lower, below) = (*bound, *count);
        }
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: [u32; 4]) -> String {
        let [a, b, c, all] = counts;
        format!(
            "# TYPE t_seconds histogram\nt_seconds_bucket{{le=\"0.001\"}} {a}\nt_seconds_bucket{{le=\"0.002\"}} {b}\n\
             t_seconds_bucket{{le=\"10\"}} {c}\nt_seconds_bucket{{le=\"+Inf\"}} {all}\nt_seconds_sum 1\nt_seconds_count {all}\n\
             other_seconds_bucket{{le=\"0.001\"}} 7\n"
        )
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let (before, after) = (Histogram::parse(&text([0, 0, 1, 1]), "t_seconds"), text([50, 99, 101, 101]));
        let of = Histogram::parse(&after, "t_seconds").since(&before);
        for (part, expected) in [(0.5, 0.001), (0.25, 0.0005), (0.99, 0.002), (1.0, 10.0)] {
            assert!((of.quantile(part) - expected).abs() < 1e-9, "{part}: {}", of.quantile(part));
        }
    }

    #[test]
    fn what_is_unknown_meets_no_bar() {
        assert!(Histogram::parse("", "t_seconds").quantile(0.99).is_nan());
        assert!(Histogram::parse(&text([0, 0, 0, 0]), "t_seconds").quantile(0.99).is_nan());
        assert!(Histogram::parse(&text([0, 0, 1, 3]), "t_seconds").quantile(0.99).is_infinite());
    }
}
