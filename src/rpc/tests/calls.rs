//! Calls over real connections: both ends are ours, or one of them is a recording.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;
#[path = "support/toy.rs"]
mod toy;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use crs_rpc::blocks::{ReadOptions, WriteOptions};
use crs_rpc::codec::{Extent, encode};
use crs_rpc::envelope::RequestHeader;
use crs_rpc::methods::{kv, status};
use crs_rpc::mux::MuxLimits;
use crs_rpc::snapshot::{self, SnapshotRequest};
use crs_rpc::tls::Tls;
use crs_rpc::{
    CallError, Client, Dialer, ListenerLimits, Pool, PoolLimits, RateLimit, Server, Servers, Target,
};
use crs_types::{ErrorKind, Index, KvEntry};
use support::{exchanges, unhex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use toy::start;

const SOON: Duration = Duration::from_secs(10);

fn pool() -> Arc<Pool> {
    let dialer = Dialer::new(Arc::new(ArcSwap::from_pointee(Tls::default())), None);
    Arc::new(Pool::new(dialer, PoolLimits::default()))
}

fn put(key: &str, value: impl Into<Vec<u8>>) -> kv::ApplyRequest {
    kv::ApplyRequest {
        datacenter: "dc1".into(),
        op: "set".to_owned(),
        entry: KvEntry { key: key.into(), value: value.into().into(), ..KvEntry::default() },
        options: WriteOptions::default(),
    }
}

fn get(key: &str, min: u64) -> kv::KeyRead {
    let options = ReadOptions { min_query_index: Index(min), ..ReadOptions::default() };
    kv::KeyRead { datacenter: "dc1".into(), key: key.into(), options }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn call<M: crs_rpc::methods::Method>(
    pool: &Pool,
    target: &Target,
    request: &M::Request,
) -> Result<M::Reply, CallError> {
    timeout(SOON, pool.call::<M>(target, request, Duration::ZERO)).await.unwrap()
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let pool = pool();
    let calls = (0..200).map(|n| {
        let (pool, target) = (pool.clone(), server.target.clone());
        tokio::spawn(async move {
            let (key, value) = (format!("k{n}"), vec![n as u8; 3000 * (n % 40)]);
            call::<kv::Apply>(&pool, &target, &put(&key, value.clone())).await.unwrap();
            let entries = call::<kv::Get>(&pool, &target, &get(&key, 0)).await.unwrap().entries;
            assert_eq!(entries[0].value, value);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(server.listener.connections().values().sum::<usize>(), 1);
}

#[tokio::test]
async fn values_larger_than_every_window_arrive() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let pool = pool();
    let value: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    call::<kv::Apply>(&pool, &server.target, &put("large", value.clone())).await.unwrap();
    let entries = call::<kv::Get>(&pool, &server.target, &get("large", 0)).await.unwrap().entries;
    assert!(entries[0].value == value);
    // Larger than the server takes: refused as soon as it is announced, the pool goes on.
    let error = call::<kv::Apply>(&pool, &server.target, &put("huge", vec![0; 9 << 20])).await.unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error}");
    call::<status::Ping>(&pool, &server.target, &()).await.unwrap();
}

#[tokio::test]
async fn errors_arrive_with_kind_and_text() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let pool = pool();
    let refused = call::<kv::Apply>(&pool, &server.target, &put("", "")).await.unwrap_err().into_error();
    assert_eq!(
        (refused.kind, &*refused.text),
        (ErrorKind::Refused, "rpc error making call: Must provide key")
    );
    for (method, text) in [
        ("KVS.Nothing", "rpc: can't find method KVS.Nothing"),
        ("Nothing.Get", "rpc: can't find service Nothing.Get"),
        ("nothing", "rpc: service/method request ill-formed: nothing"),
    ] {
        let error = pool.call_raw(&server.target, method, &[0x80], Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), format!("rpc error making call: {text}"));
    }
    let panicked = call::<kv::Get>(&pool, &server.target, &get("panic", 0)).await.unwrap_err().into_error();
    assert_eq!(panicked.kind, ErrorKind::Internal);
    // A body that is none of the method's is an error, not the end of the stream.
    let error = pool.call_raw(&server.target, "KVS.Get", &[0x93, 1, 2, 3], Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("expected a map"), "{error}");
    call::<status::Ping>(&pool, &server.target, &()).await.unwrap();
    assert_eq!(server.listener.connections().values().sum::<usize>(), 1);
}

#[tokio::test]
async fn a_blocked_read_ends_with_its_caller() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let pool = pool();
    call::<kv::Apply>(&pool, &server.target, &put("a", "1")).await.unwrap();
    let blocked = {
        let (pool, target) = (pool.clone(), server.target.clone());
        tokio::spawn(async move { call::<kv::Get>(&pool, &target, &get("a", 1)).await })
    };
    eventually("the query waits", || server.toy.waiting.load(Ordering::SeqCst) == 1).await;
    blocked.abort();
    eventually("the query is gone", || server.toy.waiting.load(Ordering::SeqCst) == 0).await;
    // One that stays is answered by the change.
    let blocked = {
        let (pool, target) = (pool.clone(), server.target.clone());
        tokio::spawn(async move { call::<kv::Get>(&pool, &target, &get("a", 1)).await })
    };
    eventually("the query waits", || server.toy.waiting.load(Ordering::SeqCst) == 1).await;
    call::<kv::Apply>(&pool, &server.target, &put("a", "2")).await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap().entries[0].value, "2");
}

