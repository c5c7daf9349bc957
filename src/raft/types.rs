//! The types openraft is told to work with, and what names a server.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use openraft::vote::leader_id_std;

/// Which server: the node's UUID. Its address may change, this does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub u128);

/// What the membership keeps about a server beside its id. Hints for people and for the first contact: peers are found
/// by id, through gossip.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerNode {
    /// The node's name.
    pub name: String,
    /// Where its RPC port was when it was added, `host:port`.
    pub address: String,
}

/// Why a text is not a server's id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not a node id: 32 hexadecimal digits in five groups are expected")]
pub struct ServerIdError(pub String);

impl From<u64> for ServerId {
    fn from(id: u64) -> Self {
        ServerId(id.into())
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xffff,
            n >> 64 & 0xffff,
            n >> 48 & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ServerId {
    type Err = ServerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ServerIdError(text.to_owned());
        let groups: Vec<&str> = text.split('-').collect();
        if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
            || !text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        {
            return Err(wrong());
        }
        u128::from_str_radix(&groups.concat(), 16).map(ServerId).map_err(|_| wrong())
    }
}

/// What an entry of the log carries: a batch of encoded commands or a piece of a restored archive, as the state machine
/// reads it (`batch.rs`). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Batch(pub(crate) Bytes);

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who is told how an entry ended: runs on the task that applied it.
pub(crate) struct Answer<T>(pub(crate) Box<dyn FnOnce(T) + Send>);

impl<T: Send + 'static> openraft::raft::responder::Responder<TypeConfig, T> for Answer<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// Standard Raft: one leader per term, entries known by term and index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = crate::batch::Outcome;
    type NodeId = ServerId;
    type Node = ServerNode;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, ServerId>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = Payload;
    type Entry = openraft::Entry<Term, Payload>;
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = Answer<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Term = leader_id_std::CommittedLeaderId<u64>;
pub(crate) type LogId = openraft::LogId<Term>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type Payload = openraft::EntryPayload<Batch, ServerId, ServerNode>;
pub(crate) type Membership = openraft::Membership<ServerId, ServerNode>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// A log id from its two numbers.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// The term of a log id.
pub(crate) fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn server_ids_read_as_they_are_written() {
        let text = "5af28b1c-0b3c-41d4-9a62-0001f00dbeef";
        let id: ServerId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ServerId::from(7).to_string(), "00000000-0000-0000-0000-000000000007");
        for wrong in
            ["", "5af28b1c", "5af28b1c-0b3c-41d4-9a62-0001f00dbee", "+af28b1c-0b3c-41d4-9a62-0001f00dbeef"]
        {
            assert!(wrong.parse::<ServerId>().is_err(), "{wrong}");
        }
    }
}
