//! The binary forms of what the log, the snapshots and the wire between servers share: little-endian numbers, lengths
//! before bytes, a tag before what may be absent. Nothing here is derived, so that no change of a type changes a byte.
//! Versions stand in the records that use these forms.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use crate::types::{
    Batch, Entry, LogId, Membership, ServerId, ServerNode, StoredMembership, Vote, log_id, term_of,
};

/// Servers in one membership, at most: far above any sane cluster, far below what could hurt.
const MAX_SERVERS: usize = 1024;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// They end too early.
    #[error("ends in the middle of a field")]
    Short,
    /// There are bytes left.
    #[error("has bytes after its last field")]
    Long,
    /// A tag that this version does not know.
    #[error("has an unknown tag {0}")]
    Tag(u8),
    /// A version that this program does not know.
    #[error("has format version {0}, which this version of crs does not know")]
    Version(u16),
    /// A text that is not UTF-8.
    #[error("has a text that is not UTF-8")]
    Text,
    /// Something that cannot stand where it stands.
    #[error("has a record that does not follow from those before it")]
    Order,
    /// A number beyond its limit.
    #[error("has a number beyond its limit")]
    Limit,
}

/// Bytes being read, front to back.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.take(N)?.try_into().map_err(|_| CodecError::Short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, CodecError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    pub(crate) fn text(&mut self) -> Result<String, CodecError> {
        Ok(std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Text)?.to_owned())
    }

    fn flag(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(CodecError::Tag(tag)),
        }
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn server(&mut self) -> Result<ServerId, CodecError> {
        self.u128().map(ServerId)
    }

    pub(crate) fn log_id(&mut self) -> Result<LogId, CodecError> {
        Ok(log_id(self.u64()?, self.u64()?))
    }

    pub(crate) fn vote(&mut self) -> Result<Vote, CodecError> {
        let (term, node, committed) = (self.u64()?, self.server()?, self.flag()?);
        Ok(if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) })
    }

    pub(crate) fn membership(&mut self) -> Result<Membership, CodecError> {
        let mut configs = Vec::new();
        for _ in 0..self.count(MAX_SERVERS)? {
            let mut voters = BTreeSet::new();
            for _ in 0..self.count(MAX_SERVERS)? {
                voters.insert(self.server()?);
            }
            configs.push(voters);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..self.count(MAX_SERVERS)? {
            nodes.insert(self.server()?, ServerNode { name: self.text()?, address: self.text()? });
        }
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Membership::default());
        }
        // A voter without a node, or a group without voters: nobody writes that.
        Membership::new(configs, nodes).map_err(|_| CodecError::Limit)
    }

    pub(crate) fn stored_membership(&mut self) -> Result<StoredMembership, CodecError> {
        Ok(StoredMembership::new(self.option(Self::log_id)?, self.membership()?))
    }

    fn count(&mut self, limit: usize) -> Result<usize, CodecError> {
        let count = usize::from(self.u16()?);
        if count > limit { Err(CodecError::Limit) } else { Ok(count) }
    }

    /// One entry. `whole` is the buffer that this reader reads from, so that the batch shares it; without one its bytes
    /// are copied.
    pub(crate) fn entry(&mut self, whole: Option<&Bytes>) -> Result<Entry, CodecError> {
        let id = self.log_id()?;
        let payload = match self.u8()? {
            0 => EntryPayload::Blank,
            1 => {
                let bytes = self.bytes()?;
                EntryPayload::Normal(Batch(match whole {
                    Some(whole) => whole.slice_ref(bytes),
                    None => Bytes::copy_from_slice(bytes),
                }))
            }
            2 => EntryPayload::Membership(self.membership()?),
            tag => return Err(CodecError::Tag(tag)),
        };
        Ok(Entry::new(id, payload))
    }

    pub(crate) fn end(&self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Long) }
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

pub(crate) fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

pub(crate) fn put_log_id(out: &mut Vec<u8>, id: &LogId) {
    out.extend(term_of(id).to_le_bytes());
    out.extend(id.index().to_le_bytes());
}

pub(crate) fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.extend(vote.leader_id.term.to_le_bytes());
    out.extend(vote.leader_id.voted_for.0.to_le_bytes());
    out.push(vote.is_committed().into());
}

pub(crate) fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.extend((configs.len() as u16).to_le_bytes());
    for voters in configs {
        out.extend((voters.len() as u16).to_le_bytes());
        for id in voters {
            out.extend(id.0.to_le_bytes());
        }
    }
    out.extend((membership.nodes().count() as u16).to_le_bytes());
    for (id, node) in membership.nodes() {
        out.extend(id.0.to_le_bytes());
        put_bytes(out, node.name.as_bytes());
        put_bytes(out, node.address.as_bytes());
    }
}

pub(crate) fn put_stored_membership(out: &mut Vec<u8>, stored: &StoredMembership) {
    put_option(out, stored.log_id().as_ref(), put_log_id);
    put_membership(out, stored.membership());
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_log_id(out, &entry.log_id());
    match &entry.payload {
        EntryPayload::Blank => out.push(0),
        EntryPayload::Normal(batch) => {
            out.push(1);
            put_bytes(out, &batch.0);
        }
        EntryPayload::Membership(membership) => {
            out.push(2);
            put_membership(out, membership);
        }
    }
}

#[cfg(test)]
#[path = "codec_test.rs"]
mod test;
