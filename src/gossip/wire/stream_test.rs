use super::*;
use crate::vectors;
use crate::wire::serf::{SerfState, encode_state};
use crate::wire::state::StateNode;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

fn read_in_pieces(envelope: &Envelope, bytes: &[u8], piece: usize) -> Result<Vec<u8>, StreamError> {
    let mut reader = StreamReader::new(false);
    for chunk in bytes.chunks(piece) {
        reader.push(chunk)?;
        if let Some(message) = reader.poll(envelope)? {
            return Ok(message);
        }
    }
    Err(StreamError::Closed)
}

#[test]
fn captured_streams_are_read_and_say_what_is_described() {
    let (mut states, mut others) = (0, 0);
    for file in [
        "gossip-tcp-plain.txt",
        "gossip-tcp-encrypted.txt",
        "consul-tcp-plain.txt",
        "consul-tcp-encrypted.txt",
    ] {
        let envelope =
            Envelope { keyring: vectors::keyring(), verify_incoming: false, ..Envelope::default() };
        for case in vectors::read(file) {
            for frame in &case.frames {
                let message = read_in_pieces(&envelope, &frame.bytes, 100)
                    .unwrap_or_else(|e| panic!("{file} {}: {e}", case.title));
                let ours = |note: &&String| note.starts_with(&format!("{} ", frame.side));
                match StreamMessage::decode(&message).unwrap() {
                    StreamMessage::PushPull(state) => {
                        let nodes = case.notes.iter().filter(ours).filter(|n| n.contains("pushPull.node"));
                        for (node, note) in state.nodes.iter().zip(nodes.clone()) {
                            assert!(note.contains(&format!("Name: '{}'", node.name)), "{note}");
                            let number = format!("State: {},", node.state.to_wire());
                            assert!(note.contains(&number), "{note}");
                            let incarnation = format!("Incarnation: {},", node.incarnation);
                            assert!(note.contains(&incarnation), "{note}");
                        }
                        assert_eq!(nodes.count(), state.nodes.len(), "{}", case.title);
                        assert_eq!(PushPull::decode(&state.encode()[1..]).unwrap(), state);
                        let serf = SerfState::decode(state.user).unwrap();
                        let note = case.notes.iter().filter(ours).find(|n| n.contains("userstate")).unwrap();
                        for want in [
                            format!("EventLTime: {}", serf.event_ltime),
                            format!("QueryLTime: {}", serf.query_ltime),
                            format!(" LTime: {}, LeftMembers", serf.ltime),
                        ] {
                            assert!(note.contains(&want), "{want} in {note}");
                        }
                        for (name, time) in &serf.status_ltimes {
                            assert!(note.contains(&format!("{name}: {time}")), "{name} in {note}");
                        }
                        for event in &serf.events {
                            assert!(note.contains(&format!("Name: '{}'", event.name)), "{note}");
                        }
                        let again = encode_state(
                            [serf.ltime, serf.event_ltime, serf.query_ltime],
                            serf.status_ltimes.iter().copied(),
                            &serf.left,
                            &serf.events,
                        );
                        assert_eq!(SerfState::decode(&again).unwrap(), serf);
                        states += 1;
                    }
                    message => {
                        let want = match message {
                            StreamMessage::Ping(p) => format!("SeqNo: {}", p.seq),
                            StreamMessage::Ack(a) => format!("SeqNo: {}", a.seq),
                            StreamMessage::Err(text) => format!("Error: '{text}'"),
                            other => panic!("{other:?}"),
                        };
                        assert!(case.notes.iter().filter(ours).any(|n| n.contains(&want)), "{want}");
                        others += 1;
                    }
                }
            }
        }
    }
    assert!(states > 20 && others > 4, "{states} {others}");
}

#[test]
fn memberlists_own_texts_refuse_the_wrong_kind_of_stream() {
    let mut rng = SmallRng::seed_from_u64(3);
    let sealed = Envelope {
        keyring: vectors::keyring(),
        verify_incoming: true,
        verify_outgoing: true,
        ..Envelope::default()
    };
    let plain = Envelope::default();
    let message = encode_error("x");
    let bytes = sealed.seal_stream(&mut rng, message.clone(), true);
    assert_eq!(read_in_pieces(&plain, &bytes, 9), Err(StreamError::SealedWithoutKeys));
    assert_eq!(read_in_pieces(&sealed, &bytes, 9).unwrap(), message);
    let bytes = plain.seal_stream(&mut rng, message, true);
    assert_eq!(read_in_pieces(&sealed, &bytes, 9), Err(StreamError::PlainDespiteKeys));
}

#[test]
fn a_stream_names_its_pool_at_its_start() {
    let mut rng = SmallRng::seed_from_u64(3);
    let ours = Envelope { label: b"blue".to_vec(), compress: true, ..Envelope::default() };
    let other = Envelope { label: b"red".to_vec(), ..Envelope::default() };
    let bytes = ours.seal_stream(&mut rng, encode_error("x"), true);
    assert!(read_in_pieces(&ours, &bytes, 1).is_ok());
    for wrong in [other, Envelope::default()] {
        assert_eq!(read_in_pieces(&wrong, &bytes, 1), Err(PacketError::Label.into()));
    }
}

#[test]
fn announced_sizes_beyond_the_limits_are_refused_at_once() {
    let sealed = Envelope { keyring: vectors::keyring(), verify_incoming: true, ..Envelope::default() };
    let mut reader = StreamReader::new(true);
    reader.push(&[10, 0xff, 0xff, 0xff, 0xff]).unwrap();
    assert_eq!(reader.poll(&sealed), Err(StreamError::TooLarge));
    let mut w = Writer::typed(kind::PUSH_PULL);
    w.map(1).str("Nodes").uint(1 << 40);
    let mut reader = StreamReader::new(true);
    reader.push(&w.finish()).unwrap();
    assert!(matches!(reader.poll(&Envelope::default()), Err(StreamError::Layer(_))));
}

proptest! {
    #[test]
    fn states_survive_any_cutting(names in proptest::collection::vec("[a-z]{1,12}", 0..30), user in proptest::collection::vec(any::<u8>(), 0..500), piece in 1usize..200, compress: bool, seal: bool) {
        let nodes: Vec<StateNode<'_>> = names.iter().map(|name| StateNode {
            name, addr: Some([127, 0, 0, 1].into()), port: 7946, meta: b"\xff\x80", incarnation: 3,
            state: crate::wire::state::NodeState::Dead, vsn: &[1, 5, 2, 2, 5, 4],
        }).collect();
        let state = PushPull { join: true, nodes, user: &user };
        let envelope = Envelope { compress, verify_outgoing: true, verify_incoming: true, keyring: if seal { vectors::keyring() } else { Default::default() }, ..Envelope::default() };
        let mut rng = SmallRng::seed_from_u64(3);
        let bytes = envelope.seal_stream(&mut rng, state.encode(), true);
        let message = read_in_pieces(&envelope, &bytes, piece).unwrap();
        prop_assert_eq!(StreamMessage::decode(&message).unwrap(), StreamMessage::PushPull(state));
    }

    #[test]
    fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 1..400), kind in 0u8..15) {
        for bytes in [junk.clone(), [&[kind][..], &junk].concat()] {
            if let Ok(message) = read_in_pieces(&Envelope::default(), &bytes, 37) {
                let _ = StreamMessage::decode(&message);
            }
        }
    }
}
