//! Commands that go on: a watch with a program.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crs_testkit::{eventually, signal};

use crate::pair::Pair;

const SIGINT: i32 = 2;

/// A program is run for the first state and for every change, gets JSON and the index, and a signal ends the watch well.
#[test]
fn a_watch_runs_its_program_on_every_change() {
    let Some(pair) = Pair::start() else { return };
    pair.consul(&["kv", "put", "wk", "one"]);
    let seen = pair.folder().join("seen");
    let script = format!("cat >> {0}; echo $CONSUL_INDEX >> {0}", seen.display());
    let mut watch = pair
        .command(Path::new(env!("CARGO_BIN_EXE_crs")), &["watch", "-type=key", "-key=wk", &script])
        .spawn()
        .unwrap();
    let lines =
        || std::fs::read_to_string(&seen).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let wait = |count: usize| {
        eventually(Duration::from_secs(10), "the program ran", || {
            let lines = lines();
            if lines.len() == count { Ok(lines) } else { Err(format!("{lines:?}")) }
        })
    };
    let first = wait(2);
    assert!(
        first[0].starts_with(r#"{"Key":"wk","CreateIndex":"#) && first[0].contains(r#""Value":"b25l""#),
        "{first:?}"
    );
    assert!(first[1].parse::<u64>().unwrap() > 0);
    pair.consul(&["kv", "put", "wk", "two"]);
    let second = wait(4);
    assert!(second[2].contains(r#""Value":"dHdv""#), "{second:?}");
    assert!(second[3].parse::<u64>().unwrap() > first[1].parse().unwrap());
    signal(watch.id(), SIGINT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

/// Lines of the log arrive, and a signal ends the command well (Consul's own does not end in time).
#[test]
fn monitor_streams_and_ends_on_a_signal() {
    let Some(pair) = Pair::start() else { return };
    let mut monitor = pair
        .command(Path::new(env!("CARGO_BIN_EXE_crs")), &["monitor", "-log-level=debug"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = monitor.stdout.take().unwrap();
    let mut byte = [0; 1];
    // Requests are logged; they come until the first line was read.
    let (done, stop) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let pair = &pair;
        scope.spawn(move || {
            while stop.recv_timeout(Duration::from_millis(100))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                pair.crs(&["catalog", "datacenters"]);
            }
        });
        stdout.read_exact(&mut byte).unwrap();
        done.send(()).unwrap();
    });
    signal(monitor.id(), SIGINT).unwrap();
    assert_eq!(monitor.wait().unwrap().code(), Some(0));
}
