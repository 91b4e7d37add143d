//! What ran: a line per started control plane, so that nobody takes a level for tested that did not run.

use std::fs::OpenOptions;
use std::io::Write;

use crate::say;

use super::ControlPlane;
use super::assets::Component;

/// A file to which every started control plane appends a line; CI fails when it is empty in the end.
const RECORD: &str = "HEADROOM_E2E_RECORD";

/// Tells that a control plane is ready.
pub(crate) fn started(control_plane: &ControlPlane, name: &str) {
    let line = format!(
        "{name}: real control plane ready in {:.1} s ({}, {})",
        control_plane.ready_after().as_secs_f64(),
        control_plane.assets().path(Component::ApiServer).display(),
        control_plane.url()
    );
    say(&line);
    if let Some(path) = std::env::var_os(RECORD).filter(|path| !path.is_empty()) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            // One write: lines of parallel tests stay whole.
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            say(&format!("cannot write {RECORD} {}: {error}", path.to_string_lossy()));
        }
    }
}
