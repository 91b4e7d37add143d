//! The chart of the thrash scenario: two panels over time.

use std::fmt::Write;

use crate::chart::{head, round_up};
use crate::upstream::Side;

use super::super::thrash::WAVES;
use super::super::{Series, Thrash};

const HEIGHT: f64 = 520.0;
/// The panels' sides, and the upper edge and height of each. Above the upper one there is room for two rows of crosses.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 780.0;
const PANELS: [(f64, f64); 2] = [(118.0, 140.0), (310.0, 150.0)];
/// How far the panels' names are above them.
const NAMES: [f64; 2] = [32.0, 10.0];
/// Most steps of the time axis: its labels stand side by side.
const MOST_STEPS: f64 = 10.0;
/// Lengths of such a step, seconds.
const STEPS: [f64; 6] = [10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// A panel: where it is and what its axes mean.
struct Panel {
    top: f64,
    height: f64,
    /// How far its name is above it.
    name: f64,
    seconds: f64,
    most: f64,
}

impl Panel {
    fn x(&self, at: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (at / self.seconds).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }

    /// Grid, ticks, the times of the waves, and what is shown.
    fn axes(&self, out: &mut String, name: &str, steps: usize) {
        let _ = writeln!(out, r#"<text x="{LEFT}" y="{:.0}">{name}</text>"#, self.top - self.name);
        for step in 0..=steps {
            let value = self.most * step as f64 / steps as f64;
            let y = self.y(value);
            let _ = writeln!(out, r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#);
            let _ =
                writeln!(out, r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{value:.0}</text>"#, LEFT - 8.0, y + 4.5);
        }
        let bottom = self.top + self.height;
        let mut at = 0.0;
        while at <= self.seconds {
            let x = self.x(at);
            let _ = writeln!(out, r#"<text x="{x:.1}" y="{:.0}" text-anchor="middle">{at:.0}</text>"#, bottom + 18.0);
            at += step(self.seconds);
        }
        for wave in WAVES.iter().map(|at| *at as f64).filter(|at| *at <= self.seconds) {
            let x = self.x(wave);
            let _ =
                writeln!(out, r#"<line class="wave" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{bottom:.1}"/>"#, self.top);
        }
    }

    /// A line through the points; with steps it is level between them.
    fn line(&self, out: &mut String, side: Side, points: &[(f64, f64)], steps: bool) {
        let mut path = String::new();
        for (index, &(at, value)) in points.iter().enumerate() {
            let (x, y) = (self.x(at), self.y(value));
            let _ = match index {
                0 => write!(path, "M{x:.1} {y:.1}"),
                _ if steps => write!(path, "H{x:.1}V{y:.1}"),
                _ => write!(path, "L{x:.1} {y:.1}"),
            };
        }
        if let (true, Some(first), Some(last)) = (steps, points.first(), points.last()) {
            let (from, to, bottom) = (self.x(first.0), self.x(last.0), self.top + self.height);
            let _ = writeln!(out, r#"<path class="area fill-{side}" d="{path}H{to:.1}V{bottom:.1}H{from:.1}Z"/>"#);
        }
        let _ = writeln!(out, r#"<path class="line {side}" d="{path}"/>"#);
    }
}

/// How far apart the labels of the time axis are, seconds.
fn step(seconds: f64) -> f64 {
    let fits = |step: &&f64| seconds / **step <= MOST_STEPS;
    STEPS.iter().find(fits).copied().unwrap_or(seconds / MOST_STEPS)
}

/// The whole picture: one run of each side, which stands for all of `rounds`.
pub(super) fn chart(runs: &[&Thrash], rounds: u32) -> String {
    let seconds = runs.iter().map(|run| run.seconds).fold(1.0, f64::max);
    let work = runs.iter().map(|run| run.totals.work_seconds).fold(1.0, f64::max);
    let mut out = head(HEIGHT, "Crawler waves on 1 GiB nodes: stock beside Headroom", &description(runs));
    let _ = writeln!(out, r#"<text class="title" x="{LEFT}" y="30">Crawler waves on 1 GiB nodes with swap</text>"#);
    if rounds > 1 {
        let which = format!("each side's run in the middle of {rounds}");
        let _ = writeln!(out, r#"<text x="{RIGHT}" y="30" text-anchor="end">{which}</text>"#);
    }
    legend(&mut out, runs);

    let [(top, height), (lower_top, lower_height)] = PANELS;
    let [name, lower_name] = NAMES;
    let panel = Panel { top, height, name, seconds, most: 4.0 };
    panel.axes(&mut out, "Nodes that thrash, of 4", 4);
    for run in runs {
        let points = points(&run.series, |series, i| series.thrashing_nodes.get(i).map(|n| *n as f64));
        panel.line(&mut out, run.side, &points, true);
    }
    losses(&mut out, &panel, runs);
    let panel = Panel { top: lower_top, height: lower_height, name: lower_name, seconds, most: round_up(work) };
    panel.axes(&mut out, "Work done, in seconds of a pod that never waits for memory", 4);
    for run in runs {
        let points = points(&run.series, |series, i| series.work_seconds.get(i).copied());
        panel.line(&mut out, run.side, &points, false);
    }
    let (x, y) = ((LEFT + RIGHT) / 2.0, lower_top + lower_height + 42.0);
    let _ = writeln!(out, r#"<text x="{x:.0}" y="{y:.0}" text-anchor="middle">Seconds since the start</text>"#);
    out.push_str("</svg>\n");
    out
}

fn points(series: &Series, value: impl Fn(&Series, usize) -> Option<f64>) -> Vec<(f64, f64)> {
    series.at.iter().enumerate().filter_map(|(i, at)| Some((*at, value(series, i)?))).collect()
}

/// Who is which line, and what a cross and a dotted line are.
fn legend(out: &mut String, runs: &[&Thrash]) {
    let mut x = LEFT;
    for run in runs {
        let side = run.side;
        let _ = writeln!(out, r#"<line class="line {side}" x1="{x:.0}" x2="{:.0}" y1="52" y2="52"/>"#, x + 34.0);
        let name = match side {
            Side::Stock => "kube-scheduler",
            Side::Headroom => "headroom-scheduler",
        };
        let _ = writeln!(out, r#"<text x="{:.0}" y="56.5">{name}</text>"#, x + 42.0);
        x += 180.0;
    }
    cross(out, "mark", x + 6.0, 52.0);
    let _ = writeln!(out, r#"<text x="{:.0}" y="56.5">OOM kill or eviction</text>"#, x + 18.0);
    x += 165.0;
    let _ = writeln!(out, r#"<line class="wave" x1="{x:.0}" x2="{x:.0}" y1="44" y2="60"/>"#);
    let _ = writeln!(out, r#"<text x="{:.0}" y="56.5">a wave of pods comes</text>"#, x + 10.0);
}

/// A cross above the upper panel for each second in which something was killed or evicted, one row per side.
fn losses(out: &mut String, panel: &Panel, runs: &[&Thrash]) {
    for (row, run) in runs.iter().enumerate() {
        let y = panel.top - 19.0 + 11.0 * row as f64;
        let mut before = 0;
        for (at, lost) in run.series.at.iter().zip(&run.series.lost) {
            if *lost > before {
                cross(out, run.side.to_string().as_str(), panel.x(*at), y);
            }
            before = *lost;
        }
    }
}

fn cross(out: &mut String, class: &str, x: f64, y: f64) {
    let (l, r, t, b) = (x - 4.0, x + 4.0, y - 4.0, y + 4.0);
    let _ = writeln!(
        out,
        r#"<path class="{class}" stroke-width="2" d="M{l:.1} {t:.1}L{r:.1} {b:.1}M{l:.1} {b:.1}L{r:.1} {t:.1}"/>"#
    );
}

/// In words, for whoever cannot see it.
fn description(runs: &[&Thrash]) -> String {
    let one = |run: &&Thrash| {
        let t = &run.totals;
        format!(
            "{}: {:.0} node-seconds of thrashing, {} OOM kills, {} evictions, {:.0} pod-seconds of work.",
            run.side, t.thrashing_node_seconds, t.oom_kills, t.evicted, t.work_seconds
        )
    };
    runs.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn labels_of_the_time_axis_have_room() {
        for (seconds, apart) in
            [(10.0, 10.0), (100.0, 10.0), (120.0, 30.0), (240.2, 30.0), (600.0, 60.0), (3600.2, 600.0)]
        {
            assert_eq!(step(seconds), apart, "{seconds}");
        }
        assert!((step(9000.0) - 900.0).abs() < 1e-9);
    }
}
