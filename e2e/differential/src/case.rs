//! What a corpus holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the corpus' layout.
pub const LAYOUT: u32 = 1;

/// Texts that stand in almost every case. In a file they are `~0`, `~1` … so that thousands of cases take little room;
/// the header says which is which.
const ALIASES: [&str; 24] = [
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "\"overhead\":{\"cpu\":\"130m\",\"memory\":\"37Mi\"},\"runtimeClassName\":\"sandboxed\"",
    "\"preemptionPolicy\":\"Never\",\"priority\":1000,\"priorityClassName\":\"polite\"",
    "\"plugins\":[\"TaintToleration\",",
    "\"NodeResourcesFit\",\"NodeResourcesBalancedAllocation\"",
    " no new claims to deallocate, preemption: ",
    "No preemption victims found for incoming pod",
    "Preemption is not helpful for scheduling",
    " nodes are available: ",
    "topology.kubernetes.io/zone",
    "kubernetes.io/hostname",
    "\"status\":{\"allocatable\":{\"cpu\":\"",
    "\"resources\":{\"requests\":{",
    "{\"metadata\":{\"labels\":{",
    "\"spec\":{\"containers\":[{",
    "\"matchExpressions\":[{\"key\":\"",
    "\"labelSelector\":{\"matchLabels\":{\"app\":\"",
    "\"ownerReferences\":[{\"apiVersion\":\"",
    "\"images\":[{\"names\":[\"",
    "\"sizeBytes\":",
    "\"memory\":\"",
    "\"operator\":\"",
    "\"pods\":\"110\"",
];
/// Begins an alias. It stands in no case.
const MARK: char = '~';
/// What follows the mark, by place in the list.
const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

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
    /// Texts that the following lines name by `~` and a digit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// Puts names in the place of texts.
fn shorten(mut line: String) -> anyhow::Result<String> {
    anyhow::ensure!(!line.contains(MARK), "a case holds the character {MARK:?}: {line}");
    for (text, digit) in ALIASES.iter().zip(DIGITS) {
        line = line.replace(text, &format!("{MARK}{}", char::from(*digit)));
    }
    Ok(line)
}

/// The inverse.
fn expand(line: &str, aliases: &[String]) -> anyhow::Result<String> {
    let mut parts = line.split(MARK);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digit = part.bytes().next().and_then(|b| DIGITS.iter().position(|d| *d == b));
        whole.push_str(digit.and_then(|d| aliases.get(d)).context("an alias that the header does not name")?);
        whole.push_str(&part[1..]);
    }
    Ok(whole)
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
    /// The node for which it preempted others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominated: Option<String>,
    /// Those others, as namespace/name, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<String>,
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
            .map(|(i, line)| {
                let line = expand(line, &header.aliases).with_context(|| format!("line {}", i + 2))?;
                serde_json::from_str(&line).with_context(|| format!("line {}", i + 2))
            })
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
        let aliases = ALIASES.map(str::to_owned).to_vec();
        writeln!(file, "{}", serde_json::to_string(&Header { aliases, ..self.header.clone() })?).with_context(named)?;
        for case in &self.cases {
            writeln!(file, "{}", shorten(serde_json::to_string(case)?)?).with_context(named)?;
        }
        file.flush().with_context(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read() {
        let pod = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}, "spec": {"containers": [{}]}});
        let decision = Decision {
            pod,
            node: None,
            message: "0/1 nodes are available: x".to_owned(),
            nominated: None,
            victims: Vec::new(),
            plugins: Vec::new(),
            scores: BTreeMap::new(),
        };
        let case = Case { seed: 1, nodes: Vec::new(), pods: Vec::new(), others: Vec::new(), decisions: vec![decision] };
        let header = Header {
            layout: LAYOUT,
            stock: "v1".to_owned(),
            config: json!({}),
            world: Vec::new(),
            aliases: ALIASES.map(str::to_owned).to_vec(),
        };
        let corpus = Corpus { header, cases: vec![case] };
        let dir = std::env::temp_dir().join(format!("headroom-differential-{}", std::process::id()));
        corpus.write(&dir).unwrap();
        let text = std::fs::read_to_string(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(Corpus::parse(&text).unwrap(), corpus);
        assert!(!text.lines().nth(1).unwrap().contains("topology"), "{text}");
        assert!(shorten("~".to_owned()).is_err());
        assert!(expand("~z", &[]).is_err() && expand("~", &[]).is_err());
    }
}
