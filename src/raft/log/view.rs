//! What the log knows without asking the disk: shared by the writer, which moves it on, and all readers.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use crate::disk::{DiskFile, read_exact_at};
use crate::log::index::Places;
use crate::log::record::Facts;
use crate::log::record::{HEADER_BYTES, Header, Position, Record};
use crate::log::recover::{self, Memberships, Recovered};
use crate::log::terms::Terms;
use crate::types::{Entry, LogId, StoredMembership};

/// Counts appended entries for as long as the log is open, so that an entry that took the place of a truncated one is
/// told apart from it.
pub(crate) type Ticket = u64;

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    /// As submitted, not as durable.
    pub(crate) facts: Facts,
    pub(crate) memberships: Memberships,
    pub(crate) terms: Terms,
    pub(crate) places: Places,
    cache: VecDeque<Cached>,
    cache_bytes: usize,
    cache_limit: usize,
    next_ticket: Ticket,
    /// Entries with a lower ticket can be read from the disk.
    written: Ticket,
    /// Why nothing can be written any more.
    pub(crate) failed: Option<String>,
}

#[derive(Debug)]
struct Cached {
    ticket: Ticket,
    bytes: usize,
    entry: Entry,
}

/// Where the entries of a range are.
pub(crate) enum Source {
    Memory(Entry),
    Disk(std::sync::Arc<dyn DiskFile>, Position),
}

impl View {
    pub(crate) fn new(recovered: Recovered, cache_limit: usize) -> Self {
        View {
            facts: recovered.facts,
            memberships: recovered.memberships,
            terms: recovered.terms,
            places: recovered.places,
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_limit,
            next_ticket: 0,
            written: 0,
            failed: None,
        }
    }

    /// The entries there are: from the one after the purge point to the last.
    pub(crate) fn range(&self) -> Range<u64> {
        let end = self.facts.last.map_or(0, |last| last.index() + 1);
        let start = match self.facts.purged {
            Some(purged) => purged.index() + 1,
            None => self.terms.first().unwrap_or(end),
        };
        start.min(end)..end
    }

    /// Takes an entry in; it can be read at once.
    pub(crate) fn push(&mut self, entry: Entry) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let id = entry.log_id();
        self.terms.push(&id);
        self.facts.last = Some(id);
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.memberships.push(StoredMembership::new(Some(id), membership.clone()));
            self.facts.membership = self.memberships.last();
        }
        let bytes = size(&entry);
        self.cache_bytes += bytes;
        self.cache.push_back(Cached { ticket, bytes, entry });
        ticket
    }

    pub(crate) fn truncate(&mut self, after: Option<LogId>) {
        let from = after.map_or(0, |id| id.index() + 1);
        while self.cache.back().is_some_and(|cached| cached.entry.index() >= from) {
            self.cache_bytes -= self.cache.pop_back().map_or(0, |cached| cached.bytes);
        }
        recover::truncate(&mut self.facts, &mut self.terms, &mut self.memberships, after);
        self.facts.membership = self.memberships.last();
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        recover::purge(&mut self.facts, &mut self.terms, upto);
        while self.cache.front().is_some_and(|cached| cached.entry.index() <= upto.index()) {
            self.drop_oldest();
        }
    }

    /// Everything with a lower ticket is on the disk now, so the cache may forget it.
    pub(crate) fn wrote(&mut self, upto: Ticket) {
        self.written = self.written.max(upto);
        while self.cache_bytes > self.cache_limit
            && self.cache.front().is_some_and(|cached| cached.ticket < self.written)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.cache_bytes -= self.cache.pop_front().map_or(0, |cached| cached.bytes);
    }

    /// Where to find the entry; `None` if it is not in the log.
    pub(crate) fn source(&self, index: u64) -> Option<Source> {
        if !self.range().contains(&index) {
            return None;
        }
        let front = self.cache.front().map(|cached| cached.entry.index());
        if let Some(cached) = front.and_then(|front| self.cache.get(index.checked_sub(front)? as usize)) {
            return Some(Source::Memory(cached.entry.clone()));
        }
        self.places.find(index).map(|(file, at)| Source::Disk(file, at))
    }

    pub(crate) fn cached_bytes(&self) -> usize {
        self.cache_bytes
    }
}

fn size(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(batch) => batch.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + size_of::<Cached>()
}

/// Reads an entry back.
pub(crate) fn read_entry(file: &dyn DiskFile, at: Position) -> io::Result<Entry> {
    let damaged =
        || io::Error::new(io::ErrorKind::InvalidData, format!("no entry at byte {} of a segment", at.offset));
    let mut header = [0; HEADER_BYTES];
    read_exact_at(file, &mut header, at.offset)?;
    let header = Header::read(&header).filter(Header::is_plausible).ok_or_else(damaged)?;
    let mut payload = vec![0; header.length];
    read_exact_at(file, &mut payload, at.offset + HEADER_BYTES as u64)?;
    if !header.check(at, &payload) {
        return Err(damaged());
    }
    let payload = bytes::Bytes::from(payload);
    match header.decode(&payload, Some(&payload)) {
        Ok(Record::Entry(entry)) => Ok(entry),
        _ => Err(damaged()),
    }
}
