//! Recorded stories as JSON lines: the first names the version of stock and the loops.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Scene, State, Step};

/// Version of the corpus' layout.
const LAYOUT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Header {
    layout: u32,
    stock: String,
    loops: Vec<String>,
}

/// A story that was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What the generator was given.
    pub seed: u64,
    /// Each step, and what stood there afterwards as far as it was different from before.
    pub steps: Vec<(Step, State)>,
}

impl Told {
    /// The first step that was left out on one side only, or after which not the same stands there, and what is different.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let both = self.steps.iter().zip(&other.steps).find_map(|((step, here), (as_well, there))| {
            if step != as_well {
                return Some(format!("{step:?} here, {as_well:?} there"));
            }
            let what = here.difference(there)?;
            Some(format!("after {step:?}: {what}"))
        });
        let (here, there) = (self.steps.len(), other.steps.len());
        both.or_else(|| (here != there).then(|| format!("{here} steps here, {there} there")))
    }
}

/// A whole corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryCorpus {
    /// The version of kube-controller-manager that told the stories.
    pub stock: String,
    /// Its loops that ran.
    pub loops: Vec<String>,
    /// The stories.
    pub stories: Vec<Told>,
}

impl StoryCorpus {
    /// Reads a corpus.
    ///
    /// # Errors
    /// The file and the line that is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Where its stories take place.
    ///
    /// # Errors
    /// It is about other loops than those that stories are told with today.
    pub fn scene(&self) -> anyhow::Result<Scene> {
        let scene = Scene::ALL.into_iter().find(|scene| self.loops == scene.loops());
        scene.with_context(|| format!("the corpus is about other loops, record it anew: {}", self.loops.join(", ")))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).context("line 1")?;
        anyhow::ensure!(header.layout == LAYOUT, "layout {} is not known: expected {LAYOUT}", header.layout);
        let stories = lines
            .enumerate()
            .map(|(i, line)| serde_json::from_str(line).with_context(|| format!("line {}", i + 2)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { stock: header.stock, loops: header.loops, stories })
    }

    fn text(&self) -> anyhow::Result<String> {
        let header = Header { layout: LAYOUT, stock: self.stock.clone(), loops: self.loops.clone() };
        let mut text = serde_json::to_string(&header)?;
        for story in &self.stories {
            text.push('\n');
            text.push_str(&serde_json::to_string(story)?);
        }
        text.push('\n');
        Ok(text)
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let named = || path.display().to_string();
        let mut file = std::fs::File::create(path).with_context(named)?;
        file.write_all(self.text()?.as_bytes()).with_context(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_step_that_was_left_out_is_a_difference() {
        let step = |name: &str| (Step::Delete("Service".to_owned(), name.to_owned()), State::default());
        let told = |steps: &[(Step, State)]| Told { seed: 1, steps: steps.to_vec() };
        let both = told(&[step("a"), step("b")]);
        assert_eq!(both.difference(&both), None);
        assert_eq!(told(&[step("a")]).difference(&both).as_deref(), Some("1 steps here, 2 there"));
        assert!(told(&[step("b")]).difference(&both).is_some_and(|how| how.starts_with("Delete(\"Service\", \"b\")")));
    }

    #[test]
    fn what_is_written_is_read() {
        let state: State = serde_json::from_value(json!({"pods": [{"id": "a"}]})).unwrap();
        let story = Told { seed: 3, steps: vec![(Step::Delete("Service".to_owned(), "a".to_owned()), state)] };
        let corpus = StoryCorpus { stock: "v1".to_owned(), loops: vec!["x".to_owned()], stories: vec![story] };
        assert_eq!(StoryCorpus::parse(&corpus.text().unwrap()).unwrap(), corpus);
        assert!(StoryCorpus::parse("{\"layout\":9,\"stock\":\"\",\"loops\":[]}").is_err());
    }
}
