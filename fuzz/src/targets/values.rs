//! Small values: quantities, times, labels, selectors, taints.

use std::collections::BTreeMap;

use headroom_core::{
    Str,
    quantity::{human_bytes, milli_value, value},
    selector::{LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement},
    taint::{Effect, Taint, Toleration, TolerationOperator, first_untolerated},
};
use headroom_runtime::{process::GoDuration, wire::time::parse_rfc3339};

use super::words;

/// A text means the same in whole units and in thousandths; the sign decides the sign.
pub(crate) fn quantities(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (whole, milli) = (value(&text), milli_value(&text));
    assert_eq!(whole.is_ok(), milli.is_ok(), "{text:?}");
    let (Ok(whole), Ok(milli)) = (whole, milli) else { return };
    assert_eq!(whole.signum(), milli.signum(), "{text:?}");
    // Rounded away from zero, and cut.
    assert!(whole.unsigned_abs() <= milli.unsigned_abs(), "{text:?}: {whole} and {milli}");
    if milli.unsigned_abs() < i64::MAX as u64 {
        assert_eq!(whole.unsigned_abs(), milli.unsigned_abs().div_ceil(1000), "{text:?}: {whole} and {milli}");
    }
    // With a sign it may be longer than a quantity can be.
    if text.len() < 64 && !text.starts_with(['-', '+']) {
        assert_eq!(value(&format!("-{text}")), Ok(-whole), "{text:?}");
        assert_eq!(value(&format!("+{text}")), Ok(whole), "{text:?}");
    }
    assert!(value(&whole.to_string()) == Ok(whole) || whole == i64::MIN);
    assert!(human_bytes(whole).len() < 24 && human_bytes(milli).len() < 24);
}

/// What is printed is read as the same.
pub(crate) fn times(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(at) = parse_rfc3339(&text) {
        let printed = at.to_string();
        // Four digits of a year are all that the form has.
        if printed.len() == 20 || printed.len() == 27 {
            assert_eq!(parse_rfc3339(&printed), Some(at), "{text:?} as {printed:?}");
        }
        let _ = (at.truncated(), at.since(headroom_core::Timestamp(0)));
    }
    let _ = headroom_controllers::node_headroom::summary::parse_time(&text);
    if let Ok(duration) = text.parse::<GoDuration>() {
        // Printing goes down to microseconds, and floats carry long ones less exactly.
        let printed = duration.to_string();
        let again: GoDuration = printed.parse().unwrap();
        let most = 1000 + duration.0.as_nanos() / 1_000_000_000_000;
        assert!(again.0.abs_diff(duration.0).as_nanos() <= most, "{text:?} as {printed:?}");
    }
}

fn pairs(data: &[u8]) -> Vec<(Str, Str)> {
    let words: Vec<String> = words(data).take(512).collect();
    words.chunks(2).map(|p| (p[0].as_str().into(), p.get(1).map_or("", String::as_str).into())).collect()
}

/// Labels are a map: the last of equal keys wins, in order, and selecting by equality is what a selector of all does.
pub(crate) fn labels(data: &[u8]) {
    let middle = data.iter().position(|b| *b == 1).unwrap_or(data.len());
    let (mine, theirs) = (pairs(&data[..middle]), pairs(data.get(middle + 1..).unwrap_or_default()));
    let map: BTreeMap<Str, Str> = mine.iter().cloned().collect();
    let labels = Labels::new(mine);
    assert!(labels.iter().eq(map.iter()), "{labels:?}");
    let others = Labels::new(theirs);
    let subset = labels.iter().all(|(k, v)| others.get(k) == Some(v));
    assert_eq!(labels.selects(&others), subset, "{labels:?} {others:?}");
    assert_eq!(LabelSelector::of_labels(&labels).matches(&others), subset, "{labels:?} {others:?}");
    assert!(labels.selects(&labels));
    let with = labels.with("k", "v");
    assert_eq!(
        (with.get("k").map(Str::as_str), with.len()),
        (Some("v"), labels.len() + usize::from(!map.contains_key("k")))
    );
}

