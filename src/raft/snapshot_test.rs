use super::*;
use crate::testing::SimDisk;
use crate::types::log_id;
use crs_store::{Command, KvCondition};

fn some_state(keys: usize) -> State {
    let mut state = State::new();
    for n in 0..keys {
        state.apply(&Command::KvSet {
            key: format!("key/{n}").into(),
            flags: 1,
            value: Bytes::from(vec![n as u8; 40]),
            condition: KvCondition::None,
        });
    }
    state
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    state.write_snapshot(&mut out).unwrap();
    out
}

#[test]
fn a_snapshot_reads_as_it_was_written_and_replaces_the_one_before() {
    let disk = Arc::new(SimDisk::default());
    let snapshots = Snapshots::new(disk.clone());
    let old = Header { last: Some(log_id(2, 9)), ..Header::default() };
    snapshots.write(&old, &some_state(3)).unwrap();
    let header = Header {
        last: Some(log_id(2, 300)),
        cluster: 5,
        restoring: Some((4, 2, vec![1, 2, 3])),
        ..Header::default()
    };
    let state = some_state(50);
    snapshots.write(&header, &state).unwrap();
    assert_eq!(disk.list().unwrap().len(), 1);
    let newest = snapshots.open_newest().unwrap().unwrap();
    let (read_header, read_state) = newest.read().unwrap();
    assert_eq!(read_header, header);
    assert_eq!(bytes_of(&read_state), bytes_of(&state));
}

#[test]
fn a_changed_or_missing_byte_is_noticed() {
    let disk = Arc::new(SimDisk::default());
    let snapshots = Snapshots::new(disk.clone());
    let file =
        snapshots.write(&Header { last: Some(log_id(1, 1)), ..Header::default() }, &some_state(4)).unwrap();
    for offset in 0..file.len {
        disk.damage(&file.name, offset as usize);
        let read = snapshots.open_newest().unwrap().unwrap().read();
        assert!(read.is_err(), "damage at {offset} of {}", file.len);
        disk.damage(&file.name, offset as usize);
    }
    assert!(file.read().is_ok());
    let short = SnapshotFile { len: file.len - 1, ..file };
    assert!(short.read().is_err());
}

/// The power goes while one snapshot takes the place of another: one of the two is there, whole.
#[test]
fn a_crash_while_writing_leaves_the_one_before_or_the_new_one() {
    for seed in 0..300 {
        let disk = Arc::new(SimDisk::default());
        let snapshots = Snapshots::new(disk.clone());
        let (before, after) = (some_state(3), some_state(9));
        snapshots.write(&Header { last: Some(log_id(1, 3)), ..Header::default() }, &before).unwrap();
        disk.crash_after(seed % 8);
        let done = snapshots.write(&Header { last: Some(log_id(1, 9)), ..Header::default() }, &after).is_ok();
        disk.crash(seed);
        let (header, state) = snapshots.open_newest().unwrap().unwrap().read().unwrap();
        match header.last.unwrap().index() {
            9 => assert_eq!(bytes_of(&state), bytes_of(&after)),
            _ => {
                assert!(!done, "seed {seed}: the new snapshot was lost");
                assert_eq!(bytes_of(&state), bytes_of(&before));
            }
        }
    }
}
