//! The facade: everything the rest of the program knows of raft.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crs_store::{Command, Reply, State};
use crs_types::Index;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, LinearizableReadError, RaftError};
use openraft::raft::{ClientWriteResponse, ClientWriteResult};
use openraft::{ChangeMembers, ReadPolicy};
use tokio::sync::{oneshot, watch};

use crate::batch::{self, Outcome, RestorePart};
use crate::error::ProposeError;
use crate::lease::{Leadership, LeaseCell};
use crate::log::Log;
use crate::machine::{MAX_RESTORE_BYTES, Machine, Progress};
use crate::metrics::{Metrics, Role};
use crate::network::SharedAcknowledged;
use crate::options::Timings;
use crate::proposals::{Proposals, refusal};
use crate::snapshot::Snapshots;
use crate::types::{Answer, Batch, ServerId, ServerNode, TypeConfig};

/// A restored archive travels in pieces of this size.
const RESTORE_PART_BYTES: usize = 1 << 20;
/// How long whoever changes something in the cluster waits for it.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type OpenRaft = openraft::Raft<TypeConfig, Machine>;
type Changed = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

/// A server's part in its cluster. Clones are the same server.
#[derive(Clone)]
pub struct Raft {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) id: ServerId,
    pub(crate) node: ServerNode,
    pub(crate) raft: OpenRaft,
    pub(crate) proposals: Arc<Proposals>,
    pub(crate) lease: Arc<LeaseCell>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) log: Log,
    pub(crate) acknowledged: SharedAcknowledged,
    pub(crate) snapshots: Snapshots,
    pub(crate) timings: Timings,
    pub(crate) stopped: watch::Receiver<Option<String>>,
    pub(crate) received: AtomicU64,
    /// Ends raft's own thread.
    pub(crate) stop: Mutex<Option<oneshot::Sender<()>>>,
    pub(crate) thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    pub(crate) directory: OnceLock<crate::directory::Directory>,
}

impl Raft {
    /// Makes a new cluster of these servers, once: on a server that is in one already, or knows of one, nothing happens.
    /// All servers of a new cluster may say it, with the same members. Alone, this returns when the server leads.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] if this server is not among the members.
    pub async fn bootstrap(&self, members: BTreeMap<ServerId, ServerNode>) -> Result<(), ProposeError> {
        let alone = members.keys().eq([&self.inner.id]);
        match self.inner.raft.initialize(members).await {
            Ok(()) => {}
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => return Ok(()),
            Err(RaftError::APIError(error)) => return Err(ProposeError::Refused(error.to_string())),
            Err(RaftError::Fatal(fatal)) => return Err(ProposeError::Stopped(fatal.to_string())),
        }
        if alone {
            self.wait_until(CHANGE_TIMEOUT, |raft| raft.inner.lease.may_answer()).await?;
        }
        Ok(())
    }

    /// Makes a new cluster of this server alone.
    ///
    /// # Errors
    /// As [`Raft::bootstrap`].
    pub async fn bootstrap_alone(&self) -> Result<(), ProposeError> {
        self.bootstrap(BTreeMap::from([(self.inner.id, self.inner.node.clone())])).await
    }

    /// Waits until some server leads, as this one sees it, and, if it is this one, until it can answer.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] if there is none in time.
    pub async fn wait_for_leader(&self, timeout: Duration) -> Result<(), ProposeError> {
        let ready = |raft: &Raft| {
            let leadership = raft.leadership();
            leadership.leader.is_some() && (!leadership.is_leader || leadership.may_answer)
        };
        self.wait_until(timeout, ready).await
    }

