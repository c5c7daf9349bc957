//! Starting: the directory, the log, the state; then the tasks that keep the facade's side up to date.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openraft::Instant;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::ClientWriteResult;
use openraft::{Config, ServerState, SnapshotPolicy};
use tokio::sync::{oneshot, watch};

use crate::batch;
use crate::directory;
use crate::disk::{Disk, Memory};
use crate::error::StartError;
use crate::lease::{Lease, LeaseCell, Until};
use crate::log::{Flush, Log, LogOptions};
use crate::machine::{Machine, Progress, Publish};
use crate::network::{Factory, SharedAcknowledged};
use crate::options::{Options, Storage, Threads};
use crate::proposals::Proposals;
use crate::raft::{Inner, OpenRaft, Raft};
use crate::snapshot::Snapshots;
use crate::types::{Answer, ServerId, TypeConfig};

/// Segments in memory are small: they are never given back in part.
const MEMORY_SEGMENT_BYTES: u64 = 1 << 20;
/// How long a purge waits for the snapshot it relies on to be known.
const PURGE_PATIENCE: Duration = Duration::from_secs(30);

impl Raft {
    /// Takes the data directory, reads what is there and takes part. Who has the state first hears
    /// [`Publish::restored`] before this returns.
    ///
    /// A server that is in no cluster yet waits: for [`Raft::bootstrap`], or for a leader that adds it.
    ///
    /// # Errors
    /// Each [`StartError`] says what to do; nothing on disk was damaged.
    pub async fn start(options: Options, publisher: Arc<dyn Publish>) -> Result<Raft, StartError> {
        match options.threads {
            Threads::Callers => start_here(options, publisher).await,
            Threads::Own => start_on_own_thread(options, publisher).await,
        }
    }
}

async fn start_on_own_thread(options: Options, publisher: Arc<dyn Publish>) -> Result<Raft, StartError> {
    let (started, starting) = oneshot::channel();
    let (stop, stopping) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("crs-raft-blocking")
        .max_blocking_threads(4)
        .build()
        .map_err(StartError::Thread)?;
    let thread = std::thread::Builder::new()
        .name("crs-raft".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let result = start_here(options, publisher).await;
                let alive = result.is_ok();
                if started.send(result).is_ok() && alive {
                    // Ends when it is told to, or when nobody can tell it any more.
                    drop(stopping.await);
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
        })
        .map_err(StartError::Thread)?;
    let ended = || StartError::Thread(std::io::Error::other("the thread ended while it started"));
    let raft = starting.await.map_err(|_| ended())??;
    *raft.inner.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
    *raft.inner.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(raft)
}

async fn start_here(options: Options, publisher: Arc<dyn Publish>) -> Result<Raft, StartError> {
    let config = config(&options)?;
    let directory = OnceLock::new();
    let (disk, log_options): (Arc<dyn Disk>, LogOptions) = {
        let usual =
            |flush, segment_bytes| LogOptions { segment_bytes, cache_bytes: options.cache_bytes, flush };
        match &options.storage {
            // A disk that does not wait needs no thread to wait for it.
            Storage::Memory => (Arc::new(Memory::default()), usual(Flush::InLine, MEMORY_SEGMENT_BYTES)),
            Storage::Disk(disk) => (disk.clone(), usual(Flush::InLine, options.segment_bytes)),
            Storage::Directory(path) => {
                let taken = directory::take(path, options.id)?;
                let disk = taken.disk.clone();
                drop(directory.set(taken));
                (disk, usual(Flush::Thread, options.segment_bytes))
            }
        }
    };
    let snapshots = Snapshots::new(disk.clone());
    let log = Log::open(disk.clone(), log_options)?;
    let current = snapshots.open_newest()?;
    let progress = Arc::new(Progress::default());
    let machine =
        Machine::new(publisher, snapshots.clone(), current, log.clone(), options.snapshots, progress.clone());
    let acknowledged = SharedAcknowledged::default();
    let factory = Factory {
        id: options.id,
        acknowledged: acknowledged.clone(),
        log: log.clone(),
        network: options.network.clone(),
    };
    let raft = OpenRaft::build(options.id, config, factory, log.clone(), machine)
        .await
        .map_err(|fatal| StartError::State { path: disk.describe(""), problem: fatal.to_string() })?;
    let proposals = Proposals::new(tokio::runtime::Handle::current());
    proposals.connect(raft.clone());
    let lease = Arc::new(LeaseCell::new(options.id, progress.clone(), options.clock.clone()));
    let (stopped_sender, stopped) = watch::channel(None);
    raft.run();
    // Whatever was applied while starting is in the state that is published now.
    let live = raft
        .with_state_machine(|machine: &mut Machine| {
            machine.go_live();
            Box::pin(std::future::ready(()))
        })
        .await;
    live.map_err(|fatal| StartError::State { path: disk.describe(""), problem: fatal.to_string() })?;

    let inner = Arc::new(Inner {
        id: options.id,
        node: options.node.clone(),
        raft: raft.clone(),
        proposals,
        lease: lease.clone(),
        progress: progress.clone(),
        log: log.clone(),
        acknowledged,
        snapshots,
        timings: options.timings,
        stopped,
        received: AtomicU64::new(0),
        stop: Mutex::default(),
        thread: Mutex::default(),
        directory,
    });
    let keeper = LeaseKeeper {
        id: options.id,
        raft: raft.clone(),
        lease,
        log,
        proposals: inner.proposals.clone(),
        heartbeat: options.timings.heartbeat,
        duration: options.timings.election_min.max(options.timings.election_max / 2),
        stopped: stopped_sender,
    };
    drop(tokio::spawn(keeper.run()));
    drop(tokio::spawn(keep_snapshots(raft, progress, inner.stopped.clone())));
    Ok(Raft { inner })
}

