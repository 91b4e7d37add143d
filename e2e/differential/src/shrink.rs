//! Makes a case smaller as long as stock and the engine still differ on it. Stock has to decide anew on every try, so a
//! live one is needed.

use serde_json::Value;

use crate::case::Case;
use crate::generate::Cluster;
use crate::record::{Outcome, Stock};
use crate::replay::{Replayer, Verdict};
use crate::trim::restore;

/// Most rounds over all parts of a case.
const MAX_ROUNDS: usize = 6;
/// Lists of objects in a cluster.
const LISTS: usize = 4;
/// How deep fields are tried one by one.
const MAX_DEPTH: usize = 9;

/// A small case, the decision that differs, and how.
#[derive(Debug)]
pub struct Shrunk {
    /// The case.
    pub case: Case,
    /// Which of its decisions.
    pub decision: usize,
    /// What is different.
    pub difference: String,
}

/// The objects of a recorded case as they can be created again.
#[must_use]
pub fn cluster_of(case: &Case) -> Cluster {
    let again = |object: &Value, kind: &str| {
        let mut object = restore(object, kind);
        // The API server has merged these into the selectors, and refuses to do it twice.
        forget(&mut object, "matchLabelKeys");
        forget(&mut object, "mismatchLabelKeys");
        object
    };
    Cluster {
        seed: case.seed,
        others: case.others.clone(),
        nodes: case.nodes.iter().map(|o| again(o, "Node")).collect(),
        pods: case.pods.iter().map(|o| again(o, "Pod")).collect(),
        pending: case.decisions.iter().map(|d| again(&d.pod, "Pod")).collect(),
    }
}

fn forget(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|v| forget(v, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| forget(v, field)),
        _ => {}
    }
}

/// Shrinks a cluster. `None` when stock and the engine agree on it.
///
/// # Errors
/// Stock failed.
pub async fn shrink(stock: &mut Stock, replayer: &Replayer, start: Cluster) -> anyhow::Result<Option<Shrunk>> {
    let Some(mut best) = differs(stock, replayer, &start).await? else { return Ok(None) };
    let mut current = start;
    for _ in 0..MAX_ROUNDS {
        let mut progress = false;
        // Pods that came before, as pods that were there.
        let placed = placed_before(&current, &best);
        progress |= adopt(stock, replayer, placed, &mut current, &mut best).await?;
        for list in 0..LISTS {
            let mut index = 0;
            while index < lists(&current)[list].len() {
                let mut candidate = current.clone();
                lists_mut(&mut candidate)[list].remove(index);
                if adopt(stock, replayer, candidate, &mut current, &mut best).await? {
                    progress = true;
                } else {
                    index += 1;
                }
            }
        }
        for list in 0..LISTS {
            let mut index = 0;
            while index < lists(&current)[list].len() {
                progress |= smaller(stock, replayer, list, index, &mut current, &mut best).await?;
                index += 1;
            }
        }
        if !progress {
            break;
        }
    }
    Ok(Some(best))
}

/// Removes field by field from one object.
async fn smaller(
    stock: &mut Stock,
    replayer: &Replayer,
    list: usize,
    index: usize,
    current: &mut Cluster,
    best: &mut Shrunk,
) -> anyhow::Result<bool> {
    let mut progress = false;
    let mut paths = Vec::new();
    collect(&lists(current)[list][index], &mut Vec::new(), &mut paths);
    for path in paths {
        let mut candidate = current.clone();
        let Some(object) = lists_mut(&mut candidate)[list].get_mut(index) else { return Ok(progress) };
        if remove(object, &path) {
            progress |= adopt(stock, replayer, candidate, current, best).await?;
        }
    }
    Ok(progress)
}

async fn adopt(
    stock: &mut Stock,
    replayer: &Replayer,
    candidate: Cluster,
    current: &mut Cluster,
    best: &mut Shrunk,
) -> anyhow::Result<bool> {
    if candidate == *current {
        return Ok(false);
    }
    let Some(found) = differs(stock, replayer, &candidate).await? else { return Ok(false) };
    (*current, *best) = (candidate, found);
    Ok(true)
}

async fn differs(stock: &mut Stock, replayer: &Replayer, cluster: &Cluster) -> anyhow::Result<Option<Shrunk>> {
    let Outcome::Decided(case) = stock.decide(cluster).await? else { return Ok(None) };
    for decision in 0..case.decisions.len() {
        if let Verdict::Different(difference) = replayer.check(&case, decision)? {
            return Ok(Some(Shrunk { case, decision, difference }));
        }
    }
    Ok(None)
}

fn lists(cluster: &Cluster) -> [&Vec<Value>; LISTS] {
    [&cluster.pending, &cluster.pods, &cluster.nodes, &cluster.others]
}

fn lists_mut(cluster: &mut Cluster) -> [&mut Vec<Value>; LISTS] {
    [&mut cluster.pending, &mut cluster.pods, &mut cluster.nodes, &mut cluster.others]
}

fn placed_before(cluster: &Cluster, found: &Shrunk) -> Cluster {
    let mut changed = cluster.clone();
    changed.pending = changed.pending.get(found.decision).cloned().into_iter().collect();
    for (pod, decision) in cluster.pending.iter().zip(&found.case.decisions).take(found.decision) {
        if let Some(node) = &decision.node {
            let mut pod = pod.clone();
            pod["spec"]["nodeName"] = node.as_str().into();
            changed.pods.push(pod);
        }
    }
    changed
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

/// Paths of all parts that may be left out, outer before inner; items from the end, so that places stay valid.
fn collect(value: &Value, path: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
    if path.len() >= MAX_DEPTH {
        return;
    }
    let steps: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (Step::Field(key.clone()), value)).collect(),
        Value::Array(items) => items.iter().enumerate().rev().map(|(i, value)| (Step::Item(i), value)).collect(),
        _ => return,
    };
    for (step, inner) in steps {
        let identity = matches!(&step, Step::Field(f) if ["apiVersion", "kind", "name", "namespace", "nodeName"].contains(&f.as_str()));
        path.push(step);
        if !identity {
            all.push(path.clone());
        }
        collect(inner, path, all);
        path.pop();
    }
}

fn remove(value: &mut Value, path: &[Step]) -> bool {
    match (path, value) {
        ([Step::Field(field)], Value::Object(fields)) => fields.remove(field).is_some(),
        ([Step::Item(index)], Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        ([Step::Field(field), rest @ ..], Value::Object(fields)) => {
            fields.get_mut(field).is_some_and(|inner| remove(inner, rest))
        }
        ([Step::Item(index), rest @ ..], Value::Array(items)) => {
            items.get_mut(*index).is_some_and(|inner| remove(inner, rest))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_parts_but_the_name_can_go() {
        let mut object = json!({"kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"x": [1, 2]}});
        let mut paths = Vec::new();
        collect(&object, &mut Vec::new(), &mut paths);
        assert_eq!(paths.len(), 7, "metadata, labels, a, spec, x, two items: {paths:?}");
        for path in &paths {
            remove(&mut object, path);
        }
        assert_eq!(object, json!({"kind": "Pod"}), "metadata itself is tried as well; the API server refuses that");
        assert!(!remove(&mut object, &paths[0]));
    }
}
