//! Progress on standard error: a line that counts up on a terminal, one line per start and end elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the live line is written.
const REFRESH: Duration = Duration::from_millis(500);

/// Writes progress lines. Failures to write are ignored: the build does not depend on its spectators.
#[derive(Debug)]
pub(crate) struct Progress {
    live: bool,
    step: String,
    start: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { live: std::io::stderr().is_terminal(), step: String::new(), start: Instant::now(), drawn: None }
    }

    /// A line of its own.
    pub(crate) fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "control-plane: {line}");
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, done: usize, total: usize, name: &str) {
        self.step = format!("[{}/{total}] {name}", done.saturating_add(1));
        self.start = Instant::now();
        self.drawn = None;
        if !self.live {
            self.say(&format!("{}: building", self.step));
        }
    }

    /// To be called again and again while the step runs.
    pub(crate) fn tick(&mut self) {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REFRESH);
        if self.live && due {
            self.drawn = Some(Instant::now());
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[Kcontrol-plane: {}: building, {} s",
                self.step,
                self.start.elapsed().as_secs()
            );
            let _ = std::io::stderr().flush();
        }
    }

    /// The step has ended.
    pub(crate) fn end(&mut self, outcome: &str) {
        self.clear();
        self.say(&format!("{}: {outcome} after {:.0} s", self.step, self.start.elapsed().as_secs_f64()));
    }

    /// Removes the live line, so that an error stands alone.
    fn clear(&mut self) {
        if self.live && self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
