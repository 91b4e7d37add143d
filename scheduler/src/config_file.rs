//! The configuration file on disk: whether it is still the one that was read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The file, as it was when it was last looked at.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    version: Option<SystemTime>,
}

impl ConfigFile {
    /// To be made before the file is read, so that a change in between is noticed.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), version: modified(path) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was written, replaced or removed since the last look.
    pub(crate) fn has_changed(&mut self) -> bool {
        let newest = modified(&self.path);
        std::mem::replace(&mut self.version, newest) != newest
    }
}

/// When a file was last written; a mounted ConfigMap changes what the name leads to.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A file that was last written at this second.
    fn written_at(path: &Path, second: u64) {
        let file = fs::File::options().create(true).append(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    #[test]
    fn each_change_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        written_at(&path, 1_000);
        let mut file = ConfigFile::new(&path);
        assert!(!file.has_changed());
        written_at(&path, 2_000);
        assert!(file.has_changed() && !file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(file.has_changed() && !file.has_changed());
        assert_eq!(file.path(), path);
    }

    #[test]
    fn a_mounted_configmap_changes_where_a_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, second) in [("old", 1_000), ("new", 2_000)] {
            fs::create_dir(at(version)).unwrap();
            written_at(&at(version).join("config.yaml"), second);
        }
        std::os::unix::fs::symlink("old", at("..data")).unwrap();
        let mut file = ConfigFile::new(&at("..data").join("config.yaml"));
        assert!(!file.has_changed());
        std::os::unix::fs::symlink("new", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert!(file.has_changed() && !file.has_changed());
    }
}