fn config(options: &Options) -> Result<Arc<Config>, StartError> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let timings = options.timings;
    let config = Config {
        cluster_name: "crs".to_owned(),
        heartbeat_interval: millis(timings.heartbeat),
        election_timeout_min: millis(timings.election_min),
        election_timeout_max: millis(timings.election_max),
        enable_pre_vote: Some(true),
        // Snapshots go by commands and bytes, which only the machine counts; so does purging.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 64,
        // After a restart there is always an election: a lease from before it says nothing.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Timings(error.to_string()))
}

/// Publishes who leads, looks after the clock of a server that is alone, and says when raft has stopped.
struct LeaseKeeper {
    id: ServerId,
    raft: OpenRaft,
    lease: Arc<LeaseCell>,
    log: Log,
    proposals: Arc<Proposals>,
    heartbeat: Duration,
    duration: Duration,
    stopped: watch::Sender<Option<String>>,
}

impl LeaseKeeper {
    async fn run(self) {
        let mut server = self.raft.server_metrics();
        let mut data = self.raft.data_metrics();
        let mut ticking = true;
        loop {
            let (lease, sole_voter, leading) = self.current();
            let alone = lease.until == Until::Always;
            self.lease.publish(lease);
            if leading && self.log.facts().cluster == 0 {
                self.name_cluster();
            }
            if sole_voter && !leading {
                // Nobody to wait for.
                drop(self.raft.trigger().elect(false).await);
            }
            // A server that is alone and leads needs no clock, and then does not wake when it is idle.
            if ticking == alone {
                ticking = !alone;
                self.raft.runtime_config().tick(ticking);
            }
            let changed = if leading && !alone {
                tokio::select! {
                    changed = server.changed() => changed.is_ok(),
                    changed = data.changed() => {
                        // Followers are heard of with every entry; the lease need not move that often.
                        let changed = changed.is_ok();
                        tokio::select! {
                            moved = server.changed() => moved.is_ok(),
                            () = tokio::time::sleep(self.heartbeat / 4) => changed,
                        }
                    }
                }
            } else {
                server.changed().await.is_ok()
            };
            if !changed {
                break;
            }
        }
        let nobody = Lease { leader: None, term: 0, until: Until::Never };
        self.lease.publish(nobody);
        let reason = match &self.raft.metrics().borrow_watched().running_state {
            Err(fatal) => fatal.to_string(),
            Ok(()) => "it was shut down".to_owned(),
        };
        self.stopped.send_replace(Some(reason));
    }

    fn current(&self) -> (Lease, bool, bool) {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let membership = server.membership_config.membership();
        let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
        let sole_voter = voters.iter().eq([&self.id]);
        let leading = server.state == ServerState::Leader && server.current_leader == Some(self.id);
        let until = if !leading {
            Until::Never
        } else if sole_voter {
            Until::Always
        } else {
            match self.raft.data_metrics().borrow_watched().last_quorum_acked {
                Some(acked) => {
                    // Now is taken first, so that the lease is never longer than it may be.
                    let now = tokio::time::Instant::now();
                    now.checked_sub(acked.elapsed())
                        .map_or(Until::Never, |at| Until::Instant(at + self.duration))
                }
                None => Until::Never,
            }
        };
        let leader =
            server.current_leader.map(|id| (id, membership.get_node(&id).cloned().unwrap_or_default()));
        (Lease { leader, term: server.vote.leader_id.term, until }, sole_voter, leading)
    }

    /// The first leader of a cluster gives it its id. Should it fail, the next change of leadership tries again.
    fn name_cluster(&self) {
        let id = uuid::Uuid::new_v4().as_u128();
        let ignore = |_: ClientWriteResult<TypeConfig>| {};
        self.proposals.submit(batch::cluster(id), Answer(Box::new(ignore)));
    }
}

/// Takes snapshots when they are due, and lets the log go behind them.
async fn keep_snapshots(
    raft: OpenRaft,
    progress: Arc<Progress>,
    mut stopped: watch::Receiver<Option<String>>,
) {
    let mut metrics = raft.data_metrics();
    loop {
        tokio::select! {
            () = progress.snapshot_due.notified() => {}
            _ = stopped.changed() => return,
        }
        let before = progress.snapshots_built.load(std::sync::atomic::Ordering::Relaxed);
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let built = async {
            loop {
                let built = *progress.built.lock().unwrap_or_else(PoisonError::into_inner);
                let known = metrics.borrow_watched().snapshot;
                let newer = progress.snapshots_built.load(std::sync::atomic::Ordering::Relaxed) > before;
                match built {
                    Some((last, purge)) if newer && known.is_some_and(|known| known >= last) => return purge,
                    _ => {}
                }
                if metrics.changed().await.is_err() {
                    return None;
                }
            }
        };
        if let Ok(Some(purge)) = tokio::time::timeout(PURGE_PATIENCE, built).await
            && raft.trigger().purge_log(purge).await.is_err()
        {
            return;
        }
    }
}

impl Machine {
    /// From now on everything is published; first what there is.
    fn go_live(&mut self) {
        self.progress().live.store(true, Release);
        self.publish_all();
    }
}
