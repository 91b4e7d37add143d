//! The wire format: fields with a number and a value, one after the other.

use super::Malformed;

/// The value of a field, as far as its wire type says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Whole numbers and booleans.
    Varint(u64),
    /// Texts, messages, entries of maps.
    Bytes(&'a [u8]),
    /// Four or eight bytes: nothing that is read here has such a field.
    Fixed,
}

/// Reads the fields of a message. Everything it returns lies in the bytes that it was given: nothing is copied, and a
/// length is never believed further than they go.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed("a length"))?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed("a wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("a length"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed("an end within a number"))?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number of more than ten bytes"))
    }
}

/// Whether there is a field of that number.
pub(super) fn has(message: &[u8], number: u64) -> Result<bool, Malformed> {
    let mut reader = Reader::new(message);
    while let Some((n, _)) = reader.next()? {
        if n == number {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The field of that number, if it is one of bytes; the last one counts.
pub(super) fn bytes_of(message: &[u8], number: u64) -> Result<&[u8], Malformed> {
    let mut found: &[u8] = &[];
    let mut reader = Reader::new(message);
    while let Some((n, value)) = reader.next()? {
        if let (true, Value::Bytes(bytes)) = (n == number, value) {
            found = bytes;
        }
    }
    Ok(found)
}

/// The field of that number, if it is a whole number; the last one counts, and absence is 0.
pub(super) fn int_of(message: &[u8], number: u64) -> Result<i64, Malformed> {
    let mut found = 0;
    let mut reader = Reader::new(message);
    while let Some((n, value)) = reader.next()? {
        if let (true, Value::Varint(v)) = (n == number, value) {
            found = v.cast_signed();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        let mut reader = Reader::new(bytes);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn fields_of_every_wire_type() {
        // The example of the format's documentation: field 1 is 150; then a text, and what is passed over.
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expected = [(1, Value::Varint(150)), (2, Value::Bytes(b"hi")), (3, Value::Fixed), (4, Value::Fixed)];
        assert_eq!(all(&bytes).unwrap(), expected);
        assert_eq!((int_of(&bytes, 1).unwrap(), bytes_of(&bytes, 2).unwrap()), (150, &b"hi"[..]));
        assert_eq!((int_of(&bytes, 9).unwrap(), bytes_of(&bytes, 9).unwrap()), (0, &b""[..]));
        assert_eq!([1, 4, 9].map(|number| has(&bytes, number)), [Ok(true), Ok(true), Ok(false)]);
        let minus_one = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(int_of(&minus_one, 1).unwrap(), -1);
    }

    #[test]
    fn whatever_is_cut_or_odd_is_an_error() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0x12, 3, b'h', b'i'],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x0b],
            &[0x1d, 1, 2],
        ] {
            assert!(all(bytes).is_err(), "{bytes:?}");
        }
    }
}
