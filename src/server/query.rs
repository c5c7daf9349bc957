//! Reads: consistency, and waiting for a change.

use std::sync::Arc;
use std::time::Duration;

use crs_store::{Found, State, Topic};
use crs_types::{Consistency, Error, QueryMeta, QueryOptions};
use tokio::time::{Instant, timeout_at};

use crate::server::Server;

/// Bounds of waiting; `default_query_time` and `max_query_time` of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Wait of a blocking query that names none.
    pub default_wait: Duration,
    /// Longest wait; longer ones are shortened without a word, as Consul does.
    pub max_wait: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits { default_wait: Duration::from_secs(300), max_wait: Duration::from_secs(600) }
    }
}

impl QueryLimits {
    /// How long a query waits: what was asked for within the bounds, and up to a sixteenth more, so that clients who
    /// came together do not return together. `chance` is 0 to 255.
    fn wait(&self, asked: Option<Duration>, chance: u8) -> Duration {
        let wait = asked.unwrap_or(self.default_wait).min(self.max_wait);
        wait + wait / 16 * u32::from(chance) / 255
    }
}

/// An answer, how it was made, and the snapshot it was read from.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// Becomes the `X-Consul-*` headers.
    pub meta: QueryMeta,
    /// What was asked for.
    pub value: T,
    /// For whatever else this answer needs; it must not be mixed with another snapshot.
    pub state: Arc<State>,
}

impl Server {
    /// Reads what `topic` names; with a minimum index, waits until that answer's index is above it.
    ///
    /// `read` must read nothing that `topic` does not cover, or a change of it would not wake the query.
    ///
    /// # Errors
    /// [`crs_types::ErrorKind::NoLeader`] where the consistency needs a leader and none is found within the hold time.
    pub async fn query<T>(
        &self,
        options: &QueryOptions,
        topic: Topic,
        read: impl FnMut(&State) -> Found<T>,
    ) -> Result<Answer<T>, Error> {
        self.query_any(options, std::slice::from_ref(&topic), read).await
    }

    /// As [`Server::query`], for an answer made of several topics.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub async fn query_any<T>(
        &self,
        options: &QueryOptions,
        topics: &[Topic],
        mut read: impl FnMut(&State) -> Found<T>,
    ) -> Result<Answer<T>, Error> {
        self.await_consistency(options.consistency).await?;
        let min = options.min_index;
        let mut state = self.published().state();
        let mut found = read(&state);
        if min.0 == 0 || found.index > min {
            return Ok(self.answer(found, state));
        }
        let chance = self.chance();
        let deadline = Instant::now() + self.settings().query_limits.wait(options.wait, chance);
        // The topics of one answer are few (one, as a rule); each gets its own subscription.
        let mut subscriptions: Vec<_> =
            topics.iter().map(|topic| self.published().hub().subscribe(topic.clone())).collect();
        loop {
            // What changed before the subscription shows in this read, what changes after it wakes.
            state = self.published().state();
            found = read(&state);
            let replaced = subscriptions.iter().any(|subscription| subscription.replaced());
            if found.index > min || replaced || self.is_stopping() {
                return Ok(self.answer(found, state));
            }
            let woken = async {
                match subscriptions.as_mut_slice() {
                    [one] => one.changed().await,
                    many => {
                        let waits = many.iter_mut().map(|subscription| Box::pin(subscription.changed()));
                        any(waits.collect()).await;
                    }
                }
            };
            tokio::select! {
                woken = timeout_at(deadline, woken) => if woken.is_err() {
                    return Ok(self.answer(found, state));
                },
                () = self.stopping() => {}
            }
        }
    }

    fn answer<T>(&self, found: Found<T>, state: Arc<State>) -> Answer<T> {
        let known_leader = self.raft().knows_leader();
        // The time since the leader was heard from: nothing on the leader itself, and a lone server is its own.
        let meta = QueryMeta { index: found.index, last_contact: Duration::ZERO, known_leader };
        Answer { meta, value: found.value, state }
    }

    /// Waits until the local state is fresh enough.
    pub(crate) async fn await_consistency(&self, consistency: Consistency) -> Result<(), Error> {
        match consistency {
            Consistency::Stale => Ok(()),
            Consistency::Default if self.leads() => Ok(()),
            Consistency::Default => self.hold_for_leader().await,
            Consistency::Consistent => {
                self.hold_for_leader().await?;
                Ok(self.raft().read_barrier().await?)
            }
        }
    }

    /// Waits for a leader, at most the hold time: an election takes a moment, and a client should not see it.
    pub(crate) async fn hold_for_leader(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.settings().rpc_hold_timeout;
        loop {
            let changed = self.raft().leadership_changed();
            if self.leads() {
                return Ok(());
            }
            if self.is_stopping() || timeout_at(deadline, changed).await.is_err() {
                return Err(Error::no_leader());
            }
        }
    }
}

/// Ready when the first of them is.
async fn any<F: Future<Output = ()> + Unpin>(mut waits: Vec<F>) {
    std::future::poll_fn(|cx| {
        let woken = waits.iter_mut().any(|wait| std::pin::Pin::new(wait).poll(cx).is_ready());
        if woken { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_their_bounds() {
        let limits = QueryLimits::default();
        assert_eq!(limits.wait(None, 0), Duration::from_secs(300));
        assert_eq!(limits.wait(Some(Duration::from_secs(16)), 255), Duration::from_secs(17));
        assert_eq!(limits.wait(Some(Duration::from_secs(3600)), 0), Duration::from_secs(600));
        assert_eq!(limits.wait(Some(Duration::ZERO), 255), Duration::ZERO);
    }
}
