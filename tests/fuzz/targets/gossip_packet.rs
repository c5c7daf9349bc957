//! Datagrams: every wrapper, then every message of both layers.
#![no_main]

use crs_gossip::wire::keyring::Keyring;
use crs_gossip::wire::message::Message;
use crs_gossip::wire::packet::{Envelope, MAX_OPENED};
use crs_gossip::wire::serf::SerfMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut sealed = Keyring::default();
    let _ = sealed.install(&[1; 16]);
    for (keyring, label) in [(Keyring::default(), &b""[..]), (sealed, b""), (Keyring::default(), b"x")] {
        let envelope =
            Envelope { keyring, label: label.to_vec(), verify_incoming: false, ..Envelope::default() };
        let mut opened = 0;
        let _ = envelope.open(data, &mut |message| {
            opened += message.len();
            if let Ok(Message::User(body)) = Message::decode(message) {
                let _ = SerfMessage::decode(body);
            }
        });
        assert!(opened <= MAX_OPENED + data.len());
    }
});
