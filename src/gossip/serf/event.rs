//! What happens in a pool, as the application hears of it.

use super::member::Member;
use crate::memberlist::ExchangeError;
use crate::time::Time;
use crate::wire::serf::LTime;
use bytes::Bytes;
use std::net::SocketAddr;

/// What happened to a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum MemberChange {
    /// It is there.
    Join,
    /// It left, or was made to leave.
    Leave,
    /// It stopped answering.
    Failed,
    /// Its tags or versions are others.
    Update,
    /// It is forgotten.
    Reap,
}

/// A user event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserEvent {
    /// When.
    pub ltime: LTime,
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Bytes,
    /// Whether only the latest of its name matters.
    pub coalesce: bool,
}

/// Tells queries apart in a pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct QueryId {
    /// When it was asked.
    pub ltime: LTime,
    /// A random number.
    pub id: u32,
}

/// A query that somebody asks us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncomingQuery {
    /// To answer it.
    pub id: QueryId,
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Bytes,
    /// Who asks.
    pub source: String,
    /// Answers after this are lost.
    pub deadline: Time,
}

/// A number that the caller gets for an operation and finds in the event that ends it.
pub type OpId = u64;

/// Where to join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinTarget {
    /// What the user wrote, for error texts; the address for one that was resolved.
    pub text: String,
    /// Where.
    pub addr: SocketAddr,
}

/// How a key operation went on each member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyReport {
    /// Members that were asked.
    pub members: usize,
    /// Members that answered.
    pub responses: usize,
    /// Members that refused.
    pub errors: usize,
    /// What members remarked, by name.
    pub messages: Vec<(String, String)>,
    /// For a listing: each key in base64, and how many have it.
    pub keys: Vec<(String, usize)>,
    /// For a listing: each primary key in base64, and how many use it.
    pub primaries: Vec<(String, usize)>,
    /// Serf's text when not all succeeded.
    pub error: Option<String>,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Members changed.
    Members {
        /// How.
        change: MemberChange,
        /// Which.
        members: Vec<Member>,
    },
    /// A user event.
    User(UserEvent),
    /// A query to us.
    Query(IncomingQuery),
    /// Somebody got our query.
    QueryAck {
        /// Ours.
        op: OpId,
        /// Who.
        from: String,
    },
    /// Somebody answered our query.
    QueryResponse {
        /// Ours.
        op: OpId,
        /// Who.
        from: String,
        /// What.
        payload: Bytes,
    },
    /// The time of our query is over.
    QueryDone {
        /// Ours.
        op: OpId,
    },
    /// A join ended.
    Joined {
        /// Ours.
        op: OpId,
        /// How many targets answered and were merged.
        success: usize,
        /// Why others were not.
        errors: Vec<(JoinTarget, ExchangeError)>,
    },
    /// A key operation ended.
    Keys {
        /// Ours.
        op: OpId,
        /// How.
        report: KeyReport,
    },
    /// Tags or a forced leave went out its full number of times, or not within the time for it.
    Broadcast {
        /// Ours.
        op: OpId,
        /// Whether it went out.
        sent: bool,
    },
    /// We left. The process may end.
    Left {
        /// Whether the pool was told within the time for it.
        sent: bool,
    },
    /// Another member has our name, and the pool decided for it. The process must end.
    NameLost,
    /// Keys changed: write the keyring file.
    KeyringChanged,
}
