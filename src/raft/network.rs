//! The way to the other servers: a seam that carries bytes, and openraft's side of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};

use crate::log::Log;
use crate::message::{self, AnswerError, Envelope, Request};
use crate::snapshot::SnapshotFile;
use crate::types::{LogId, ServerId, ServerNode, TypeConfig, Vote};

/// A snapshot is read from the disk in pieces of this size.
const CHUNK_BYTES: usize = 256 * 1024;
/// A snapshot may take this long for each started [`SNAPSHOT_BYTES_PER_TURN`], and at least one turn.
const SNAPSHOT_TURN: Duration = Duration::from_secs(60);
const SNAPSHOT_BYTES_PER_TURN: u64 = 64 << 20;

/// A future that is owned by nobody in particular.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why another server was not reached. A retry may help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreached(pub String);

/// What a message is for: a transport keeps heartbeats off the connection on which entries queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Entries.
    Entries,
    /// Heartbeats, votes, transfers.
    Signals,
}

/// Carries messages to other servers. Both ends are this crate: [`crate::Raft::handle`] answers what
/// [`Network::call`] carries, [`crate::Raft::receive_snapshot`] what [`Network::send_snapshot`] does.
pub trait Network: Send + Sync + 'static {
    /// Carries a request and brings the answer.
    fn call<'a>(
        &'a self,
        to: ServerId,
        node: &'a ServerNode,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>>;

    /// Carries a request, then all pieces of a snapshot, and brings the answer.
    fn send_snapshot<'a>(
        &'a self,
        to: ServerId,
        node: &'a ServerNode,
        request: Bytes,
        snapshot: SnapshotReader,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>>;
}

/// The network of a server that is alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn call<'a>(
        &'a self,
        to: ServerId,
        _: &'a ServerNode,
        _: Lane,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move { Err(Unreached(format!("no way to server {to}: this one is alone"))) })
    }

    fn send_snapshot<'a>(
        &'a self,
        to: ServerId,
        _: &'a ServerNode,
        _: Bytes,
        _: SnapshotReader,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, Unreached>> {
        Box::pin(async move { Err(Unreached(format!("no way to server {to}: this one is alone"))) })
    }
}

/// A snapshot being sent.
#[derive(Debug)]
pub struct SnapshotReader {
    file: SnapshotFile,
    offset: u64,
}

impl SnapshotReader {
    /// Its size in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.file.len
    }

    /// The next piece, at most 256 KiB, read from the disk by the caller's thread; `None` when all were read.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let chunk = self.file.chunk(self.offset, CHUNK_BYTES)?;
        self.offset += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }
}

/// Up to which entry each server has the log, as it said itself to the leader of a term; and who went back on it.
///
/// A server whose disk was emptied under its old id forgot what it acknowledged, and its vote. openraft ends the process
/// of the leader over it. Here such a server counts as unreachable until it is admitted anew, and the others go on.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    term: u64,
    upto: BTreeMap<ServerId, u64>,
    reverted: BTreeSet<ServerId>,
}

pub(crate) type SharedAcknowledged = Arc<Mutex<Acknowledged>>;

impl Acknowledged {
    fn enter(&mut self, term: u64) {
        if self.term != term {
            // Each leader finds out anew, and an entry of an earlier one may rightly be gone.
            *self = Acknowledged { term, ..Acknowledged::default() };
        }
    }

    fn acknowledge(&mut self, term: u64, server: ServerId, upto: Option<LogId>) {
        self.enter(term);
        if let Some(upto) = upto {
            let known = self.upto.entry(server).or_default();
            *known = upto.index().max(*known);
        }
    }

    /// Whether the server no longer has what it acknowledged.
    fn contradicts(&mut self, term: u64, server: ServerId, missing: Option<LogId>) -> bool {
        self.enter(term);
        let known = self.upto.get(&server);
        let gone = missing.zip(known).is_some_and(|(missing, known)| missing.index() <= *known);
        if gone && self.reverted.insert(server) {
            tracing::error!(
                %server,
                "A server no longer has entries that it acknowledged; it gets nothing until it is admitted anew"
            );
        }
        gone
    }

    pub(crate) fn reverted(&self) -> Vec<ServerId> {
        self.reverted.iter().copied().collect()
    }

    pub(crate) fn forget(&mut self, server: ServerId) {
        self.upto.remove(&server);
        self.reverted.remove(&server);
    }
}

/// Makes openraft's clients.
pub(crate) struct Factory {
    pub(crate) id: ServerId,
    pub(crate) acknowledged: SharedAcknowledged,
    pub(crate) log: Log,
    pub(crate) network: Arc<dyn Network>,
}

