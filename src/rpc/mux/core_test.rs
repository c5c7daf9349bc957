use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::core::{Core, Event, MuxError, MuxLimits, Side};
use super::frame::{ACK, FIN, HEADER_LEN, Header, Kind, RST, SYN, WINDOW};

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn core(side: Side) -> Core {
    Core::new(side, MuxLimits::default())
}

fn output(core: &mut Core) -> BytesMut {
    let mut out = BytesMut::new();
    loop {
        let before = out.len();
        let mut part = BytesMut::new();
        core.poll_output(&mut part);
        out.extend_from_slice(&part);
        if out.len() == before {
            return out;
        }
    }
}

/// Hands over what one side sends; what happened there.
fn deliver(bytes: &mut BytesMut, to: &mut Core) -> Result<Vec<Event>, MuxError> {
    let mut events = Vec::new();
    while bytes.len() >= HEADER_LEN {
        let header =
            Header::decode(bytes[..HEADER_LEN].try_into().unwrap()).ok_or(MuxError::Protocol("version"))?;
        let len = if header.kind == Kind::Data { header.length as usize } else { 0 };
        if bytes.len() < HEADER_LEN + len {
            break;
        }
        bytes.advance(HEADER_LEN);
        events.push(to.handle_frame(header, bytes.split_to(len).freeze())?);
    }
    Ok(events)
}

fn open(core: &mut Core) -> u32 {
    match core.poll_open(&mut cx()) {
        Poll::Ready(Ok(id)) => id,
        other => panic!("not opened: {other:?}"),
    }
}

fn read(core: &mut Core, id: u32, most: usize) -> Option<Vec<u8>> {
    let mut space = vec![0; most];
    let mut buf = ReadBuf::new(&mut space);
    match core.poll_read(id, &mut cx(), &mut buf) {
        Poll::Ready(result) => {
            result.unwrap();
            Some(buf.filled().to_vec())
        }
        Poll::Pending => None,
    }
}

fn write(core: &mut Core, id: u32, data: &[u8]) -> usize {
    match core.poll_write(id, &mut cx(), data) {
        Poll::Ready(len) => len.unwrap(),
        Poll::Pending => 0,
    }
}

#[test]
fn the_first_frames_are_those_of_yamux() {
    let (mut client, mut server) = (core(Side::Client), core(Side::Server));
    let id = open(&mut client);
    write(&mut client, id, b"hello");
    let mut sent = output(&mut client);
    assert_eq!(
        sent,
        [&[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0][..], &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5], b"hello"].concat()
    );
    assert_eq!(deliver(&mut sent, &mut server).unwrap(), [Event::Opened(1), Event::None]);
    assert_eq!(output(&mut server), [0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0][..]);
    assert_eq!(read(&mut server, 1, 99).unwrap(), b"hello");
    assert_eq!(open(&mut client), 3);
    assert_eq!(open(&mut server), 2);
}

#[test]
fn a_window_holds_until_half_of_it_was_read() {
    let (mut client, mut server) = (core(Side::Client), core(Side::Server));
    let id = open(&mut client);
    let mut total = 0;
    loop {
        let written = write(&mut client, id, &[7; 65536]);
        total += written;
        let mut sent = output(&mut client);
        deliver(&mut sent, &mut server).unwrap();
        if written == 0 {
            break;
        }
    }
    // The window, and what our own buffer took on top.
    assert_eq!(total, WINDOW as usize + 65536);
    output(&mut server);
    assert_eq!(read(&mut server, id, WINDOW as usize / 2 - 1).unwrap().len(), WINDOW as usize / 2 - 1);
    assert!(output(&mut server).is_empty(), "not half yet");
    read(&mut server, id, 1).unwrap();
    let mut told = output(&mut server);
    assert_eq!(told, [0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0][..]);
    deliver(&mut told, &mut client).unwrap();
    assert!(client.has_output());
}

#[test]
fn data_beyond_the_window_ends_the_connection() {
    let mut server = core(Side::Server);
    let frame = |flags, length| Header { kind: Kind::Data, flags, stream: 1, length };
    server.handle_frame(frame(SYN, WINDOW), Bytes::from(vec![0; WINDOW as usize])).unwrap();
    let error = server.handle_frame(frame(0, 1), Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error, MuxError::Protocol("more data than the window allows"));
}