#[tokio::test]
async fn a_client_finds_the_server_that_answers() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let gone = start(Tls::default(), ListenerLimits::default()).await;
    let gone_target = gone.target.clone();
    gone.stopping.cancel();
    let servers = Arc::new(Servers::new(7));
    for target in [&gone_target, &server.target] {
        servers.add(Server { name: target.address.to_string(), target: target.clone() });
    }
    drop(gone);
    let client = Client::new(pool(), servers.clone(), RateLimit::none(), Duration::from_secs(7));
    for n in 0..10 {
        servers.shuffle();
        let put = put(&format!("k{n}"), "v");
        timeout(SOON, client.call::<kv::Apply>(&put, Duration::ZERO)).await.unwrap().unwrap();
    }
    // While there is no leader it goes on trying.
    server.toy.leaderless.store(3, Ordering::SeqCst);
    servers.remove(&gone_target);
    timeout(SOON, client.call::<kv::Apply>(&put("b", "1"), Duration::ZERO)).await.unwrap().unwrap();
    // But not for ever.
    server.toy.leaderless.store(usize::MAX, Ordering::SeqCst);
    let client = Client::new(pool(), servers.clone(), RateLimit::none(), Duration::from_millis(300));
    let error =
        timeout(SOON, client.call::<kv::Apply>(&put("b", "1"), Duration::ZERO)).await.unwrap().unwrap_err();
    assert_eq!((error.kind, &*error.text), (ErrorKind::NoLeader, "rpc error making call: No cluster leader"));
    servers.remove(&server.target);
    let error = client.call::<status::Ping>(&(), Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind, &*error.text), (ErrorKind::NoServers, "No known Consul servers"));
}

