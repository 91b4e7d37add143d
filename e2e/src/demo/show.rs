//! Telling it: times, steps and tables on standard output.

use std::{io::Write, time::Instant};

/// Prints with the time since the start.
#[derive(Debug)]
pub(super) struct Narrator {
    began: Instant,
}

impl Narrator {
    pub(super) fn new() -> Self {
        Self { began: Instant::now() }
    }

    fn print(text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away ends nothing.
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// The headline.
    pub(super) fn title(&self, text: &str) {
        Self::print(&format!("\n{text}\n{}", "=".repeat(text.chars().count())));
    }

    /// A new step.
    pub(super) fn step(&self, text: &str) {
        Self::print(&format!("\n[{:5.1} s] {text}", self.began.elapsed().as_secs_f64()));
    }

    /// A line of a step.
    pub(super) fn line(&self, text: &str) {
        Self::print(&format!("    {text}"));
    }

    /// An aside.
    pub(super) fn note(&self, text: &str) {
        Self::print(&format!("    ({text})"));
    }

    /// Something was verified.
    pub(super) fn check(&self, text: &str) {
        Self::print(&format!("    ok: {text}"));
    }

    /// Rows under a header, columns as wide as their widest cell.
    pub(super) fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (cell, width) in cells.zip(&widths) {
                text.push_str(cell);
                text.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
            }
            text.trim_end().to_owned()
        };
        self.line(&line(&mut header.iter().copied()));
        for row in rows {
            self.line(&line(&mut row.iter().map(String::as_str)));
        }
    }
}
