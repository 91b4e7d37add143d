//! Code in Markdown: fenced blocks with their marks, and commands in running text.
//!
//! The first word behind a fence is the language. A block of shell needs a mark behind it that says where it can be run:
//!
//! | mark | |
//! |---|---|
//! | `sh test` | anywhere: on saved clusters and files of this repository |
//! | `sh cluster` | on a live cluster that looks as the documents say |
//! | `sh kubeadm` | on a live cluster that looks as if kubeadm had set it up: stock components at work, Headroom in `shadow` |
//! | `sh helm` | on a cluster on which Headroom is to be installed, or is installed as the chart's README begins with |
//! | `sh files` | on files of a host, in a directory that stands for its root, without systemd |
//! | `sh demo` | on the cluster that `make demo KEEP=1` leaves |
//! | `sh host` | on machines of the reader's; here only its flags, targets and files are checked ([`crate::untried`]) |
//!
//! `exit=2` behind the mark is the status that the block ends with, `exit=0|2` that it may be either. `NODE=worker-1` there
//! says what a word of the block stands for where it is run. A block `text output` right behind one is what it prints, to the
//! letter; `text sample` is the same, and differs from run to run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Languages that stand for a shell.
const SHELLS: [&str; 5] = ["sh", "bash", "shell", "console", "zsh"];

/// Documents that are not below `docs`.
const OUTSIDE: [&str; 6] = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "charts/headroom/README.md",
    "e2e/differential/README.md",
];

/// Where a block can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Anywhere.
    Test,
    /// On a live cluster.
    Cluster,
    /// On a live cluster on which stock is at work and Headroom looks on.
    Kubeadm,
    /// On a cluster, by Helm.
    Helm,
    /// On files of a host.
    Files,
    /// On the cluster that the demo leaves.
    Demo,
    /// On machines of the reader's.
    Host,
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of the opening fence, from 1 on.
    pub line: usize,
    /// What stands behind it.
    pub info: String,
    /// What is in it, with a line break at the end of each line.
    pub text: String,
    /// Lines that are neither empty nor fenced stand between it and the block before.
    pub apart: bool,
}

/// A document of the repository.
#[derive(Debug, Clone)]
pub struct Document {
    /// Relative to the root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// All documents with commands for people.
///
/// # Errors
/// When one cannot be read.
pub fn documents(root: &Path) -> anyhow::Result<Vec<Document>> {
    let mut paths: Vec<PathBuf> = OUTSIDE.iter().map(PathBuf::from).filter(|path| root.join(path).is_file()).collect();
    below(root, Path::new("docs"), &mut paths)?;
    paths.sort();
    let read = |path: PathBuf| -> anyhow::Result<Document> {
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        Ok(Document { path, text })
    };
    paths.into_iter().map(read).collect()
}

fn below(root: &Path, directory: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(directory)).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            below(root, &path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    Ok(())
}

impl Document {
    /// The fenced blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut all: Vec<Block> = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        let mut apart = true;
        for (i, line) in self.text.lines().enumerate() {
            let trimmed = line.trim_start();
            let fence = trimmed.starts_with("```");
            match open.take() {
                None if fence => {
                    let info = trimmed.trim_start_matches('`').trim().to_owned();
                    let block = Block { line: i + 1, info, text: String::new(), apart };
                    open = Some((block, line.len() - trimmed.len()));
                    apart = false;
                }
                None => apart |= !trimmed.is_empty(),
                Some((block, _)) if fence => all.push(block),
                Some((mut block, indent)) => {
                    let cut = line.len().min(indent);
                    block.text.push_str(if line.is_char_boundary(cut) { &line[cut..] } else { line });
                    block.text.push('\n');
                    open = Some((block, indent));
                }
            }
        }
        all
    }

    /// Commands in running text, with their lines: what stands between backticks and begins with a program of ours, `helm`
    /// or `make`. What is left open (`…`, `<name>`) is passed over.
    #[must_use]
    pub fn inline_commands(&self) -> Vec<(usize, String)> {
        let ours = ["kubectl headroom ", "headroom-scheduler --", "headroom-controllers --", "helm ", "make "];
        let left_open = |span: &str| span.contains(['…', '<']) || span.contains("...");
        let mut spans = self.spans();
        spans.retain(|(_, span)| ours.iter().any(|program| span.starts_with(program)) && !left_open(span));
        spans
    }

    /// What stands between backticks in running text, with its line.
    #[must_use]
    pub fn spans(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut fenced = false;
        for (i, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            if fenced {
                continue;
            }
            found.extend(line.split('`').skip(1).step_by(2).map(|span| (i + 1, span.to_owned())));
        }
        found
    }
}

impl Block {
    /// Whether it is for a shell.
    #[must_use]
    pub fn is_shell(&self) -> bool {
        self.info.split_whitespace().next().is_some_and(|language| SHELLS.contains(&language))
    }

