use super::*;
use crate::vectors;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

fn open(envelope: &Envelope, packet: &[u8]) -> Result<Vec<Vec<u8>>, PacketError> {
    let mut out = Vec::new();
    envelope.open(packet, &mut |m| out.push(m.to_vec())).map(|_| out)
}

fn sealed() -> Envelope {
    Envelope {
        keyring: vectors::keyring(),
        verify_incoming: true,
        verify_outgoing: true,
        compress: true,
        ..Envelope::default()
    }
}

#[test]
fn hand_made_frames_of_both_versions_open() {
    let mut seen = 0;
    for case in vectors::read("handmade-accepted.txt") {
        let packet = &case.frames[0].bytes;
        let envelope = if case.title.contains("encrypted v") || case.title.contains("encrypted with") {
            sealed()
        } else if case.title.contains("reply to ping") || case.title.contains("ack to") {
            Envelope::default()
        } else {
            continue;
        };
        let messages = open(&envelope, packet).unwrap_or_else(|e| panic!("{}: {e}", case.title));
        assert!(!messages.is_empty(), "{}", case.title);
        for message in messages {
            super::super::message::Message::decode(&message).unwrap();
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen}");
}

#[test]
fn a_plain_packet_to_a_member_with_keys_is_dropped_unless_keys_are_being_rolled_out() {
    let mut envelope = sealed();
    let packet = [2, 0x81, 0xa5, b'S', b'e', b'q', b'N', b'o', 1];
    assert_eq!(open(&envelope, &packet), Err(PacketError::Key(KeyError::Version(2))));
    envelope.verify_incoming = false;
    assert_eq!(open(&envelope, &packet).unwrap(), [packet]);
}

#[test]
fn a_wrong_checksum_drops_the_packet() {
    let envelope = Envelope::default();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut packet = envelope.seal(&mut rng, vec![8, 1, 2, 3], true);
    assert_eq!(open(&envelope, &packet).unwrap(), [[8, 1, 2, 3]]);
    *packet.last_mut().unwrap() ^= 1;
    assert_eq!(open(&envelope, &packet), Err(PacketError::Checksum));
}

#[test]
fn a_label_must_be_ours() {
    let mut rng = SmallRng::seed_from_u64(1);
    let labelled = Envelope { label: b"abc".to_vec(), ..sealed() };
    let packet = labelled.seal(&mut rng, vec![8, 1], true);
    assert_eq!(open(&labelled, &packet).unwrap(), [[8, 1]]);
    assert_eq!(open(&sealed(), &packet), Err(PacketError::Label));
    assert_eq!(open(&labelled, &sealed().seal(&mut rng, vec![8, 1], true)), Err(PacketError::Label));
    let example = vectors::hex("f403616263008 2a55365714e6f01a44e6f6465a27432");
    let plain = Envelope { label: b"abc".to_vec(), ..Envelope::default() };
    assert_eq!(open(&plain, &example).unwrap().len(), 1);
}

#[test]
fn compressed_bombs_and_nests_stop_at_the_budget_of_a_packet() {
    let envelope = Envelope::default();
    let bomb = compress(&vec![8; 4 * MAX_OPENED]);
    assert_eq!(open(&envelope, &bomb), Err(PacketError::Compression(LzwError::TooLarge(MAX_OPENED))));
    // many small bombs in one compound share one budget
    let small = compress(&vec![8; MAX_OPENED / 2]);
    let packet = compound::encode(&vec![small; 20]).remove(0);
    let mut sizes = 0;
    let dropped = envelope.open(&packet, &mut |m| sizes += m.len()).unwrap();
    assert!(sizes <= MAX_OPENED && dropped.count >= 18, "{sizes} {dropped:?}");
    let mut nest = vec![8, 1];
    for _ in 0..10 {
        nest = compress(&nest);
    }
    assert_eq!(open(&envelope, &nest), Err(PacketError::Nesting));
}

proptest! {
    #[test]
    fn what_is_sealed_opens(body in proptest::collection::vec(any::<u8>(), 1..3000), checksum: bool, compress: bool, seal: bool, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let envelope = Envelope { compress, verify_outgoing: seal, keyring: if seal { vectors::keyring() } else { Default::default() }, ..sealed() };
        let message = [&[8u8][..], &body].concat();
        let packet = envelope.seal(&mut rng, message.clone(), checksum);
        prop_assert_eq!(open(&envelope, &packet).unwrap(), vec![message]);
    }

    #[test]
    fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..400), kind in 7u8..13) {
        let _ = open(&Envelope::default(), &junk);
        let _ = open(&sealed(), &junk);
        let _ = open(&Envelope::default(), &[&[kind][..], &junk].concat());
    }
}
