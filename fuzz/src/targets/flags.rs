//! Command lines: one argument per line.

use headroom_controllers::{app, selection};
use headroom_runtime::process::parse_or_explain;

/// Most arguments.
const MOST: usize = 32;

/// A command line is followed, or one line says why not.
pub(crate) fn flags(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let given: Vec<&str> = text.lines().take(MOST).collect();
    let line = |program: &'static str| std::iter::once(program).chain(given.iter().copied());
    match parse_or_explain::<headroom_scheduler::Options>(line("headroom-scheduler")) {
        // No file is read here.
        Ok(options) if options.config.is_none() => {
            let settings = options.settings().map_err(|e| e.to_string());
            assert!(settings.is_ok_and(|s| !s.configuration.profiles.is_empty()) || !text.is_empty());
        }
        Ok(_) => {}
        Err(refusal) => told(refusal),
    }
    match parse_or_explain::<app::Options>(line("headroom-controllers")) {
        Ok(options) => {
            let _ = (options.leader_config(), selection::select(&options.controllers), options.secure_port());
        }
        Err(refusal) => told(refusal),
    }
}

fn told(refusal: Result<String, String>) {
    match refusal {
        Ok(help) => assert!(!help.is_empty()),
        Err(line) => assert!(!line.is_empty() && !line.contains('\n'), "{line:?}"),
    }
}
