//! The records of a segment.
//!
//! A segment is a file `log-<sequence>`, preallocated with zeros, that holds records one after the other, each at an
//! offset divisible by 8:
//!
//! ```text
//!   length u32 | crc32 u32 | kind u8 | 0 0 0 | payload … | zeros up to the next multiple of 8
//! ```
//!
//! `length` is the payload's. The checksum covers the segment's sequence number, the record's offset, the length, the
//! kind and the payload, so that a record counts only where it was written: bytes of a recycled file never do. A length
//! of 0 is the end (no kind has an empty payload).
//!
//! The first record of a segment is its [`Head`]; every flush group begins with a [`Mark`].

use bytes::Bytes;

use crate::codec::{CodecError, Reader, put_entry, put_log_id, put_option, put_stored_membership, put_vote};
use crate::types::{Entry, LogId, StoredMembership, Vote};

/// The version of everything in a segment.
pub(crate) const FORMAT: u16 = 1;

pub(crate) const HEADER_BYTES: usize = 12;
/// No record is longer; what is proposed is held far below it.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 20;

const HEAD: u8 = 1;
const MARK: u8 = 2;
const ENTRY: u8 = 3;
const VOTE: u8 = 4;
const TRUNCATE: u8 = 5;
const PURGE: u8 = 6;
const CLUSTER: u8 = 7;

/// A place in the log: a segment and an offset in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
}

/// How a segment begins: everything that earlier segments said, so that they can go.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Head {
    /// Everything before this place was durable when the segment was begun.
    pub(crate) durable: Position,
    pub(crate) facts: Facts,
}

/// What the log knows beside entries.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Facts {
    /// 0 while unknown.
    pub(crate) cluster: u128,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// Up to which entries were purged, inclusive.
    pub(crate) purged: Option<LogId>,
    /// The last entry, or the purge point.
    pub(crate) last: Option<LogId>,
    /// The last membership in the log, or the one the purged entries left: for tools that work offline.
    pub(crate) membership: StoredMembership,
}

/// How a flush group begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    /// Everything before this place was durable when the group was written.
    pub(crate) durable: Position,
    /// What was known to be committed then; may be ahead of the entries on this disk.
    pub(crate) committed: Option<LogId>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Record {
    Head(Box<Head>),
    Mark(Mark),
    Entry(Entry),
    Vote(Vote),
    /// The entries after this one are gone; with `None` all are.
    Truncate(Option<LogId>),
    /// The entries up to this one are covered by a snapshot.
    Purge(LogId),
    /// Which cluster this is a log of.
    Cluster(u128),
}

/// Appends a record that will stand at `at` of its segment.
pub(crate) fn put_record(out: &mut Vec<u8>, at: Position, record: &Record) {
    match record {
        Record::Head(head) => put(out, at, HEAD, |out| {
            out.extend(FORMAT.to_le_bytes());
            put_position(out, head.durable);
            let facts = &head.facts;
            out.extend(facts.cluster.to_le_bytes());
            put_option(out, facts.vote.as_ref(), put_vote);
            put_option(out, facts.committed.as_ref(), put_log_id);
            put_option(out, facts.purged.as_ref(), put_log_id);
            put_option(out, facts.last.as_ref(), put_log_id);
            put_stored_membership(out, &facts.membership);
        }),
        Record::Mark(mark) => put(out, at, MARK, |out| {
            put_position(out, mark.durable);
            put_option(out, mark.committed.as_ref(), put_log_id);
        }),
        Record::Entry(entry) => put_entry_record(out, at, entry),
        Record::Vote(vote) => put(out, at, VOTE, |out| put_vote(out, vote)),
        Record::Truncate(after) => put(out, at, TRUNCATE, |out| put_option(out, after.as_ref(), put_log_id)),
        Record::Purge(upto) => put(out, at, PURGE, |out| put_log_id(out, upto)),
        Record::Cluster(id) => put(out, at, CLUSTER, |out| out.extend(id.to_le_bytes())),
    }
}

/// The same for an entry that somebody else owns.
pub(crate) fn put_entry_record(out: &mut Vec<u8>, at: Position, entry: &Entry) {
    put(out, at, ENTRY, |out| put_entry(out, entry));
}

