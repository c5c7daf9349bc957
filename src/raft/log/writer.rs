//! The one who writes: takes everything that was asked of the log since the last time, writes it with one call and
//! syncs once.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::IOFlushed;

use crate::disk::{Disk, DiskFile};
use crate::log::name;
use crate::log::record::{Facts, Head, Mark, Position, Record, put_entry_record, put_record};
use crate::log::recover::{self, Memberships, Recovered};
use crate::log::terms::Terms;
use crate::log::tidy::Tidy;
use crate::log::view::{Ticket, View};
use crate::types::{Entry, LogId, StoredMembership, TypeConfig, Vote};

/// The first segment of all: small, so that a server is up at once.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// Something to write. The order of operations is the order in the log.
#[derive(Debug)]
pub(crate) enum Change {
    Append(Vec<(Ticket, Entry)>),
    Vote(Vote),
    Truncate(Option<LogId>),
    Purge(LogId),
    Cluster(u128),
    /// Nothing: to be told when everything before it is durable.
    Barrier,
}

/// Whom to tell when a change is durable.
pub(crate) enum Done {
    Flushed(IOFlushed<TypeConfig>),
    Signal(tokio::sync::oneshot::Sender<io::Result<()>>),
    Nobody,
}

impl Done {
    pub(crate) fn tell(self, result: io::Result<()>) {
        match self {
            Done::Flushed(callback) => callback.io_completed(result),
            Done::Signal(sender) => drop(sender.send(result)),
            Done::Nobody => {}
        }
    }
}

/// What was asked of the log.
pub(crate) struct Job {
    pub(crate) change: Change,
    pub(crate) done: Done,
}

/// The state that writer and readers share.
pub(crate) type SharedView = Arc<Mutex<View>>;

pub(crate) fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters for the operator.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) syncs: std::sync::atomic::AtomicU64,
    pub(crate) groups: std::sync::atomic::AtomicU64,
    pub(crate) bytes: std::sync::atomic::AtomicU64,
}

/// See the module.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    view: SharedView,
    tidy: Tidy,
    counters: Arc<Counters>,
    active: Option<Active>,
    last_sequence: u64,
    durable: Position,
    /// As written so far, for the heads of segments.
    facts: Facts,
    memberships: Memberships,
    terms: Terms,
    buffer: Vec<u8>,
    /// What the buffer will have put into the active segment when it is written.
    placed: Vec<Placed>,
    failed: Option<String>,
}

struct Active {
    file: Arc<dyn DiskFile>,
    end: Position,
    capacity: u64,
}

enum Placed {
    Entry(u64, u64),
    Truncate(u64),
}

