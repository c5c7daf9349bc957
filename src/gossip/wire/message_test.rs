use super::*;
use crate::vectors::{self, text, to_hex};
use crate::wire::packet::Envelope;
use crate::wire::serf::SerfMessage;
use proptest::prelude::*;

fn ip(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("raw:{}", to_hex(&ip.octets())),
        IpAddr::V6(ip) => format!("raw:{}", to_hex(&ip.octets())),
    }
}

fn py(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

fn source_text(s: &Source<'_>) -> String {
    match s.addr {
        Some(addr) => {
            format!(", SourceAddr: {}, SourceNode: '{}', SourcePort: {}", ip(addr.ip()), s.node, addr.port())
        }
        None => String::new(),
    }
}

/// What a message says, in the words of the captured descriptions.
fn describe(message: &Message<'_>) -> String {
    match message {
        Message::Ping(p) => {
            format!("ping {{Node: '{}', SeqNo: {}{}}}", p.node, p.seq, source_text(&p.source))
        }
        Message::IndirectPing(p) => format!(
            "indirectPing {{Nack: {}, Node: '{}', Port: {}, SeqNo: {}{}, Target: {}}}",
            py(p.nack),
            p.node,
            p.port,
            p.seq,
            source_text(&p.source),
            ip(p.target)
        ),
        Message::Ack(a) if a.payload.is_empty() => format!("ack {{Payload: None, SeqNo: {}}}", a.seq),
        Message::Ack(a) => format!("ack {{Payload: {}, SeqNo: {}}}", text(a.payload), a.seq),
        Message::Suspect(a) => {
            format!("suspect {{From: '{}', Incarnation: {}, Node: '{}'}}", a.from, a.incarnation, a.node)
        }
        Message::Dead(a) => {
            format!("dead {{From: '{}', Incarnation: {}, Node: '{}'}}", a.from, a.incarnation, a.node)
        }
        Message::Alive(a) => format!(
            "alive {{Addr: {}, Incarnation: {}, Meta: {}, Node: '{}', Port: {}, Vsn: raw:{}}}",
            ip(a.addr.unwrap()),
            a.incarnation,
            text(a.meta),
            a.node,
            a.port,
            to_hex(a.vsn)
        ),
        Message::Nack(seq) => format!("nack {{SeqNo: {seq}}}"),
        Message::User(_) => unreachable!("described by the layer above"),
    }
}

fn describe_serf(message: &SerfMessage<'_>) -> String {
    let bytes = |b: &[u8]| if b.is_empty() { "None".to_owned() } else { text(b) };
    match message {
        SerfMessage::Leave { ltime, node, prune } => {
            format!("user/serf:leave {{LTime: {ltime}, Node: '{node}', Prune: {}}}", py(*prune))
        }
        SerfMessage::Join { ltime, node } => format!("user/serf:join {{LTime: {ltime}, Node: '{node}'}}"),
        SerfMessage::UserEvent(e) => format!(
            "user/serf:userEvent {{CC: {}, LTime: {}, Name: '{}', Payload: {}}}",
            py(e.coalesce),
            e.ltime,
            e.name,
            bytes(e.payload)
        ),
        SerfMessage::Query(q) => {
            let filters: Vec<String> = q.filters.iter().map(|f| text(f)).collect();
            let filters =
                if filters.is_empty() { "None".into() } else { format!("[{}]", filters.join(", ")) };
            let addr = q.addr.unwrap();
            format!(
                "user/serf:query {{Addr: {}, Filters: {filters}, Flags: {}, ID: {}, LTime: {}, Name: '{}', \
                 Payload: {}, Port: {}, RelayFactor: {}, SourceNode: '{}', Timeout: {}}}",
                ip(addr.ip()),
                q.flags,
                q.id,
                q.ltime,
                q.name,
                bytes(q.payload),
                addr.port(),
                q.relay_factor,
                q.source,
                q.timeout_ns
            )
        }
        SerfMessage::Response(a) => format!(
            "user/serf:queryResponse {{Flags: {}, From: '{}', ID: {}, LTime: {}, Payload: {}}}",
            a.flags,
            a.from,
            a.id,
            a.ltime,
            bytes(a.payload)
        ),
        SerfMessage::Relay { to, name, .. } => format!(
            "user/serf:relay {{DestAddr: {{IP: {}, Port: {}, Zone: ''}}, DestName: '{name}'}}",
            ip(to.ip()),
            to.port()
        ),
    }
}

/// Opens every datagram of a file, and compares each bare message with the description beside it.
fn check_packets(file: &str) -> usize {
    let envelope = Envelope { keyring: vectors::keyring(), verify_incoming: false, ..Envelope::default() };
    let mut seen = 0;
    for case in vectors::read(file) {
        let mut notes: Vec<String> = case
            .notes
            .iter()
            .filter(|n| !["encrypt ", "hasCrc "].iter().any(|l| n.starts_with(l)))
            .filter(|n| !n.split(' ').next().unwrap().ends_with("compound"))
            .map(|n| {
                let (path, rest) = n.split_once(' ').unwrap();
                let path = path.trim_start_matches("crc/").trim_start_matches("z/").trim_start_matches("c/");
                let value = rest.split_once(' ').map_or("", |(_, v)| v);
                format!("{path} {value}")
            })
            .collect();
        notes.reverse();
        let mut check = |bare: &[u8]| {
            let message = Message::decode(bare).unwrap_or_else(|e| panic!("{file} {}: {e}", case.title));
            let note = notes.pop().unwrap_or_else(|| panic!("{file} {}: one message too many", case.title));
            match message {
                Message::User(body) => {
                    let inner = SerfMessage::decode(body).unwrap();
                    let ours = describe_serf(&inner);
                    same(&note, &ours, file, &case.title);
                    assert_eq!(SerfMessage::decode(&inner.encode()).unwrap(), inner);
                    if let SerfMessage::Relay { message, .. } = inner {
                        let inner = SerfMessage::decode(message).unwrap();
                        let note = notes.pop().unwrap().replace("user/relay/", "user/");
                        same(&note, &describe_serf(&inner), file, &case.title);
                        assert_eq!(to_hex(&inner.encode()), to_hex(message));
                    }
                    if !matches!(inner, SerfMessage::Query(_) | SerfMessage::UserEvent(_)) {
                        assert_eq!(to_hex(&inner.encode()), to_hex(body), "{file} {}", case.title);
                    }
                }
                message => {
                    same(&note, &describe(&message), file, &case.title);
                    assert_eq!(to_hex(&message.encode()), to_hex(bare), "{file} {}", case.title);
                }
            }
            seen += 1;
        };
        let dropped = envelope.open(&case.frames[0].bytes, &mut check).unwrap();
        assert_eq!(dropped.count, 0, "{file} {}", case.title);
        assert!(notes.is_empty(), "{file} {}: not found: {notes:?}", case.title);
    }
    seen
}

/// Long values are shortened in the descriptions; what is there must agree.
fn same(note: &str, ours: &str, file: &str, title: &str) {
    let note = note.split("..").next().unwrap();
    let note = note.split("user/serf:userEvent:").next().unwrap();
    assert!(ours.starts_with(note), "{file} {title}\n theirs {note}\n ours   {ours}");
}

#[test]
fn captured_packets_say_what_their_descriptions_say() {
    let mut seen = 0;
    for file in [
        "gossip-udp-plain.txt",
        "gossip-udp-encrypted.txt",
        "consul-udp-plain.txt",
        "consul-udp-encrypted.txt",
    ] {
        seen += check_packets(file);
    }
    assert!(seen > 280, "only {seen} messages");
}

#[test]
fn a_ping_of_two_fields_and_new_strings_is_read() {
    let raw = vectors::hex("0082a55365714e6f01d9044e6f6465d9027432");
    let ping = Ping { seq: 1, node: "t2", source: Source::default() };
    assert_eq!(Message::decode(&raw), Ok(Message::Ping(ping)));
}

#[test]
fn names_and_meta_beyond_their_limits_are_refused() {
    let long = "x".repeat(MAX_NAME + 1);
    let ping = Message::Ping(Ping { seq: 1, node: &long, source: Source::default() }).encode();
    assert_eq!(Message::decode(&ping), Err(DecodeError::TooLarge("name")));
    let meta = vec![0; MAX_META + 1];
    let alive = Alive { incarnation: 1, node: "a", addr: None, port: 1, meta: &meta, vsn: &[] };
    assert_eq!(Message::decode(&Message::Alive(alive).encode()), Err(DecodeError::TooLarge("meta")));
}

proptest! {
    #[test]
    fn junk_never_panics(mut junk in proptest::collection::vec(any::<u8>(), 1..400), kind in 0u8..16) {
        let _ = Message::decode(&junk);
        junk[0] = kind;
        let _ = Message::decode(&junk);
    }

    #[test]
    fn alive_round_trips(incarnation: u32, node in "[a-z]{1,20}", port: u16, v6: [u8; 16],
                         meta in proptest::collection::vec(any::<u8>(), 0..512), vsn: [u8; 6]) {
        let addr = Some(IpAddr::from(v6).to_canonical());
        let alive = Message::Alive(Alive { incarnation, node: &node, addr, port, meta: &meta, vsn: &vsn });
        let raw = alive.encode();
        prop_assert_eq!(Message::decode(&raw), Ok(alive));
    }

    #[test]
    fn bent_real_messages_never_panic(at in 0usize..80, byte: u8, cut in 0usize..120) {
        let mut raw = vectors::hex("0486a441646472a47f4d0102ab496e6361726e6174696f6e01a44d657461afff82a16ea132a4\
            726f6c65a3776562a44e6f6465a27332a4506f7274cd1f0aa356736ea6010502020505");
        let len = raw.len();
        raw[at.min(len - 1)] = byte;
        raw.truncate(cut.min(len));
        let _ = Message::decode(&raw);
    }
}
