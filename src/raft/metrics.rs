//! How raft is doing, for operators.

use openraft::ServerState;

use crate::log::LogFigures;
use crate::types::{ServerId, ServerNode};

/// What a server is in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Gets everything, has no vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Tries to lead.
    Candidate,
    /// Leads.
    Leader,
    /// Has ended.
    Shutdown,
}

impl From<ServerState> for Role {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Shutdown,
        }
    }
}

/// Figures and facts at one moment. Indexes are of the log, not of the catalog; 0 where there is none.
#[derive(Clone, PartialEq, Debug)]
pub struct Metrics {
    /// This server.
    pub id: ServerId,
    /// What it is.
    pub role: Role,
    /// The term.
    pub term: u64,
    /// Who leads.
    pub leader: Option<ServerId>,
    /// The last entry here.
    pub last_log_index: u64,
    /// Up to which entries are committed, as this server knows.
    pub commit_index: u64,
    /// Up to which entries are applied here.
    pub applied_index: u64,
    /// The last entry in the newest snapshot here.
    pub snapshot_index: u64,
    /// Up to which entries the log has gone.
    pub purged_index: u64,
    /// Servers with a vote.
    pub voters: Vec<(ServerId, ServerNode)>,
    /// Servers without.
    pub learners: Vec<(ServerId, ServerNode)>,
    /// On the leader: up to which entry each server has the log.
    pub matched: Vec<(ServerId, u64)>,
    /// On the leader: servers that no longer have what they acknowledged. They get nothing until
    /// [`crate::Raft::readmit`].
    pub reverted: Vec<ServerId>,
    /// Commands applied since start.
    pub commands_applied: u64,
    /// Entries they came in, proposed here since start.
    pub entries_proposed: u64,
    /// Snapshots taken here since start.
    pub snapshots_built: u64,
    /// The log on disk.
    pub log: LogFigures,
    /// Why it has stopped.
    pub stopped: Option<String>,
}