#[test]
fn streams_of_the_wrong_side_and_doubled_ones_end_the_connection() {
    let syn = |stream| Header { kind: Kind::WindowUpdate, flags: SYN, stream, length: 0 };
    for stream in [0, 2] {
        assert!(core(Side::Server).handle_frame(syn(stream), Bytes::new()).is_err());
    }
    let mut server = core(Side::Server);
    server.handle_frame(syn(1), Bytes::new()).unwrap();
    assert!(server.handle_frame(syn(1), Bytes::new()).is_err());
}

#[test]
fn more_streams_than_allowed_are_reset() {
    let mut server = Core::new(Side::Server, MuxLimits { streams: 2, ..MuxLimits::default() });
    let syn = |stream| Header { kind: Kind::WindowUpdate, flags: SYN, stream, length: 0 };
    for stream in [1, 3] {
        assert_eq!(server.handle_frame(syn(stream), Bytes::new()), Ok(Event::Opened(stream)));
    }
    assert_eq!(server.handle_frame(syn(5), Bytes::new()), Ok(Event::None));
    let sent = output(&mut server);
    assert_eq!(sent[24..], [0, 1, 0, 8, 0, 0, 0, 5, 0, 0, 0, 0]);
    server.release(1);
    assert_eq!(server.handle_frame(syn(7), Bytes::new()), Ok(Event::Opened(7)));
}

#[test]
fn at_most_256_streams_are_opened_ahead() {
    let mut client = core(Side::Client);
    for _ in 0..256 {
        open(&mut client);
    }
    assert!(client.poll_open(&mut cx()).is_pending());
    let ack = Header { kind: Kind::WindowUpdate, flags: ACK, stream: 1, length: 0 };
    client.handle_frame(ack, Bytes::new()).unwrap();
    assert_eq!(open(&mut client), 513);
}

