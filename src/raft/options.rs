//! What a server's raft is told at start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, MonotonicClock};
use crate::disk::Disk;
use crate::machine::SnapshotRules;
use crate::network::{Network, NoNetwork};
use crate::types::{ServerId, ServerNode};

/// Where log and snapshots are kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// Nowhere: all is gone with the process.
    Memory,
    /// In this directory, which this process then holds.
    Directory(PathBuf),
    /// On a disk of the caller, written in line: for simulation.
    Disk(Arc<dyn Disk>),
}

/// How long what takes. The defaults are those of `raft_multiplier = 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timings {
    /// The leader is heard of this often.
    pub heartbeat: Duration,
    /// A follower that has not heard of a leader for [`Timings::election_max`] waits between this …
    pub election_min: Duration,
    /// … and this before it tries to lead. Also how long a follower helps nobody else to lead.
    pub election_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

impl Timings {
    /// The same, `factor` times slower.
    pub fn scaled(self, factor: u32) -> Self {
        Timings {
            heartbeat: self.heartbeat * factor,
            election_min: self.election_min * factor,
            election_max: self.election_max * factor,
        }
    }
}

/// Where raft's tasks run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// On a thread of their own: no request, however long, holds up a heartbeat, and between the steps of a write no
    /// thread is woken.
    Own,
    /// On the runtime of whoever starts it: for simulation.
    Callers,
}

/// What a server's raft is told at start.
#[derive(Clone)]
pub struct Options {
    /// Who this is.
    pub id: ServerId,
    /// Its name and address, for the membership it bootstraps.
    pub node: ServerNode,
    /// Where log and snapshots are kept.
    pub storage: Storage,
    /// How long what takes.
    pub timings: Timings,
    /// When to take snapshots.
    pub snapshots: SnapshotRules,
    /// The way to other servers.
    pub network: Arc<dyn Network>,
    /// The clock that leases are read by.
    pub clock: Arc<dyn Clock>,
    /// Where raft's tasks run.
    pub threads: Threads,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Bytes of recent entries kept in memory.
    pub cache_bytes: usize,
}

impl Options {
    /// The usual options of a server that knows no other.
    pub fn new(id: ServerId, node: ServerNode, storage: Storage) -> Self {
        Options {
            id,
            node,
            storage,
            timings: Timings::default(),
            snapshots: SnapshotRules::default(),
            network: Arc::new(NoNetwork),
            clock: Arc::new(MonotonicClock),
            threads: Threads::Own,
            segment_bytes: 16 << 20,
            cache_bytes: 4 << 20,
        }
    }
}
