//! What a corpus holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the corpus' layout.
pub const LAYOUT: u32 = 1;

/// The first line: what all cases share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`LAYOUT`].
    pub layout: u32,
    /// The version of the stock scheduler that decided.
    pub stock: String,
    /// Its KubeSchedulerConfiguration.
    pub config: Value,
    /// Objects that were there in every case.
    pub world: Vec<Value>,
}

/// A cluster and what stock decided on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What the generator was given.
    pub seed: u64,
    /// Nodes.
    pub nodes: Vec<Value>,
    /// Pods that were on nodes before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Value>,
    /// Other objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Value>,
    /// Pods in the order in which they came, each after the decision on the one before.
    pub decisions: Vec<Decision>,
}

/// A pod and what stock decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The pod.
    pub pod: Value,
    /// Where it was bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Plugins that scored, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
    /// Normalised scores times weights as stock logs them, by node, in the order of `plugins`. Empty when nothing was
    /// scored, as with one feasible node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Vec<i64>>,
}

/// A whole corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// What all cases share.
    pub header: Header,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Corpus {
    /// Reads a corpus.
    ///
    /// # Errors
    /// The file and the line that is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads the text of a corpus.
    ///
    /// # Errors
    /// The line that is wrong.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).context("line 1")?;
        anyhow::ensure!(header.layout == LAYOUT, "layout {} is not known: expected {LAYOUT}", header.layout);
        let cases = lines
            .enumerate()
            .map(|(i, line)| serde_json::from_str(line).with_context(|| format!("line {}", i + 2)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { header, cases })
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let named = || path.display().to_string();
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).with_context(named)?);
        writeln!(file, "{}", serde_json::to_string(&self.header)?).with_context(named)?;
        for case in &self.cases {
            writeln!(file, "{}", serde_json::to_string(case)?).with_context(named)?;
        }
        file.flush().with_context(named)
    }
}
