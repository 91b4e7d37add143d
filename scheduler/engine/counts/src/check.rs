//! All loops at once, and how they are shown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::baseline::{Change, compare};
use crate::error::CountError;
use crate::loops::LOOPS;
use crate::valgrind::Valgrind;

/// Whether a test that cannot run must fail: `CI` is set, as on all build servers.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Instructions per turn of every loop; as many at once as there are processors.
///
/// # Errors
/// [`CountError`]: this machine cannot count, or a loop failed.
pub fn count_all(executable: &Path) -> Result<BTreeMap<String, u64>, CountError> {
    if cfg!(debug_assertions) {
        return Err(CountError::NotOptimised);
    }
    let valgrind = Valgrind::find()?;
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(LOOPS.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(one) = LOOPS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = valgrind.per_turn(executable, one);
                    counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((one.name, count));
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    counts.into_iter().map(|(name, count)| Ok((name.to_owned(), count?))).collect()
}

/// The comparison as a table, at most 80 columns wide, and whether all is as it was.
#[must_use]
pub fn table(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> (String, bool) {
    let mut out = format!("{:<28} {:>12} {:>12} {:>8}\n", "instructions per turn", "baseline", "now", "change");
    let mut right = true;
    for (name, before, now, change) in compare(before, now) {
        let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let by = match (before, now) {
            (Some(before), Some(now)) if before > 0 => {
                format!("{:+.1} %", (now as f64 / before as f64 - 1.0) * 100.0)
            }
            _ => "-".to_owned(),
        };
        let word = match change {
            Change::Same => "",
            Change::More => "MORE",
            Change::Fewer => "FEWER",
            Change::New => "NEW",
            Change::Gone => "GONE",
        };
        right &= change == Change::Same;
        let line = format!("{name:<28} {:>12} {:>12} {by:>8} {word}", number(before), number(now));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    (out, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_changed() {
        let counts = |count: u64| BTreeMap::from([("decide_while_samples_arrive".to_owned(), count)]);
        let (text, right) = table(&counts(1_000_000), &counts(1_100_000));
        assert!(!right && text.contains("+10.0 % MORE"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let (text, right) = table(&counts(1000), &counts(1000));
        assert!(right && text.contains("+0.0 %"), "{text}");
    }
}
