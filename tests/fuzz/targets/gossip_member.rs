//! A whole member that is fed packets, streams and time. The first byte of each piece says what it is.
#![no_main]

use crs_gossip::Time;
use crs_gossip::serf::{Serf, SerfConfig};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let addr = |n: u8| SocketAddr::from(([10, 0, 0, n], 7946));
    let mut now = Time::ZERO;
    let Ok(mut serf) = Serf::new(now, SerfConfig::new("me", addr(1)), [7; 32], None) else { return };
    let mut rest = data;
    while let [what, len, tail @ ..] = rest {
        let (piece, after) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = after;
        match what % 4 {
            0 | 1 => serf.handle_packet(now, addr(what >> 2), piece),
            2 => {
                if let Some(stream) = serf.handle_accept(now, addr(what >> 2)) {
                    serf.handle_stream(now, stream, piece);
                    serf.handle_stream_end(now, stream);
                }
            }
            _ => {
                now = now + Duration::from_millis(u64::from(*what) * 20);
                serf.handle_timeout(now);
            }
        }
        while serf.poll_output().is_some() {}
        while serf.poll_event().is_some() {}
    }
    assert!(serf.member("me").is_some());
    assert!(serf.members().len() < 1000);
});
