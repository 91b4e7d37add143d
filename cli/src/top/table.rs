//! Aligned columns, and figures as people read them.

use headroom_core::quantity::human_bytes;

use crate::doctor::text::clean;

/// What stands for a figure that is not known.
pub(crate) const UNKNOWN: &str = "-";

/// Columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    widths: Vec<usize>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), widths: columns.iter().map(|name| name.chars().count()).collect() }
    }

    /// Makes room for these lines. Lines that come later do not move the columns.
    pub(crate) fn fit<'a>(&mut self, lines: impl Iterator<Item = &'a Vec<String>>) {
        for line in lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }

    pub(crate) fn head(&self) -> String {
        self.line(&self.columns.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// A line. What a terminal would obey is blanked: names of others stand in cells, and owner references, profiles and
    /// saved clusters may have any.
    pub(crate) fn line(&self, cells: &[String]) -> String {
        let padded = cells.iter().zip(&self.widths).map(|(cell, width)| format!("{:width$}", clean(cell)));
        let mut line = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        line.push('\n');
        line
    }
}

/// Bytes, if they are known.
pub(crate) fn bytes(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), human_bytes)
}

/// What is used of what there is; a unit that both have is written once.
pub(crate) fn of(used: Option<i64>, all: Option<i64>) -> String {
    if used.is_none() && all.is_none() {
        return UNKNOWN.to_owned();
    }
    let (used, all) = (bytes(used), bytes(all));
    let unit = all.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let number = used.strip_suffix(unit).filter(|number| number.ends_with(|c: char| c.is_ascii_digit()));
    format!("{}/{all}", number.unwrap_or(&used))
}

/// A rate or a share, if it is known.
pub(crate) fn number(number: Option<f64>, unit: &str) -> String {
    match number {
        Some(number) if number >= 100.0 => format!("{number:.0}{unit}"),
        Some(number) => format!("{number:.1}{unit}"),
        None => UNKNOWN.to_owned(),
    }
}

/// An age as kubectl shows it: the largest unit, two of them while it is young.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        s @ 0..120 => format!("{s}s"),
        s @ 120..600 if s % 60 > 0 => format!("{}m{}s", s / 60, s % 60),
        s @ 120..7200 => format!("{}m", s / 60),
        s @ 7200..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86400),
    }
}
