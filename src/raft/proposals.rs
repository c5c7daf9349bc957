//! Concurrent commands on their way into few entries.
//!
//! Nobody waits for a batch to fill, and no task stands between a proposer and openraft: while fewer than
//! [`IN_FLIGHT`] entries are under way, whoever proposes submits at once; while that many are, commands gather, and the
//! end of an entry submits what has gathered. One writer alone pays for nothing; many share an entry.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crs_store::{Command, Reply};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::oneshot;

use crate::batch::{Builder, Outcome};
use crate::error::ProposeError;
use crate::machine::Machine;
use crate::types::{Answer, Batch, TypeConfig};

/// Entries under way at once: one being synced, one to follow it without a pause.
const IN_FLIGHT: usize = 2;
/// An entry takes no further command beyond these.
const MAX_BATCH_COMMANDS: usize = 1024;
const MAX_BATCH_BYTES: usize = 1 << 20;
/// What may wait; beyond it proposals are refused.
const MAX_WAITING_BYTES: usize = 128 << 20;
/// No command of a client comes near.
pub(crate) const MAX_COMMAND_BYTES: usize = 32 << 20;

type OpenRaft = openraft::Raft<TypeConfig, Machine>;
type Answered = Result<Reply, ProposeError>;

/// See the module.
pub(crate) struct Proposals {
    queue: Mutex<Queue>,
    raft: OnceLock<OpenRaft>,
    runtime: tokio::runtime::Handle,
    pub(crate) entries: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    in_flight: usize,
}

#[derive(Default)]
struct Waiting {
    builder: Builder,
    proposers: Vec<oneshot::Sender<Answered>>,
}

impl Proposals {
    pub(crate) fn new(runtime: tokio::runtime::Handle) -> Arc<Self> {
        Arc::new(Proposals {
            queue: Mutex::default(),
            raft: OnceLock::new(),
            runtime,
            entries: AtomicU64::new(0),
        })
    }

    pub(crate) fn connect(&self, raft: OpenRaft) {
        drop(self.raft.set(raft));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a command in; the answer comes when it was applied.
    pub(crate) fn push(
        self: &Arc<Self>,
        command: &Command,
    ) -> Result<oneshot::Receiver<Answered>, ProposeError> {
        let (sender, answer) = oneshot::channel();
        let mut queue = self.queue();
        if queue.waiting_bytes > MAX_WAITING_BYTES {
            return Err(ProposeError::Busy);
        }
        let full = |waiting: &Waiting| {
            waiting.builder.count >= MAX_BATCH_COMMANDS || waiting.builder.len() >= MAX_BATCH_BYTES
        };
        if queue.waiting.back().is_none_or(full) {
            queue.waiting.push_back(Waiting::default());
        }
        let mut bytes = 0;
        if let Some(batch) = queue.waiting.back_mut() {
            let before = batch.builder.len();
            batch
                .builder
                .push(command, MAX_COMMAND_BYTES)
                .map_err(|bytes| ProposeError::TooLarge { bytes, limit: MAX_COMMAND_BYTES })?;
            batch.proposers.push(sender);
            bytes = batch.builder.len() - before;
        }
        queue.waiting_bytes += bytes;
        self.submit_next(queue);
        Ok(answer)
    }

    /// Submits the oldest batch if there is one and an entry may go.
    fn submit_next(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if queue.in_flight >= IN_FLIGHT {
            return;
        }
        let Some(batch) = queue.waiting.pop_front().filter(|batch| !batch.proposers.is_empty()) else {
            return;
        };
        queue.in_flight += 1;
        queue.waiting_bytes -= batch.builder.len();
        drop(queue);
        self.entries.fetch_add(1, Relaxed);
        let flight = Flight { proposals: self.clone() };
        let proposers = batch.proposers;
        let answer = Answer(Box::new(move |result: ClientWriteResult<TypeConfig>| {
            answer_all(proposers, result);
            drop(flight);
        }));
        self.submit(batch.builder.finish(), answer);
    }

    /// Hands an entry to openraft from any thread. Its queue has room, since few entries are under way: the future is
    /// ready at once. Should it not be, it goes on as a task.
    pub(crate) fn submit(&self, batch: Batch, answer: Answer<ClientWriteResult<TypeConfig>>) {
        let Some(raft) = self.raft.get().cloned() else {
            // Not started yet: the answer is dropped, and with it the waiting ends.
            return;
        };
        let send = tokio::task::unconstrained(async move { raft.client_write_ff(batch, Some(answer)).await });
        let mut send = Box::pin(send);
        let polled = pin!(&mut send).poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Pending {
            drop(self.runtime.spawn(send));
        }
    }
}

/// An entry under way. Its end, answered or dropped by a core that has stopped, lets the next one go.
struct Flight {
    proposals: Arc<Proposals>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut queue = self.proposals.queue();
        queue.in_flight -= 1;
        self.proposals.submit_next(queue);
    }
}

/// What a refusal of openraft means to a proposer.
pub(crate) fn refusal(error: ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(to) => {
            ProposeError::NotLeader { leader: to.leader_id.zip(to.leader_node) }
        }
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::Unknown,
        other => ProposeError::Refused(other.to_string()),
    }
}

fn answer_all(proposers: Vec<oneshot::Sender<Answered>>, result: ClientWriteResult<TypeConfig>) {
    match result.map(|written| written.data).map_err(refusal) {
        Ok(Outcome::Replies(replies)) => {
            for (proposer, reply) in proposers.into_iter().zip(replies) {
                drop(proposer.send(Ok(reply)));
            }
        }
        // Not what was proposed: the senders are dropped, and the proposers read "unknown".
        Ok(_) => {}
        Err(error) => {
            for proposer in proposers {
                drop(proposer.send(Err(error.clone())));
            }
        }
    }
}
