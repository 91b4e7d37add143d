//! The committed counts, and what has changed since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CountError;

/// How far a count may be from the baseline, as a part of it.
pub const TOLERANCE: f64 = 0.05;

/// Counts of a target and a compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The target.
    pub target: String,
    /// The compiler's version.
    pub rustc: String,
    /// Instructions per turn by name of the loop.
    pub instructions_per_turn: BTreeMap<String, u64>,
}

impl Baseline {
    /// Counts of this target and compiler.
    #[must_use]
    pub fn new(instructions_per_turn: BTreeMap<String, u64>) -> Self {
        Self { target: env!("COUNTS_TARGET").to_owned(), rustc: env!("COUNTS_RUSTC").to_owned(), instructions_per_turn }
    }

    /// Where the baseline of this target and compiler is.
    #[must_use]
    pub fn path() -> PathBuf {
        // Cargo says where the crate is when it runs a test; built parts are shared by checkouts.
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let own = |dir: &PathBuf| dir.ends_with("scheduler/engine/counts");
        let dir = crate_dir.filter(own).unwrap_or_else(|| {
            let here = Path::new("scheduler/engine/counts");
            if here.is_dir() { here.to_path_buf() } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
        });
        let name = format!("{}-rustc-{}.json", env!("COUNTS_TARGET"), env!("COUNTS_RUSTC"));
        dir.join("baseline").join(name)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CountError`]: there is none, or it is malformed.
    pub fn read() -> Result<Self, CountError> {
        let path = Self::path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CountError::NoBaseline { path });
            }
            Err(error) => return Err(CountError::io("read", path)(error)),
        };
        serde_json::from_str(&text).map_err(|source| CountError::Malformed { path, source })
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`CountError`]: the file cannot be written.
    pub fn write(&self) -> Result<PathBuf, CountError> {
        let path = Self::path();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(CountError::io("create", dir))?;
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|source| CountError::Malformed { path: path.clone(), source })?;
        text.push('\n');
        std::fs::write(&path, text).map_err(CountError::io("write", &path))?;
        Ok(path)
    }
}

/// A loop beside its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Within the tolerance.
    Same,
    /// More instructions than the tolerance allows.
    More,
    /// Fewer: the gain is to be kept.
    Fewer,
    /// The baseline does not know it.
    New,
    /// The baseline knows it, and there is no such loop any more.
    Gone,
}

/// Every loop of either side, with its counts (before, now).
#[must_use]
pub fn compare<'a>(
    before: &'a BTreeMap<String, u64>,
    now: &'a BTreeMap<String, u64>,
) -> Vec<(&'a str, Option<u64>, Option<u64>, Change)> {
    let mut all: Vec<_> = now
        .iter()
        .map(|(name, count)| {
            let known = before.get(name).copied();
            (name.as_str(), known, Some(*count), known.map_or(Change::New, |known| change(known, *count)))
        })
        .collect();
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    all.extend(gone.map(|(name, count)| (name.as_str(), Some(*count), None, Change::Gone)));
    all
}

fn change(before: u64, now: u64) -> Change {
    let allowed = before as f64 * TOLERANCE;
    let by = now as f64 - before as f64;
    if by > allowed {
        Change::More
    } else if by < -allowed {
        Change::Fewer
    } else {
        Change::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn five_percent_either_way_are_the_same() {
        let before = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000), ("gone", 1)]);
        let now = counts(&[("a", 1050), ("b", 950), ("c", 1051), ("d", 949), ("new", 1)]);
        let changes: Vec<_> = compare(&before, &now).into_iter().map(|(name, _, _, change)| (name, change)).collect();
        let want = [
            ("a", Change::Same),
            ("b", Change::Same),
            ("c", Change::More),
            ("d", Change::Fewer),
            ("new", Change::New),
            ("gone", Change::Gone),
        ];
        assert_eq!(changes, want);
    }

    #[test]
    fn the_file_is_named_after_target_and_compiler() {
        let path = Baseline::path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with(env!("COUNTS_TARGET")) && name.ends_with(".json"), "{name}");
        assert!(!env!("COUNTS_TARGET").is_empty() && env!("COUNTS_RUSTC").starts_with('1'));
    }
}