#[tokio::test]
async fn a_restarted_server_is_dialled_again() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let (pool, target) = (pool(), server.target.clone());
    call::<status::Ping>(&pool, &target, &()).await.unwrap();
    server.stopping.cancel();
    let mut server = server;
    timeout(SOON, &mut server.task).await.expect("it stops at once when nothing is under way").unwrap();
    assert!(matches!(
        call::<status::Ping>(&pool, &target, &()).await,
        Err(CallError::NotSent(_) | CallError::Lost(_))
    ));
    assert!(matches!(call::<status::Ping>(&pool, &target, &()).await, Err(CallError::NotSent(_))));
    let socket = tokio::net::TcpListener::bind(target.address).await.unwrap();
    let again = tokio_util::sync::CancellationToken::new();
    let tls = Arc::new(ArcSwap::from_pointee(Tls::default()));
    let listener =
        crs_rpc::Listener::new(server.toy.clone(), None, tls, ListenerLimits::default(), again.clone());
    let task = tokio::spawn(listener.serve(socket, SOON));
    call::<status::Ping>(&pool, &target, &()).await.unwrap();
    again.cancel();
    timeout(SOON, task).await.unwrap().unwrap();
    timeout(SOON, pool.shut_down()).await.unwrap();
}

#[tokio::test]
async fn snapshots_travel_both_ways() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let dialer = Dialer::new(Arc::new(ArcSwap::from_pointee(Tls::default())), None);
    let archive: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let request = SnapshotRequest { datacenter: "dc1".into(), ..Default::default() };
    let meta = snapshot::restore(&dialer, &server.target, &request, &mut archive.as_slice()).await.unwrap();
    assert_eq!(meta.index, Index(50));
    let (_, mut saved) = snapshot::save(&dialer, &server.target, &request).await.unwrap();
    let mut bytes = Vec::new();
    saved.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes == archive);
    // A refusal is heard although the whole archive was not read.
    let request = SnapshotRequest { datacenter: "nowhere".into(), ..Default::default() };
    let refused = snapshot::restore(&dialer, &server.target, &request, &mut archive.as_slice()).await;
    let error = refused.unwrap_err().into_error();
    assert_eq!(error.text, "rpc error making call: No path to datacenter");
}

/// Everything that arrives until the far side is quiet for a moment or closes.
async fn drain(stream: &mut TcpStream, quiet: Duration) -> Vec<u8> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(Ok(len @ 1..)) = timeout(quiet, stream.read(&mut chunk)).await {
        bytes.extend_from_slice(&chunk[..len]);
    }
    bytes
}

#[tokio::test]
async fn recorded_connections_of_agents_are_answered() {
    let recording = include_str!("../../../tests/data/wire/rpc-yamux-connection.txt");
    let mut answered = 0;
    for line in recording.lines().filter_map(|line| line.strip_prefix("<client ")) {
        let server = start(Tls::default(), ListenerLimits::default()).await;
        server.toy.hurried.store(true, Ordering::SeqCst);
        let sent = unhex(line);
        let mut stream = TcpStream::connect(server.target.address).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        // What the agent asked for, from its own frames: each stream is a row of requests.
        let wanted = requests(&sent[1..]);
        eventually("every request arrived", || server.toy.called.lock().unwrap().len() == wanted.len()).await;
        let mut called = server.toy.called.lock().unwrap().clone();
        let mut wanted = wanted;
        called.sort();
        wanted.sort();
        assert_eq!(called, wanted);
        assert!(wanted.len() > 20, "only {}", wanted.len());
        let reply = drain(&mut stream, Duration::from_millis(300)).await;
        assert_eq!(reply[..12], [0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0], "the acknowledgement of stream 1");
        answered += 1;
        let registered = server.toy.registered.lock().unwrap();
        assert!(registered.iter().all(|request| !request.node.is_empty()));
    }
    assert_eq!(answered, 2);
}

/// Methods called in a recording of frames, cut at a frame's or a request's end.
fn requests(mut frames: &[u8]) -> Vec<String> {
    let mut streams: std::collections::BTreeMap<u32, Vec<u8>> = std::collections::BTreeMap::new();
    while frames.len() >= 12 {
        let stream = u32::from_be_bytes(frames[4..8].try_into().unwrap());
        let len =
            if frames[1] == 0 { u32::from_be_bytes(frames[8..12].try_into().unwrap()) as usize } else { 0 };
        let Some(payload) = frames.get(12..12 + len) else { break };
        streams.entry(stream).or_default().extend_from_slice(payload);
        frames = &frames[12 + len..];
    }
    let mut methods = Vec::new();
    for bytes in streams.values() {
        let mut rest = bytes.as_slice();
        while let Ok(Some(len)) = Extent::new(1 << 20).scan(rest) {
            let (header, body) = rest.split_at(len);
            let Ok(Some(len)) = Extent::new(1 << 20).scan(body) else { break };
            methods.push(crs_rpc::codec::decode::<RequestHeader>(header).unwrap().method);
            rest = &body[len..];
        }
    }
    methods
}

