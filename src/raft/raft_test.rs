//! The facade of a server that is alone.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crs_store::{Changes, Command, KvCondition, Reply, State};
use crs_types::Index;

use crate::*;

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    published: AtomicU64,
    restored: AtomicU64,
}

impl Publish for Seen {
    fn publish(&self, state: &State, changes: Changes) {
        assert!(!changes.is_empty());
        *self.state.lock().unwrap() = state.clone();
        self.published.fetch_add(1, Relaxed);
    }

    fn restored(&self, state: &State) {
        *self.state.lock().unwrap() = state.clone();
        self.restored.fetch_add(1, Relaxed);
    }
}

fn set(key: &str, value: &str) -> Command {
    Command::KvSet {
        key: key.into(),
        flags: 0,
        value: Bytes::copy_from_slice(value.as_bytes()),
        condition: KvCondition::None,
    }
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    state.write_snapshot(&mut out).unwrap();
    out
}

fn options(path: &Path) -> Options {
    let node = ServerNode { name: "one".into(), address: "127.0.0.1:8300".into() };
    Options::new(ServerId(1), node, Storage::Directory(path.to_owned()))
}

/// Elections that wait for their time-out take half a minute: whoever is done before did not wait for one.
fn slow_elections(path: &Path) -> Options {
    let options = options(path);
    Options { timings: options.timings.scaled(100), ..options }
}

const WITHOUT_WAITING: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_server_is_up_at_once_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let raft = Raft::start(slow_elections(dir.path()), seen.clone()).await.unwrap();
    assert!(matches!(raft.propose(set("a", "0")).await, Err(ProposeError::NotLeader { .. })));
    raft.bootstrap_alone().await.unwrap();
    assert_eq!(raft.propose(set("a", "1")).await, Ok(Reply::Held(true)));
    let first_write = begun.elapsed();
    assert!(first_write < WITHOUT_WAITING, "{first_write:?}");
    raft.bootstrap_alone().await.unwrap();
    assert!(raft.may_answer());
    raft.read_barrier().await.unwrap();

    let mut writers = Vec::new();
    for writer in 0..16 {
        let raft = raft.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..50 {
                raft.propose(set(&format!("k/{writer}/{n}"), "v")).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen.state.lock().unwrap().index(), Index(801));
    let metrics = raft.metrics();
    assert_eq!(metrics.commands_applied, 801);
    assert!(metrics.entries_proposed < 801, "{metrics:?}");
    assert_eq!(metrics.role, Role::Leader);
    let before = bytes_of(&seen.state.lock().unwrap());
    raft.shutdown().await;
    assert!(matches!(raft.propose(set("a", "0")).await, Err(ProposeError::Stopped(_))));
    drop(raft);

    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let raft = Raft::start(slow_elections(dir.path()), seen.clone()).await.unwrap();
    raft.wait_for_leader(Duration::from_secs(20)).await.unwrap();
    assert!(begun.elapsed() < WITHOUT_WAITING, "{:?}", begun.elapsed());
    assert!(raft.may_answer());
    assert_eq!(bytes_of(&seen.state.lock().unwrap()), before);
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_come_by_the_rules_and_the_log_goes_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let rules =
        SnapshotRules { threshold: 1000, trailing: 300, interval: Duration::ZERO, log_bytes: 1 << 30 };
    let start = |seen: Arc<Seen>| {
        let options = Options { snapshots: rules, segment_bytes: 32 << 10, ..options(dir.path()) };
        Raft::start(options, seen)
    };
    let seen = Arc::new(Seen::default());
    let raft = start(seen.clone()).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    for n in 0..3500 {
        raft.propose(set(&format!("k/{}", n % 100), &format!("{n:0100}"))).await.unwrap();
    }
    let purged = async {
        while raft.metrics().purged_index == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), purged).await.unwrap();
    let metrics = raft.metrics();
    assert!(metrics.snapshots_built >= 2, "{metrics:?}");
    assert!(metrics.purged_index + 300 <= metrics.snapshot_index, "{metrics:?}");
    assert!(metrics.log.segments < 20, "{metrics:?}");
    let before = bytes_of(&seen.state.lock().unwrap());
    raft.shutdown().await;

    let seen = Arc::new(Seen::default());
    let raft = start(seen.clone()).await.unwrap();
    raft.wait_for_leader(Duration::from_secs(5)).await.unwrap();
    assert_eq!(bytes_of(&seen.state.lock().unwrap()), before);
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_replaces_the_state_and_the_index_goes_on_above_both() {
    let seen = Arc::new(Seen::default());
    let memory = Options { storage: Storage::Memory, ..options(Path::new("")) };
    let raft = Raft::start(memory, seen.clone()).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    for n in 0..30 {
        raft.propose(set(&format!("k/{n}"), "v")).await.unwrap();
    }
    let mut archive = State::new();
    for n in 0..3 {
        // Three pieces.
        archive.apply(&set(&format!("big/{n}"), &"x".repeat(1 << 20)));
    }
    let restored = seen.restored.load(Relaxed);
    assert_eq!(raft.restore(&archive).await, Ok(Index(31)));
    assert_eq!(seen.restored.load(Relaxed), restored + 1);
    assert_eq!(seen.state.lock().unwrap().index(), Index(31));
    raft.propose(set("after", "1")).await.unwrap();
    assert_eq!(seen.state.lock().unwrap().index(), Index(32));
    let huge = set("huge", &"x".repeat(40 << 20));
    assert!(matches!(raft.propose(huge).await, Err(ProposeError::TooLarge { .. })));
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_stops_raft_and_says_so() {
    let disk = testing::SimDisk::default();
    let seen = Arc::new(Seen::default());
    let options = Options { storage: Storage::Disk(Arc::new(disk.clone())), ..options(Path::new("")) };
    let raft = Raft::start(options, seen).await.unwrap();
    raft.bootstrap_alone().await.unwrap();
    raft.propose(set("a", "1")).await.unwrap();
    disk.fail_syncs(true);
    let refused = raft.propose(set("a", "2")).await;
    assert!(matches!(refused, Err(ProposeError::Stopped(_) | ProposeError::Unknown)), "{refused:?}");
    let reason = tokio::time::timeout(Duration::from_secs(5), raft.stopped()).await.unwrap();
    assert!(reason.contains("simulated failure of a sync"), "{reason}");
    assert!(!raft.may_answer());
    assert!(matches!(raft.propose(set("a", "3")).await, Err(ProposeError::Stopped(_))));
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_for_one_process_and_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let raft = Raft::start(options(dir.path()), Arc::new(Seen::default())).await.unwrap();
    let again = Raft::start(options(dir.path()), Arc::new(Seen::default())).await;
    let pid = std::process::id().to_string();
    assert!(again.err().is_some_and(|error| error.to_string().contains(&pid)));
    raft.shutdown().await;
    let other = Options { id: ServerId(2), ..options(dir.path()) };
    let refused = Raft::start(other, Arc::new(Seen::default())).await;
    assert!(matches!(refused.err(), Some(StartError::OtherNode { .. })));
}
