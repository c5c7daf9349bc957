//! Runs one gossip pool: the sockets, the timer and the files around `crs-gossip`'s state machine.
//!
//! [`Bound::bind`] opens the sockets, [`Bound::spawn`] starts the one task that owns the state machine and gives a
//! [`Pool`] to talk to it and a channel of what happens. An agent runs one for its LAN and, on a server, one for the
//! WAN.
//!
//! ```text
//! UDP socket ──╮
//! TCP streams ─┼─► owner task ─► state machine ─► packets, streams, snapshot file
//! timer ───────┤        │ ╰─► members, published for readers without a lock
//! Pool (calls) ╯        ╰───► events
//! ```
//!
//! What it is not: the protocol, and any opinion on what members mean.
//!
//! Invariants: only the owner task touches the state machine; members are published before the events that tell of
//! them; every stream, channel and wait has a bound; all tasks end when the token is cancelled.

mod dial;
mod files;
mod handle;
mod resolve;
mod task;

pub use files::{FileError, KeyringFile, SnapshotFile};
pub use handle::{JoinError, Members, Pool, PoolError, QueryReply, Stats};
pub use resolve::{Host, parse_host};
pub use task::{BindError, Bound, PoolConfig};

pub use crs_gossip::memberlist::Candidate;
pub use crs_gossip::memberlist::config::Timing;
pub use crs_gossip::memberlist::node::NodeRecord;
pub use crs_gossip::serf::{
    Coordinate, Event, IncomingQuery, KeyOp, KeyReport, Member, MemberChange, MemberStatus, MergePolicy,
    QueryId, QueryParams, SendError, SerfConfig, UserEvent,
};
pub use crs_gossip::wire::keyring::Keyring;
pub use crs_gossip::wire::serf::Tags;
