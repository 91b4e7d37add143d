//! The way back, for tests: JSON into messages, by the same tables.

use serde_json::{Map, Value, json};

use super::{
    MAGIC,
    schema::{Message, Shape},
    tables,
};
use crate::wire::time::parse_rfc3339;

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

pub(super) fn int(out: &mut Vec<u8>, number: u64, n: i64) {
    varint(out, number << 3);
    varint(out, n.cast_unsigned());
}

pub(super) fn bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, key.as_bytes());
    bytes(&mut out, 2, value);
    out
}

fn quantity(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, value.as_str().unwrap().as_bytes());
    out
}

fn time(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(text) = value.as_str() {
        let at = parse_rfc3339(text).unwrap();
        int(&mut out, 1, at.0.div_euclid(1_000_000));
        int(&mut out, 2, at.0.rem_euclid(1_000_000) * 1000);
    }
    out
}

pub(super) fn message(table: &Message, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let object = value.as_object().unwrap();
    // A field that nobody reads, before and behind the others.
    bytes(&mut out, 200, b"noise");
    for field in table.0 {
        if let Shape::Inline(inner) = field.shape {
            bytes(&mut out, field.number, &message(inner, value));
            continue;
        }
        let Some(value) = object.get(field.name) else { continue };
        match field.shape {
            Shape::Text => bytes(&mut out, field.number, value.as_str().unwrap().as_bytes()),
            Shape::Int => int(&mut out, field.number, value.as_i64().unwrap()),
            Shape::Bool => int(&mut out, field.number, i64::from(value.as_bool().unwrap())),
            Shape::Time | Shape::MicroTime => bytes(&mut out, field.number, &time(value)),
            Shape::Quantity => bytes(&mut out, field.number, &quantity(value)),
            Shape::Object(inner) => bytes(&mut out, field.number, &message(inner, value)),
            Shape::Texts => {
                for text in value.as_array().unwrap() {
                    bytes(&mut out, field.number, text.as_str().unwrap().as_bytes());
                }
            }
            Shape::Objects(inner) => {
                for object in value.as_array().unwrap() {
                    bytes(&mut out, field.number, &message(inner, object));
                }
            }
            Shape::TextMap => {
                for (key, value) in value.as_object().unwrap() {
                    bytes(&mut out, field.number, &entry(key, value.as_str().unwrap().as_bytes()));
                }
            }
            Shape::QuantityMap => {
                for (key, value) in value.as_object().unwrap() {
                    bytes(&mut out, field.number, &entry(key, &quantity(value)));
                }
            }
            Shape::Inline(_) => {}
        }
    }
    int(&mut out, 201, -1);
    out
}

/// An encoded object of the table, as an API server sends it.
pub(super) fn object(api_version: &str, kind: &str, table: &Message, value: &Value) -> Vec<u8> {
    let mut types = Vec::new();
    bytes(&mut types, 1, api_version.as_bytes());
    bytes(&mut types, 2, kind.as_bytes());
    let mut out = MAGIC.to_vec();
    bytes(&mut out, 1, &types);
    bytes(&mut out, 2, &message(table, value));
    bytes(&mut out, 3, b"");
    bytes(&mut out, 4, b"");
    out
}

/// A frame of a watch.
pub(super) fn frame(event: &str, object: &[u8]) -> Vec<u8> {
    let (mut extension, mut out) = (Vec::new(), Vec::new());
    bytes(&mut extension, 1, object);
    bytes(&mut out, 1, event.as_bytes());
    bytes(&mut out, 2, &extension);
    let mut framed = u32::try_from(out.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(out);
    framed
}

/// A value that has everything that the table has.
pub(super) fn everything(table: &Message) -> Value {
    fn fill(table: &Message, object: &mut Map<String, Value>) {
        for field in table.0 {
            let value = match field.shape {
                Shape::Text => json!(format!("the \"{}\"\n", field.name)),
                Shape::Int => json!(i64::try_from(field.number).unwrap() - 3),
                Shape::Bool => json!(true),
                Shape::Time => json!("2026-11-22T10:00:00Z"),
                Shape::MicroTime => json!("2026-11-22T10:00:00.123456Z"),
                Shape::Quantity => json!("100Mi"),
                Shape::Object(inner) => everything(inner),
                Shape::Inline(inner) => {
                    fill(inner, object);
                    continue;
                }
                Shape::Texts => json!(["ä", ""]),
                Shape::Objects(inner) => json!([everything(inner), {}]),
                Shape::TextMap => json!({"a": "b", "c\\": ""}),
                Shape::QuantityMap => json!({"cpu": "100m", "memory": "1Gi"}),
            };
            object.insert(field.name.to_owned(), value);
        }
    }
    let mut object = Map::new();
    fill(table, &mut object);
    object.into()
}

pub(super) fn table(kind: &str) -> &'static Message {
    tables::KINDS.iter().find(|k| k.kind == kind).unwrap().table
}
