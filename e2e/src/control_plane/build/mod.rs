//! Builds the real control plane from its Go modules, by version, into a cache outside the work tree.
//!
//! Each binary is written under a temporary name, checked and renamed, so an interrupted build leaves nothing half
//! done, and the next one goes on where it stopped. A file lock lets the second of two builds wait for the first.

mod classify;
pub mod plan;
mod progress;
mod release;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::HarnessError;
use crate::process::Process;
use crate::process::guardian::Guardian;

use super::assets::{Assets, Component};
pub use classify::BuildError;
use progress::Progress;
pub use release::Release;

/// How often a running build is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How much of a build's log is read to find out why it failed, bytes.
const LOG_LIMIT: usize = 4 * 1024 * 1024;

/// Builds what is missing and returns the directory that holds the API server.
///
/// # Errors
/// [`BuildError`]: one line for the user.
pub fn build(assets: &Assets) -> Result<PathBuf, BuildError> {
    let mut progress = Progress::new();
    if let Some(given) = assets.given() {
        let missing: Vec<_> = assets.missing(&Component::ALL).into_iter().filter(|c| c.is_envtest()).collect();
        if !missing.is_empty() {
            return Err(BuildError::Given { dir: given.to_path_buf(), missing: names(&missing) });
        }
    }
    let release = assets.release();
    let about = format!(
        "Kubernetes {release} and etcd {} (about 6 minutes on two cores when Go's caches are empty)",
        release.etcd()
    );
    build_missing(assets, &Component::ALL, assets.cache(Component::ApiServer), &about, &mut progress)?;
    progress.say(&format!("ready in {}", assets.directory().display()));
    Ok(assets.directory().to_path_buf())
}

/// Builds `e2e.test`, Kubernetes' own end-to-end specs, if it is not there, and returns its path.
///
/// # Errors
/// [`BuildError`]: one line for the user.
pub fn build_e2e_test(assets: &Assets) -> Result<PathBuf, BuildError> {
    let mut progress = Progress::new();
    let component = Component::E2eTest;
    let version = component.version(assets.release());
    let about = format!("Kubernetes {version} (some minutes when Go's caches are empty)");
    build_missing(assets, &[component], assets.cache(component), &about, &mut progress)?;
    let path = assets.require(component)?;
    progress.say(&format!("{} is ready in {}", component.binary(), path.parent().unwrap_or(&path).display()));
    Ok(path)
}

/// Builds Helm if it is not there, and returns its path: for the scenarios of the chart, the first of which waits for it.
/// How long that takes was not measured.
///
/// # Errors
/// [`BuildError`]: one line for the user.
pub fn build_helm(assets: &Assets) -> Result<PathBuf, BuildError> {
    let mut progress = Progress::new();
    let component = Component::Helm;
    let about = format!("Helm {} (some minutes when Go's caches are empty)", plan::HELM_VERSION);
    build_missing(assets, &[component], assets.cache(component), &about, &mut progress)?;
    Ok(assets.require(component)?)
}