    async fn wait_until(&self, timeout: Duration, ready: impl Fn(&Raft) -> bool) -> Result<(), ProposeError> {
        let wait = async {
            let mut stopped = self.inner.stopped.clone();
            let mut applied = self.inner.raft.data_metrics();
            let mut server = self.inner.raft.server_metrics();
            while !ready(self) {
                tokio::select! {
                    _ = applied.changed() => {}
                    _ = server.changed() => {}
                    _ = stopped.changed() => return Err(self.stopped_error()),
                    // The lease is published just after the metrics it is made from.
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
            Ok(())
        };
        match tokio::time::timeout(timeout, wait).await {
            Ok(done) => done,
            Err(_) => Err(ProposeError::NotLeader { leader: self.leadership().leader }),
        }
    }

    /// Has a command applied. Returns when it is durable on a majority and applied and published here.
    ///
    /// Dropping the future does not take the command back.
    ///
    /// # Errors
    /// See [`ProposeError`] for which of them leave open whether it was applied.
    pub async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let answer = self.inner.proposals.push(&command)?;
        match answer.await {
            Ok(answered) => answered,
            Err(_) => Err(self.stopped_error()),
        }
    }

    /// Returns when everything that was acknowledged anywhere before this call is applied and published here. Asks a
    /// majority whether this server still leads.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] unless this server leads and a majority says so.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        match self.inner.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(ProposeError::NotLeader { leader: to.leader_id.zip(to.leader_node) })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ProposeError::NotLeader { leader: None })
            }
            Err(RaftError::Fatal(fatal)) => Err(ProposeError::Stopped(fatal.to_string())),
        }
    }

    /// Who leads. Neither waits nor locks.
    pub fn leadership(&self) -> Leadership {
        self.inner.lease.leadership()
    }

    /// Whether a default read may be answered from this server's own state. Neither waits nor locks nor allocates.
    pub fn may_answer(&self) -> bool {
        self.inner.lease.may_answer()
    }

    /// Whether some server is known to lead. Neither waits nor locks nor allocates.
    pub fn knows_leader(&self) -> bool {
        self.inner.lease.knows_leader()
    }

    /// Waits until the leadership may be another than at the call (not at the first poll: call it, look, then wait).
    pub fn leadership_changed(&self) -> impl Future<Output = ()> + Send + '_ {
        self.inner.lease.changed()
    }

    /// Adds a server that gets everything and has no vote. Returns when the cluster knows; it may lag far behind then.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] while another change of the members is under way.
    pub async fn add_learner(&self, id: ServerId, node: ServerNode) -> Result<(), ProposeError> {
        self.change(self.inner.raft.add_learner(id, node, false)).await
    }

    /// Makes these servers, which must be members already, the ones with a vote. Former voters leave the cluster.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] if one is no member, none is given, or another change is under way.
    pub async fn set_voters(&self, voters: BTreeSet<ServerId>) -> Result<(), ProposeError> {
        let change = ChangeMembers::ReplaceAllVoters(voters);
        self.change(self.inner.raft.change_membership(change, false)).await
    }

    /// Takes a server without a vote out of the cluster.
    ///
    /// # Errors
    /// As [`Raft::set_voters`].
    pub async fn remove_learner(&self, id: ServerId) -> Result<(), ProposeError> {
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        self.change(self.inner.raft.change_membership(change, false)).await
    }

    /// Takes a server that came back without its data ([`Metrics::reverted`]) out of the cluster and in again, so that it
    /// gets everything anew. It has no vote afterwards: give it one with [`Raft::set_voters`] when it has caught up.
    ///
    /// # Errors
    /// As [`Raft::set_voters`]; if the last step fails, [`Raft::add_learner`] remains to be done.
    pub async fn readmit(&self, id: ServerId, node: ServerNode) -> Result<(), ProposeError> {
        let metrics = self.metrics();
        if metrics.voters.iter().any(|(voter, _)| *voter == id) {
            let others = metrics.voters.iter().map(|(voter, _)| *voter).filter(|voter| *voter != id);
            self.set_voters(others.collect()).await?;
        } else if metrics.learners.iter().any(|(learner, _)| *learner == id) {
            self.remove_learner(id).await?;
        }
        self.inner.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).forget(id);
        self.add_learner(id, node).await
    }

    async fn change(&self, changing: impl Future<Output = Changed>) -> Result<(), ProposeError> {
        match tokio::time::timeout(CHANGE_TIMEOUT, changing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(refusal(error)),
            Ok(Err(RaftError::Fatal(fatal))) => Err(ProposeError::Stopped(fatal.to_string())),
            Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Hands leadership over, to the most advanced follower if none is named. Returns when another server leads.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] if this server does not lead; [`ProposeError::Refused`] if nobody took over in time.
    pub async fn transfer(&self, to: Option<ServerId>) -> Result<(), ProposeError> {
        let leadership = self.leadership();
        if !leadership.is_leader {
            return Err(ProposeError::NotLeader { leader: leadership.leader });
        }
        let nobody = || ProposeError::Refused("no other server can take over leadership".to_owned());
        let to = to.or_else(|| self.most_advanced_follower()).ok_or_else(nobody)?;
        // The one who takes over does not wait for the lease to run out.
        self.inner.lease.suspend(true);
        let done = async {
            self.inner.raft.trigger().transfer_leader(to).await.map_err(|fatal| self.fatal(&fatal))?;
            let moved = |raft: &Raft| raft.leadership().leader.is_some_and(|(id, _)| id != raft.inner.id);
            self.wait_until(self.inner.timings.election_max * 3, moved).await.map_err(|_| {
                ProposeError::Refused(format!("server {to} did not take over leadership in time"))
            })
        }
        .await;
        if done.is_err() {
            self.inner.lease.suspend(false);
        }
        done
    }

    fn most_advanced_follower(&self) -> Option<ServerId> {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<ServerId> = metrics.membership_config.membership().voter_ids().collect();
        let replication = metrics.replication.as_ref()?;
        replication
            .iter()
            .filter(|(id, _)| **id != self.inner.id && voters.contains(id))
            .max_by_key(|(_, matched)| matched.map(|id| id.index()))
            .map(|(id, _)| *id)
    }

    /// Puts this state in the place of the one there is, on all servers. The catalog index goes on above both.
    ///
    /// # Errors
    /// [`ProposeError::TooLarge`], [`ProposeError::Refused`] if another restore came in between, and those of
    /// [`Raft::propose`].
    pub async fn restore(&self, state: &State) -> Result<Index, ProposeError> {
        let mut bytes = Vec::new();
        state.write_snapshot(&mut bytes).map_err(|error| ProposeError::Refused(error.to_string()))?;
        if bytes.len() > MAX_RESTORE_BYTES {
            return Err(ProposeError::TooLarge { bytes: bytes.len(), limit: MAX_RESTORE_BYTES });
        }
        let bytes = Bytes::from(bytes);
        let id = uuid::Uuid::new_v4().as_u64_pair().0;
        let parts = bytes.len().div_ceil(RESTORE_PART_BYTES);
        for number in 0..parts {
            let from = number * RESTORE_PART_BYTES;
            let part = RestorePart {
                id,
                number: number as u32,
                last: number + 1 == parts,
                bytes: bytes.slice(from..bytes.len().min(from + RESTORE_PART_BYTES)),
            };
            match self.submit(batch::restore_part(&part)).await? {
                Outcome::Restored(index) => return Ok(index),
                Outcome::NotRestored(problem) => return Err(ProposeError::Refused(problem)),
                Outcome::Nothing | Outcome::Replies(_) => {}
            }
        }
        Err(ProposeError::Refused("the archive is empty".to_owned()))
    }

    async fn submit(&self, batch: Batch) -> Result<Outcome, ProposeError> {
        let (sender, answer) = oneshot::channel();
        let answered = move |result: ClientWriteResult<TypeConfig>| drop(sender.send(result));
        self.inner.proposals.submit(batch, Answer(Box::new(answered)));
        match answer.await {
            Ok(Ok(written)) => Ok(written.data),
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => Err(self.stopped_error()),
        }
    }

    /// Takes a snapshot now, whatever the rules say. Returns at once.
    ///
    /// # Errors
    /// [`ProposeError::Stopped`].
    pub async fn snapshot_now(&self) -> Result<(), ProposeError> {
        self.inner.progress.snapshot_due.notify_one();
        match self.inner.stopped.borrow().clone() {
            Some(reason) => Err(ProposeError::Stopped(reason)),
            None => Ok(()),
        }
    }

    /// How things are, for operators.
    pub fn metrics(&self) -> Metrics {
        let all = self.inner.raft.metrics();
        let metrics = all.borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
        let nodes = |want: bool| {
            let some = membership.nodes().filter(|(id, _)| voters.contains(id) == want);
            some.map(|(id, node)| (*id, node.clone())).collect()
        };
        let index = |id: &Option<crate::types::LogId>| id.map_or(0, |id| id.index());
        Metrics {
            id: self.inner.id,
            role: Role::from(metrics.state),
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            commit_index: index(&metrics.local_committed),
            applied_index: self.inner.progress.applied_index.load(Relaxed),
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            voters: nodes(true),
            learners: nodes(false),
            matched: metrics
                .replication
                .iter()
                .flatten()
                .map(|(id, matched)| (*id, matched.map_or(0, |id| id.index())))
                .collect(),
            reverted: self.inner.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).reverted(),
            commands_applied: self.inner.progress.commands.load(Relaxed),
            entries_proposed: self.inner.proposals.entries.load(Relaxed),
            snapshots_built: self.inner.progress.snapshots_built.load(Relaxed),
            log: self.inner.log.figures(),
            stopped: self.inner.stopped.borrow().clone(),
        }
    }

    /// Returns when raft has stopped, with the reason: the process should end, unless it asked for it.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.inner.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its thread has ended".to_owned(),
        }
    }

    pub(crate) fn stopped_error(&self) -> ProposeError {
        let reason = self.inner.stopped.borrow().clone();
        // The answer went away with the core that owed it, and the reason is on its way.
        ProposeError::Stopped(reason.unwrap_or_else(|| "it is shutting down".to_owned()))
    }

    pub(crate) fn fatal(&self, fatal: &openraft::errors::Fatal<TypeConfig>) -> ProposeError {
        ProposeError::Stopped(fatal.to_string())
    }

    /// Ends it: what was acknowledged is on disk already, what is on its way is answered as unknown or stopped. Gives
    /// the data directory back. Does not hand leadership over; see [`Raft::transfer`].
    pub async fn shutdown(&self) {
        drop(self.inner.raft.shutdown().await);
        let inner = self.inner.clone();
        let ended = tokio::task::spawn_blocking(move || {
            // One more group, so that the next start knows what is committed.
            let (sender, written) = oneshot::channel();
            if inner.log.barrier(crate::log::Done::Signal(sender)).is_ok() {
                drop(written.blocking_recv());
            }
            inner.log.close();
            drop(inner.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(thread) = inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                drop(thread.join());
            }
            if let Some(directory) = inner.directory.get() {
                directory.release();
            }
        });
        drop(ended.await);
    }
}
