//! What the rest of an agent holds of a pool.

use crate::resolve::resolve;
use arc_swap::ArcSwap;
use bytes::Bytes;
use crs_gossip::memberlist::{Counters, ExchangeError};
use crs_gossip::serf::{
    Coordinate, JoinTarget, KeyOp, KeyReport, Member, MemberStatus, QueryId, QueryParams, SendError,
    SerfCounters,
};
use crs_gossip::wire::serf::Tags;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// All members at one moment, sorted by name.
#[derive(Debug, Default)]
pub struct Members {
    pub(crate) list: Vec<Member>,
}

impl Members {
    /// All of them, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.list.iter()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Member> {
        let at = self.list.binary_search_by(|m| (**m.name()).cmp(name)).ok()?;
        self.list.get(at)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many answer.
    pub fn alive(&self) -> usize {
        self.list.iter().filter(|m| m.status == MemberStatus::Alive).count()
    }
}

/// Why a call did nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The pool's task has ended. Nothing was done.
    #[error("the gossip pool has stopped")]
    Stopped,
    /// Too large, too late, or after a leave. Nothing was done.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The rumor did not go out in time; it may still spread.
    #[error("timeout while waiting for update broadcast")]
    NotSent,
}

/// Why a join reached nobody. The text is Consul's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinError {
    /// One reason for each address.
    pub reasons: Vec<String>,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.reasons.len();
        let s = if n == 1 { "" } else { "s" };
        write!(f, "{n} error{s} occurred:")?;
        for reason in &self.reasons {
            write!(f, "\n\t* {reason}")?;
        }
        write!(f, "\n\n")
    }
}

impl std::error::Error for JoinError {}

/// An answer to a query of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueryReply {
    /// Somebody got it.
    Ack {
        /// Who.
        from: String,
    },
    /// Somebody answered.
    Response {
        /// Who.
        from: String,
        /// What.
        payload: Bytes,
    },
}

/// Numbers for `/v1/agent/self` and metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// The local health score; 0 is good.
    pub health: u32,
    /// Whether packets are encrypted.
    pub encrypted: bool,
    /// Rumors that wait: intents, queries, events.
    pub queues: [usize; 3],
    /// Lamport clocks: members, events, queries.
    pub clocks: [u64; 3],
    /// Resets of our coordinate.
    pub coordinate_resets: u64,
    /// Counters of the memberlist.
    pub counters: Counters,
    /// Counters of Serf.
    pub serf: SerfCounters,
    /// Events that were dropped because nobody took them.
    pub events_dropped: u64,
}

pub(crate) type Reply<T> = oneshot::Sender<T>;
/// How a join went: how many answered, and why others did not.
pub(crate) type JoinOutcome = (usize, Vec<(JoinTarget, ExchangeError)>);

#[derive(Debug)]
pub(crate) enum Call {
    Join(Vec<JoinTarget>, bool, Reply<JoinOutcome>),
    Leave(Reply<bool>),
    ForceLeave(String, bool, Reply<bool>),
    SetTags(Tags, Reply<Result<bool, SendError>>),
    UserEvent(String, Bytes, bool, Reply<Result<(), SendError>>),
    Query(String, Bytes, QueryParams, mpsc::Sender<QueryReply>, Reply<Result<(), SendError>>),
    Respond(QueryId, Bytes, Reply<Result<(), SendError>>),
    Keys(KeyOp, Vec<u8>, u8, Reply<Result<KeyReport, SendError>>),
    Coordinate(Option<String>, Reply<Option<Coordinate>>),
    Stats(Reply<Stats>),
}

/// A pool that runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) members: Arc<ArcSwap<Members>>,
    pub(crate) local: Arc<str>,
    pub(crate) addr: SocketAddr,
}

impl Pool {
    /// All members now, failed and left ones included. Costs no lock and no copy.
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Our own name.
    pub fn local_name(&self) -> &Arc<str> {
        &self.local
    }

