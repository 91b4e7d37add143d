//! The table for the terminal.

use std::fmt::Write;

use super::{Line, Report, Side};

/// Results as text.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    for (group, lines) in report.groups() {
        let _ = writeln!(out, "\n{group}");
        let _ = writeln!(out, "  stock  ours");
        for line in lines {
            let word = |side| line.run(side).map_or("", |run| run.outcome.word());
            let _ = writeln!(out, "  {:<5}  {:<5} {}", word(Side::Stock), word(Side::Headroom), line.spec.title);
            reasons(&mut out, line);
        }
    }
    let mut not_run = report.not_run().peekable();
    if not_run.peek().is_some() {
        out.push_str("\nNot run\n");
    }
    for (line, reason) in not_run {
        let _ = writeln!(out, "  {}: {}\n         {reason}", line.spec.group, line.spec.title);
    }
    let _ = writeln!(out, "\n{}", report.summary());
    let differences = report.differences().count();
    if differences > 0 {
        let _ = writeln!(out, "{differences} pass with the stock components and not with ours");
    }
    out
}

/// Why it is not a pass; once when both sides say the same.
fn reasons(out: &mut String, line: &Line) {
    let reason = |side| line.run(side).and_then(|run| run.outcome.reason());
    let (stock, ours) = (reason(Side::Stock), reason(Side::Headroom));
    if let Some(stock) = stock {
        let _ = writeln!(out, "         stock: {stock}");
    }
    if let Some(ours) = ours.filter(|ours| stock != Some(ours)) {
        let _ = writeln!(out, "         ours: {ours}");
    }
}
