//! The log with its threads, on real files: reading back, space that comes back, a full disk.

use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use super::*;
use crate::disk::{Files, Memory};
use crate::testing::SimDisk;
use crate::types::{Batch, log_id};

fn entry(index: u64, bytes: usize) -> Entry {
    Entry::new(log_id(1, index), EntryPayload::Normal(Batch(Bytes::from(vec![index as u8; bytes]))))
}

fn wait(log: &Log) {
    let (sender, told) = tokio::sync::oneshot::channel();
    log.barrier(Done::Signal(sender)).unwrap();
    told.blocking_recv().unwrap().unwrap();
}

#[test]
fn old_entries_are_read_back_from_the_disk_and_memory_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(Files::open(dir.path()).unwrap());
        Log::open(disk, LogOptions { segment_bytes: 64 << 10, cache_bytes: 10_000, flush: Flush::Thread })
            .unwrap()
    };
    let log = open();
    for index in 0..2_000 {
        log.append([entry(index, 200)], Done::Nobody).unwrap();
    }
    wait(&log);
    assert!(log.figures().cached_bytes <= 10_000, "{:?}", log.figures());
    assert!(log.figures().segments > 5);
    let all = log.read(0, 2_000, usize::MAX).unwrap();
    assert_eq!(all, (0..2_000).map(|index| entry(index, 200)).collect::<Vec<_>>());
    assert_eq!(log.read(100, 2_000, 1000).unwrap().len(), 5);
    assert_eq!(log.read(100, 2_000, 0).unwrap().len(), 1);
    log.set_committed(Some(log_id(1, 1_500)));
    wait(&log);
    log.close();
    drop(log);

    let log = open();
    assert_eq!(log.read(0, 3_000, usize::MAX).unwrap(), all);
    assert_eq!(log.facts().committed, Some(log_id(1, 1_500)));
    log.append([entry(2_000, 1)], Done::Nobody).unwrap();
    wait(&log);
    assert_eq!(log.read(1_999, 3_000, usize::MAX).unwrap().len(), 2);
}

#[test]
fn a_purge_gives_space_back_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(Files::open(dir.path()).unwrap());
        Log::open(disk, LogOptions { segment_bytes: 32 << 10, cache_bytes: 0, flush: Flush::Thread }).unwrap()
    };
    let used = || -> u64 {
        std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum()
    };
    let log = open();
    for index in 0..3_000 {
        log.append([entry(index, 100)], Done::Nobody).unwrap();
    }
    wait(&log);
    let before = used();
    log.purge(log_id(1, 2_900)).unwrap();
    wait(&log);
    assert_eq!(log.read(0, 3_000, usize::MAX).unwrap().len(), 99);
    log.close();
    drop(log);
    assert!(used() < before / 3, "{} of {before}", used());
    let log = open();
    assert_eq!(log.facts().purged, Some(log_id(1, 2_900)));
    assert_eq!(log.read(0, 3_000, usize::MAX).unwrap().first().map(|e| e.index()), Some(2_901));
}

#[test]
fn a_full_disk_fails_what_did_not_fit_and_keeps_what_did() {
    let disk = SimDisk::default();
    let options = LogOptions { segment_bytes: 8192, cache_bytes: 0, flush: Flush::InLine };
    let log = Log::open(Arc::new(disk.clone()), options.clone()).unwrap();
    disk.limit_space(Some(20_000));
    let mut kept = 0;
    for index in 0..100 {
        let (sender, mut told) = tokio::sync::oneshot::channel();
        if log.append([entry(index, 500)], Done::Signal(sender)).is_err() {
            break;
        }
        match told.try_recv().unwrap() {
            Ok(()) => kept += 1,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        }
    }
    assert!((20..60).contains(&kept), "{kept}");
    disk.limit_space(None);
    let log = Log::open(Arc::new(disk), options).unwrap();
    assert!(log.read(0, 100, usize::MAX).unwrap().len() >= kept);
    log.append([entry(log.facts().last.unwrap().index() + 1, 500)], Done::Nobody).unwrap();
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(Files::open(dir.path()).unwrap());
        Log::open(disk, LogOptions { segment_bytes: 4096, cache_bytes: 0, flush: Flush::InLine })
    };
    let log = open().unwrap();
    for index in 0..50 {
        log.append([entry(index, 300)], Done::Nobody).unwrap();
    }
    drop(log);
    std::fs::remove_file(dir.path().join(name::segment(2))).unwrap();
    match open() {
        Err(OpenError::Missing { file, from: 0, .. }) => assert!(file.ends_with(&name::segment(2)), "{file}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
    assert!(dir.path().join(name::segment(1)).exists(), "nothing was removed");
}

#[test]
fn memory_is_taken_for_what_was_written_only() {
    let disk = Memory::default();
    let file = disk.create("a").unwrap();
    file.preallocate(1 << 40).unwrap();
    let mut bytes = [9; 4];
    assert_eq!(file.read_at(&mut bytes, 1 << 39).unwrap(), 4);
    assert_eq!(bytes, [0; 4]);
}