    /// The address we advertise.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn call<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, PoolError> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| PoolError::Stopped)?;
        answer.await.map_err(|_| PoolError::Stopped)
    }

    /// Joins by these addresses (`[name/]host[:port]`). One that answers is enough. `ignore_old`: user events from
    /// before are not replayed to us.
    ///
    /// # Errors
    /// None answered; one reason for each, in Consul's text.
    pub async fn join(&self, addresses: &[String], ignore_old: bool) -> Result<usize, JoinError> {
        let (mut targets, mut reasons) = (Vec::new(), Vec::new());
        for text in addresses {
            match resolve(text, self.addr.port()).await {
                Ok(found) => {
                    targets.extend(found.into_iter().map(|addr| JoinTarget { text: text.clone(), addr }));
                }
                Err(reason) => reasons.push(format!("Failed to resolve {text}: {reason}")),
            }
        }
        if targets.is_empty() {
            return if reasons.is_empty() { Ok(0) } else { Err(JoinError { reasons }) };
        }
        match self.call(|reply| Call::Join(targets, ignore_old, reply)).await {
            Ok((0, errors)) => {
                reasons.extend(
                    errors.iter().map(|(to, error)| format!("Failed to join {}: {error}", to.addr.ip())),
                );
                Err(JoinError { reasons })
            }
            Ok((joined, _)) => Ok(joined),
            Err(error) => Err(JoinError { reasons: vec![error.to_string()] }),
        }
    }

    /// Leaves gracefully, and waits until the pool had time to hear of it. False: not all was sent in time.
    ///
    /// # Errors
    /// [`PoolError::Stopped`].
    pub async fn leave(&self) -> Result<bool, PoolError> {
        self.call(Call::Leave).await
    }

    /// Makes a failed member count as left everywhere; with `prune` it is forgotten at once.
    ///
    /// # Errors
    /// [`PoolError::Stopped`], [`PoolError::NotSent`].
    pub async fn force_leave(&self, name: &str, prune: bool) -> Result<(), PoolError> {
        let sent = self.call(|reply| Call::ForceLeave(name.to_owned(), prune, reply)).await?;
        if sent { Ok(()) } else { Err(PoolError::NotSent) }
    }

    /// Replaces our tags everywhere.
    ///
    /// # Errors
    /// Too large, not sent in time, stopped.
    pub async fn set_tags(&self, tags: Tags) -> Result<(), PoolError> {
        let sent = self.call(|reply| Call::SetTags(tags, reply)).await??;
        if sent { Ok(()) } else { Err(PoolError::NotSent) }
    }

    /// Sends a user event to all, ourselves included.
    ///
    /// # Errors
    /// Too large, stopped.
    pub async fn user_event(
        &self,
        name: &str,
        payload: impl Into<Bytes>,
        coalesce: bool,
    ) -> Result<(), PoolError> {
        let (name, payload) = (name.to_owned(), payload.into());
        Ok(self.call(|reply| Call::UserEvent(name, payload, coalesce, reply)).await??)
    }

    /// Asks the members; the channel ends when the time for answers is over.
    ///
    /// # Errors
    /// Too large, stopped.
    pub async fn query(
        &self,
        name: &str,
        payload: impl Into<Bytes>,
        params: QueryParams,
    ) -> Result<mpsc::Receiver<QueryReply>, PoolError> {
        // an ack and an answer from each member fit; beyond that answers are dropped, as the real agents do
        let (replies, out) = mpsc::channel(2 * self.members().len().max(8));
        let (name, payload) = (name.to_owned(), payload.into());
        self.call(|reply| Call::Query(name, payload, params, replies, reply)).await??;
        Ok(out)
    }

    /// Answers a query that was asked of us.
    ///
    /// # Errors
    /// Too large, too late, stopped.
    pub async fn respond(&self, id: QueryId, payload: impl Into<Bytes>) -> Result<(), PoolError> {
        let payload = payload.into();
        Ok(self.call(|reply| Call::Respond(id, payload, reply)).await??)
    }

    /// Runs a key operation on all members. `key` is raw; empty for a listing.
    ///
    /// # Errors
    /// Too large, stopped. What members refuse is in the report.
    pub async fn keys(&self, op: KeyOp, key: &[u8], relay_factor: u8) -> Result<KeyReport, PoolError> {
        let key = key.to_vec();
        Ok(self.call(|reply| Call::Keys(op, key, relay_factor, reply)).await??)
    }

    /// Our own place in the network.
    ///
    /// # Errors
    /// [`PoolError::Stopped`].
    pub async fn coordinate(&self) -> Result<Coordinate, PoolError> {
        Ok(self.call(|reply| Call::Coordinate(None, reply)).await?.unwrap_or_default())
    }

    /// The place last heard of for a member.
    ///
    /// # Errors
    /// [`PoolError::Stopped`].
    pub async fn cached_coordinate(&self, name: &str) -> Result<Option<Coordinate>, PoolError> {
        self.call(|reply| Call::Coordinate(Some(name.to_owned()), reply)).await
    }

    /// Numbers about the pool.
    ///
    /// # Errors
    /// [`PoolError::Stopped`].
    pub async fn stats(&self) -> Result<Stats, PoolError> {
        self.call(Call::Stats).await
    }

    /// The estimated round trip between us and a member.
    ///
    /// # Errors
    /// [`PoolError::Stopped`].
    pub async fn rtt(&self, name: &str) -> Result<Option<Duration>, PoolError> {
        let own = self.coordinate().await?;
        Ok(self.cached_coordinate(name).await?.map(|other| own.distance(&other)))
    }
}
