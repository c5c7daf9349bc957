//! `Status`: is somebody there, and who leads.

use crate::blocks::DatacenterRead;
use crate::codec::record;
use crate::methods::methods;

record! {
    /// What a server's raft says of itself.
    pub struct RaftStats {
        /// Go's duration as text; `never`, `0`.
        "LastContact" last_contact: String,
        "LastTerm" last_term: u64,
        "LastIndex" last_index: u64,
    }
}

methods! {
    /// Answers.
    Ping = "Status.Ping", Read, () => ();
    /// The leader's `ip:port`; empty while there is none.
    Leader = "Status.Leader", Read, DatacenterRead => String;
    /// The `ip:port` of every raft server.
    Peers = "Status.Peers", Read, DatacenterRead => Vec<String>;
    /// Between servers.
    Stats = "Status.RaftStats", Read, () => RaftStats;
}
