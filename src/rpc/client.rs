//! Calls to whichever server answers: what an agent in client mode does, and a server towards another datacenter.

use std::sync::Arc;
use std::time::Duration;

use crs_types::{Error, ErrorKind};
use tokio::time::{Instant, sleep};

use crate::methods::{Kind, Method, status};
use crate::pool::{CallError, Pool};
use crate::rate::RateLimit;
use crate::servers::{Server, Servers};

/// Shortest time between two shuffles of the servers; up to half as much again is added.
const REBALANCE: Duration = Duration::from_secs(120);

/// Servers together are to see at most so many new connections per second from shuffling clients.
const REBALANCES_PER_SERVER: usize = 64;

/// A client of the servers of one datacenter. Shared by reference.
#[derive(Debug)]
pub struct Client {
    pool: Arc<Pool>,
    servers: Arc<Servers>,
    rate: RateLimit,
    hold: Duration,
}

impl Client {
    /// `hold` is `performance.rpc_hold_timeout`: how long it goes on trying while there is no leader.
    pub fn new(pool: Arc<Pool>, servers: Arc<Servers>, rate: RateLimit, hold: Duration) -> Self {
        Client { pool, servers, rate, hold }
    }

    /// The servers it asks.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The connections it uses.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Calls a method of some server. `wait` is how long it may wait for a change before it answers; zero for
    /// everything but blocking queries.
    ///
    /// # Errors
    /// [`ErrorKind::NoServers`] where none is known or reached, [`ErrorKind::NoLeader`] after the hold time,
    /// [`ErrorKind::Unknown`] where a write may have happened, or whatever the server says.
    pub async fn call<M: Method>(&self, request: &M::Request, wait: Duration) -> Result<M::Reply, Error> {
        if !self.rate.allows() {
            return Err(Error::new(ErrorKind::RateLimited, "RPC rate limit exceeded"));
        }
        let deadline = Instant::now() + self.hold;
        let mut tried = 0;
        loop {
            let Some(server) = self.servers.first() else {
                return Err(Error::new(ErrorKind::NoServers, "No known Consul servers"));
            };
            let error = match self.pool.call::<M>(&server.target, request, wait).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            tried += 1;
            let Some(next) = after(&error, M::KIND) else { return Err(error.into_error()) };
            tracing::debug!(server = %server.name, method = M::NAME, %error, "Call failed, trying again");
            self.servers.failed(&server.target);
            // Another server may answer at once; when all were asked, they get a moment.
            if next == Next::Elsewhere && tried < self.servers.len() {
                continue;
            }
            let pause = self.pause();
            if Instant::now() + pause >= deadline {
                return Err(error.into_error());
            }
            sleep(pause).await;
        }
    }

    fn pause(&self) -> Duration {
        let most = self.hold / 16;
        Duration::from_millis(1 + self.servers.chance(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Spreads the load over the servers, for ever: from time to time another one that answers is asked first. The
    /// owner runs it beside the client; `members` is the size of the pool of agents.
    pub async fn rebalance(&self, members: impl Fn() -> usize) {
        loop {
            let servers = self.servers.len().max(1);
            let fair = Duration::from_secs((members() / (REBALANCES_PER_SERVER * servers)) as u64);
            let jitter = Duration::from_millis(self.servers.chance(REBALANCE.as_millis() as u64 / 2));
            sleep(fair.max(REBALANCE + jitter)).await;
            self.servers.shuffle();
            self.find_answering().await;
        }
    }

    /// Puts a server first that answers; whether there is one.
    async fn find_answering(&self) -> bool {
        for _ in 0..self.servers.len() {
            let Some(Server { target, .. }) = self.servers.first() else { return false };
            if self.pool.call::<status::Ping>(&target, &(), Duration::ZERO).await.is_ok() {
                return true;
            }
            self.servers.failed(&target);
        }
        false
    }
}

/// Where to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// With another server, at once.
    Elsewhere,
    /// After a moment: an election is going on.
    Later,
}

/// Whether an error lets the call be tried again. A write whose answer is missing may have happened.
fn after(error: &CallError, kind: Kind) -> Option<Next> {
    match error {
        CallError::NotSent(_) => Some(Next::Elsewhere),
        CallError::Lost(_) if kind == Kind::Read => Some(Next::Elsewhere),
        CallError::Remote(error) => match error.kind {
            ErrorKind::NoLeader => Some(Next::Later),
            // The server could not reach the one it wanted to hand the request to. (A datacenter without servers is
            // another thing: waiting does not help.)
            ErrorKind::NoServers if error.text.contains("rpc error getting client: ") => Some(Next::Later),
            ErrorKind::Unknown if kind == Kind::Read => Some(Next::Elsewhere),
            _ => None,
        },
        CallError::Lost(_) | CallError::TimedOut | CallError::Malformed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_may_have_happened_is_not_done_twice() {
        let lost = CallError::Lost("EOF".to_owned());
        assert_eq!(after(&lost, Kind::Write), None);
        assert_eq!(after(&lost, Kind::Read), Some(Next::Elsewhere));
        let leaderless = CallError::Remote(Error::no_leader());
        assert_eq!(after(&leaderless, Kind::Write), Some(Next::Later));
        assert_eq!(after(&CallError::NotSent(String::new()), Kind::Write), Some(Next::Elsewhere));
        assert_eq!(after(&CallError::Remote(Error::refused("no")), Kind::Read), None);
        assert_eq!(after(&CallError::TimedOut, Kind::Read), None);
    }
}
