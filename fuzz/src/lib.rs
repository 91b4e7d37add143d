//! Fuzz targets: plain functions of bytes that panic when something does not hold.
//!
//! `tests/replay.rs` runs each over its committed corpus and over a bounded number of mutations of it, always the same,
//! in `make test`; `make fuzz` lets libFuzzer look for more. A new finding becomes a file of the corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is what a fuzz target is for")]

pub mod mutate;
mod targets;

use targets::{config, cycle, flags, scrape, values, wire};

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder under `corpus/`.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "quantities", run: values::quantities },
    Target { name: "times", run: values::times },
    Target { name: "labels", run: values::labels },
    Target { name: "selectors", run: values::selectors },
    Target { name: "taints", run: values::taints },
    Target { name: "wire", run: wire::objects },
    Target { name: "protobuf", run: wire::protobuf },
    Target { name: "snapshot", run: wire::snapshot },
    Target { name: "extender", run: wire::extender },
    Target { name: "config", run: config::configuration },
    Target { name: "plugin-args", run: config::plugin_args },
    Target { name: "summary", run: scrape::summary },
    Target { name: "configz", run: scrape::configz },
    Target { name: "flags", run: flags::flags },
    Target { name: "cycle", run: cycle::cycle },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|t| t.name == name).copied()
}
