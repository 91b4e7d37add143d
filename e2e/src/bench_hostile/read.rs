//! Reads the table that divan prints.

/// What was measured of a shape in a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The function of the bench.
    pub group: String,
    /// The shape of the pod.
    pub shape: String,
    /// Median, as it was printed.
    pub median: String,
    /// Slowest sample, as it was printed.
    pub slowest: String,
    /// Median, microseconds.
    pub median_micros: f64,
}

/// Every line with figures.
#[must_use]
pub fn measured(text: &str) -> Vec<Measured> {
    let mut group = String::new();
    let mut all = Vec::new();
    for line in text.lines() {
        // The branches of the tree are made of these.
        let rest = line.trim_start_matches(['│', '├', '╰', '─', ' ']);
        let cells: Vec<&str> = rest.split('│').map(str::trim).collect();
        let [first, slowest, median, ..] = cells.as_slice() else { continue };
        if first.is_empty() || first.contains("fastest") {
            continue;
        }
        if slowest.is_empty() && median.is_empty() {
            (*first).clone_into(&mut group);
            continue;
        }
        let (Some(shape), Some(median_micros)) = (without_time(first), micros(median)) else { continue };
        all.push(Measured {
            group: group.clone(),
            shape: shape.to_owned(),
            median: (*median).to_owned(),
            slowest: (*slowest).to_owned(),
            median_micros,
        });
    }
    all
}

/// The name in front of the first time: `node selector 5000   1.2 ms`.
fn without_time(cell: &str) -> Option<&str> {
    let (rest, unit) = cell.rsplit_once(' ')?;
    let (name, number) = rest.trim_end().rsplit_once(' ')?;
    micros(&format!("{number} {unit}")).map(|_| name.trim_end())
}

/// A time such as `1.25 ms`, in microseconds.
fn micros(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let factor = match unit.trim() {
        "ps" => 1e-6,
        "ns" => 1e-3,
        "µs" | "μs" | "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    Some(number.replace(',', "").parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Timer precision: 20 ns
hostile                         fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ alone                                      │               │               │               │         │
│  ├─ ordinary                  310.2 µs      │ 402.9 µs      │ 333.1 µs      │ 340 µs        │ 5       │ 5
│  ╰─ node affinity terms 5000  12.31 ms      │ 13 ms         │ 12.5 ms       │ 12.55 ms      │ 5       │ 5
╰─ among_its_like                             │               │               │               │         │
   ╰─ ordinary                  1.102 ms      │ 1.2 s         │ 1.11 ms       │ 1.12 ms       │ 3       │ 3
";

    #[test]
    fn the_tree_is_read() {
        let found = measured(OUTPUT);
        let names: Vec<_> = found.iter().map(|one| (one.group.as_str(), one.shape.as_str())).collect();
        assert_eq!(
            names,
            [("alone", "ordinary"), ("alone", "node affinity terms 5000"), ("among_its_like", "ordinary")]
        );
        assert_eq!((found[1].median.as_str(), found[2].slowest.as_str()), ("12.5 ms", "1.2 s"));
        assert!((found[1].median_micros - 12_500.0).abs() < 1e-6);
        assert!(measured("error: could not compile").is_empty());
    }
}
