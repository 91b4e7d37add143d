//! Errors as one line for people.

use std::error::Error;

/// The error and its causes in one line; a cause whose text is already part of the line is not repeated (our own errors
/// name their source, those of libraries often do not).
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = flat(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = flat(&error.to_string());
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error)]
    #[error("no such\n  thing")]
    struct Inner;

    #[derive(Debug, Error)]
    #[error("--config a.yaml: {0}")]
    struct Says(#[source] Inner);

    #[derive(Debug, Error)]
    #[error("cannot start")]
    struct Silent(#[source] Inner);

    #[test]
    fn causes_are_told_once() {
        assert_eq!(one_line(&Says(Inner)), "--config a.yaml: no such thing");
        assert_eq!(one_line(&Silent(Inner)), "cannot start: no such thing");
    }
}
