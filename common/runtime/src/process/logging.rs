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
/// everything of ours. `RUST_LOG` overrides it. Libraries stay at info or above: kube's debug spans carry URLs.
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
    OURS.iter().fold(Targets::new().with_default(LevelFilter::WARN), |targets, name| targets.with_target(*name, level))
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
}
