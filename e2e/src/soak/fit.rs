//! Lines through points.

use super::Look;

/// What of a run is warming up and does not count: caches fill, and the allocator finds its size.
const WARM_UP: f64 = 0.25;

/// The slope of the line through the points that fits best by least squares; 0 of fewer than two.
pub(super) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count.max(1.0);
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let common: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    if spread > 0.0 { common / spread } else { 0.0 }
}

/// KiB per minute by which memory grew after the warm-up.
pub(super) fn growth(looks: &[Look]) -> f64 {
    let points: Vec<_> = settled(looks).iter().map(|look| (look.minutes, look.rss_bytes as f64 / 1024.0)).collect();
    slope(&points)
}

/// The looks after the warm-up.
pub(super) fn settled(looks: &[Look]) -> &[Look] {
    let end = looks.last().map_or(0.0, |look| look.minutes);
    let from = looks.iter().position(|look| look.minutes >= end * WARM_UP).unwrap_or(0);
    &looks[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_noise() {
        let noise = |i: u32| if i.is_multiple_of(2) { 5.0 } else { -5.0 };
        let points: Vec<_> = (0..100).map(|i| (f64::from(i), 3.0 * f64::from(i) + 7.0 + noise(i))).collect();
        assert!((slope(&points) - 3.0).abs() < 0.05, "{}", slope(&points));
        assert!(slope(&[]).abs() < f64::EPSILON && slope(&[(1.0, 5.0)]).abs() < f64::EPSILON);
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let look = |i: u32| Look {
            minutes: f64::from(i),
            rss_bytes: if i < 10 { u64::from(i) << 20 } else { 10 << 20 },
            files: 10,
        };
        let looks: Vec<_> = (0..=40).map(look).collect();
        assert_eq!(settled(&looks).len(), 31);
        assert!(growth(&looks).abs() < 1e-6, "{}", growth(&looks));
        assert!(growth(&[]).abs() < f64::EPSILON);
    }
}
