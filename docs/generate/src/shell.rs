//! As much of a shell's syntax as documents use: which simple commands a script has, word by word.

use std::iter::Peekable;
use std::str::Chars;

/// The simple commands of a script, in order, without redirections, assignments before them and comments. Of a
/// substitution (`$(…)`) the text stays in its word.
#[must_use]
pub fn commands(script: &str) -> Vec<Vec<String>> {
    let mut lexer =
        Lexer { rest: script.chars().peekable(), done: Vec::new(), words: Vec::new(), heredocs: Vec::new() };
    lexer.run();
    let assigned = |word: &String| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let keyword = |word: &String| ["do", "then", "else", "!", "{", "time"].contains(&word.as_str());
    let bare = |words: Vec<String>| words.into_iter().skip_while(|w| assigned(w) || keyword(w)).collect::<Vec<_>>();
    lexer.done.into_iter().map(bare).filter(|words| !words.is_empty()).collect()
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    done: Vec<Vec<String>>,
    words: Vec<String>,
    /// Ends of the documents that begin on the next line.
    heredocs: Vec<String>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(&c) = self.rest.peek() {
            match c {
                '\n' => {
                    self.rest.next();
                    self.end();
                    self.skip_heredocs();
                }
                ' ' | '\t' => {
                    self.rest.next();
                }
                '#' => while self.rest.next_if(|c| *c != '\n').is_some() {},
                ';' | '|' | '&' | '(' | ')' => {
                    self.rest.next();
                    self.end();
                }
                '<' | '>' => self.redirection(),
                _ => {
                    let word = self.word();
                    // The number of a descriptor belongs to the redirection.
                    let descriptor = matches!(word.as_str(), "1" | "2") && matches!(self.rest.peek(), Some('<' | '>'));
                    if !descriptor && !word.is_empty() {
                        self.words.push(word);
                    }
                }
            }
        }
        self.end();
    }

    fn end(&mut self) {
        if !self.words.is_empty() {
            self.done.push(std::mem::take(&mut self.words));
        }
    }

    /// `> file`, `2>&1`, `<<'EOF'`: gone, with what belongs to them.
    fn redirection(&mut self) {
        let mut signs = String::new();
        while let Some(sign) = self.rest.next_if(|c| matches!(c, '<' | '>' | '&' | '-')) {
            signs.push(sign);
        }
        while self.rest.next_if(|c| *c == ' ').is_some() {}
        let target = self.word();
        if signs.starts_with("<<") && !signs.starts_with("<<<") {
            self.heredocs.push(target);
        }
    }

    fn skip_heredocs(&mut self) {
        for end in std::mem::take(&mut self.heredocs) {
            loop {
                let mut line = String::new();
                while let Some(c) = self.rest.next_if(|c| *c != '\n') {
                    line.push(c);
                }
                let more = self.rest.next().is_some();
                if line.trim() == end || !more {
                    break;
                }
            }
        }
    }

    /// One word, quotes taken away.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&c) = self.rest.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' | '|' | '&' | ')' | '<' | '>' => break,
                '(' if word.is_empty() => break,
                '\\' => {
                    self.rest.next();
                    match self.rest.next() {
                        // A line that goes on.
                        Some('\n') | None if word.is_empty() => break,
                        Some('\n') | None => {}
                        Some(c) => word.push(c),
                    }
                }
                '\'' => {
                    self.rest.next();
                    while let Some(c) = self.rest.next_if(|c| *c != '\'') {
                        word.push(c);
                    }
                    self.rest.next();
                }
                '"' => {
                    self.rest.next();
                    self.double_quoted(&mut word);
                }
                '$' => {
                    self.rest.next();
                    word.push('$');
                    if self.rest.peek() == Some(&'(') {
                        self.substitution(&mut word);
                    }
                }
                _ => {
                    self.rest.next();
                    word.push(c);
                }
            }
        }
        word
    }

    fn double_quoted(&mut self, word: &mut String) {
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return,
                '\\' => word.extend(self.rest.next()),
                '$' if self.rest.peek() == Some(&'(') => {
                    word.push('$');
                    self.substitution(word);
                }
                c => word.push(c),
            }
        }
    }

    /// From the opening parenthesis to the one that closes it.
    fn substitution(&mut self, word: &mut String) {
        let mut depth = 0_usize;
        for c in self.rest.by_ref() {
            word.push(c);
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_documents_have() {
        for (script, expected) in [
            ("make demo KEEP=1   # leaves it\n", vec!["make demo KEEP=1"]),
            ("a b | c --d='e f' > g && h \"i j\"; k", vec!["a b", "c --d=e f", "h i j", "k"]),
            ("X=1 Y=2 make \\\n  test 2>&1\n", vec!["make test"]),
            (
                "cat <<'EOF' | kubectl apply -f -\nmake nothing\nEOF\nmake it\n",
                vec!["cat", "kubectl apply -f -", "make it"],
            ),
            ("curl -H \"Bearer $(kubectl token (x))\" \\\n  url &\n", vec!["curl -H Bearer $(kubectl token (x)) url"]),
            ("for n in a b; do\n  make $n\ndone\n", vec!["for n in a b", "make $n", "done"]),
            ("a --x='*'   # all\nb # c\n# d\n", vec!["a --x=*", "b"]),
        ] {
            let got: Vec<String> = commands(script).into_iter().map(|words| words.join(" ")).collect();
            assert_eq!(got, expected, "{script}");
        }
    }
}