const OPERATORS: [Operator; 7] = [
    Operator::In,
    Operator::NotIn,
    Operator::Exists,
    Operator::DoesNotExist,
    Operator::Gt,
    Operator::Lt,
    Operator::Unknown,
];

/// `NotIn` is the opposite of `In`, `DoesNotExist` of `Exists`; a term is an "and", a selector an "or".
pub(crate) fn selectors(data: &[u8]) {
    let middle = data.iter().position(|b| *b == 1).unwrap_or(data.len());
    let labels = Labels::new(pairs(&data[..middle]));
    let mut all: Vec<Requirement> = Vec::new();
    for line in data.get(middle + 1..).unwrap_or_default().split(|b| *b == b'\n').take(64) {
        let Some((operator, rest)) = line.split_first() else { continue };
        let mut words = words(rest);
        let key = words.next().unwrap_or_default();
        let values = words.take(64).map(Str::from).collect();
        all.push(Requirement { key: key.into(), operator: OPERATORS[usize::from(*operator) % 7], values });
    }
    for r in &all {
        let matches =
            |operator| Requirement { operator, ..r.clone() }.matches_value(labels.get(&r.key).map(Str::as_str));
        assert_ne!(matches(Operator::In), matches(Operator::NotIn), "{r:?} {labels:?}");
        assert_ne!(matches(Operator::Exists), matches(Operator::DoesNotExist), "{r:?} {labels:?}");
        assert!(!matches(Operator::Unknown), "{r:?} {labels:?}");
        assert!(!matches(Operator::Gt) || !matches(Operator::Lt), "{r:?} {labels:?}");
    }
    let each = |r: &Requirement| r.matches_value(labels.get(&r.key).map(Str::as_str));
    let selector = LabelSelector { requirements: all.clone().into() };
    assert_eq!(selector.matches(&labels), all.iter().all(each));
    let _ = selector.is_valid();
    let terms: Vec<NodeSelectorTerm> = all
        .chunks(2)
        .map(|pair| NodeSelectorTerm {
            match_expressions: pair[..1].into(),
            match_fields: pair.get(1).cloned().into_iter().collect(),
        })
        .collect();
    let any = terms.iter().any(|t| t.matches("node", &labels));
    assert_eq!(NodeSelector { terms: terms.into() }.matches("node", &labels), any);
}

/// What is not tolerated is the first taint of these effects that no toleration covers.
pub(crate) fn taints(data: &[u8]) {
    const EFFECTS: [Effect; 3] = [Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute];
    let (mut taints, mut tolerations) = (Vec::new(), Vec::new());
    for line in data.split(|b| *b == b'\n').take(64) {
        let Some((kind, rest)) = line.split_first() else { continue };
        let mut words = words(rest).map(Str::from);
        let (key, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let effect = EFFECTS.get(usize::from(*kind >> 1) % 4).copied();
        if kind.is_multiple_of(2) {
            taints.push(Taint { key, value, effect: effect.unwrap_or(Effect::NoExecute), time_added: None });
        } else {
            let operator = [
                TolerationOperator::Equal,
                TolerationOperator::Exists,
                TolerationOperator::Lt,
                TolerationOperator::Gt,
                TolerationOperator::Unknown,
            ][usize::from(*kind >> 3) % 5];
            tolerations.push(Toleration { key, operator, value, effect, seconds: None });
        }
    }
    let hard = &EFFECTS[..1];
    let covered = |t: &&Taint| !tolerations.iter().any(|one: &Toleration| one.tolerates(t));
    let expected = taints.iter().filter(|t| hard.contains(&t.effect)).find(covered);
    assert_eq!(first_untolerated(&taints, &tolerations, hard), expected);
    let everything = Toleration { operator: TolerationOperator::Exists, ..Toleration::default() };
    assert_eq!(first_untolerated(&taints, &[everything], &EFFECTS), None);
    for effect in EFFECTS {
        assert_eq!(Effect::parse(effect.as_str()), Some(effect));
    }
}
