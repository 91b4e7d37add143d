//! Kubernetes' protobuf encoding, read as JSON of what is needed.
//!
//! An API server spends more on JSON than on anything else that a scheduler or a controller asks of it: each change of a
//! pod is encoded for its watchers, `managedFields` and all, and what Go's own components watch is encoded in protobuf
//! anyhow (record 0008 has figures, 0013 the decision). So the kinds that change often are asked for in protobuf. Their
//! messages are walked along tables of the fields that the wire types know, everything else is passed over by its
//! length, and what remains is handed on as JSON: a third of the text, for the same watcher, decoders and tests.
//!
//! Layout of the encoding (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`): the four bytes `k8s\0`, then a
//! `runtime.Unknown` with apiVersion, kind and the object's own message. Watches are frames of a length in four bytes and
//! a `metav1.WatchEvent`, whose object begins with the four bytes again.

mod json;
mod reader;
mod schema;
mod stream;
mod tables;
mod trust;

use std::borrow::Cow;

use thiserror::Error;

use self::{
    reader::{Reader, Value, bytes_of, has},
    schema::Message,
};
pub(crate) use self::{
    stream::{Answer, Encoding},
    trust::Trust,
};

/// What both lists and watches are asked for with; a server that cannot do that for a kind answers in JSON.
pub(crate) const ACCEPT: &str = "application/vnd.kubernetes.protobuf,application/json";
/// The content type without its parameters.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// First bytes of an encoded object.
const MAGIC: &[u8; 4] = b"k8s\0";

/// Something that is not what it is said to be: what was found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the API server's protobuf cannot be read: {0}")]
pub(crate) struct Malformed(&'static str);

/// Whether collections of this path, `/api/v1/pods` or `/apis/GROUP/VERSION/namespaces/NS/PLURAL`, can be read.
pub(crate) fn reads(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    let api_version = match (parts.next(), parts.next(), parts.clone().next()) {
        (Some("api"), Some(version), _) => version.to_owned(),
        (Some("apis"), Some(group), Some(version)) => {
            parts.next();
            format!("{group}/{version}")
        }
        _ => return false,
    };
    let plural = match (parts.next(), parts.next(), parts.next()) {
        (Some("namespaces"), Some(_), Some(plural)) => plural,
        (Some(plural), None, None) => plural,
        _ => return false,
    };
    parts.next().is_none() && tables::KINDS.iter().any(|k| k.api_version == api_version && k.plural == plural)
}

/// An object, a list or a `Status`, as JSON.
///
/// # Errors
/// [`Malformed`] when it is no encoded object, or one of a kind that has no table.
pub(crate) fn to_json(encoded: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(encoded.len());
    write(&mut out, encoded)?;
    Ok(out)
}

/// The metadata of any object, or all of a `Status`, as JSON; what is no protobuf stays as it is.
///
/// # Errors
/// [`Malformed`] when it begins like an encoded object and is none.
pub(crate) fn answer(body: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if !body.starts_with(MAGIC) {
        return Ok(Cow::Borrowed(body));
    }
    let object = Encoded::read(body)?;
    let table = if object.kind == "Status" { &tables::STATUS } else { &tables::IDENTITY };
    let mut out = Vec::new();
    json::object(&mut out, table, object.message)?;
    Ok(Cow::Owned(out))
}

/// A `runtime.Unknown`.
struct Encoded<'a> {
    api_version: &'a str,
    kind: &'a str,
    message: &'a [u8],
}

impl<'a> Encoded<'a> {
    fn read(encoded: &'a [u8]) -> Result<Self, Malformed> {
        let envelope = encoded.strip_prefix(MAGIC).ok_or(Malformed("its beginning"))?;
        let (mut types, mut message): (&[u8], &[u8]) = (&[], &[]);
        let mut reader = Reader::new(envelope);
        while let Some((number, value)) = reader.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => types = bytes,
                (2, Value::Bytes(bytes)) => message = bytes,
                (3, Value::Bytes(bytes)) if !bytes.is_empty() => return Err(Malformed("a content encoding")),
                _ => {}
            }
        }
        let word = |number| str::from_utf8(bytes_of(types, number)?).map_err(|_| Malformed("a kind"));
        Ok(Self { api_version: word(1)?, kind: word(2)?, message })
    }

    fn table(&self) -> Result<&'static Message, Malformed> {
        if self.kind == "Status" && self.api_version == "v1" {
            return Ok(&tables::STATUS);
        }
        for kind in tables::KINDS {
            if kind.api_version == self.api_version {
                if kind.kind == self.kind {
                    return Ok(kind.table);
                }
                if self.kind.strip_suffix("List") == Some(kind.kind) {
                    return Ok(kind.list);
                }
            }
        }
        Err(Malformed("a kind that was not asked for"))
    }
}

fn write(out: &mut Vec<u8>, encoded: &[u8]) -> Result<(), Malformed> {
    let object = Encoded::read(encoded)?;
    let table = object.table()?;
    out.push(b'{');
    let mut some = false;
    for (name, word) in [("kind", object.kind), ("apiVersion", object.api_version)] {
        json::key(out, name, &mut some);
        json::text(out, word.as_bytes())?;
    }
    json::fields(out, table, object.message, &mut some)?;
    // An empty list is no field at all in protobuf. Go's JSON has it, and kube takes nothing for a list that has not.
    if object.kind.ends_with("List") && !has(object.message, tables::ITEMS)? {
        json::key(out, "items", &mut some);
        out.extend_from_slice(b"[]");
    }
    out.push(b'}');
    Ok(())
}

/// A `metav1.WatchEvent` as a line of JSON.
fn write_event(out: &mut Vec<u8>, event: &[u8]) -> Result<(), Malformed> {
    out.extend_from_slice(b"{\"type\":");
    json::text(out, bytes_of(event, 1)?)?;
    out.extend_from_slice(b",\"object\":");
    // A RawExtension.
    write(out, bytes_of(bytes_of(event, 2)?, 1)?)?;
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// For counting instructions: an object as the JSON that is handed on; absent when it cannot be read.
#[doc(hidden)]
#[must_use]
pub fn read_as_json(encoded: &[u8]) -> Option<Vec<u8>> {
    to_json(encoded).ok()
}

/// For fuzzing: reads any bytes as an object, as an answer and as an event. Answers what could be read, as JSON.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut event = Vec::new();
    let event = write_event(&mut event, bytes).map(|()| event);
    let mut read: Vec<Vec<u8>> = [to_json(bytes), event].into_iter().flatten().collect();
    if bytes.starts_with(MAGIC) {
        read.extend(answer(bytes).map(Cow::into_owned));
    }
    read
}

#[cfg(test)]
mod encode;
#[cfg(test)]
mod tests;
