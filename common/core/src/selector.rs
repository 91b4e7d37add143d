//! Label selectors and node selectors (`k8s.io/apimachinery/pkg/labels`, `component-helpers/scheduling/corev1`).

use std::sync::Arc;

use crate::str::{Shared, Str};

/// Labels (or annotations): sorted by key, shared between rows that have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Arc<[(Str, Str)]>);

impl Shared for Labels {
    fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Labels {
    /// From pairs in any order; the last of equal keys wins.
    #[must_use]
    pub fn new(mut pairs: Vec<(Str, Str)>) -> Self {
        if pairs.is_empty() {
            return Self::default();
        }
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.reverse();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        Self(pairs.into())
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Str> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| &self.0[i].1)
    }

    /// Whether `key` is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The same with this pair.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        Self::new(self.0.iter().cloned().chain([(key.into(), value.into())]).collect())
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Str, &Str)> {
        self.0.iter().map(|(k, v)| (k, v))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every pair of `self`, read as an equality selector, is in `labels` (`labels.SelectorFromSet`). An empty
    /// set matches everything; callers for whom it means "nothing" check first.
    #[must_use]
    pub fn selects(&self, labels: &Self) -> bool {
        // Both are sorted: one pass over each.
        let mut theirs = labels.0.iter();
        self.0.iter().all(|(k, v)| theirs.by_ref().find(|(tk, _)| tk >= k).is_some_and(|(tk, tv)| tk == k && tv == v))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The value is one of those listed.
    In,
    /// There is no such key, or its value is not listed.
    NotIn,
    /// There is such a key.
    Exists,
    /// There is no such key.
    DoesNotExist,
    /// The value is an integer above the one listed (node selectors only).
    Gt,
    /// The value is an integer below the one listed (node selectors only).
    Lt,
    /// A word this version does not know: the requirement matches nothing.
    Unknown,
}

impl Operator {
    /// From the API's word.
    #[must_use]
    pub fn parse(s: &str) -> Self {
        match s {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            _ => Self::Unknown,
        }
    }
}

/// One condition on one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key, or the field's path in `matchFields`.
    pub key: Str,
    /// How to compare.
    pub operator: Operator,
    /// With what.
    pub values: Box<[Str]>,
}

impl Requirement {
    /// Whether an object with this value under the key (absent = no such key) meets the requirement.
    #[must_use]
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        match (self.operator, value) {
            (Operator::In, Some(v)) => self.values.iter().any(|x| x == v),
            (Operator::NotIn, Some(v)) => !self.values.iter().any(|x| x == v),
            (Operator::NotIn | Operator::DoesNotExist, None) | (Operator::Exists, Some(_)) => true,
            (Operator::Gt | Operator::Lt, Some(v)) => {
                let [bound] = &*self.values else { return false };
                let (Ok(v), Ok(bound)) = (v.parse::<i64>(), bound.parse::<i64>()) else { return false };
                if self.operator == Operator::Gt { v > bound } else { v < bound }
            }
            _ => false,
        }
    }
}

/// `metav1.LabelSelector`, its `matchLabels` rewritten as `In` requirements. Without requirements it matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Box<[Requirement]>,
}

impl LabelSelector {
    /// Whether `labels` meet all requirements.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches_value(labels.get(&r.key).map(Str::as_str)))
    }

    /// The equality selector that asks for all of these labels.
    #[must_use]
    pub fn of_labels(labels: &Labels) -> Self {
        let requirement = |(key, value): (&Str, &Str)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: Box::new([value.clone()]),
        };
        Self { requirements: labels.iter().map(requirement).collect() }
    }

    /// Whether it asks for nothing and so matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether a label selector may be written like this (`metav1.LabelSelectorAsSelector`): the API server refuses
    /// others. Keys and values themselves are not checked.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.requirements.iter().all(|r| match r.operator {
            Operator::In | Operator::NotIn => !r.values.is_empty(),
            Operator::Exists | Operator::DoesNotExist => r.values.is_empty(),
            Operator::Gt | Operator::Lt | Operator::Unknown => false,
        })
    }
}

/// One term of a node selector: all of it must hold. A term without any requirement matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NodeSelectorTerm {
    /// On labels.
    pub match_expressions: Box<[Requirement]>,
    /// On fields; `metadata.name` is the only one there is.
    pub match_fields: Box<[Requirement]>,
}

