//! What an agent costs that knows a thousand members: processor time of its thread, memory of the process.
//!
//! The others are made up by one socket that answers and asks as they would: each second a member of a pool of any
//! size sends one ping and gets one, and about every 90 s it takes part in an exchange of whole states.
//! `CRS_COST_SECONDS` makes it longer.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use crs_gossip::wire::keyring::Keyring;
use crs_gossip::wire::message::{Ack, Message, Ping, Source};
use crs_gossip::wire::packet::Envelope;
use crs_gossip::wire::serf::{Tags, encode_state, encode_tags};
use crs_gossip::wire::state::{NodeState, StateNode, encode};
use crs_pool::{Bound, Pool, PoolConfig, SerfConfig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const N: usize = 1000;

/// Tags of a Consul server, the largest there are.
fn tags(i: usize) -> Tags {
    [
        ("role", "consul".to_owned()),
        ("dc", "dc1".to_owned()),
        ("segment", String::new()),
        ("id", format!("11111111-2222-3333-4444-{i:012}")),
        ("vsn", "2".to_owned()),
        ("vsn_min", "2".to_owned()),
        ("vsn_max", "3".to_owned()),
        ("build", "1.8.7:".to_owned()),
        ("acls", "0".to_owned()),
        ("port", "8300".to_owned()),
        ("raft_vsn", "3".to_owned()),
        ("ft_fs", "1".to_owned()),
        ("wan_join_port", "8302".to_owned()),
        ("expect", "3".to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

fn ring() -> Keyring {
    let mut ring = Keyring::default();
    ring.install(&[7; 32]).unwrap();
    ring
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Nanoseconds that the calling thread has run.
fn thread_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// The other members, all behind one socket.
struct Crowd {
    socket: UdpSocket,
    envelope: Envelope,
    rng: rand::rngs::SmallRng,
    metas: Vec<Vec<u8>>,
    seq: u32,
}

impl Crowd {
    fn exchange(&mut self, agent: SocketAddr) {
        let addr = self.socket.local_addr().unwrap();
        let names: Vec<String> = (0..N).map(|i| format!("server-{i}")).collect();
        let nodes = names.iter().zip(&self.metas).map(|(name, meta)| StateNode {
            name,
            addr: Some(addr.ip()),
            port: addr.port(),
            meta,
            incarnation: 1,
            state: NodeState::Alive,
            vsn: &[1, 5, 2, 2, 5, 4],
        });
        let user = encode_state([5, 1, 1], names.iter().map(|n| (n.as_str(), 1)), &[], &[]);
        let bytes = self.envelope.seal_stream(&mut self.rng, encode(false, nodes, N, &user), true);
        let mut stream = TcpStream::connect(agent).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.is_empty());
    }

    fn serve(&mut self, agent: SocketAddr, name: &str, stop: &AtomicBool) {
        let mut buf = [0; 65_536];
        let mut next = Instant::now();
        let mut exchange = Instant::now() + Duration::from_secs(5);
        while !stop.load(Ordering::Relaxed) {
            if next <= Instant::now() {
                next += Duration::from_secs(1);
                self.seq += 1;
                let source = Source { addr: self.socket.local_addr().ok(), node: "server-1" };
                let ping = Message::Ping(Ping { seq: self.seq, node: name, source }).encode();
                let packet = self.envelope.seal(&mut self.rng, ping, false);
                self.socket.send_to(&packet, agent).unwrap();
            }
            if exchange <= Instant::now() {
                exchange += Duration::from_secs(90);
                self.exchange(agent);
            }
            let Ok((len, from)) = self.socket.recv_from(&mut buf) else { continue };
            let mut asked = Vec::new();
            let _ = self.envelope.open(&buf[..len], &mut |m| {
                if let Ok(Message::Ping(ping)) = Message::decode(m) {
                    asked.push(ping.seq);
                }
            });
            for seq in asked {
                let payload = crs_pool::Coordinate::default().encode();
                let ack = Message::Ack(Ack { seq, payload: &payload }).encode();
                let packet = self.envelope.seal(&mut self.rng, ack, false);
                self.socket.send_to(&packet, from).unwrap();
            }
        }
    }
}

#[test]
fn a_thousand_members_cost_little() {
    let seconds = std::env::var("CRS_COST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(15);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut crowd = Crowd {
        socket,
        envelope: Envelope {
            keyring: ring(),
            verify_incoming: true,
            verify_outgoing: true,
            compress: true,
            ..Envelope::default()
        },
        rng: rand::SeedableRng::seed_from_u64(1),
        metas: (0..N).map(|i| encode_tags(&tags(i))).collect(),
        seq: 0,
    };
    // one thread, so that what the agent uses is what this thread uses
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let (pool, addr, mut events): (Pool, SocketAddr, _) = runtime.block_on(async {
        let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut serf = SerfConfig::consul_lan("agent", bind);
        serf.keyring = ring();
        serf.tags = tags(N);
        let bound = Bound::bind(PoolConfig { serf, bind, label: "lan", snapshot: None, keyring_file: None })
            .await
            .unwrap();
        let addr = bound.addr();
        let (pool, events) = bound.spawn(&mut tasks, stop.clone());
        (pool, addr, events)
    });
    let halt = Arc::new(AtomicBool::new(false));
    let serving = {
        // one exchange before, so that what the crowd itself holds for it is counted on neither side
        let halt = halt.clone();
        std::thread::spawn(move || {
            let warm = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = warm.local_addr().unwrap();
            let sink = std::thread::spawn(move || {
                let (mut stream, _) = warm.accept().unwrap();
                let mut buf = [0; 65_536];
                let _ = stream.read(&mut buf);
                let _ = stream.write_all(&buf[..1]);
            });
            crowd.exchange(to);
            sink.join().unwrap();
            let before = resident_bytes();
            crowd.exchange(addr);
            crowd.serve(addr, "agent", &halt);
            before
        })
    };
    let (used, span, after, known) = runtime.block_on(async {
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        while pool.members().len() < N + 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // rumors about a thousand newcomers go out first
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (start, nanos) = (Instant::now(), thread_nanos());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = thread_nanos() - nanos;
        let stats = pool.stats().await.unwrap();
        println!("{stats:?}");
        (used, start.elapsed(), resident_bytes(), pool.members().alive())
    });
    halt.store(true, Ordering::Relaxed);
    let before = serving.join().unwrap();
    stop.cancel();
    let share = used as f64 / span.as_nanos() as f64 * 100.0;
    let bytes = after.saturating_sub(before);
    println!(
        "an agent among {N}: {share:.3} % of a core over {span:.1?}, {:.2} MiB more than before it knew them",
        bytes as f64 / 1024.0 / 1024.0
    );
    assert!(known > N * 9 / 10, "{known} are alive");
    assert!(share < 1.0, "{share} % of a core");
    assert!(bytes < 5 * 1024 * 1024, "{bytes} bytes");
}