/// Builds those of `wanted` that are not there into `dir`.
fn build_missing(
    assets: &Assets,
    wanted: &[Component],
    dir: &Path,
    about: &str,
    progress: &mut Progress,
) -> Result<(), BuildError> {
    if assets.missing(wanted).is_empty() {
        return Ok(());
    }
    create_dir(dir)?;
    let _lock = lock(dir, progress)?;
    // Whoever held the lock may have built everything meanwhile.
    let missing = assets.missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    check_go()?;
    progress.say(&format!("building {} with {about}", names(&missing)));
    remove_leftovers(dir);
    let start = Instant::now();
    let guardian = Arc::new(Guardian::start(None)?);
    for (done, component) in missing.iter().enumerate() {
        progress.begin(done, missing.len(), component.binary());
        let built = build_one(&guardian, *component, assets.release(), dir, progress);
        progress.end(if built.is_ok() { "built" } else { "failed" });
        built?;
    }
    progress.say(&format!("built in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Builds one binary and puts it at its place.
fn build_one(
    guardian: &Arc<Guardian>,
    component: Component,
    release: Release,
    dir: &Path,
    progress: &mut Progress,
) -> Result<(), BuildError> {
    let name = component.binary();
    let wrapper = component.wrapper(release);
    let module = dir.join("src").join(wrapper.name);
    create_dir(&module)?;
    write(&module.join("go.mod"), wrapper.go_mod, dir)?;
    write(&module.join("go.sum"), wrapper.go_sum, dir)?;
    let logs = dir.join("log");
    create_dir(&logs)?;
    let log = logs.join(format!("{name}.log"));
    write(&log, "", dir)?;

    // The pid keeps a compiler that outlived its killed build from writing into our file.
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let mut command = go();
    command.current_dir(&module).args(component.go_arguments(release, &temporary.to_string_lossy()));
    // A temporary file system is often too small for the linker's files.
    command.env("GOTMPDIR", dir);
    let process = Process::spawn(guardian, name, command, log.clone(), None)?;
    let status = loop {
        if let Some(status) = process.exit_status() {
            break status;
        }
        progress.tick();
        std::thread::sleep(POLL);
    };
    if !status.success() {
        let output = process.log();
        let start = output.len().saturating_sub(LOG_LIMIT);
        let output = output.get(start..).unwrap_or(&output);
        let _ = fs::remove_file(&temporary);
        return Err(classify::classify(name, output, status.code().is_none(), &log, dir));
    }
    check_version(component, component.version(release), &temporary)?;
    let place = dir.join(name);
    File::open(&temporary).and_then(|file| file.sync_all()).map_err(|e| disk("write", &temporary, e, dir))?;
    fs::rename(&temporary, &place).map_err(|e| disk("rename", &temporary, e, dir))
}

/// A `go` whose behaviour does not depend on the caller's settings, other than where modules come from.
fn go() -> Command {
    let mut command = Command::new("go");
    command
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GO111MODULE", "on")
        .env("CGO_ENABLED", "0")
        .env("LC_ALL", "C");
    for variable in ["GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOMAXPROCS"] {
        command.env_remove(variable);
    }
    command
}

/// Checks that Go is there and new enough.
fn check_go() -> Result<(), BuildError> {
    let output = match go().args(["env", "GOVERSION"]).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(BuildError::GoMissing),
        Err(error) => return Err(BuildError::GoBroken { detail: error.to_string() }),
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        let detail = classify::last_line(&String::from_utf8_lossy(&output.stderr));
        return Err(BuildError::GoBroken { detail });
    }
    match classify::parse_go_version(&text) {
        Some(found) if found < plan::GO_VERSION => Err(BuildError::GoTooOld { found: text }),
        // A development version has no number: let the build itself decide.
        _ => Ok(()),
    }
}

/// Runs the new binary once: it works on this machine and is the version that it should be.
fn check_version(component: Component, version: &str, path: &Path) -> Result<(), BuildError> {
    let wrong = |detail| BuildError::WrongVersion { path: path.to_path_buf(), version: version.to_owned(), detail };
    let output = Command::new(path)
        .args(component.version_arguments())
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && text.contains(version) {
        return Ok(());
    }
    Err(wrong(classify::last_line(&format!("{text}{}", String::from_utf8_lossy(&output.stderr)))))
}

/// Takes the lock of the directory; waits when another build has it, and says so.
fn lock(dir: &Path, progress: &Progress) -> Result<File, BuildError> {
    let path = dir.join(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| disk("open", &path, e, dir))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress.say("another build is running: waiting for it"),
        Err(TryLockError::Error(error)) => return Err(disk("lock", &path, error, dir)),
    }
    file.lock().map_err(|e| disk("lock", &path, e, dir))?;
    Ok(file)
}

/// Removes what an interrupted build left; nobody else builds, since we hold the lock.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if name.starts_with('.') && name.ends_with(".tmp") {
            let _ = fs::remove_file(path);
        } else if name.starts_with("go-build") || name.starts_with("go-link") {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn create_dir(dir: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(dir).map_err(|e| disk("create", dir, e, dir))
}

fn write(path: &Path, text: &str, dir: &Path) -> Result<(), BuildError> {
    fs::write(path, text).map_err(|e| disk("write", path, e, dir))
}

/// An I/O error as what it means: a full disk, or anything else.
fn disk(action: &'static str, path: &Path, source: std::io::Error, dir: &Path) -> BuildError {
    if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return BuildError::DiskFull { detail: format!("{}: {source}", path.display()), dir: dir.to_path_buf() };
    }
    BuildError::Harness(HarnessError::Io { action, path: path.to_path_buf(), source })
}

fn names(components: &[Component]) -> String {
    components.iter().map(|component| component.binary()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_of_our_own_writes_is_told_as_such() {
        let full = disk("write", Path::new("/c/x"), std::io::Error::from(ErrorKind::StorageFull), Path::new("/c"));
        assert!(matches!(full, BuildError::DiskFull { .. }), "{full}");
        let other =
            disk("write", Path::new("/c/x"), std::io::Error::from(ErrorKind::PermissionDenied), Path::new("/c"));
        assert!(other.to_string().contains("cannot write /c/x"), "{other}");
    }

    #[test]
    fn leftovers_are_removed_and_results_kept() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".etcd.7.tmp", "etcd", ".lock"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("go-build123")).unwrap();
        remove_leftovers(dir.path());
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".lock", "etcd"]);
    }
}
