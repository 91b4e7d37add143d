//! The trace as a table for people.

use headroom_core::Timestamp;

use super::model::{Event, Precision, Step, Trace, Wait};
use crate::{
    explain::table::paragraph,
    top::table::{Table, UNKNOWN, age},
};

/// Names of the columns. Names of pods are longest: they come last.
const COLUMNS: [&str; 5] = ["AT", "TOOK", "EVENT", "FROM", "OBJECT"];

/// All of it.
pub(super) fn table(trace: &Trace) -> String {
    let mut text = head(trace);
    let start = trace.start();
    let lines: Vec<Vec<String>> = trace.steps.iter().map(|step| cells(step, start)).collect();
    let mut table = columns();
    table.fit(lines.iter());
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&table.head());
    }
    for (step, line) in trace.steps.iter().zip(&lines) {
        text.push_str(&table.line(line));
        note(&mut text, step);
    }
    if !trace.waiting.is_empty() {
        text.push_str("\nWaiting:\n");
    }
    for wait in &trace.waiting {
        waits(&mut text, wait);
    }
    text
}

/// Columns that are wide enough for the usual.
pub(super) fn columns() -> Table {
    let mut table = Table::new(&COLUMNS);
    let usual = ["+1m40s", "<=12s", "Scheduled", "condition PodScheduled", ""].map(str::to_owned).to_vec();
    table.fit(std::iter::once(&usual));
    table
}

/// What is traced, how many pods there are, and when it began.
pub(super) fn head(trace: &Trace) -> String {
    let pods = &trace.pods;
    let of = match pods.wanted {
        Some(wanted) => format!(" of {wanted}"),
        None => String::new(),
    };
    let mut text = String::new();
    let start = trace.start().map(|start| format!("; +0s is {start}")).unwrap_or_default();
    let target = format!("{} in {}", trace.target, trace.namespace);
    let pods = match (pods.active, pods.wanted) {
        (0, None | Some(0)) => "no pods".to_owned(),
        (active, wanted) => {
            let all = wanted.unwrap_or(i64::try_from(active).unwrap_or(i64::MAX));
            format!("{active}{of} {}, {} ready", if all == 1 { "pod" } else { "pods" }, pods.ready)
        }
    };
    paragraph(&mut text, "", &format!("{target}: {pods}{start}"));
    text
}

/// One step as cells; `start` is what times are counted from.
pub(super) fn cells(step: &Step, start: Option<Timestamp>) -> Vec<String> {
    let at = step.when.zip(start).map(|(when, start)| {
        let from = if when.precision == Precision::Exact { start } else { start.truncated() };
        format!("+{}", duration(when.at.since(from).as_secs_f64(), when.precision))
    });
    let took = step.took_seconds.zip(step.when).map(|(seconds, when)| {
        let bound = match when.precision {
            Precision::NotLater => "<=",
            Precision::NotEarlier => ">=",
            Precision::Exact | Precision::Second => "",
        };
        format!("{bound}{}", duration(seconds, when.precision))
    });
    vec![
        at.unwrap_or_else(|| UNKNOWN.to_owned()),
        took.unwrap_or_else(|| UNKNOWN.to_owned()),
        step.event.as_str().to_owned(),
        step.source.clone(),
        step.object.to_string(),
    ]
}

/// What there is to say of a step.
pub(super) fn note(text: &mut String, step: &Step) {
    if !step.note.is_empty() {
        paragraph(text, "    ", &step.note);
    }
}

/// A line for what waits.
pub(super) fn waits(text: &mut String, wait: &Wait) {
    let next = match wait.next {
        Event::Created => "for its pods",
        Event::Scheduled => "for a node",
        Event::Started => "to start",
        Event::Ready => "to be ready",
        Event::InEndpointSlice => "for an EndpointSlice",
        Event::Ended => "to end",
    };
    let since = wait.seconds.map(|seconds| format!(" since {}", age(seconds as u64))).unwrap_or_default();
    paragraph(text, "  ", &format!("{} waits {next}{since}: {} ({})", wait.object, wait.why, wait.source));
}

/// A duration as people read it. Fractions are shown only where they are known.
pub(super) fn duration(seconds: f64, precision: Precision) -> String {
    if precision == Precision::Exact && seconds < 10.0 && seconds.fract() > 0.0 {
        return match (seconds * 1000.0).round() {
            millis if millis < 1000.0 => format!("{millis:.0}ms"),
            millis => format!("{:.1}s", millis / 1000.0),
        };
    }
    age(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_say_no_more_than_is_known() {
        assert_eq!(duration(0.25, Precision::Exact), "250ms");
        assert_eq!(duration(1.26, Precision::Exact), "1.3s");
        assert_eq!(duration(2.0, Precision::Exact), "2s");
        assert_eq!(duration(0.0, Precision::Second), "0s");
        assert_eq!(duration(75.0, Precision::Second), "75s");
        assert_eq!(duration(7300.0, Precision::NotLater), "2h");
    }
}
