//! The disk format of commands and snapshots: numbered fields, each a varint or bytes.
//!
//! A record is a sequence of fields `key, payload` with `key = number << 1 | kind`; kind 0 is a varint, kind 1 is a
//! length and as many bytes. Fields with their default value are left out. A number that the reader does not know is
//! an error: what cannot be understood must not be half applied (replicas would differ in silence).

use bytes::Bytes;

/// Why bytes are no record of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("record ends early in {0}")]
    Truncated(&'static str),
    /// A varint of more than ten bytes, or a length beyond the record.
    #[error("impossible number in {0}")]
    Number(&'static str),
    /// Not UTF-8 where text is due.
    #[error("text of {0} is not UTF-8")]
    Text(&'static str),
    /// Written by a newer version.
    #[error("unknown field {field} in {record}: written by a newer version of crs")]
    UnknownField {
        /// The record's name.
        record: &'static str,
        /// The field's number.
        field: u64,
    },
    /// Written by a newer version.
    #[error("unknown kind {kind} of {record}: written by a newer version of crs")]
    UnknownKind {
        /// What it should have been.
        record: &'static str,
        /// The number found.
        kind: u8,
    },
    /// Not the beginning of such a file.
    #[error("not a crs snapshot of version 1 to {newest}")]
    Version {
        /// The newest version this binary reads.
        newest: u8,
    },
    /// The records do not add up.
    #[error("snapshot ends early: {found} of {expected} records")]
    Count {
        /// Records read.
        found: u64,
        /// Records announced.
        expected: u64,
    },
}

/// Writes fields at the end of a buffer.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    pub(crate) fn uint(&mut self, field: u64, n: u64) {
        if n != 0 {
            self.varint(field << 1);
            self.varint(n);
        }
    }

    pub(crate) fn int(&mut self, field: u64, n: i64) {
        self.uint(field, ((n << 1) ^ (n >> 63)) as u64);
    }

    pub(crate) fn flag(&mut self, field: u64, set: bool) {
        self.uint(field, u64::from(set));
    }

    pub(crate) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes_even_if_empty(field, bytes);
        }
    }

    pub(crate) fn bytes_even_if_empty(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 1 | 1);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// A record inside a record; written even if it is empty, so that its presence is kept.
    pub(crate) fn record(&mut self, field: u64, write: impl FnOnce(&mut Writer<'_>)) {
        let mut inner = Vec::new();
        write(&mut Writer(&mut inner));
        self.bytes_even_if_empty(field, &inner);
    }
}

/// A field's payload.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Uint(u64),
    Bytes(&'a [u8]),
}

/// Reads fields in order.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], record: &'static str) -> Self {
        Reader { rest: bytes, record }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0u64;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && byte > 1 {
                break;
            }
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(if self.rest.len() < 10 {
            DecodeError::Truncated(self.record)
        } else {
            DecodeError::Number(self.record)
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = if key & 1 == 0 {
            Field::Uint(self.varint()?)
        } else {
            let len = self.varint()?;
            if len > self.rest.len() as u64 {
                return Err(DecodeError::Truncated(self.record));
            }
            let (bytes, rest) = self.rest.split_at(len as usize);
            self.rest = rest;
            Field::Bytes(bytes)
        };
        Ok(Some((key >> 1, field)))
    }

    pub(crate) fn unknown<T>(&self, field: u64) -> Result<T, DecodeError> {
        Err(DecodeError::UnknownField { record: self.record, field })
    }

    pub(crate) fn uint(&self, field: Field<'a>) -> Result<u64, DecodeError> {
        match field {
            Field::Uint(n) => Ok(n),
            Field::Bytes(_) => Err(DecodeError::Number(self.record)),
        }
    }

    pub(crate) fn int(&self, field: Field<'a>) -> Result<i64, DecodeError> {
        let n = self.uint(field)?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub(crate) fn flag(&self, field: Field<'a>) -> Result<bool, DecodeError> {
        Ok(self.uint(field)? != 0)
    }

    pub(crate) fn slice(&self, field: Field<'a>) -> Result<&'a [u8], DecodeError> {
        match field {
            Field::Bytes(bytes) => Ok(bytes),
            Field::Uint(_) => Err(DecodeError::Number(self.record)),
        }
    }

    /// A copy of its own, so that a kept value does not hold on to the batch it came in.
    pub(crate) fn bytes(&self, field: Field<'a>) -> Result<Bytes, DecodeError> {
        self.slice(field).map(Bytes::copy_from_slice)
    }

    pub(crate) fn text(&self, field: Field<'a>) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.slice(field)?).map_err(|_| DecodeError::Text(self.record))
    }

    pub(crate) fn string(&self, field: Field<'a>) -> Result<String, DecodeError> {
        self.text(field).map(str::to_owned)
    }
}
