//! Texts of others, made fit for a terminal.

/// How much of a text of others is repeated, characters.
const LONGEST: usize = 300;

/// Whether a character moves the cursor, turns the text around or cannot be seen.
fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text in one line, without what a terminal would obey.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if moves(c) { ' ' } else { c }).collect()
}

/// The same, not longer than anybody reads.
#[must_use]
pub fn cut(text: &str) -> String {
    let mut shown: String = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
        shown.truncate(end);
        shown.push_str(" ...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        assert_eq!(cut("  a \t b  "), "a b");
        let long = cut(&"é".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST + 4);
        assert!(long.ends_with("é ..."));
    }
}