fn put(out: &mut Vec<u8>, at: Position, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; HEADER_BYTES]);
    out[start + 8] = kind;
    payload(out);
    let length = (out.len() - start - HEADER_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(at, kind, &out[start + HEADER_BYTES..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + padded(out.len() - start), 0);
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    out.extend(position.sequence.to_le_bytes());
    out.extend(position.offset.to_le_bytes());
}

pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn checksum(at: Position, kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut prefix = [0; 21];
    prefix[..8].copy_from_slice(&at.sequence.to_le_bytes());
    prefix[8..16].copy_from_slice(&at.offset.to_le_bytes());
    prefix[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    prefix[20] = kind;
    hasher.update(&prefix);
    hasher.update(payload);
    hasher.finalize()
}

/// The first bytes of a record, before its payload is trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) length: usize,
    crc: u32,
    kind: u8,
}

impl Header {
    /// `None` at the end of the log; whether it is one is for [`Header::check`] to say.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let crc = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Some(Header { length, crc, kind: bytes[8] })
    }

    pub(crate) fn is_plausible(&self) -> bool {
        (1..=MAX_PAYLOAD_BYTES).contains(&self.length) && (HEAD..=CLUSTER).contains(&self.kind)
    }

    /// Whether a mark could look so. Its payload is short.
    pub(crate) fn may_be_mark(&self) -> bool {
        self.kind == MARK && self.length <= 64
    }

    pub(crate) fn check(&self, at: Position, payload: &[u8]) -> bool {
        checksum(at, self.kind, payload) == self.crc
    }

    /// Reads a payload whose checksum was right. `shared` is the buffer that `payload` is part of, if a batch may keep it.
    ///
    /// # Errors
    /// A checksum that is right over a record that is not means another version wrote it.
    pub(crate) fn decode(&self, payload: &[u8], shared: Option<&Bytes>) -> Result<Record, CodecError> {
        let mut reader = Reader(payload);
        let record = match self.kind {
            HEAD => {
                let format = reader.u16()?;
                if format != FORMAT {
                    return Err(CodecError::Version(format));
                }
                let durable = read_position(&mut reader)?;
                let facts = Facts {
                    cluster: reader.u128()?,
                    vote: reader.option(Reader::vote)?,
                    committed: reader.option(Reader::log_id)?,
                    purged: reader.option(Reader::log_id)?,
                    last: reader.option(Reader::log_id)?,
                    membership: reader.stored_membership()?,
                };
                Record::Head(Box::new(Head { durable, facts }))
            }
            MARK => Record::Mark(Mark {
                durable: read_position(&mut reader)?,
                committed: reader.option(Reader::log_id)?,
            }),
            ENTRY => Record::Entry(reader.entry(shared)?),
            VOTE => Record::Vote(reader.vote()?),
            TRUNCATE => Record::Truncate(reader.option(Reader::log_id)?),
            PURGE => Record::Purge(reader.log_id()?),
            CLUSTER => Record::Cluster(reader.u128()?),
            kind => return Err(CodecError::Tag(kind)),
        };
        reader.end()?;
        Ok(record)
    }
}

fn read_position(reader: &mut Reader<'_>) -> Result<Position, CodecError> {
    Ok(Position { sequence: reader.u64()?, offset: reader.u64()? })
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::types::log_id;

    fn decode(bytes: &[u8], at: Position) -> Option<Record> {
        let header = Header::read(bytes[..HEADER_BYTES].try_into().unwrap())?;
        let payload = &bytes[HEADER_BYTES..HEADER_BYTES + header.length];
        header.check(at, payload).then(|| header.decode(payload, None).unwrap())
    }

    #[test]
    fn records_count_only_where_they_were_written() {
        let at = Position { sequence: 3, offset: 64 };
        let records = [
            Record::Head(Box::new(Head {
                durable: Position { sequence: 2, offset: 800 },
                facts: Facts {
                    cluster: 9,
                    vote: Some(Vote::new(4, 7.into())),
                    committed: Some(log_id(4, 11)),
                    ..Facts::default()
                },
            })),
            Record::Mark(Mark { durable: at, committed: None }),
            Record::Vote(Vote::new_committed(4, 7.into())),
            Record::Truncate(None),
            Record::Truncate(Some(log_id(4, 11))),
            Record::Purge(log_id(4, 10)),
            Record::Cluster(8),
        ];
        for record in records {
            let mut out = Vec::new();
            put_record(&mut out, at, &record);
            assert_eq!(out.len() % 8, 0);
            assert_eq!(decode(&out, at), Some(record));
            assert_eq!(decode(&out, Position { sequence: 3, offset: 72 }), None);
            assert_eq!(decode(&out, Position { sequence: 4, offset: 64 }), None);
        }
    }

    #[test]
    fn the_bytes_of_a_record_are_these() {
        let mut out = Vec::new();
        put_record(&mut out, Position { sequence: 1, offset: 8 }, &Record::Truncate(Some(log_id(2, 5))));
        let crc = checksum(
            Position { sequence: 1, offset: 8 },
            TRUNCATE,
            &[1, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        );
        let mut expected = vec![17, 0, 0, 0];
        expected.extend(crc.to_le_bytes());
        expected.extend([TRUNCATE, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.truncate(padded(HEADER_BYTES + 17));
        assert_eq!(out, expected);
        assert_eq!(crc, 1_069_864_818, "pinned: a change of it is a change of the format");
    }
}
