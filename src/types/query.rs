//! How a read is to be done, and what is told about how it was done.

use std::time::Duration;

use crate::{Datacenter, Index, Secret};

/// How fresh a read must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Consistency {
    /// The leader's lease: fresh unless two leaders believe in themselves for a moment.
    #[default]
    Default,
    /// A quorum confirms the leader first.
    Consistent,
    /// Any server's state, however old.
    Stale,
}

/// Options of a read that every query endpoint shares.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Empty: the agent's own.
    pub datacenter: Option<Datacenter>,
    /// The caller's token; empty: anonymous, after the agent's default was applied.
    pub token: Secret<String>,
    /// How fresh.
    pub consistency: Consistency,
    /// With `Stale`: ask the leader instead when the answer is older than this.
    pub max_stale: Option<Duration>,
    /// Wait until the answer's index is above this; zero: do not wait.
    pub min_index: Index,
    /// Longest wait; `None`: the agent's default (5 minutes).
    pub wait: Option<Duration>,
}

/// What a reply says about how it was made; becomes the `X-Consul-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryMeta {
    /// Pass it as `min_index` to wait for the next change.
    pub index: Index,
    /// Time since the answering server heard from the leader; zero on the leader.
    pub last_contact: Duration,
    /// Whether that server knows a leader.
    pub known_leader: bool,
}
