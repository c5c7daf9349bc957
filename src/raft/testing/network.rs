//! A network of channels between servers of one process: links can be cut, messages are delayed and lost by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::{BoxFuture, Lane, Network, Raft, ServerId, ServerNode, SnapshotReader, Unreached};

/// The network. Clones are the same one.
#[derive(Clone)]
pub struct SimNetwork {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    servers: BTreeMap<ServerId, Raft>,
    cut: BTreeSet<(ServerId, ServerId)>,
    rng: SmallRng,
    delay: Duration,
    loss: f64,
    snapshots: u64,
}

struct Side {
    network: SimNetwork,
    from: ServerId,
}

impl SimNetwork {
    /// All links whole; messages take up to `delay`, by the seed.
    pub fn new(seed: u64, delay: Duration) -> Self {
        let inner = Inner {
            servers: BTreeMap::new(),
            cut: BTreeSet::new(),
            rng: SmallRng::seed_from_u64(seed),
            delay,
            loss: 0.0,
            snapshots: 0,
        };
        SimNetwork { inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network as this server uses it.
    pub fn side_of(&self, from: ServerId) -> Arc<dyn Network> {
        Arc::new(Side { network: self.clone(), from })
    }

    /// From now on messages to this server arrive.
    pub fn join(&self, id: ServerId, raft: Raft) {
        self.inner().servers.insert(id, raft);
    }

    /// From now on messages to this server do not arrive.
    pub fn leave(&self, id: ServerId) {
        self.inner().servers.remove(&id);
    }

    /// Cuts a server off from all others.
    pub fn isolate(&self, id: ServerId) {
        let mut inner = self.inner();
        let others: Vec<ServerId> = inner.servers.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            inner.cut.insert((id, other));
            inner.cut.insert((other, id));
        }
    }

    /// All links whole again.
    pub fn heal(&self) {
        self.inner().cut.clear();
    }

    /// This share of messages is lost, one way or the other.
    pub fn lose(&self, share: f64) {
        self.inner().loss = share;
    }

    /// Snapshots that were sent.
    pub fn snapshots_sent(&self) -> u64 {
        self.inner().snapshots
    }

    /// How long the message takes, and whom it reaches.
    async fn reach(&self, from: ServerId, to: ServerId) -> Result<Raft, Unreached> {
        let delay = {
            let mut inner = self.inner();
            let most = inner.delay.as_micros() as u64;
            Duration::from_micros(inner.rng.random_range(0..=most))
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut inner = self.inner();
        let loss = inner.loss;
        if inner.cut.contains(&(from, to)) || inner.rng.random_bool(loss) {
            return Err(Unreached(format!("no way from {from} to {to}")));
        }
        inner.servers.get(&to).cloned().ok_or_else(|| Unreached(format!("server {to} is down")))
    }
}

impl Network for Side {
    fn call<'a>(
        &'a self,
        to: ServerId,
        _: &'a ServerNode,
        _: Lane,
        request: Bytes,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move {
            let answer = self.network.reach(self.from, to).await?.handle(request).await;
            // The answer takes the same way back.
            self.network.reach(to, self.from).await?;
            Ok(answer)
        })
    }

    fn send_snapshot<'a>(
        &'a self,
        to: ServerId,
        _: &'a ServerNode,
        request: Bytes,
        mut snapshot: SnapshotReader,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move {
            let target = self.network.reach(self.from, to).await?;
            self.network.inner().snapshots += 1;
            let mut receiver = match target.receive_snapshot(request) {
                Ok(receiver) => receiver,
                Err(refusal) => return Ok(refusal),
            };
            while let Some(chunk) = snapshot.next_chunk().map_err(|error| Unreached(error.to_string()))? {
                self.network.reach(self.from, to).await?;
                if let Err(refusal) = receiver.write(&chunk) {
                    return Ok(refusal);
                }
            }
            Ok(receiver.finish().await)
        })
    }
}
