//! What a directory of segments says, read once at start.
//!
//! The segments that count are the last ones without a gap between them; each begins with what the earlier ones said.
//! Reading ends at the first place that is no record. If any mark, in front of it or behind it, says that a later place
//! was durable, then what was durable is no longer there, and the start stops. Otherwise what stands there belongs to a
//! flush that never was acknowledged: a torn tail, which is overwritten with zeros so that nothing of it can ever be
//! taken for a record again.

use std::sync::Arc;

use crate::codec::CodecError;
use crate::disk::{Disk, DiskFile};
use crate::log::error::OpenError;
use crate::log::index::Places;
use crate::log::name;
use crate::log::record::{Facts, Head, Position, Record};
use crate::log::scan::{Scanner, Step};
use crate::log::terms::Terms;
use crate::types::{LogId, StoredMembership};
use openraft::entry::{RaftEntry, RaftPayload};

/// Zeros are written over a torn tail in pieces of this size.
const ZEROS: usize = 64 * 1024;

/// The log as it stands on the disk.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) facts: Facts,
    pub(crate) memberships: Memberships,
    pub(crate) terms: Terms,
    pub(crate) places: Places,
    /// Where writing goes on, and how much room the file has; `None` in an empty directory.
    pub(crate) active: Option<(Position, u64)>,
    pub(crate) last_sequence: u64,
    pub(crate) torn: Option<Torn>,
}

/// A tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The memberships in the log, so that a truncation brings the one before back.
#[derive(Debug, Default, Clone)]
pub(crate) struct Memberships(Vec<StoredMembership>);

impl Memberships {
    pub(crate) fn push(&mut self, membership: StoredMembership) {
        self.0.push(membership);
        // Two can matter: one committed, one not yet.
        if self.0.len() > 4 {
            self.0.remove(0);
        }
    }

    pub(crate) fn truncate(&mut self, after: Option<u64>) {
        self.0.retain(|stored| stored.log_id().is_none_or(|id| Some(id.index()) <= after));
    }

    pub(crate) fn last(&self) -> StoredMembership {
        self.0.last().cloned().unwrap_or_default()
    }
}

struct Candidate {
    sequence: u64,
    name: String,
    file: Arc<dyn DiskFile>,
    head: Option<Box<Head>>,
}

/// Reads the log, cuts a torn tail, removes files that no longer count. Changes nothing when it fails.
pub(crate) fn recover(disk: &dyn Disk) -> Result<Recovered, OpenError> {
    let mut candidates = find_segments(disk)?;
    let unfinished_from = candidates.iter().rposition(|c| c.head.is_some()).map_or(0, |last| last + 1);
    let unfinished = candidates.split_off(unfinished_from);
    let run_from = (1..candidates.len())
        .rev()
        .find(|&i| {
            candidates[i - 1].head.is_none() || candidates[i - 1].sequence + 1 != candidates[i].sequence
        })
        .unwrap_or(0);
    let run = candidates.split_off(run_from);
    let before = candidates;

    let mut recovered = Recovered {
        // Not that of an unfinished one: the sequence must have no gap.
        last_sequence: run.last().map_or(0, |c| c.sequence),
        ..Recovered::default()
    };
    let mut highest = Position::default();
    for segment in &unfinished {
        let mut scanner = open_scanner(disk, segment)?;
        if let Some(durable) = scanner.tail().map_err(reading(disk, &segment.name))?.durable {
            highest = highest.max(durable);
        }
    }
    // A segment whose head was durable is no unfinished one.
    if let Some(segment) = unfinished.iter().find(|c| c.sequence <= highest.sequence) {
        return Err(OpenError::Damaged { file: disk.describe(&segment.name), offset: 0 });
    }

    let mut end = None;
    for (number, segment) in run.iter().enumerate() {
        let mut scanner = open_scanner(disk, segment)?;
        let stop = replay(disk, segment, &mut scanner, number == 0, &mut recovered, &mut highest)?;
        let next_head = run.get(number + 1).and_then(|next| next.head.as_ref());
        let tail = match next_head {
            Some(_) => Default::default(),
            None => scanner.tail().map_err(reading(disk, &segment.name))?,
        };
        highest = highest.max(tail.durable.unwrap_or_default());
        let durable = next_head.map_or(highest, |head| head.durable);
        if durable > stop || next_head.is_some() && durable != stop {
            return Err(OpenError::Damaged { file: disk.describe(&segment.name), offset: stop.offset });
        }
        end = Some((segment, stop, tail));
    }
    check_complete(disk, &recovered, &before, &run)?;

    // From here on the log is good, and what does not belong to it goes.
    if let Some((segment, stop, tail)) = end {
        if let Some(used_to) = tail.used_to {
            recovered.torn = Some(Torn {
                file: disk.describe(&segment.name),
                offset: stop.offset,
                bytes: used_to - stop.offset,
            });
            erase(&*segment.file, stop.offset, used_to).map_err(OpenError::io(format!(
                "cutting the torn tail of {}",
                disk.describe(&segment.name)
            )))?;
        }
        let capacity = segment.file.len().map_err(reading(disk, &segment.name))?;
        recovered.active = Some((stop, capacity));
    }
    let gone: Vec<_> = before.iter().chain(&unfinished).map(|c| c.name.clone()).collect();
    remove(disk, gone)?;
    if recovered
        .facts
        .committed
        .is_some_and(|id| recovered.facts.last.is_none_or(|last| id.index() > last.index()))
    {
        // Commitment was learned before this disk had the entries; those it has are committed all the same.
        recovered.facts.committed = recovered.facts.last;
    }
    Ok(recovered)
}

