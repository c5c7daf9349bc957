//! The durable log: append-only segments, one writer that drains its queue and syncs once for everything in it.
//!
//! ```text
//!   core ── append, vote, truncate, purge ──▶ queue ──▶ writer: one write, one sync ──▶ callbacks
//!     ▲                  │                                  │
//!     └── readers ◀── view (recent entries, facts) ◀────────┘ places of entries
//! ```
//!
//! Invariants:
//! - Nobody is told that a change is durable before the sync that covers it has returned.
//! - What is read back after a crash is what was written up to some point at or behind the last acknowledged change.
//! - After the first error of a write or a sync nothing is written any more: what the disk holds is no longer known.
//! - An entry can be read as soon as it was appended; entries that are not on the disk yet are never dropped from memory.
//! - A sector that is written again with the same bytes in front keeps them if the power goes meanwhile, as disks and
//!   file systems promise; nothing is assumed about bytes that were not synced.

mod error;
mod index;
mod name;
mod record;
mod recover;
mod scan;
mod store;
mod terms;
mod tidy;
mod view;
mod writer;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod log_test;

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

pub use error::OpenError;

use crate::disk::Disk;
use crate::types::{Entry, LogId, Vote};
use tidy::Tidy;
use view::{Source, View};
pub(crate) use writer::Done;
use writer::{Change, Counters, Job, SharedView, Writer, lock};

/// A group takes at most this many bytes of entries, so that no one waits for an endless queue to be written.
const GROUP_BYTES: usize = 8 << 20;

/// Sizes of the log.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// Bytes of a segment, taken at once; the very first is smaller.
    pub(crate) segment_bytes: u64,
    /// Bytes of recent entries kept in memory.
    pub(crate) cache_bytes: usize,
    /// Who writes.
    pub(crate) flush: Flush,
}

/// Who writes to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// A thread of its own, so that those who append go on meanwhile.
    Thread,
    /// Whoever appends: deterministic, for simulation, and for disks that do not wait.
    InLine,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 16 << 20, cache_bytes: 4 << 20, flush: Flush::Thread }
    }
}

/// A handle on the log; clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    view: SharedView,
    counters: Arc<Counters>,
    submit: Arc<Submit>,
}

enum Submit {
    Queue { sender: Mutex<Option<mpsc::Sender<Job>>>, thread: Mutex<Option<thread::JoinHandle<()>>> },
    InLine(Box<Mutex<Writer>>),
}

/// Figures of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogFigures {
    /// Syncs since start.
    pub syncs: u64,
    /// Flush groups since start.
    pub groups: u64,
    /// Bytes written since start.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Bytes of entries in memory.
    pub cached_bytes: usize,
}

