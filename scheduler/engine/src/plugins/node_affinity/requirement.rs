//! What a requirement on labels of nodes may say (`labels.NewRequirement`).

use headroom_core::selector::{Operator, Requirement};

use crate::plugins::label_syntax::{is_label_key, is_label_value};

/// The first field that is wrong, and what is wrong with it.
pub(super) fn check(r: &Requirement) -> Result<(), (String, String)> {
    let bad = |field: &str, message: String| Err((field.to_owned(), message));
    if r.operator == Operator::Unknown {
        return bad("operator", "must be In, NotIn, Exists, DoesNotExist, Gt or Lt".to_owned());
    }
    if !is_label_key(&r.key) {
        return bad("key", "must be the key of a label".to_owned());
    }
    match (r.operator, r.values.len()) {
        (Operator::In | Operator::NotIn, 0) => return bad("values", "must not be empty for In and NotIn".to_owned()),
        (Operator::Exists | Operator::DoesNotExist, 1..) => {
            return bad("values", "must be empty for Exists and DoesNotExist".to_owned());
        }
        (Operator::Gt | Operator::Lt, n) if n != 1 || r.values[0].parse::<i64>().is_err() => {
            return bad("values", "must be one integer for Gt and Lt".to_owned());
        }
        _ => {}
    }
    // The value itself is not told: it may be of any length.
    match r.values.iter().position(|v| !is_label_value(v)) {
        Some(i) => bad(&format!("values[{i}]"), "must be the value of a label".to_owned()),
        None => Ok(()),
    }
}