/// openraft's way to one server.
pub(crate) struct Peer {
    id: ServerId,
    target: ServerId,
    node: ServerNode,
    log: Log,
    network: Arc<dyn Network>,
    lane: Lane,
    acknowledged: SharedAcknowledged,
}

impl Factory {
    fn peer(&self, target: ServerId, node: &ServerNode, lane: Lane) -> Peer {
        Peer {
            id: self.id,
            target,
            node: node.clone(),
            log: self.log.clone(),
            network: self.network.clone(),
            lane,
            acknowledged: self.acknowledged.clone(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Peer;

    async fn new_client(&mut self, target: ServerId, node: &ServerNode) -> Peer {
        self.peer(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: ServerId, node: &ServerNode) -> Peer {
        self.peer(target, node, Lane::Signals)
    }
}

impl From<AnswerError> for RPCError<TypeConfig> {
    fn from(error: AnswerError) -> Self {
        RPCError::Unreachable(Unreachable::from_string(error))
    }
}

impl Peer {
    fn envelope(&self) -> Envelope {
        Envelope { cluster: self.log.facts().cluster, from: self.id, to: self.target }
    }

    async fn call(
        &self,
        lane: Lane,
        request: Request,
        option: &RPCOption,
    ) -> Result<Bytes, RPCError<TypeConfig>> {
        let request = message::encode_request(self.envelope(), &request);
        let timeout = option.hard_ttl();
        let call = self.network.call(self.target, &self.node, lane, request, timeout);
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RPCError::Unreachable(Unreachable::from_string(error))),
            Err(_) => Err(RPCError::Unreachable(Unreachable::from_string("no answer in time"))),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let all = rpc.entries.len();
        rpc.entries.truncate(message::fitting(&rpc));
        let (term, before) = (rpc.vote.leader_id.term, rpc.prev_log_id);
        let last = rpc.entries.last().map(|entry| entry.log_id).or(before);
        let partial =
            if rpc.entries.len() < all { rpc.entries.last().map(|entry| entry.log_id) } else { None };
        let answer = self.call(self.lane, Request::Append(rpc), &option).await?;
        let response = message::decode_append_answer(&answer)?;
        {
            let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            match &response {
                AppendEntriesResponse::Success => acknowledged.acknowledge(term, self.target, last),
                AppendEntriesResponse::PartialSuccess(upto) => {
                    acknowledged.acknowledge(term, self.target, *upto)
                }
                AppendEntriesResponse::Conflict => {
                    if acknowledged.contradicts(term, self.target, before) {
                        let text = format!("server {} lost entries that it had acknowledged", self.target);
                        return Err(RPCError::Unreachable(Unreachable::from_string(text)));
                    }
                }
                AppendEntriesResponse::HigherVote(_) => {}
            }
        }
        match (response, partial) {
            (AppendEntriesResponse::Success, Some(upto)) => {
                Ok(AppendEntriesResponse::PartialSuccess(Some(upto)))
            }
            (response, _) => Ok(response),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Lane::Signals, Request::Vote(rpc), &option).await?;
        Ok(message::decode_vote_answer(&answer)?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Lane::Signals, Request::PreVote(rpc), &option).await?;
        Ok(message::decode_vote_answer(&answer)?)
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.call(Lane::Signals, Request::Transfer(rpc), &option).await?;
        message::decode_done(&answer)?;
        Ok(Ok(()))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let (term, covered) = (vote.leader_id.term, snapshot.meta.last_log_id);
        let file = snapshot.snapshot;
        let request = message::encode_request(self.envelope(), &Request::Snapshot { vote, bytes: file.len });
        let timeout = SNAPSHOT_TURN * (1 + (file.len / SNAPSHOT_BYTES_PER_TURN) as u32);
        let reader = SnapshotReader { file, offset: 0 };
        let send = self.network.send_snapshot(self.target, &self.node, request, reader, timeout);
        let unreachable = |text: String| StreamingError::Unreachable(Unreachable::from_string(text));
        // Dropping the sending midway leaves an unfinished file at the other end, which is thrown away there.
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = tokio::time::timeout(timeout, send) => match sent {
                Ok(Ok(answer)) => {
                    let response =
                        message::decode_snapshot_answer(&answer).map_err(|error| unreachable(error.to_string()))?;
                    if response.vote == vote {
                        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                        acknowledged.acknowledge(term, self.target, covered);
                    }
                    Ok(response)
                }
                Ok(Err(error)) => Err(unreachable(error.to_string())),
                Err(_) => Err(unreachable("no answer in time".to_owned())),
            },
        }
    }
}
