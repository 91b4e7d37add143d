//! Why nothing was counted, in one line each.

use std::path::PathBuf;

/// Instructions could not be counted or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CountError {
    /// valgrind is not installed.
    #[error("valgrind is not installed: `apt-get install valgrind`, or what your system has for it")]
    NoValgrind,
    /// Built without optimisation.
    #[error("built without optimisation, which no baseline is for: add --release")]
    NotOptimised,
    /// Nobody has counted on this target with this compiler yet.
    #[error("no baseline {path}: `make counts-baseline` writes it")]
    NoBaseline {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is no such loop.
    #[error("no loop {name:?}: `counts list` shows them")]
    NoLoop {
        /// What was asked for.
        name: String,
    },
    /// A file could not be read or written, or a process not be started.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file or the program.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The baseline is not what it should be.
    #[error("{path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A loop failed, or valgrind did.
    #[error("{name}: {status}; its output ends with: {tail}")]
    Failed {
        /// The loop.
        name: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it said.
        tail: String,
    },
}

impl CountError {
    /// For `map_err`: something with a file or a program failed.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether it only means that this machine cannot count, or that there is nothing to compare with yet.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::NoValgrind | Self::NotOptimised | Self::NoBaseline { .. })
    }
}
