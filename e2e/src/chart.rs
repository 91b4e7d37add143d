//! What the charts of the pages share: SVG drawn by hand, with colours for light and for dark pages, and a background of
//! its own for viewers that know neither.

use std::fmt::Write;

/// Width of every chart.
pub(crate) const WIDTH: f64 = 800.0;

const STYLE: &str = "\
<style>
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:17px;font-weight:600}
.back{fill:#ffffff}.grid{stroke:#d0d7de;stroke-width:1}.line{fill:none;stroke-width:2.5}.area{opacity:.18}
.stock{stroke:#b35900}.headroom{stroke:#0969da}.fill-stock{fill:#b35900}.fill-headroom{fill:#0969da}.fill-bare{fill:#57606a}
.stock.line{stroke-dasharray:7 3}.mark{stroke:#57606a}.wave{stroke:#57606a;stroke-width:1;stroke-dasharray:2 4}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.grid{stroke:#30363d}.mark,.wave{stroke:#8b949e}
.stock{stroke:#f0883e}.headroom{stroke:#58a6ff}.fill-stock{fill:#f0883e}.fill-headroom{fill:#58a6ff}.fill-bare{fill:#8b949e}}
</style>
";

/// The beginning of a picture: size, name, what it shows in words, style and background.
pub(crate) fn head(height: f64, title: &str, description: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"t d\">\n<title id=\"t\">{title}</title>\n<desc id=\"d\">{description}</desc>\n\
         {STYLE}<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n"
    )
}

/// The next number that divides into four round parts.
pub(crate) fn round_up(value: f64) -> f64 {
    let step = 10f64.powf(value.max(1.0).log10().floor()) / 5.0 * 4.0;
    (value / step).ceil().max(1.0) * step
}

/// A bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Whose: the class `fill-WHO` colours it.
    pub(crate) who: String,
    /// How long.
    pub(crate) value: f64,
    /// The value for people.
    pub(crate) label: String,
}

/// Bars of the same unit, in named groups.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// What they show, with the unit.
    pub(crate) name: String,
    /// Each group's name and bars.
    pub(crate) groups: Vec<(String, Vec<Bar>)>,
}

/// Left end of the bars: the groups' names stand before it.
const LEFT: f64 = 180.0;
/// Right end of the longest bar: its label stands behind it.
const RIGHT: f64 = 700.0;
/// Height of a bar with its gap.
const BAR: f64 = 18.0;
/// Height of a panel's name, and between groups.
const NAME: f64 = 30.0;
const GAP: f64 = 10.0;
/// Above the first panel: title and legend.
const TOP: f64 = 70.0;

/// Horizontal bars, panel below panel.
pub(crate) fn bars(title: &str, description: &str, panels: &[Panel]) -> String {
    let group = |bars: &[Bar]| bars.len() as f64 * BAR + GAP;
    let panel = |panel: &Panel| NAME + panel.groups.iter().map(|(_, bars)| group(bars)).sum::<f64>();
    let height = TOP + panels.iter().map(panel).sum::<f64>() + GAP;
    let mut out = head(height, title, description);
    let _ = writeln!(out, r#"<text class="title" x="20" y="30">{title}</text>"#);
    legend(&mut out, panels);
    let mut y = TOP;
    for panel in panels {
        let _ = writeln!(out, r#"<text x="20" y="{:.0}">{}</text>"#, y + 14.0, panel.name);
        y += NAME;
        let values = panel.groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value);
        let most = values.filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
        for (name, bars) in &panel.groups {
            let _ =
                writeln!(out, r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{name}</text>"#, LEFT - 10.0, y + 13.0);
            for bar in bars {
                let length = (RIGHT - LEFT) * (bar.value / most).clamp(0.0, 1.0);
                let _ = writeln!(
                    out,
                    r#"<rect class="fill-{}" x="{LEFT}" y="{:.1}" width="{length:.1}" height="{:.0}" rx="2"/>"#,
                    bar.who,
                    y + 1.5,
                    BAR - 3.0
                );
                let _ =
                    writeln!(out, r#"<text x="{:.1}" y="{:.1}">{}</text>"#, LEFT + length + 8.0, y + 13.5, bar.label);
                y += BAR;
            }
            y += GAP;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Who has which colour, in the order of the bars.
fn legend(out: &mut String, panels: &[Panel]) {
    let mut known: Vec<&str> = Vec::new();
    for bar in panels.iter().flat_map(|panel| &panel.groups).flat_map(|(_, bars)| bars) {
        if !known.contains(&bar.who.as_str()) {
            known.push(&bar.who);
        }
    }
    let mut x = 20.0;
    for who in known {
        let _ = writeln!(out, r#"<rect class="fill-{who}" x="{x:.0}" y="43" width="14" height="14" rx="2"/>"#);
        let _ = writeln!(out, r#"<text x="{:.0}" y="55">{who}</text>"#, x + 20.0);
        x += 110.0;
    }
}

/// A description in words: each panel's bars one after the other.
pub(crate) fn describe(panels: &[Panel]) -> String {
    let one = |panel: &Panel| {
        let mut all = Vec::new();
        for (name, bars) in &panel.groups {
            all.extend(bars.iter().map(|bar| format!("{name}, {}: {}", bar.who, bar.label)));
        }
        format!("{}: {}.", panel.name, all.join("; "))
    };
    panels.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let bar = |who: &str, value: f64| Bar { who: who.to_owned(), value, label: format!("{value:.0}") };
        Panel {
            name: "pods/s".to_owned(),
            groups: vec![("100x5000".to_owned(), vec![bar("stock", 250.0), bar("headroom", 1000.0)])],
        }
    }

    #[test]
    fn the_longest_bar_has_the_whole_width() {
        let text = bars("Bursts", &describe(&[panel()]), &[panel()]);
        assert!(text.contains(r#"width="520.0""#) && text.contains(r#"width="130.0""#), "{text}");
        assert!(text.contains("100x5000, stock: 250") && text.ends_with("</svg>\n"), "{text}");
        assert_eq!(text.matches("fill-headroom\"").count(), 2, "a bar and its entry in the legend");
    }

    #[test]
    fn nothing_measured_is_no_bar() {
        let none = Panel { name: "x".to_owned(), groups: vec![("g".to_owned(), Vec::new())] };
        assert!(bars("t", "d", &[none]).contains("</svg>"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 0.8), (7.0, 7.2), (100.0, 160.0), (81.0, 88.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }
}
