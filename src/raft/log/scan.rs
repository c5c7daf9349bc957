//! Reading a segment from its front, without holding it in memory.

use std::io;

use crate::codec::CodecError;
use crate::disk::DiskFile;
use crate::log::record::{HEADER_BYTES, Header, Position, Record, padded};

/// How much is read at once; a longer record is read whole.
const WINDOW_BYTES: usize = 256 * 1024;

/// What stands at a place of a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record, and where it stands.
    Record { record: Record, at: u64 },
    /// Zeros, or the end of the file.
    End,
    /// Bytes that are no record.
    Bad,
}

/// What stands behind the place where reading ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The highest place that a mark in there says was durable.
    pub(crate) durable: Option<Position>,
    /// The end of the last byte that is not zero.
    pub(crate) used_to: Option<u64>,
}

/// Reads one segment.
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    sequence: u64,
    len: u64,
    /// Where the next record stands.
    pub(crate) at: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, sequence: u64) -> io::Result<Self> {
        Ok(Scanner { file, sequence, len: file.len()?, at: 0, window: Vec::new(), window_start: 0 })
    }

    /// The bytes from `start`, `count` of them or as many as the file has.
    fn bytes(&mut self, start: u64, count: usize) -> io::Result<&[u8]> {
        let count = count.min(self.len.saturating_sub(start) as usize);
        let have = self.window_start..self.window_start + self.window.len() as u64;
        if start < have.start || start + count as u64 > have.end {
            let size = count.max(WINDOW_BYTES).min(self.len.saturating_sub(start) as usize);
            self.window.resize(size, 0);
            let read = self.file.read_at(&mut self.window, start)?;
            self.window.truncate(read);
            self.window_start = start;
        }
        let from = (start - self.window_start) as usize;
        let to = (from + count).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// The next record. The inner error is one of format: a good checksum over something this version cannot read.
    pub(crate) fn next(&mut self) -> io::Result<Result<Step, CodecError>> {
        let at = self.at;
        let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.bytes(at, HEADER_BYTES)?) else {
            return Ok(Ok(Step::End));
        };
        let Some(header) = Header::read(&header) else { return Ok(Ok(Step::End)) };
        if !header.is_plausible() || at + (HEADER_BYTES + header.length) as u64 > self.len {
            return Ok(Ok(Step::Bad));
        }
        let position = Position { sequence: self.sequence, offset: at };
        let payload = self.bytes(at + HEADER_BYTES as u64, header.length)?;
        if payload.len() != header.length || !header.check(position, payload) {
            return Ok(Ok(Step::Bad));
        }
        let record = match header.decode(payload, None) {
            Ok(record) => record,
            Err(error) => return Ok(Err(error)),
        };
        self.at = at + padded(HEADER_BYTES + header.length) as u64;
        Ok(Ok(Step::Record { record, at }))
    }

    /// Looks at everything from where reading ended: records stand at multiples of 8, so a mark is found wherever it is.
    pub(crate) fn tail(&mut self) -> io::Result<Tail> {
        let mut tail = Tail::default();
        let mut at = self.at;
        while at < self.len {
            let word = self.bytes(at, 8)?;
            if let Some(last) = word.iter().rposition(|byte| *byte != 0) {
                tail.used_to = Some(at + last as u64 + 1);
                if let Some(durable) = self.mark_at(at)? {
                    tail.durable = tail.durable.max(Some(durable));
                }
            }
            at += 8;
        }
        Ok(tail)
    }

    fn mark_at(&mut self, at: u64) -> io::Result<Option<Position>> {
        let position = Position { sequence: self.sequence, offset: at };
        let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.bytes(at, HEADER_BYTES)?) else {
            return Ok(None);
        };
        let Some(header) = Header::read(&header).filter(Header::may_be_mark) else { return Ok(None) };
        let payload = self.bytes(at + HEADER_BYTES as u64, header.length)?;
        if payload.len() != header.length || !header.check(position, payload) {
            return Ok(None);
        }
        match header.decode(payload, None) {
            Ok(Record::Mark(mark)) => Ok(Some(mark.durable)),
            _ => Ok(None),
        }
    }
}
