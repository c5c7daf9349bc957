//! Streams, in pieces whose size the input decides.
#![no_main]

use crs_gossip::wire::packet::Envelope;
use crs_gossip::wire::serf::SerfState;
use crs_gossip::wire::stream::{StreamMessage, StreamReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, data)) = data.split_first() else { return };
    let envelope = Envelope::default();
    let mut reader = StreamReader::new(false);
    for chunk in data.chunks(usize::from(piece).max(1)) {
        if reader.push(chunk).is_err() {
            return;
        }
        match reader.poll(&envelope) {
            Ok(None) => {}
            Ok(Some(message)) => {
                if let Ok(StreamMessage::PushPull(state)) = StreamMessage::decode(&message) {
                    let _ = SerfState::decode(state.user);
                }
                return;
            }
            Err(_) => return,
        }
    }
});
