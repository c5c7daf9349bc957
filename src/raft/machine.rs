//! The state machine as openraft wants it: applies batches to the store's state, hands the state out once per batch,
//! builds and installs snapshots beside it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crs_store::{Changes, State};
use futures::{Stream, TryStreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::Notify;

use crate::batch::{self, Content, Outcome, RestorePart};
use crate::disk::{Disk, Memory};
use crate::log::Log;
use crate::snapshot::{Header, SnapshotFile, Snapshots};
use crate::types::{Batch, LogId, SnapshotMeta, StoredMembership, TypeConfig, term_of};

type FullSnapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFile>;

/// An archive may have this many bytes while it is on its way through the log.
pub(crate) const MAX_RESTORE_BYTES: usize = 2 << 30;

/// How often the machine notes how far it is, in commands.
const NOTE_EVERY: u64 = 256;

/// Who is told when the state has moved on. Called on the task that applies: be quick, do not block.
pub trait Publish: Send + Sync + 'static {
    /// A batch was applied. The proposers hear of it after this returns.
    fn publish(&self, state: &State, changes: Changes);
    /// The state is another one: at start, after a snapshot from the leader, after a restore. Indexes may be lower.
    fn restored(&self, state: &State);
}

/// When to take a snapshot, and how much of the log to keep behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotRules {
    /// Commands since the last one.
    pub threshold: u64,
    /// Commands to keep in the log before it, for followers that are a little behind.
    pub trailing: u64,
    /// Not more often than this, unless the log grew by [`SnapshotRules::log_bytes`].
    pub interval: std::time::Duration,
    /// Bytes of entries since the last one that are enough on their own; also the most to keep in the log before it.
    pub log_bytes: u64,
}

impl Default for SnapshotRules {
    fn default() -> Self {
        SnapshotRules {
            threshold: 16_384,
            trailing: 10_000,
            interval: std::time::Duration::from_secs(20),
            log_bytes: 64 << 20,
        }
    }
}

/// What the machine and the rest of the crate share.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The highest term an applied entry was of: a leader whose own term this is has applied all that was before it.
    pub(crate) applied_term: AtomicU64,
    pub(crate) applied_index: AtomicU64,
    pub(crate) commands: AtomicU64,
    /// Set once the state is complete as of start; before, nothing is published.
    pub(crate) live: AtomicBool,
    /// A snapshot is due.
    pub(crate) snapshot_due: Notify,
    pub(crate) snapshots_built: AtomicU64,
    pub(crate) snapshot_bytes: AtomicU64,
    /// The last built snapshot, and up to where the log may go behind it.
    pub(crate) built: Mutex<Option<(LogId, Option<u64>)>>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    index: u64,
    commands: u64,
    bytes: u64,
}

/// See the module.
pub(crate) struct Machine {
    state: State,
    header: Header,
    publisher: Arc<dyn Publish>,
    snapshots: Snapshots,
    current: Option<SnapshotFile>,
    log: Log,
    rules: SnapshotRules,
    progress: Arc<Progress>,
    building: Arc<AtomicBool>,
    slot: Arc<Mutex<Option<SnapshotFile>>>,
    commands: u64,
    bytes: u64,
    noted: VecDeque<Note>,
    at_snapshot: Note,
    last_snapshot: tokio::time::Instant,
}

