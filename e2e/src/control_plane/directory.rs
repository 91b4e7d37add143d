//! The directory of one control plane: kept when the test fails, removed otherwise.

use std::path::Path;

use tempfile::TempDir;

use crate::error::{HarnessError, Result};
use crate::say;

/// Set to keep every directory.
const KEEP: &str = "HEADROOM_E2E_KEEP";

/// A temporary directory with mode 0700.
#[derive(Debug)]
pub(crate) struct Directory {
    temp: Option<TempDir>,
    keep: std::sync::atomic::AtomicBool,
}

impl Directory {
    /// Makes a directory whose path is at most `limit` bytes long: the sockets in it have to fit. Where the system's
    /// directory for temporary files is too deep, `/tmp` is used.
    pub(crate) fn create(parent: Option<&Path>, name: &str, limit: usize) -> Result<Self> {
        let readable: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
        let prefix = format!("headroom-e2e-{readable}-");
        let system = std::env::temp_dir();
        let wanted = parent.unwrap_or(&system);
        // tempfile appends six characters.
        let fits = |dir: &Path| dir.as_os_str().len() + 1 + prefix.len() + 6 <= limit;
        let dir = if fits(wanted) { wanted } else { Path::new("/tmp") };
        let temp = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(dir)
            .map_err(HarnessError::io("create a directory in", dir))?;
        // Until the start has succeeded: a start that fails leaves its logs.
        Ok(Self { temp: Some(temp), keep: true.into() })
    }

    /// The start has succeeded: the directory goes when its owner ends in order.
    pub(crate) fn release(&self) {
        self.keep.store(false, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.as_ref().map_or_else(|| Path::new(""), TempDir::path)
    }

    /// Keeps the directory whatever happens.
    pub(crate) fn keep(&self) {
        self.keep.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let Some(temp) = self.temp.take() else { return };
        let asked = std::env::var_os(KEEP).is_some_and(|value| !value.is_empty());
        if std::thread::panicking() || asked || self.keep.load(std::sync::atomic::Ordering::Relaxed) {
            // The data is big and tells little; the logs tell what happened.
            let path = temp.keep();
            let _ = std::fs::remove_dir_all(path.join("etcd"));
            say(&format!("logs are kept in {}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_removed_after_success_and_kept_after_a_panic() {
        let path = {
            let dir = Directory::create(None, "a::b c", 90).unwrap();
            dir.release();
            assert!(dir.path().is_dir());
            dir.path().to_path_buf()
        };
        assert!(!path.exists());

        let failed = std::thread::spawn(|| {
            let dir = Directory::create(None, "fails", 90).unwrap();
            dir.release();
            std::fs::write(dir.path().join("x.log"), "x").unwrap();
            std::panic::panic_any(dir.path().to_path_buf());
        })
        .join()
        .unwrap_err();
        let path = failed.downcast_ref::<std::path::PathBuf>().unwrap();
        assert!(path.join("x.log").is_file());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_path_too_deep_for_sockets_is_avoided() {
        let deep = tempfile::tempdir().unwrap();
        let deep = deep.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let dir = Directory::create(Some(&deep), "x", 90).unwrap();
        dir.release();
        assert!(dir.path().starts_with("/tmp") && !dir.path().starts_with(&deep));
    }
}
