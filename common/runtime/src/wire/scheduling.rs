//! Selectors.

use headroom_core::selector::{LabelSelector, NodeSelector, NodeSelectorTerm, Operator, Requirement};
use serde::Deserialize;

use super::{
    de::{List, Obj, Pairs, Text},
    interners::Interners,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireRequirement {
    key: Text,
    operator: Text,
    values: List<Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireLabelSelector {
    match_labels: Pairs,
    match_expressions: List<Obj<WireRequirement>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireNodeSelector {
    node_selector_terms: List<Obj<WireNodeSelectorTerm>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireNodeSelectorTerm {
    match_expressions: List<Obj<WireRequirement>>,
    match_fields: List<Obj<WireRequirement>>,
}

fn requirements(list: List<Obj<WireRequirement>>, interners: &mut Interners) -> Vec<Requirement> {
    list.0
        .into_iter()
        .map(|Obj(r)| Requirement {
            key: interners.str(&r.key),
            operator: Operator::parse(&r.operator),
            values: r.values.0.iter().map(|v| interners.str(v)).collect(),
        })
        .collect()
}

impl WireLabelSelector {
    pub(super) fn into_row(self, interners: &mut Interners) -> LabelSelector {
        let mut all: Vec<Requirement> = self
            .match_labels
            .0
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| Requirement {
                key: interners.str(&key),
                operator: Operator::In,
                values: Box::new([interners.str(&value)]),
            })
            .collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all.extend(requirements(self.match_expressions, interners));
        LabelSelector { requirements: all.into() }
    }
}

impl WireNodeSelector {
    pub(super) fn into_row(self, interners: &mut Interners) -> NodeSelector {
        NodeSelector { terms: self.node_selector_terms.0.into_iter().map(|Obj(t)| t.into_row(interners)).collect() }
    }
}

impl WireNodeSelectorTerm {
    pub(super) fn into_row(self, interners: &mut Interners) -> NodeSelectorTerm {
        NodeSelectorTerm {
            match_expressions: requirements(self.match_expressions, interners).into(),
            match_fields: requirements(self.match_fields, interners).into(),
        }
    }
}
