//! The diagnosis for people.

use std::fmt::Write as _;

use super::{
    checks::Rule,
    finding::{Diagnosis, Finding, Severity},
    text::counted,
};
use crate::{explain::table::paragraph, top::table::Table};

/// Width of the table, columns.
const WIDTH: usize = 80;
/// Most subjects of one id that are shown; `-o wide` shows all that are kept.
const SHOWN: usize = 5;
/// Before what is to be pasted.
const INDENT: &str = "    ";

/// By id: whom it concerns, why it matters and what to do.
pub(super) fn table(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for group in diagnosis.findings.chunk_by(|a, b| a.id == b.id) {
        let Some(first) = group.first() else { continue };
        let _ = writeln!(text, "{}  {}", first.severity.as_str().to_uppercase(), first.id);
        for finding in group.iter().take(SHOWN) {
            paragraph(&mut text, "  - ", &format!("{}: {}", subject(finding), finding.summary));
        }
        let more = group.len().saturating_sub(SHOWN) + diagnosis.omitted(first.id);
        if more > 0 {
            let _ = writeln!(text, "  - and {more} more");
        }
        paragraph(&mut text, "  ", &format!("Why: {}", first.why));
        let alike = group.iter().all(|finding| finding.fix == first.fix);
        let of = if alike { String::new() } else { format!(" ({})", subject(first)) };
        let _ = writeln!(text, "  Fix{of}:");
        for line in &first.fix.0 {
            match line.strip_prefix("# ") {
                Some(words) => remark(&mut text, words),
                None => {
                    let _ = writeln!(text, "{INDENT}{line}");
                }
            }
        }
        text.push('\n');
    }
    text.push_str(&summary(diagnosis));
    text
}

/// A comment of a shell, broken so that each line is one.
fn remark(text: &mut String, words: &str) {
    // What stands in front of every line.
    const HEAD: &str = "    # ";
    let mut lines = String::new();
    let mut used = WIDTH;
    let indent = words.len() - words.trim_start().len();
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if used + 1 + length > WIDTH {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(HEAD);
            lines.push_str(&words[..indent]);
            lines.push_str(word);
            used = HEAD.len() + indent + length;
        } else {
            lines.push(' ');
            lines.push_str(word);
            used += 1 + length;
        }
    }
    let _ = writeln!(text, "{lines}");
}

/// One line per finding.
pub(super) fn wide(diagnosis: &Diagnosis) -> String {
    let cells = |finding: &Finding| {
        let Finding { severity, id, summary, .. } = finding;
        vec![severity.as_str().to_owned(), (*id).to_owned(), subject(finding), summary.clone()]
    };
    let lines: Vec<Vec<String>> = diagnosis.findings.iter().map(cells).collect();
    let mut table = Table::new(&["SEVERITY", "ID", "SUBJECT", "SUMMARY"]);
    table.fit(lines.iter());
    let mut text = if lines.is_empty() { String::new() } else { table.head() };
    for line in &lines {
        text.push_str(&table.line(line));
    }
    for omitted in &diagnosis.omitted {
        let _ = writeln!(text, "and {} more of {}", omitted.count, omitted.id);
    }
    text
}

fn subject(finding: &Finding) -> String {
    let subject = &finding.subject;
    if subject.kind == "Cluster" { "the cluster".to_owned() } else { subject.to_string() }
}

/// How many there are of each severity.
fn summary(diagnosis: &Diagnosis) -> String {
    let count = |severity: Severity| {
        let of = diagnosis.findings.iter().filter(|finding| finding.severity == severity);
        let kept = of.clone().count();
        // Of an id with findings that were not kept there is one that was.
        let mut ids: Vec<&str> = of.map(|finding| finding.id).collect();
        ids.dedup();
        kept + ids.into_iter().map(|id| diagnosis.omitted(id)).sum::<usize>()
    };
    if diagnosis.findings.is_empty() {
        return "no findings\n".to_owned();
    }
    let (errors, warnings, infos) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
    format!("{}, {}, {infos} info\n", counted(errors, "error"), counted(warnings, "warning"))
}

/// The checks, one line each.
pub(super) fn list(rules: &[&'static Rule]) -> String {
    let cells =
        |rule: &&'static Rule| vec![rule.id.to_owned(), rule.severity.as_str().to_owned(), rule.title.to_owned()];
    let lines: Vec<Vec<String>> = rules.iter().map(cells).collect();
    let mut table = Table::new(&["ID", "SEVERITY", "WHAT"]);
    table.fit(lines.iter());
    lines.iter().fold(table.head(), |text, line| text + &table.line(line))
}
