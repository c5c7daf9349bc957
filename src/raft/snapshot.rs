//! Snapshots as files: `snapshot-<term>-<index>` beside the log.
//!
//! ```text
//!   "CRSSNAP" 0 | format u16 | header length u32 | header | crc32 of all before
//!   the state, as the store writes it
//!   its length u64 | crc32 of all before
//! ```
//!
//! A snapshot is written under another name, synced, renamed and its name synced before anything behind it is purged.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use crs_store::State;

use crate::codec::{CodecError, Reader, put_bytes, put_log_id, put_option, put_stored_membership};
use crate::disk::{Disk, DiskFile, read_exact_at};
use crate::log::OpenError;
use crate::types::{LogId, SnapshotMeta, StoredMembership, term_of};

const MAGIC: &[u8; 8] = b"CRSSNAP\0";
const FORMAT: u16 = 1;
const TRAILER_BYTES: u64 = 12;
const MAX_HEADER_BYTES: u32 = 256 << 20;
const BUFFER_BYTES: usize = 256 * 1024;
const PREFIX: &str = "snapshot-";
const UNFINISHED: &str = ".part";

/// What a snapshot holds beside the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Header {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) cluster: u128,
    /// A restore whose last piece has not been seen yet: its id, pieces so far, their bytes.
    pub(crate) restoring: Option<(u64, u32, Vec<u8>)>,
}

impl Header {
    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone() }
    }
}

/// A finished snapshot, open.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len: u64,
}

/// The snapshots of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
}

struct Writing<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    crc: crc32fast::Hasher,
}