fn find_segments(disk: &dyn Disk) -> Result<Vec<Candidate>, OpenError> {
    let mut names: Vec<(u64, String)> = disk
        .list()
        .map_err(OpenError::io(format!("listing {}", disk.describe(""))))?
        .into_iter()
        .filter_map(|name| Some((name::parse_segment(&name)?, name)))
        .collect();
    names.sort();
    let mut candidates = Vec::new();
    for (sequence, name) in names {
        let file = disk.open(&name).map_err(OpenError::io(format!("opening {}", disk.describe(&name))))?;
        let mut scanner = Scanner::new(&*file, sequence).map_err(reading(disk, &name))?;
        let head = match scanner.next().map_err(reading(disk, &name))? {
            Ok(Step::Record { record: Record::Head(head), .. }) => Some(head),
            Ok(_) => None,
            Err(problem) => return Err(OpenError::Format { file: disk.describe(&name), offset: 0, problem }),
        };
        candidates.push(Candidate { sequence, name, file, head });
    }
    Ok(candidates)
}

fn open_scanner<'a>(disk: &dyn Disk, segment: &'a Candidate) -> Result<Scanner<'a>, OpenError> {
    Scanner::new(&*segment.file, segment.sequence).map_err(reading(disk, &segment.name))
}

fn reading(disk: &dyn Disk, name: &str) -> impl FnOnce(std::io::Error) -> OpenError {
    OpenError::io(format!("reading {}", disk.describe(name)))
}

