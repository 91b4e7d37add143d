//! `NodeAffinityArgs`: `addedAffinity` in the API's own form.

use headroom_core::selector::{NodeSelector, NodeSelectorTerm, Operator, PreferredSchedulingTerm, Requirement};
use serde::Deserialize;
use serde_json::Value;

use crate::{config::decode_args, framework::ArgsError};

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Args {
    added_affinity: Option<Affinity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Affinity {
    required_during_scheduling_ignored_during_execution: Option<Selector>,
    #[serde(default)]
    preferred_during_scheduling_ignored_during_execution: Vec<Preferred>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    node_selector_terms: Vec<Term>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Term {
    #[serde(default)]
    match_expressions: Vec<Expression>,
    #[serde(default)]
    match_fields: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preferred {
    weight: i32,
    preference: Term,
}

fn requirement(path: &str, e: &Expression, on_labels: bool) -> Result<Requirement, ArgsError> {
    let requirement = Requirement {
        key: e.key.as_str().into(),
        operator: Operator::parse(&e.operator),
        values: e.values.iter().map(|v| v.as_str().into()).collect(),
    };
    let bad = |field: &str, message: String| Err(ArgsError::at(format!("{path}.{field}"), message));
    // Names of nodes are longer than values of labels.
    match super::requirement::check(&requirement) {
        Err((field, message)) if field == "operator" => {
            bad(&field, format!("{:?} is not allowed: {message}", e.operator))
        }
        Err((field, message)) if on_labels || field == "values" => bad(&field, message),
        _ => Ok(requirement),
    }
}

fn term(path: &str, t: &Term) -> Result<NodeSelectorTerm, ArgsError> {
    let all = |field: &str, list: &[Expression], on_labels: bool| {
        list.iter()
            .enumerate()
            .map(|(i, e)| requirement(&format!("{path}.{field}[{i}]"), e, on_labels))
            .collect::<Result<Box<[_]>, _>>()
    };
    for (i, e) in t.match_fields.iter().enumerate() {
        if e.key != "metadata.name" {
            return Err(ArgsError::at(format!("{path}.matchFields[{i}].key"), "must be metadata.name"));
        }
    }
    Ok(NodeSelectorTerm {
        match_expressions: all("matchExpressions", &t.match_expressions, true)?,
        match_fields: all("matchFields", &t.match_fields, false)?,
    })
}

pub(super) fn decode(args: Option<&Value>) -> Result<(Option<NodeSelector>, Vec<PreferredSchedulingTerm>), ArgsError> {
    let args: Args = decode_args(args, "NodeAffinityArgs")?;
    let Some(affinity) = args.added_affinity else { return Ok((None, Vec::new())) };
    let base = "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .map(|s| {
            let terms = s.node_selector_terms.iter().enumerate().map(|(i, t)| term(&format!("{base}[{i}]"), t));
            terms.collect::<Result<Box<[_]>, _>>().map(|terms| NodeSelector { terms })
        })
        .transpose()?;
    let base = "addedAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().enumerate().map(|(i, p)| {
        if !(1..=100).contains(&p.weight) {
            let message = format!("{} is not allowed: must be between 1 and 100", p.weight);
            return Err(ArgsError::at(format!("{base}[{i}].weight"), message));
        }
        let preference = term(&format!("{base}[{i}].preference"), &p.preference)?;
        Ok(PreferredSchedulingTerm { weight: p.weight, preference })
    });
    Ok((required, preferred.collect::<Result<_, _>>()?))
}
