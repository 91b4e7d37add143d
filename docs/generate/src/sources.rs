//! What the sources say, for checks that what is gathered elsewhere is all there is: string literals, outside of tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// A file and its text without tests.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root of the repository.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// How a module of tests at the end of a file begins.
const TESTS: &str = "#[cfg(test)]\nmod tests {";
/// Words in names of files that have nothing but tests.
const ONLY_TESTS: [&str; 4] = ["test", "properties", "upstream", "simulat"];

/// Rust files below a directory, without those that have nothing but tests.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn sources(root: &Path, directory: &str) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    collect(root, &root.join(directory), &mut found)?;
    found.sort_by(|a: &Source, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if ONLY_TESTS.iter().any(|word| name.contains(word)) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let text = text.split(TESTS).next().unwrap_or_default().to_owned();
            found.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
        }
    }
    Ok(())
}

impl Source {
    /// The literals in it, without escapes being read.
    #[must_use]
    pub fn literals(&self) -> Vec<&str> {
        // Comments have quotes of their own.
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
    }
}

/// Whether a literal looks like a reason: words in CamelCase, two at least.
#[must_use]
pub fn looks_like_a_reason(literal: &str) -> bool {
    let capitals = literal.chars().filter(char::is_ascii_uppercase).count();
    literal.starts_with(|c: char| c.is_ascii_uppercase())
        && literal.chars().all(|c| c.is_ascii_alphanumeric())
        && literal.chars().any(|c| c.is_ascii_lowercase())
        && capitals >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_code_alone() {
        let text = "let a = \"One\"; // no \"comment\"\n// \"Two\"\nf(\"Three\", \"four\")".to_owned();
        let source = Source { path: PathBuf::new(), text };
        assert_eq!(source.literals(), ["One", "comment", "Three", "four"]);
        for (literal, is) in
            [("FailedCreate", true), ("OOMKilled", true), ("Pod", false), ("not one", false), ("OOM", false)]
        {
            assert_eq!(looks_like_a_reason(literal), is, "{literal}");
        }
    }
}