#[tokio::test]
async fn recorded_requests_on_a_plain_connection_are_answered() {
    let server = start(Tls::default(), ListenerLimits::default()).await;
    let mut stream = TcpStream::connect(server.target.address).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    let mut count = 0;
    for exchange in exchanges(include_str!("../../../tests/data/wire/rpc-calls.txt")) {
        let title = &exchange.title;
        if !(title.contains("KVS.Apply op=set") || title.contains("Catalog.Register")) {
            continue;
        }
        stream.write_all(&exchange.request.concat()).await.unwrap();
        let expected = exchange.response.concat();
        let mut reply = vec![0; expected.len()];
        timeout(SOON, stream.read_exact(&mut reply)).await.unwrap().unwrap();
        assert_eq!(reply, expected, "{title}");
        count += 1;
    }
    assert_eq!(count, 6);
    // Two at once, and junk afterwards.
    let ping = [encode(&RequestHeader { method: "Status.Ping".to_owned(), seq: 1 }), vec![0x80]].concat();
    stream.write_all(&[ping.clone(), ping, vec![0xc1]].concat()).await.unwrap();
    let replies = drain(&mut stream, SOON).await;
    assert_eq!(replies.len(), 2 * 40);
}

#[tokio::test]
async fn strangers_are_shown_the_door() {
    let limits = ListenerLimits {
        handshake_timeout: Duration::from_millis(200),
        connections_per_client: 3,
        mux: MuxLimits { streams: 2, ..MuxLimits::default() },
        ..ListenerLimits::default()
    };
    let server = start(Tls::default(), limits).await;
    for first in [1_u8, 2, 3, 6, 7, 0x16, 0x47, 0xff] {
        let mut stream = TcpStream::connect(server.target.address).await.unwrap();
        stream.write_all(&[first]).await.unwrap();
        assert!(drain(&mut stream, SOON).await.is_empty(), "byte {first}");
    }
    // Nothing at all.
    let mut silent = TcpStream::connect(server.target.address).await.unwrap();
    assert!(drain(&mut silent, SOON).await.is_empty());
    drop(silent);
    // No yamux: told so.
    let mut stream = TcpStream::connect(server.target.address).await.unwrap();
    stream.write_all(&[4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]).await.unwrap();
    assert_eq!(drain(&mut stream, SOON).await, [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    drop(stream);
    eventually("all are gone", || server.listener.connections().is_empty()).await;
    // Three of one client, the fourth is closed.
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.target.address).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        held.push(stream);
    }
    eventually("they are counted", || server.listener.connections().values().sum::<usize>() == 3).await;
    let mut fourth = TcpStream::connect(server.target.address).await.unwrap();
    assert!(drain(&mut fourth, SOON).await.is_empty());
    drop(held);
    eventually("all are gone", || server.listener.connections().is_empty()).await;
    call::<status::Ping>(&pool(), &server.target, &()).await.unwrap();
}

#[tokio::test]
async fn require_incoming_closes_what_is_plain() {
    let tls = Tls { require_incoming: true, ..Tls::default() };
    let server = start(tls, ListenerLimits::default()).await;
    for first in [0_u8, 4, 5] {
        let mut stream = TcpStream::connect(server.target.address).await.unwrap();
        stream.write_all(&[first]).await.unwrap();
        assert!(drain(&mut stream, SOON).await.is_empty());
    }
}
