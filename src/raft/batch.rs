//! What an entry of the log says, and what comes of it.
//!
//! `version u8 | kind u8 | …`: commands are one after the other, each with its length before it; an archive to restore
//! comes in pieces, so that no entry is large; the id of the cluster is the first thing its first leader says.

use bytes::Bytes;
use crs_store::{Command, DecodeError, Reply};
use crs_types::Index;

use crate::codec::{CodecError, Reader, put_bytes};
use crate::types::Batch;

const VERSION: u8 = 1;
const COMMANDS: u8 = 1;
const RESTORE: u8 = 2;
const CLUSTER: u8 = 3;

/// One piece of an archive that takes the place of the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RestorePart {
    /// Tells the pieces of one restore from those of another.
    pub(crate) id: u64,
    /// Counts the pieces from 0.
    pub(crate) number: u32,
    pub(crate) last: bool,
    pub(crate) bytes: Bytes,
}

/// The contents of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    Commands(Vec<Command>),
    Restore(RestorePart),
    Cluster(u128),
}

/// What the one who proposed an entry learns.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Outcome {
    #[default]
    Nothing,
    /// One reply per command, in order.
    Replies(Vec<Reply>),
    /// The archive is the state now; its last index.
    Restored(Index),
    /// The archive could not be read, or pieces were missing; the state is what it was.
    NotRestored(String),
}

/// Why an entry cannot be applied: this server must stop, or it would differ from the others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("an entry of the log {0}")]
    Form(#[from] CodecError),
    #[error("a command in the log cannot be read by this version of crs: {0}")]
    Command(#[from] DecodeError),
}

/// Commands on their way into one entry.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    pub(crate) count: usize,
}

impl Builder {
    /// Adds a command, unless its form is longer than `limit`; then the error is its length.
    pub(crate) fn push(&mut self, command: &Command, limit: usize) -> Result<(), usize> {
        if self.bytes.is_empty() {
            self.bytes.extend([VERSION, COMMANDS]);
        }
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        command.encode(&mut self.bytes);
        let length = self.bytes.len() - start - 4;
        if length > limit {
            self.bytes.truncate(start);
            return Err(length);
        }
        self.bytes[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        self.count += 1;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Batch {
        Batch(self.bytes.into())
    }
}

pub(crate) fn restore_part(part: &RestorePart) -> Batch {
    let mut out = vec![VERSION, RESTORE];
    out.extend(part.id.to_le_bytes());
    out.extend(part.number.to_le_bytes());
    out.push(part.last.into());
    put_bytes(&mut out, &part.bytes);
    Batch(out.into())
}

pub(crate) fn cluster(id: u128) -> Batch {
    let mut out = vec![VERSION, CLUSTER];
    out.extend(id.to_le_bytes());
    Batch(out.into())
}

pub(crate) fn decode(batch: &Batch) -> Result<Content, BatchError> {
    let mut reader = Reader(&batch.0);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(CodecError::Version(version.into()).into());
    }
    let content = match reader.u8()? {
        COMMANDS => {
            let mut commands = Vec::new();
            while reader.end().is_err() {
                commands.push(Command::decode(reader.bytes()?)?);
            }
            Content::Commands(commands)
        }
        RESTORE => Content::Restore(RestorePart {
            id: reader.u64()?,
            number: reader.u32()?,
            last: reader.u8()? == 1,
            bytes: batch.0.slice_ref(reader.bytes()?),
        }),
        CLUSTER => Content::Cluster(reader.u128()?),
        kind => return Err(CodecError::Tag(kind).into()),
    };
    reader.end()?;
    Ok(content)
}

#[cfg(test)]
mod test {
    use super::*;
    use crs_store::KvCondition;

    #[test]
    fn entries_say_what_was_put_in() {
        let set = |key: &str| Command::KvSet {
            key: key.into(),
            flags: 3,
            value: Bytes::from_static(b"v"),
            condition: KvCondition::None,
        };
        let mut builder = Builder::default();
        builder.push(&set("a"), 100).unwrap();
        assert!(builder.push(&set("b"), 3).is_err());
        builder.push(&set("b"), 100).unwrap();
        assert_eq!(builder.count, 2);
        assert_eq!(decode(&builder.finish()).unwrap(), Content::Commands(vec![set("a"), set("b")]));
        let part = RestorePart { id: 7, number: 2, last: true, bytes: Bytes::from_static(b"xyz") };
        assert_eq!(decode(&restore_part(&part)).unwrap(), Content::Restore(part));
        assert_eq!(decode(&cluster(9)).unwrap(), Content::Cluster(9));
    }

    #[test]
    fn another_version_or_junk_is_an_error() {
        for junk in [&[][..], &[2, 1], &[1, 9], &[1, 1, 5, 0, 0, 0, 1], &[1, 3, 0], &[1, 1, 1, 0, 0, 0, 250]]
        {
            assert!(decode(&Batch(Bytes::copy_from_slice(junk))).is_err(), "{junk:?}");
        }
    }
}