    /// The mark of a block of shell.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn mark(&self) -> Result<Mark, String> {
        let mut words = self.info.split_whitespace();
        if words.next() != Some("sh") {
            return Err("blocks of shell begin with ```sh".to_owned());
        }
        match words.next() {
            Some("test") => Ok(Mark::Test),
            Some("cluster") => Ok(Mark::Cluster),
            Some("kubeadm") => Ok(Mark::Kubeadm),
            Some("helm") => Ok(Mark::Helm),
            Some("files") => Ok(Mark::Files),
            Some("demo") => Ok(Mark::Demo),
            Some("host") => Ok(Mark::Host),
            _ => {
                let marks = "test, cluster, kubeadm, helm, files, demo or host";
                Err(format!("a block of shell says where it can be run: ```sh {marks}"))
            }
        }
    }

    /// The statuses that the block may end with; none when the mark cannot be read.
    #[must_use]
    pub fn statuses(&self) -> Vec<i32> {
        let given = self.info.split_whitespace().find_map(|word| word.strip_prefix("exit="));
        given.unwrap_or("0").split('|').filter_map(|status| status.parse().ok()).collect()
    }

    /// The words of the block that the mark replaces, and with what: they are in capitals.
    #[must_use]
    pub fn stand_ins(&self) -> Vec<(&str, &str)> {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let pairs = self.info.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.filter(|(name, _)| is_name(name)).collect()
    }

    /// The text as it is run: with what the reader has to replace replaced.
    #[must_use]
    pub fn script(&self) -> String {
        let stand_ins = self.stand_ins();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let replaced = |piece: &str| {
            // A word with what ends it.
            let word = piece.trim_end_matches(|c: char| !is_part(c));
            let with = stand_ins.iter().find(|(name, _)| *name == word).map_or(word, |(_, with)| *with);
            format!("{with}{}", piece.strip_prefix(word).unwrap_or_default())
        };
        self.text.split_inclusive(|c: char| !is_part(c)).map(replaced).collect()
    }

    /// Whether it is what the block before it prints, to the letter.
    #[must_use]
    pub fn is_output(&self) -> bool {
        self.info == "text output" && !self.apart
    }

    /// Whether it is an example of what the block before it prints.
    #[must_use]
    pub fn is_sample(&self) -> bool {
        self.info == "text sample" && !self.apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { path: PathBuf::from("a.md"), text: text.to_owned() }
    }

    #[test]
    fn blocks_with_their_marks_and_outputs() {
        let text = "a\n```sh test exit=2\nx\n\ny\n```\n\n```text output\n1\n```\nwords\n```text output\n2\n```\n- b\n  ```yaml\n    k: v\n  ```\n";
        let blocks = document(text).blocks();
        let seen: Vec<_> = blocks.iter().map(|b| (b.line, b.info.as_str(), b.text.as_str())).collect();
        assert_eq!(
            seen,
            [
                (2, "sh test exit=2", "x\n\ny\n"),
                (8, "text output", "1\n"),
                (12, "text output", "2\n"),
                (16, "yaml", "  k: v\n")
            ]
        );
        assert_eq!((blocks[0].mark(), blocks[0].statuses()), (Ok(Mark::Test), vec![2]));
        assert_eq!(blocks[1].statuses(), [0]);
        assert_eq!((blocks[1].is_output(), blocks[2].is_output()), (true, false));
        assert!(blocks[0].is_shell() && !blocks[3].is_shell());
    }

    #[test]
    fn words_of_the_readers_are_replaced_where_they_stand_alone() {
        let text = "drain NODE --x=NODE -n NODES # NODE-1\nget NODE";
        let info = "sh kubeadm exit=0|2 NODE=worker-1".to_owned();
        let block = Block { line: 1, info, text: text.to_owned(), apart: true };
        assert_eq!(block.script(), "drain worker-1 --x=worker-1 -n NODES # NODE-1\nget worker-1");
        assert_eq!((block.statuses(), block.stand_ins()), (vec![0, 2], vec![("NODE", "worker-1")]));
        let bare = Block { info: "sh test exit=two".to_owned(), ..block };
        assert_eq!((bare.script(), bare.statuses()), (text.to_owned(), Vec::new()));
    }

    #[test]
    fn marks_that_are_missing_are_named() {
        for (info, said) in [("sh", "```sh test"), ("bash test", "begin with ```sh"), ("sh maybe", "```sh test")] {
            let block = Block { line: 1, info: info.to_owned(), text: String::new(), apart: true };
            assert!(block.is_shell() && block.mark().unwrap_err().contains(said), "{info}");
        }
    }

    #[test]
    fn commands_in_running_text() {
        let text = "Use `kubectl headroom top`, `make demo KEEP=1`, `kubectl get nodes` and `make …`.\n```sh host\n`make no`\n```\n";
        let found = document(text).inline_commands();
        assert_eq!(found, [(1, "kubectl headroom top".to_owned()), (1, "make demo KEEP=1".to_owned())]);
    }
}