impl Machine {
    pub(crate) fn new(
        publisher: Arc<dyn Publish>,
        snapshots: Snapshots,
        current: Option<SnapshotFile>,
        log: Log,
        rules: SnapshotRules,
        progress: Arc<Progress>,
    ) -> Self {
        Machine {
            state: State::new(),
            header: Header::default(),
            publisher,
            snapshots,
            current,
            log,
            rules,
            progress,
            building: Arc::default(),
            slot: Arc::default(),
            commands: 0,
            bytes: 0,
            noted: VecDeque::new(),
            at_snapshot: Note { index: 0, commands: 0, bytes: 0 },
            last_snapshot: tokio::time::Instant::now(),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn publish_all(&self) {
        self.publisher.restored(&self.state);
    }

    fn apply_batch(
        &mut self,
        batch: &Batch,
        changes: &mut Changes,
        replaced: &mut bool,
    ) -> io::Result<Outcome> {
        let content =
            batch::decode(batch).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(match content {
            Content::Commands(commands) => {
                self.commands += commands.len() as u64;
                let live = self.progress.live.load(Relaxed);
                let replies = commands
                    .iter()
                    .map(|command| {
                        let applied = self.state.apply(command);
                        if live {
                            changes.merge(applied.changes);
                        }
                        applied.reply
                    })
                    .collect();
                Outcome::Replies(replies)
            }
            Content::Restore(part) => self.restore_part(part, replaced),
            Content::Cluster(id) => {
                // The first to say so wins, on every server.
                if self.header.cluster == 0 {
                    self.header.cluster = id;
                    self.log.set_cluster(id)?;
                }
                Outcome::Nothing
            }
        })
    }

    fn restore_part(&mut self, part: RestorePart, replaced: &mut bool) -> Outcome {
        self.commands += 1;
        if part.number == 0 {
            self.header.restoring = Some((part.id, 0, Vec::new()));
        }
        let refused = |text: &str| Outcome::NotRestored(text.to_owned());
        let Some((id, parts, bytes)) = &mut self.header.restoring else {
            return refused("another restore came in between");
        };
        if (*id, *parts) != (part.id, part.number) {
            return refused("another restore came in between");
        }
        if bytes.len() + part.bytes.len() > MAX_RESTORE_BYTES {
            self.header.restoring = None;
            return refused("the archive is too large");
        }
        bytes.extend_from_slice(&part.bytes);
        *parts += 1;
        if !part.last {
            return Outcome::Nothing;
        }
        let bytes = self.header.restoring.take().map(|(_, _, bytes)| bytes).unwrap_or_default();
        match State::read_snapshot(&mut bytes.as_slice()) {
            Ok(state) => {
                let before = self.state.index();
                self.state = state;
                self.state.follow(before);
                *replaced = true;
                Outcome::Restored(self.state.index())
            }
            Err(error) => Outcome::NotRestored(error.to_string()),
        }
    }

    fn publish(&self, changes: Changes, replaced: bool) {
        if !self.progress.live.load(Acquire) {
            return;
        }
        if replaced {
            self.publisher.restored(&self.state);
        } else {
            self.publisher.publish(&self.state, changes);
        }
    }

    fn note(&mut self, index: u64) {
        let now = Note { index, commands: self.commands, bytes: self.bytes };
        if self.noted.back().is_none_or(|last| now.commands >= last.commands + NOTE_EVERY) {
            self.noted.push_back(now);
        }
        let since = now.commands - self.at_snapshot.commands;
        let grown = now.bytes - self.at_snapshot.bytes;
        let full = grown >= self.rules.log_bytes.max(self.progress.snapshot_bytes.load(Relaxed));
        let due = since >= self.rules.threshold && self.last_snapshot.elapsed() >= self.rules.interval;
        if (due || full) && self.progress.live.load(Relaxed) && !self.building.load(Relaxed) {
            self.progress.snapshot_due.notify_one();
        }
    }

    /// Up to which entry the log may be purged once a snapshot of now is safe.
    fn purge_point(&mut self) -> Option<u64> {
        let (commands, bytes) = (self.commands, self.bytes);
        let keep = |note: &Note| {
            commands - note.commands < self.rules.trailing && bytes - note.bytes < self.rules.log_bytes
        };
        let mut point = None;
        while self.noted.front().is_some_and(|note| !keep(note)) {
            point = self.noted.pop_front().map(|note| note.index);
        }
        point
    }

    fn take(&mut self, header: Header, state: State) {
        if header.cluster != 0 && self.log.facts().cluster != header.cluster {
            // Fails only with the log, and then everything stops.
            drop(self.log.set_cluster(header.cluster));
        }
        self.state = state;
        self.applied(header.last);
        self.header = header;
    }

    fn applied(&self, last: Option<LogId>) {
        if let Some(last) = last {
            self.progress.applied_index.store(last.index(), Release);
            self.progress.applied_term.fetch_max(term_of(&last), AcqRel);
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.header.last, self.header.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut changes = Changes::default();
        let mut replaced = false;
        let mut answers = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let id = entry.log_id();
            let outcome = match &entry.payload {
                EntryPayload::Blank => Outcome::Nothing,
                EntryPayload::Normal(batch) => {
                    self.bytes += batch.0.len() as u64;
                    self.apply_batch(batch, &mut changes, &mut replaced)?
                }
                EntryPayload::Membership(membership) => {
                    self.header.membership = StoredMembership::new(Some(id), membership.clone());
                    Outcome::Nothing
                }
            };
            self.header.last = Some(id);
            if let Some(responder) = responder {
                answers.push((responder, outcome));
            }
        }
        if !changes.is_empty() || replaced {
            self.publish(changes, replaced);
        }
        self.applied(self.header.last);
        self.progress.commands.store(self.commands, Relaxed);
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        if let Some(last) = self.header.last {
            self.note(last.index());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.building.store(true, Relaxed);
        self.at_snapshot = Note { index: 0, commands: self.commands, bytes: self.bytes };
        self.last_snapshot = tokio::time::Instant::now();
        Builder {
            header: self.header.clone(),
            state: self.state.clone(),
            purge: self.purge_point(),
            snapshots: self.snapshots.clone(),
            progress: self.progress.clone(),
            building: self.building.clone(),
            slot: self.slot.clone(),
        }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        let describe = snapshots.describe(&snapshot.name);
        let read = move || {
            let (header, state) = snapshot.read()?;
            let snapshot = snapshots.adopt(snapshot, &header)?;
            Ok::<_, io::Error>((header, state, snapshot))
        };
        let (header, state, snapshot) = tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?
            .map_err(|error| io::Error::new(error.kind(), format!("{describe}: {error}")))?;
        self.progress.snapshot_bytes.store(snapshot.len, Relaxed);
        self.current = Some(snapshot);
        self.take(header, state);
        self.noted.clear();
        self.at_snapshot = Note { index: 0, commands: self.commands, bytes: self.bytes };
        self.publish(Changes::default(), true);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<FullSnapshot>> {
        let newer = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(newer) = newer
            && self.current.as_ref().is_none_or(|current| current.name < newer.name)
        {
            self.current = Some(newer);
        }
        match &self.current {
            None => Ok(None),
            Some(file) => Ok(Some(Snapshot { meta: file.header()?.meta(), snapshot: file.clone() })),
        }
    }
}

/// A view of the state on its way to the disk.
pub(crate) struct Builder {
    header: Header,
    state: State,
    purge: Option<u64>,
    snapshots: Snapshots,
    progress: Arc<Progress>,
    building: Arc<AtomicBool>,
    slot: Arc<Mutex<Option<SnapshotFile>>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<FullSnapshot> {
        let (header, state, snapshots) = (self.header.clone(), self.state.clone(), self.snapshots.clone());
        let written = tokio::task::spawn_blocking(move || snapshots.write(&header, &state)).await;
        self.building.store(false, Relaxed);
        let file = match written.map_err(io::Error::other)? {
            Ok(file) => file,
            // The log still has everything, and the snapshot before stays: a full disk is no reason to stop.
            Err(error) => {
                tracing::warn!(%error, "A snapshot could not be written; the log is kept until one can");
                let nothing: Arc<dyn Disk> = Arc::new(Memory::default());
                let file = SnapshotFile { name: String::new(), file: nothing.create("")?, len: 0 };
                return Ok(Snapshot { meta: SnapshotMeta::default(), snapshot: file });
            }
        };
        self.progress.snapshot_bytes.store(file.len, Relaxed);
        self.progress.snapshots_built.fetch_add(1, Relaxed);
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.clone());
        if let Some(last) = self.header.last {
            *self.progress.built.lock().unwrap_or_else(PoisonError::into_inner) = Some((last, self.purge));
        }
        Ok(Snapshot { meta: self.header.meta(), snapshot: file })
    }
}
