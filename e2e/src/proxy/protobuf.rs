//! Kubernetes' protobuf encoding, as far as the proxy has to see and to make it. All that it needs is here, apart from what
//! the processes read with: it would share their mistakes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

/// What a watch in this encoding is called.
pub(super) const STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// What an object is called.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// First bytes of every object.
const MAGIC: &[u8] = b"k8s\0";
/// Bytes before each event of a watch, which say how long it is.
const PREFIX: usize = 4;

/// Whether a header names the encoding.
pub(super) fn is_named(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.to_str().is_ok_and(|text| text.contains(MEDIA_TYPE)))
}

/// Whether a body begins as an object does.
pub(super) fn is_object(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Number and bytes of those fields of a message that have bytes; the others are passed over. Ends where it is no message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tag = self.varint()?;
            match tag & 7 {
                0 => {
                    self.varint()?;
                }
                1 => {
                    self.take(8)?;
                }
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    return Some((tag >> 3, self.take(length)?));
                }
                5 => {
                    self.take(4)?;
                }
                _ => return None,
            }
        }
    }
}

/// The bytes of a field; none when it is not there.
fn field(message: &[u8], number: u64) -> &[u8] {
    let mut found: &[u8] = &[];
    for (_, bytes) in Fields(message).filter(|(of, _)| *of == number) {
        found = bytes;
    }
    found
}

/// A number that stands as text, as versions do.
fn number(text: &[u8]) -> u64 {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The type of an object (apiVersion and kind), and its own message.
fn open(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let unknown = encoded.strip_prefix(MAGIC)?;
    Some((field(unknown, 1), field(unknown, 2)))
}

/// Where the first event of these bytes ends, if it has arrived.
pub(super) fn first(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<PREFIX>()?);
    let end = usize::try_from(length).ok()?.checked_add(PREFIX)?;
    (end <= bytes.len()).then_some(end)
}

/// An event of a watch: whether it is a bookmark, and its version.
pub(super) fn event(framed: &[u8]) -> Option<(bool, u64)> {
    let event = framed.get(PREFIX..)?;
    let what = field(event, 1);
    let (_, message) = open(field(field(event, 2), 1))?;
    (what != b"ERROR").then(|| (what == b"BOOKMARK", number(field(field(message, 1), 6))))
}

/// The version of a list, if this is its last page.
pub(super) fn list(body: &[u8]) -> Option<u64> {
    let (_, message) = open(body)?;
    let meta = field(message, 1);
    field(meta, 3).is_empty().then(|| number(field(meta, 2)))
}

fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        let [low, ..] = number.to_le_bytes();
        out.push(low | 0x80);
        number >>= 7;
    }
    let [low, ..] = number.to_le_bytes();
    out.push(low);
}

/// A field below the sixteenth.
fn put(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A message of these fields.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put(&mut out, *number, bytes));
    out
}

/// An object.
fn object(api_version: &[u8], kind: &[u8], content: &[u8]) -> Vec<u8> {
    let of = message(&[(1, api_version), (2, kind)]);
    [MAGIC, &message(&[(1, &of), (2, content)])].concat()
}

/// An event of a watch.
pub(super) fn framed(what: &str, object: &[u8]) -> Bytes {
    let event = message(&[(1, what.as_bytes()), (2, &message(&[(1, object)]))]);
    // What is longer than four bytes can say does not exist.
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &event].concat().into()
}

/// A list as the beginning of a watch.
pub(super) fn beginning(list: &[u8], version: u64) -> Option<Vec<Bytes>> {
    let (of, content) = open(list)?;
    let (api_version, kind) = (field(of, 1), field(of, 2).strip_suffix(b"List")?);
    let items = Fields(content).filter(|(number, _)| *number == 2);
    let added = items.map(|(_, item)| framed("ADDED", &object(api_version, kind, item)));
    let end = message(&[(1, b"k8s.io/initial-events-end"), (2, b"true")]);
    let meta = message(&[(6, version.to_string().as_bytes()), (12, &end)]);
    let bookmark = framed("BOOKMARK", &object(api_version, kind, &message(&[(1, &meta)])));
    Some(added.chain([bookmark]).collect())
}

/// A `Status` that says no.
pub(super) fn failure(code: u16, reason: &str, said: &str) -> Vec<u8> {
    let mut status = message(&[(2, b"Failure"), (3, said.as_bytes()), (4, reason.as_bytes())]);
    // Field 6, a number.
    status.push(6 << 3);
    put_number(&mut status, code.into());
    object(b"v1", b"Status", &status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its name, and in between what is passed over: numbers and fields of four and of eight bytes.
    fn pod(name: &str, version: &str) -> Vec<u8> {
        let mut meta = message(&[(1, name.as_bytes())]);
        meta.extend([7 << 3, 0x96, 1, 8 << 3 | 5, 1, 2, 3, 4, 9 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
        put(&mut meta, 6, version.as_bytes());
        message(&[(1, &meta), (2, &[0; 300])])
    }

    fn list_of(more: &str) -> Vec<u8> {
        let meta = message(&[(2, b"8"), (3, more.as_bytes())]);
        object(b"v1", b"PodList", &message(&[(1, &meta), (2, &pod("a", "5")), (2, &pod("b", "6"))]))
    }

    #[test]
    fn events_are_found_and_read() {
        let one = framed("MODIFIED", &object(b"v1", b"Pod", &pod("a", "7")));
        assert_eq!(event(&one), Some((false, 7)));
        let two = [&one[..], &framed("BOOKMARK", &object(b"v1", b"Pod", &pod("", "9")))].concat();
        assert_eq!(first(&two), Some(one.len()));
        assert_eq!(event(&two[one.len()..]), Some((true, 9)));
        for cut in [0, 3, one.len() - 1] {
            assert_eq!(first(&one[..cut]), None, "{cut}");
        }
        assert_eq!(event(&framed("ERROR", &failure(410, "Expired", "too old"))), None);
        assert_eq!(event(b"half a frame"), None);
    }

    #[test]
    fn a_list_becomes_the_beginning_of_a_watch() {
        let list_of = list_of("");
        let events = beginning(&list_of, 4).unwrap();
        assert_eq!(
            events.iter().map(|framed| event(framed)).collect::<Vec<_>>(),
            [Some((false, 5)), Some((false, 6)), Some((true, 4))]
        );
        let (of, content) = open(field(field(&events[0][PREFIX..], 2), 1)).unwrap();
        assert_eq!((field(of, 1), field(of, 2)), (&b"v1"[..], &b"Pod"[..]));
        assert_eq!(content, pod("a", "5"), "as it was");
        assert_eq!(beginning(b"{}", 4), None);
    }

    #[test]
    fn only_the_last_page_of_a_list_has_its_version() {
        assert_eq!(list(&list_of("")), Some(8));
        assert_eq!(list(&list_of("more")), None);
        assert_eq!(list(b"{}"), None);
    }

    /// `Status` of Kubernetes' own description of its messages: status 2, message 3, reason 4, code 6.
    #[test]
    fn a_refusal_is_written_as_servers_do() {
        let expected =
            b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x16\x12\x07Failure\x1a\x02no\x22\x04Gone\x30\x9a\x03";
        assert_eq!(failure(410, "Gone", "no"), expected);
    }
}
