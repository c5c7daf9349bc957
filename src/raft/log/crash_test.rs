//! The proof of durability: seeded crashes of a log on a disk that forgets what was not synced.
//!
//! Each seed is a life of several crashes. Between two, random changes go in, in random groups, over the real writer;
//! somewhere in them the power goes. What is read back must be exactly the state after some prefix of the changes, and
//! never a prefix shorter than what was acknowledged.
//!
//! `CRS_RAFT_SEED` runs one seed, `CRS_RAFT_SEEDS` sets how many (CI: 1,500 seeds, about 6,000 crashes).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::recover::{self, Recovered};
use super::tidy::Tidy;
use super::view::View;
use super::writer::{Change, Counters, Done, Job, SharedView, Writer, lock};
use super::*;
use crate::testing::SimDisk;
use crate::types::{Batch, log_id};

/// What a log holds, as a plain model.
#[derive(Clone, PartialEq, Debug, Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    cluster: u128,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(entries) => {
                for (_, entry) in entries {
                    self.last = Some(entry.log_id());
                    self.entries.insert(entry.index(), entry.clone());
                }
            }
            Change::Vote(vote) => self.vote = Some(*vote),
            Change::Truncate(after) => {
                self.last = *after;
                self.entries.retain(|index, _| after.is_some_and(|id| *index <= id.index()));
            }
            Change::Purge(upto) => {
                self.purged = self.purged.max(Some(*upto));
                self.entries.retain(|index, _| *index > upto.index());
                if self.last.is_none_or(|last| last.index() < upto.index()) {
                    self.last = Some(*upto);
                }
            }
            Change::Cluster(id) => self.cluster = *id,
            Change::Barrier => {}
        }
    }

    fn read_from(log: &Log) -> Model {
        let facts = log.facts();
        let entries = log.read(0, u64::MAX, usize::MAX).unwrap();
        Model {
            entries: entries.into_iter().map(|entry| (entry.index(), entry)).collect(),
            vote: facts.vote,
            purged: facts.purged,
            last: facts.last,
            cluster: facts.cluster,
        }
    }
}

/// One appended entry is a change of its own: a group may be cut in the middle of an append.
fn single(change: &Change) -> Vec<Change> {
    match change {
        Change::Append(entries) => entries.iter().map(|entry| Change::Append(vec![entry.clone()])).collect(),
        Change::Vote(vote) => vec![Change::Vote(*vote)],
        Change::Truncate(after) => vec![Change::Truncate(*after)],
        Change::Purge(upto) => vec![Change::Purge(*upto)],
        Change::Cluster(id) => vec![Change::Cluster(*id)],
        Change::Barrier => vec![],
    }
}

struct Life {
    rng: SmallRng,
    disk: SimDisk,
    model: Model,
    term: u64,
    ticket: u64,
}

const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096, cache_bytes: 600, flush: Flush::InLine };

fn writer(disk: &SimDisk) -> (Writer, SharedView) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let recovered = recover::recover(&*disk).unwrap();
    let view = Arc::new(Mutex::new(View::new(Recovered::default(), OPTIONS.cache_bytes)));
    let counters = Arc::new(Counters::default());
    let tidy = Tidy::in_line(disk.clone());
    let writer = Writer::new(disk, &recovered, view.clone(), tidy, counters, OPTIONS.segment_bytes).unwrap();
    *lock(&view) = View::new(recovered, OPTIONS.cache_bytes);
    (writer, view)
}

impl Life {
    fn new(seed: u64) -> Self {
        Life {
            rng: SmallRng::seed_from_u64(seed),
            disk: SimDisk::default(),
            model: Model::default(),
            term: 1,
            ticket: 0,
        }
    }

    /// A change that raft could ask for, given what was asked so far.
    fn some_change(&mut self, now: &Model) -> Change {
        match self.rng.random_range(0..20) {
            0 | 1 => {
                self.term += 1;
                Change::Vote(Vote::new(self.term, self.rng.random_range(0..3u64).into()))
            }
            2 if !now.entries.is_empty() => {
                let keep = now.entries.len() - self.rng.random_range(1..=now.entries.len().min(6));
                let after = keep.checked_sub(1).and_then(|i| now.entries.values().nth(i)).map(|e| e.log_id());
                self.term += 1;
                Change::Truncate(after.or(now.purged))
            }
            3 if !now.entries.is_empty() => {
                let upto = self.rng.random_range(0..now.entries.len());
                Change::Purge(now.entries.values().nth(upto).unwrap().log_id())
            }
            4 if self.rng.random_bool(0.2) => {
                // A snapshot from the leader, ahead of everything.
                let index = now.last.map_or(0, |last| last.index()) + self.rng.random_range(1..9);
                Change::Purge(log_id(self.term, index))
            }
            5 => Change::Cluster(self.rng.random()),
            _ => {
                let mut next = now.last.map_or(0, |last| last.index() + 1);
                let count = self.rng.random_range(1..4);
                let entries = (0..count).map(|_| {
                    let size = if self.rng.random_bool(0.03) { 6000 } else { self.rng.random_range(0..400) };
                    let bytes: Vec<u8> = (0..size).map(|_| self.rng.random()).collect();
                    let entry =
                        Entry::new(log_id(self.term, next), EntryPayload::Normal(Batch(Bytes::from(bytes))));
                    next += 1;
                    self.ticket += 1;
                    (self.ticket, entry)
                });
                Change::Append(entries.collect())
            }
        }
    }