#[test]
fn both_ends_close_in_turn() {
    let (mut client, mut server) = (core(Side::Client), core(Side::Server));
    let id = open(&mut client);
    write(&mut client, id, b"q");
    client.finish(id);
    let mut sent = output(&mut client);
    assert_eq!(sent[12..24], [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1], "the end travels with the last data");
    deliver(&mut sent, &mut server).unwrap();
    assert_eq!(read(&mut server, id, 9).unwrap(), b"q");
    assert_eq!(read(&mut server, id, 9).unwrap(), b"");
    write(&mut server, id, b"a");
    server.finish(id);
    let mut sent = output(&mut server);
    deliver(&mut sent, &mut client).unwrap();
    server.release(id);
    assert!(output(&mut server).is_empty(), "nothing more to say");
    assert_eq!(read(&mut client, id, 9).unwrap(), b"a");
    assert_eq!(read(&mut client, id, 9).unwrap(), b"");
    client.release(id);
    assert!(output(&mut client).is_empty());
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[test]
fn a_stream_dropped_early_is_reset() {
    let (mut client, mut server) = (core(Side::Client), core(Side::Server));
    let id = open(&mut client);
    write(&mut client, id, b"q");
    deliver(&mut output(&mut client), &mut server).unwrap();
    client.release(id);
    deliver(&mut output(&mut client), &mut server).unwrap();
    assert_eq!(read(&mut server, id, 9).unwrap(), b"q");
    let mut space = [0; 9];
    let end = server.poll_read(id, &mut cx(), &mut ReadBuf::new(&mut space));
    assert_eq!(end, Poll::Ready(Err(MuxError::Closed)));
    // What was under way to the dropped stream does no harm.
    let late = Header { kind: Kind::Data, flags: FIN, stream: id, length: 1 };
    assert_eq!(client.handle_frame(late, Bytes::from_static(b"x")), Ok(Event::None));
}

#[test]
fn a_peer_that_only_pings_is_given_up() {
    let mut server = core(Side::Server);
    let ping = Header { kind: Kind::Ping, flags: SYN, stream: 0, length: 9 };
    server.handle_frame(ping, Bytes::new()).unwrap();
    assert_eq!(output(&mut server), [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9][..]);
    let flood = (0..100_000).find_map(|_| server.handle_frame(ping, Bytes::new()).err());
    assert_eq!(flood, Some(MuxError::Flood));
}

#[test]
fn unread_data_over_all_streams_is_counted() {
    let limits = MuxLimits { unread_bytes: 1000, ..MuxLimits::default() };
    let mut server = Core::new(Side::Server, limits);
    for stream in [1, 3, 5] {
        let data = Header { kind: Kind::Data, flags: SYN, stream, length: 400 };
        assert!(!server.is_full());
        server.handle_frame(data, Bytes::from(vec![0; 400])).unwrap();
    }
    assert!(server.is_full());
    server.release(1);
    assert!(!server.is_full());
    read(&mut server, 3, 400).unwrap();
    read(&mut server, 5, 400).unwrap();
    server.release(3);
    server.release(5);
    let data = Header { kind: Kind::Data, flags: SYN | RST, stream: 7, length: 1000 };
    server.handle_frame(data, Bytes::from(vec![0; 1000])).unwrap();
    assert!(!server.is_full());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However writes, reads and deliveries interleave, each stream carries its bytes in order.
    #[test]
    fn bytes_arrive_in_order(steps in proptest::collection::vec((0..4_u8, 0..6_usize, 1..90_000_usize), 1..120)) {
        let (mut client, mut server) = (core(Side::Client), core(Side::Server));
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        let ids: Vec<u32> = (0..6).map(|_| open(&mut client)).collect();
        let pattern = |from: usize, len: usize| -> Vec<u8> { (from..from + len).map(|n| (n % 251) as u8).collect() };
        let (mut written, mut got) = ([0; 6], [0; 6]);
        up.extend_from_slice(&output(&mut client));
        deliver(&mut up, &mut server).unwrap();
        for (step, which, amount) in steps {
            match step {
                0 => written[which] += write(&mut client, ids[which], &pattern(written[which], amount)),
                1 => {
                    if let Some(bytes) = read(&mut server, ids[which], amount) {
                        prop_assert_eq!(&bytes, &pattern(got[which], bytes.len()));
                        got[which] += bytes.len();
                    }
                }
                2 => {
                    let mut part = BytesMut::new();
                    client.poll_output(&mut part);
                    up.extend_from_slice(&part);
                    let cut = amount.min(up.len());
                    let mut arrived = up.split_to(cut);
                    deliver(&mut arrived, &mut server).unwrap();
                    arrived.unsplit(up);
                    up = arrived;
                }
                _ => {
                    down.extend_from_slice(&output(&mut server));
                    deliver(&mut down, &mut client).unwrap();
                }
            }
        }
        // In the end everything arrives.
        for _ in 0..100 {
            up.extend_from_slice(&output(&mut client));
            deliver(&mut up, &mut server).unwrap();
            for which in 0..6 {
                while let Some(bytes) = read(&mut server, ids[which], 50_000) {
                    prop_assert_eq!(&bytes, &pattern(got[which], bytes.len()));
                    got[which] += bytes.len();
                }
            }
            down.extend_from_slice(&output(&mut server));
            deliver(&mut down, &mut client).unwrap();
        }
        prop_assert_eq!(got, written);
    }

    /// Any frames at all: an error at most, and the count of what lies unread stays right.
    #[test]
    fn hostile_frames_are_survived(frames in proptest::collection::vec((0..4_u8, any::<u16>(), 0..6_u32, any::<u32>(), 0..300_usize, any::<bool>()), 0..80)) {
        let mut server = Core::new(Side::Server, MuxLimits { streams: 2, unread_bytes: 10_000 });
        for (kind, flags, stream, length, len, release) in frames {
            let (kind, length) = match kind {
                0 => (Kind::Data, len as u32),
                1 => (Kind::WindowUpdate, length),
                2 => (Kind::Ping, length),
                _ => (Kind::GoAway, length % 3),
            };
            let payload = if kind == Kind::Data { Bytes::from(vec![1; len]) } else { Bytes::new() };
            match server.handle_frame(Header { kind, flags, stream, length }, payload) {
                Ok(Event::Opened(id)) if release => server.release(id),
                Ok(_) => {}
                Err(error) => {
                    server.end(error);
                    server.go_away(1);
                    break;
                }
            }
            output(&mut server);
        }
        for id in 0..6 {
            server.release(id);
        }
        prop_assert!(!server.is_full());
        prop_assert_eq!(server.open_streams(), 0);
    }
}
