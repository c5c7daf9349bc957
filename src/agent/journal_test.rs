use serde_json::json;

use super::*;

fn set(id: &str, value: serde_json::Value) -> Record {
    Record { kind: Kind::Service, id: id.into(), value }
}

fn reopened(dir: &Path) -> Vec<Record> {
    let (journal, records) = Journal::open(dir).unwrap();
    journal.close();
    records
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, records) = Journal::open(dir.path()).unwrap();
    assert!(records.is_empty());
    let first = journal.append(&[set("a", json!({"n": 1})), set("b", json!(2))]).unwrap();
    let second = journal.append(&[set("a", json!({"n": 3})), set("b", json!(null))]).unwrap();
    assert!(first.blocking_recv().unwrap().is_ok() && second.blocking_recv().unwrap().is_ok());
    // Not closed: as after a crash.
    let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
    journal.close();
    std::fs::write(dir.path().join(FILE), bytes).unwrap();
    assert_eq!(reopened(dir.path()), [set("a", json!({"n": 3}))]);
    assert_eq!(reopened(dir.path()), [set("a", json!({"n": 3}))]);
}

#[test]
fn a_write_cut_at_any_byte_costs_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut whole = MAGIC.to_vec();
    frame(&mut whole, &encode(&set("a", json!("first"))));
    let first = whole.len();
    frame(&mut whole, &encode(&set("b", json!("second"))));
    for cut in first..whole.len() {
        let mut bytes = whole[..cut].to_vec();
        bytes.resize(whole.len() + 100, 0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reopened(dir.path()), [set("a", json!("first"))], "cut at {cut}");
        assert_eq!(path.with_extension("damaged").exists(), cut > first, "cut at {cut}");
    }
}

#[test]
fn a_full_file_is_written_anew_with_what_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path()).unwrap();
    let long = "x".repeat(10_000);
    let mut last = None;
    for n in 0..500 {
        last = Some(journal.append(&[set(&format!("s{}", n % 3), json!([n, long]))]).unwrap());
    }
    assert!(last.unwrap().blocking_recv().unwrap().is_ok());
    journal.close();
    assert!(std::fs::metadata(dir.path().join(FILE)).unwrap().len() < 3 * ROOM_BYTES);
    let ids: Vec<(String, i64)> = reopened(dir.path())
        .into_iter()
        .map(|record| (record.id, record.value[0].as_i64().unwrap()))
        .collect();
    assert_eq!(ids, [("s0".into(), 498), ("s1".into(), 499), ("s2".into(), 497)]);
}

#[test]
fn a_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "something else").unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::Foreign(_))));
    assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), b"something else");
}