/// Takes in the records of one segment; says where they end.
fn replay(
    disk: &dyn Disk,
    segment: &Candidate,
    scanner: &mut Scanner<'_>,
    first: bool,
    recovered: &mut Recovered,
    highest: &mut Position,
) -> Result<Position, OpenError> {
    let format = |offset, problem| OpenError::Format { file: disk.describe(&segment.name), offset, problem };
    recovered.places.begin_segment(segment.sequence, segment.file.clone());
    loop {
        let here = scanner.at;
        let (record, at) = match scanner.next().map_err(reading(disk, &segment.name))? {
            Ok(Step::Record { record, at, .. }) => (record, at),
            Ok(Step::End | Step::Bad) => return Ok(Position { sequence: segment.sequence, offset: here }),
            Err(problem) => return Err(format(here, problem)),
        };
        let facts = &mut recovered.facts;
        match record {
            Record::Head(head) => {
                *highest = (*highest).max(head.durable);
                if first {
                    recovered.memberships.push(head.facts.membership.clone());
                    *facts = head.facts;
                    if let Some(last) = facts.last {
                        recovered.terms.restart(&last);
                    }
                } else if head.facts.last != facts.last {
                    return Err(format(at, CodecError::Order));
                }
            }
            Record::Mark(mark) => {
                *highest = (*highest).max(mark.durable);
                facts.committed = facts.committed.max(mark.committed);
            }
            Record::Entry(entry) => {
                let id = entry.log_id();
                if facts.last.is_some_and(|last| last.index() + 1 != id.index()) {
                    return Err(format(at, CodecError::Order));
                }
                recovered.terms.push(&id);
                recovered.places.push(id.index(), at);
                facts.last = Some(id);
                if let Some(membership) = entry.payload.get_membership() {
                    recovered.memberships.push(StoredMembership::new(Some(id), membership));
                }
            }
            Record::Vote(vote) => facts.vote = Some(vote),
            Record::Truncate(after) => {
                truncate(facts, &mut recovered.terms, &mut recovered.memberships, after);
                recovered.places.truncate(after.map_or(0, |id| id.index() + 1));
            }
            Record::Purge(upto) => purge(facts, &mut recovered.terms, upto),
            Record::Cluster(id) => facts.cluster = id,
        }
        recovered.facts.membership = recovered.memberships.last();
    }
}

/// What a truncation means to everything but the places.
pub(crate) fn truncate(
    facts: &mut Facts,
    terms: &mut Terms,
    memberships: &mut Memberships,
    after: Option<LogId>,
) {
    facts.last = after;
    terms.truncate(after.map_or(0, |id| id.index() + 1));
    memberships.truncate(after.map(|id| id.index()));
}

/// What a purge means to everything but the places.
pub(crate) fn purge(facts: &mut Facts, terms: &mut Terms, upto: LogId) {
    facts.purged = facts.purged.max(Some(upto));
    if facts.last.is_none_or(|last| last.index() < upto.index()) {
        facts.last = Some(upto);
        terms.restart(&upto);
    } else {
        terms.purge(upto.index());
    }
}

/// Every entry after the purge point must be there.
fn check_complete(
    disk: &dyn Disk,
    recovered: &Recovered,
    before: &[Candidate],
    run: &[Candidate],
) -> Result<(), OpenError> {
    let (Some(head), Some(last)) = (run.first().and_then(|c| c.head.as_ref()), recovered.facts.last) else {
        return Ok(());
    };
    // What the first segment says was before it must be purged by now.
    let needed_from = recovered.facts.purged.map_or(0, |purged| purged.index() + 1);
    let Some(last_before) = head.facts.last else { return Ok(()) };
    let lost_to = last_before.index().min(last.index());
    if lost_to < needed_from || recovered.places.find(needed_from).is_some() {
        return Ok(());
    }
    let sequence = run.first().map_or(0, |c| c.sequence.saturating_sub(1));
    if let Some(segment) = before.iter().find(|c| c.sequence == sequence) {
        return Err(OpenError::Damaged { file: disk.describe(&segment.name), offset: 0 });
    }
    Err(OpenError::Missing { file: disk.describe(&name::segment(sequence)), from: needed_from, to: lost_to })
}

fn erase(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS as u64);
        file.write_at(&zeros[..count as usize], at)?;
        at += count;
    }
    file.sync_data()
}

/// Removes segments that do not count, and what was to become one.
fn remove(disk: &dyn Disk, mut names: Vec<String>) -> Result<(), OpenError> {
    let all = disk.list().map_err(OpenError::io(format!("listing {}", disk.describe(""))))?;
    names.extend(all.into_iter().filter(|name| name::is_spare(name)));
    if names.is_empty() {
        return Ok(());
    }
    for name in &names {
        disk.remove(name).map_err(OpenError::io(format!("removing {}", disk.describe(name))))?;
    }
    disk.sync_dir().map_err(OpenError::io(format!("syncing {}", disk.describe(""))))
}
