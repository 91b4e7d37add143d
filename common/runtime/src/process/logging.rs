//! Structured logs on stderr.

use std::{io::IsTerminal, str::FromStr};

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

/// Our crates.
const OURS: [&str; 5] =
    ["headroom_core", "headroom_runtime", "headroom_engine", "headroom_scheduler", "headroom_controllers"];

/// Libraries that warn at every attempt of what they also return as an error. Whoever gets the error says it once. And
/// kube's client would print whole answers that it cannot read, or that a watch was cut, which is resumed.
const SAID_BY_US: [&str; 2] = ["kube_runtime::watcher", "kube_client::client"];

/// A part of kube's client whose warnings nobody else says: a CA that cannot be read, a certificate not verified.
const SAID_BY_NOBODY: &str = "kube_client::client::tls";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

/// Starts logging to stderr. `verbosity` is klog's: 0 and 1 are info, 2 and 3 add a line per decision (debug), from 4 on
/// everything of ours. `RUST_LOG` replaces all of that. Libraries stay at warnings or above: kube's debug spans carry
/// URLs. Those that repeat what we say ourselves are held to errors.
pub fn init_logging(format: LogFormat, verbosity: u8) {
    let filter =
        std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| targets(verbosity));
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // A second start in one process (tests) keeps the first subscriber.
    let _ = registry().with(layer.with_filter(filter)).try_init();
}

/// Filters by target and level only: what `EnvFilter` can do besides would bring a regular expression engine along.
fn targets(verbosity: u8) -> Targets {
    let level = match verbosity {
        0 | 1 => LevelFilter::INFO,
        2 | 3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(SAID_BY_US.map(|name| (name, LevelFilter::ERROR)))
        .with_target(SAID_BY_NOBODY, LevelFilter::WARN)
        .with_targets(OURS.map(|name| (name, level)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_stay_quiet() {
        for (verbosity, most) in
            [(0, Level::INFO), (1, Level::INFO), (2, Level::DEBUG), (3, Level::DEBUG), (4, Level::TRACE)]
        {
            let filter = targets(verbosity);
            assert!(filter.would_enable("headroom_engine::queue", &most), "{verbosity}");
            assert!(most == Level::TRACE || !filter.would_enable("headroom_engine", &Level::TRACE), "{verbosity}");
            assert!(
                filter.would_enable("kube_client", &Level::WARN) && !filter.would_enable("kube_client", &Level::INFO)
            );
        }
    }

    #[test]
    fn what_we_say_ourselves_is_not_said_by_libraries_at_every_attempt() {
        for verbosity in [0, 4] {
            let filter = targets(verbosity);
            for name in ["kube_runtime::watcher", "kube_client::client"] {
                assert!(filter.would_enable(name, &Level::ERROR) && !filter.would_enable(name, &Level::WARN), "{name}");
            }
            for name in ["kube_client::client::tls::rustls_tls", "kube_client::config", "kube_runtime::controller"] {
                assert!(filter.would_enable(name, &Level::WARN) && !filter.would_enable(name, &Level::INFO), "{name}");
            }
        }
    }
}
