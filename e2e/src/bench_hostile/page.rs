//! The page `docs/benchmarks/hostile.md`.

use std::fmt::Write;

use super::Measured;
use crate::bench::provenance;

const METHOD: &str = "\
## How it is measured

- `make bench-hostile` (divan, in process, one thread): 1,000 nodes in three zones, each with a taint that is only
  preferred. A sample shows one pod to the engine and decides it; nothing is kept from an equal pod, and the cluster is
  fresh each time. Among its like: every tenth node has a pod of the same shape.
- The shapes are those of `headroom_core::testing::hostile`: each has a field that is as large as an object of 1.5 MB can
  hold, or odd in another way. The first one is an ordinary pod, for comparison; the column beside a median says how many
  times as long as an ordinary pod it takes.
- What a hostile pod costs is paid once per attempt; an unschedulable one waits in the backoff queue as any other does.
";

/// The whole page: a row per shape, both groups beside each other.
pub(super) fn page(found: &[Measured]) -> String {
    let mut out = String::from("# Hostile pods\n\nWritten by `make bench-hostile`.\n\n");
    out.push_str(&provenance());
    out.push('\n');

    let mut groups: Vec<&str> = Vec::new();
    let mut shapes: Vec<&str> = Vec::new();
    for one in found {
        if !groups.contains(&one.group.as_str()) {
            groups.push(&one.group);
        }
        if !shapes.contains(&one.shape.as_str()) {
            shapes.push(&one.shape);
        }
    }
    out.push_str("| one decision |");
    for group in &groups {
        let _ = write!(out, " {}: median | of ordinary | slowest |", group.replace('_', " "));
    }
    out.push_str("\n|---|");
    out.push_str(&"--:|--:|--:|".repeat(groups.len()));
    out.push('\n');
    let of = |group: &str, shape: &str| found.iter().find(|one| one.group == group && one.shape == shape);
    for shape in &shapes {
        let _ = write!(out, "| {shape} |");
        for group in &groups {
            let ordinary = shapes.first().and_then(|first| of(group, first)).map_or(f64::NAN, |one| one.median_micros);
            match of(group, shape) {
                Some(one) => {
                    let times = one.median_micros / ordinary;
                    let times = if times.is_finite() { format!("{times:.1}x") } else { "-".to_owned() };
                    let _ = write!(out, " {} | {times} | {} |", one.median, one.slowest);
                }
                None => out.push_str(" - | - | - |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_a_row_with_both_groups() {
        let one = |group: &str, shape: &str, micros: f64| Measured {
            group: group.to_owned(),
            shape: shape.to_owned(),
            median: format!("{micros} µs"),
            slowest: "9 ms".to_owned(),
            median_micros: micros,
        };
        let text =
            page(&[one("alone", "ordinary", 2.0), one("alone", "labels", 5.0), one("among_its_like", "labels", 7.0)]);
        assert!(text.contains("| labels | 5 µs | 2.5x | 9 ms | 7 µs | - | 9 ms |"), "{text}");
        assert!(text.contains("among its like: median"), "{text}");
    }
}
