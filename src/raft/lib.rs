//! Raft: the order in which the servers of a datacenter apply commands, and its durability.
//!
//! What it is: a facade over openraft, which no other crate names; a durable log of our own ([`disk`], `log`); snapshots
//! as files; a seam for the network that carries bytes. What it is not: aware of what a command means (`store`), of
//! consistency modes and watches (`server`), or of sockets (`rpc`).
//!
//! ```text
//!   propose ──▶ queue ──▶ one entry for all that gathered ──▶ openraft ──▶ log: one write, one sync
//!      ▲                                                         │             │
//!      └── replies ◀── publish(state, changes) ◀── apply ◀───────┴── majority ─┘
//! ```
//!
//! Invariants:
//! - A proposal is answered when it is durable on a majority, applied and published here; never before.
//! - The publisher sees every batch once, in order, before any proposer of it is answered. After [`Publish::restored`]
//!   what it knew before is void.
//! - After an error of the disk, raft stops for good and says so ([`Raft::stopped`]); what the disk holds is read again
//!   at the next start.
//! - What is on disk or on the wire is written by explicit codecs with versions; nothing is derived.

mod batch;
mod clock;
mod codec;
mod directory;
pub mod disk;
mod error;
mod lease;
mod log;
mod machine;
mod message;
mod metrics;
mod network;
mod options;
mod proposals;
mod raft;
mod receive;
mod snapshot;
mod start;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod types;

pub use clock::{Clock, MonotonicClock};
pub use error::{ProposeError, StartError};
pub use lease::Leadership;
pub use log::{LogFigures, OpenError};
pub use machine::{Publish, SnapshotRules};
pub use metrics::{Metrics, Role};
pub use network::{BoxFuture, Lane, Network, NoNetwork, SnapshotReader, Unreached};
pub use options::{Options, Storage, Threads, Timings};
pub use raft::Raft;
pub use receive::SnapshotReceiver;
pub use types::{ServerId, ServerIdError, ServerNode};

#[cfg(test)]
mod cluster_test;
#[cfg(test)]
mod raft_test;
#[cfg(test)]
mod suite_test;
