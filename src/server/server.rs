//! The server: what it holds, and how it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crs_raft::{ProposeError, Raft};
use crs_store::{Command, Reply};
use crs_types::{Datacenter, Error, Node};
use tokio_util::sync::CancellationToken;

use crate::locks::LockDelays;
use crate::published::Published;
use crate::query::QueryLimits;
use crate::session::SessionClock;

/// What a server must know of its configuration.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Its datacenter.
    pub datacenter: Datacenter,
    /// Its own node, as the leader registers it.
    pub node: Node,
    /// The RPC port, shown as the port of the service `consul`.
    pub rpc_port: u16,
    /// Bounds of waiting.
    pub query_limits: QueryLimits,
    /// How long a request waits for a leader; `performance.rpc_hold_timeout`.
    pub rpc_hold_timeout: Duration,
    /// Shortest TTL of a session; `session_ttl_min`.
    pub session_ttl_min: Duration,
}

/// A server of the datacenter. Shared by reference; every method may be called from any task.
pub struct Server {
    settings: ServerSettings,
    published: Arc<Published>,
    raft: Raft,
    stopping: CancellationToken,
    session_clock: SessionClock,
    /// For jitter; its quality does not matter.
    dice: AtomicU64,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Server {
    /// Joins state and consensus: `raft` must have been started with `published`.
    pub fn new(
        settings: ServerSettings,
        raft: Raft,
        published: Arc<Published>,
        stopping: CancellationToken,
    ) -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        Server {
            settings,
            published,
            raft,
            stopping,
            session_clock: SessionClock::default(),
            dice: AtomicU64::new(seed),
        }
    }

    /// Its configuration.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Its state, for reads at any consistency: this is what `?stale` sees.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Its part in the cluster: figures, members, hand-over, stop.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The leader's RPC address.
    pub fn leader(&self) -> Option<String> {
        self.raft.leadership().leader.map(|(_, node)| node.address)
    }

    /// Whether this server leads and may answer default reads.
    pub fn leads(&self) -> bool {
        self.raft.may_answer()
    }

    /// RPC addresses of the voters.
    pub fn peers(&self) -> Vec<String> {
        self.raft.metrics().voters.into_iter().map(|(_, node)| node.address).collect()
    }

    /// Proposes a command and waits for its reply. While there is no leader it waits, at most the hold time.
    ///
    /// # Errors
    /// [`crs_types::ErrorKind::NoLeader`] if nothing was proposed, [`crs_types::ErrorKind::Unknown`] if the outcome is
    /// not known, or the refusal of the state machine.
    pub async fn write(&self, command: Command) -> Result<Reply, Error> {
        if !self.leads() {
            self.hold_for_leader().await?;
        }
        loop {
            match self.raft.propose(command.clone()).await {
                Ok(Reply::Refused(error)) => return Err(error),
                Ok(reply) => return Ok(reply),
                // Nothing was proposed, so trying again cannot apply it twice.
                Err(ProposeError::NotLeader { .. }) => self.hold_for_leader().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn session_clock(&self) -> &SessionClock {
        &self.session_clock
    }

    pub(crate) fn lock_delays(&self) -> &LockDelays {
        self.published.lock_delays()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// A number from 0 to 255 for jitter (a Weyl sequence, mixed).
    pub(crate) fn chance(&self) -> u8 {
        let n = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        (n.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
    }
}
