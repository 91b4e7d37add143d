//! The trace as a timeline: an SVG with a row for each object, a segment for each step. It has colours for light and
//! for dark pages, and a background of its own for viewers that know neither.

use std::fmt::Write as _;

use super::{
    model::{Event, Object, Precision, Step, Trace},
    table::duration,
};

const WIDTH: f64 = 960.0;
/// Where the axis begins and ends. Names are to the left.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 92.0;
const ROW: f64 = 26.0;
const BAR: f64 = 14.0;
/// Most objects that are drawn; the others are counted.
const MAX_ROWS: usize = 100;
/// Longest name that is written, characters.
const MAX_NAME: usize = 32;
/// Most steps of the time axis.
const MOST_STEPS: f64 = 8.0;
/// Lengths of such a step, seconds.
const STEPS: [f64; 13] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0];

const STYLE: &str = "\
<style>
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:17px;font-weight:600}
.back{fill:#ffffff}.grid{stroke:#d0d7de;stroke-width:1}.mark{fill:#24292f}
.scheduled{fill:#b35900}.started{fill:#8250df}.ready{fill:#0969da}.slice{fill:#1a7f37}.ended{fill:#57606a}
.wait{fill:none;stroke:#cf222e;stroke-width:1.5;stroke-dasharray:4 3}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.grid{stroke:#30363d}.mark{fill:#e6edf3}
.scheduled{fill:#f0883e}.started{fill:#bc8cff}.ready{fill:#58a6ff}.slice{fill:#3fb950}.ended{fill:#8b949e}
.wait{stroke:#ff7b72}}
</style>
";

/// What segments are called in the legend: what the object waited for while they last.
const LEGEND: [(Event, &str); 4] = [
    (Event::Scheduled, "until scheduled"),
    (Event::Started, "until started"),
    (Event::Ready, "until ready"),
    (Event::InEndpointSlice, "until in a slice"),
];

const fn class(event: Event) -> &'static str {
    match event {
        Event::Created => "mark",
        Event::Scheduled => "scheduled",
        Event::Started => "started",
        Event::Ready => "ready",
        Event::InEndpointSlice => "slice",
        Event::Ended => "ended",
    }
}

/// Offsets in seconds as places on the axis.
struct Axis {
    seconds: f64,
}

impl Axis {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.seconds).clamp(0.0, 1.0)
    }
}

/// The whole picture.
pub(super) fn svg(trace: &Trace) -> String {
    let mut objects: Vec<&Object> = Vec::new();
    let waiting = trace.waiting.iter().map(|wait| &wait.object);
    for object in trace.steps.iter().map(|step| &step.object).chain(waiting) {
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    let more = objects.len().saturating_sub(MAX_ROWS);
    objects.truncate(MAX_ROWS);
    let axis = Axis { seconds: length(trace) };
    let bottom = TOP + ROW * objects.len() as f64;
    let height = bottom + if more > 0 { 64.0 } else { 40.0 };
    let title = escaped(&format!("{} in {}", trace.target, trace.namespace));
    let description = escaped(&description(trace));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"t d\">\n<title id=\"t\">{title}</title>\n<desc id=\"d\">{description}</desc>\n{STYLE}\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"20\" y=\"30\">{title}</text>\n"
    );
    legend(&mut out, !trace.waiting.is_empty());
    grid(&mut out, &axis, bottom);
    for (index, object) in objects.iter().enumerate() {
        row(&mut out, trace, object, &axis, TOP + ROW * index as f64);
    }
    if more > 0 {
        let _ = writeln!(out, r#"<text x="20" y="{:.0}">and {more} more</text>"#, bottom + 46.0);
    }
    out.push_str("</svg>\n");
    out
}

/// From the first time to the last, or to now while something waits.
fn length(trace: &Trace) -> f64 {
    let Some(start) = trace.start() else { return 1.0 };
    let last = trace.steps.iter().filter_map(|step| step.when).map(|when| when.at).max();
    let end = if trace.waiting.is_empty() { last } else { last.max(Some(trace.at)) };
    end.map_or(1.0, |end| end.since(start).as_secs_f64()).max(1.0)
}

/// For those who do not see it.
fn description(trace: &Trace) -> String {
    let took = trace.steps.iter().filter_map(|step| step.took_seconds.map(|seconds| (seconds, step)));
    let slowest = took.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let slowest = slowest.map(|(seconds, step)| {
        let took = duration(seconds, step.when.map_or(Precision::Second, |when| when.precision));
        format!("; the slowest step: {} of {}, {took}", step.event.as_str(), step.object)
    });
    let waiting = match trace.waiting.len() {
        0 => String::new(),
        count => format!("; {count} wait"),
    };
    format!("{} pods, {} ready{waiting}{}", trace.pods.active, trace.pods.ready, slowest.unwrap_or_default())
}

fn legend(out: &mut String, waits: bool) {
    let mut x = 20.0;
    for (event, name) in LEGEND {
        let _ = writeln!(
            out,
            r#"<rect class="{}" x="{x:.0}" y="46" width="14" height="{BAR}"/><text x="{:.0}" y="58">{name}</text>"#,
            class(event),
            x + 20.0
        );
        x += 150.0;
    }
    if waits {
        let _ = writeln!(
            out,
            r#"<rect class="wait" x="{x:.0}" y="46" width="14" height="{BAR}"/><text x="{:.0}" y="58">still waits</text>"#,
            x + 20.0
        );
    }
}

fn grid(out: &mut String, axis: &Axis, bottom: f64) {
    let fits = |step: &&f64| axis.seconds / **step <= MOST_STEPS;
    let step = STEPS.iter().find(fits).copied().unwrap_or(axis.seconds / MOST_STEPS);
    let mut at = 0.0;
    while at <= axis.seconds {
        let x = axis.x(at);
        let label = duration(at, Precision::Second);
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom:.0}"/><text x="{x:.1}" y="{:.0}" text-anchor="middle">+{label}</text>"#,
            bottom + 20.0
        );
        at += step;
    }
}

/// The bar of an object: a segment up to each of its steps, and an open one while it waits.
fn row(out: &mut String, trace: &Trace, object: &Object, axis: &Axis, top: f64) {
    let Some(start) = trace.start() else { return };
    let y = top + (ROW - BAR) / 2.0;
    let name = object.to_string();
    let shown: String = if name.chars().count() > MAX_NAME {
        name.chars().take(MAX_NAME - 1).chain(['…']).collect()
    } else {
        name.clone()
    };
    let _ = writeln!(
        out,
        r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
        LEFT - 10.0,
        y + BAR - 2.5,
        escaped(&shown)
    );
    let mut own: Vec<&Step> = trace.steps.iter().filter(|step| step.object == *object).collect();
    own.sort_by_key(|step| step.event);
    let mut before: Option<f64> = None;
    for step in own {
        let Some(when) = step.when else { continue };
        let at = when.at.since(start).as_secs_f64();
        let said =
            escaped(&format!("{name}: {} +{} ({})", step.event.as_str(), duration(at, when.precision), step.source));
        let (from, class) = (before.unwrap_or(at).min(at), class(step.event));
        let (x, width) = (axis.x(from), (axis.x(at) - axis.x(from)).max(2.0));
        let _ = writeln!(
            out,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}"><title>{said}</title></rect>"#
        );
        before = Some(before.unwrap_or(at).max(at));
    }
    for wait in trace.waiting.iter().filter(|wait| wait.object == *object) {
        let now = trace.at.since(start).as_secs_f64();
        let from = before.unwrap_or_else(|| now - wait.seconds.unwrap_or(0.0)).clamp(0.0, now.max(0.0));
        let (x, width) = (axis.x(from), (axis.x(now) - axis.x(from)).max(2.0));
        let said = escaped(&format!("{name} waits: {}", wait.why));
        let _ = writeln!(
            out,
            r#"<rect class="wait" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}"><title>{said}</title></rect>"#
        );
    }
}

/// A text that is no markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