impl NodeSelectorTerm {
    /// Whether a node of this name with these labels matches.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        self.match_expressions.iter().all(|r| r.matches_value(labels.get(&r.key).map(Str::as_str)))
            && self.match_fields.iter().all(|r| r.key == "metadata.name" && r.matches_value(Some(name)))
    }
}

/// `v1.NodeSelector`: the terms are alternatives; without terms it matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NodeSelector {
    /// The alternatives.
    pub terms: Box<[NodeSelectorTerm]>,
}

impl NodeSelector {
    /// Whether a node of this name with these labels matches any term.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|t| t.matches(name, labels))
    }
}

/// A term with a weight from 1 to 100.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PreferredSchedulingTerm {
    /// Added to the node's score when the term matches.
    pub weight: i32,
    /// The term. Without requirements it matches nothing (upstream: `nodeaffinity.NewPreferredSchedulingTerms`).
    pub preference: NodeSelectorTerm,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        Requirement { key: key.into(), operator, values: values.iter().map(|v| Str::from(*v)).collect() }
    }

    #[test]
    fn labels_are_sorted_and_the_last_wins() {
        let l: Labels = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(l.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["a=2", "b=3"]);
        assert_eq!(l.get("b").map(Str::as_str), Some("3"));
        assert!(!l.has("c"));
    }

    #[test]
    fn equality_selectors() {
        let pod: Labels = [("app", "web"), ("tier", "front"), ("z", "1")].into_iter().collect();
        for (selector, expected) in [
            (vec![], true),
            (vec![("app", "web")], true),
            (vec![("app", "web"), ("z", "1")], true),
            (vec![("app", "db")], false),
            (vec![("app", "web"), ("missing", "")], false),
            (vec![("a", "")], false),
        ] {
            let s: Labels = selector.iter().copied().collect();
            assert_eq!(s.selects(&pod), expected, "{selector:?}");
        }
    }

    #[test]
    fn requirements() {
        for (r, value, expected) in [
            (req("k", Operator::In, &["a", "b"]), Some("b"), true),
            (req("k", Operator::In, &["a"]), None, false),
            (req("k", Operator::NotIn, &["a"]), None, true),
            (req("k", Operator::NotIn, &["a"]), Some("a"), false),
            (req("k", Operator::Exists, &[]), Some(""), true),
            (req("k", Operator::DoesNotExist, &[]), None, true),
            (req("k", Operator::DoesNotExist, &[]), Some("x"), false),
            (req("k", Operator::Gt, &["5"]), Some("6"), true),
            (req("k", Operator::Gt, &["5"]), Some("5"), false),
            (req("k", Operator::Lt, &["5"]), Some("-1"), true),
            (req("k", Operator::Lt, &["5"]), Some("four"), false),
            (req("k", Operator::Lt, &["5", "6"]), Some("1"), false),
            (req("k", Operator::Unknown, &["a"]), Some("a"), false),
        ] {
            assert_eq!(r.matches_value(value), expected, "{r:?} {value:?}");
        }
    }

    #[test]
    fn an_empty_term_matches_nothing_and_terms_are_alternatives() {
        let labels: Labels = [("zone", "a")].into_iter().collect();
        assert!(!NodeSelector::default().matches("n", &labels));
        assert!(!NodeSelectorTerm::default().matches("n", &labels));
        let selector = NodeSelector {
            terms: Box::new([
                NodeSelectorTerm {
                    match_expressions: Box::new([req("zone", Operator::In, &["b"])]),
                    ..Default::default()
                },
                NodeSelectorTerm {
                    match_fields: Box::new([req("metadata.name", Operator::In, &["n"])]),
                    ..Default::default()
                },
            ]),
        };
        assert!(selector.matches("n", &labels));
        assert!(!selector.matches("m", &labels));
    }

    proptest::proptest! {
        /// The sorted walk agrees with looking every key up.
        #[test]
        fn selects_equals_lookup(a in proptest::collection::vec(("[a-e]", "[xy]"), 0..6), b in proptest::collection::vec(("[a-e]", "[xy]"), 0..6)) {
            let a: Labels = a.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let b: Labels = b.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let naive = a.iter().all(|(k, v)| b.get(k) == Some(v));
            proptest::prop_assert_eq!(a.selects(&b), naive);
        }
    }
}
