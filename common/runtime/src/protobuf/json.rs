//! A message as JSON, field by field as its table says.

use std::io::Write;

use headroom_core::Timestamp;

use super::{
    Malformed,
    reader::{Reader, Value, bytes_of, int_of},
    schema::{Field, Message, Shape},
};

/// Times beyond this cannot be written in four digits of a year; Go refuses them as well.
const LAST_SECOND: i64 = 253_402_300_799;
/// The first second of the year 0.
const FIRST_SECOND: i64 = -62_167_219_200;

/// Writes the message as an object.
pub(super) fn object(out: &mut Vec<u8>, table: &'static Message, message: &[u8]) -> Result<(), Malformed> {
    out.push(b'{');
    fields(out, table, message, &mut false)?;
    out.push(b'}');
    Ok(())
}

/// Writes the fields without their braces. `some` says whether something stands before them, and is set.
pub(super) fn fields(
    out: &mut Vec<u8>,
    table: &'static Message,
    message: &[u8],
    some: &mut bool,
) -> Result<(), Malformed> {
    let mut seen = 0_u64;
    let mut open: Option<&'static Field> = None;
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.next()? {
        let Some(index) = table.0.iter().position(|f| f.number == number) else { continue };
        let Some(field) = table.0.get(index) else { continue };
        if open.is_some_and(|o| o.number == number) {
            out.push(b',');
        } else {
            close(out, open.take());
            // What writes these messages writes each field in one piece. Whatever does not is not guessed over.
            if seen >> index & 1 == 1 {
                return Err(Malformed("a field in two places"));
            }
            seen |= 1 << index;
            if let (Shape::Inline(table), Value::Bytes(message)) = (field.shape, value) {
                fields(out, table, message, some)?;
                continue;
            }
            key(out, field.name, some);
            if let Some((opening, _)) = field.shape.brackets() {
                out.push(opening);
                open = Some(field);
            }
        }
        element(out, field.shape, value)?;
    }
    close(out, open);
    Ok(())
}

/// Writes a key, with a comma before it where one is due.
pub(super) fn key(out: &mut Vec<u8>, name: &str, some: &mut bool) {
    if std::mem::replace(some, true) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn close(out: &mut Vec<u8>, open: Option<&Field>) {
    out.extend(open.and_then(|f| f.shape.brackets()).map(|(_, closing)| closing));
}

fn element(out: &mut Vec<u8>, shape: Shape, value: Value<'_>) -> Result<(), Malformed> {
    match (shape, value) {
        (Shape::Int, Value::Varint(n)) => number(out, n.cast_signed()),
        (Shape::Bool, Value::Varint(n)) => out.extend_from_slice(if n == 0 { b"false" } else { b"true" }),
        (Shape::Text | Shape::Texts, Value::Bytes(bytes)) => text(out, bytes)?,
        (Shape::Time, Value::Bytes(bytes)) => time(out, bytes, false)?,
        (Shape::MicroTime, Value::Bytes(bytes)) => time(out, bytes, true)?,
        (Shape::Quantity, Value::Bytes(bytes)) => quantity(out, bytes)?,
        (Shape::Object(table) | Shape::Objects(table), Value::Bytes(bytes)) => object(out, table, bytes)?,
        (Shape::TextMap, Value::Bytes(entry)) => {
            text(out, bytes_of(entry, 1)?)?;
            out.push(b':');
            text(out, bytes_of(entry, 2)?)?;
        }
        (Shape::QuantityMap, Value::Bytes(entry)) => {
            text(out, bytes_of(entry, 1)?)?;
            out.push(b':');
            quantity(out, bytes_of(entry, 2)?)?;
        }
        _ => return Err(Malformed("a wire type that is not its field's")),
    }
    Ok(())
}

/// A JSON string. What is not UTF-8 is replaced as in Go's JSON: kubelets hand on what containers have said.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Malformed> {
    let text = String::from_utf8_lossy(bytes);
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    serde_json::to_writer(out, &*text).map_err(|_| Malformed("a text"))
}

fn number(out: &mut Vec<u8>, n: i64) {
    // Writing to memory does not fail.
    let _ = write!(out, "{n}");
}

fn quantity(out: &mut Vec<u8>, message: &[u8]) -> Result<(), Malformed> {
    match bytes_of(message, 1)? {
        // Nothing that Kubernetes writes; its JSON has no such quantity either.
        [] => out.extend_from_slice(b"null"),
        amount => text(out, amount)?,
    }
    Ok(())
}

/// The zero time is an empty message, and null in JSON.
fn time(out: &mut Vec<u8>, message: &[u8], micros: bool) -> Result<(), Malformed> {
    let seconds = int_of(message, 1)?;
    if message.is_empty() || !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let micros = if micros { int_of(message, 2)?.clamp(0, 999_999_999) / 1000 } else { 0 };
    let _ = write!(out, "\"{}\"", Timestamp(seconds * 1_000_000 + micros));
    Ok(())
}
