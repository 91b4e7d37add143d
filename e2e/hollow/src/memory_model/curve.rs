//! Memory over time: a piecewise linear curve, as written in the annotation `hollow.headroom.dev/memory`.

use crate::error::HollowError;
use crate::quantity::{format_bytes, parse_bytes};
use crate::time::Millis;

/// More points than this are refused: a curve is written by hand.
const MAX_POINTS: usize = 64;

/// Memory demand over time. Before the first point the first value holds, after the last one the last.
///
/// Written as one size (`120Mi`) or as points (`50Mi@0s,200Mi@60s`; times in `ms`, `s`, `m` or `h`, rising), between
/// which the demand is linear. Two points at the same time make a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    points: Vec<(Millis, u64)>,
}

impl Curve {
    /// A demand that never changes, in bytes.
    #[must_use]
    pub fn constant(bytes: u64) -> Self {
        Self { points: vec![(0, bytes)] }
    }

    /// Reads the written form.
    ///
    /// # Errors
    /// [`HollowError::Curve`] when a size or a time cannot be read, times fall, or there are too many points.
    pub fn parse(text: &str) -> Result<Self, HollowError> {
        let fail = |problem: &str| HollowError::Curve { text: text.to_owned(), problem: problem.to_owned() };
        let mut points: Vec<(Millis, u64)> = Vec::new();
        for part in text.split(',') {
            let (size, at) = part.trim().split_once('@').unwrap_or((part.trim(), "0s"));
            let bytes = parse_bytes(size).ok_or_else(|| fail("a size must be a quantity such as 120Mi"))?;
            let at = parse_duration(at).ok_or_else(|| fail("a time must look like 60s, 500ms, 2m or 1h"))?;
            if points.last().is_some_and(|&(last, _)| at < last) {
                return Err(fail("times must not fall"));
            }
            if points.len() == MAX_POINTS {
                return Err(fail("at most 64 points"));
            }
            points.push((at, bytes));
        }
        Ok(Self { points })
    }

    /// Demand in bytes after `elapsed`.
    pub(crate) fn at(&self, elapsed: Millis) -> f64 {
        let after = self.points.partition_point(|&(at, _)| at <= elapsed);
        let value = |index: usize| self.points.get(index).map(|&(_, bytes)| bytes as f64);
        let Some(before) = after.checked_sub(1) else { return value(0).unwrap_or(0.0) };
        match (self.points.get(before), self.points.get(after)) {
            (Some(&(t0, b0)), Some(&(t1, b1))) => {
                let share = (elapsed - t0) as f64 / (t1 - t0).max(1) as f64;
                b0 as f64 + (b1 as f64 - b0 as f64) * share
            }
            _ => value(before).unwrap_or(0.0),
        }
    }

    /// The same curve with every size multiplied by `share`.
    pub(crate) fn scaled(&self, share: f64) -> Self {
        let points = self.points.iter().map(|&(at, bytes)| (at, (bytes as f64 * share).max(0.0) as u64)).collect();
        Self { points }
    }
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, &(at, bytes)) in self.points.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}@{}ms", format_bytes(bytes), at)?;
        }
        Ok(())
    }
}

/// A duration as written in curves and annotations, in milliseconds; a bare number means seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Millis> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1.0,
        "" | "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        _ => return None,
    };
    let value: f64 = number.parse().ok()?;
    Some((value * factor).round() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_linear_between_points_and_flat_outside() {
        let curve = Curve::parse("50@10s, 150@20s,20@20s").unwrap();
        let at = |s: u64| curve.at(s * 1000);
        assert_eq!((at(0), at(10), at(15), at(20), at(99)), (50.0, 50.0, 100.0, 20.0, 20.0));
        assert_eq!(curve.at(19_999).round(), 150.0);
        assert_eq!(Curve::parse("1Mi").unwrap(), Curve::constant(1 << 20));
        assert_eq!(Curve::parse(&curve.to_string()).unwrap(), curve);
    }

    #[test]
    fn refuses_nonsense() {
        for bad in ["", "x", "1Mi@", "1Mi@5x", "1Mi@9s,2Mi@3s", "-1Mi", "1Mi,,2Mi"] {
            assert!(Curve::parse(bad).is_err(), "{bad}");
        }
        assert!(Curve::parse(&vec!["1Mi"; 65].join(",")).is_err());
    }
}
