//! Many blocked queries: those that nothing concerns sleep on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::crs;

const WATCHERS: usize = 1000;

#[test]
fn a_thousand_watchers_of_other_keys_sleep_on() {
    let subject = crs().file("limits.json", r#"{"limits":{"http_max_conns_per_client":2000}}"#).start();
    let mut client = subject.client();
    client.put("/v1/kv/watched", "0").ok();
    let mut sleeping: Vec<TcpStream> = (0..WATCHERS)
        .map(|number| {
            let mut stream = TcpStream::connect(subject.http()).unwrap();
            // a key of its own for each, most of them absent: the index to wait from is the current one
            let index = client.get(&format!("/v1/kv/other/{number}")).index();
            write!(stream, "GET /v1/kv/other/{number}?index={index}&wait=60s HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();

    let before = subject.stats().cpu;
    let start = Instant::now();
    for round in 1..=500 {
        client.put("/v1/kv/watched", round.to_string()).ok();
    }
    let (took, cpu) = (start.elapsed(), subject.stats().cpu - before);
    let woken = |streams: &mut [TcpStream]| {
        let mut buffer = [0; 1024];
        streams
            .iter_mut()
            .filter(|stream| match (&**stream).read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Ok(_) | Err(_) => true,
            })
            .count()
    };
    assert_eq!(woken(&mut sleeping), 0, "watchers woke without a change");
    // a wake of all for each write would be half a million wakes
    assert!(
        cpu < Duration::from_secs(3),
        "500 writes beside {WATCHERS} watchers took {cpu:?} of CPU in {took:?}"
    );

    client.put("/v1/kv/other/500", "now").ok();
    crs_testkit::eventually(Duration::from_secs(5), "the one watcher wakes", || {
        let count = woken(&mut sleeping[500..501]);
        if count == 1 { Ok(()) } else { Err("still asleep") }
    });
    assert_eq!(woken(&mut sleeping[..500]) + woken(&mut sleeping[501..]), 0);
}
