//! Acknowledged is on disk: `kill -9` at any moment, under concurrent writers, loses nothing that was answered.
//!
//! `CRS_TEST_KILL_ROUNDS` says how many rounds (10 unless told; 500 is the long run).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::crs;
use crs_testkit::{Client, Request, Subject};

const WRITERS: usize = 6;

/// Sequence numbers that were answered with success, and the one that was under way at the end.
struct Written {
    writer: usize,
    acknowledged: Vec<u64>,
}

/// Each writer puts keys of its own one after the other, deletes every fifth again, and counts a shared key by
/// compare-and-set.
fn write_until(subject: &Subject, round: u64, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Written>> {
    (0..WRITERS)
        .map(|writer| {
            let mut client = subject.client().timeout(Duration::from_secs(5));
            let stop = Arc::clone(stop);
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let target = format!("/v1/kv/k/{writer}/{round}/{number}");
                    let put = Request::new("PUT", &target).body(format!("{writer}-{round}-{number}"));
                    match client.try_send(&put) {
                        Ok(reply) if reply.code() == 200 => acknowledged.push(number),
                        _ => break,
                    }
                }
                Written { writer, acknowledged }
            })
        })
        .collect()
}

fn kept(client: &mut Client, writer: usize, round: u64) -> BTreeSet<u64> {
    let prefix = format!("k/{writer}/{round}/");
    let reply = client.get(&format!("/v1/kv/{prefix}?keys"));
    if reply.code() == 404 {
        return BTreeSet::new();
    }
    let value = reply.ok().value();
    (0..value.len())
        .filter_map(|place| value.at(place).text())
        .filter_map(|key| key.strip_prefix(&prefix)?.parse().ok())
        .collect()
}

fn rounds() -> u64 {
    std::env::var("CRS_TEST_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn kill_nine_under_writers_loses_nothing_acknowledged() {
    let mut subject = crs().server().start();
    let total = AtomicU64::new(0);
    for round in 0..rounds() {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = write_until(&subject, round, &stop);
        // from the very first writes to a good while into them
        std::thread::sleep(Duration::from_millis(20 + (round * 37) % 250));
        subject.kill();
        stop.store(true, Ordering::Relaxed);
        let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();

        let start = Instant::now();
        subject.launch();
        subject.wait_ready();
        assert!(start.elapsed() < Duration::from_secs(15), "round {round}: back after {:?}", start.elapsed());
        let mut client = subject.client();
        for Written { writer, acknowledged } in &written {
            let found = kept(&mut client, *writer, round);
            let lost: Vec<_> = acknowledged.iter().filter(|number| !found.contains(number)).collect();
            assert!(lost.is_empty(), "round {round}, writer {writer}: acknowledged and lost: {lost:?}");
            // at most the one that was under way may be there without an answer
            assert!(
                found.len() <= acknowledged.len() + 1,
                "round {round}, writer {writer}: {} keys of {} answers",
                found.len(),
                acknowledged.len()
            );
            if let Some(last) = acknowledged.last() {
                client
                    .get(&format!("/v1/kv/k/{writer}/{round}/{last}?raw"))
                    .ok()
                    .text(&format!("{writer}-{round}-{last}"));
            }
            total.fetch_add(acknowledged.len() as u64, Ordering::Relaxed);
        }
        if round > 0 {
            let gone = client.get(&format!("/v1/kv/k/0/{}/?keys", round - 1));
            assert_eq!(gone.code(), 404, "round {round}: a deletion of the round before came back");
        }
        // what was checked may go: an acknowledged deletion has to hold as well
        for writer in 0..WRITERS {
            client.delete(&format!("/v1/kv/k/{writer}/{round}/?recurse")).ok();
        }
    }
    assert!(total.into_inner() > rounds() * 10, "too few writes to mean anything");
}

#[test]
fn the_index_never_goes_backwards_over_restarts() {
    let mut subject = crs().server().start();
    let mut before = 0;
    for round in 0..3 {
        let mut client = subject.client();
        client.put("/v1/kv/a", round.to_string()).ok();
        let index = client.get("/v1/kv/a").index();
        assert!(index > before, "{index} after {before}");
        before = index;
        subject.kill();
        subject.launch();
        subject.wait_ready();
        assert!(subject.client().get("/v1/kv/a").index() >= before);
    }
}

#[test]
fn a_clean_stop_and_a_start_keep_everything() {
    let mut subject = crs().server().start();
    let mut client = subject.client();
    for number in 0..50 {
        client.put(&format!("/v1/kv/n/{number}"), number.to_string()).ok();
    }
    let before = client.get("/v1/kv/n/?recurse").ok().body();
    assert!(subject.stop().code().is_some(), "ended by a signal");
    subject.launch();
    subject.wait_ready();
    subject.client().get("/v1/kv/n/?recurse").ok().text(&before);
}