    /// Changes until the power goes, then what is found. The error says what was lost.
    fn live_and_crash(&mut self, seed: u64) -> Result<(), String> {
        let (mut writer, view) = writer(&self.disk);
        self.disk.crash_after(self.rng.random_range(1..60));
        let mut possible = vec![self.model.clone()];
        let mut now = self.model.clone();
        for _ in 0..200 {
            let acknowledged = Arc::new(AtomicBool::new(false));
            let mut group = Vec::new();
            let mut after = Vec::new();
            for _ in 0..self.rng.random_range(1..5) {
                let change = self.some_change(&now);
                for part in single(&change) {
                    now.apply(&part);
                    after.push(now.clone());
                }
                group.push(Job { change, done: Done::Nobody });
            }
            let (sender, mut told) = tokio::sync::oneshot::channel();
            group.push(Job { change: Change::Barrier, done: Done::Signal(sender) });
            writer.flush(group);
            if matches!(told.try_recv(), Ok(Ok(()))) {
                acknowledged.store(true, Relaxed);
                possible = after.split_off(after.len() - 1);
            } else {
                possible.append(&mut after);
                break;
            }
        }
        drop(writer);
        drop(view);
        self.disk.crash(seed);
        let log = Log::open(Arc::new(self.disk.clone()), OPTIONS).map_err(|error| error.to_string())?;
        let found = Model::read_from(&log);
        if !possible.contains(&found) {
            return Err(format!("found {:?} of {} possible states", found.last, possible.len()));
        }
        self.model = found;
        Ok(())
    }
}

fn run_seed(seed: u64, without_sync: bool) -> Result<usize, String> {
    let mut life = Life::new(seed);
    if without_sync {
        life.disk.take_syncs_out();
    }
    let crashes = life.rng.random_range(2..7);
    for crash in 0..crashes {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            life.live_and_crash(seed.wrapping_mul(1_000_003).wrapping_add(crash as u64))
        }));
        match outcome {
            Ok(result) => result.map_err(|lost| format!("seed {seed}, crash {crash}: {lost}"))?,
            Err(_) => return Err(format!("seed {seed}, crash {crash}: panic")),
        }
    }
    Ok(crashes)
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("CRS_RAFT_SEED"), number("CRS_RAFT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(usual),
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_thousands_of_crashes() {
    let mut crashes = 0;
    for seed in seeds(1_500) {
        crashes +=
            run_seed(seed, false).unwrap_or_else(|lost| panic!("{lost}; replay with CRS_RAFT_SEED={seed}"));
    }
    assert!(crashes > 0);
}

/// The same with the sync taken out must fail, or the test above proves nothing.
#[test]
fn without_the_sync_the_same_test_fails() {
    let failed = (0..40).filter(|seed| run_seed(*seed, true).is_err()).count();
    assert!(failed >= 30, "only {failed} of 40 seeds noticed that nothing was synced");
}

/// What the disk gave back after a sync, and then lost.
#[test]
fn damage_in_what_was_durable_stops_the_start_with_file_and_offset() {
    let mut stopped = 0;
    for seed in 0..300 {
        let mut life = Life::new(seed);
        let (mut writer, _view) = writer(&life.disk);
        let mut now = Model::default();
        let mut ends = Vec::new();
        for _ in 0..6 {
            let change = life.some_change(&now);
            if matches!(change, Change::Purge(_)) {
                break;
            }
            now.apply(&change);
            writer.flush(vec![Job { change, done: Done::Nobody }]);
            let recovered = recover::recover(&life.disk).unwrap();
            ends.push(recovered.active.unwrap().0);
        }
        drop(writer);
        // Somewhere in a group that a later one says was durable.
        let Some(durable) = ends.len().checked_sub(2).map(|i| ends[i]) else { continue };
        let sequence = life.rng.random_range(1..=durable.sequence);
        let limit = if sequence == durable.sequence { durable.offset } else { 200 };
        let offset = life.rng.random_range(0..limit) as usize;
        let name = name::segment(sequence);
        let before: Vec<u8> = contents(&life.disk, &name);
        life.disk.damage(&name, offset);
        match recover::recover(&life.disk) {
            // Padding is part of no record, and what a later segment repeats is not lost with an earlier one.
            Ok(_) => {
                let log = Log::open(Arc::new(life.disk.clone()), OPTIONS).unwrap();
                assert_eq!(
                    Model::read_from(&log),
                    now,
                    "seed {seed}: damage at {offset} of {name} went unnoticed"
                );
                continue;
            }
            Err(OpenError::Damaged { file, offset: at }) => {
                assert_eq!(file, name);
                assert!(at as usize <= offset, "seed {seed}: {at} > {offset}");
                stopped += 1;
            }
            Err(other) => panic!("seed {seed}: {other}"),
        }
        // And nothing was changed by the attempt.
        let mut damaged = before;
        damaged[offset] ^= 0x40;
        assert_eq!(contents(&life.disk, &name), damaged);
    }
    assert!(stopped > 150, "{stopped}");
}

fn contents(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_failed_sync_is_final() {
    let disk = SimDisk::default();
    let log = Log::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    let append = |index| {
        let (sender, mut told) = tokio::sync::oneshot::channel();
        let entry = Entry::new(log_id(1, index), EntryPayload::Blank);
        log.append([entry], Done::Signal(sender)).map(|()| told.try_recv().unwrap().is_ok())
    };
    assert!(append(0).unwrap());
    disk.fail_syncs(true);
    assert!(!append(1).unwrap());
    disk.fail_syncs(false);
    let syncs = disk.syncs();
    assert!(append(2).is_err());
    assert!(log.vote(Vote::new(3, 1.into()), Done::Nobody).is_err());
    assert_eq!(disk.syncs(), syncs, "a sync was tried again");
}
