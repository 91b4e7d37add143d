//! Tables.

use std::fmt::Write as _;

/// Text for a cell or a sentence: one line, and nothing in it is taken for HTML or for the end of a cell.
pub(crate) fn text(raw: &str) -> String {
    raw.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;").replace('|', "\\|")
}

/// Code for a cell; nothing for nothing.
pub(crate) fn code(raw: &str) -> String {
    let inner = raw.replace('|', "\\|");
    match (raw.is_empty(), raw.contains('`')) {
        (true, _) => String::new(),
        (false, true) => format!("`` {inner} ``"),
        (false, false) => format!("`{inner}`"),
    }
}

/// Each in code, with commas between.
pub(crate) fn codes<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    all.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

/// A table with these columns; the cells are Markdown.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
    columns: usize,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let rule = vec!["---"; columns.len()].join("|");
        Self { text: format!("| {} |\n|{rule}|\n", columns.join(" | ")), columns: columns.len() }
    }

    /// A row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: &[String]) {
        let mut line = String::new();
        for i in 0..self.columns {
            let cell = cells.get(i).map_or("", String::as_str);
            let _ = write!(line, "| {cell}{}", if cell.is_empty() { "" } else { " " });
        }
        let _ = writeln!(self.text, "{line}|");
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_in_their_cells() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&[code("x|y"), text("1 < 2\n  or | 3")]);
        table.row(&[codes(["p", "q"])]);
        assert_eq!(table.finish(), "| a | b |\n|---|---|\n| `x\\|y` | 1 &lt; 2 or \\| 3 |\n| `p`, `q` | |\n");
    }
}