impl Write for Writing<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write_at(data, self.at)?;
        self.crc.update(data);
        self.at += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Reading<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    end: u64,
    crc: crc32fast::Hasher,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.end - self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..count], self.at)?;
        self.crc.update(&buffer[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

fn name_of(last: Option<LogId>) -> String {
    let (term, index) = last.map_or((0, 0), |id| (term_of(&id), id.index()));
    format!("{PREFIX}{index:016x}-{term:016x}")
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot {what}"))
}

impl Snapshots {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Snapshots { disk }
    }

    /// The newest one; what was left unfinished is removed, and so are older ones.
    pub(crate) fn open_newest(&self) -> Result<Option<SnapshotFile>, OpenError> {
        let mut names = self.list().map_err(OpenError::io("listing snapshots"))?;
        let unfinished: Vec<String> = names.extract_if(.., |name| name.ends_with(UNFINISHED)).collect();
        names.sort();
        let newest = names.pop();
        for name in unfinished.iter().chain(&names) {
            self.disk
                .remove(name)
                .map_err(OpenError::io(format!("removing {}", self.disk.describe(name))))?;
        }
        let Some(name) = newest else { return Ok(None) };
        let open = || -> io::Result<SnapshotFile> {
            let file = self.disk.open(&name)?;
            Ok(SnapshotFile { len: file.len()?, file, name: name.clone() })
        };
        open().map(Some).map_err(OpenError::io(format!("opening {}", self.disk.describe(&name))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.retain(|name| name.starts_with(PREFIX) || name.ends_with(UNFINISHED));
        Ok(names)
    }

    /// Writes a snapshot and makes it the only one.
    pub(crate) fn write(&self, header: &Header, state: &State) -> io::Result<SnapshotFile> {
        let part = format!("{}{UNFINISHED}", name_of(header.last));
        let file = self.disk.create(&part)?;
        let written = self.write_to(&*file, header, state);
        match written {
            Ok(len) => self.adopt(SnapshotFile { name: part, file, len }, header),
            Err(error) => {
                drop(self.disk.remove(&part));
                Err(error)
            }
        }
    }

    fn write_to(&self, file: &dyn DiskFile, header: &Header, state: &State) -> io::Result<u64> {
        let mut fields = Vec::new();
        put_option(&mut fields, header.last.as_ref(), put_log_id);
        put_stored_membership(&mut fields, &header.membership);
        fields.extend(header.cluster.to_le_bytes());
        put_option(&mut fields, header.restoring.as_ref(), |out, (id, parts, bytes)| {
            out.extend(id.to_le_bytes());
            out.extend(parts.to_le_bytes());
            put_bytes(out, bytes);
        });
        let mut head = MAGIC.to_vec();
        head.extend(FORMAT.to_le_bytes());
        put_bytes(&mut head, &fields);
        head.extend(crc32fast::hash(&head).to_le_bytes());

        let mut out =
            BufWriter::with_capacity(BUFFER_BYTES, Writing { file, at: 0, crc: crc32fast::Hasher::new() });
        out.write_all(&head)?;
        state.write_snapshot(&mut out)?;
        let mut out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let body = out.at - head.len() as u64;
        out.write_all(&body.to_le_bytes())?;
        let crc = out.crc.clone().finalize();
        out.write_all(&crc.to_le_bytes())?;
        file.sync_data()?;
        Ok(out.at)
    }

    /// Gives a synced file its final name, durably, and removes the snapshots before it.
    pub(crate) fn adopt(&self, snapshot: SnapshotFile, header: &Header) -> io::Result<SnapshotFile> {
        let name = name_of(header.last);
        if snapshot.name != name {
            self.disk.rename(&snapshot.name, &name)?;
        }
        self.disk.sync_dir()?;
        for other in self.list()? {
            if other < name && !other.ends_with(UNFINISHED) {
                self.disk.remove(&other)?;
            }
        }
        Ok(SnapshotFile { name, ..snapshot })
    }

    /// An empty file for a snapshot that comes from the leader.
    pub(crate) fn receive(&self, number: u64) -> io::Result<(String, Arc<dyn DiskFile>)> {
        let name = format!("{PREFIX}incoming-{number:016x}{UNFINISHED}");
        let file = self.disk.create(&name)?;
        Ok((name, file))
    }

    pub(crate) fn discard(&self, name: &str) {
        if let Err(error) = self.disk.remove(name) {
            tracing::debug!(name, %error, "An unfinished snapshot could not be removed");
        }
    }

    pub(crate) fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
}

impl SnapshotFile {
    /// The part before the state.
    pub(crate) fn header(&self) -> io::Result<Header> {
        self.header_and_length().map(|(header, _)| header)
    }

    fn header_and_length(&self) -> io::Result<(Header, u64)> {
        let mut start = [0; 14];
        read_exact_at(&*self.file, &mut start, 0)?;
        let mut reader = Reader(&start);
        let broken = |_| damaged("has no readable beginning");
        if reader.take(8).map_err(broken)? != MAGIC {
            return Err(damaged("does not begin as one"));
        }
        let format = reader.u16().map_err(broken)?;
        if format != FORMAT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, CodecError::Version(format)));
        }
        let length = reader.u32().map_err(broken)?;
        if length > MAX_HEADER_BYTES || u64::from(length) + 18 + TRAILER_BYTES > self.len {
            return Err(damaged("is too short"));
        }
        let mut head = vec![0; 18 + length as usize];
        read_exact_at(&*self.file, &mut head, 0)?;
        let (checked, crc) = head.split_at(14 + length as usize);
        if crc32fast::hash(checked).to_le_bytes() != crc {
            return Err(damaged("has a damaged beginning"));
        }
        let mut reader = Reader(&checked[14..]);
        let mut read = || -> Result<Header, CodecError> {
            let header = Header {
                last: reader.option(Reader::log_id)?,
                membership: reader.stored_membership()?,
                cluster: reader.u128()?,
                restoring: reader.option(|r| Ok((r.u64()?, r.u32()?, r.bytes()?.to_vec())))?,
            };
            reader.end()?;
            Ok(header)
        };
        let header = read().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((header, head.len() as u64))
    }

    /// All of it, if it is whole.
    pub(crate) fn read(&self) -> io::Result<(Header, State)> {
        let (header, start) = self.header_and_length()?;
        let end = self.len - TRAILER_BYTES;
        let mut trailer = [0; TRAILER_BYTES as usize];
        read_exact_at(&*self.file, &mut trailer, end)?;
        let (body, crc) = trailer.split_at(8);
        if body != (end - start).to_le_bytes() {
            return Err(damaged("is cut short"));
        }
        let mut head = vec![0; start as usize];
        read_exact_at(&*self.file, &mut head, 0)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        let reading = Reading { file: &*self.file, at: start, end, crc: hasher };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reading);
        let state = State::read_snapshot(&mut reader);
        // The checksum has the first word: what it does not cover is not worth an error of its own.
        io::copy(&mut reader, &mut io::sink())?;
        let mut hasher = reader.into_inner().crc;
        hasher.update(body);
        if hasher.finalize().to_le_bytes() != crc {
            return Err(damaged("is damaged: its checksum is wrong"));
        }
        Ok((header, state?))
    }

    /// A piece of the file, for sending; `None` at its end.
    pub(crate) fn chunk(&self, offset: u64, limit: usize) -> io::Result<Option<Bytes>> {
        let count = self.len.saturating_sub(offset).min(limit as u64) as usize;
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; count];
        read_exact_at(&*self.file, &mut bytes, offset)?;
        Ok(Some(bytes.into()))
    }
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod test;