impl Writer {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        recovered: &Recovered,
        view: SharedView,
        tidy: Tidy,
        counters: Arc<Counters>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let active = match recovered.active {
            Some((end, capacity)) => {
                let file = disk.open(&name::segment(end.sequence))?;
                Some(Active { file, end, capacity })
            }
            None => None,
        };
        Ok(Writer {
            durable: recovered.active.map(|(end, _)| end).unwrap_or_default(),
            disk,
            segment_bytes,
            view,
            tidy,
            counters,
            active,
            last_sequence: recovered.last_sequence,
            facts: recovered.facts.clone(),
            memberships: recovered.memberships.clone(),
            terms: Terms::default(),
            buffer: Vec::new(),
            placed: Vec::new(),
            failed: None,
        })
    }

    /// Writes and syncs all of it, then tells everybody. After the first failure nothing is written any more.
    pub(crate) fn flush(&mut self, jobs: Vec<Job>) {
        let result = match &self.failed {
            Some(failed) => Err(io::Error::other(failed.clone())),
            None => self.write(&jobs),
        };
        match result {
            Ok(()) => {
                for job in jobs {
                    job.done.tell(Ok(()));
                }
            }
            Err(error) => {
                let failed = self.failed.get_or_insert_with(|| error.to_string()).clone();
                lock(&self.view).failed = Some(failed.clone());
                for job in jobs {
                    job.done.tell(Err(io::Error::new(error.kind(), failed.clone())));
                }
            }
        }
    }

    fn write(&mut self, jobs: &[Job]) -> io::Result<()> {
        self.facts.committed = self.facts.committed.max(lock(&self.view).facts.committed);
        let mut purged = None;
        let mut ticket = None;
        self.begin_group()?;
        for job in jobs {
            match &job.change {
                Change::Append(entries) => {
                    for (number, entry) in entries {
                        self.entry(entry)?;
                        ticket = Some(number + 1);
                    }
                }
                Change::Vote(vote) => {
                    self.record(&Record::Vote(*vote))?;
                    self.facts.vote = Some(*vote);
                }
                Change::Truncate(after) => {
                    self.record(&Record::Truncate(*after))?;
                    recover::truncate(&mut self.facts, &mut self.terms, &mut self.memberships, *after);
                    self.placed.push(Placed::Truncate(after.map_or(0, |id| id.index() + 1)));
                }
                Change::Purge(upto) => {
                    self.record(&Record::Purge(*upto))?;
                    recover::purge(&mut self.facts, &mut self.terms, *upto);
                    purged = Some(upto.index());
                }
                Change::Cluster(id) => {
                    self.record(&Record::Cluster(*id))?;
                    self.facts.cluster = *id;
                }
                Change::Barrier => {}
            }
        }
        self.write_out()?;
        self.counters.groups.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(ticket) = ticket {
            lock(&self.view).wrote(ticket);
        }
        if let Some(purged) = purged {
            let segments = lock(&self.view).places.take_purged(purged);
            let names = segments.iter().map(|segment| name::segment(segment.sequence)).collect();
            self.tidy.reclaim(names, self.segment_bytes);
        }
        if let Some(active) = &self.active
            && active.end.offset > active.capacity / 2
        {
            self.tidy.prepare(self.segment_bytes);
        }
        Ok(())
    }

    /// A group begins with what is durable already.
    fn begin_group(&mut self) -> io::Result<()> {
        if self.active.is_none() {
            self.begin_segment(0)?;
        }
        let mark = Record::Mark(Mark { durable: self.durable, committed: self.facts.committed });
        self.put(|out, at| put_record(out, at, &mark)).map(drop)
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.put(|out, at| put_record(out, at, record)).map(drop)
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let offset = self.put(|out, at| put_entry_record(out, at, entry))?;
        let id = entry.log_id();
        self.placed.push(Placed::Entry(id.index(), offset));
        self.facts.last = Some(id);
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.memberships.push(StoredMembership::new(Some(id), membership.clone()));
        }
        Ok(())
    }

    /// Adds a record to the buffer; where it does not fit, what is there is written and a new segment begun.
    fn put(&mut self, encode: impl Fn(&mut Vec<u8>, Position)) -> io::Result<u64> {
        for attempt in 0..2 {
            let Some(active) = &self.active else { break };
            let start = self.buffer.len();
            let at = Position { offset: active.end.offset + start as u64, ..active.end };
            encode(&mut self.buffer, at);
            if active.end.offset + self.buffer.len() as u64 <= active.capacity {
                return Ok(at.offset);
            }
            let needed = (self.buffer.len() - start) as u64;
            self.buffer.truncate(start);
            if attempt == 0 {
                self.write_out()?;
                self.begin_segment(needed)?;
                if start > 0 {
                    self.begin_group()?;
                }
            }
        }
        Err(io::Error::other("a record does not fit into a segment made for it"))
    }

    /// Writes the buffer and syncs; only then is anything in it known to readers of the disk.
    fn write_out(&mut self) -> io::Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let Some(active) = &mut self.active else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        active.file.write_at(&self.buffer, active.end.offset)?;
        active.file.sync_data()?;
        self.counters.syncs.fetch_add(1, Relaxed);
        self.counters.bytes.fetch_add(self.buffer.len() as u64, Relaxed);
        active.end.offset += self.buffer.len() as u64;
        self.durable = active.end;
        self.buffer.clear();
        // A large group must not keep its memory for ever.
        self.buffer.shrink_to(1 << 20);
        let mut view = lock(&self.view);
        for placed in self.placed.drain(..) {
            match placed {
                Placed::Entry(index, offset) => view.places.push(index, offset),
                Placed::Truncate(from) => view.places.truncate(from),
            }
        }
        Ok(())
    }

    /// Begins a segment with room for a record of `needed` bytes. Everything before is durable.
    fn begin_segment(&mut self, needed: u64) -> io::Result<()> {
        let sequence = self.last_sequence + 1;
        let name = name::segment(sequence);
        self.facts.membership = self.memberships.last();
        let head = Record::Head(Box::new(Head { durable: self.durable, facts: self.facts.clone() }));
        let mut bytes = Vec::new();
        put_record(&mut bytes, Position { sequence, offset: 0 }, &head);
        // Room for the head, a mark and the record.
        let least = bytes.len() as u64 + needed + 128;
        let usual =
            if sequence == 1 { self.segment_bytes.min(FIRST_SEGMENT_BYTES) } else { self.segment_bytes };
        let capacity = least.max(usual).next_multiple_of(8);
        let (file, capacity) = self.tidy.take(&name, capacity)?;
        self.disk.sync_dir()?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        self.counters.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.last_sequence = sequence;
        let end = Position { sequence, offset: bytes.len() as u64 };
        self.durable = end;
        lock(&self.view).places.begin_segment(sequence, file.clone());
        self.active = Some(Active { file, end, capacity });
        Ok(())
    }
}