impl Log {
    /// Reads what is there and gets ready to write behind it.
    pub(crate) fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Log, OpenError> {
        let recovered = recover::recover(&*disk)?;
        if let Some(torn) = &recovered.torn {
            tracing::warn!(
                file = torn.file,
                offset = torn.offset,
                bytes = torn.bytes,
                "The log ended in a write that was cut short and never acknowledged; it was removed"
            );
        }
        let tidy = match options.flush {
            Flush::Thread => Tidy::threaded(disk.clone()).map_err(OpenError::io("starting a thread"))?,
            Flush::InLine => Tidy::in_line(disk.clone()),
        };
        let counters = Arc::new(Counters::default());
        let placeholder = recover::Recovered::default();
        let view = Arc::new(Mutex::new(View::new(placeholder, options.cache_bytes)));
        let writer =
            Writer::new(disk, &recovered, view.clone(), tidy, counters.clone(), options.segment_bytes)
                .map_err(OpenError::io("opening the last segment of the log"))?;
        *lock(&view) = View::new(recovered, options.cache_bytes);
        let submit = match options.flush {
            Flush::InLine => Submit::InLine(Box::new(Mutex::new(writer))),
            Flush::Thread => {
                let (sender, jobs) = mpsc::channel();
                let thread = thread::Builder::new()
                    .name("crs-log-flush".to_owned())
                    .spawn(move || run(writer, &jobs))
                    .map_err(OpenError::io("starting a thread"))?;
                Submit::Queue { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) }
            }
        };
        Ok(Log { view, counters, submit: Arc::new(submit) })
    }

    /// Takes entries in, in order; `done` hears when they are durable.
    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Entry>, done: Done) -> io::Result<()> {
        let mut view = self.writable()?;
        let entries: Vec<_> = entries.into_iter().map(|entry| (view.push(entry.clone()), entry)).collect();
        self.submit(view, Change::Append(entries), done)
    }

    /// Keeps a vote; `done` hears when it is durable.
    pub(crate) fn vote(&self, vote: Vote, done: Done) -> io::Result<()> {
        let mut view = self.writable()?;
        view.facts.vote = Some(vote);
        self.submit(view, Change::Vote(vote), done)
    }

    /// Drops the entries after this one.
    pub(crate) fn truncate(&self, after: Option<LogId>) -> io::Result<()> {
        let mut view = self.writable()?;
        if view.facts.last.is_none_or(|last| after.is_some_and(|after| after.index() >= last.index())) {
            return Ok(());
        }
        view.truncate(after);
        self.submit(view, Change::Truncate(after), Done::Nobody)
    }

    /// Drops the entries up to this one; a snapshot has them.
    pub(crate) fn purge(&self, upto: LogId) -> io::Result<()> {
        let mut view = self.writable()?;
        view.purge(upto);
        self.submit(view, Change::Purge(upto), Done::Nobody)
    }

    /// Keeps which cluster this is a log of.
    pub(crate) fn set_cluster(&self, id: u128) -> io::Result<()> {
        let mut view = self.writable()?;
        view.facts.cluster = id;
        self.submit(view, Change::Cluster(id), Done::Nobody)
    }

    /// `done` hears when everything before is durable, and what is committed is known after a restart.
    pub(crate) fn barrier(&self, done: Done) -> io::Result<()> {
        let view = self.writable()?;
        self.submit(view, Change::Barrier, done)
    }

    /// Remembered with the next flush.
    pub(crate) fn set_committed(&self, committed: Option<LogId>) {
        lock(&self.view).facts.committed = committed;
    }

    /// What is known beside entries.
    pub(crate) fn facts(&self) -> record::Facts {
        lock(&self.view).facts.clone()
    }

    /// The entries of the range that are in the log, in order: all, or as many as fit into `limit_bytes` but at least
    /// one. Entries that are no longer in memory are read from the disk by the caller's thread.
    pub(crate) fn read(&self, from: u64, to: u64, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let range = lock(&self.view).range();
        let mut index = from.max(range.start);
        while index < to.min(range.end) && (entries.is_empty() || bytes < limit_bytes) {
            // The lock covers a stretch of entries in memory, or one lookup of a place.
            let view = lock(&self.view);
            let mut place = None;
            while index < to.min(range.end) && (entries.is_empty() || bytes < limit_bytes) {
                match view.source(index) {
                    Some(Source::Memory(entry)) => {
                        bytes += payload_bytes(&entry);
                        entries.push(entry);
                        index += 1;
                    }
                    Some(Source::Disk(file, at)) => {
                        place = Some((file, at));
                        break;
                    }
                    // Purged or truncated meanwhile.
                    None => return Ok(gone(&view, entries, index)),
                }
            }
            drop(view);
            let Some((file, at)) = place else { break };
            match view::read_entry(&*file, at) {
                Ok(entry) => {
                    bytes += payload_bytes(&entry);
                    entries.push(entry);
                    index += 1;
                }
                Err(error) => {
                    let view = lock(&self.view);
                    if view.range().contains(&index) {
                        return Err(error);
                    }
                    return Ok(gone(&view, entries, index));
                }
            }
        }
        Ok(entries)
    }

    pub(crate) fn figures(&self) -> LogFigures {
        let view = lock(&self.view);
        LogFigures {
            syncs: self.counters.syncs.load(Relaxed),
            groups: self.counters.groups.load(Relaxed),
            bytes: self.counters.bytes.load(Relaxed),
            segments: view.places.len(),
            cached_bytes: view.cached_bytes(),
        }
    }

    /// Writes what is queued, and ends the threads. What comes later is refused.
    pub(crate) fn close(&self) {
        if let Submit::Queue { sender, thread } = &*self.submit {
            drop(sender.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                drop(thread.join());
            }
        }
    }

    fn writable(&self) -> io::Result<std::sync::MutexGuard<'_, View>> {
        let view = lock(&self.view);
        match &view.failed {
            Some(failed) => Err(io::Error::other(format!("the log cannot be written any more: {failed}"))),
            None => Ok(view),
        }
    }

    /// Queues a change. The view is held until it is in the queue, so that both have the same order.
    fn submit(&self, view: std::sync::MutexGuard<'_, View>, change: Change, done: Done) -> io::Result<()> {
        let job = Job { change, done };
        match &*self.submit {
            Submit::Queue { sender, .. } => {
                let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                let closed = || io::Error::other("the log is closed");
                sender.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())
            }
            Submit::InLine(writer) => {
                drop(view);
                writer.lock().unwrap_or_else(PoisonError::into_inner).flush(vec![job]);
                Ok(())
            }
        }
    }
}

/// What is left of a reading when an entry went away under it: nothing before a purge point counts.
fn gone(view: &View, entries: Vec<Entry>, index: u64) -> Vec<Entry> {
    if index < view.range().start { Vec::new() } else { entries }
}

/// The flush thread. The queue has no bound of its own: what is in it was let in by the bounds on proposals and on
/// messages between servers.
fn run(mut writer: Writer, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut bytes = job_bytes(&first);
        let mut group = vec![first];
        while bytes < GROUP_BYTES
            && let Ok(job) = jobs.try_recv()
        {
            bytes += job_bytes(&job);
            group.push(job);
        }
        writer.flush(group);
    }
}

fn job_bytes(job: &Job) -> usize {
    match &job.change {
        Change::Append(entries) => entries.iter().map(|(_, entry)| payload_bytes(entry)).sum(),
        _ => 0,
    }
}

fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(batch) => batch.0.len(),
        _ => 64,
    }
}
